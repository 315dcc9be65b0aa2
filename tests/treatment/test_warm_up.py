"""A slope that rises from 0 with the training forwards."""

import copy

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from leakyrelu import examine, replace
from leakyrelu.treatment import WarmUpLeakyReLU


def slope(layer, dtype=torch.float32):
    """Return the slope of the next call."""
    return -layer(torch.tensor([-1.0], dtype=dtype)).item()


def test_it_rises_to_the_slope_and_stays():
    layer = WarmUpLeakyReLU(0.2, warm_up=4)
    assert [slope(layer) for _ in range(7)] == pytest.approx([0, 0.05, 0.1, 0.15, 0.2, 0.2, 0.2])
    layer.double()
    assert slope(layer, torch.float64) == 0.2  # in full precision
    assert torch.equal(layer(torch.tensor([3.0, 0.0])), torch.tensor([3.0, 0.0]))


def test_evaluation_does_not_count():
    layer = WarmUpLeakyReLU(0.2, warm_up=4)
    layer.eval()
    assert [slope(layer) for _ in range(3)] == [0, 0, 0]
    layer.train()
    for _ in range(3):
        layer(torch.ones(1))
    layer.eval()
    assert [slope(layer) for _ in range(3)] == pytest.approx([0.1] * 3)


def test_checkpoints_have_it():
    layer = WarmUpLeakyReLU(0.2, warm_up=4)
    for _ in range(3):
        layer(torch.ones(1))
    other = WarmUpLeakyReLU(0.2, warm_up=4)
    other.load_state_dict(layer.state_dict())
    assert slope(other) == slope(copy.deepcopy(layer)) == slope(layer) == pytest.approx(0.15)


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_gradient_checkpointing_counts_once_and_recomputes_the_same(use_reentrant):
    torch.manual_seed(0)
    plain = replace(nn.Sequential(nn.Linear(3, 3), nn.ReLU()), "leaky_relu:0.5", warm_up=4)
    treated = copy.deepcopy(plain)
    for _ in range(3):
        x = torch.randn(5, 3, requires_grad=True)
        gradients = []
        for run in (plain(x), checkpoint(treated, x, use_reentrant=use_reentrant)):
            x.grad = None
            run.square().sum().backward()
            gradients.append(x.grad)
        assert torch.equal(*gradients)
    assert treated[1].forwards == plain[1].forwards == 3


def test_health_sees_whether_a_unit_still_learns():
    model = replace(nn.Sequential(nn.Linear(3, 2), nn.ReLU()), "leaky_relu:0.1", warm_up=2)
    model[0].bias.data.fill_(-100)
    data = torch.randn(10, 3)
    assert examine(model, data).layers[0].dead.all()
    for _ in range(3):
        model(data)
    assert examine(model, data).layers[0].stuck_negative.all()


def test_of_autocast_and_16_bits():
    layer = WarmUpLeakyReLU(0.25, warm_up=1)
    layer(torch.ones(1))
    for dtype in (torch.float16, torch.bfloat16):
        assert slope(layer, dtype) == 0.25
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(nn.Linear(2, 2)(torch.randn(1, 2))).dtype == torch.bfloat16


def test_bad_input():
    with pytest.raises(ValueError, match="at least 1 training forward, but is 0"):
        WarmUpLeakyReLU(0.1, warm_up=0)
    with pytest.raises(ValueError, match="at least 1 training forward, but is -3"):
        replace(nn.Sequential(nn.ReLU()), warm_up=-3)
