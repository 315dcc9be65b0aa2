"""Who computes: NumPy's ufunc, or the library that an array belongs to.

NumPy arrays, and whatever speaks NumPy's ufunc protocol (pandas, Dask, xarray, masked
arrays), go to a C++ ufunc. PyTorch tensors and arrays with an Array API namespace (JAX,
CuPy) are computed by their own library, so that autograd, ``jit`` and devices work.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from leakyrelu.kernels import _kernels

__all__ = ["apply", "library_of", "uniform"]


def apply(
    ufunc: np.ufunc, arguments: Sequence[Any], out: Any, ufunc_options: dict[str, Any]
) -> Any:
    """Compute `ufunc`, or what it stands for in the library of one of its arguments."""
    for value in arguments:
        library = library_of(value)
        if library is not None:
            break
    else:
        return _with_numpy(ufunc, arguments, out, ufunc_options)
    if ufunc_options:
        raise TypeError(
            f"{', '.join(f'{option}=' for option in ufunc_options)} is an option for NumPy arrays, "
            f"but an argument is an array of {library.__name__}; leave the option out"
        )
    with_library = _with_torch if library.__name__ == "torch" else _with_array_api
    return with_library(library, ufunc, arguments, out)


# Known without a further look, which would take time.
_WITHOUT_DTYPE = frozenset({float, int, list, tuple})
_OF_NUMPY = _WITHOUT_DTYPE | {np.ndarray}


def library_of(value: Any) -> Any:
    """Return torch, an Array API namespace, or None for what NumPy's ufunc handles."""
    if type(value) in _OF_NUMPY or isinstance(value, (np.ndarray, np.generic)):
        return None
    torch = sys.modules.get("torch")  # before torch is imported there are no tensors
    if torch is not None and isinstance(value, torch.Tensor):
        return torch
    if hasattr(value, "__array_namespace__"):
        return value.__array_namespace__()
    return None


def _not_real(ufunc: np.ufunc, dtype: Any) -> TypeError:
    return TypeError(
        f"{ufunc.__name__} is defined for real numbers, but was given dtype {dtype}; "
        "convert to a float dtype first"
    )


# --- NumPy ---------------------------------------------------------------------------------


def _with_numpy(
    ufunc: np.ufunc, arguments: Sequence[Any], out: Any, ufunc_options: dict[str, Any]
) -> Any:
    *arrays, last = arguments
    for array in arguments:
        dtype = None if type(array) in _WITHOUT_DTYPE else getattr(array, "dtype", None)
        if not isinstance(dtype, np.dtype):
            continue
        is_bfloat16 = _is_bfloat16(dtype)
        if is_bfloat16:
            _add_bfloat16(dtype)
        if type(last) is float and (is_bfloat16 or dtype.kind in "biu"):
            # Beside integers NumPy takes a Python float for a float64, but numpy.sin turns
            # int8 into float16 and int16 into float32.
            last = (dtype if is_bfloat16 else np.result_type(dtype, np.float16)).type(last)
    try:
        return ufunc(*arrays, last, out=out, **ufunc_options)
    except TypeError as error:
        for value in arguments:
            dtype = getattr(value, "dtype", None) or np.asarray(value).dtype
            if getattr(dtype, "kind", "f") not in "biuf" and not _is_bfloat16(dtype):
                raise _not_real(ufunc, dtype) from error
        raise


def _is_bfloat16(dtype: np.dtype[Any]) -> bool:
    return dtype.kind == "V" and dtype.name == "bfloat16"


_added_bfloat16 = threading.Event()
_adding = threading.Lock()


def _add_bfloat16(dtype: Any) -> None:
    with _adding:
        if not _added_bfloat16.is_set():
            _kernels.add_bfloat16(dtype)
            _added_bfloat16.set()


# --- PyTorch and the Array API -------------------------------------------------------------
#
# Both use one formula, the slope at each element, times x for the value: in it a gradient
# never meets the product of the side that was not chosen (inf * 0).


def _with_torch(torch: Any, ufunc: np.ufunc, arguments: Sequence[Any], out: Any) -> Any:
    tensor = next(value for value in arguments if isinstance(value, torch.Tensor))
    *arrays, last = arguments
    functional = torch.nn.functional
    if ufunc is _kernels.leaky_relu and isinstance(last, (float, int)):
        (x,) = _as_tensors(torch, ufunc, arrays, tensor)
        if out is None:
            return functional.leaky_relu(x, last)
        return torch.ops.aten.leaky_relu.out(x, last, out=out)
    tensors = _as_tensors(torch, ufunc, arguments, tensor)
    if ufunc is _kernels.relu:
        result = functional.relu(*tensors)
    else:
        *arrays, slope = tensors
        one = torch.ones((), dtype=arrays[-1].dtype, device=tensor.device)
        slope = torch.where(arrays[-1] > 0, one, slope.to(one))
        result = slope if ufunc is _kernels.leaky_relu_derivative else arrays[0] * slope
    return result if out is None else out.copy_(result)


