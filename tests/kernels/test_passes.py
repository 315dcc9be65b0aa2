"""The compiled passes of the layers, on the memory of NumPy arrays."""

import os
import subprocess
import sys

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from leakyrelu._kernels import layers

FLOATS = ["float16", "bfloat16", "float32", "float64"]
SHAPES = [  # outer, channels, inner
    (1, 1, 1),
    (1, 1, 40_001),
    (5, 3, 1),
    (4099, 3, 1),
    (700, 64, 1),
    (2, 5, 7),
    (37, 12, 49),
    (3, 4, 64),
    (3, 5, 511),
    (2, 3, 40_000),
    (64, 600, 1),
]


def dtype_of(name):
    if name == "bfloat16":
        return np.dtype(pytest.importorskip("ml_dtypes").bfloat16)
    return np.dtype(name)


def wide(x):
    """Return x in a dtype in which the product of two of its kind is exact, for 16 bits."""
    return x.astype(np.float32) if x.dtype.itemsize == 2 else x


def prelu_backward(gradient, x, weight, out):
    outer, channels, inner = x.shape
    grad_weight = np.empty_like(weight)
    addresses = [array.ctypes.data for array in (gradient, x, weight, out, grad_weight)]
    layers.prelu_backward(x.dtype.name, *addresses, outer, channels, inner)
    return grad_weight


def rrelu(factor, x, out, lower, upper, *seeds):
    addresses = [array.ctypes.data for array in (factor, x, out)]
    layers.rrelu(x.dtype.name, *addresses, x.size, lower, upper, np.uint64(seeds).tobytes())
    return out


def example(name, shape):
    dtype = dtype_of(name)
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape).astype(dtype)
    x.ravel()[::7] = rng.choice([0.0, -0.0, 1e-30, -1e-30], x.size)[::7]
    gradient = rng.standard_normal(shape).astype(dtype)
    weight = rng.standard_normal(shape[1]).astype(dtype)
    return gradient, x, weight


def expected_of(gradient, x, weight):
    """Return the output, and for each channel the gradient and the sum of absolute values."""
    slope = np.where(wide(x) > 0, np.float32(1), wide(weight)[:, None])
    out = (wide(gradient) * slope.astype(wide(x).dtype)).astype(x.dtype)
    terms = gradient.astype(np.float64) * x.astype(np.float64) * (wide(x) <= 0)
    return out, terms.sum((0, 2)), np.abs(terms).sum((0, 2))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", FLOATS)
def test_prelu_backward(name, shape):
    gradient, x, weight = example(name, shape)
    output, total, magnitude = expected_of(gradient, x, weight)
    out = np.empty_like(x)
    grad_weight = prelu_backward(gradient, x, weight, out)
    assert np.array_equal(wide(out), wide(output))
    roundoff = np.finfo(wide(x).dtype).eps / 2
    bound = 17 * roundoff * magnitude + 1e-15 * magnitude
    if x.dtype.itemsize < 8:  # and its own rounding
        its_own = {"float16": 2**-11, "bfloat16": 2**-8, "float32": 2**-24}[name]
        bound += its_own * (np.abs(total) + bound) + 1e-7 * (name == "float16")
    assert np.all(np.abs(grad_weight.astype(np.float64) - total) <= bound)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", FLOATS)
def test_out_may_be_what_is_read(name, shape):
    gradient, x, weight = example(name, shape)
    output, _, _ = expected_of(gradient, x, weight)
    expected = prelu_backward(gradient, x, weight, np.empty_like(x))
    for place in (0, 1):
        arrays = [gradient.copy(), x.copy()]
        found = prelu_backward(*arrays, weight, arrays[place])
        assert np.array_equal(wide(arrays[place]), wide(output))
        assert np.array_equal(wide(found), wide(expected))
    both = x.copy()
    prelu_backward(both, both, weight, both)
    assert np.array_equal(wide(both), wide(expected_of(x, x, weight)[0]))


