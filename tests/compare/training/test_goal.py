"""Losses and scores of several networks at once, against PyTorch and scikit-learn one by one."""

import dataclasses
import functools
import math

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, r2_score
from torch import nn
from torch.nn import functional as F  # noqa: N812

from leakyrelu._compare.data.metrics import named_metric
from leakyrelu._compare.data.task import Task
from leakyrelu._compare.training.goal import Judge, losses

X = np.zeros((20, 1), dtype=np.float32)


def task_of(kind, y, **functions):
    return Task("own", kind, X, y, ["0", "1", "2"], is_table=False, **functions)


def judged(task, outputs, targets):
    judge = Judge(task)
    for part in (slice(0, 15), slice(15, 20)):
        judge.add(outputs[:, part], targets[:, part])
    return judge.results()


@pytest.mark.parametrize("positions", [(), (4,)])
def test_classification(positions):
    outputs, targets = torch.randn(2, 20, 3, *positions), torch.randint(0, 3, (2, 20, *positions))
    task = task_of("classification", targets[0].numpy())
    scores, means = judged(task, outputs, targets)
    for network in (0, 1):
        expected = F.cross_entropy(outputs[network], targets[network])
        assert means[network] == pytest.approx(expected.item(), rel=1e-5)
        assert losses(task, outputs, targets)[network] == pytest.approx(expected.item(), rel=1e-5)
        right = accuracy_score(targets[network].flatten(), outputs[network].argmax(1).flatten())
        assert scores[network] == pytest.approx(right)


@pytest.mark.parametrize("shape", [(), (1,), (3,)])
def test_regression(shape):
    outputs, targets = torch.randn(2, 20, *(shape or (1,))), torch.randn(2, 20, *shape)
    scores, means = judged(task_of("regression", targets[0].numpy()), outputs, targets)
    for network in (0, 1):
        y, predicted = (part[network].reshape(20, -1) for part in (targets, outputs))
        assert means[network] == pytest.approx(F.mse_loss(predicted, y).item(), rel=1e-5)
        expected = r2_score(y, predicted, multioutput="variance_weighted")
        assert scores[network] == pytest.approx(expected, rel=1e-4)


def test_own_loss_and_metric():
    outputs, targets = torch.randn(2, 20, 3), torch.randint(0, 3, (2, 20))

    def loss(output, target):
        return F.cross_entropy(output, target, label_smoothing=0.2)

    def top_2(output, target):
        return (output.topk(2).indices == target[:, None]).any(1).float().mean()

    own = task_of("custom", targets[0].numpy(), loss=loss)
    scores, means = judged(own, outputs, targets)
    expected = [loss(outputs[network], targets[network]).item() for network in (0, 1)]
    assert means == pytest.approx(expected, rel=1e-5)
    assert scores == pytest.approx([-each for each in expected], rel=1e-5)
    scores, _ = judged(task_of("custom", X, loss=loss, metric=top_2), outputs, targets)
    assert scores == [top_2(outputs[0], targets[0]).item(), top_2(outputs[1], targets[1]).item()]


def test_a_loss_that_is_not_finite_has_no_score():
    outputs, targets = torch.randn(2, 20, 3), torch.randint(0, 3, (2, 20))
    outputs[1, 3] = torch.inf
    scores, means = judged(task_of("classification", targets[0].numpy()), outputs, targets)
    assert np.isnan([scores[1], means[1]]).all()
    assert np.isfinite([scores[0], means[0]]).all()


def test_outputs_that_fit_no_target():
    with pytest.raises(ValueError, match=r"outputs have shape \(3,\).* but the targets \(2,\)"):
        losses(task_of("regression", X), torch.zeros(1, 5, 3), torch.zeros(1, 5, 2))


def test_a_metric_is_in_the_unit_of_the_user():
    def error(outputs, targets):
        return -(outputs - targets).abs().mean()

    outputs, targets = torch.randn(2, 20), torch.randn(2, 20)
    task = task_of("regression", targets[0].numpy(), metric=error, center=1e5, scale=3e4)
    for score, *pair in zip(judged(task, outputs, targets)[0], outputs, targets, strict=True):
        assert score == pytest.approx(3e4 * error(*pair).item(), rel=1e-3)


