"""The layers' functions: the numbers of PyTorch's, in whatever way they are called."""

import copy
import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from torch.autograd import forward_ad, gradcheck, gradgradcheck

from leakyrelu.nn import _passes, functional
from leakyrelu.nn._memory import is_plain

FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
ROUNDOFF = {
    torch.float16: 2**-11,
    torch.bfloat16: 2**-8,
    torch.float32: 2**-24,
    torch.float64: 2**-53,
}


@pytest.fixture(autouse=True)
def _small_tensors_take_a_pass(monkeypatch):
    monkeypatch.setitem(_passes._SMALLEST, "cpu", 1)


def random(*shape, dtype=torch.float32):
    x = torch.randn(*shape, dtype=torch.float64)
    x.view(-1)[::5] = 0.0
    return x.to(dtype)


LAYOUTS = {
    "1-D": lambda dtype: random(100, dtype=dtype),
    "2-D": lambda dtype: random(33, 7, dtype=dtype),
    "3-D": lambda dtype: random(5, 7, 130, dtype=dtype),
    "4-D": lambda dtype: random(3, 7, 9, 11, dtype=dtype),
    "5-D": lambda dtype: random(2, 7, 3, 5, 4, dtype=dtype),
    "channels_last": lambda dtype: random(3, 7, 9, 11, dtype=dtype).to(
        memory_format=torch.channels_last
    ),
    "channels_last_3d": lambda dtype: random(2, 7, 3, 5, 4, dtype=dtype).to(
        memory_format=torch.channels_last_3d
    ),
    "transposed": lambda dtype: random(7, 33, dtype=dtype).t(),
    "permuted": lambda dtype: random(4, 5, 7, 6, dtype=dtype).permute(3, 2, 0, 1),
    "sliced": lambda dtype: random(6, 14, 20, dtype=dtype)[::2, 3:10, ::3],
    "expanded": lambda dtype: random(6, 7, 1, dtype=dtype).expand(6, 7, 40),
    "short rows": lambda dtype: random(9, 40, 7, 7, dtype=dtype),
    "one channel": lambda dtype: random(6, 1, 40, dtype=dtype),
    "one position": lambda dtype: random(6, 7, 1, 1, dtype=dtype),
    "no example": lambda dtype: random(0, 7, 3, dtype=dtype),
    "nothing inside": lambda dtype: random(3, 7, 0, dtype=dtype),
    "zero-dim": lambda dtype: random(1, dtype=dtype)[0],
}
GRADIENTS = {
    "as y": lambda y: torch.randn_like(y),
    "expanded": lambda y: torch.full((), 0.75, dtype=y.dtype).expand(y.shape),
    "strided": lambda y: torch.randn(*y.shape, 2, dtype=torch.float64).to(y.dtype)[..., 0],
}


def roundoff_of_a_sum(x, weight):
    """Return by how many parts of its terms the gradient of a slope may be off, by a pass."""
    sums = 17 * ROUNDOFF[torch.float64 if x.dtype == torch.float64 else torch.float32]
    return sums + ROUNDOFF[x.dtype] * _passes._is_invertible(weight)


