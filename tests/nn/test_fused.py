"""Bias, Leaky ReLU and scale in one: the numbers of the three one after another."""

import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck, gradgradcheck
from torch.autograd.graph import saved_tensors_hooks

import leakyrelu
from leakyrelu.nn import FusedLeakyReLU, _passes
from leakyrelu.nn.functional import fused_leaky_relu


@pytest.fixture(autouse=True)
def _small_tensors_too(monkeypatch):
    monkeypatch.setitem(_passes._SMALLEST, "cpu", 1)


def plain(x, bias=None, negative_slope=0.2, scale=2**0.5):
    if bias is not None:
        x = x + bias.view(1, -1, *[1] * (x.dim() - 2))
    return torch.nn.functional.leaky_relu(x, negative_slope) * scale


def differentiated(function, x, bias, gradient, *parameters):
    x, bias = x.clone().requires_grad_(), bias.clone().requires_grad_()
    y = function(x, bias, *parameters)
    return (y, *torch.autograd.grad(y, (x, bias), gradient))


@settings(max_examples=200, deadline=None)
@given(
    shape=st.lists(st.integers(0, 5), min_size=2, max_size=5),
    slope=st.sampled_from([0.0, 0.2, 1.0, 3.0, -0.5]),
    scale=st.sampled_from([2**0.5, 1.0, 4.0, 0.5, 0.0, -1.0]),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16]),
    is_transposed=st.booleans(),
    smallest=st.booleans(),
)
def test_it_is_the_plain_form(shape, slope, scale, dtype, is_transposed, smallest):
    x = torch.randn(shape, dtype=torch.float64).to(dtype)
    if smallest:
        x = x.sign() * torch.finfo(dtype).smallest_normal * torch.finfo(dtype).eps
    if is_transposed:
        x = x.transpose(0, -1).contiguous().transpose(0, -1)
    bias = torch.zeros(shape[1], dtype=dtype) if smallest else torch.randn(shape[1]).to(dtype)
    gradient = torch.randn(shape, dtype=torch.float64).to(dtype)
    found = differentiated(fused_leaky_relu, x, bias, gradient, slope, scale)
    expected = differentiated(plain, x, bias, gradient, slope, scale)
    assert torch.equal(found[0], expected[0])
    unit = torch.finfo(dtype).eps
    torch.testing.assert_close(found[1], expected[1], rtol=2 * unit, atol=0)
    wide = [each.double() for each in (x, bias, gradient)]
    exact = differentiated(plain, *wide, slope, scale)[2]
    if not smallest and dtype.itemsize > 2:
        torch.testing.assert_close(found[2].double(), exact, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 5), (2, 3, 2, 2)])
def test_it_is_differentiated_twice(shape):
    torch.manual_seed(0)
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(shape[1], dtype=torch.float64, requires_grad=True)
    for slope, scale in ((0.2, 2**0.5), (0.0, 1.0), (0.3, 0.5), (-0.2, 2.0)):

        def curved(x, bias, slope=slope, scale=scale):
            return fused_leaky_relu(x * x - 1, bias, slope, scale).exp()

        assert gradcheck(curved, (x, bias), check_batched_grad=True, check_forward_ad=True)
        assert gradgradcheck(curved, (x, bias), check_batched_grad=True)


def test_it_keeps_its_output_alone():
    x, kept = torch.randn(4, 8, 16, 16, requires_grad=True), []
    with saved_tensors_hooks(lambda tensor: kept.append(tensor.data_ptr()) or tensor, lambda t: t):
        y = FusedLeakyReLU(8)(x)
    assert kept == [y.data_ptr()]


def test_the_layer_is_that_of_stylegan2():
    layer = FusedLeakyReLU(8)
    assert list(layer.state_dict()) == ["bias"]
    assert layer.bias.tolist() == [0] * 8
    assert (layer.negative_slope, layer.scale) == (0.2, 2**0.5)
    assert list(FusedLeakyReLU(8, bias=False).parameters()) == []
    x = torch.randn(4, 8)
    assert torch.equal(FusedLeakyReLU(8, False, 0.1, 3.0)(x), plain(x, None, 0.1, 3.0))
    with pytest.raises(RuntimeError):
        FusedLeakyReLU(7)(x)
    with torch.no_grad():
        layer.bias.normal_()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for other in (
            torch.fx.symbolic_trace(layer),
            torch.jit.script(layer),
            torch.compile(layer, backend="aot_eager", fullgraph=True),
        ):
            assert torch.equal(other(x), layer(x))
    assert torch.equal(torch.func.vmap(layer)(x[:, None]), layer(x)[:, None])


def test_health_sees_it_with_its_bias():
    torch.manual_seed(0)
    layer = FusedLeakyReLU(4)
    with torch.no_grad():
        layer.bias[1] = -100
    model = torch.nn.Sequential(torch.nn.Linear(3, 4, bias=False), layer)
    (found,) = leakyrelu.examine(model, torch.randn(50, 3)).layers
    assert found.never_fired.tolist() == [False, True, False, False]
