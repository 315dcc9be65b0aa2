"""The compiled loops: every bit, every layout, any number of threads."""

import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from threadpoolctl import threadpool_limits

import leakyrelu
from leakyrelu import leaky_relu, leaky_relu_backward, leaky_relu_derivative, prelu, relu
from leakyrelu._functions import prelu_derivative
from leakyrelu._kernels import ufuncs

NATIVE = [np.float16, np.float32, np.float64, np.longdouble]
SPECIAL = [np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, 5e-324, -5e-324, 1.5, -1.5, 6e-8, -6e-8]
LARGE = 500_000  # elements: more than one thread gets some, of float16 too


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    with threadpool_limits(request.param, user_api="openmp"):
        yield request.param


def bfloat16():
    return np.dtype(pytest.importorskip("ml_dtypes").bfloat16)


def wide(x):
    """Return x in a dtype in which the product of two of its kind is exact, for 16 bits."""
    return x.astype(np.float32) if x.dtype.itemsize == 2 else x


def formula(x, a):
    """Return the definition, the product rounded once to the dtype of x."""
    with np.errstate(all="ignore"):
        return np.where(wide(x) > 0, wide(x), wide(x) * wide(np.asarray(a, x.dtype))).astype(
            x.dtype
        )


def derivative_formula(x, a):
    return np.where(wide(x) > 0, np.asarray(1, x.dtype), np.asarray(a, x.dtype))


def relu_formula(x):
    return np.where(wide(x) <= 0, np.asarray(0, x.dtype), x)


def backward_formula(gradient, x, a):
    with np.errstate(all="ignore"):
        return (wide(gradient) * wide(derivative_formula(x, a))).astype(x.dtype)


def assert_same_bits(found, expected):
    """NaN for NaN, and all other values with their sign."""
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    found, expected = wide(found), wide(expected)
    numbers = ~np.isnan(expected)
    assert np.array_equal(numbers, ~np.isnan(found))
    assert np.array_equal(found[numbers], expected[numbers])
    assert np.array_equal(np.signbit(found[numbers]), np.signbit(expected[numbers]))


def assert_family(x, a):
    with np.errstate(all="ignore"):  # signalling NaNs and overflows may be among them
        assert_same_bits(leaky_relu(x, a), formula(x, a))
        assert_same_bits(leaky_relu_derivative(x, a), derivative_formula(x, a))
        assert_same_bits(relu(x), relu_formula(x))
        gradient = x[::-1].copy()
        assert_same_bits(leaky_relu_backward(gradient, x, a), backward_formula(gradient, x, a))


@pytest.mark.parametrize("slope", [0.01, 0.25, 0.0, 1.0, -1.0, 3.0, 1000.0, 1e-7])
def test_every_float16(slope):
    x = np.arange(2**16, dtype=np.uint16).view(np.float16)
    assert_family(x, np.float16(slope))


@pytest.mark.parametrize("slope", [0.01, 0.0, -1.0, 3e38])
def test_every_bfloat16(slope):
    x = np.arange(2**16, dtype=np.uint16).view(bfloat16())
    assert_family(x, slope)


def test_ten_million_random_float32():
    rng = np.random.default_rng(0)
    for part in range(10):
        x = rng.integers(0, 2**32, 1_000_003, dtype=np.uint32).view(np.float32)
        assert_family(x, np.float32([0.01, 0.25, -1.5, 0.0, 7.0][part % 5]))


@pytest.mark.parametrize("dtype", [np.float64, np.longdouble])
def test_random_wide_floats(dtype):
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2**64, 200_003, dtype=np.uint64, endpoint=False)
    with np.errstate(all="ignore"):
        assert_family(bits.view(np.float64).astype(dtype), dtype(0.01))


@pytest.mark.parametrize("dtype", NATIVE)
@pytest.mark.parametrize("size", [1, 3, 12, 64, 1000, LARGE])
def test_special_values_without_a_warning(dtype, size, threads):
    with np.errstate(under="ignore"):
        x = np.resize(np.array(SPECIAL).astype(dtype), size)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_same_bits(leaky_relu(x), formula(x, dtype(0.01)))
        assert_same_bits(leaky_relu_derivative(x), derivative_formula(x, dtype(0.01)))
        assert_same_bits(relu(x), relu_formula(x))
        positive = np.full(size, np.inf, dtype)
        assert_same_bits(leaky_relu(positive, 0.0), positive)  # not inf * 0


