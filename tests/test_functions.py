"""The functions as NumPy's own: values, options, promotion, errors."""

import subprocess
import sys
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from leakyrelu import (
    leaky_relu,
    leaky_relu_backward,
    leaky_relu_derivative,
    prelu,
    prelu_derivative,
    relu,
    relu_derivative,
    rrelu,
    rrelu_derivative,
)
from leakyrelu._arrays import channels

OF_X = [leaky_relu, leaky_relu_derivative, relu, relu_derivative, rrelu, rrelu_derivative]


def test_minus_infinity():
    assert leaky_relu(-np.inf) == -np.inf
    with pytest.warns(RuntimeWarning, match="invalid value encountered in leaky_relu"):
        assert np.isnan(leaky_relu(-np.inf, 0.0))  # 0 * inf, as PyTorch has it
    zero = relu(-np.inf)  # but the maximum of it and 0 is 0
    assert zero == 0
    assert not np.signbit(zero)


slopes = st.floats(-3, 3)
arrays = hnp.arrays(
    st.sampled_from([np.float32, np.float64]),
    hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=7),
    elements=st.floats(-100, 100, width=16),
)


@given(arrays, slopes)
def test_for_slopes_up_to_one_it_is_the_maximum(x, slope):
    a = x.dtype.type(abs(slope) / 3)
    np.testing.assert_array_equal(leaky_relu(x, a), np.maximum(a * x, x))


@given(arrays)
def test_members_of_the_family(x):
    np.testing.assert_array_equal(leaky_relu(x, 0.0), np.maximum(x, 0))
    np.testing.assert_array_equal(leaky_relu(x, 1.0), x)
    np.testing.assert_array_equal(leaky_relu(x, -1.0), np.abs(x))


@given(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=4), st.data())
def test_slopes_broadcast(shapes, data):
    x, a = (
        data.draw(hnp.arrays(np.float64, shape, elements=st.floats(-9, 9)))
        for shape in shapes.input_shapes
    )
    expected = np.where(x > 0, x, a * x)
    np.testing.assert_array_equal(leaky_relu(x, a), expected)
    np.testing.assert_array_equal(
        leaky_relu_derivative(x, a), np.broadcast_to(np.where(x > 0, 1, a), expected.shape)
    )


@given(arrays)
def test_derivatives_are_those_of_finite_differences(x):
    x = x[np.abs(x) > 0.01].astype(np.float64)
    step = 1e-3
    for function, derivative in ((relu, relu_derivative), (leaky_relu, leaky_relu_derivative)):
        difference = (function(x + step) - function(x - step)) / (2 * step)
        np.testing.assert_allclose(derivative(x), difference, atol=1e-9)
    weight = np.array(0.3)
    difference = (prelu(x, weight + step) - prelu(x, weight - step)) / (2 * step)
    np.testing.assert_allclose(-relu(-x), difference, atol=1e-9)  # as its docstring says


@given(hnp.mutually_broadcastable_shapes(num_shapes=3, max_dims=3, max_side=4), st.data())
def test_backward_broadcasts(shapes, data):
    gradient, x, a = (
        data.draw(hnp.arrays(np.float64, shape, elements=st.floats(-9, 9)))
        for shape in shapes.input_shapes
    )
    expected = gradient * leaky_relu_derivative(x, a)
    np.testing.assert_array_equal(leaky_relu_backward(gradient, x, a), expected)


def test_options_of_a_ufunc():
    x = np.array([-1.0, -2.0, 3.0])
    out = np.full(3, 7.0)
    leaky_relu(x, 0.5, out=out, where=[True, False, True])
    assert out.tolist() == [-0.5, 7.0, 3.0]
    assert leaky_relu(x, 0.5, dtype=np.float32).dtype == np.float32
    assert leaky_relu(np.asfortranarray(np.ones((2, 3))), order="C").flags.c_contiguous
    with pytest.raises(TypeError, match="Cannot cast"):
        leaky_relu(x, out=np.zeros(3, dtype=int))
    assert leaky_relu(x, out=np.zeros(3, dtype=int), casting="unsafe").tolist() == [0, 0, 3]