@pytest.mark.parametrize("what", ["loss", "metric"])
@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda *_: None, "returned a NoneType, but should return one number"),
        (lambda *_: torch.ones(3), r"returned a Tensor of shape \(3,\), but should return one"),
        (lambda *_: np.ones(3), r"returned a ndarray of shape \(3,\), but should return one"),
        (lambda *_: "0.5", "returned a str, but should return one number"),
        (lambda *_: [][1], r"failed: IndexError: list index out of range"),
    ],
)
def test_what_is_no_number_is_told(what, answer, message):
    task = task_of("regression", np.zeros(20), **{what: answer})
    with pytest.raises(ValueError, match=rf"^{what} <lambda>\(\) {message}"):
        judged(task, torch.zeros(1, 20), torch.zeros(1, 20))


def test_too_few_outputs_for_the_classes_are_told():
    y = torch.full((1, 20), 7)
    task = task_of("classification", y[0].numpy())
    with pytest.raises(ValueError, match=r"3 outputs, but class indices go up to 7; give it 8"):
        judged(task, torch.zeros(1, 20, 3), y)
    task = task_of("classification", np.full(20, 9))
    with pytest.raises(ValueError, match="or kind='regression' if these are not classes"):
        judged(task, torch.zeros(1, 20, 1), torch.full((1, 20), 9))


@pytest.mark.parametrize(
    ("outputs", "targets", "message"),
    [
        ((20, 3), (20, 3), r"but the model's have shape \(3,\); give y.argmax"),
        ((20, 4, 3), (20, 4), r"\(4,\) .* need outputs of shape \(classes, 4\), .* \(4, 3\)"),
        ((20,), (20,), r"need outputs of shape \(classes\), but the model's have shape \(\)$"),
    ],
)
def test_outputs_that_are_not_one_for_each_class_are_told(outputs, targets, message):
    y = torch.zeros(1, *targets, dtype=torch.int64)
    with pytest.raises(ValueError, match=message):
        judged(task_of("classification", y[0].numpy()), torch.zeros(1, *outputs), y)


def test_a_loss_that_needs_other_targets_tells_what_it_got():
    task = task_of("custom", X, loss=F.binary_cross_entropy_with_logits)
    message = (
        r"^loss binary_cross_entropy_with_logits\(\) failed: .*; outputs are float32 of shape "
        r"\(20, 3\), targets int64 of shape \(20, 3\); .* give y as float"
    )
    with pytest.raises(ValueError, match=message):
        losses(task, torch.zeros(1, 20, 3), torch.zeros(1, 20, 3, dtype=torch.int64))


@pytest.mark.parametrize("loss", [F.cross_entropy, nn.CrossEntropyLoss(torch.ones(20))])
def test_cross_entropy_is_not_of_single_values(loss):
    """PyTorch would take the examples for classes of one."""
    task = task_of("custom", X, loss=loss)
    with pytest.raises(ValueError, match="needs one output per class"), torch.no_grad():
        losses(task, torch.randn(1, 20, 1), torch.rand(1, 20))


@pytest.mark.parametrize("networks", [1, 3])
def test_one_number_may_have_an_axis(networks):
    task = task_of("custom", X, loss=lambda o, t: (o - t).square().mean(0, keepdim=True))
    outputs, targets = torch.randn(networks, 20), torch.randn(networks, 20)
    expected = (outputs - targets).square().mean(1)
    torch.testing.assert_close(losses(task, outputs, targets), expected)
    assert judged(task, outputs, targets)[1] == pytest.approx(expected.tolist())


def test_a_table_has_an_output_for_each_class():
    task = dataclasses.replace(task_of("custom", X, loss=F.mse_loss), is_table=True)
    message = r"outputs are float32 of shape \(20, 3\), .* a table's classes have one output each"
    with pytest.raises(ValueError, match=message), torch.no_grad():
        losses(task, torch.zeros(1, 20, 3), torch.zeros(1, 20, dtype=torch.int64))


