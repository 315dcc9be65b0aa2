"""PReLU with one slope per channel: which axis the slopes lie along, and a fast path by rows."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from leakyrelu._arrays.containers import has_names
from leakyrelu._arrays.dispatch import (
    as_array,
    check_options,
    check_real,
    foreign_dtype,
    is_of,
    is_plain,
    library_of,
    must_be_real,
)
from leakyrelu._errors import InputError
from leakyrelu._kernels import ufuncs

__all__ = ["with_weight"]


def with_weight(
    function: Any, by_channel: np.ufunc, x: Any, weight: Any, axis: int, out: Any, options: Any
) -> Any:
    if options:
        check_options(by_channel.__name__, options)
    if has_names(x) and is_of(x, "xarray", "Dataset"):

        def of_variable(part: Any) -> Any:
            of_part = weight[part.name] if is_of(weight, "xarray", "Dataset") else weight
            return with_weight(function, by_channel, part, of_part, axis, out, options)

        return x.map(of_variable, keep_attrs=True)
    slopes = _along(axis, weight, x)
    if options or not _has_rows(x, slopes, out):
        return function(x, slopes, out, **options)
    return _by_rows(by_channel, x, slopes, out)


def _along(axis: int, weight: Any, x: Any) -> Any:
    """Shape the weights so that they broadcast along an axis of `x`."""
    if isinstance(weight, (float, int)):
        return weight
    if has_names(weight) and has_names(x):
        _check_names(weight, x)
        return weight
    if not is_plain(weight):
        weight = _as_weight(weight)
    shape, x_shape = weight.shape, _shape(x)
    if len(shape) != 1:
        _check_broadcast(shape, x_shape)
        return weight
    if shape == (1,):
        return _reshape(weight, ())
    dimensions = len(x_shape)
    if not hasattr(axis, "__index__"):
        raise TypeError(f"axis must be an integer, but is {axis!r}")
    axis = operator.index(axis)
    if not -dimensions <= axis < dimensions:
        raise InputError(
            f"x of shape {tuple(x_shape)} has no axis {axis} for the {shape[0]} slopes of weight; "
            "name the axis of the channels, such as axis=-1"
        )
    if x_shape[axis] not in (shape[0], None):
        raise InputError(
            f"weight has {shape[0]} slopes, but x of shape {tuple(x_shape)} has {x_shape[axis]} "
            f"channels along axis {axis}; give one slope per channel, or another axis"
        )
    after = dimensions - 1 - axis if axis >= 0 else -1 - axis
    return _reshape(weight, (shape[0],) + (1,) * after) if after else weight


def _as_weight(weight: Any) -> Any:
    """Return the weight as an array, or raise if it does not hold real numbers."""
    if is_of(weight, "xarray", "Dataset"):
        raise TypeError("weight is a Dataset, but x has no variables; give one of its variables")
    if has_names(weight):
        weight = weight.data
    if is_of(weight, "polars", "Series"):
        weight = weight.to_numpy()
    array = weight if hasattr(weight, "shape") else as_array(weight)
    if foreign_dtype(array):
        raise TypeError(f"weight {must_be_real(weight)}")
    return array


def _check_names(weight: Any, x: Any) -> None:
    if missing := set(weight.dims) - set(x.dims):
        raise InputError(
            f"weight has a dimension {missing.pop()!r}, but those of x are {tuple(x.dims)}; "
            "name the dimension of x that the slopes are for"
        )
    for dimension in set(weight.indexes) & set(x.indexes):
        if not weight.indexes[dimension].symmetric_difference(x.indexes[dimension]).empty:
            raise InputError(
                f"weight and x have different labels along {dimension!r}; give a slope for each of "
                "x's"
            )


def _shape(x: Any) -> tuple[int | None, ...]:
    """Return the shape of `x`, with None for a length that only computing it would tell."""
    if type(x) is np.ndarray:
        return x.shape  # type: ignore[no-any-return]
    try:
        if not hasattr(x, "shape"):
            check_real(ufuncs.prelu, (x,))
        shape = x.shape if hasattr(x, "shape") else np.shape(x)
    except ValueError as error:  # a ragged list, or an awkward array
        raise InputError(
            "x has rows of different lengths, so it has no axis for several slopes; give one number"
        ) from error
    return tuple(n if isinstance(n, int) else None for n in shape)


def _check_broadcast(shape: Any, x_shape: Any) -> None:
    """Raise unless a weight of `shape` broadcasts to `x_shape` without making it larger."""
    lengths = zip(reversed(shape), reversed(x_shape), strict=False)
    if len(shape) > len(x_shape) or any(n not in (1, m) and m is not None for n, m in lengths):
        raise InputError(
            f"weight of shape {tuple(shape)} does not broadcast to x of shape {tuple(x_shape)}; "
            "give a number, or one slope for each channel"
        )


def _reshape(weight: Any, shape: tuple[int, ...]) -> Any:
    if type(weight) is np.ndarray:
        return weight.reshape(shape)
    library = library_of(weight)
    return np.reshape(weight, shape) if library is None else library.reshape(weight, shape)


# Bytes of x above which `_by_rows` is faster, if the channels are the last axis and if not.
_SMALLEST = {"last": 1 << 18, "not last": 1 << 16}


def _has_rows(x: Any, slopes: Any, out: Any) -> bool:
    """Whether `_by_rows` can compute it and is faster."""
    return (
        type(slopes) is type(x) is np.ndarray
        and x.nbytes >= _SMALLEST["not last"]
        and slopes.size == max(slopes.shape, default=0) > 1  # they lie along one axis
        and (slopes.shape[-1] == 1 or x.nbytes >= _SMALLEST["last"])
        and x.dtype.kind == slopes.dtype.kind == "f"
        and x.flags.c_contiguous
        and (
            out is None
            or (type(out) is np.ndarray and out.shape == x.shape and out.flags.c_contiguous)
        )
        and out is not x
    )


def _by_rows(by_channel: np.ufunc, x: Any, slopes: Any, out: Any) -> Any:
    """Compute each row of a channel with threads, where NumPy would repeat the slopes first."""
    channels = slopes.size
    after = slopes.ndim - 1 - slopes.shape.index(channels)
    inner = math.prod(x.shape[x.ndim - after :])
    shape = (-1, channels, inner) if inner > 1 else (-1, 1, channels)
    slopes = slopes.reshape((channels, 1) if inner > 1 else (1, channels))
    result = by_channel(x.reshape(shape), slopes, out=None if out is None else out.reshape(shape))
    return result.reshape(x.shape) if out is None else out
