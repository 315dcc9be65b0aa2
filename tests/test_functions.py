"""The functions as NumPy's own: values, options, promotion, errors."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
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
