"""What holds arrays: which dtype, which type, which unit comes back, and the right values."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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

ak = pytest.importorskip("awkward")
da = pytest.importorskip("dask.array")
pl = pytest.importorskip("polars")
sparse = pytest.importorskip("sparse")
torch = pytest.importorskip("torch")
units = pytest.importorskip("astropy.units")
xr = pytest.importorskip("xarray")
xp = pytest.importorskip("array_api_strict")
jnp = pytest.importorskip("jax.numpy")
pint = pytest.importorskip("pint")
sp = pytest.importorskip("scipy.sparse")

registry = pint.UnitRegistry()
FAMILY = {
    "relu": relu,
    "relu_derivative": relu_derivative,
    "leaky_relu": leaky_relu,
    "leaky_relu with a slope": lambda x: leaky_relu(x, 0.1),
    "leaky_relu with an integer slope": lambda x: leaky_relu(x, 1000),
    "leaky_relu_derivative": leaky_relu_derivative,
    "leaky_relu_backward": lambda x: leaky_relu_backward(x, x, 0.1),
    "prelu": lambda x: prelu(x, 0.1),
    "prelu_derivative": lambda x: prelu_derivative(x, 0.1),
    "rrelu": rrelu,
    "rrelu in training": lambda x: rrelu(x, training=True, rng=0),
    "rrelu_derivative in training": lambda x: rrelu_derivative(x, training=True, rng=0),
}

# What holds an array, and the dtype of what it holds.
CONTAINERS = {
    "array": (lambda x: x, lambda y: y.dtype),
    "0-dim array": (lambda x: x[1], lambda y: y.dtype),
    "masked array": (np.ma.array, lambda y: y.dtype),
    "Dask": (lambda x: da.from_array(x, chunks=2), lambda y: y.compute().dtype),
    "DataArray": (lambda x: xr.DataArray(x, dims="n"), lambda y: y.dtype),
    "Variable": (lambda x: xr.Variable("n", x), lambda y: y.dtype),
    "Dataset": (lambda x: xr.Dataset({"v": ("n", x)}), lambda y: y["v"].dtype),
    "lazy DataArray": (
        lambda x: xr.DataArray(da.from_array(x, chunks=2), dims="n"),
        lambda y: y.compute().dtype,
    ),
    "Series": (pd.Series, lambda y: y.dtype),
    "Index": (pd.Index, lambda y: y.dtype),
    "DataFrame": (lambda x: pd.DataFrame({"v": x}), lambda y: y["v"].dtype),
    "mixed DataFrame": (
        lambda x: pd.DataFrame({"other": np.zeros(len(x)), "v": x}),
        lambda y: y["v"].dtype,
    ),
    "awkward": (
        lambda x: ak.unflatten(x, [2, 0, 1]),
        lambda y: ak.to_numpy(ak.ravel(y)).dtype,
    ),
    "astropy": (lambda x: units.Quantity(x, "m", dtype=x.dtype), lambda y: y.dtype),
    "pint": (lambda x: registry.Quantity(x, "m"), lambda y: np.asarray(getattr(y, "m", y)).dtype),
    "pint in xarray": (
        lambda x: xr.DataArray(registry.Quantity(x, "m"), dims="n"),
        lambda y: np.asarray(getattr(y.data, "m", y.data)).dtype,
    ),
}


@pytest.mark.parametrize("dtype", ["?", "i1", "u1", "i2", "i4", "i8", "e", "f", "d", "g"])
@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("function", FAMILY)
def test_a_container_has_the_dtype_of_its_array(container, function, dtype):
    if container == "Index" and dtype in "eg":
        pytest.skip("pandas has no Index of this dtype")
    if container == "awkward" and dtype == "g":
        pytest.skip("awkward arrays have no longdouble")
    make, dtype_of = CONTAINERS[container]
    x = np.array([1, 0, 1], dtype)
    if dtype not in "?u1":
        x[1] = -1
    expected = np.sin(x).dtype
    if container == "Index" and expected == np.float16:
        expected = np.float32  # pandas has no Index of float16
    found = FAMILY[function](make(x))
    assert dtype_of(found) == expected
    kind = type(make(x))
    is_plain = "derivative" in function and container in ("astropy", "pint")
    assert container == "0-dim array" or is_plain or isinstance(found, kind)


# Those whose dtypes are their own; read: result for bool, int8, int16, int64, float32, float64.
OWN_DTYPES = {
    "pandas nullable": (
        lambda x, dtype: pd.Series(x, dtype=dtype),
        ["boolean", "Int8", "Int16", "Int64", "Float32", "Float64"],
        ["Float32", "Float32", "Float32", "Float64", "Float32", "Float64"],
        lambda y: str(y.dtype),
    ),
    "pandas arrow": (
        lambda x, dtype: pd.Series(x, dtype=dtype),
        ["bool[pyarrow]", "int8[pyarrow]", "int16[pyarrow]", "int64[pyarrow]", "float[pyarrow]"],
        [f"{name}[pyarrow]" for name in ("float", "float", "float", "double", "float")],
        lambda y: str(y.dtype),
    ),
    "polars": (
        lambda x, dtype: pl.Series(x, dtype=getattr(pl, dtype)),
        ["Boolean", "Int8", "Int16", "Int64", "Float32", "Float64"],
        ["Float32", "Float32", "Float32", "Float64", "Float32", "Float64"],
        lambda y: str(y.dtype),
    ),
    "scipy.sparse": (
        lambda x, dtype: sp.coo_array(np.array([x], dtype)).tocsr(),
        ["bool", "int8", "int16", "int64", "float32", "float64"],
        ["float32", "float32", "float32", "float64", "float32", "float64"],
        lambda y: str(y.dtype),
    ),
    "torch": (
        lambda x, dtype: torch.tensor(x, dtype=getattr(torch, dtype)),
        ["bool", "int8", "int16", "int64", "float16", "bfloat16", "float32", "float64"],
        ["float32", "float32", "float32", "float32", "float16", "bfloat16", "float32", "float64"],
        lambda y: str(y.dtype).removeprefix("torch."),
    ),
    "torch sparse": (
        lambda x, dtype: torch.tensor([x], dtype=getattr(torch, dtype)).to_sparse(),
        ["int8", "int64", "float32", "float64"],
        ["float32", "float32", "float32", "float64"],
        lambda y: str(y.dtype).removeprefix("torch."),
    ),
    "jax": (
        lambda x, dtype: jnp.array(x, dtype=dtype),
        ["bool", "int8", "int32", "float16", "bfloat16", "float32"],
        ["float32", "float32", "float32", "float16", "bfloat16", "float32"],
        lambda y: str(y.dtype),
    ),
    "array_api_strict": (
        lambda x, dtype: xp.asarray(x, dtype=getattr(xp, dtype)),
        ["bool", "int8", "int64", "float32", "float64"],
        ["float64", "float64", "float64", "float32", "float64"],
        lambda y: str(y.dtype).removeprefix("array_api_strict."),
    ),
    "sparse": (
        lambda x, dtype: sparse.COO.from_numpy(np.array(x, dtype)),
        ["bool", "int8", "int64", "float32", "float64"],
        ["float64", "float64", "float64", "float32", "float64"],
        lambda y: str(y.dtype),
    ),
    "ml_dtypes": (
        lambda x, dtype: np.array(x).astype(getattr(pytest.importorskip("ml_dtypes"), dtype)),
        ["int2", "int4", "float8_e4m3", "float8_e5m2", "float4_e2m1fn", "bfloat16"],
        ["float16", "float16", "float32", "float32", "float32", "bfloat16"],
        lambda y: str(y.dtype),
    ),
}
DENSE_ONLY = ("derivative", "backward")


@pytest.mark.parametrize("container", OWN_DTYPES)
@pytest.mark.parametrize("function", FAMILY)
def test_the_dtypes_of_other_kinds(container, function):
    make, dtypes, results, dtype_of = OWN_DTYPES[container]
    is_sparse = container in ("scipy.sparse", "torch sparse")
    if is_sparse and any(word in function for word in DENSE_ONLY):
        pytest.skip("not sparse")
    for dtype, expected in zip(dtypes, results, strict=True):
        values = [True, False] if "ool" in dtype else [1, -1]
        x = make(values, dtype)
        if function.endswith("training") and container == "jax":
            found = rrelu(x, training=True, rng=0)
        else:
            found = FAMILY[function](x)
        assert dtype_of(found) == expected, dtype
        assert isinstance(found, type(x))


@pytest.mark.parametrize("function", ["relu", "leaky_relu", "leaky_relu_backward", "rrelu"])
def test_missing_values_stay_missing(function):
    frame = pd.DataFrame(
        {
            "nullable": pd.array([-1, pd.NA, 2], "Int8"),
            "arrow": pd.array([-1.0, pd.NA, 2.0], "double[pyarrow]"),
            "float": np.float32([-1, np.nan, 2]),
        }
    )
    found = FAMILY[function](frame)
    assert found.isna().to_numpy()[1].all()
    assert not found.isna().to_numpy()[[0, 2]].any()
    assert found.dtypes.astype(str).tolist() == ["Float32", "double[pyarrow]", "float32"]
    assert found["nullable"][1] is pd.NA
    with_weights = prelu(frame, [1.0, 2.0, 3.0])
    assert with_weights["nullable"][1] is pd.NA
    assert with_weights.iloc[0].tolist() == [-1, -2, -3]


def test_frames_meet_by_their_labels():
    x = pd.DataFrame({"a": [-1.0, -2.0], "b": [-3.0, 4.0]}, index=["r", "s"])
    gradient = x[["b", "a"]].iloc[::-1]
    found = leaky_relu_backward(gradient, x, 0.5)
    assert found.loc["r", "a"] == -0.5
    assert found.loc["s", "b"] == 4
    slopes = pd.Series({"b": 10.0, "a": 1.0})
    for y in (leaky_relu(x, slopes), prelu(x, slopes)):
        assert y.loc["r"].tolist() == [-1, -30]
    assert prelu(x, [1.0, 10.0], axis=0).loc["s"].tolist() == [-20, 4]
    assert prelu(x, pd.Series([1.0, 10.0]), axis=0).loc["s"].tolist() == [-20, 4]
    doubled = pd.DataFrame([[-1.0, -2.0]], columns=["a", "a"])
    assert prelu(doubled, [1.0, 2.0]).iloc[0].tolist() == [-1, -4]
    assert list(prelu(doubled, [1.0, 2.0]).columns) == ["a", "a"]
    assert prelu(x.iloc[:, :0], np.empty(0)).shape == (2, 0)


@pytest.mark.parametrize("dtype", ["i1", "i8", "f4", "f8"])
def test_sparse_columns_stay_sparse(dtype):
    values = np.array([0, 0, -2, 3], dtype)
    x = pd.Series(pd.arrays.SparseArray(values, fill_value=0), index=list("abcd"), name="x")
    other = pd.Series([0.1, 0.2, 0.3, 0.4], index=x.index, name="x").astype(np.sin(values).dtype)
    for function in (
        *FAMILY.values(),
        lambda x: leaky_relu(x, other.loc[x.index] if hasattr(x, "index") else other.to_numpy()),
    ):
        found, expected = function(x), function(values)
        assert isinstance(found.dtype, pd.SparseDtype)
        assert found.dtype.subtype == expected.dtype
        assert found.index.equals(x.index)
        assert found.name == "x"
        if function in (relu, leaky_relu, rrelu, relu_derivative):
            assert found.sparse.npoints == 2
        in_frame = function(x.to_frame())["x"] if function in FAMILY.values() else found
        for each in (found, in_frame):
            if function not in (
                FAMILY["rrelu in training"],
                FAMILY["rrelu_derivative in training"],
            ):
                np.testing.assert_array_equal(each.to_numpy(), expected)


@pytest.mark.parametrize("dtype", ["bool", "int8", "int64", "halffloat", "float", "double"])
@pytest.mark.parametrize("function", FAMILY)
def test_missing_values_of_arrow_stay_missing(function, dtype):
    values = [True, None] if dtype == "bool" else [-2, None]
    x = pd.Series(values, dtype=f"{dtype}[pyarrow]")
    nullable = pd.Series(
        values,
        dtype={"bool": "boolean", "int8": "Int8", "int64": "Int64"}.get(
            dtype, "Float64" if dtype == "double" else "Float32"
        ),
    )
    for each in (FAMILY[function](x), FAMILY[function](x.to_frame())[0]):
        assert each.isna().tolist() == [False, True]
        assert each.dtype.pyarrow_dtype == FAMILY[function](x[:1]).dtype.pyarrow_dtype
        assert each[0] == pytest.approx(FAMILY[function](nullable)[0], rel=1e-3)


class TestXarray:
    x = xr.DataArray(
        np.arange(-12.0, 12).reshape(2, 3, 4), dims=("row", "channel", "time"), attrs={"a": 1}
    )

    @pytest.mark.parametrize("lazy", [False, True])
    @pytest.mark.parametrize("function", [prelu, prelu_derivative])
    def test_slopes_find_their_dimension_by_name(self, function, lazy):
        x = self.x.chunk(2) if lazy else self.x
        for dimension in x.dims:
            slopes = xr.DataArray(np.arange(1.0, 1 + x.sizes[dimension]), dims=dimension)
            found = function(x, slopes)
            axis = x.dims.index(dimension)
            assert found.dims == x.dims
            np.testing.assert_array_equal(found, function(self.x.values, slopes.values, axis=axis))
        both = xr.DataArray(np.arange(1.0, 9).reshape(4, 2), dims=("time", "row"))
        expected = function(self.x.values, both.values.T[:, None, :])
        np.testing.assert_array_equal(function(x, both), expected)

    def test_labels_that_x_has_not(self):
        x = self.x.assign_coords(channel=["r", "g", "b"])
        slopes = xr.DataArray([2.0, 1.0, 3.0], dims="channel", coords={"channel": ["g", "r", "b"]})
        np.testing.assert_array_equal(prelu(x, slopes), prelu(self.x.values, [1.0, 2.0, 3.0]))
        with pytest.raises(ValueError, match="weight and x have different labels along 'channel'"):
            prelu(x, slopes.assign_coords(channel=["g", "r", "y"]))
        with pytest.raises(ValueError, match="weight has a dimension 'channel', but those of x"):
            prelu(xr.Dataset({"a": x, "b": x[:, 0]}), slopes)
        with pytest.raises(TypeError, match="where= goes by position, not by name"):
            leaky_relu(x, where=x > 0)

    def test_a_dimension_that_x_has_not(self):
        with pytest.raises(ValueError, match=r"weight has a dimension 'chanel', but those of x"):
            prelu(self.x, xr.DataArray(np.ones(3), dims="chanel"))

    def test_datasets_of_slopes(self):
        data, slopes = xr.Dataset({"v": self.x}), xr.DataArray([1.0, 2.0, 3.0], dims="channel")
        weight = xr.Dataset({"v": slopes})
        np.testing.assert_array_equal(prelu(data, weight)["v"], prelu(self.x, slopes))
        np.testing.assert_array_equal(prelu(self.x.values, slopes), prelu(self.x, slopes))
        with pytest.raises(TypeError, match="weight is a Dataset, but x has no variables"):
            prelu(self.x.values, weight)

    def test_slopes_without_names_go_by_axis(self):
        for slopes in (np.arange(1.0, 4), [1.0, 2.0, 3.0]):
            np.testing.assert_array_equal(prelu(self.x, slopes), prelu(self.x.values, slopes))

    def test_datasets(self):
        data = xr.Dataset({"a": self.x, "b": self.x.astype("f4") * 2}, attrs={"b": 2})
        slopes = xr.DataArray(np.arange(1.0, 4), dims="channel")
        for function in (
            leaky_relu,
            lambda x: leaky_relu_backward(x, x),
            lambda x: prelu(x, slopes),
            lambda x: prelu(x, slopes.values),
            lambda x: prelu_derivative(x, [0.5]),
            lambda x: leaky_relu_backward(x, data, 0.5),
        ):
            found = function(data)
            assert found.attrs == data.attrs
            assert found["a"].attrs == self.x.attrs
        np.testing.assert_array_equal(prelu(data, slopes)["b"], prelu(data["b"].values, slopes))
        drawn = rrelu(data, training=True, rng=0)
        assert drawn["b"].dtype == np.float32
        slopes = {name: (drawn[name] / data[name]).values for name in "ab"}
        negative = data["a"].values < 0
        for each in slopes.values():
            assert ((each[negative] >= 1 / 8) & (each[negative] <= 1 / 3)).all()
        assert not np.allclose(slopes["a"][negative], slopes["b"][negative])
        xr.testing.assert_equal(drawn, rrelu(data, training=True, rng=0))
        with pytest.raises(TypeError, match="xarray arrays can't be written to with out="):
            leaky_relu(data, out=data)


class TestPolars:
    def test_what_is_no_number_is_refused(self):
        for x in (pl.Series([1]).cast(pl.Date), pl.Series(["a"]), pl.Series([[1.0]])):
            with pytest.raises(TypeError, match="real numbers, but was given dtype"):
                leaky_relu(x)
        with pytest.raises(TypeError, match="polars arrays can't be written to"):
            leaky_relu(pl.Series([1.0]), out=np.ones(1))
        with pytest.raises(TypeError, match="with polars, give a Series, or a collected DataFrame"):
            leaky_relu(pl.LazyFrame({"a": [1.0]}))

    def test_frames_and_slopes(self):
        frame = pl.DataFrame({"a": [-1.0, 2.0], "b": [1, -2]})
        found = leaky_relu(frame, 0.5)
        assert found.to_dict(as_series=False) == {"a": [-0.5, 2], "b": [1, -1]}
        assert prelu(-np.ones((1, 3)), pl.Series([1.0, 2.0, 3.0])).tolist() == [[-1, -2, -3]]
        half = pl.Series([-1.0, 2.0], dtype=pl.Float16)
        assert leaky_relu(half, 0.5).dtype == pl.Float16


class TestDask:
    def unknown(self):
        x = da.from_array(np.arange(40.0).reshape(10, 4) - 20, chunks=(3, 2))
        return x[x[:, 0] > -15]

    @pytest.mark.parametrize("function", FAMILY)
    def test_chunks_of_unknown_size(self, function):
        x = self.unknown()
        found = FAMILY[function](x)
        assert isinstance(found, da.Array)
        known = found.compute()
        if "training" not in function:
            np.testing.assert_array_equal(known, FAMILY[function](x.compute()))
        np.testing.assert_array_equal(known, FAMILY[function](x).compute())

    def test_slopes(self):
        x = self.unknown()
        for weight in (np.arange(1.0, 5), np.arange(1.0, 5).reshape(1, 4), 0.5):
            found = prelu(x, weight).compute()
            np.testing.assert_array_equal(found, prelu(x.compute(), weight))

    def test_blocks_draw_slopes_of_their_own(self):
        x = da.full(4000, -1.0, chunks=1000)
        slopes = -rrelu(x, 0.1, 0.3, training=True, rng=5).compute()
        assert len(np.unique(slopes)) > 3990
        assert slopes.min() >= 0.1
        assert slopes.max() <= 0.3
        other = -rrelu(x, 0.1, 0.3, training=True, rng=6).compute()
        assert not np.isclose(slopes, other).all()

    def test_frames(self):
        dd = pytest.importorskip("dask.dataframe")
        frame = pd.DataFrame({"a": np.float32([-1, 2, -3]), "b": np.int8([1, -2, 3])})
        lazy = dd.from_pandas(frame, npartitions=2)
        for function in (relu, leaky_relu, lambda x: leaky_relu_backward(x, x, 0.5)):
            found = function(lazy)
            assert isinstance(found, dd.DataFrame)
            pd.testing.assert_frame_equal(found.compute(), function(frame))
        pd.testing.assert_series_equal(
            leaky_relu(lazy.a, lazy.b).compute(), leaky_relu(frame.a, frame.b)
        )
        other = dd.from_pandas(frame, npartitions=1)
        with pytest.raises(ValueError, match="need the same divisions to be combined"):
            leaky_relu_backward(lazy.a, other.a, 0.5)
        for slope in (frame.b, np.ones(3), da.ones(3)):
            with pytest.raises(TypeError, match="can only be combined with numbers and its like"):
                leaky_relu(lazy.a, slope)
        with pytest.raises(TypeError, match="can only be combined with numbers and its like"):
            leaky_relu_backward(np.ones(3), lazy.a)
        with pytest.raises(TypeError, match="slopes can't be drawn for a Dask DataFrame"):
            rrelu(lazy, training=True)


def quantity(library, x, unit):
    return units.Quantity(x, unit) if library == "astropy" else registry.Quantity(x, unit)


def value_in(unit, found):
    return found.to_value(unit) if hasattr(found, "to_value") else found.m_as(unit)


@pytest.mark.parametrize("library", ["astropy", "pint"])
class TestUnits:
    """The functions are linear in scale: they commute with a change of unit."""

    X = np.array([[-1.0, 2.0], [3.0, -4.0]])

    @pytest.mark.parametrize(
        "function",
        [relu, leaky_relu, rrelu, lambda x: prelu(x, [0.1, 0.2]), lambda x: leaky_relu(x, 3)],
    )
    def test_values_keep_it(self, library, function):
        x = quantity(library, self.X, "km")
        found = function(x)
        assert isinstance(found, type(x))
        np.testing.assert_array_equal(value_in("km", found), function(self.X))
        np.testing.assert_allclose(value_in("m", found), value_in("m", function(x.to("m"))))
        one = function(quantity(library, -2.0, "km")) if function is leaky_relu else None
        assert one is None or value_in("km", one) == -0.02

    def test_derivatives_have_none(self, library):
        x = quantity(library, self.X, "km")
        for function in (leaky_relu_derivative, relu_derivative, rrelu_derivative):
            assert type(function(x)) is np.ndarray
            np.testing.assert_array_equal(function(x), function(self.X))
        gradient = quantity(library, self.X, "1/s")
        found = leaky_relu_backward(gradient, x, 0.5)
        np.testing.assert_array_equal(
            value_in("1/s", found), leaky_relu_backward(self.X, self.X, 0.5)
        )
        assert type(leaky_relu_backward(self.X, x, 0.5)) is np.ndarray

    def test_drawn_slopes(self, library):
        x = quantity(library, self.X, "km")
        np.testing.assert_array_equal(
            value_in("km", rrelu(x, training=True, rng=0)), rrelu(self.X, training=True, rng=0)
        )

    def test_slopes_are_plain_numbers(self, library):
        x = quantity(library, self.X, "km")
        percent = quantity(library, 50.0, "percent")
        np.testing.assert_allclose(value_in("km", leaky_relu(x, percent)), leaky_relu(self.X, 0.5))
        slopes = quantity(library, np.array([1.0, 2.0]), "")
        np.testing.assert_array_equal(value_in("km", prelu(x, slopes)), prelu(self.X, [1.0, 2.0]))
        assert type(leaky_relu(self.X, percent)) is np.ndarray
        with pytest.raises(TypeError, match="a slope must be a plain number, but has unit"):
            leaky_relu(x, quantity(library, 0.5, "m"))

    def test_out(self, library):
        x = quantity(library, self.X.copy(), "km")
        assert leaky_relu(x, 0.5, out=x) is x
        np.testing.assert_array_equal(value_in("km", x), leaky_relu(self.X, 0.5))
        for out in (np.empty((2, 2)), quantity(library, np.empty((2, 2)), "m")):
            with pytest.raises(TypeError, match="the result has unit k"):
                leaky_relu(x, out=out)


@pytest.mark.parametrize(
    "x",
    [
        registry.Quantity(-5.0, "degC"),
        [-1.0] * units.deg_C,
        [-1.0] * units.imperial.deg_F,
        [-1.0] * units.dB,
        -1.0 * units.mag,
        units.Magnitude(np.array([-1.0, 2.0])),
        units.Dex(np.array([-1.0])),
    ],
)
def test_units_whose_zero_is_not_zero(x):
    with pytest.raises(TypeError, match=r"relu keeps 0 at 0, but 0 .* is an offset or a logarithm"):
        leaky_relu(x)


def test_angles_and_labelled_quantities():
    from astropy.coordinates import Angle

    assert leaky_relu(Angle([-10.0], "deg"), 0.1).to_value("deg").tolist() == [-1]
    data = xr.DataArray(registry.Quantity(np.array([-1.0, 2.0]), "m"), dims="n")
    assert leaky_relu(data, 0.5).data.units == registry.metre
    lazy = registry.Quantity(da.from_array(np.array([-1.0, 2.0])), "m")
    assert leaky_relu(lazy, 0.5).compute().magnitude.tolist() == [-0.5, 2]
    assert rrelu(lazy, training=True, rng=0).shape == (2,)


def test_elements_of_awkward_arrays_draw_each_for_itself():
    x = ak.Array([[-1.0], [-2.0]])[[0, 0, 1]]
    drawn = ak.to_numpy(rrelu(x, 0.1, 0.3, training=True, rng=0))
    assert drawn[0, 0] != drawn[1, 0]


def test_awkward_arrays():
    x = ak.Array([[-1.0, 2.0], [], [-3.0]])
    assert leaky_relu(x, 0.5).tolist() == [[-0.5, 2], [], [-1.5]]
    drawn = rrelu(x, 0.1, 0.3, training=True, rng=0)
    assert 0.1 <= -drawn[0, 0] <= 0.3
    assert drawn.tolist() == rrelu(x, 0.1, 0.3, training=True, rng=0).tolist()
    assert ak.all(rrelu_derivative(x, 0.1, 0.3, training=True, rng=0) * x == drawn)
    with pytest.raises(ValueError, match="rows of different lengths, so it has no axis"):
        prelu(x, [0.1, 0.2])


# --- Arrays of different dtypes together ---------------------------------------------------


DTYPES = st.sampled_from("?bBhHiIlLefdg")


@given(DTYPES, DTYPES, DTYPES)
@settings(max_examples=400)
def test_arrays_decide_together(gradient, x, slope):
    """Which is NumPy's promotion, through numpy.sin."""
    gradient, x, slope = np.ones(2, gradient), np.array([0, 1], x), np.array([1, 1], slope)

    def of(*arrays):
        return np.sin(np.zeros(0, np.result_type(*arrays))).dtype

    found = leaky_relu_backward(gradient, x, 0.1)
    assert found.dtype == of(gradient, x)
    assert found[0] == found.dtype.type(0.1)
    assert leaky_relu_backward(gradient, x, slope).dtype == of(gradient, x, slope)
    assert leaky_relu(x, slope).dtype == of(x, slope)
    assert leaky_relu_derivative(x, slope).dtype == of(x, slope)
    assert prelu(x, slope, axis=0).dtype == of(x, slope)


