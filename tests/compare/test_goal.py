"""Losses and scores of several networks at once, against PyTorch and scikit-learn one by one."""

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, r2_score
from torch.nn import functional as F  # noqa: N812

from leakyrelu.compare.goal import Judge, losses
from leakyrelu.compare.task import Task

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
    with pytest.raises(ValueError, match=r"3 outputs, but class numbers go up to 7; it needs 8"):
        judged(task, torch.zeros(1, 20, 3), y)
    task = task_of("classification", np.full(20, 9))
    with pytest.raises(ValueError, match="or kind='regression' if these are no classes"):
        judged(task, torch.zeros(1, 20, 1), torch.full((1, 20), 9))


@pytest.mark.parametrize(
    ("outputs", "targets", "message"),
    [
        ((20, 3), (20, 3), r"but the model's have \(3,\); give y.argmax"),
        ((20, 4, 3), (20, 4), r"\(4,\) .* need outputs of shape \(classes, 4\), .* have \(4, 3\)"),
        ((20,), (20,), r"need outputs of shape \(classes\), but the model's have \(\)$"),
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


def test_a_loss_without_a_gradient_is_told():
    task = task_of("custom", X, loss=lambda outputs, targets: outputs.mean().item())
    with pytest.raises(ValueError, match="without a gradient"):
        losses(task, torch.zeros(1, 20, 3, requires_grad=True), torch.zeros(1, 20))
    assert losses(task, torch.ones(1, 20, 3), torch.zeros(1, 20)).tolist() == [1]


@pytest.mark.parametrize("number", [2, 2.0, np.float64(2), np.array(2), torch.tensor([2]), True])
def test_a_number_may_be_of_any_library(number):
    task = task_of("regression", np.zeros(20), metric=lambda *_: number)
    assert judged(task, torch.zeros(1, 20), torch.zeros(1, 20))[0] == [float(number)]
