"""Slopes are kept out of weight decay, and nothing else is."""

import pytest
import torch
from torch import nn

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


def test_without_slopes_an_optimizer_takes_it_too():
    model = nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(parameter_groups(model, 0.1))
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    assert [len(group["params"]) for group in optimizer.param_groups] == [2, 0]


def test_bad_input():
    with pytest.raises(TypeError, match=r"torch.nn.Module, but is list"):
        parameter_groups([nn.PReLU()], 0.1)