def test_array_api_arrays_decide_together():
    low, high = xp.asarray([-1.0], dtype=xp.float32), xp.asarray([2.0], dtype=xp.float64)
    mask = xp.asarray([False])
    assert leaky_relu_backward(high, low, 0.1).dtype == xp.float64
    assert float(leaky_relu_backward(high, low, 0.1)[0]) == 0.2
    assert float(leaky_relu_backward(high, mask, 0.1)[0]) == 0.2
    assert leaky_relu(low, high).dtype == xp.float64
    half = jnp.array([-1.0], "float16")
    assert leaky_relu_backward(jnp.array([2.0]), half, 0.1)[0] == np.float32(0.2)


@pytest.mark.parametrize(
    "make",
    [
        np.asarray,
        pd.Series,
        lambda x: pd.DataFrame({"v": x}),
        lambda x: da.from_array(x, chunks=1),
        lambda x: xr.DataArray(x, dims="n"),
    ],
)
@pytest.mark.parametrize("dtype", ["i1", "i2", "f4", "f8"])
def test_a_number_of_numpy_decides_as_in_numpy(make, dtype):
    x = make(np.array([-1, 2], dtype))
    for slope in (np.float64(0.1), np.array(0.1)):
        for y in (leaky_relu(x, slope), leaky_relu_backward(x, x, slope), prelu(x, slope)):
            y = y["v"] if isinstance(y, pd.DataFrame) else y
            assert y.dtype == np.float64


