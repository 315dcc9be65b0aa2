"""Slopes are kept out of weight decay, and nothing else is."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

import leakyrelu
from leakyrelu import parameter_groups, replace


def test_slopes_do_not_decay():
    model = replace(
        nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 3), leakyrelu.nn.PReLU(3)), "prelu"
    )
    decayed, slopes = parameter_groups(model, 0.1)
    assert [id(p) for p in slopes["params"]] == [id(model[i].weight) for i in (1, 3)]
    assert len(decayed["params"]) + 2 == len(list(model.parameters()))
    optimizer = torch.optim.SGD([decayed, slopes], lr=1.0)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in model.named_parameters():
        factor = 1.0 if name in ("1.weight", "3.weight") else 0.9
        torch.testing.assert_close(parameter, before[name] * factor)


def test_shared_slopes_are_given_once():
    shared = nn.PReLU()
    model = nn.ModuleList([shared, nn.Sequential(shared), nn.Linear(2, 2)])
    decayed, slopes = parameter_groups(model, 0.1)
    assert (len(decayed["params"]), len(slopes["params"])) == (2, 1)


class ScaledSum(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, one, other):
        return self.scale * (one + other)

    def right_inverse(self, weight):
        return weight / 2, weight / 2


CHANGES = {
    "none": (lambda layer: None, ["weight"]),
    "frozen": (lambda layer: layer.requires_grad_(False), ["weight"]),
    "pruned": (lambda layer: prune.l1_unstructured(layer, "weight", 2), ["weight_orig"]),
    "pruned, for good": (
        lambda layer: prune.remove(prune.l1_unstructured(layer, "weight", 2), "weight"),
        ["weight"],
    ),
    "parametrized": (
        lambda layer: parametrize.register_parametrization(layer, "weight", nn.Softplus()),
        ["parametrizations.weight.original"],
    ),
    "parametrized, of several": (
        lambda layer: parametrize.register_parametrization(layer, "weight", ScaledSum()),
        [f"parametrizations.weight.{name}" for name in ("original0", "original1", "0.scale")],
    ),
    "weight_norm": (
        parametrizations.weight_norm,
        ["parametrizations.weight.original0", "parametrizations.weight.original1"],
    ),
    "weight_norm, older": (nn.utils.weight_norm, ["weight_g", "weight_v"]),
    "spectral_norm": (parametrizations.spectral_norm, ["parametrizations.weight.original"]),
    "spectral_norm, older": (nn.utils.spectral_norm, ["weight_orig"]),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kind", [nn.PReLU, leakyrelu.nn.PReLU])
def test_what_slopes_are_computed_from_does_not_decay(kind, change):
    make, expected = CHANGES[change]
    model = nn.Sequential(nn.Linear(2, 8), kind(8), nn.Linear(8, 1))
    make(model[1])
    groups = parameter_groups(model, 0.1)
    optimizer = torch.optim.AdamW(groups)  # refuses what is computed, and what is there twice
    model(torch.randn(3, 2)).sum().backward()
    optimizer.step()
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    decayed, slopes = ([names.pop(id(p)) for p in group["params"]] for group in groups)
    assert sorted(slopes) == sorted(f"1.{name}" for name in expected)
    assert decayed == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert not names


def test_without_slopes_an_optimizer_takes_it_too():
    model = nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(parameter_groups(model, 0.1))
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    assert [len(group["params"]) for group in optimizer.param_groups] == [2, 0]


def test_bad_input():
    with pytest.raises(TypeError, match=r"torch.nn.Module, but is list"):
        parameter_groups([nn.PReLU()], 0.1)