@pytest.mark.parametrize("dtype", NATIVE)
def test_what_another_thread_meets_is_warned_of(dtype, threads):
    x = np.ones(LARGE, dtype)
    x[-1] = -np.inf
    with pytest.warns(RuntimeWarning, match="invalid value encountered in leaky_relu"):
        assert np.isnan(leaky_relu(x, 0.0)[-1])
    x[-1] = -np.finfo(dtype).max
    with pytest.warns(RuntimeWarning, match="overflow encountered in leaky_relu"):
        assert leaky_relu(x, 2.0)[-1] == -np.inf


def layouts(x):
    """Return views of the same one-dimensional array, with the same elements in another order."""
    n = len(x) // 12 * 12
    spread = np.repeat(x[:n], 3)
    odd = np.frombuffer(b"\0" + x[:n].tobytes(), np.uint8)[1:].view(x.dtype)
    return {
        "contiguous": x[:n],
        "every third": spread[::3],
        "backwards": x[:n][::-1],
        "transposed": x[:n].reshape(12, -1).T,
        "rows apart": spread.reshape(12, -1)[:, : n // 12],
        "broadcast": np.broadcast_to(x[:12, None], (12, 40)),
        "unaligned": odd,
        "swapped": x[:n].astype(x.dtype.newbyteorder()),
    }


@pytest.mark.parametrize("dtype", NATIVE)
@pytest.mark.parametrize("size", [24, LARGE])
def test_any_layout(dtype, size, threads):
    rng = np.random.default_rng(0)
    x = rng.standard_normal(size).astype(dtype)
    slopes = layouts(rng.uniform(0, 1, size).astype(dtype))
    gradients = layouts(rng.standard_normal(size).astype(dtype))
    for name, view in layouts(x).items():
        plain = np.array(view, dtype, order="C")
        for slope in (dtype(0.3), slopes[name], np.array(slopes[name], dtype)):
            a = np.array(slope, dtype, order="C")
            assert_same_bits(np.asarray(leaky_relu(view, slope), dtype), formula(plain, a))
            out = np.empty(view.shape[::-1], dtype).T  # as no input lies
            assert leaky_relu_backward(gradients[name], view, slope, out=out) is out
            gradient = np.array(gradients[name], dtype, order="C")
            assert_same_bits(np.array(out), backward_formula(gradient, plain, a))


@pytest.mark.parametrize("slope", [0.01, 0.3, -1.0, 0.0, 1e-9, 1e30, 7])
@pytest.mark.parametrize("size", [24, LARGE])
@pytest.mark.parametrize("dtype", [*NATIVE, "bfloat16"])
def test_a_slope_filled_in(dtype, size, slope, threads):
    """The ufunc of one input less has the numbers of the one with a slope of the dtype of x."""
    dtype = bfloat16().type if dtype == "bfloat16" else dtype
    leaky_relu(np.zeros(1, dtype))  # bfloat16 is known from now on
    x = np.random.default_rng(0).standard_normal(size).astype(dtype)
    with np.errstate(all="ignore"):
        a = np.asarray(slope, np.float64).astype(dtype)
        for view in layouts(x).values():
            for ufunc, arrays in (
                (ufuncs.leaky_relu, [view]),
                (ufuncs.leaky_relu_derivative, [view]),
                (ufuncs.leaky_relu_backward, [view[::-1], view]),
            ):
                filled = ufuncs.with_slope(ufunc.__name__, slope)
                assert filled.nin == len(arrays)
                found = np.asarray(filled(*arrays), dtype)
                assert_same_bits(found, np.asarray(ufunc(*arrays, a), dtype))


def test_a_slope_too_large_for_the_dtype_is_warned_of():
    with pytest.warns(RuntimeWarning, match="overflow encountered in leaky_relu"):
        found = ufuncs.with_slope("leaky_relu", 1e300)(np.float32([-1, 2]))
    assert found.tolist() == [-np.inf, 2]


def test_a_slope_needs_a_ufunc_that_has_one():
    for name in ("relu", "prelu", "sin"):
        with pytest.raises(ValueError, match=f"no elementwise ufunc {name} with a slope"):
            ufuncs.with_slope(name, 0.1)
    with pytest.raises(TypeError):
        ufuncs.with_slope("leaky_relu", None)


@pytest.mark.parametrize("shift", [-70_000, -513, -3, -1, 0, 1, 3, 513, 70_000])
@pytest.mark.parametrize("step", [1, -1, 2])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_out_may_overlap_x(shift, step, dtype, threads):
    """As with every ufunc the result is that of x as it was before the call."""
    buffer = np.random.default_rng(0).standard_normal(LARGE + 200_000).astype(dtype)
    x, out = buffer[80_000:-80_000:step], buffer[80_000 + shift : shift - 80_000 : step]
    if step == -1:
        x, out = buffer[80_000:-80_000][::-1], buffer[80_000 + shift : shift - 80_000][::-1]
    assert len(x) > LARGE / 2
    expected = formula(x.copy(), dtype(0.1))
    assert leaky_relu(x, 0.1, out=out) is out
    np.testing.assert_array_equal(out, expected)


def test_out_may_be_a_part_of_the_slopes_or_gradient(threads):
    rng = np.random.default_rng(0)
    x, buffer = rng.standard_normal(LARGE), rng.uniform(0, 1, LARGE + 1)
    expected = formula(x, buffer[:-1])
    np.testing.assert_array_equal(leaky_relu(x, buffer[:-1], out=buffer[1:]), expected)
    gradient = rng.standard_normal(LARGE)
    expected = backward_formula(gradient, x, 0.1)
    np.testing.assert_array_equal(leaky_relu_backward(gradient, x, 0.1, out=gradient), expected)


def test_ufunc_methods_take_element_after_element(threads):
    """Each element may depend on the one before: no vectors, no threads."""
    x = np.random.default_rng(0).standard_normal(LARGE)
    expected = list(itertools.accumulate(x.tolist(), lambda x, a: x if x > 0 else a * x))
    np.testing.assert_array_equal(ufuncs.leaky_relu.accumulate(x), expected)
    assert ufuncs.leaky_relu.reduce(x) == expected[-1]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("offset", [0, 1, 7])
def test_stores_past_the_caches(dtype, offset, threads):
    """More than 32 MiB, not a multiple of four pages, and not on a cache line's edge."""
    n = (32 << 20) // dtype().itemsize + 10_001
    rng = np.random.default_rng(0)
    x = np.resize(rng.standard_normal(99_991).astype(dtype), n + offset)[offset:]
    out = np.full(n + offset + 1, 77, dtype)
    assert leaky_relu(x, 0.25, out=out[offset:-1]).base is out
    np.testing.assert_array_equal(out[offset:-1], formula(x, dtype(0.25)))
    assert (out[:offset] == 77).all()
    assert out[-1] == 77


dtypes = st.sampled_from([np.float16, np.float32, np.float64])
shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=9)


