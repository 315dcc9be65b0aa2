"""Arrays of other libraries: their type, their laziness, their gradients."""

import numpy as np
import pytest

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

SPECIAL = [np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, 1.5, -1.5]
X = np.array([[-1.0, 2.0, -3.0], [0.0, -0.5, 4.0]])
WEIGHT = np.array([0.1, 0.2, 0.3])

# Each function with what it takes beside x, for a first look at every library.
FAMILY = [
    (relu, {}),
    (relu_derivative, {}),
    (leaky_relu, {"negative_slope": 0.2}),
    (leaky_relu_derivative, {"negative_slope": 0.2}),
    (prelu, {"weight": WEIGHT}),
    (prelu_derivative, {"weight": WEIGHT}),
    (rrelu, {}),
    (rrelu_derivative, {}),
]


def test_bfloat16():
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    x = X.astype(bfloat16)
    for function, options in FAMILY:
        result = function(x, **{k: np.asarray(v, bfloat16) for k, v in options.items()})
        assert result.dtype == bfloat16
        np.testing.assert_allclose(result.astype(float), function(X, **options), rtol=2**-7)
    assert leaky_relu(x, 0.5, out=x) is x
    assert x.tolist()[0] == [-0.5, 2, -1.5]
    drawn = rrelu(x, training=True, rng=0)
    assert drawn.dtype == bfloat16
    assert leaky_relu_backward(x, x, 0.5).dtype == bfloat16
    assert isinstance(leaky_relu(bfloat16(-2), 0.5), bfloat16)


def test_dask_stays_lazy():
    da = pytest.importorskip("dask.array")
    computed = []

    def load(block):
        computed.append(block.size)
        return block

    lazy = da.from_array(X, chunks=(1, 2)).map_blocks(load, dtype=float, meta=np.empty((0, 0)))
    results = [function(lazy, **options) for function, options in FAMILY]
    drawn = rrelu(lazy, training=True, rng=0)
    drawn_again = rrelu(lazy, training=True, rng=0)
    weighted = prelu(lazy, da.from_array(WEIGHT, chunks=2))
    assert computed == []
    for result, (function, options) in zip(results, FAMILY, strict=True):
        assert isinstance(result, da.Array)
        assert result.chunks == lazy.chunks
        np.testing.assert_array_equal(result.compute(), function(X, **options))
    np.testing.assert_array_equal(weighted.compute(), prelu(X, WEIGHT))
    slopes = drawn.compute()[X < 0] / X[X < 0]
    assert ((slopes >= 1 / 8) & (slopes <= 1 / 3)).all()
    np.testing.assert_array_equal(drawn.compute(), drawn_again.compute())
    assert rrelu(lazy.astype("f4"), training=True).dtype == np.float32


def test_xarray_keeps_names_and_laziness():
    xr = pytest.importorskip("xarray")
    data = xr.DataArray(X, dims=("row", "channel"), coords={"row": ["a", "b"]}, name="x")
    for function, options in FAMILY:
        result = function(data, **options)
        assert isinstance(result, xr.DataArray)
        assert result.dims == data.dims
        assert result.row.values.tolist() == ["a", "b"]
        np.testing.assert_array_equal(result, function(X, **options))
    named = xr.DataArray(WEIGHT, dims="channel")
    np.testing.assert_array_equal(leaky_relu(data, named), prelu(X, WEIGHT))
    assert rrelu(data, training=True, rng=0).dims == data.dims
    da = pytest.importorskip("dask.array")
    for result in (leaky_relu(data.chunk(1)), rrelu(data.chunk(1), training=True)):
        assert isinstance(result.data, da.Array)


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
    for function, options in FAMILY:
        frame = pd.DataFrame(X, columns=list("abc"))
        pd.testing.assert_frame_equal(
            function(frame, **options), pd.DataFrame(function(X, **options), columns=list("abc"))
        )
    nullable = leaky_relu(pd.Series([-1.0, None], dtype="Float64"), 0.5)
    assert nullable.dtype == "Float64"
    assert nullable.isna().tolist() == [False, True]
    assert rrelu(series, training=True, rng=0).index.tolist() == ["a", "b"]


