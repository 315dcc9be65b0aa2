"""Data as users have it: files, missing values, text, and what is refused."""

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
import torch

from leakyrelu.compare.data import load_task


def people(rows=60):
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "age": rng.uniform(18, 80, rows).round(1),
            "born": 1_600_000_000.0 + rng.uniform(0, 1000, rows),
            "city": rng.choice(["Rome", "Oslo", "Lima"], rows),
            "member": rng.random(rows) < 0.5,
            "answer": rng.choice(["no", "yes"], rows),
            "income": rng.normal(1000, 100, rows),
        }
    )


def test_digits_are_the_default():
    task = load_task()
    assert task.X.shape == (1797, 64)
    assert (task.kind, len(task.classes)) == ("classification", 10)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_table_file(tmp_path, ending):
    table = people()
    table.loc[3, "age"] = np.nan
    table.loc[4, "city"] = None
    path = tmp_path / f"people.{ending}"
    table.to_csv(path, index=False) if ending == "csv" else table.to_parquet(path)
    task = load_task(path, "answer")
    assert (task.kind, task.classes, task.name) == ("classification", ["no", "yes"], path.name)
    # age, age is missing, born, four cities with "(missing)", member, income
    assert task.X.shape[1] == 9
    assert np.isnan(task.X[3]).sum() == 1
    assert any("'age' is missing in 1 rows" in note for note in task.notes)
    assert any("'city' is text" in note for note in task.notes)
    assert task.X[:, 2].std() == pytest.approx(1, abs=0.1)  # float32 alone would lose `born`


@pytest.mark.parametrize("separator", ";\t|")
def test_csv_with_another_separator(tmp_path, separator):
    people().to_csv(tmp_path / "people.csv", index=False, sep=separator)
    assert load_task(tmp_path / "people.csv", "answer").X.shape[1] == 8 - 1


def test_npz_with_images(tmp_path):
    rng = np.random.default_rng(0)
    images, labels = rng.random((40, 4, 4)), rng.integers(0, 3, 40)
    np.savez(tmp_path / "images.npz", images=images, size=np.arange(40), label=labels)
    task = load_task(tmp_path / "images.npz", "label")
    assert task.X.shape[1] == 17
    assert task.kind == "classification"


def test_frame_and_arrays_give_the_same_task():
    table = people()[["age", "income"]]
    from_frame = load_task(table, "income")
    from_arrays = load_task((table[["age"]].to_numpy(), table["income"].to_numpy()))
    assert from_frame.fingerprint == from_arrays.fingerprint


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ([0, 1] * 30, "classification"),
        ([0.0, 1.0, 2.0] * 20, "classification"),
        ([True, False] * 30, "classification"),
        (["a", "b"] * 30, "classification"),
        (list(range(60)), "regression"),
        ([0.5, 1.0] * 30, "regression"),
    ],
)
def test_kind_is_found_from_the_target(target, kind):
    task = load_task((np.arange(60.0), np.array(target)))
    assert task.kind == kind
    assert f"Taken as {kind}" in task.notes[0]


def test_kind_can_be_told():
    task = load_task((np.arange(60.0), np.arange(60) % 3), kind="regression")
    assert task.kind == "regression"
    assert abs(task.y.mean()) < 1e-6


def ends_with(column, values):
    table = people(len(values))
    table[column] = values
    return table