@pytest.mark.parametrize("shape", [(64, 64, 400), (10_000, 64, 1), (1, 1, 1_000_003)])
@pytest.mark.parametrize("name", FLOATS)
def test_the_number_of_threads_changes_no_bit(name, shape):
    gradient, x, weight = example(name, shape)
    found = []
    for threads in (1, 2, 3):
        with threadpool_limits(threads, user_api="openmp"):
            out = np.empty_like(x)
            found.append((prelu_backward(gradient, x, weight, out).tobytes(), out.tobytes()))
            found[-1] += (rrelu(gradient, x, out, 0.1, 0.3, 5).tobytes(),)
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("name", FLOATS)
def test_special_values(name):
    dtype = dtype_of(name)
    special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.5, -1.5])
    x = np.repeat(special, 7).astype(dtype).reshape(1, 1, -1)
    gradient = np.tile(special, 7).astype(dtype).reshape(1, 1, -1)
    with np.errstate(invalid="ignore"):
        output, total, _ = expected_of(gradient, x, np.array([0.0], dtype))
    out = np.empty_like(x)
    prelu_backward(gradient, x, np.array([0.0], dtype), out)
    assert np.array_equal(wide(out), wide(output), equal_nan=True)
    # What positive elements give is left out, infinite times 0 too.
    positive = np.full_like(x, np.inf)
    nothing = prelu_backward(np.zeros_like(x), positive, np.array([0.5], dtype), out)
    assert wide(nothing) == 0
    assert np.isnan(total).all()


def splitmix(seed, count):
    """Return outputs of SplitMix64 number 1 to count."""
    for k in range(1, count + 1):
        z = (seed + k * 0x9E3779B97F4A7C15) % 2**64
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        yield z ^ (z >> 31)


def xoshiro(state, count):
    """Return count outputs of xoshiro128+, of as many generators as state has columns."""
    a, b, c, d = (np.array(row, dtype=np.uint32) for row in state)
    for _ in range(count):
        yield a + d
        shifted = b << np.uint32(9)
        c = c ^ a
        d = d ^ b
        b = b ^ c
        a = a ^ d
        c = c ^ shifted
        d = (d << np.uint32(11)) | (d >> np.uint32(21))


def test_the_references_have_the_published_answers():
    known = [0x599ED017FB08FC85, 0x2C73F08458540FA5, 0x883EBCE5A3F27C77]
    assert list(splitmix(1234567, 3)) == known
    assert [int(x) for x in xoshiro([1, 2, 3, 4], 3)] == [5, 12295, 25178119]