# --- Bad input -----------------------------------------------------------------------------

BAD = [None, "text", 1j, [1j], ["a"], object(), np.array([object()])]


@pytest.mark.parametrize("slope", BAD, ids=str)
@pytest.mark.parametrize(
    "x",
    [
        -1.0,
        [1.0],
        np.ones((2, 2)),
        torch.ones(2, 2),
        pd.Series([1.0]),
        pd.DataFrame([[1.0, 2.0]]),
        xr.DataArray(np.ones((2, 2)), dims=("a", "b")),
        da.ones((2, 2)),
        jnp.ones((2, 2)),
        sp.eye_array(2),
        1.0 * units.m,
    ],
    ids=lambda x: type(x).__name__,
)
def test_a_slope_that_is_no_number(x, slope):
    for function in (leaky_relu, leaky_relu_derivative):
        with pytest.raises(TypeError, match="the slope must be a real number or an array of them"):
            function(x, slope)
    with pytest.raises(TypeError, match="weight must be a real number or an array of them"):
        prelu(x, slope)


def test_rows_of_different_lengths():
    for function in (relu, leaky_relu, rrelu):
        with pytest.raises(ValueError, match="the rows of a list must have equal lengths"):
            function([[1.0], [1.0, 2.0]])
    with pytest.raises(ValueError, match="x has rows of different lengths, so it has no axis"):
        prelu([[1.0], [1.0, 2.0]], [0.1, 0.2])