@pytest.mark.parametrize(
    ("table", "target", "message"),
    [
        (people(), None, "target is not named; choose one of the columns: age, born"),
        (people(), "incom", "no column 'incom'; did you mean 'income'"),
        (ends_with("answer", ["yes"] * 60), "answer", "one class only"),
        (ends_with("income", [1.5] * 60), "income", "the same value in every row"),
        (ends_with("answer", [f"a{i}" for i in range(60)]), "answer", "60 classes for 60 examples"),
        (ends_with("income", [np.nan] + [1.0] * 59), "income", r"missing \(NaN\) in 1 of 60 rows"),
        (ends_with("income", [np.inf] + [1.5] * 59), "income", "target has infinite"),
        (ends_with("age", [np.inf] + [1.5] * 59), "income", "'age' has infinite values"),
        (
            ends_with("city", [f"c{i}" for i in range(60)]),
            "income",
            "'city' has 60 different texts",
        ),
        (ends_with("born", pd.date_range("2020", periods=60)), "income", "'born' has dates"),
        (
            ends_with("age", ["?"] + ["1.5"] * 59),
            "income",
            "'age' has numbers and texts such as '?'",
        ),
        (people().rename(columns={"age": "city"}), "income", "several columns 'city'"),
        (people(), 3, "no column 3"),
        (people(), "AGE", "no column 'AGE'; did you mean 'age'"),
        (people(), ["age", "income"], r"no column \['age', 'income'\]"),
        (ends_with("born", np.arange(60) * 1j), "born", "target has complex numbers"),
        (people()[["income"]], "income", "no feature beside the target"),
        (people(10), "income", "10 examples are too few"),
        (people(0), "answer", "no rows"),
    ],
)
def test_unusable_data_is_refused(table, target, message):
    with pytest.raises(ValueError, match=message):
        load_task(table, target)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file"):
        load_task(tmp_path / "nothing.csv", "y")
    (tmp_path / "table.txt").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="should end in"):
        load_task(tmp_path / "table.txt", "b")
    for name in ("bad.parquet", "bad.npz", "bad.csv"):
        (tmp_path / name).write_bytes(b"\x00\xff not this" if name != "bad.csv" else b"")
        with pytest.raises(ValueError, match="can't be read"):
            load_task(tmp_path / name, "b")
    with pytest.raises(ValueError, match=r"bad.npz can't be read .*as numpy.save"):
        load_task(tmp_path / "bad.npz", "b")
    (tmp_path / "bad.npz").write_bytes(b"")
    with pytest.raises(ValueError, match="can't be read"):
        load_task(tmp_path / "bad.npz", "b")
    with (tmp_path / "one.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(ValueError, match="one array without a name"):
        load_task(tmp_path / "one.npz", "b")
    np.savez(tmp_path / "short.npz", x=np.zeros(3), y=np.zeros(4))
    with pytest.raises(ValueError, match=r"'x' has shape \(3,\), but the target has 4"):
        load_task(tmp_path / "short.npz", "y")


@pytest.mark.parametrize("data", [3, [1, 2], {"a": 1}])
def test_data_of_another_type(data):
    with pytest.raises(ValueError, match="is not understood; give a path"):
        load_task(data)


def test_numbers_that_are_categories_are_names():
    table = pd.DataFrame({"size": pd.Categorical([38, 40, 42] * 10), "y": [0, 1] * 15})
    assert load_task(table, "y").X.shape == (30, 3)


def test_numbers_kept_as_objects_are_numbers():
    halves = [i / 2 for i in range(30)]
    expected = load_task(pd.DataFrame({"x": halves, "y": [0, 1] * 15}), "y")
    for column in (list(map(Decimal, halves)), list(map(str, halves)), np.array(halves, object)):
        task = load_task(pd.DataFrame({"x": column, "y": [0, 1] * 15}), "y")
        assert task.fingerprint == expected.fingerprint


def test_dates_may_be_told_to_be_categories():
    table = pd.DataFrame({"when": pd.Categorical(["2024-1-1", "2024-1-2"] * 15), "y": [0, 1] * 15})
    assert load_task(table, "y").X.shape == (30, 2)


def test_a_column_of_targets_is_as_good_as_a_row():
    x, y = np.arange(30.0), np.arange(30) % 2
    assert load_task((x, y[:, None])).fingerprint == load_task((x, y)).fingerprint


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pd.to_timedelta(range(30), unit="D"), "dates or times"),
        (pd.period_range("2020", periods=30, freq="M"), "dates or times"),
        ([f"{i},5" for i in range(30)], "decimal commas"),
        ([f"2024-1-{1 + i % 5}" for i in range(30)], "dates or times"),
        ([f"{1 + i % 5}.1.2024" for i in range(30)], "dates or times"),
        ([datetime.date(2024, 1, 1 + i % 5) for i in range(30)], "dates or times"),
    ],
)
def test_what_is_no_feature_is_named(column, message):
    table = pd.DataFrame({"when": column, "y": [0, 1] * 15})
    with pytest.raises(ValueError, match=f"'when' has .*{message}"):
        load_task(table, "y")


def test_names_of_several_levels_are_refused():
    table = pd.DataFrame(np.ones((30, 2)), columns=pd.MultiIndex.from_product([["a"], ["b", "y"]]))
    with pytest.raises(ValueError, match="several levels"):
        load_task(table, "y")


def test_a_folder_is_no_table(tmp_path):
    with pytest.raises(ValueError, match="is a folder"):
        load_task(tmp_path, "y")


def test_tensors_that_need_a_gradient_are_a_table_too():
    x = torch.randn(30, 2, requires_grad=True)
    assert load_task((x, torch.arange(30) % 2)).X.shape == (30, 2)


def test_a_target_keeps_its_unit():
    y = np.linspace(1e5, 2e5, 30)
    task = load_task((np.ones((30, 1)), y))
    assert task.center + task.scale * task.y == pytest.approx(y)
    assert task.fingerprint != load_task((np.ones((30, 1)), y / 2)).fingerprint