@pytest.mark.parametrize("dtype", [bool, *"bBhHiIlLqQ"])
def test_integers_promote_as_in_numpy_sin(dtype):
    x = np.array([1, 0], dtype)
    for function in OF_X:
        assert function(x).dtype == np.sin(x).dtype
    assert leaky_relu(-x.astype(int), 0.5).tolist() == [-0.5, 0]


def test_scalar_in_scalar_out_and_list_in_array_out():
    assert isinstance(leaky_relu(-3), np.float64)
    assert isinstance(leaky_relu(np.float32(-3)), np.float32)
    assert isinstance(leaky_relu([-3]), np.ndarray)
    assert leaky_relu((-3, 2), 0.5).tolist() == [-1.5, 2.0]
    assert leaky_relu(np.array(-3.0), 0.5) == -1.5
    assert leaky_relu([]).shape == (0,)


@pytest.mark.parametrize("x", [1j, np.ones(2, complex), "text", ["a"], [None], object()])
def test_what_is_no_real_number_is_refused(x):
    for function in OF_X:
        with pytest.raises(TypeError, match="real numbers, but was given dtype"):
            function(x)


class TestPReLU:
    @pytest.mark.parametrize("weight", [0.25, [0.25], np.float32(0.25), np.array(0.25)])
    @pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0, 3)])
    def test_one_slope_for_all(self, weight, shape):
        x = -np.ones(shape)
        result = prelu(x, weight)
        assert result.shape == shape
        assert (result == -0.25).all()

    def test_axis(self):
        x = -np.ones((2, 3, 4))
        assert prelu(x, [1, 2, 3])[0, :, 0].tolist() == [-1, -2, -3]
        assert prelu(x, [1, 2], axis=0)[:, 0, 0].tolist() == [-1, -2]
        assert prelu(x, [1, 2, 3, 4], axis=-1)[0, 0].tolist() == [-1, -2, -3, -4]
        assert prelu(x.tolist(), [1, 2, 3], 1).shape == x.shape
        assert prelu(x, np.arange(3.0).reshape(3, 1))[0, :, 0].tolist() == [0, -1, -2]
        assert prelu_derivative(x, [1, 2], axis=-3)[:, 0, 0].tolist() == [1, 2]

    def test_bad_weights(self):
        x = np.ones((2, 3))
        with pytest.raises(ValueError, match=r"weight has 2 slopes, but x of shape \(2, 3\) has 3"):
            prelu(x, [1, 2])
        with pytest.raises(ValueError, match=r"x of shape \(3,\) has no axis 1 for the 3 slopes"):
            prelu(x[0], [1, 2, 3])
        with pytest.raises(ValueError, match=r"weight of shape \(4, 2, 3\) does not broadcast"):
            prelu(x, np.ones((4, 2, 3)))
        with pytest.raises(ValueError, match=r"weight of shape \(2, 2\) does not broadcast"):
            prelu(x, np.ones((2, 2)))
        with pytest.raises(TypeError, match="integer"):
            prelu(x, [1, 2], axis=0.5)


FAST = {"always": 0, "by size": None}  # from which size on the rows of a channel are taken whole


@st.composite
def layouts(draw, shape, dtype):
    """Draw an array of any strides, byte order and alignment."""
    x = np.random.default_rng(draw(st.integers(0, 99))).standard_normal(shape).astype(dtype)
    layout = draw(st.sampled_from(["C", "F", "reversed", "sliced", "swapped", "unaligned"]))
    if layout == "F":
        return np.asfortranarray(x)
    if layout == "reversed":
        return x[::-1]
    if layout == "sliced":
        return np.repeat(x, 2, axis=-1)[..., ::2]
    if layout == "swapped":
        return x.astype(x.dtype.newbyteorder())
    if layout == "unaligned":
        odd = np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].copy()
        return np.frombuffer(b"\0" + odd.tobytes(), np.uint8)[1:].view(x.dtype).reshape(shape)
    return x


