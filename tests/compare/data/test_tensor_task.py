"""The user's tensors and data sets become tasks as they are; what can't be used is refused."""

import dataclasses

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse
import torch
from sklearn.utils import Bunch
from torch.utils.data import ConcatDataset, DataLoader, Subset, TensorDataset

from leakyrelu._compare.data.table_task import TOO_RARE, load_task
from leakyrelu._compare.data.tensor_task import make_task, tensor_task
from leakyrelu._compare.training.examples import Examples

X = np.arange(240.0).reshape(40, 2, 3)
CLASSES = np.arange(40) % 4


def loss_of_mine(outputs, targets):
    return (outputs - targets).abs().mean()


def test_examples_keep_their_shape_and_become_float32():
    task = tensor_task((X, CLASSES))
    assert (task.X.shape, task.X.dtype, task.y.dtype) == (X.shape, np.float32, np.int64)
    assert (task.kind, task.classes, task.is_table) == ("classification", list("0123"), False)


def test_tokens_stay_whole_numbers():
    tokens = torch.randint(0, 9, (30, 5))
    task = tensor_task((tokens, tokens.bfloat16()))
    assert (task.X.dtype, task.kind, task.y.dtype) == (np.int64, "regression", np.float32)


@pytest.mark.parametrize(
    ("y", "options", "kind", "score"),
    [
        (CLASSES, {}, "classification", "accuracy"),
        (CLASSES % 2 == 0, {}, "classification", "accuracy"),
        (CLASSES, {"kind": "regression"}, "regression", "R²"),
        (X[:, 0], {}, "regression", "R²"),
        (X[:, 0], {"loss": loss_of_mine}, "custom", "minus the loss"),
        (CLASSES, {"loss": loss_of_mine, "kind": "classification"}, "classification", "accuracy"),
        (X[:, 0], {"metric": loss_of_mine}, "regression", "loss_of_mine"),
    ],
)
def test_what_is_scored(y, options, kind, score):
    task = tensor_task((X, y), **options)
    assert (task.kind, task.score.name) == (kind, score)


def test_data_sets_are_read_when_they_are_needed():
    pairs = TensorDataset(torch.tensor(X, dtype=torch.float32), torch.tensor(CLASSES))
    for data in (pairs, DataLoader(pairs, batch_size=7)):
        task = tensor_task(data)
        assert task.X is pairs
        assert np.array_equal(task.y, CLASSES)


def test_a_function_of_the_data_gives_it_its_name():
    def my_images():
        return X, CLASSES

    task = make_task(my_images, None, None, None, None, is_table=False)
    assert (task.name, task.X.shape) == ("my_images", X.shape)


def test_a_table_may_go_to_a_model_of_ones_own(tmp_path):
    table = pd.DataFrame({"a": np.arange(40.0), "b": CLASSES})
    table.to_csv(tmp_path / "table.csv", index=False)
    for data in (table, tmp_path / "table.csv"):
        task = make_task(data, "b", None, None, None, is_table=False)
        assert (task.is_table, task.X.shape, task.kind) == (True, (40, 1), "classification")
    custom = make_task(table, "a", None, loss_of_mine, None, is_table=True)
    assert (custom.kind, custom.loss) == ("custom", loss_of_mine)


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (None, {}, "without data"),
        (5, {}, "data is a int, but should be"),
        ({"x": X}, {}, "data is a dict"),
        ((X, CLASSES[:7]), {}, "X has 40 examples, but y has 7"),
        ((X[:5], CLASSES[:5]), {}, "5 examples are too few"),
        ((X, np.where(CLASSES, np.nan, 1.0)), {}, "NaN or infinite"),
        ((X, CLASSES - 1), {}, "class indices, 0 and up, but are int64 from -1 up"),
        ((X, X[:, 0, 0] + 0.5), {"kind": "classification"}, "class indices"),
        ((X, CLASSES * 0), {}, "only one class"),
        ((X, CLASSES, CLASSES), {}, r"tuple of 3, but should be \(X, y\)"),
        ((X, CLASSES - 1), {}, "for regression give kind='regression'"),
        ((X, [[1], [1, 2]] * 20), {}, "y can't become an array, .* need the same shape"),
        ((X.astype(str), CLASSES), {}, "X should be numbers"),
        ([1, 2, 3], {}, r"items of the data set should be \(x, y\), but one is a 1"),
        ([(1, 2, 3)] * 30, {}, r"should be \(x, y\), but one is a tuple of 3"),
        ([{"x": 1, "y": 2}] * 30, {}, r"should be \(x, y\), but one is a dict of 2"),
        ([((X[0], 1), 1)] * 30, {}, "x in the items .* is a tuple, but a model gets one tensor"),
        ([({"ids": X[0]}, 1)] * 30, {}, "x in the items .* is a dict, but a model gets one tensor"),
        ([(1, "dog")] * 30, {}, r"not numbers, but values such as 'dog'; give class indices"),
        ([(1, [1] * (1 + i % 2)) for i in range(30)], {}, "different shapes"),
        (torch.ones(30, 2), {}, r"one array of shape \(30, 2\), without targets"),
        ((X, CLASSES.astype(str)), {}, "y is text such as '0'; give class indices"),
        ((X, CLASSES), {"kind": "clasification"}, "kind must be .* but is 'clasification'"),
        ((X, CLASSES), {"loss": torch.nn.MSELoss}, r"loss is the class MSELoss, .*MSELoss\(\)"),
        ((X, CLASSES), {"target": "b"}, "names a column, but data is not a table"),
        ((X, CLASSES), {"loss": "mse"}, "loss .*'mse'"),
        ((X, CLASSES), {"metric": 3}, "metric .*3"),
        (lambda: 1 / 0, {}, r"<lambda>\(\) failed: ZeroDivisionError"),
    ],
)
def test_what_can_not_be_used_is_refused(data, options, message):
    given = {"target": None, "kind": None, "loss": None, "metric": None, **options}
    with pytest.raises(ValueError, match=message):
        make_task(data, **given, is_table=False)


