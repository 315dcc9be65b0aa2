"""The kernels for GPUs, by Triton's interpreter on the CPU, against the passes for CPUs."""

import os

import numpy as np
import pytest
import torch

from leakyrelu.nn import _cpu, _passes, functional

pytest.importorskip("triton")
interpreted = os.environ["TRITON_INTERPRET"] == "1"


@pytest.fixture
def kernels():
    if not interpreted:
        pytest.skip("needs TRITON_INTERPRET=1")
    from leakyrelu.nn import _triton

    return _triton


def assert_same(found, expected):
    """Compare all bits; but the interpreter cuts off what bfloat16 does not hold."""
    one_bit = 2**-7 if found.dtype == torch.bfloat16 else 0
    torch.testing.assert_close(found, expected, rtol=one_bit, atol=0)


FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
SHAPES = [  # outer, channels, inner
    (1, 1, 1),
    (1, 1, 10_001),
    (5, 3, 1),
    (1031, 3, 1),
    (70, 64, 1),
    (2, 5, 7),
    (9, 12, 49),
    (3, 4, 64),
    (2, 5, 511),
    (2, 1, 9000),
    (4, 600, 1),
    (2, 0, 5),
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", FLOATS)
def test_prelu_backward(kernels, shape, dtype):
    torch.manual_seed(0)
    x, gradient = torch.randn(shape).to(dtype), torch.randn(shape).to(dtype)
    x.view(-1)[::7] = 0.0
    weight = torch.randn(shape[1]).to(dtype)
    inner = shape[2]
    expected, out = torch.empty_like(x), torch.full_like(x, torch.nan)
    sums = _cpu.prelu_backward(gradient, x, weight, expected, shape[1], inner)
    found = kernels.prelu_backward(gradient, x, weight, out, shape[1], inner)
    assert_same(out, expected)
    assert found.dtype == dtype
    torch.testing.assert_close(found, sums, atol=1e-3, rtol=1e-2 if x.itemsize == 2 else 1e-4)
    for overwritten in (gradient, x):
        arrays = [gradient.clone(), x.clone()]
        place = arrays[0 if overwritten is gradient else 1]
        again = kernels.prelu_backward(*arrays, weight, place, shape[1], inner)
        assert_same(place, expected)
        assert torch.equal(again, found)


def test_what_positive_elements_give_is_left_out(kernels):
    for inner in (4, 100):
        x = torch.full((2, 3, inner), torch.inf)
        out = torch.empty_like(x)
        with np.errstate(invalid="ignore"):  # the interpreter computes with NumPy
            sums = kernels.prelu_backward(torch.zeros_like(x), x, torch.ones(3), out, 3, inner)
        assert torch.equal(sums, torch.zeros(3))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("n", [0, 1, 2047, 2048, 5000])
def test_rrelu(kernels, n, dtype):
    torch.manual_seed(0)
    x = torch.randn(n).to(dtype)
    slopes, again, other = (torch.empty_like(x) for _ in range(3))
    ones = torch.ones_like(x)
    for out, seed in ((slopes, 2**62 + 5), (again, 2**62 + 5), (other, 6)):
        kernels.rrelu(ones, x, out, 0.2, 0.3, seed)
    assert torch.equal(slopes, again)
    assert torch.equal(slopes[x > 0], ones[x > 0])
    drawn = slopes[x <= 0].double()
    assert torch.all((drawn >= 0.199) & (drawn <= 0.301))
    if n > 2000:
        assert not torch.equal(slopes, other)
        assert abs(drawn.mean() - 0.25) < 0.003
        assert abs(drawn.std() - 0.1 / 12**0.5) < 0.002
        assert len(drawn.unique()) > {torch.float16: 300, torch.bfloat16: 40}.get(dtype, 900)
    torch.manual_seed(0)
    kernels.rrelu(x, x, out := torch.empty_like(x), 0.2, 0.3, 2**62 + 5)
    torch.testing.assert_close(out, x * slopes, rtol=1e-2 if x.itemsize == 2 else 1e-6, atol=1e-6)


def test_bounds_up_to_the_largest_number(kernels):
    largest = torch.finfo(torch.float32).max
    x, slopes = -torch.ones(5000), torch.empty(5000)
    kernels.rrelu(torch.ones_like(x), x, slopes, -largest, largest, 7)
    assert torch.isfinite(slopes).all()
    assert abs((slopes / largest).mean()) < 0.03
    assert abs((slopes / largest).std() - 1 / 3**0.5) < 0.02


def test_no_memory_no_kernel(kernels):
    x, zeros = torch.randn(4, 3, 5), torch._efficientzerotensor((4, 3, 5))
    with pytest.raises(RuntimeError, match="need 60 numbers"):
        kernels.prelu_backward(zeros, x, torch.ones(3), torch.empty_like(x), 3, 5)
    with pytest.raises(RuntimeError, match="need 60 numbers"):
        kernels.rrelu(zeros, x, torch.empty_like(x), 0.1, 0.3, 5)


def test_the_layers_work_with_them(kernels, monkeypatch):
    """As on a GPU, but for where the memory is."""
    monkeypatch.setitem(_passes._SMALLEST, "cpu", 1)
    x, weight = torch.randn(6, 14, 9)[:, ::2], torch.rand(7)

    def gradients(function):
        inputs = x.clone().requires_grad_(), weight.clone().requires_grad_()
        return torch.autograd.grad(function(*inputs).square().sum(), inputs)

    expected = gradients(torch.prelu)
    monkeypatch.setattr(_passes, "_cpu", kernels)
    for found, theirs in zip(gradients(functional.prelu), expected, strict=True):
        torch.testing.assert_close(found, theirs)
    inside = x.clone().requires_grad_()
    y = functional.rrelu(inside, training=True)
    (gradient,) = torch.autograd.grad(y.sum(), inside)
    torch.testing.assert_close(y, x * gradient)


@pytest.mark.skipif(
    interpreted or not torch.cuda.is_available(), reason="needs TRITON_INTERPRET=0 and a GPU"
)
@pytest.mark.parametrize("shape", [(16, 64, 64, 64), (256, 100, 7, 7), (4096, 1024)])
def test_on_a_gpu(shape):
    x = torch.randn(shape, device="cuda", requires_grad=True)
    weight = torch.rand(shape[1], device="cuda", requires_grad=True)
    y = functional.prelu(x, weight)
    assert type(y.grad_fn).__name__ == "_PReLUBackward"
    found = torch.autograd.grad(y.square().sum(), (x, weight))
    expected = torch.autograd.grad(torch.prelu(x, weight).square().sum(), (x, weight))
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)
    y = functional.rrelu(x, training=True)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(y, x * gradient)