def test_a_loss_without_a_gradient_is_told():
    task = task_of("custom", X, loss=lambda outputs, targets: outputs.mean().item())
    with pytest.raises(ValueError, match="without a gradient"):
        losses(task, torch.zeros(1, 20, 3, requires_grad=True), torch.zeros(1, 20))
    assert losses(task, torch.ones(1, 20, 3), torch.zeros(1, 20)).tolist() == [1]


@pytest.mark.parametrize("number", [2, 2.0, np.float64(2), np.array(2), torch.tensor([2]), True])
def test_a_number_may_be_of_any_library(number):
    task = task_of("regression", np.zeros(20), metric=lambda *_: number)
    assert judged(task, torch.zeros(1, 20), torch.zeros(1, 20))[0] == [float(number)]


# --- One shape for outputs and targets ---------------------------------------------------------

# Shapes of an example's outputs and targets that are the same but for axes of one value.
SAME = [
    ((), ()),
    ((1,), ()),
    ((), (1,)),
    ((1,), (1,)),
    ((3,), (3,)),
    ((3, 1), (3,)),
    ((1, 3), (3,)),
]
SAME += [((1, 4, 5), (4, 5)), ((4, 5), (1, 4, 5)), ((1, 3), (3, 1)), ((4, 1), (1, 4)), ((1, 1), ())]


def mean_square(outputs, targets):
    return ((outputs - targets) ** 2).mean()


@pytest.mark.parametrize("networks", [1, 3])
@pytest.mark.parametrize(("found", "wanted"), SAME)
@pytest.mark.parametrize("loss", [F.mse_loss, nn.MSELoss(), mean_square])
def test_the_built_in_loss_is_the_same_where_the_user_gives_it(networks, found, wanted, loss):
    targets = torch.randn(networks, 20, *wanted)
    given = {}
    for kind, own in (("built in", None), ("own", loss)):
        outputs = torch.randn(networks, 20, *found, generator=torch.Generator().manual_seed(1))
        outputs.requires_grad_()
        task = task_of("regression", targets[0].numpy(), loss=own)
        losses(task, outputs, targets).sum().backward()
        given[kind] = outputs.grad, judged(task, outputs.detach(), targets)
    assert torch.equal(given["built in"][0], given["own"][0])
    assert given["built in"][1] == given["own"][1]
    for network in range(networks):
        y, predicted = (x[network].detach().reshape(20, -1) for x in (targets, outputs))
        expected = r2_score(y, predicted, multioutput="variance_weighted")
        assert given["own"][1][0][network] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("networks", [1, 3])
@pytest.mark.parametrize("positions", [(), (4,), (2, 3)])
@pytest.mark.parametrize("channel", [(), (1,)])
def test_cross_entropy_is_the_same_where_the_user_gives_it(networks, positions, channel):
    outputs = torch.randn(networks, 20, 5, *positions)
    targets = torch.randint(0, 5, (networks, 20, *channel, *positions))
    own = task_of("classification", targets[0].numpy(), loss=F.cross_entropy)
    built_in = dataclasses.replace(own, loss=None)
    gradients = []
    for task in (built_in, own):
        given = outputs.clone().requires_grad_()
        losses(task, given, targets).sum().backward()
        gradients.append(given.grad)
    assert torch.equal(*gradients)
    assert judged(built_in, outputs, targets)[0] == judged(own, outputs, targets)[0]


@pytest.mark.parametrize("networks", [1, 3])
@pytest.mark.parametrize(("found", "wanted"), SAME)
@pytest.mark.parametrize(
    "loss",
    [F.binary_cross_entropy_with_logits, nn.L1Loss(), nn.HuberLoss(), F.poisson_nll_loss],
)
def test_losses_and_metrics_of_any_shape_are_those_of_one(networks, found, wanted, loss):
    outputs = torch.randn(networks, 20, *found)
    targets = torch.randint(0, 2, (networks, 20, *wanted)).float()
    expected = [
        loss(o.flatten(), t.flatten()).item() for o, t in zip(outputs, targets, strict=True)
    ]
    task = task_of("custom", targets[0].numpy(), loss=loss, metric=lambda o, t: -mean_square(o, t))
    scores, means = judged(task, outputs, targets)
    assert means == pytest.approx(expected, rel=1e-5)
    square = (outputs.reshape(networks, -1) - targets.reshape(networks, -1)).square().mean(1)
    assert scores == pytest.approx((-square).tolist(), rel=1e-5)


