"""What the user brings is checked before anything is trained, and changes are noticed."""

import dataclasses
import functools
import random
import secrets
import time

import numpy as np
import pytest
import scipy.stats
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from leakyrelu._compare.data.task import Task
from leakyrelu._compare.networks.recipe import fingerprint, make_recipe
from leakyrelu.activations import parse

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
        (make(), "model is a network, but every trial needs a new one"),
        (3, "model is a int, but should be a function"),
        (lambda: 1 / 0, r"failed: ZeroDivisionError: division by zero"),
        (lambda: 5, r"returned a int, but should return a new torch.nn.Module"),
        (lambda: nn.Linear(1, 1), r"<lambda>\(\): model has no activation module"),
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


def test_activations_that_stay_are_told():
    def mixed():
        return nn.Sequential(make(), nn.Softsign(), nn.Linear(1, 1), nn.Tanh())

    (note,) = make_recipe(mixed, None, None).notes
    assert note == "The model: activations not replaced: Softsign (1), Tanh (3)."


def test_what_is_made_already_is_refused():
    optimizer = torch.optim.Adam(make().parameters())
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 3)
    for given in ((optimizer, None), (None, schedule)):
        with pytest.raises(ValueError, match="every network needs its own"):
            make_recipe(None, *given)


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
    assert "not replaced: (model): relu in" in note


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated")
def test_weights_that_can_not_be_scaled_are_told():
    def normed():
        return nn.Sequential(nn.utils.weight_norm(nn.Linear(2, 2)), nn.ReLU(), nn.Linear(2, 1))

    recipe = make_recipe(normed, None, None)
    assert "the initial weights of 0 were not changed" in recipe.notes[0]
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


# --- What networks begin with ------------------------------------------------------------------


def filled(draw):
    """Return a function that makes a network whose first weights are drawn elsewhere."""

    def own():
        network = make()
        with torch.no_grad():
            network[0].weight.copy_(torch.as_tensor(draw()))
        return network

    return own


DRAWS = {
    "torch": lambda: torch.randn(4, 2),
    "numpy": lambda: np.random.standard_normal((4, 2)),
    "python": lambda: [[random.gauss(0, 1) for _ in range(2)] for _ in range(4)],
    "scipy": lambda: scipy.stats.norm.rvs(size=(4, 2)),
}


@pytest.mark.parametrize("name", DRAWS)
def test_weights_of_any_usual_generator_follow_the_seed(name):
    recipe = make_recipe(filled(DRAWS[name]), None, None)
    relu, again, elu, other = (
        recipe.build(parse(spec), seed)
        for spec, seed in (("relu", 3), ("relu", 3), ("elu", 3), ("relu", 4))
    )
    assert torch.equal(relu[0].weight, again[0].weight)
    torch.testing.assert_close(
        elu[0].weight / parse("elu").gain, relu[0].weight / parse("relu").gain
    )
    assert not torch.equal(relu[0].weight, other[0].weight)
    assert recipe.notes == []


def test_making_a_network_leaves_all_generators_alone():
    random.seed(1)
    np.random.seed(1)
    expected = random.random(), np.random.random()
    random.seed(1)
    np.random.seed(1)
    make_recipe(filled(DRAWS["numpy"]), None, None).build(parse("relu"), 0)
    assert (random.random(), np.random.random()) == expected


@pytest.mark.parametrize(
    "draw",
    [
        lambda: np.random.default_rng().standard_normal((4, 2)),
        lambda: torch.randn(4, 2, generator=torch.Generator().manual_seed(time.time_ns() % 2**60)),
        lambda: [[secrets.randbelow(1000), 1]] * 4,
    ],
)
def test_weights_that_no_seed_reaches_are_noted(draw):
    (note,) = make_recipe(filled(draw), None, None).notes
    assert "is not reproducible: " in note
    assert "0.weight" in note


def test_networks_that_begin_alike_for_all_seeds_are_noted():
    def constant():
        torch.manual_seed(0)
        return make()

    kept = make().state_dict()

    def loaded():
        network = make()
        network.load_state_dict(kept)
        return network

    def new_head():
        network = loaded()
        nn.init.normal_(network[2].weight)
        return network

    for alike in (constant, loaded):
        (note,) = make_recipe(alike, None, None).notes
        assert "starts from the same weights for every seed" in note
    assert make_recipe(new_head, None, None).notes == []


# --- Optimizers and schedules ------------------------------------------------------------------