@pytest.mark.parametrize("bound", [None, "text", 1j, np.array([0.1])], ids=str)
def test_bounds_that_are_no_numbers(bound):
    for x in (-1.0, torch.ones(2), pd.Series([1.0])):
        with pytest.raises(TypeError, match=r"lower must be a number, but is"):
            rrelu(x, bound)
        with pytest.raises(TypeError, match=r"upper must be a number, but is"):
            rrelu(x, 0.1, bound, training=True)


def test_what_holds_no_real_numbers():
    from decimal import Decimal
    from fractions import Fraction

    for x, dtype in [
        (Decimal(1), r"object \(Decimal\)"),
        (np.array([Fraction(1, 2)]), r"object \(Fraction\)"),
        (pd.Series(["a"], dtype="category"), "category"),
        (pd.DataFrame({"a": [1.0], "b": ["x"]}), "str"),
        (pd.Series(pd.to_datetime(["2020-01-01"])), "datetime64"),
        (np.zeros(2, [("a", float)]), r"\[\('a'"),
        (np.rec.array([(1.0,)], dtype=[("a", float)]), r"\(numpy.record"),
        (torch.ones(2) * 1j, "complex64"),
        (sp.eye_array(2) * 1j, "complex128"),
        (xr.DataArray(["a"]), "<U1"),
    ]:
        for function in (relu, leaky_relu, lambda x: rrelu(x, training=True)):
            with pytest.raises(TypeError, match=f"real numbers, but was given dtype {dtype}"):
                function(x)