def test_classes_are_those_that_occur():
    task = tensor_task((X, np.where(CLASSES > 1, 7, 3)))
    assert (task.classes, task.can_stratify) == (["3", "7"], True)
    rare = np.where(np.arange(40) == 0, 2, 0)
    assert tensor_task((X, rare)).notes == [TOO_RARE]


def test_classes_may_be_whole_floats_or_a_column():
    for y in (CLASSES.astype(float), CLASSES[:, None]):
        task = tensor_task((X, y), kind="classification")
        assert (task.y.dtype, task.y.tolist()) == (np.int64, CLASSES.tolist())


def test_what_is_odd_in_the_inputs_is_told():
    images = X.astype(np.uint8)
    for data in ((images, CLASSES), list(zip(images, CLASSES, strict=True))):
        task = tensor_task(data)
        assert task.notes == ["uint8 inputs were converted to float32, not scaled."]
        taken = Examples(task, [0]).take(torch.tensor([[1, 5]]))[0]
        assert (taken.dtype, taken[0].tolist()) == (torch.float32, images[[1, 5]].tolist())
    broken = X.copy()
    broken[3, 0] = np.nan
    assert tensor_task((broken, CLASSES)).notes == [
        "X has NaN or infinite values in 1 of 40 examples."
    ]


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        (lambda label: bool(label > 1), "classification"),
        (np.int32, "classification"),
        (lambda label: np.array([label]), "classification"),
        (float, "classification"),
        (int, "regression"),
    ],
)
def test_targets_of_a_data_set_are_those_of_its_task(target, kind):
    data = [(x, target(label)) for x, label in zip(X, CLASSES, strict=True)]
    task = tensor_task(data, kind)
    rows = torch.arange(40)[None]
    y = Examples(task, [0]).take(rows)[1]
    assert y.dtype == (torch.int64 if kind == "classification" else torch.float32)
    assert np.array_equal(y[0].numpy(), task.y)


def test_whole_numbers_may_be_a_regression():
    assert tensor_task((X, CLASSES), "regression").y.dtype == np.float32


def test_the_class_of_a_data_set_is_called():
    class Pairs:
        def __len__(self):
            return 40

        def __getitem__(self, row):
            return X[row], CLASSES[row]

    task = make_task(Pairs, None, None, None, None, is_table=False)
    assert (task.name, len(task.y)) == ("Pairs", 40)


@pytest.mark.parametrize("sparse", [torch.Tensor.to_sparse, scipy.sparse.csr_matrix])
def test_sparse_inputs_become_dense(sparse):
    x = torch.tensor(X[:, 0], dtype=torch.float32)
    assert np.array_equal(tensor_task((sparse(x), CLASSES)).X, x)
    assert load_task((sparse(x), CLASSES)).fingerprint == load_task((x, CLASSES)).fingerprint


@pytest.mark.parametrize("items", [[np.ones(2), np.ones(3)] * 20, [None] * 40])
def test_items_that_make_no_batch_are_told(items):
    task = tensor_task(list(zip(items, CLASSES, strict=True)))
    with pytest.raises(
        ValueError, match=r"should be tensors or arrays of the same shape, failed: "
    ):
        Examples(task, [0]).take(torch.arange(2)[None])