def groups_of(own=None):
    parameter = nn.Parameter(torch.zeros(2, 2))
    gradient = torch.ones(2, 2)
    parameter.grad = gradient.to_sparse() if own is torch.optim.SparseAdam else gradient
    return [{"params": [parameter]}]


EVERY_OPTIMIZER = [
    own
    for own in vars(torch.optim).values()
    if isinstance(own, type)
    and issubclass(own, torch.optim.Optimizer)
    and own is not torch.optim.Optimizer
]
EVERY_SCHEDULE = [
    own
    for name, own in vars(torch.optim.lr_scheduler).items()
    if isinstance(own, type)
    and hasattr(own, "step")
    and hasattr(own, "state_dict")
    and not issubclass(own, torch.optim.Optimizer)
    and not name.startswith("_")
]


@pytest.mark.parametrize("own", EVERY_OPTIMIZER)
def test_every_optimizer_can_be_stepped_or_is_refused(own):
    recipe = make_recipe(None, own, None)
    if own is torch.optim.LBFGS:
        with pytest.raises(ValueError, match=r"LBFGS .* needs closure.* torch.optim.Adam or SGD"):
            recipe.make_optimizer(groups_of(), 0.01)
    else:
        recipe.make_optimizer(groups_of(own), 0.01).step()


@pytest.mark.parametrize("own", EVERY_SCHEDULE)
def test_every_schedule_goes_by_the_steps_or_is_refused(own):
    optimizer = torch.optim.SGD(groups_of(), lr=0.1)
    recipe = make_recipe(None, None, own)
    names = ("CosineAnnealingLR", "CosineAnnealingWarmRestarts", "PolynomialLR")
    if own.__name__ in names:
        schedule = recipe.make_schedule(optimizer, 10)
        for _ in range(9):
            optimizer.step()
            schedule.step()
        assert optimizer.param_groups[0]["lr"] < 0.02
    else:
        with pytest.raises(
            ValueError, match=f"^schedule {own.__name__} .*(CosineAnnealingLR|lambda)"
        ):
            recipe.make_schedule(optimizer, 10)


@pytest.mark.parametrize(
    "schedule",
    [
        lambda optimizer, steps: torch.optim.lr_scheduler.OneCycleLR(
            optimizer, [g["lr"] for g in optimizer.param_groups], total_steps=steps + 1
        ),
        lambda optimizer, steps: torch.optim.lr_scheduler.StepLR(optimizer, max(steps // 3, 1)),
        lambda optimizer, steps: torch.optim.lr_scheduler.MultiStepLR(
            optimizer, [steps // 2, 3 * steps // 4]
        ),
        lambda optimizer, steps: torch.optim.lr_scheduler.ExponentialLR(
            optimizer, 0.01 ** (1 / steps)
        ),
        lambda optimizer, steps: torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, steps),
        lambda optimizer, steps: torch.optim.lr_scheduler.ConstantLR(optimizer, 0.1, steps // 10),
    ],
)
def test_what_is_advised_for_a_schedule_works(schedule):
    optimizer = torch.optim.Adam(groups_of(), lr=0.1)
    made = make_recipe(None, None, schedule).make_schedule(optimizer, 30)
    for _ in range(30):
        optimizer.step()
        made.step()


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"optimizer": lambda groups, lr: torch.optim.LBFGS(groups, lr=lr)}, "LBFGS .* closure"),
        ({"optimizer": functools.partial(torch.optim.LBFGS, max_iter=2)}, "LBFGS .* closure"),
        ({"optimizer": lambda groups, lr: 3}, "is a int, but should be a torch.optim.Optimizer"),
        (
            {"schedule": lambda own, steps: torch.optim.lr_scheduler.ReduceLROnPlateau(own)},
            "ReduceLROnPlateau .* needs metrics",
        ),
        (
            {"schedule": functools.partial(torch.optim.lr_scheduler.StepLR, step_size=3)},
            "StepLR takes only the optimizer",
        ),
        ({"schedule": lambda own, steps: 3}, "should have a step"),
    ],
)
def test_what_can_not_be_stepped_is_refused(recipe, message):
    made = make_recipe(None, recipe.get("optimizer"), recipe.get("schedule"))
    with pytest.raises(ValueError, match=message):
        made.make_schedule(made.make_optimizer(groups_of(), 0.01), 10)


def test_a_network_without_anything_to_train_is_refused():
    with pytest.raises(ValueError, match="has no trainable parameters"):
        make_recipe(lambda: make().requires_grad_(False), None, None)