@pytest.mark.parametrize(
    "loss",
    [
        lambda o, t: ((o - t[:, None]) ** 2).mean(),
        lambda o, t: (t.unsqueeze(-1) - o).abs().mean(),
        lambda o, t: F.mse_loss(o[:, None], t),
        lambda o, t: F.poisson_nll_loss(o, t.reshape(-1, 1)),
        lambda o, t: F.huber_loss(o.exp(), 2 * t[None].T),
    ],
)
@pytest.mark.parametrize("role", ["loss", "metric"])
def test_outputs_that_meet_the_targets_of_others_are_refused(loss, role):
    task = task_of("custom", np.zeros(20), **{"loss": F.mse_loss, role: loss})
    message = rf"{role} .*outputs of shape .* targets of shape .*float32 of shape \((15|20),\)"
    with pytest.raises(ValueError, match=message), torch.no_grad():
        judged(task, torch.randn(1, 20, 1), torch.randn(1, 20))


@pytest.mark.parametrize(
    ("found", "wanted"), [((1,), (3,)), ((3,), ()), ((3,), (1,)), ((2, 3), (3,))]
)
def test_what_has_other_numbers_of_values_is_refused_as_built_in(found, wanted):
    outputs, targets = torch.randn(1, 20, *found), torch.randn(1, 20, *wanted)
    for loss in (None, F.mse_loss, nn.L1Loss()):
        with pytest.raises(ValueError, match="shape"):
            judged(task_of("regression", targets[0].numpy(), loss=loss), outputs, targets)


@pytest.mark.parametrize(
    "loss",
    [
        # Pairs of examples, quantiles, several distances: all of them enlarge, and mean to.
        lambda o, t: ((o[:, None] - o) - (t[:, None] - t)).square().mean(),
        lambda o, t: F.relu((o[:, None] - t[:, None]) * torch.tensor([0.1, 0.5, 0.9])).mean(),
        lambda o, t: (o[:, None] - t[:, None]).square().sum(1).mean() + o.square().mean(),
        lambda o, t: torch.cat([o[:, None], t[:, None]], 1).var(1).mean(),
    ],
)
def test_what_enlarges_on_purpose_is_computed(loss):
    outputs, targets = torch.randn(1, 20, 1), torch.randn(1, 20)
    task = task_of("custom", np.zeros(20), loss=loss)
    _, (mean,) = judged(task, outputs, targets)
    parts = [loss(outputs[0, own, 0], targets[0, own]) for own in (slice(15), slice(15, 20))]
    assert mean == pytest.approx((15 * parts[0] + 5 * parts[1]).item() / 20, rel=1e-5)


def test_a_loss_may_take_outputs_of_another_shape():
    """Mean and variance, quantiles, soft labels, classes of a loss of one's own."""
    outputs, y = torch.randn(1, 20, 2), torch.randn(1, 20)
    task = task_of(
        "custom", np.zeros(20), loss=lambda o, t: F.gaussian_nll_loss(o[:, 0], t, o[:, 1].exp())
    )
    _, (mean,) = judged(task, outputs, y)
    expected = F.gaussian_nll_loss(outputs[0, :, 0], y[0], outputs[0, :, 1].exp())
    assert mean == pytest.approx(expected.item(), rel=1e-5)
    soft = torch.randn(1, 20, 2).softmax(2)
    _, (mean,) = judged(task_of("custom", X, loss=F.cross_entropy), outputs, soft)
    assert mean == pytest.approx(F.cross_entropy(outputs[0], soft[0]).item(), rel=1e-5)


