"""Whether a silent unit still learns is measured: smooth activations pass nothing far below 0."""

import pytest
import torch
from torch import nn

from leakyrelu import examine, treat, watch

DATA = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
BIASES = torch.tensor([-60.0, -60.0, -6.0, 0.0, 0.0, 0.0])
ACTIVATIONS = [nn.GELU, nn.SiLU, nn.ELU, nn.LeakyReLU, nn.ReLU, lambda: nn.LeakyReLU(1e-9)]


def network(make, dtype=torch.float32):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), make(), nn.Linear(6, 2)).to(dtype)
    with torch.no_grad():
        model[0].bias.copy_(BIASES)
    return model


def expected(make, dtype=torch.float32):
    """Find the dead units by the derivative at each pre-activation, from autograd."""
    model = network(make, dtype)
    z = model[0](DATA.to(dtype)).detach().double().requires_grad_()
    make()(z).sum().backward()
    silent = (z <= 0).all(0)
    return silent & (z.grad.abs().amax(0) < 1e-8), silent


@pytest.mark.parametrize("make", ACTIVATIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_examine_measures_it(make, dtype):
    dead, silent = expected(make, dtype)
    assert dead[:2].tolist() == [make is not nn.LeakyReLU] * 2
    found = examine(network(make, dtype), DATA.to(dtype))
    (layer,) = found.layers
    assert torch.equal(layer.dead, dead)
    assert torch.equal(layer.stuck_negative, silent & ~dead)
    assert f"{int(dead.sum())} of 6 units are dead" in found.summary
    assert ("still learn" in found.summary) == bool((silent & ~dead).any())


@pytest.mark.parametrize("make", ACTIVATIONS)
def test_watch_measures_it(make):
    dead, silent = expected(make)
    model = network(make)
    with watch(model, window=2) as health:
        for _ in range(6):
            model(DATA).square().sum().backward()
    (layer,) = health.layers
    assert torch.equal(layer.dead, dead)
    assert torch.equal(layer.stuck_negative, silent & ~dead)
    assert health.deaths_table()["unit"].tolist() == dead.nonzero().squeeze(1).tolist()
    assert health.history()["dead"].tolist() == [int(dead.sum())] * 3
    assert health.table()["born dead"].tolist() == [int(dead.sum())]


def test_a_unit_dies_when_its_gradient_fades():
    """Stuck at -6, where a SiLU still passes some gradient, then pushed to -60."""
    model = network(nn.SiLU)
    with watch(model, window=2) as health:
        for step in range(8):
            if step == 4:
                model[0].bias.data[2] = -60
            model(DATA).square().sum().backward()
    assert health.history()["dead"].tolist() == [2, 2, 3, 3]
    assert health.history()["died"].tolist() == [2, 0, 1, 0]
    resumed = watch(model, window=2)
    resumed.load_state_dict(health.state_dict())
    assert torch.equal(resumed.layers[0].dead, health.layers[0].dead)


@pytest.mark.parametrize("make", ACTIVATIONS)
def test_treat_keeps_outputs(make):
    model = network(make)
    before = model(DATA)
    treatment = treat(model, DATA)
    torch.testing.assert_close(model(DATA), before)
    if make is nn.ELU:  # its constant, -1, moved to the next bias
        assert not treatment.after.layers[0].dead.any()
    if make is not nn.ReLU:
        assert type(model[1]) is type(make())
