"""A stack of networks: its initial weights, its noise, its gradient."""

import math

import pytest
import torch

from leakyrelu._compare.networks.mlp import StackedMLP
from leakyrelu._compare.settings import DEFAULT_ACTIVATIONS
from leakyrelu.activations import parse

SIZES = [64, 16, 16, 16, 10]


@pytest.mark.parametrize("spec", DEFAULT_ACTIVATIONS)
def test_the_same_seed_draws_the_same_weights_up_to_the_gain(spec):
    relu = StackedMLP(parse("relu"), SIZES, (5, 6))
    other = StackedMLP(parse(spec), SIZES, (6,))
    ratio = parse(spec).gain / math.sqrt(2)
    for layer in range(3):
        torch.testing.assert_close(other.weights[layer][0], ratio * relu.weights[layer][1])
    torch.testing.assert_close(other.weights[3][0], relu.weights[3][1])


def test_initial_weights_have_the_scale_of_he():
    weight = StackedMLP(parse("relu"), [400, 500, 2], (0,)).weights[0]
    assert weight.std().item() == pytest.approx(math.sqrt(2 / 400), rel=0.01)


def test_rrelu_draws_slopes_in_training_only():
    network = StackedMLP(parse("rrelu:0.1:0.3"), [1, 1, 1], (0,))
    x = torch.full((1, 1000, 1), -1.0)
    network.training = True
    network.draw_slopes()
    slopes = -network._activate(0, x)
    assert (slopes.min() >= 0.1, slopes.max() <= 0.3) == (True, True)
    assert slopes.std() > 0.05
    network.training = False
    torch.testing.assert_close(network._activate(0, x), torch.full_like(x, -0.2))


@pytest.mark.parametrize("spec", ["relu", "prelu"])
def test_the_gradient_is_that_of_autograd(spec):
    network = StackedMLP(parse(spec), [3, 4, 2], (0, 1))
    x, y = torch.randn(2, 5, 3), torch.zeros(2, 5)

    def loss_of(outputs, targets):
        return outputs.square().mean((1, 2))

    parts = [*network.weights, *network.biases, *network.slopes]
    expected = torch.autograd.grad(loss_of(network(x), y).sum(), parts)
    network.differentiate(x, y, loss_of)
    flat = torch.cat([gradient.reshape(2, -1) for gradient in expected], dim=1)
    stepped_on = network.parameters(slice(0, 2))
    found = [part.grad for parts in stepped_on for part in parts]
    torch.testing.assert_close(torch.cat(found, dim=1), flat)
    assert sum(slopes.numel() for slopes in stepped_on.slopes) == (2 if spec == "prelu" else 0)


def test_a_step_on_the_parameters_is_seen_by_the_network():
    network = StackedMLP(parse("prelu"), [3, 4, 2], (0, 1))
    for part in network.parameters(slice(1, 2)):
        part[0].zero_()
    assert not network(torch.randn(2, 5, 3))[1].any()
    assert network(torch.randn(2, 5, 3))[0].any()
    assert network.slopes[0].tolist() == [[0.25], [0.0]]