@settings(max_examples=200)
@given(dtypes, shapes, st.floats(-3, 3, width=16), st.data())
def test_views_where_and_out(dtype, shape, slope, data):
    """Slices, negative strides and transposed axes; where= leaves the rest of out alone."""
    elements = st.floats(-100, 100, width=16)
    x = data.draw(hnp.arrays(dtype, shape, elements=elements))
    view = x[data.draw(hnp.basic_indices(x.shape, allow_newaxis=True))] if x.ndim else x
    view = np.transpose(view)
    expected = formula(np.array(view), dtype(slope))
    assert_same_bits(np.asarray(leaky_relu(view, slope)), expected)
    where = data.draw(hnp.arrays(bool, np.shape(view)))
    out = np.full(np.shape(view), 7, dtype)
    leaky_relu(view, slope, out=out, where=where)
    assert_same_bits(out, np.where(where, expected, dtype(7)))


@pytest.mark.parametrize("dtype", NATIVE)
@pytest.mark.parametrize("shape", [(2, 3), (300, 400), (30, 40, 10, 11), (3, 90, 1, 500)])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_a_slope_for_each_channel(dtype, shape, axis, threads):
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape).astype(dtype)
    weight = rng.uniform(-1, 1, shape[axis]).astype(dtype)
    along = np.moveaxis(np.broadcast_to(weight, np.moveaxis(x, axis, -1).shape), -1, axis)
    expected = formula(x, along)
    assert_same_bits(prelu(x, weight, axis), expected)
    assert_same_bits(prelu_derivative(x, weight, axis), derivative_formula(x, along))
    out = np.empty_like(x)
    assert prelu(x, weight, axis, out=out) is out
    assert_same_bits(out, expected)
    assert_same_bits(np.asarray(prelu(np.asfortranarray(x), weight, axis)), expected)
    assert prelu(x, weight, axis, out=x) is x
    assert_same_bits(x, expected)


def test_stores_past_the_caches_for_each_channel(threads):
    """More than 32 MiB in rows of more than 64 KiB; rows begin anywhere in a cache line."""
    x = np.resize(np.random.default_rng(0).standard_normal(99_991), (90, 3, 20_003))
    weight = np.array([0.5, -0.5, 0.1])
    np.testing.assert_array_equal(prelu(x, weight), formula(x, weight[:, None]))


def test_the_ufuncs_are_loaded_for_this_processor():
    assert ufuncs.instruction_set in ("baseline", "avx2", "avx512")
    assert leakyrelu.relu is not ufuncs.relu
