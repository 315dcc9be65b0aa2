"""Models that are run by other methods than forward are watched, or it is said which it was."""

import warnings

import pytest
import torch
from torch import nn

from leakyrelu import InputError, watch
from leakyrelu.health import HealthWarning

X = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))


class Policy(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.act, self.last = nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 1)
        self.linear.bias.data[[1, 4]] = -100

    def encode(self, x):
        return self.act(self.linear(x))

    def evaluate_actions(self, x):
        return self(x) + 1

    def forward(self, x):
        return self.last(self.encode(x))


CALLS = {
    "encode": lambda model: model.encode(X),
    "evaluate_actions": lambda model: model.evaluate_actions(X),
    "forward": lambda model: model.forward(X),
}


@pytest.mark.parametrize("name", CALLS)
def test_methods_are_watched(name):
    model = Policy()
    with watch(model, methods=[name], window=3, warn_above=1) as health:
        for _ in range(7):
            CALLS[name](model).sum().backward()
    assert health.step == 7
    assert health.layers[0].dead.nonzero().flatten().tolist() == [1, 4]
    assert not [key for key in vars(model) if key in CALLS]
    assert not model.linear._forward_pre_hooks


def test_a_method_of_a_part():
    model = nn.Sequential(Policy())
    with watch(model, methods=["0.evaluate_actions"], window=1, warn_above=1) as health:
        model[0].evaluate_actions(X).sum().backward()
    assert health.layers[0].layer == "0.act"


@pytest.mark.parametrize("name", ["encode", "forward"])
def test_a_method_that_is_not_watched_is_named(name):
    model = Policy()
    with watch(model, window=1):
        with pytest.warns(HealthWarning, match=f"its method {name}, .* methods=\\['{name}'\\]"):
            CALLS[name](model)
        CALLS[name](model)  # once is enough
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with watch(model, window=1, warn_above=1):
            model.evaluate_actions(X).sum().backward()


def test_bad_input():
    with pytest.raises(InputError, match="model has no method 'act_on'"):
        watch(Policy(), methods=["act_on"])
    with pytest.raises(InputError, match=r"methods must be a list of names, such as \['encode'\]"):
        watch(Policy(), methods="encode")
