"""What the layers keep for the backward pass, and that the gradients are right all the same."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn as theirs
from torch.autograd import gradcheck, gradgradcheck
from torch.autograd.graph import saved_tensors_hooks

from leakyrelu import nn
from leakyrelu.nn import _passes, functional

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


def kept(model, x):
    """Return the storages, by address, that one forward keeps besides parameters and input."""
    storages = {}

    def pack(tensor):
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        y = model(x)
    for own in (x, *model.parameters()):
        storages.pop(own.untyped_storage().data_ptr(), None)
    return storages, y


def three_convolutions(activation):
    model = theirs.Sequential()
    for _ in range(3):
        model.extend([theirs.Conv2d(16, 16, 3, padding=1), activation()])
    return model.append(theirs.Conv2d(16, 4, 3))


@pytest.mark.parametrize(
    "activation",
    [nn.LeakyReLU, lambda: nn.LeakyReLU(0), nn.PReLU, lambda: nn.PReLU(16), nn.RReLU],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_convolutional_network_keeps_what_it_keeps_with_relu(activation, dtype):
    x = torch.randn(4, 16, 32, 32, dtype=dtype)
    ours, relu = (
        sum(kept(three_convolutions(each).to(dtype), x)[0].values())
        for each in (activation, theirs.ReLU)
    )
    assert ours == relu == 3 * x.nbytes


@pytest.mark.parametrize(
    "layer",
    [nn.LeakyReLU(-0.5), nn.PReLU(init=0), nn.PReLU(init=-0.1), nn.PReLU(init=1e-30),
     nn.PReLU(init=1e30), nn.RReLU(-0.1, 0.1)],
)  # fmt: skip
def test_the_input_is_kept_where_the_output_does_not_tell_it(layer):
    x = torch.randn(4, 8, 32, 32, requires_grad=True)
    inside = x * 1
    storages, y = kept(layer, inside)
    assert y.untyped_storage().data_ptr() not in storages
    (found,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(found[x > 0], torch.ones_like(found[x > 0]))


@pytest.mark.parametrize("layer", [nn.LeakyReLU(0.2), nn.PReLU(8), nn.RReLU()])
def test_what_may_be_changed_in_place(layer):
    """The input, as with ReLU, and not the output."""
    x = torch.randn(4, 8, 32, 32)
    leaf = x.clone().requires_grad_()
    inside = leaf * 1
    y = layer(inside)
    inside.zero_()
    slopes = (y.detach() / x)[x < 0]
    y.sum().backward()
    torch.testing.assert_close(leaf.grad[x < 0], slopes)
    y = layer(leaf)
    y += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


# --- The gradients -------------------------------------------------------------------------

SLOPES = [
    *[0.0, -0.0, 1e-30, 5e-324, 1e-3, 0.01, 0.2, 1.0, 1.5, 1e4],
    *[math.inf, math.nan, -1e-30, -2.0],
]
SPECIAL = [
    *[0.0, -0.0, math.nan, math.inf, -math.inf, 5e-324, -5e-324, 1e-310, -1e-310, 1e-40, -1e-40],
    *[6e-8, -6e-8, 1e-20, -1e-20, -1e300, 1.0, -1.0],
]


@pytest.fixture
def _small_tensors_too(monkeypatch):
    monkeypatch.setitem(_passes._SMALLEST, "cpu", 1)


@st.composite
def tensors(draw):
    """Draw a tensor of any shape, order and gaps, with special numbers in it."""
    shape = draw(st.lists(st.integers(0, 5), max_size=5))
    steps = [draw(st.sampled_from([1, 1, 2])) for _ in shape]
    whole = [size * step for size, step in zip(shape, steps, strict=True)]
    torch.manual_seed(draw(st.integers(0, 2**32)))
    base = torch.randn(whole, dtype=torch.float64)
    special = torch.tensor(SPECIAL, dtype=torch.float64)
    chosen = special[torch.randint(len(SPECIAL), whole)]
    base = torch.where(torch.rand(whole) < draw(st.sampled_from([0, 0.3, 1])), chosen, base)
    x = base.to(draw(st.sampled_from(DTYPES)))[tuple(slice(None, None, step) for step in steps)]
    return x.permute(draw(st.permutations(range(x.dim()))))


def differentiated(function, x, gradient, *others):
    leaf = x.detach().requires_grad_()
    y = function(leaf, *others)
    return y.detach(), *torch.autograd.grad(y, leaf, gradient)


@pytest.mark.usefixtures("_small_tensors_too")
@settings(max_examples=400, deadline=None)
@given(x=tensors(), slope=st.sampled_from(SLOPES) | st.floats(-1e4, 1e4), as_gradient=tensors())
def test_any_leaky_relu_has_the_gradient_of_pytorch(x, slope, as_gradient):
    gradient = torch.randn(x.shape, dtype=torch.float64).to(x.dtype)
    if as_gradient.shape == x.shape:
        gradient = as_gradient.to(x.dtype)
    ours = differentiated(functional.leaky_relu, x, gradient, slope)
    pytorch = differentiated(theirs.functional.leaky_relu, x, gradient, slope)
    assert ours[0].stride() == pytorch[0].stride()
    for found, expected in zip(ours, pytorch, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)
        assert torch.equal(found.signbit() | found.isnan(), expected.signbit() | found.isnan())


@pytest.mark.usefixtures("_small_tensors_too")
@settings(max_examples=300, deadline=None)
@given(
    x=tensors().filter(lambda x: x.dim() > 1 and x.numel()),
    low=st.sampled_from([2**-7, 0.01, 0.25, 1.0, 100.0]),
    high=st.sampled_from([2**-7, 0.25, 1.0, 128.0]),
    is_shared=st.booleans(),
)
def test_the_error_of_a_slope_of_which_the_output_was_kept(x, low, high, is_shared):
    """The bound that `functional.prelu` states."""
    x = x.nan_to_num(0, 1, -1).clamp(-100, 100)
    gradient = torch.randn(x.shape, dtype=torch.float64).to(x.dtype)
    weight = torch.empty(1 if is_shared else x.shape[1], dtype=torch.float64)
    weight = weight.uniform_(min(low, high), max(low, high)).to(x.dtype).requires_grad_()
    y = functional.prelu(x.clone().requires_grad_(), weight)
    assert y.grad_fn.has_output
    (found,) = torch.autograd.grad(y, weight, gradient)
    wide = weight.detach().double().requires_grad_()
    (exact,) = torch.autograd.grad(torch.prelu(x.double(), wide), wide, gradient.double())

    info = torch.finfo(x.dtype)
    unit, smallest = info.eps / 2, info.smallest_normal * info.eps
    computed = torch.finfo(torch.promote_types(x.dtype, torch.float32))
    others = [each for each in range(x.dim()) if each != 1 or is_shared]
    size = (gradient.double() * x.double()).abs().sum(others)
    of_gradient = gradient.double().abs().sum(others)
    bound = (17 * computed.eps / 2 + unit) * size + unit * exact.abs() * 1.01 + smallest
    underflow = smallest / 2 * of_gradient + x.numel() * computed.smallest_normal
    assert ((found.double() - exact).abs() <= bound + underflow / wide.detach()).all()


@pytest.mark.usefixtures("_small_tensors_too")
@pytest.mark.parametrize("shape", [(2, 3, 4), (5, 3), (2, 3, 2, 2)])
def test_second_derivatives(shape):
    torch.manual_seed(0)
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    options = {"check_batched_grad": True}
    for slope in (0.0, 0.3, 2.0, -0.5):

        def leaky(x, slope=slope):
            return functional.leaky_relu(x, slope)

        assert gradcheck(leaky, x, check_forward_ad=True, **options)
        assert gradgradcheck(leaky, x, **options)
    weight = torch.rand(3, dtype=torch.float64).add(0.1).requires_grad_()

    def curved(x, weight):  # so that second derivatives are not 0
        return functional.prelu(x * x - 1, weight).exp()

    assert gradcheck(curved, (x, weight), check_forward_ad=True, **options)
    assert gradgradcheck(curved, (x, weight), **options)
    y = curved(x, weight)
    assert y.grad_fn.next_functions[0][0].has_output


def test_the_penalty_of_a_gradient():
    """That GANs are trained with, of a critic with this activation: against a formula."""
    torch.manual_seed(0)
    first, second = theirs.Linear(64, 300).double(), theirs.Linear(300, 1).double()
    x = torch.randn(100, 64, dtype=torch.float64, requires_grad=True)
    hidden = first(x)
    y = second(functional.leaky_relu(hidden, 0.2))
    assert type(y.grad_fn.next_functions[1][0]).__name__ == "_LeakyReLUBackward"
    (gradient,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    slopes = torch.where(hidden > 0, 1.0, 0.2).detach()
    by_formula = (slopes * second.weight) @ first.weight
    found, expected = (
        torch.autograd.grad((each.norm(dim=1) - 1).square().mean(), (first.weight, second.weight))
        for each in (gradient, by_formula)
    )
    torch.testing.assert_close(found, expected)


def test_what_hooks_pack_is_what_is_used():
    x = torch.randn(4, 8, 32, 32, requires_grad=True)
    for layer in (nn.LeakyReLU(0.2), nn.PReLU(8), nn.RReLU()):
        with torch.autograd.graph.save_on_cpu():
            y = layer(x)
        y.sum().backward()
        slopes = (y.detach() / x.detach())[x < 0]
        torch.testing.assert_close(x.grad[x < 0], slopes)
        x.grad = None


@pytest.mark.parametrize("slope", [0.01, 0.2])
def test_what_transforms_and_compilers_see_is_pytorchs(slope):
    x = torch.randn(6, 3, 40, 40)

    def loss(function, x):
        return function(x, slope).square().sum()

    for transform in (
        lambda f: torch.func.grad(lambda x: loss(f, x))(x),
        lambda f: torch.func.vmap(lambda x: f(x, slope))(x),
        lambda f: torch.func.vmap(torch.func.grad(lambda x: loss(f, x)))(x),
        lambda f: torch.func.jvp(lambda x: f(x, slope), (x,), (torch.ones_like(x),))[1],
        lambda f: torch.func.functionalize(f)(x, slope),
        lambda f: torch.compile(f, backend="aot_eager", fullgraph=True)(x, slope),
    ):
        found, expected = (
            transform(f) for f in (functional.leaky_relu, theirs.functional.leaky_relu)
        )
        assert torch.equal(found, expected)


def test_autocast_and_inference_are_as_with_pytorchs():
    x, layer = torch.randn(4, 8, 32, 32, requires_grad=True), nn.LeakyReLU(0.2)
    model = theirs.Sequential(theirs.Conv2d(8, 8, 1), layer)
    with torch.autocast("cpu", torch.bfloat16):
        y = model(x)
    assert y.dtype == torch.bfloat16
    assert type(y.grad_fn).__name__ == "_LeakyReLUBackward"
    y.float().sum().backward()
    assert model[0].weight.grad.dtype == torch.float32
    with torch.inference_mode():
        assert torch.equal(layer(x), theirs.functional.leaky_relu(x, 0.2))
    for inplace in (False, True):
        inside = x * 1
        y = nn.LeakyReLU(0.2, inplace)(inside)
        assert (y is inside) == inplace
        (found,) = torch.autograd.grad(y.sum(), x)
        assert torch.equal(found, torch.where(x > 0, 1.0, 0.2))