def differentiated(function, x, weight, gradient):
    x, weight = x.detach().requires_grad_(), weight.detach().requires_grad_()
    y = function(x, weight)
    y.backward(gradient)
    return y, x.grad, weight.grad


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("slopes", ["shared", "shared, zero-dim", "one each"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("of_y", GRADIENTS)
def test_prelu_gives_the_numbers_of_pytorch(layout, slopes, of_y, dtype):
    torch.manual_seed(0)
    x = LAYOUTS[layout](dtype)
    channels = x.shape[1] if slopes == "one each" and x.dim() > 1 else 1
    weight = torch.randn(channels, dtype=dtype)
    if slopes == "shared, zero-dim":
        weight = weight[0]
    gradient = GRADIENTS[of_y](torch.prelu(x, weight))
    theirs = differentiated(torch.prelu, x, weight, gradient)
    ours = differentiated(functional.prelu, x, weight, gradient)
    expected = "_PReLUBackward" if x.numel() else "PreluKernelBackward0"
    assert type(ours[0].grad_fn).__name__ == expected
    assert torch.equal(ours[0], theirs[0])
    assert ours[0].stride() == theirs[0].stride()
    assert torch.equal(ours[1], theirs[1])
    exact = differentiated(torch.prelu, x.double(), weight.double(), gradient.double())[2]
    terms = (x.double() * gradient.double()).abs().sum()
    error = (ours[2].double() - exact).abs().max() if exact.numel() else 0.0
    rounded = roundoff_of_a_sum(x, weight) * terms
    assert error <= rounded + ROUNDOFF[dtype] * exact.abs().max() * 1.01
    assert torch.equal(functional.prelu(x, weight), theirs[0])
    with torch.inference_mode():
        assert torch.equal(functional.prelu(x, weight), theirs[0])


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_any_view_has_the_gradients_of_pytorch(data):
    shape = data.draw(st.lists(st.integers(1, 6), min_size=2, max_size=5))
    order = data.draw(st.permutations(range(len(shape))))
    steps = [data.draw(st.sampled_from([1, 1, 2])) for _ in shape]
    base = torch.randn([size * step for size, step in zip(shape, steps, strict=True)])
    x = base[tuple(slice(None, None, step) for step in steps)].permute(order)
    weight = torch.randn(x.shape[1])
    gradient = torch.randn([*x.shape[::-1]]).permute(*reversed(range(x.dim())))
    ours = differentiated(functional.prelu, x, weight, gradient)
    theirs = differentiated(torch.prelu, x, weight, gradient)
    assert torch.equal(ours[0], theirs[0])
    assert torch.equal(ours[1], theirs[1])
    torch.testing.assert_close(ours[2], theirs[2], rtol=1e-5, atol=1e-5)


# --- Whatever is drawn ---------------------------------------------------------------------

ANY_GRADIENT = {
    **GRADIENTS,
    "all zeros": lambda y: torch._efficientzerotensor(y.shape, dtype=y.dtype),
    "all zeros, a view": lambda y: torch._efficientzerotensor((3, *y.shape), dtype=y.dtype)[1],
    "negated": lambda y: torch._neg_view(torch.randn_like(y)),
    "of another dtype": lambda y: torch.randn(
        y.shape, dtype=torch.float32 if y.dtype == torch.float64 else torch.float64
    ),
    "in another order": lambda y: torch.randn(y.shape[::-1], dtype=y.dtype).permute(
        *reversed(range(y.dim()))
    ),
    "of a subclass": lambda y: torch.randn_like(y).as_subclass(Logged),
}


class Logged(torch.Tensor):
    pass


@st.composite
def inputs(draw):
    """Draw an input of any shape, order, gaps, overlaps, dtype, and on which side of the size."""
    shape = draw(st.lists(st.integers(1, 5), min_size=1, max_size=5))
    shape[-1] *= draw(st.sampled_from([1, 1, 13, 70]))
    dtype = draw(st.sampled_from(FLOATS))
    steps = [draw(st.sampled_from([1, 1, 1, 2])) for _ in shape]
    torch.manual_seed(draw(st.integers(0, 2**32)))
    base = random(*(size * step for size, step in zip(shape, steps, strict=True)), dtype=dtype)
    x = base[tuple(slice(None, None, step) for step in steps)]
    x = x.permute(draw(st.permutations(range(x.dim()))))
    kind = draw(st.sampled_from(["as it is", "expanded", "negated", "channels_last"]))
    if kind == "expanded":
        x = x.select(0, 0).expand(x.shape)
    elif kind == "negated":
        x = torch._neg_view(x)
    elif kind == "channels_last" and x.dim() in (4, 5):
        formats = {4: torch.channels_last, 5: torch.channels_last_3d}
        x = x.to(memory_format=formats[x.dim()])
    is_small = draw(st.booleans())
    _passes._SMALLEST["cpu"] = x.numel() + is_small  # the fixture restores it
    return x, is_small


def slopes_for(data, x):
    """Draw slopes, and how they lie in memory."""
    channels = x.shape[1] if x.dim() > 1 else 1
    shape = data.draw(st.sampled_from([(1,), (channels,), ()]), label="shape of the slopes")
    weight = torch.randn(shape, dtype=torch.float64).to(x.dtype)
    if data.draw(st.booleans(), label="all positive"):
        weight = weight.abs() + 0.01
    kind = data.draw(st.sampled_from(["own", "strided", "expanded", "negated"]))
    if kind == "strided" and shape:
        return torch.stack([weight, weight], 1)[:, 0]
    if kind == "expanded":
        return weight.reshape(-1)[:1].expand(shape) if shape else weight
    return torch._neg_view(weight) if kind == "negated" else weight


@settings(max_examples=300, deadline=None)
@given(drawn=inputs(), kind=st.sampled_from(sorted(ANY_GRADIENT)), data=st.data())
def test_any_prelu_has_the_numbers_of_float64(drawn, kind, data):
    x, is_small = drawn
    weight = slopes_for(data, x)
    gradient = ANY_GRADIENT[kind](torch.prelu(x, weight))
    y, of_x, of_weight = differentiated(functional.prelu, x, weight, gradient)
    rounded = gradient.as_subclass(torch.Tensor).to(x.dtype)
    exact = differentiated(torch.prelu, x.double(), weight.double(), rounded.double())
    assert torch.equal(y, exact[0].to(x.dtype))
    assert torch.equal(of_x, exact[1].to(x.dtype))
    terms = (x.double() * rounded.double()).abs().sum()
    error = (of_weight.double() - exact[2]).abs().max()
    is_ours = type(y.grad_fn).__name__ == "_PReLUBackward"
    assert is_ours == (not is_small and is_plain(x) and is_plain(weight))
    is_a_pass = is_ours and is_plain(gradient) and type(gradient) is torch.Tensor
    # Where it is PyTorch's, terms and sums are rounded to the dtype.
    sums = roundoff_of_a_sum(x, weight) if is_a_pass else x.numel() * ROUNDOFF[x.dtype]
    assert error <= sums * terms + ROUNDOFF[x.dtype] * exact[2].abs().max() * 1.01 + 1e-7


@settings(max_examples=300, deadline=None)
@given(
    drawn=inputs(),
    kind=st.sampled_from(sorted(ANY_GRADIENT)),
    bounds=st.tuples(st.floats(-2, 2), st.floats(-2, 2)).map(sorted),
    inplace=st.booleans(),
)
def test_any_rrelu_goes_back_by_the_slopes_of_its_way(drawn, kind, bounds, inplace):
    x, _ = drawn
    lower, upper = bounds
    inplace = inplace and lower > 0 and x.is_contiguous() and not x.is_neg()
    if x.dtype == torch.float16:
        assume(not x.is_neg())  # PyTorch has none

    def way(gradient_of):
        torch.manual_seed(3)
        leaf = x.detach().requires_grad_()
        y = functional.rrelu(leaf * 1 if inplace else leaf, lower, upper, True, inplace)
        gradient = gradient_of(y.detach())
        y.backward(gradient)
        return y.detach(), leaf.grad, gradient.as_subclass(torch.Tensor).to(x.dtype).double()

    _, slopes, _ = way(torch.ones_like)
    y, of_x, gradient = way(ANY_GRADIENT[kind])
    is_drawn = x <= 0
    unit = ROUNDOFF[x.dtype]
    assert torch.equal(slopes[~is_drawn], torch.ones_like(slopes[~is_drawn]))
    assert torch.all(slopes[is_drawn] >= lower - unit * 4)
    assert torch.all(slopes[is_drawn] <= upper + unit * 4)
    options = {"rtol": 2.01 * unit, "atol": 1e-6}
    torch.testing.assert_close(y.double(), x.double() * slopes.double(), **options)
    torch.testing.assert_close(of_x.double(), gradient * slopes.double(), **options)


@pytest.mark.parametrize("shape", [(127, 129), (128, 128), (5, 3277)])  # around 2^14 elements
@pytest.mark.parametrize("kind", ANY_GRADIENT)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_around_the_smallest_size_of_a_pass(shape, kind, dtype, monkeypatch):
    monkeypatch.undo()
    torch.manual_seed(0)
    x = random(*shape, dtype=dtype)
    for channels in (1, shape[1]):
        weight = torch.rand(channels).to(dtype)
        gradient = ANY_GRADIENT[kind](x)
        y, *ours = differentiated(functional.prelu, x, weight, gradient)
        assert (type(y.grad_fn).__name__ == "_PReLUBackward") == (x.numel() >= 2**14)
        theirs = differentiated(torch.prelu, x, weight, gradient)
        assert torch.equal(y, theirs[0])
        assert torch.equal(ours[0], theirs[1])
        exact = differentiated(torch.prelu, x.double(), weight.double(), gradient.double())[2]
        # PyTorch's in bfloat16 is far from it.
        tolerance = {"rtol": 2**-7, "atol": 1.0} if dtype == torch.bfloat16 else {}
        if x.numel() >= 2**14:
            torch.testing.assert_close(ours[1], exact.to(dtype), **tolerance)


@pytest.mark.parametrize("shape", [(2, 3, 4), (5, 3), (2, 3, 65), (2, 3, 2, 2)])
@pytest.mark.parametrize("channels", [1, 3])
def test_prelu_passes_gradcheck(shape, channels):
    torch.manual_seed(0)
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    weight = torch.rand(channels, dtype=torch.float64, requires_grad=True)
    options = {"check_batched_grad": True}
    assert gradcheck(functional.prelu, (x, weight), check_forward_ad=True, **options)
    assert gradgradcheck(functional.prelu, (x, weight), **options)


def test_only_the_gradients_that_are_needed():
    x, weight = torch.randn(8, 3), torch.rand(3)
    for needs_x, needs_weight in [(True, False), (False, True)]:
        x.requires_grad_(needs_x), weight.requires_grad_(needs_weight)
        y = functional.prelu(x, weight)
        inputs = x if needs_x else weight
        once = torch.autograd.grad(y.sum(), inputs, retain_graph=True)
        graph = torch.autograd.grad(y.sum(), inputs, create_graph=True)
        torch.testing.assert_close(once[0], graph[0].detach())


def test_torch_func_sees_through():
    torch.manual_seed(0)
    x, weight = torch.randn(6, 3, 5), torch.rand(3)

    def loss(function, x, weight):
        return function(x, weight).square().sum()

    for transform in (
        lambda f: torch.func.grad(lambda w: loss(f, x, w))(weight),
        lambda f: torch.func.vmap(lambda e: f(e[None], weight))(x),
        lambda f: torch.func.vmap(torch.func.grad(lambda w, e: loss(f, e[None], w)), (None, 0))(
            weight, x
        ),
        lambda f: torch.func.jvp(lambda w: f(x, w), (weight,), (torch.ones(3),))[1],
        lambda f: torch.func.hessian(lambda w: loss(f, x, w))(weight),
        lambda f: torch.func.functionalize(f)(x, weight),
    ):
        assert torch.equal(transform(functional.prelu), transform(torch.prelu))
    with forward_ad.dual_level():
        y = functional.prelu(forward_ad.make_dual(x, torch.ones_like(x)), weight)
        assert torch.equal(
            forward_ad.unpack_dual(y).tangent, torch.where(x > 0, 1, weight[:, None])
        )


def test_the_number_of_threads_changes_no_bit():
    x, weight = torch.randn(64, 32, 40, 40), torch.rand(32)
    gradient = torch.randn_like(x)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(differentiated(functional.prelu, x, weight, gradient)[1:])
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(map(torch.equal, found[0], other))


def test_a_saved_input_must_not_be_changed():
    x = torch.randn(4, 3, requires_grad=True)
    inside = x * 1
    y = functional.prelu(inside, -torch.rand(3))  # of positive slopes, the output is saved
    inside.zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_saved_tensors_may_be_packed():
    x, weight = torch.randn(6, 14)[:, ::2].requires_grad_(), torch.rand(7, requires_grad=True)
    expected = torch.autograd.grad(torch.prelu(x, weight).sum(), (x, weight))
    packing = torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: tensor.detach().contiguous().clone(), lambda packed: packed
    )
    with packing:
        y = functional.prelu(x, weight)
    for found, theirs in zip(torch.autograd.grad(y.sum(), (x, weight)), expected, strict=True):
        torch.testing.assert_close(found, theirs)


def test_what_is_no_plain_tensor_goes_to_pytorch():
    x, weight = torch.randn(4, 3), torch.rand(3)
    assert type(functional.prelu(x.as_subclass(Logged), weight)) is Logged
    assert functional.prelu(x.to("meta"), weight.to("meta")).device.type == "meta"
    negative = torch.complex(x, x).conj().imag  # a view that is negated when it is read
    assert negative.is_neg()
    assert torch.equal(functional.prelu(negative, weight), torch.prelu(-x, weight))
    y = x.clone().requires_grad_()
    functional.prelu(y, weight).backward(torch.ones_like(x).as_subclass(Logged))
    assert torch.equal(y.grad, torch.where(x > 0, 1, weight))


@pytest.mark.parametrize(
    ("x", "weight"),
    [
        (torch.randn(4, 3), torch.rand(2)),
        (torch.randn(4), torch.rand(2)),
        (torch.randn(4, 3), torch.rand(0)),
        (torch.randn(4, 3), torch.rand(3, 1)),
        (torch.randn(4, 3), torch.rand(3).double()),
        (torch.randn(4, 3), torch.rand(3, device="meta")),
    ],
)
def test_prelu_refuses_what_pytorch_refuses(x, weight):
    with pytest.raises(RuntimeError) as theirs:
        torch.prelu(x, weight)
    with pytest.raises(RuntimeError) as ours:
        functional.prelu(x, weight)
    assert str(ours.value) == str(theirs.value)


# --- RReLU ---------------------------------------------------------------------------------


def rrelu_slopes(x, seed=0, function=functional.rrelu, **options):
    """Return the slopes of the value and of the gradient."""
    torch.manual_seed(seed)
    x = x.detach().requires_grad_()
    y = function(x, training=True, **options)
    y.backward(torch.ones_like(y))
    return (y / x).detach(), x.grad


def test_slopes_are_uniform_and_independent():
    x = -torch.ones(400_000)
    slopes, _ = rrelu_slopes(x, lower=0.2, upper=0.7)
    assert slopes.min() >= 0.2
    assert slopes.max() <= 0.7
    slopes = slopes.double().numpy()
    assert stats.kstest(slopes, stats.uniform(0.2, 0.5).cdf).pvalue > 1e-3
    for lag in (1, 2, 16, 32, 48, 63, 64, 128):
        assert abs(stats.pearsonr(slopes[:-lag], slopes[lag:]).statistic) < 0.006


def test_the_generator_of_pytorch_decides():
    x = torch.randn(1000)
    first, again, other = (rrelu_slopes(x, seed)[0] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    torch.manual_seed(0)
    functional.rrelu(x, training=True)
    assert not torch.equal(functional.rrelu(x, training=True), x * first)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_rrelu_goes_back_by_the_slopes_of_its_way(layout, dtype):
    x = LAYOUTS[layout](dtype)
    torch.manual_seed(3)
    inside = x.detach().requires_grad_()
    y = functional.rrelu(inside, training=True)
    assert y.stride() == torch.prelu(x, torch.rand(1, dtype=dtype)).stride()
    gradient = torch.full((), 2.0, dtype=dtype).expand(x.shape)
    y.backward(gradient)
    slopes = inside.grad / 2
    assert torch.equal(slopes[x > 0], torch.ones_like(slopes[x > 0]))
    assert torch.all((slopes >= 0.124) & (slopes <= 0.334) | (x > 0))
    torch.testing.assert_close(y.detach(), x * slopes, rtol=ROUNDOFF[dtype] * 4, atol=1e-6)


def test_rrelu_in_place():
    x = torch.randn(50, 7)
    torch.manual_seed(0)
    expected = functional.rrelu(x, training=True)
    torch.manual_seed(0)
    leaf = x.clone().requires_grad_()
    inside = leaf * 1
    y = functional.rrelu_(inside, training=True)
    assert y is inside
    assert torch.equal(y, expected)
    y.sum().backward()
    torch.testing.assert_close(leaf.grad, torch.where(x > 0, 1, expected / x))
    torch.manual_seed(0)
    plain = x.clone()
    assert functional.rrelu(plain, training=True, inplace=True).data_ptr() == plain.data_ptr()
    assert torch.equal(plain, expected)
    part = torch.randn(50, 14)
    kept = part.clone()
    functional.rrelu_(part[:, ::2], training=True)
    assert torch.equal(part[:, 1::2], kept[:, 1::2])
    assert not torch.equal(part[:, ::2], kept[:, ::2])


def test_rrelu_in_place_where_signs_are_lost():
    x = torch.randn(50, 7)
    leaf = x.clone().requires_grad_()
    y = functional.rrelu(leaf * 1, -0.5, 0.0, training=True, inplace=True)
    assert torch.all(y >= 0)


def test_rrelu_without_training_is_pytorchs():
    x = torch.randn(50, 7)
    assert torch.equal(functional.rrelu(x), torch.nn.functional.rrelu(x))
    slopes, gradient = rrelu_slopes(x, lower=0.25, upper=0.25)
    assert torch.equal(gradient, torch.where(x > 0, 1.0, 0.25))
    torch.testing.assert_close(slopes, gradient)


def test_rrelu_passes_gradcheck():
    def function(x):
        torch.manual_seed(0)
        return functional.rrelu(x, training=True)

    x = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    assert gradcheck(function, x)
    assert gradgradcheck(function, x)
    y = function(x)
    (once,) = torch.autograd.grad(y.sum(), x, retain_graph=True)
    (graph,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    assert torch.equal(once, graph)


def test_rrelu_under_torch_func():
    x = torch.randn(4, 5)
    gradient = torch.func.grad(lambda x: functional.rrelu(x, training=True).sum())(x)
    assert torch.all(gradient[x > 0] == 1)
    drawn = torch.func.vmap(lambda x: functional.rrelu(x, training=True), randomness="different")(
        -torch.ones(2, 100)
    )
    assert not torch.equal(drawn[0], drawn[1])


@pytest.mark.parametrize(("lower", "upper"), [(0.5, 0.1), (math.nan, 0.1), (0.1, math.inf)])
def test_rrelu_refuses_what_pytorch_refuses(lower, upper):
    def answer(function):
        torch.manual_seed(0)
        try:
            return function(torch.randn(3, 4), lower, upper, training=True)
        except RuntimeError as error:
            return str(error)

    ours, theirs = answer(functional.rrelu), answer(torch.nn.functional.rrelu)
    if isinstance(theirs, str):
        assert ours == theirs
    else:
        torch.testing.assert_close(ours, theirs, equal_nan=True)


@pytest.mark.parametrize("size", [10, 2**14])
@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("ends", [(-1, 1), (-1, 0.5), (0.5, 1), (1, 1)])
def test_bounds_up_to_the_largest_number(ends, inplace, size, monkeypatch):
    monkeypatch.undo()  # so that one size is small
    largest = torch.finfo(torch.float64).max
    lower, upper = (end * largest for end in ends)
    x = -torch.ones(size, dtype=torch.float64)
    torch.manual_seed(0)
    leaf = x.clone().requires_grad_()
    y = functional.rrelu(leaf * 1, lower, upper, training=True, inplace=inplace)
    y.backward(torch.ones_like(y))
    slopes = -y.detach() / largest
    assert torch.all((slopes >= ends[0]) & (slopes <= ends[1]))
    assert torch.equal(leaf.grad, -y)
    if size > 10:
        assert abs(slopes.mean() - sum(ends) / 2) < 0.02
        assert abs(slopes.std() - (ends[1] - ends[0]) / math.sqrt(12)) < 0.01
    middle = functional.rrelu(x.clone(), lower, upper, inplace=inplace)
    assert torch.equal(middle, x * (lower / 2 + upper / 2))


@pytest.mark.parametrize("x", [-torch.ones(3, 4).half(), -torch.ones(3, 8).half()[:, ::2]])
@pytest.mark.parametrize("lower", [-0.2, 0.1])
def test_float16_in_place_which_pytorch_has_not(x, lower):
    leaf = x.clone().requires_grad_()
    inside = leaf.mul(1) if x.is_contiguous() else torch.cat([leaf, leaf], 1)[:, ::2]
    y = functional.rrelu(inside, lower, 0.3, training=True, inplace=True)
    assert y.data_ptr() == inside.data_ptr()
    assert torch.all((-y >= lower - 1e-3) & (-y <= 0.301))
    y.backward(torch.ones_like(y))
    assert torch.isfinite(leaf.grad).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("size", [10, 2**14])
def test_bounds_too_large_for_the_dtype_are_refused(size, dtype, monkeypatch):
    monkeypatch.undo()
    with pytest.raises(RuntimeError, match="without overflow"):
        functional.rrelu(-torch.ones(size, dtype=dtype), 0.1, 1e39, training=True)


@pytest.mark.parametrize("training", [False, True])
def test_what_is_no_tensor_is_refused(training):
    for function in (functional.rrelu, torch.nn.functional.rrelu):
        with pytest.raises(TypeError, match="must be Tensor, not list"):
            function([1.0], training=training)
    with pytest.raises(TypeError, match="must be Tensor, not list"):
        functional.prelu([1.0], torch.ones(1))


def test_a_copy_of_a_graph_output():
    y = functional.prelu(torch.randn(4, 3), torch.rand(3))
    assert torch.equal(copy.deepcopy(y), y)
