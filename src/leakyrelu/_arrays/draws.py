"""The slopes of RReLU: drawn by the library of the array, in the dtype of the result."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from leakyrelu._arrays.dispatch import as_array, check_real, float_dtype, is_of, library_of
from leakyrelu._arrays.sparse import is_sparse, would_be_dense
from leakyrelu._errors import InputError
from leakyrelu._kernels import ufuncs

__all__ = ["generator", "slopes_between"]


def slopes_between(x: Any, lower: float, upper: float, training: bool, rng: Any) -> Any:
    """Return a slope for each element of `x` in training, else the one in the middle."""
    lower, upper = _bounds(lower, upper)
    if training:
        return uniform(x, lower, upper, rng)
    middle = (lower + upper) / 2
    return middle if math.isfinite(middle) else lower / 2 + upper / 2


def _bounds(lower: Any, upper: Any) -> tuple[float, float]:
    for name, bound in (("lower", lower), ("upper", upper)):
        is_number = isinstance(bound, (float, int))
        if not is_number and (np.ndim(bound) > 0 or not hasattr(bound, "__float__")):
            raise TypeError(f"{name} must be a number, but is {bound!r}")
    if not (math.isfinite(lower) and math.isfinite(upper) and lower <= upper):
        raise InputError(
            f"slopes are drawn between two finite numbers, but lower={lower} and upper={upper}; "
            "give a lower that is not above upper"
        )
    return float(lower), float(upper)


def uniform(x: Any, lower: float, upper: float, rng: Any) -> Any:
    """Draw a number from [lower, upper) for each element of `x`."""
    if is_sparse(x):  # rrelu itself draws for the stored elements
        raise would_be_dense()
    draw = functools.partial(uniform, lower=lower, upper=upper)
    if is_of(x, "pint", "Quantity"):
        return draw(x.magnitude, rng=rng)
    if is_of(x, "xarray", "DataArray", "Variable"):
        return x.copy(data=draw(x.data, rng=rng))
    if is_of(x, "xarray", "Dataset"):
        return x.map(draw, keep_attrs=True, rng=generator(rng))
    if is_of(x, "pandas", "DataFrame"):
        rng = generator(rng)
        return x.apply(lambda column: type(column)(draw(column, rng=rng), column.index))
    if is_of(x, "polars", "Series"):
        return draw(x.to_numpy(), rng=rng)
    if is_of(x, "dask.dataframe", "DataFrame", "Series"):
        raise TypeError(
            "slopes can't be drawn for a Dask DataFrame; use x.to_dask_array(lengths=True)"
        )
    if is_of(x, "dask.array", "Array"):
        entropy = int(generator(rng).integers(2**63))
        return x.map_blocks(_of_block, lower, upper, entropy, dtype=float_dtype(x.dtype))
    if is_of(x, "awkward", "Array"):
        return _of_awkward(x, functools.partial(draw, rng=generator(rng)))
    if not math.isfinite(upper - lower):
        return 2 * uniform(x, lower / 2, upper / 2, rng)
    library = library_of(x)
    if library is None:
        return _with_numpy(x, lower, upper, rng)
    if library.__name__ == "torch":
        return _with_torch(x, lower, upper, rng)
    is_float = library.isdtype(x.dtype, "real floating")
    dtype = x.dtype if is_float else library.asarray(0.0).dtype
    if library.__name__.startswith("jax"):
        import jax

        if rng is None:
            raise TypeError("JAX keeps no random state; pass a key, rng=jax.random.key(0)")
        if not isinstance(rng, (int, np.integer, jax.Array)):
            raise TypeError(f"rng must be a JAX key or a seed for JAX arrays, but is {rng!r}")
        key = jax.random.key(rng) if isinstance(rng, (int, np.integer)) else rng
        if upper - lower > float(library.finfo(dtype).max):
            return 2 * jax.random.uniform(key, x.shape, dtype, lower / 2, upper / 2)
        return jax.random.uniform(key, x.shape, dtype, lower, upper)
    drawn = generator(rng).uniform(lower, upper, x.shape)
    return library.asarray(drawn, dtype=dtype, device=getattr(x, "device", None))


def _of_block(block: Any, lower: float, upper: float, entropy: int, block_id: Any = ()) -> Any:
    """Draw for a block of a Dask array, the same numbers each time it is computed."""
    return uniform(block, lower, upper, [entropy, *block_id])


def _of_awkward(x: Any, draw: Any) -> Any:
    import awkward

    x = awkward.to_packed(x)  # otherwise two elements may share their memory

    def of_layout(layout: Any, **_: Any) -> Any:
        return awkward.contents.NumpyArray(draw(layout.data)) if layout.is_numpy else None

    return awkward.transform(of_layout, x)


def _with_torch(x: Any, lower: float, upper: float, rng: Any) -> Any:
    import torch

    if isinstance(rng, (int, np.integer)):
        rng = torch.Generator(x.device).manual_seed(int(rng))
    if rng is not None and not isinstance(rng, torch.Generator):
        raise TypeError(
            f"rng must be a torch.Generator or a seed for tensors, but is {rng!r}; "
            "leave it out to use PyTorch's global one, which torch.manual_seed seeds"
        )
    dtype = x.dtype if x.is_floating_point() else torch.get_default_dtype()
    is_wide = max(upper - lower, abs(lower), abs(upper)) > torch.finfo(dtype).max
    drawn_in = torch.float64 if is_wide else dtype
    drawn = torch.empty_like(x, dtype=drawn_in, requires_grad=False)
    return drawn.uniform_(lower, upper, generator=rng).to(dtype)


def _with_numpy(x: Any, lower: float, upper: float, rng: Any) -> Any:
    check_real(ufuncs.relu, (x,))
    dtype = getattr(x, "dtype", None)
    if not isinstance(dtype, np.dtype):  # pandas wraps the dtypes of NumPy
        dtype = getattr(dtype, "numpy_dtype", getattr(dtype, "subtype", None))
    dtype = float_dtype(as_array(x).dtype if dtype is None else dtype)
    is_wide = upper - lower > float(np.finfo(np.float32).max)
    drawn_in = np.float64 if dtype.itemsize > 4 or is_wide else np.float32
    drawn = np.asarray(generator(rng).random(np.shape(x), drawn_in))
    drawn *= upper - lower
    drawn += lower
    return drawn.astype(dtype, copy=False)


def generator(rng: Any) -> np.random.Generator:
    """Return NumPy's generator for a seed, or the given one."""
    try:
        return np.random.default_rng(rng)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"rng must be a numpy.random.Generator or a seed, but is {rng!r}"
        ) from error
