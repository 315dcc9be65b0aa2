"""Units that hardly fire are corrected, by gradients of the size that is asked for."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from leakyrelu.treatment import SelfRepair


def test_self_repair_brings_dead_units_back():
    def fires(strength):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
        with torch.no_grad():
            model[0].bias[:3], model[0].bias[3:5] = -3.0, 6.0
        optimizer = torch.optim.SGD(model.parameters(), 0.02)
        x = torch.randn(256, 4)
        with SelfRepair(model, strength, window=5) as health:
            for _ in range(500):
                optimizer.zero_grad()
                (model(x) - x.prod(1, keepdim=True)).square().mean().backward()
                optimizer.step()
        assert not any(module._forward_pre_hooks for module in model)
        return health.layers[0].counts.positive_rate

    without, repaired = fires(0.0), fires(1.0)
    assert without[:3].tolist() == [0, 0, 0]
    assert (without[3:5] > 0.95).all()
    assert (repaired[:3] > 0).all()
    assert repaired[:5].min() > 0.03
    assert repaired[3:5].max() < 0.97


@pytest.mark.parametrize("rectify", [nn.ReLU(), nn.ReLU(inplace=True), F.relu, torch.relu_])
def test_the_corrective_gradient(rectify):
    class Once(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.rectify = nn.Linear(4, 6), rectify

        def forward(self, x):
            return self.rectify(self.first(x))

    model, x = Once(), torch.randn(64, 4)
    with torch.no_grad():
        model.first.bias.copy_(torch.tensor([-100.0, 100.0, 0.0, 0.0, 0.0, 0.0]))

    def gradient():
        model.zero_grad()
        model(x).sum().backward()
        return model.first.bias.grad.clone()

    plain = gradient()  # that of each pre-activation is 0 or 1
    with SelfRepair(model, 0.25, window=10):
        for _ in range(3):
            assert (gradient() - plain).tolist() == [-16, 16, 0, 0, 0, 0]
    assert torch.equal(gradient(), plain)


def test_it_is_watched_as_by_watch():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    ended = []
    with SelfRepair(model, 0.01, window=5, on_window=ended.append) as health:
        for _ in range(10):
            model(torch.randn(32, 4)).mean().backward()
    assert ended == [health, health]
    assert health.history()["step"].tolist() == [5, 10]


def test_bad_input():
    with pytest.raises(ValueError, match=r"strength must be 0 or more, but is -0\.1"):
        SelfRepair(nn.ReLU(), -0.1)
    with pytest.raises(TypeError, match=r"must be a torch\.nn\.Module, but is list"):
        SelfRepair([], 0.1)
