"""Leaky ReLU against its formula, NumPy's own rules, and the autograd of PyTorch and JAX."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from leakyrelu import leaky_relu, leaky_relu_derivative

FLOATS = [np.float16, np.float32, np.float64, np.longdouble]
SPECIAL = [np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, 5e-324, -5e-324, 1.5, -1.5]


def formula(x, a):
    """Return the definition, the product rounded once to the dtype of x."""
    with np.errstate(all="ignore"):
        wide = x.astype(np.float32) if x.dtype == np.float16 else x  # exact for float16
        return np.where(x > 0, wide, wide * wide.dtype.type(a)).astype(x.dtype)


def assert_same_bits(found, expected):
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    np.testing.assert_array_equal(found, expected)  # takes NaNs for equal, and -0.0 for 0.0
    numbers = ~np.isnan(expected)
    assert np.array_equal(np.signbit(found)[numbers], np.signbit(expected)[numbers])


@pytest.mark.parametrize("slope", [0.01, 0.25, 0.0, 1.0, -1.0, 3.0])
def test_every_float16(slope):
    x = np.arange(2**16, dtype=np.uint16).view(np.float16)
    with np.errstate(all="ignore"):
        assert_same_bits(leaky_relu(x, slope), formula(x, np.float16(slope)))
        expected = np.where(x > 0, np.float16(1), np.float16(slope))
        assert_same_bits(leaky_relu_derivative(x, slope), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_random_bit_patterns(dtype):
    bits = np.random.default_rng(0).bytes(100_003 * dtype().itemsize)
    x = np.frombuffer(bits, dtype)
    with np.errstate(all="ignore"):  # signalling NaNs are among them
        assert_same_bits(leaky_relu(x), formula(x, dtype(0.01)))
        assert_same_bits(leaky_relu_derivative(x), np.where(x > 0, dtype(1), dtype(0.01)))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("size", [1, 3, 64, 1000])  # below and above a block of the kernel
def test_special_values_without_a_warning(dtype, size):
    with np.errstate(under="ignore"):
        x = np.resize(np.array(SPECIAL).astype(dtype), size)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_same_bits(leaky_relu(x), formula(x, dtype(0.01)))
        assert_same_bits(leaky_relu_derivative(x), np.where(x > 0, dtype(1), dtype(0.01)))
        positive = np.full(size, np.inf, dtype)
        assert_same_bits(leaky_relu(positive, 0.0), positive)  # not inf * 0


def test_zero_times_infinity_is_nan_and_warned_of():
    with pytest.warns(RuntimeWarning, match="invalid value encountered in leaky_relu"):
        assert np.isnan(leaky_relu(-np.inf, 0.0))


slopes = st.floats(-3, 3)
arrays = hnp.arrays(
    st.sampled_from([np.float32, np.float64]),
    hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=7),
    elements=st.floats(-100, 100, width=16),
)


@given(arrays, slopes, st.data())
def test_any_view(x, slope, data):
    """Slices, negative strides and transposed axes."""
    view = x[data.draw(hnp.basic_indices(x.shape, allow_newaxis=True))] if x.ndim else x
    view = np.transpose(view)
    expected = formula(np.asarray(view), view.dtype.type(slope))
    assert_same_bits(np.asarray(leaky_relu(view, slope)), expected)


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


@pytest.mark.parametrize("shift", [-3, -1, 0, 1, 3])
def test_out_may_overlap_x(shift):
    """As with every ufunc the result is that of x as it was before the call."""
    buffer = np.random.default_rng(0).standard_normal(2000)
    x, out = buffer[10:1900], buffer[10 + shift : 1900 + shift]
    expected = formula(x, 0.1)
    assert leaky_relu(x, 0.1, out=out) is out
    np.testing.assert_array_equal(out, expected)


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
    for function in (leaky_relu, leaky_relu_derivative):
        assert function(x).dtype == np.sin(x).dtype
    assert leaky_relu(-x.astype(int), 0.5).tolist() == [-0.5, 0]


def test_unaligned_and_swapped_arrays():
    x = np.arange(-5.0, 5.0)
    unaligned = np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(np.float64)
    for odd in (unaligned, x.astype(">f8")):
        np.testing.assert_array_equal(leaky_relu(odd), formula(x, 0.01))


def test_scalar_in_scalar_out_and_list_in_array_out():
    assert isinstance(leaky_relu(-3), np.float64)
    assert isinstance(leaky_relu(np.float32(-3)), np.float32)
    assert isinstance(leaky_relu([-3]), np.ndarray)
    assert leaky_relu((-3, 2), 0.5).tolist() == [-1.5, 2.0]
    assert leaky_relu(np.array(-3.0), 0.5) == -1.5
    assert leaky_relu([]).shape == (0,)


@pytest.mark.parametrize("x", [1j, np.ones(2, complex), "text", ["a"], [None], object()])
def test_what_is_no_real_number_is_refused(x):
    for function in (leaky_relu, leaky_relu_derivative):
        with pytest.raises(TypeError, match="real numbers, but was given dtype"):
            function(x)


def test_pandas_and_masked_arrays_stay_what_they_are():
    import pandas as pd

    series = pd.Series([-1.0, 2.0], index=["a", "b"], name="s")
    pd.testing.assert_series_equal(
        leaky_relu(series, 0.5), pd.Series([-0.5, 2.0], index=["a", "b"], name="s")
    )
    frame = pd.DataFrame({"x": [-1.0, 2.0]})
    assert leaky_relu(frame)["x"].tolist() == [-0.01, 2.0]
    masked = leaky_relu(np.ma.array([-1.0, 2.0], mask=[True, False]))
    assert isinstance(masked, np.ma.MaskedArray)
    assert masked.mask.tolist() == [True, False]


class TestTorch:
    """Tensors stay tensors, with the gradients that PyTorch gives."""

    torch = pytest.importorskip("torch")

    def test_value_and_gradient_are_those_of_torch(self):
        torch = self.torch
        values = torch.tensor([*SPECIAL[:6], 1.5, -1.5])
        results = []
        for function in (leaky_relu, torch.nn.functional.leaky_relu):
            x = values.clone().requires_grad_()
            y = function(x, 0.1)
            y.backward(torch.arange(8.0))
            results.append((y.detach(), x.grad))
        torch.testing.assert_close(*results, rtol=0, atol=0, equal_nan=True)
        torch.testing.assert_close(
            leaky_relu_derivative(values, 0.1) * torch.arange(8.0), results[0][1], rtol=0, atol=0
        )

    def test_a_slope_per_channel_learns_as_in_prelu(self):
        torch = self.torch
        x = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
        a = torch.rand(3, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(leaky_relu, (x, a))
        torch.testing.assert_close(leaky_relu(x, a), torch.prelu(x, a))

    def test_the_slope_gets_no_gradient_of_the_positive_side(self):
        torch = self.torch
        a = torch.tensor(0.0, requires_grad=True)
        leaky_relu(torch.tensor([np.inf, -2.0]), a).sum().backward()
        assert a.grad == -2  # not NaN, which inf * 0 would make

    @pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
    def test_dtype_stays(self, dtype):
        x = self.torch.tensor([-1.0, 1.0], dtype=getattr(self.torch, dtype))
        for function in (leaky_relu, leaky_relu_derivative):
            for slope in (0.5, self.torch.tensor(0.5)):
                assert function(x, slope).dtype == x.dtype

    def test_out(self):
        torch = self.torch
        x = torch.tensor([-1.0, 1.0])
        for function, expected in (
            (leaky_relu, [-0.5, 1]),
            (leaky_relu_derivative, [0.5, 1]),
        ):
            out = torch.empty(2)
            assert function(x, 0.5, out=out) is out
            assert out.tolist() == expected
        leaky_relu(x, 0.5, out=x)
        assert x.tolist() == [-0.5, 1]

    def test_integers_become_the_default_float(self):
        assert leaky_relu(self.torch.tensor([-1, 2])).dtype == self.torch.float32

    def test_a_tensor_slope_with_a_number(self):
        assert leaky_relu(-2.0, self.torch.tensor([0.1, 0.5])).tolist() == pytest.approx([-0.2, -1])

    def test_bad_input(self):
        with pytest.raises(TypeError, match=r"where= is an option for NumPy arrays"):
            leaky_relu(self.torch.ones(2), where=True)
        with pytest.raises(TypeError, match="real numbers"):
            leaky_relu(self.torch.tensor(1j))


class TestJax:
    """JAX arrays stay JAX arrays, under its transformations."""

    jax = pytest.importorskip("jax")

    def test_value_is_that_of_jax(self):
        x = self.jax.numpy.array([*SPECIAL[:6], 2.0, -2.0])
        for slope in (0.1, 0.0):
            expected = self.jax.nn.leaky_relu(x, slope)
            found = self.jax.jit(leaky_relu)(x, slope)
            assert isinstance(found, self.jax.Array)
            np.testing.assert_array_equal(found, expected)

    def test_gradient(self):
        x = self.jax.numpy.array([-2.0, -0.0, 0.0, 3.0, np.inf])
        expected = [0.1, 0.1, 0.1, 1, 1]
        found = self.jax.vmap(self.jax.grad(leaky_relu), in_axes=(0, None))(x, 0.1)
        np.testing.assert_allclose(found, expected)
        np.testing.assert_allclose(self.jax.jit(leaky_relu_derivative)(x, 0.1), expected)

    def test_gradient_of_the_slope(self):
        slope_gradient = self.jax.grad(leaky_relu, argnums=1)
        assert slope_gradient(-2.0, 0.1) == -2
        assert slope_gradient(self.jax.numpy.array(np.inf), 0.0) == 0

    def test_integers_become_the_default_float(self):
        assert leaky_relu(self.jax.numpy.array([-1, 2])).dtype == np.float32

    def test_bad_input(self):
        x = self.jax.numpy.ones(2)
        with pytest.raises(TypeError, match="can't be written to"):
            leaky_relu(x, out=x)
        with pytest.raises(TypeError, match="real numbers"):
            leaky_relu(x * 1j)


def test_import_brings_no_heavy_library():
    code = "import leakyrelu, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"torch", "matplotlib", "jax", "pandas", "scipy", "sklearn", "rich"}