# --- Scores that are not defined, and classes that do not count -------------------------------


def test_r2_of_targets_that_are_all_equal_is_undefined():
    outputs, targets = torch.randn(3, 20, 2), torch.randn(3, 20, 2)
    targets[0], targets[1, :, 0] = 0.1, 0.1
    scores, means = judged(task_of("regression", targets[1].numpy()), outputs, targets)
    assert np.isnan(scores).tolist() == [True, False, False]
    assert np.isfinite(means).all()


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_metric_without_a_number_is_undefined_beside_its_loss(number):
    task = task_of("regression", np.zeros(20), metric=lambda *_: number)
    (score,), (mean,) = judged(task, torch.zeros(1, 20), torch.zeros(1, 20))
    assert math.isnan(score)
    assert mean == 0


def test_a_metric_is_not_asked_of_what_has_diverged():
    def strict(outputs, targets):
        assert outputs.isfinite().all()
        return 0.5

    outputs = torch.zeros(2, 20)
    outputs[0, 3] = torch.nan
    scores, means = judged(task_of("regression", X, metric=strict), outputs, torch.zeros(2, 20))
    assert np.isnan([scores[0], means[0]]).all()
    assert (scores[1], means[1]) == (0.5, 0)


@pytest.mark.parametrize(
    "loss",
    [nn.CrossEntropyLoss(ignore_index=7), functools.partial(F.cross_entropy, ignore_index=7)],
)
@pytest.mark.parametrize("positions", [(), (4,)])
def test_classes_that_the_loss_ignores_do_not_count(loss, positions):
    outputs = torch.randn(2, 20, 3, *positions)
    targets = torch.randint(0, 3, (2, 20, *positions))
    targets[:, ::3] = 7
    scores, _ = judged(task_of("classification", targets[0].numpy(), loss=loss), outputs, targets)
    for score, o, t in zip(scores, outputs, targets, strict=True):
        assert score == pytest.approx(accuracy_score(t[t != 7], o.argmax(1)[t != 7]), abs=1e-6)


def test_accuracy_of_nothing_is_undefined():
    targets = torch.full((1, 20), -100)
    task = task_of("classification", targets[0].numpy(), loss=lambda o, t: o.square().mean())
    (score,), (mean,) = judged(task, torch.randn(1, 20, 3), targets)
    assert math.isnan(score)
    assert math.isfinite(mean)


def test_one_logit_makes_no_accuracy():
    def binary(outputs, targets):
        return F.binary_cross_entropy_with_logits(outputs, targets.float())

    targets = torch.randint(0, 2, (1, 20))
    targets[0, 0] = 1
    task = task_of("classification", targets[0].numpy(), loss=binary)
    for shape in ((20, 1), (20,)):
        with pytest.raises(ValueError, match=r"give it 2 outputs|need outputs"):
            judged(task, torch.randn(1, *shape), targets)


@pytest.mark.parametrize("center", [0.0, 1e5, -3e9, 1.7e12])
@pytest.mark.parametrize("metric", [named_metric("mae"), lambda o, y: -(o - y).abs().mean()])
def test_scores_in_the_unit_of_the_data_are_exact_far_from_zero(center, metric):
    outputs, targets = torch.randn(1, 20, 1), torch.randn(1, 20)
    task = dataclasses.replace(
        task_of("regression", targets[0].numpy(), metric=metric), center=center, scale=10.0
    )
    (score,), _ = judged(task, outputs, targets)
    expected = -10 * np.abs(outputs[0, :, 0].double().numpy() - targets[0].double().numpy()).mean()
    assert score == pytest.approx(expected, rel=1e-3)


# --- Results of each example ----------------------------------------------------------------------


def judged_by_example(task, outputs, targets, numbers=None):
    judge = Judge(task, keeps=True)
    for part in torch.arange(outputs.shape[1]).split(7):
        judge.add(outputs[:, part], targets[:, part])
    scores = judge.results()[0]
    rows = np.tile(np.arange(outputs.shape[1]), (len(outputs), 1)) if numbers is None else numbers
    found = judge.by_example(rows, scores)
    for values, score in zip(found, scores, strict=True):
        assert values.mean() == pytest.approx(score, abs=1e-6)
    return found