def _as_tensors(torch: Any, ufunc: np.ufunc, arguments: Sequence[Any], tensor: Any) -> list[Any]:
    """Return float tensors; what is none yet takes dtype and device of `tensor`."""
    dtype = tensor.dtype if tensor.is_floating_point() else torch.get_default_dtype()
    tensors = []
    for value in arguments:
        if not isinstance(value, torch.Tensor):
            value = torch.as_tensor(value, dtype=dtype, device=tensor.device)
        if value.is_complex():
            raise _not_real(ufunc, value.dtype)
        tensors.append(value if value.is_floating_point() else value.to(dtype))
    return tensors


def _with_array_api(xp: Any, ufunc: np.ufunc, arguments: Sequence[Any], out: Any) -> Any:
    if out is not None:
        raise TypeError(f"{xp.__name__} arrays can't be written to with out=; use what is returned")
    array = next(value for value in arguments if library_of(value) is not None)
    is_float = xp.isdtype(array.dtype, "real floating")
    dtype = array.dtype if is_float else xp.asarray(0.0).dtype
    arrays = []
    for value in arguments:
        if library_of(value) is None:
            value = xp.asarray(value, dtype=dtype, device=getattr(array, "device", None))
        if not xp.isdtype(value.dtype, ("real floating", "integral", "bool")):
            raise _not_real(ufunc, value.dtype)
        is_float = xp.isdtype(value.dtype, "real floating")
        arrays.append(value if is_float else xp.astype(value, dtype))
    if ufunc is _kernels.relu:
        (x,) = arrays
        return xp.where(x <= 0, xp.zeros_like(x), x)
    *arrays, slope = arrays
    slope = xp.astype(slope, arrays[-1].dtype)
    slope = xp.where(arrays[-1] > 0, xp.ones_like(slope), slope)
    return slope if ufunc is _kernels.leaky_relu_derivative else arrays[0] * slope


# --- Random numbers ------------------------------------------------------------------------


def uniform(x: Any, lower: float, upper: float, rng: Any) -> Any:
    """Draw a number from [lower, upper) for each element of `x`, in its library and dtype."""
    library = library_of(x)
    if library is None:
        return _uniform_with_numpy(x, lower, upper, rng)
    if library.__name__ == "torch":
        if isinstance(rng, (int, np.integer)):
            rng = library.Generator(x.device).manual_seed(int(rng))
        if rng is not None and not isinstance(rng, library.Generator):
            raise TypeError(
                f"rng must be a torch.Generator or a seed for tensors, but is {rng!r}; "
                "leave it out to use torch's own, which torch.manual_seed sets"
            )
        dtype = x.dtype if x.is_floating_point() else library.get_default_dtype()
        return library.empty_like(x, dtype=dtype, requires_grad=False).uniform_(
            lower, upper, generator=rng
        )
    if library.__name__.startswith("jax"):
        import jax

        if rng is None:
            raise TypeError("JAX keeps no random state; pass a key, rng=jax.random.key(0)")
        key = jax.random.key(rng) if isinstance(rng, (int, np.integer)) else rng
        dtype = x.dtype if library.isdtype(x.dtype, "real floating") else float
        return jax.random.uniform(key, x.shape, dtype, lower, upper)
    noise = library.asarray(
        _generator(rng).uniform(lower, upper, x.shape), device=getattr(x, "device", None)
    )
    return library.astype(noise, x.dtype) if library.isdtype(x.dtype, "real floating") else noise


def _uniform_with_numpy(x: Any, lower: float, upper: float, rng: Any) -> Any:
    given = x.dtype if isinstance(getattr(x, "dtype", None), np.dtype) else np.dtype(float)
    if given.kind in "biu":
        given = np.result_type(given, np.float16)
    package = type(x).__module__.partition(".")[0]
    if package == "xarray":
        return x.copy(data=uniform(x.data, lower, upper, rng))
    if package == "dask" and hasattr(x, "chunks"):
        import dask.array

        generator: Any = dask.array.random.default_rng(rng)
        return generator.uniform(lower, upper, x.shape, chunks=x.chunks).astype(given)
    drawn_in = np.float32 if given.itemsize <= 4 else np.float64
    noise = np.asarray(_generator(rng).random(np.shape(x), drawn_in))
    noise *= upper - lower
    noise += lower
    return noise.astype(given, copy=False)


def _generator(rng: Any) -> np.random.Generator:
    try:
        return np.random.default_rng(rng)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"rng must be a numpy.random.Generator or a seed, but is {rng!r}"
        ) from error
