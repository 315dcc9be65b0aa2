"""What the user brings is checked before anything is trained, and changes are noticed."""

import dataclasses
import functools
import time

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from leakyrelu.activations import parse
from leakyrelu.compare.recipe import fingerprint, make_recipe
from leakyrelu.compare.task import Task

TASK = Task("own", "regression", torch.zeros(30, 2).numpy(), torch.zeros(30).numpy())


def make(units=4):
    return nn.Sequential(nn.Linear(2, units), nn.GELU(), nn.Linear(units, 1))


def test_networks_have_the_activation_and_its_gain():
    recipe = make_recipe(make, None, None)
    gelu, leaky = (recipe.build(parse(spec), 7) for spec in ("gelu", "leaky_relu:0.5"))
    torch.manual_seed(7)
    assert torch.equal(gelu[0].weight, make()[0].weight)
    assert isinstance(leaky[1], nn.LeakyReLU)
    ratio = parse("leaky_relu:0.5").gain / parse("gelu").gain
    torch.testing.assert_close(leaky[0].weight, gelu[0].weight * ratio)
    assert torch.equal(leaky[2].weight, gelu[2].weight)


def test_making_a_network_leaves_the_generator_of_pytorch_alone():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    make_recipe(make, None, None).build(parse("relu"), 0)
    assert torch.equal(torch.rand(2), expected)


def test_names():
    assert make_recipe(make, None, None).name.endswith("test_recipe:make")
    assert make_recipe(functools.partial(make, 8), None, None).name.endswith("test_recipe:make")
    assert make_recipe(None, None, None).name is None


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (make(), "model is a network, but a new one is needed for every trial"),
        (3, "model is a int, but should be a function"),
        (lambda: 1 / 0, r"failed: ZeroDivisionError: division by zero"),
        (lambda: 5, r"returned a int, but should return a new torch.nn.Module"),
        (lambda: nn.Linear(1, 1), r"<lambda>\(\): model has no rectifier"),
        (
            lambda: nn.Sequential(nn.LazyLinear(1), nn.ReLU()),
            r"lazy layers, whose size .*: 0; give",
        ),
        (functools.cache(make), "returned the same network twice"),
    ],
)
def test_what_is_no_factory_is_refused(model, message):
    with pytest.raises(ValueError, match=message):
        make_recipe(model, None, None)


def test_what_is_out_of_reach_is_told():
    def helper(x):
        return F.relu(x)

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.below, self.act = nn.Linear(2, 2), nn.ReLU()

        def forward(self, x):
            return helper(self.act(self.below(x)))

    (note,) = make_recipe(Model, None, None).notes
    assert "left as it is" in note


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated")
def test_weights_that_can_not_be_scaled_are_told():
    def normed():
        return nn.Sequential(nn.utils.weight_norm(nn.Linear(2, 2)), nn.ReLU(), nn.Linear(2, 1))

    recipe = make_recipe(normed, None, None)
    assert "the initial weights of 0 stay as they are" in recipe.notes[0]
    assert isinstance(recipe.build(parse("elu"), 0)[1], nn.ELU)


def test_fingerprints_tell_recipes_apart():
    given = [
        (make, None, None),
        (functools.partial(make, 8), None, None),
        (make, torch.optim.SGD, None),
        (make, functools.partial(torch.optim.SGD, momentum=0.9), None),
        (make, None, torch.optim.lr_scheduler.CosineAnnealingLR),
    ]
    found = [fingerprint(TASK, make_recipe(*each)) for each in given]
    assert len(set(found)) == len(given)
    assert found == [fingerprint(TASK, make_recipe(*each)) for each in given]
    assert fingerprint(TASK, make_recipe(None, None, None)) is None


def test_fingerprints_tell_networks_and_losses_apart():
    class Scaled(nn.Sequential):
        def __init__(self, factor, *layers):
            super().__init__(*layers)
            self.factor = factor

    def recipe(factor, width=4):
        def scaled():
            return Scaled(factor, nn.Linear(2, width), nn.ReLU())

        return make_recipe(scaled, None, None)

    assert fingerprint(TASK, recipe(1.0)) == fingerprint(TASK, recipe(1.0))
    losses = [
        None,
        nn.MSELoss(),
        nn.MSELoss(reduction="sum"),
        nn.HuberLoss(),
        nn.HuberLoss(delta=2),
    ]
    found = {
        fingerprint(dataclasses.replace(TASK, loss=loss), recipe(*how))
        for loss in losses
        for how in ((1.0,), (2.0,), (1.0, 5))
    }
    assert len(found) == 3 * len(losses)


def test_a_network_with_the_time_in_it_is_known_by_its_code():
    def numbered():
        network = make()
        network.made_at = time.perf_counter_ns()
        return network

    recipe = make_recipe(numbered, None, None)
    assert fingerprint(TASK, recipe) == fingerprint(TASK, recipe)
