"""Swapped rectifiers keep everything else, and let dead units learn."""

import pytest
import torch
from torch import nn

from leakyrelu import examine, replace


@pytest.fixture(autouse=True)
def _same_weights():
    torch.manual_seed(0)


def network():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2), nn.ReLU()
    )


def test_a_copy_is_changed_by_default():
    model = network()
    treated = replace(model, "leaky_relu:0.2")
    assert isinstance(model[2], nn.ReLU)
    assert [type(treated[i]) for i in (2, 5)] == [nn.LeakyReLU, nn.LeakyReLU]
    assert treated[2].negative_slope == 0.2
    for (name, tensor), (_, kept) in zip(
        model.state_dict().items(), treated.state_dict().items(), strict=True
    ):
        assert torch.equal(tensor, kept), name


def test_in_place():
    model = network()
    assert replace(model, "elu", inplace=True) is model
    assert isinstance(model[5], nn.ELU)


def test_a_shared_module_stays_shared():
    model = nn.Module()
    model.first = model.second = nn.ReLU()
    treated = replace(model, "prelu")
    assert isinstance(treated.first, nn.PReLU)
    assert treated.first is treated.second


def test_dtype_and_mode_are_those_of_the_model():
    model = network().double().eval()
    treated = replace(model, "prelu")
    assert treated[2].weight.dtype == torch.float64
    assert not treated[2].training
    assert treated(torch.randn(2, 1, 6, 6, dtype=torch.float64)).shape == (2, 2)


def test_a_dead_unit_learns_again():
    model = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1))
    model[0].bias.data[0] = -100.0
    data = torch.randn(50, 3)

    def gradient(model):
        model.zero_grad()
        model(data).sum().backward()
        return model[0].weight.grad[0]

    assert examine(model, data).layers[0].dead[0]
    assert torch.equal(gradient(model), torch.zeros(3))
    assert gradient(replace(model, "leaky_relu:0.1")).abs().min() > 0


def test_bad_input():
    with pytest.raises(ValueError, match="no rectifier module"):
        replace(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="a rectifier itself"):
        replace(nn.ReLU())
    with pytest.raises(ValueError, match="unknown activation"):
        replace(network(), "leeky")