def bits_of(seed, size):
    """Return the random numbers of a pass, of 24 bits each."""
    groups = -(-size // 8192)
    seeds = np.array(list(splitmix(seed, 32 * groups)), dtype=np.uint64).reshape(groups, 2, 16)
    states = np.stack([seeds & np.uint64(0xFFFFFFFF), seeds >> np.uint64(32)], axis=2)
    bits = [np.stack(list(xoshiro(state.reshape(4, 16), 512))) for state in states]
    return np.concatenate([group.ravel() for group in bits])[:size] >> np.uint32(8)


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("size", [1, 15, 16, 17, 511, 8192, 8193, 20_000])
def test_slopes_are_drawn_by_xoshiro(name, size):
    dtype, seed, lower, upper = dtype_of(name), 0x123456789ABCDEF, 0.125, 0.5
    x = np.full(size, -1.0, dtype)
    found = -rrelu(x, x, np.empty_like(x), lower, upper, seed)
    computed = wide(x).dtype.type
    bits = bits_of(seed, size).astype(computed)
    expected = computed(lower) + computed((upper - lower) / 2**24) * bits
    assert np.array_equal(wide(found), wide(expected.astype(dtype)))


@pytest.mark.parametrize("name", ["bfloat16", "float32", "float64"])
@pytest.mark.parametrize("ends", [(-1, 1), (-1, 0), (-1, -1), (-0.9, 0.2), (0, 1), (0.999, 1)])
def test_slopes_up_to_the_largest_number(name, ends):
    x = np.full(20_000, -1.0, dtype_of(name))
    lower, upper = (end * float(np.finfo(wide(x).dtype).max) for end in ends)
    found = -wide(rrelu(x, x, np.empty_like(x), lower, upper, 5)).astype(np.float64)
    # In units of the largest number, as the distance of the bounds is none.
    expected = ends[0] + (ends[1] - ends[0]) * bits_of(5, x.size) / 2**24
    roundoff = {"bfloat16": 2**-8, "float32": 2**-23, "float64": 2**-52}[name]
    is_finite = np.isfinite(found)
    error = np.abs(found / float(np.finfo(wide(x).dtype).max) - expected)
    assert error[is_finite].max(initial=0) <= 2 * roundoff
    # The largest number of bfloat16 is less than that of float32.
    assert np.all(np.abs(expected[~is_finite]) > 1 - roundoff)
    assert is_finite.all() or name == "bfloat16"
    assert not np.isnan(found).any()


@pytest.mark.parametrize("name", FLOATS)
def test_rrelu_backward_has_the_slopes_of_forward(name):
    dtype = dtype_of(name)
    x = np.random.default_rng(0).standard_normal(100_001).astype(dtype)
    slopes = rrelu(np.ones_like(x), x, np.empty_like(x), 0.1, 0.4, 7)
    assert np.array_equal(wide(slopes)[wide(x) > 0], np.ones((wide(x) > 0).sum()))
    drawn = wide(slopes)[wide(x) <= 0]
    assert drawn.min() >= wide(np.array(0.0999, dtype))
    assert drawn.max() <= wide(np.array(0.4, dtype)) * 1.001
    if name in ("float32", "float64"):
        assert np.array_equal(rrelu(x, x, np.empty_like(x), 0.1, 0.4, 7), x * slopes)


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("size", [1, 511, 8193, 40_000])
def test_each_part_is_drawn_by_its_own_seed(name, size):
    x = np.random.default_rng(0).standard_normal((3, size)).astype(dtype_of(name))
    found = rrelu(x, x, np.empty_like(x), 0.1, 0.4, 7, 2**64 - 1, 7)
    for row, seed, own in zip(x, (7, 2**64 - 1, 7), found, strict=True):
        assert np.array_equal(wide(own), wide(rrelu(row, row, np.empty_like(row), 0.1, 0.4, seed)))


def test_no_numbers_no_work():
    empty = np.empty((0, 3, 5), np.float32)
    assert np.array_equal(prelu_backward(empty, empty, np.ones(3, np.float32), empty), np.zeros(3))
    assert rrelu(empty, empty, empty, 0.1, 0.3, 0).size == 0


def test_an_unknown_dtype_is_refused():
    with pytest.raises(TypeError, match="no pass for the dtype int8"):
        layers.rrelu("int8", 0, 0, 0, 0, 0.1, 0.3, bytes(8))


@pytest.mark.parametrize("seeds", [0, 2])
def test_parts_that_are_not_equal_are_refused(seeds):
    with pytest.raises(ValueError, match=f"5 elements are no {seeds} equal parts"):
        layers.rrelu("float32", 0, 0, 0, 5, 0.1, 0.3, bytes(8 * seeds))


@pytest.mark.parametrize("missing", range(5))
def test_prelu_refuses_an_address_of_0(missing):
    addresses = [array.ctypes.data for array in np.ones((5, 6), np.float32)]
    addresses[missing] = 0
    with pytest.raises(ValueError, match=r"an address of \d elements is 0"):
        layers.prelu_backward("float32", *addresses, 2, 3, 1)


@pytest.mark.parametrize("missing", range(3))
def test_rrelu_refuses_an_address_of_0(missing):
    addresses = [array.ctypes.data for array in np.ones((3, 6), np.float32)]
    addresses[missing] = 0
    with pytest.raises(ValueError, match="an address of 6 elements is 0"):
        layers.rrelu("float32", *addresses, 6, 0.1, 0.3, bytes(8))


@pytest.mark.parametrize("sizes", [(-1, 1, 1), (1, -1, 1), (1, 1, -1), (-2, 3, -1)])
def test_sizes_below_0_are_refused(sizes):
    address = np.ones(6, np.float32).ctypes.data
    with pytest.raises(ValueError, match="a size is below 0"):
        layers.prelu_backward("float32", *[address] * 5, *sizes)
    with pytest.raises(ValueError, match="a size is below 0"):
        layers.rrelu("float32", *[address] * 3, min(sizes), 0.1, 0.3, bytes(8))


FORKED = """
import os
import numpy as np
from threadpoolctl import threadpool_limits
from leakyrelu._kernels import layers

x, weight = np.random.default_rng(0).standard_normal(1_000_000), np.array([0.5])

def passes():
    out, sums = np.empty_like(x), np.empty(1)
    addresses = [array.ctypes.data for array in (x, x, weight, out, sums)]
    layers.prelu_backward("float64", *addresses, 1, 1, x.size)
    return bool(np.array_equal(out, np.where(x > 0, x, 0.5 * x)))

with threadpool_limits(3, user_api="openmp"):
    assert passes()
    child = os.fork()
    if child == 0:
        os._exit(0 if passes() else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert passes()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_forked_child_does_not_wait_for_threads_it_has_not():
    subprocess.run([sys.executable, "-c", FORKED], check=True, timeout=60)