@st.composite
def prelu_calls(draw):
    """Draw x, weight and axis: shapes on both sides of every threshold, of all sorts."""
    dtype = draw(st.sampled_from(["e", "f", "d", "g"]))
    shape = draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    if draw(st.booleans()):  # large enough for the fast path
        shape[draw(st.integers(0, len(shape) - 1))] = draw(st.sampled_from([1000, 40_000]))
    x = draw(layouts(tuple(shape), dtype))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    if draw(st.booleans()):
        weight_shape = (shape[axis],)
    else:
        weight_shape = tuple(draw(st.sampled_from([1, n])) for n in shape)
        weight_shape = weight_shape[draw(st.integers(0, len(shape))) :]
        if len(weight_shape) == 1:
            axis = -1
    weight = (
        draw(layouts(weight_shape, draw(st.sampled_from([dtype, "f", "d"]))))
        if weight_shape
        else np.array(0.25, dtype)
    )
    return x, weight, axis


def broadcast(weight, x, axis):
    if weight.ndim == 1 and weight.size > 1:
        return weight.reshape([-1 if i == axis % x.ndim else 1 for i in range(x.ndim)])
    return weight


@pytest.mark.parametrize("fast", FAST)
@given(prelu_calls(), st.sampled_from([None, "new", "x", "F", "dtype", "overlapping"]))
@settings(max_examples=150, deadline=None)
def test_prelu_of_any_shape(fast, call, out):
    x, weight, axis = call
    w = broadcast(weight, x, axis)
    dtype = np.result_type(x, weight).newbyteorder("=")
    wide = np.longdouble if dtype.itemsize > 8 else np.float64
    expected = np.where(x > 0, x.astype(dtype), (x.astype(dtype) * w.astype(dtype)).astype(dtype))
    slopes = np.where(x > 0, dtype.type(1), np.broadcast_to(w, x.shape).astype(dtype))
    for function, right in ((prelu, expected), (prelu_derivative, slopes)):
        given_x = x.copy(order="K")
        if out is None:
            to = None
        elif out == "x":
            to = given_x if given_x.dtype == dtype else None
        elif out == "overlapping":
            room = np.zeros(x.size + 1, dtype)
            given_x, to = room[1:].reshape(x.shape), room[:-1].reshape(x.shape)
            given_x[...] = x
        else:
            to = np.full(x.shape, 7, {"dtype": np.longdouble}.get(out, dtype))
            to = np.asfortranarray(to) if out == "F" else to
        with pytest.MonkeyPatch.context() as patch:
            if FAST[fast] is not None:
                for key in channels._SMALLEST:
                    patch.setitem(channels._SMALLEST, key, FAST[fast])
            found = function(given_x, weight, axis, out=to)
        assert to is None or found is to
        assert found.shape == x.shape
        assert found.dtype == (dtype if to is None else to.dtype)
        np.testing.assert_allclose(
            found.astype(wide), right.astype(wide), rtol=2e-3 if dtype == "e" else 0
        )


@pytest.mark.parametrize("rows", [1, 3, 40_000])
@pytest.mark.parametrize("weight", [[1.0, 2.0, 3.0], [[1.0], [2.0], [3.0]], 0.5, [[[1.0]]]])
def test_out_of_another_shape_is_as_for_any_ufunc(rows, weight):
    """NumPy's rule, whatever the size: x and slopes broadcast to out, or it is an error."""
    x = -np.ones((rows, 3, 1) if np.ndim(weight) > 1 else (rows, 3))
    for shape in [x.shape, (2, *x.shape), x.shape[1:], (rows + 1, *x.shape[1:]), (rows * 3,)]:
        outs = [np.zeros(shape), np.zeros(shape)]
        answers = []
        for function, out in zip((prelu, np.multiply), outs, strict=True):
            try:
                answers.append(function(x, np.asarray(weight), out=out).copy())
            except ValueError as error:
                answers.append(type(error))
        if isinstance(answers[1], type):
            assert answers[0] is answers[1], shape
        else:
            np.testing.assert_array_equal(*answers)


def test_slopes_of_channels_in_images():
    """The case in which all channels once had the slope of the first."""
    w = np.arange(1.0, 5)
    for batch in (1, 4, 6, 8):
        x = -np.ones((batch, 4, 32, 32))
        for weight in (w.reshape(1, 4, 1, 1), w.reshape(4, 1, 1), w):
            assert prelu(x, weight)[0, :, 0, 0].tolist() == [-1, -2, -3, -4]
            assert prelu_derivative(x, weight)[-1, :, 5, 5].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("function", [rrelu, rrelu_derivative])