@pytest.mark.parametrize(
    "x",
    [torch.ones(2), jnp.ones(2), [1.0], np.array([1]), pd.Series([1.0]), da.ones(2)],
    ids=lambda x: type(x).__name__,
)
def test_a_mistyped_keyword(x):
    for function in (relu, leaky_relu, leaky_relu_backward, prelu, rrelu, rrelu_derivative):
        more = {leaky_relu_backward: (x,), prelu: (0.5,)}.get(function, ())
        with pytest.raises(
            TypeError, match=r"got an unexpected keyword argument 'negativ_slope'; did you mean"
        ):
            function(x, *more, negativ_slope=0.1)
    for function in (relu_derivative, rrelu_derivative):
        with pytest.raises(TypeError, match=rf"{function.__name__}\(\) got an unexpected"):
            function(x, ot=1)
    with pytest.raises(TypeError, match=r"relu\(\) got an unexpected.*'negative_slope'$"):
        relu(x if not isinstance(x, np.ndarray) else x.tolist(), negative_slope=0.1)
    with pytest.raises(TypeError, match="axis must be an integer, but is 'c'"):
        prelu(x, [0.5, 0.6], axis="c")
    with pytest.raises(TypeError, match=r"prelu\(\) got an unexpected keyword argument 'axs'"):
        prelu(x, 0.5, axs=1)
    with pytest.raises(TypeError, match=r"rrelu\(\) got an unexpected keyword argument 'lo'$"):
        rrelu(x, lo=1)


def test_the_same_with_numpy():
    with pytest.raises(TypeError, match="unexpected keyword argument 'negativ_slope'"):
        leaky_relu(np.ones(2), negativ_slope=0.1)
