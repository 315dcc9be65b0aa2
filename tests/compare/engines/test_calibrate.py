"""The way of training is one that works, and the faster of those that were measured."""

import dataclasses

import pytest
import torch
from torch import nn

from leakyrelu._compare.data.tensor_task import tensor_task
from leakyrelu._compare.engines import calibrate as module
from leakyrelu._compare.engines.calibrate import Way, calibrate
from leakyrelu._compare.networks.recipe import make_recipe
from leakyrelu._compare.settings import make_settings
from leakyrelu._compare.training.train import Experiment

X = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
KEYS = [(spec, 0.01, seed) for spec in ("relu", "elu") for seed in range(5)]


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr(module, "SECONDS", 0.01)


def make():
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 1))


def experiment_of(model=make, y=X[:, :1], **recipe):
    task = tensor_task((X, y))
    settings = make_settings(task.fingerprint, ["relu", "elu"], 5, 2, 0.01, model="own")
    return Experiment(task, settings, make_recipe(model, recipe.get("optimizer"), None))


def test_a_way_is_measured():
    way = calibrate(experiment_of(), KEYS)
    assert way.stack in (1, 4, 5)  # which is faster is up to the machine
    assert 0 < way.seconds <= way.seconds_alone
    assert (way.stack == 1) == (way.seconds == way.seconds_alone)
    assert str(way).startswith(f"stacks of {way.stack}: " if way.stacked else "one at a time: ")


def measured(monkeypatch, seconds):
    """Let stacks take so many seconds a step, by their size."""
    real = module._measure

    def pretend(experiment, batch, stacked):
        return seconds[len(batch)], real(experiment, batch, stacked)[1]

    monkeypatch.setattr(module, "_measure", pretend)


def test_the_faster_is_chosen(monkeypatch):
    measured(monkeypatch, {1: 2.0, 4: 1.0, 5: 1.2})
    assert calibrate(experiment_of(), KEYS) == Way(4, 1.0, 2.0)
    for slower in (2.5, 1.9):  # or hardly faster
        measured(monkeypatch, {1: 2.0, 4: 2.4, 5: slower})
        assert calibrate(experiment_of(), KEYS) == Way(1, 2.0, 2.0)


def test_stacks_fit_memory(monkeypatch):
    measured(monkeypatch, {1: 2.0, 4: 1.0, 5: 0.5})
    alone = module._measure(experiment_of(), module.Batch("relu", (0.01,), (0,)), False)[1]
    monkeypatch.setattr(module, "available_memory", lambda: 4.5 * alone / module.MEMORY_SHARE)
    assert calibrate(experiment_of(), KEYS).stack == 4


def test_a_model_that_does_not_fit_the_data_is_refused():
    wrong = experiment_of(lambda: nn.Sequential(nn.Linear(9, 8), nn.ReLU(), nn.Linear(8, 1)))
    with pytest.raises(ValueError, match=r"can't be trained on this data with .*shapes"):
        calibrate(wrong, KEYS)
    with pytest.raises(ValueError, match="outputs have shape"):
        calibrate(experiment_of(y=X), KEYS)

    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = make()

        def forward(self, x):
            return self.body(x), x

    with pytest.raises(ValueError, match="returns a tuple, but should return one tensor"):
        calibrate(experiment_of(Pair), KEYS)


def test_whole_numbers_that_a_loss_can_not_differentiate_are_told():
    task = tensor_task((X, (X[:, 0] > 0).long()), loss=nn.HuberLoss())
    experiment = dataclasses.replace(experiment_of(), task=task)
    with pytest.raises(ValueError, match="does the loss need y as float"):
        calibrate(experiment, KEYS)


class Unused(nn.Module):
    """Its activation is made, but forward computes without it."""

    def __init__(self):
        super().__init__()
        self.below, self.act, self.head = nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1)

    def forward(self, x):
        return self.head(self.hidden(self.below(x)))

    def hidden(self, x):
        return x


def rectified(x):
    return nn.functional.relu(x)


HIDDEN = {
    "linear": lambda self, x: x,
    "another": lambda self, x: nn.functional.hardswish(x),
    "out of reach": lambda self, x: rectified(x),
    "never so": lambda self, x: self.act(x) if len(x) > 10_000 else x,
}


@pytest.mark.parametrize("name", HIDDEN)
@pytest.mark.filterwarnings("ignore:left as it is")
def test_what_is_made_but_never_called_is_refused(name):
    model = type("Model", (Unused,), {"hidden": HIDDEN[name]})
    with pytest.raises(ValueError, match="act is never called in forward"):
        calibrate(experiment_of(model), KEYS)


def test_what_is_called_in_training_only_is_refused():
    class Model(Unused):
        def hidden(self, x):
            return self.act(x) if self.training else x

    with pytest.raises(ValueError, match="act is called only in training mode"):
        calibrate(experiment_of(Model), KEYS)


def test_one_of_several_may_be_unused():
    class Model(Unused):
        def hidden(self, x):
            return torch.relu(x)

    calibrate(experiment_of(Model), KEYS)


def test_a_metric_that_fails_is_told_before_training():
    def failing(outputs, targets):
        raise KeyError("no")

    experiment = experiment_of()
    task = dataclasses.replace(experiment.task, metric=failing)
    with pytest.raises(ValueError, match=r"metric failing\(\) failed: KeyError"):
        calibrate(dataclasses.replace(experiment, task=task), KEYS)