def test_accuracy_is_right_or_wrong_by_example():
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(3, 30, 4, generator=generator)
    y = torch.randint(0, 4, (3, 30), generator=generator)
    task = Task("own", "classification", y[0].numpy(), y[0].numpy(), list("abcd"), is_table=False)
    found = judged_by_example(task, outputs, y)
    assert np.array_equal(found, (outputs.argmax(2) == y).numpy())


def test_of_positions_it_is_the_share_that_is_right():
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(2, 30, 3, 5, generator=generator)
    y = torch.randint(0, 3, (2, 30, 5), generator=generator)
    task = Task("own", "classification", y[0].numpy(), y[0].numpy(), list("abc"), is_table=False)
    right = (outputs.argmax(2) == y).double()
    assert np.allclose(judged_by_example(task, outputs, y), right.mean(2))
    y[:, :, :2][y[:, :, :2] == 0] = -100  # positions that do not count
    counts = y != -100
    right = ((outputs.argmax(2) == y) & counts).double()
    for network, values in enumerate(judged_by_example(task, outputs, y)):
        score = right[network].sum() / counts[network].sum()
        # The derivative of the score by the weight of an example, by finite differences.
        for example in (0, 13):
            weight = torch.ones(30, dtype=torch.double)
            weight[example] += 1e-6
            top, bottom = ((weight * part[network].sum(1)).sum() for part in (right, counts))
            slope = (top / bottom - score) / 1e-6
            assert values[example] - score == pytest.approx(30 * float(slope), abs=1e-4)


@pytest.mark.parametrize("examples", [40, 120])
def test_of_r2_examples_are_left_out(examples):
    generator = torch.Generator().manual_seed(0)
    y = torch.randn(1, examples, generator=generator)
    outputs = (y + 0.5 * torch.randn(1, examples, generator=generator))[..., None]
    task = Task("own", "regression", y[0].numpy(), y[0].numpy(), is_table=False)
    (found,) = judged_by_example(task, outputs, y)
    a, b = y[0].double().numpy(), outputs[0, :, 0].double().numpy()

    def r2(kept):
        return 1 - ((a - b)[kept] ** 2).sum() / ((a[kept] - a[kept].mean()) ** 2).sum()

    everything = np.arange(examples)
    blocks = everything % 50 if examples > 50 else everything
    assert task.info.blocks == (50 if examples * 0.2 > 50 else 0)
    expected = np.array(
        [
            r2(everything)
            + ((blocks != b).sum() / (blocks == b).sum())
            * (r2(everything) - r2(everything[blocks != b]))
            for b in blocks
        ]
    )
    expected += r2(everything) - expected.mean()
    assert found == pytest.approx(expected, abs=1e-5)


def test_a_metric_that_refuses_what_is_left_is_not_known_by_example():
    def needs_all(outputs, targets):
        if len(outputs) < 30:
            raise ValueError("too few")
        return float((outputs - targets).mean())

    y = torch.randn(1, 30)
    task = Task("own", "regression", y[0].numpy(), y[0].numpy(), is_table=False, metric=needs_all)
    judge = Judge(task, keeps=True)
    judge.add(y[..., None] + 1, y)
    scores, _ = judge.results()
    assert scores == pytest.approx([1.0])
    assert np.isnan(judge.by_example(np.arange(30)[None], scores)).all()


def test_a_loss_of_ones_own_is_left_out_of_example_by_example():
    y = torch.randn(1, 30, generator=torch.Generator().manual_seed(0))
    outputs = 2 * y[..., None]

    def loss(outputs, targets):
        return (outputs - targets).abs().mean()

    task = Task("own", "custom", y[0].numpy(), y[0].numpy(), is_table=False, loss=loss)
    (found,) = judged_by_example(task, outputs, y)
    assert found == pytest.approx(-y[0].abs().numpy(), abs=1e-5)