def test_data_sets_are_told_apart_by_some_of_their_items():
    class Scaled:
        def __init__(self, scale):
            self.scale, self.noise = scale, 0.0

        def __len__(self):
            return 40

        def __getitem__(self, row):
            if not 0 <= row < 40:
                raise IndexError(row)
            self.noise += self.scale == "drawn"
            factor = self.noise if self.scale == "drawn" else self.scale
            return torch.tensor(X[row] * factor), int(CLASSES[row])

    one, same, other, drawn, again = (
        tensor_task(Scaled(scale)).fingerprint for scale in (1, 1, 2, "drawn", "drawn")
    )
    assert one == same != other
    assert drawn == again != one


def test_fingerprints_tell_data_apart():
    task = tensor_task((X, CLASSES))
    assert task.fingerprint == tensor_task((X.copy(), CLASSES)).fingerprint
    assert task.fingerprint != tensor_task((X + 1, CLASSES)).fingerprint
    assert task.fingerprint != dataclasses.replace(task, kind="custom").fingerprint


class Counted:
    """Items that count how often they are read."""

    def __init__(self, label=lambda row: int(CLASSES[row]), **attributes):
        self.reads, self._label = 0, label
        vars(self).update(attributes)

    def __len__(self):
        return 40

    def __getitem__(self, row):
        if not 0 <= row < 40:
            raise IndexError(row)
        self.reads += 1
        return X[row], self._label(row)


@pytest.mark.parametrize(
    "held",
    [CLASSES, CLASSES.tolist(), torch.tensor(CLASSES)],
    ids=["array", "list", "tensor"],
)
@pytest.mark.parametrize("name", ["targets", "labels"])
def test_targets_that_a_data_set_holds_are_not_read_item_by_item(name, held, monkeypatch):
    monkeypatch.setitem(tensor_task.__globals__, "MOST_TRIED", 4)
    whole = Counted(**{name: held})
    assert tensor_task(whole).y.tolist() == CLASSES.tolist()
    assert whole.reads <= 9
    part = Subset(whole, range(39, 9, -1))
    assert tensor_task(part).y.tolist() == CLASSES[:9:-1].tolist()
    two = ConcatDataset([part, whole])
    assert tensor_task(two).y.tolist() == [*CLASSES[:9:-1], *CLASSES]
    assert whole.reads <= 30


@pytest.mark.parametrize(
    ("label", "held"),
    [
        (lambda row: int(CLASSES[row]) % 3, CLASSES),  # one class is changed
        (lambda row: float(CLASSES[row]), CLASSES),  # a regression
        (lambda row: [int(CLASSES[row])], CLASSES),
        (lambda row: int(CLASSES[row]), CLASSES[:-1]),
        (lambda row: int(CLASSES[row]), [[1], [1, 2]] * 20),
        (lambda row: int(CLASSES[row]), ["a", "b"] * 20),
        (lambda row: int(CLASSES[row]), None),
    ],
)
def test_targets_that_are_not_those_of_the_items_are_read(label, held):
    task = tensor_task(Counted(label, targets=held))
    expected = tensor_task(Counted(label))
    assert np.array_equal(task.y, expected.y)
    assert task.kind == expected.kind


def test_columns_are_dropped_of_tables_only():
    table = pd.DataFrame({"a": X[:, 0, 0], "b": X[:, 0, 1] ** 2, "y": CLASSES})
    task = make_task(table, "y", None, None, None, False, drop="a")
    assert task.X.shape == (40, 1)
    with pytest.raises(ValueError, match="drop 'a' names columns, but data is not a table"):
        make_task((X, CLASSES), None, None, None, None, False, drop="a")


def test_a_model_of_ones_own_gets_frames_and_bunches():
    columns = {"a": X[:, 0, 0].tolist(), "y": CLASSES.tolist()}
    for data in (pa.table(columns), columns):
        assert make_task(data, "y", None, None, None, False).is_table
    task = make_task(Bunch(data=X, target=CLASSES), None, None, None, None, False)
    assert task.X.shape == X.shape


def test_arrays_of_another_order_of_bytes_and_masked_ones():
    expected = tensor_task((X, CLASSES))
    swapped = tensor_task((X.astype(">f8"), CLASSES.astype(">i4")))
    assert swapped.fingerprint == expected.fingerprint
    masked = tensor_task((np.ma.masked_greater(X, 230), CLASSES))
    assert np.array_equal(masked.X, np.where(X > 230, np.nan, X), equal_nan=True)
    assert "X has NaN or infinite values in 2 of 40 examples." in masked.notes
