"""What optimizers remember of reinitialized weights is as if new, and nothing else changes."""

import copy

import pytest
import torch
from torch import nn

from leakyrelu import InputError, examine, revive
from leakyrelu.treatment import treat

transformers = pytest.importorskip("transformers")

DATA = torch.randn(50, 1, 6, 6, generator=torch.Generator().manual_seed(0))
OPTIONS = {
    "ASGD": [{"lambd": 0.0}, {"lambd": 0.0, "t0": 2.0}],
    "Adafactor": [{}],
    "Adagrad": [{}, {"initial_accumulator_value": 0.7}],
    "Adam": [{}, {"amsgrad": True}, {"foreach": False}, {"fused": True}],
    "RMSprop": [{"centered": True, "momentum": 0.5}, {}],
    "Rprop": [{"lr": 1e-4}, {"lr": 1e-3}],
    "SGD": [{"lr": 0.1, **more} for more in ({}, {"momentum": 0.9})],
}
REFUSED = {"LBFGS", "Optimizer"}
SPARSE = {"SparseAdam"}  # takes sparse gradients only
CLASSES = [
    each
    for name, each in vars(torch.optim).items()
    if isinstance(each, type)
    and issubclass(each, torch.optim.Optimizer)
    and name not in REFUSED | SPARSE
]
CASES = [(cls, options) for cls in CLASSES for options in OPTIONS.get(cls.__name__, [{}])] + [
    (transformers.Adafactor, {}),
    (transformers.Adafactor, {"beta1": 0.9, "relative_step": False, "lr": 0.01}),
]


def network():
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(1, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Flatten()),
        *(nn.Linear(80, 6), nn.ReLU(), nn.Linear(6, 7)),
    )
    model[1].bias.data.fill_(0.3)
    model[4].bias.data.fill_(3)
    return model


def trained(model, optimizer, steps=3):
    for step in range(steps):
        optimizer.zero_grad()
        model(DATA + step).square().mean().backward()
        optimizer.step()


def parameters_for(cls, model):
    """Muon takes matrices only."""
    return [p for p in model.parameters() if cls.__name__ != "Muon" or p.ndim == 2]


def masks():
    """Return which entries belong to channel 1 of the first layer and unit 2 of the second."""
    made = {name: torch.zeros_like(p, dtype=torch.bool) for name, p in network().named_parameters()}
    for name in ("0.weight", "0.bias", "1.weight", "1.bias"):
        made[name][1] = True
    made["4.weight"][:, 16:32] = True
    made["4.weight"][2] = made["4.bias"][2] = made["6.weight"][:, 2] = True
    return made


def of_state(mask, value):
    """Return the mask for a state that has one value for each row or column."""
    if value.shape == mask.shape:
        return mask
    for axis in (-1, -2):
        if value.shape in (mask.all(axis).shape, mask.all(axis, keepdim=True).shape):
            return mask.all(axis).reshape(value.shape)
    raise AssertionError(value.shape)


@pytest.mark.parametrize(("cls", "options"), CASES)
def test_the_state_of_new_entries_is_as_if_new(cls, options):
    model = network()
    optimizer = cls(parameters_for(cls, model), **options)
    trained(model, optimizer)
    model.load_state_dict(network().state_dict())  # steps of some kill units
    model[1].bias.data[1] = -100
    model[4].bias.data[2] = -1000
    before = {
        name: copy.deepcopy(optimizer.state.get(p, {})) for name, p in model.named_parameters()
    }
    found = examine(model, DATA)
    assert revive(model, found, optimizer=optimizer).revived == {"2": [1], "5": [2]}

    # A new optimizer that has seen no gradient yet.
    other = copy.deepcopy(model)
    new = cls(parameters_for(cls, other), **options)
    for group in new.param_groups:
        group["weight_decay"] = 0.0
    for parameter in other.parameters():
        parameter.grad = torch.zeros_like(parameter)
    new.step()
    fresh = {name: new.state.get(p, {}) for name, p in other.named_parameters()}
    changed = 0
    for name, parameter in model.named_parameters():
        state = optimizer.state.get(parameter, {})
        assert state.keys() == before[name].keys()
        for key, value in state.items():
            if not isinstance(value, torch.Tensor) or value.ndim == 0:
                assert value == before[name][key]  # such as step
                continue
            mask = of_state(masks()[name], value)
            torch.testing.assert_close(value[mask], fresh[name][key][mask], atol=1e-7, rtol=0)
            assert torch.equal(value[~mask], before[name][key][~mask])
            changed += int((value[mask] != before[name][key][mask]).sum())
    has_state = any(state for state in before.values())
    assert changed > 0 or not has_state
    trained(model, optimizer)
    assert all(p.isfinite().all() for p in model.parameters())


def test_square_weights_have_rows_and_columns_told_apart():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6))
    data = torch.randn(30, 6)
    optimizer = transformers.Adafactor(model.parameters())
    for _ in range(2):
        optimizer.zero_grad()
        model(data).square().mean().backward()
        optimizer.step()
    model[0].bias.data[2] = -100
    revive(model, examine(model, data), optimizer=optimizer)
    made, used = optimizer.state[model[0].weight], optimizer.state[model[2].weight]
    assert (made["exp_avg_sq_row"] == 0).tolist() == [unit == 2 for unit in range(6)]
    assert made["exp_avg_sq_col"].all()
    assert used["exp_avg_sq_row"].all()
    assert (used["exp_avg_sq_col"] == 0).tolist() == [unit == 2 for unit in range(6)]


@pytest.mark.parametrize("cure", [revive, treat])
def test_optimizers_that_can_not_forget_are_refused_by_name(cure):
    class Whole(torch.optim.SGD):
        pass

    model = network()
    model[4].bias.data[2] = -1000
    state = copy.deepcopy(model.state_dict())
    health = examine(model, DATA) if cure is revive else DATA
    with pytest.raises(InputError, match="LBFGS remembers directions of all weights together"):
        cure(model, health, optimizer=torch.optim.LBFGS(model.parameters()))
    whole = Whole(model.parameters(), lr=0.1)
    whole.state[model[0].weight]["preconditioner"] = torch.eye(9)
    with pytest.raises(InputError, match=r"Whole remembers preconditioner of shape \(9, 9\)"):
        cure(model, health, optimizer=whole)
    other = torch.optim.SGD(network().parameters(), lr=0.1)
    with pytest.raises(InputError, match="optimizer has no parameter of model"):
        cure(model, health, optimizer=other)
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())
