"""Series and data frames: computed by column, in the dtypes that the library has."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np

from leakyrelu._arrays.dispatch import (
    Arguments,
    Options,
    apply,
    check_real,
    computes,
    is_number,
    is_of,
    not_real,
    refuse_options,
    refuse_out,
    with_numpy,
)
from leakyrelu._errors import InputError
from leakyrelu._kernels import ufuncs

# --- pandas --------------------------------------------------------------------------------


@computes("pandas", "Series")
def _with_series(ufunc: np.ufunc, arguments: Arguments, out: Any, options: Options) -> Any:
    import pandas

    series = [value for value in arguments if isinstance(value, pandas.Series)]
    if any(isinstance(value.dtype, pandas.ArrowDtype) for value in series):
        masked = [_masked(value) for value in arguments]
        return _as_arrow(with_numpy(ufunc, masked, out, options), series)
    if any(isinstance(value.dtype, pandas.SparseDtype) for value in series) and out is None:
        check_real(ufunc, arguments)
        refuse_options("a sparse Series", options)
        return _with_sparse_series(ufunc, arguments)
    return with_numpy(ufunc, arguments, out, options)


def _masked(value: Any) -> Any:
    """Return an Arrow-backed Series in a nullable dtype of pandas, so missing values stay missing.

    NumPy would see a NaN for each, which has a derivative like any number.
    """
    if not hasattr(getattr(value, "dtype", None), "pyarrow_dtype"):
        return value
    numpy_dtype = value.dtype.numpy_dtype
    if numpy_dtype.kind not in "biuf":
        return value  # to be refused later
    own = {"b": "boolean", "i": "Int", "u": "UInt", "f": "Float"}[numpy_dtype.kind]
    bits = max(8 * numpy_dtype.itemsize, 32 if numpy_dtype.kind == "f" else 8)
    return value.astype(own if own == "boolean" else f"{own}{bits}")


def _as_arrow(result: Any, series: Sequence[Any]) -> Any:
    name = {"Float32": "float", "Float64": "double"}[str(result.dtype)]
    dtypes = {str(value.dtype) for value in series if hasattr(value.dtype, "pyarrow_dtype")}
    if dtypes == {"halffloat[pyarrow]"}:
        name = "halffloat"
    return result.astype(f"{name}[pyarrow]")


def _with_sparse_series(ufunc: np.ufunc, arguments: Sequence[Any]) -> Any:
    """Compute the stored values and the fill value; together with other arrays, all values."""
    import pandas

    def compute(part: Callable[[Any], Any]) -> Any:
        parts = [
            part(value) if isinstance(getattr(value, "dtype", None), pandas.SparseDtype) else value
            for value in arguments
        ]
        return apply(ufunc, parts, None, {})

    if all(is_number(value) for value in arguments[1:]):
        (x, *_) = arguments
        values = compute(lambda value: value.array.sp_values)
        fill = compute(lambda value: np.asarray(value.dtype.fill_value, value.dtype.subtype))
        index, make = x.array.sp_index, cast(Any, pandas.arrays.SparseArray)
        if hasattr(make, "from_indices"):  # pandas 3.1 and later, where the other way is deprecated
            at = index.to_int_index().indices
            stored = make.from_indices(values, at, len(x), fill_value=fill)
        else:
            stored = make(values, sparse_index=index, fill_value=fill)
        return pandas.Series(stored, index=x.index, name=x.name)
    dense = compute(lambda value: value.sparse.to_dense())
    return dense.astype(pandas.SparseDtype(dense.dtype, dense.dtype.type(0)))


@computes("pandas", "DataFrame")
def _with_frame(ufunc: np.ufunc, arguments: Arguments, out: Any, options: Options) -> Any:
    import pandas

    frames = [value for value in arguments if isinstance(value, pandas.DataFrame)]
    own = (pandas.ArrowDtype, pandas.SparseDtype)  # NumPy alone would lose these
    has_own = any(isinstance(dtype, own) for frame in frames for dtype in frame.dtypes)
    if sum(not is_number(value) for value in arguments) == 1 and not has_own:
        return with_numpy(ufunc, arguments, out, options)  # pandas goes by column itself
    refuse_out("where columns are computed one by one, pandas", out)
    refuse_options("a DataFrame that goes column by column", options)
    check_real(ufunc, arguments)
    frame = functools.reduce(lambda one, other: one.align(other)[0], frames)

    def columns(value: Any) -> Callable[[int], Any]:
        if is_number(value):
            return lambda i: value
        if isinstance(value, pandas.DataFrame):
            value = value.align(frame)[0]
            return lambda i: value.iloc[:, i]
        if isinstance(value, pandas.Series):  # a value per column, as in pandas' arithmetic
            value = value.reindex(frame.columns)
        value = np.broadcast_to(np.asarray(value), frame.shape)
        return lambda i: value[:, i]

    of_each = [columns(value) for value in arguments]
    places = range(frame.shape[1])
    results = [apply(ufunc, [column(i) for column in of_each], None, {}) for i in places]
    if not results:
        return frame.copy()
    joined = pandas.concat(results, axis=1, keys=places)
    return joined.set_axis(frame.columns, axis=1)


# --- polars --------------------------------------------------------------------------------


@computes("polars", "Series", "DataFrame", "LazyFrame")
def _with_polars(ufunc: np.ufunc, arguments: Arguments, out: Any, options: Options) -> Any:
    import polars

    refuse_out("polars", out)
    first, *others = arguments
    if isinstance(first, polars.DataFrame) and all(map(is_number, others)):
        return polars.DataFrame([apply(ufunc, [c, *others], None, options) for c in first])
    if any(is_of(value, "polars", "DataFrame", "LazyFrame") for value in arguments):
        raise TypeError("with polars, give a Series, or a collected DataFrame and one slope")
    series = {i: v for i, v in enumerate(arguments) if isinstance(v, polars.Series)}
    for position, value in series.items():
        is_decimal = value.dtype.base_type() is polars.Decimal
        if is_decimal or not (value.dtype.is_numeric() or value.dtype == polars.Boolean):
            raise not_real(ufunc, position, value)
    half = getattr(polars, "Float16", None)
    casts: dict[Any, Any] = {half: polars.Float32}  # polars can't call ufuncs of float16
    casts |= dict.fromkeys((polars.Int8, polars.UInt8, polars.Boolean), polars.Int16)
    wider = list(arguments)
    for position, value in series.items():
        wider[position] = value.cast(casts.get(value.dtype, value.dtype))
    found = with_numpy(ufunc, wider, None, options)
    return found.cast(half) if all(v.dtype == half for v in series.values()) else found


# --- Dask ----------------------------------------------------------------------------------


@computes("dask.dataframe", "DataFrame", "Series")
def _with_dask_frame(ufunc: np.ufunc, arguments: Arguments, out: Any, options: Options) -> Any:
    import dask.dataframe

    refuse_out("Dask", out)
    refuse_options("a Dask DataFrame", options)
    lazy = (dask.dataframe.DataFrame, dask.dataframe.Series)
    frames = [value for value in arguments if isinstance(value, lazy)]
    if not all(is_number(value) or isinstance(value, lazy) for value in arguments):
        raise TypeError(
            "a Dask DataFrame or Series can only be combined with numbers and its like; use "
            "x.to_dask_array(lengths=True)"
        )
    # Otherwise partitions with different rows would be combined.
    if any(frame.divisions != frames[0].divisions for frame in frames):
        raise InputError(
            "Dask frames need the same divisions to be combined; repartition one of them: "
            "y.repartition(divisions=x.divisions)"
        )
    return dask.dataframe.map_partitions(_of_partition, *arguments, name=ufunc.__name__)


def _of_partition(*arguments: Any, name: str) -> Any:
    return apply(getattr(ufuncs, name), arguments, None, {})
