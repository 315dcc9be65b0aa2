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