class TestArrayAPI:
    """A namespace that allows nothing but the standard."""

    xp = pytest.importorskip("array_api_strict")

    @pytest.mark.parametrize(("function", "options"), FAMILY)
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_family(self, function, options, dtype):
        x = self.xp.asarray(X, dtype=getattr(self.xp, dtype))
        result = function(x, **options)
        assert type(result) is type(x)
        assert result.dtype == x.dtype
        expected = function(X.astype(dtype), **options)
        np.testing.assert_allclose(np.from_dlpack(result), expected, rtol=1e-6)

    def test_device_and_weights(self):
        device = self.xp.Device("device1")
        x = self.xp.asarray(X, device=device)
        weight = self.xp.asarray(WEIGHT, device=device)
        for result in (leaky_relu(x), prelu(x, WEIGHT), prelu(x, weight), relu(x)):
            assert result.device == device
        assert rrelu(x, training=True, rng=0).device == device
        assert leaky_relu_backward(x, x).device == device
        assert prelu(x, self.xp.asarray([0.5], device=device)).shape == x.shape

    def test_integers_become_the_default_float(self):
        assert relu(self.xp.asarray([-1, 2])).dtype == self.xp.float64

    def test_bad_input(self):
        x = self.xp.asarray(X)
        with pytest.raises(TypeError, match="array_api_strict arrays can't be written to"):
            relu(x, out=x)
        with pytest.raises(TypeError, match=r"real numbers, but was given dtype .*complex128"):
            relu(self.xp.asarray([1j]))


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

    @pytest.mark.parametrize(("function", "options"), FAMILY)
    def test_family(self, function, options):
        x = self.torch.tensor(X, dtype=self.torch.float32)
        result = function(x, **options)
        assert result.dtype == x.dtype
        np.testing.assert_allclose(result, function(X, **options), rtol=1e-6)
        out = self.torch.empty_like(x)
        assert function(x, **options, out=out) is out
        assert self.torch.equal(out, result)

    def test_prelu_is_that_of_torch(self):
        torch = self.torch
        x = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
        weight = torch.rand(3, dtype=torch.float64, requires_grad=True)
        torch.testing.assert_close(prelu(x, weight), torch.prelu(x, weight), rtol=0, atol=0)
        assert torch.autograd.gradcheck(prelu, (x, weight))
        last = x.detach().movedim(1, -1)
        expected = torch.prelu(x, weight).movedim(1, -1)
        torch.testing.assert_close(prelu(last, weight, axis=-1), expected)

    def test_relu_and_its_gradient_are_those_of_torch(self):
        torch = self.torch
        results = []
        for function in (relu, torch.relu):
            x = torch.tensor(SPECIAL, requires_grad=True)
            function(x).sum().backward()
            results.append(x.grad)
        torch.testing.assert_close(*results, rtol=0, atol=0)

    def test_backward_is_that_of_autograd(self):
        torch = self.torch
        x = torch.randn(50, requires_grad=True)
        gradient = torch.randn(50)
        leaky_relu(x, 0.3).backward(gradient)
        assert torch.equal(leaky_relu_backward(gradient, x.detach(), 0.3), x.grad)

    def test_rrelu_draws_from_the_generators_of_torch(self):
        torch = self.torch
        x = -torch.ones(1000)
        torch.manual_seed(3)
        first = rrelu(x, training=True)
        assert ((first <= -1 / 8) & (first >= -1 / 3)).all()
        torch.manual_seed(3)
        assert torch.equal(rrelu(x, training=True), first)
        assert torch.equal(rrelu(x, training=True, rng=3), first)
        generator = torch.Generator().manual_seed(3)
        assert torch.equal(rrelu(x, training=True, rng=generator), first)
        assert torch.equal(-rrelu_derivative(x, training=True, rng=3), first)
        with pytest.raises(TypeError, match=r"torch.Generator or a seed for tensors"):
            rrelu(x, training=True, rng=np.random.default_rng(0))


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

    @pytest.mark.parametrize(("function", "options"), FAMILY)
    def test_family(self, function, options):
        x = self.jax.numpy.asarray(X, dtype=np.float32)
        result = self.jax.jit(lambda x: function(x, **options))(x)
        assert isinstance(result, self.jax.Array)
        np.testing.assert_allclose(result, function(X, **options), rtol=1e-6)

    def test_relu_and_its_gradient_are_those_of_jax(self):
        x = self.jax.numpy.array([*SPECIAL[2:6], 2.0, -2.0])
        np.testing.assert_array_equal(relu(x), self.jax.nn.relu(x))
        gradients = [self.jax.vmap(self.jax.grad(f))(x) for f in (relu, self.jax.nn.relu)]
        np.testing.assert_array_equal(*gradients)

    def test_prelu_learns(self):
        def loss(weight):
            return prelu(self.jax.numpy.asarray(X), weight).sum()

        gradient = self.jax.grad(loss)(self.jax.numpy.asarray(WEIGHT))
        np.testing.assert_allclose(gradient, [-1, -0.5, -3])

    def test_bfloat16_stays_under_jit(self):
        x = self.jax.numpy.asarray(X, dtype="bfloat16")
        assert self.jax.jit(leaky_relu)(x, 0.1).dtype == x.dtype

    def test_rrelu_draws_with_a_key(self):
        x = -self.jax.numpy.ones(100)
        key = self.jax.random.key(0)
        drawn = self.jax.jit(lambda x, key: rrelu(x, training=True, rng=key))(x, key)
        assert ((drawn <= -1 / 8) & (drawn >= -1 / 3)).all()
        np.testing.assert_array_equal(drawn, rrelu(x, training=True, rng=0))
        np.testing.assert_array_equal(-rrelu_derivative(x, training=True, rng=key), drawn)
        with pytest.raises(TypeError, match=r"rng=jax.random.key"):
            rrelu(x, training=True)
