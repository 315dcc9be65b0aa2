"""What the user brings is checked before anything is trained, and changes are noticed."""

import functools

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
        (lambda: nn.Linear(1, 1), "no rectifier"),
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


def test_fingerprints_tell_recipes_apart():
    def other_loss(outputs, targets):
        return outputs.sum()

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