def test_large_bounds_do_not_overflow(function):
    largest = np.finfo(float).max
    x = np.array([-1.0, 1e-300])
    for lower, upper in [(largest, largest), (-largest, largest), (1.7e308, 1.75e308)]:
        middle = -lower / 2 - upper / 2 if function is rrelu else lower / 2 + upper / 2
        assert function(x, lower, upper)[0] == middle
        drawn = function(np.full(100, -1.0), lower, upper, training=True, rng=0)
        drawn = -drawn if function is rrelu else drawn
        assert np.isfinite(drawn).all()
        assert ((drawn >= lower) & (drawn <= upper)).all()


@pytest.mark.parametrize("dtype", ["i1", "f4"])
@pytest.mark.parametrize("bound", [3e38, 1.7e308])
def test_bounds_far_apart_for_the_dtype(dtype, bound):
    x = -np.ones(1000, dtype)
    with np.errstate(over="ignore"):
        slopes = rrelu_derivative(x, -bound, bound, training=True, rng=0).astype(float)
    assert not np.isnan(slopes).any()
    assert (slopes > 0).any()
    assert (slopes < 0).any()
    if bound < 1e39 and dtype == "f4":
        assert np.isfinite(slopes).all()


def test_while_another_thread_imports_a_library(monkeypatch):
    """Its module is there, but has no classes yet."""
    for name in ("torch", "xarray", "pandas", "polars", "pint", "scipy.sparse", "dask.array"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    for x in ([-1.0, 2.0], np.array([-1.0, 2.0]), range(-2, 2), memoryview(np.ones(2))):
        for function in (relu, leaky_relu, rrelu, lambda x: prelu(x, [0.5])):
            assert function(x).dtype == np.float64


class TestRReLU:
    def test_without_training_the_slope_is_the_middle(self):
        x = np.array([-2.0, 3.0])
        np.testing.assert_array_equal(rrelu(x, 0.1, 0.3), leaky_relu(x, 0.2))
        np.testing.assert_array_equal(rrelu_derivative(x, 0.1, 0.3), [0.2, 1])

    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
    def test_slopes_are_uniform(self, dtype):
        x = np.full(20_000, -1, dtype)
        result = rrelu(x, 0.1, 0.3, training=True, rng=0)
        assert result.dtype == dtype
        slopes = np.sort(-result.astype(float))
        assert slopes[0] >= 0.0999
        assert slopes[-1] <= 0.3001
        # Kolmogorov and Smirnov's distance, of which 1.95 / sqrt(n) is the 99.9% point.
        expected = 0.1 + 0.2 * np.arange(1, x.size + 1) / x.size
        assert np.abs(slopes - expected).max() / 0.2 < 1.95 / np.sqrt(x.size) + 1e-3
        assert (rrelu(-x, training=True) == 1).all()

    def test_seeds_and_generators(self):
        x = -np.ones(100)
        seeded = rrelu(x, training=True, rng=1)
        np.testing.assert_array_equal(seeded, rrelu(x, training=True, rng=np.random.default_rng(1)))
        np.testing.assert_array_equal(-rrelu_derivative(x, training=True, rng=1), seeded)
        rng = np.random.default_rng(1)
        assert (rrelu(x, training=True, rng=rng) != rrelu(x, training=True, rng=rng)).any()
        assert (rrelu(x, training=True) != rrelu(x, training=True)).any()

    def test_scalars_and_lists(self):
        assert isinstance(rrelu(-1.0, training=True), np.float64)
        assert isinstance(rrelu(np.float32(-1), training=True), np.float32)
        assert rrelu([-1, 2], training=True).dtype == np.float64

    @pytest.mark.parametrize("bounds", [(0.3, 0.1), (np.nan, 1), (0, np.inf)])
    def test_bad_bounds(self, bounds):
        with pytest.raises(ValueError, match="lower that is not above upper"):
            rrelu([1.0], *bounds)

    def test_bad_generator(self):
        with pytest.raises(TypeError, match=r"numpy.random.Generator or a seed, but is 'seed'"):
            rrelu([1.0], training=True, rng="seed")


def test_import_brings_no_heavy_library():
    code = "import leakyrelu, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"torch", "matplotlib", "jax", "pandas", "scipy", "sklearn", "rich"}
