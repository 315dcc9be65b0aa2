"""What is not the same in a stack as alone is found, and trained alone."""

import dataclasses
import random

import numpy as np
import pytest
import torch
from torch import nn

from leakyrelu._compare.data.table_task import load_task
from leakyrelu._compare.data.tensor_task import tensor_task
from leakyrelu._compare.networks.recipe import Recipe, make_recipe
from leakyrelu._compare.settings import Batch, make_settings
from leakyrelu._compare.training.stackable import reason_against
from leakyrelu._compare.training.train import Experiment, train
from leakyrelu.activations import parse

X = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
EACH = [(0.01, 0), (0.01, 1), (0.003, 1)]
DIFFERENT = "a stack does not compute the same as the model alone"


def make():
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 1))


class Own(nn.Module):
    """A usual network, to be made unusual."""

    def __init__(self):
        super().__init__()
        self.body = make()

    def forward(self, x):
        return self.body(x)


def experiment_of(model=make, **recipe):
    task = tensor_task((X, X[:, :1]))
    settings = make_settings(task.fingerprint, ["relu", "elu"], 5, 2, 0.01, model="own")
    return Experiment(task, settings, make_recipe(model, recipe.get("optimizer"), None))


def reason(model=make, **recipe):
    return reason_against(experiment_of(model, **recipe), parse("relu"), EACH)


class Normalised(Own):
    """Its bias before a BatchNorm has no gradient but rounding."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1))


class RunningMean(Own):
    """A buffer that is assigned anew."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(4))

    def forward(self, x):
        if self.training:
            self.mean = 0.5 * self.mean + 0.5 * x.detach().mean(0)
        return self.body(x - self.mean)


class Projected(Own):
    """A buffer that differs from seed to seed, and is in no state_dict."""

    def __init__(self):
        super().__init__()
        self.register_buffer("directions", torch.randn(4, 4), persistent=False)

    def forward(self, x):
        return self.body(x @ self.directions)


@pytest.mark.parametrize("model", [make, Own, Normalised, RunningMean, Projected])
@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.SGD])
def test_nothing_speaks_against_usual_networks(model, optimizer):
    assert reason(model, optimizer=optimizer) == ""


@pytest.mark.parametrize("model", [Normalised, RunningMean, Projected])
def test_what_is_looked_at_is_of_each_network_too(model):
    experiment = experiment_of(model)
    (_, found) = train(experiment, Batch(parse("relu"), (0.01, 0.01), (0, 1)))
    (expected,) = train(experiment, Batch(parse("relu"), (0.01,), (1,)), stacked=False)
    for one, other in zip(found.history, expected.history, strict=True):
        assert one.train_loss == pytest.approx(other.train_loss, rel=2e-3)
        assert one.never_fired == other.never_fired
        assert one.gradient == pytest.approx(other.gradient, rel=2e-2)


def test_what_vmap_refuses():
    class Reading(Own):
        def forward(self, x):
            assert x.sum().item() != 0.123  # no number can be read of a stack
            return self.body(x)

    assert reason(Reading).startswith("can't be stacked: ")


def test_what_can_tell_that_it_is_stacked():
    class Sly(Own):
        def forward(self, x):
            return self.body(x) + (1.0 if torch._C._functorch.is_batchedtensor(x) else 0.0)

    assert reason(Sly) == DIFFERENT


def test_gradients_of_one_s_own():
    class Clamped(torch.autograd.Function):
        """Another gradient where it is stacked."""

        generate_vmap_rule = True

        @staticmethod
        def forward(x):
            return x.clone()

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.is_stacked = torch._C._functorch.is_batchedtensor(inputs[0])

        @staticmethod
        def backward(ctx, gradient):
            return gradient if ctx.is_stacked else gradient.clamp(-1e-4, 1e-4)

    class Own2(Own):
        def forward(self, x):
            return Clamped.apply(self.body(x))

    assert reason(Own2) != ""


def test_a_draw_of_its_own_that_is_no_buffer():
    class Shuffled(Own):
        def __init__(self):
            super().__init__()
            self.order = torch.randperm(4)

        def forward(self, x):
            return self.body(x[:, self.order])

    assert reason(Shuffled) == "order differs from seed to seed, but is not a parameter or buffer"


def test_what_counts_its_calls():
    class Counting(Own):
        calls = 0

        def forward(self, x):
            self.calls += 1
            return self.body(x) * (1 + 1 / self.calls)

    assert reason(Counting) == "it changes calls, which is not a parameter or buffer"


def test_hooks_of_parameters():
    def clamped():
        model = make()
        for p in model.parameters():
            p.register_hook(lambda gradient: gradient.clamp(-1e-4, 1e-4))
        return model

    assert reason(clamped) == "its parameters have hooks"


def test_optimizers_of_whole_networks():
    class Clipped(torch.optim.SGD):
        def step(self, closure=None):
            torch.nn.utils.clip_grad_norm_(self.param_groups[0]["params"], 1.0)
            return super().step(closure)

    def clip(optimizer, arguments, options):
        torch.nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], 1.0)

    def hooked(parameters, lr):
        optimizer = torch.optim.Adam(parameters, lr)
        optimizer.register_step_pre_hook(clip)
        return optimizer

    for optimizer in (Clipped, hooked):
        assert reason(optimizer=optimizer) == "the optimizer is not elementwise"


def reading(outputs, targets):
    square = (outputs - targets).square()
    return square.clamp(max=10.0).mean() if square.max().item() > 10 else square.mean()


def sly(outputs, targets):
    is_stacked = torch._C._functorch.is_batchedtensor(outputs)
    return (outputs - targets).abs().pow(1 if is_stacked else 2).mean()


@pytest.mark.parametrize(
    ("loss", "expected"),
    [(None, ""), (nn.functional.mse_loss, ""), (reading, "can't be stacked: "), (sly, DIFFERENT)],
)
def test_losses_of_one_s_own_on_a_table(loss, expected):
    task = load_task((X.numpy(), X[:, 0].numpy() ** 2))
    settings = make_settings(task.fingerprint, ["relu", "elu"], 5, 2, 0.01, depth=2, width=8)
    experiment = Experiment(dataclasses.replace(task, loss=loss), settings, Recipe())
    found = reason_against(experiment, parse("relu"), EACH)
    assert found.startswith(expected) if expected else found == ""


@pytest.mark.parametrize("draw", [np.random.random, random.random])
def test_draws_of_other_generators(draw):
    class Skipping(Own):
        def forward(self, x):
            return self.body(x) * (1.0 if not self.training or draw() < 0.999 else 0.5)

    assert reason(Skipping) == "training draws from NumPy's or Python's generator"
