"""Sparse arrays of SciPy and PyTorch: 0 maps to 0, so only stored elements are computed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from leakyrelu._arrays.dispatch import (
    Arguments,
    Options,
    apply,
    check_real,
    computes,
    float_dtype,
    is_number,
    is_of,
    refuse_options,
    refuse_out,
)
from leakyrelu._errors import InputError
from leakyrelu._kernels import ufuncs

__all__ = ["is_sparse", "on_stored", "with_sparse", "would_be_dense"]


def is_sparse(x: Any) -> bool:
    """Whether `x` is a sparse array of SciPy or PyTorch."""
    if is_of(x, "torch", "Tensor"):
        is_strided = x.layout is sys.modules["torch"].strided
        return not is_strided and str(x.layout).startswith("torch.sparse")
    return is_of(x, "scipy.sparse", "sparray", "spmatrix")


@computes("scipy.sparse", "sparray", "spmatrix")
def with_sparse(ufunc: np.ufunc, arguments: Arguments, out: Any, options: Options) -> Any:
    """Compute `ufunc` of a sparse array and a slope."""
    x, *slopes = arguments
    refuse_options("a sparse array", options)
    refuse_out("sparse", out)
    check_real(ufunc, arguments)
    if ufunc is ufuncs.leaky_relu_backward or not is_sparse(x) or any(map(is_sparse, slopes)):
        raise TypeError(
            f"{ufunc.__name__} takes a sparse array only as x; make it dense first, with "
            ".toarray() or .to_dense()"
        )
    are_zero = all(is_number(slope) and slope == 0 for slope in slopes)
    if ufunc is ufuncs.leaky_relu_derivative and not are_zero:
        raise would_be_dense()
    return on_stored(lambda *stored: apply(ufunc, stored, None, {}), x, *slopes)


def would_be_dense() -> TypeError:
    """Return the error for the derivative of a sparse array."""
    return TypeError(
        "the derivative of a sparse array is dense, as it is the slope at 0; make x dense first, "
        "with .toarray() or .to_dense()"
    )


def on_stored(function: Callable[..., Any], x: Any, *slopes: Any) -> Any:
    """Return a sparse array of `function` applied to each stored element of `x` and its slopes.

    Slopes are numbers, or arrays that broadcast to the shape of `x`. Infinity and NaN are refused,
    as 0 would not stay 0.
    """
    check_real(ufuncs.relu, (x,))
    if is_of(x, "torch", "Tensor"):
        return _on_stored_by_torch(function, x, slopes)
    for slope in slopes:
        if not np.isfinite(np.asarray(slope, dtype=float)).all():
            raise InputError(_INFINITE)
    return _on_stored_by_scipy(function, x, slopes)


_INFINITE = "the slope for a sparse array must be finite, or 0 would not stay 0"


def _on_stored_by_scipy(function: Callable[..., Any], x: Any, slopes: Sequence[Any]) -> Any:
    is_flat = all(map(is_number, slopes)) and x.format in ("bsr", "coo", "csc", "csr")
    result = x.copy() if is_flat else x.tocoo(copy=True)
    result.sum_duplicates()  # the function of a sum is not the sum of the function
    values = result.data
    if float_dtype(values.dtype) == np.float16:
        values = values.astype(np.float32)  # SciPy has no sparse float16
    if not is_flat:
        slopes = [np.broadcast_to(np.asarray(slope), x.shape)[result.coords] for slope in slopes]
    result.data = function(values, *slopes)
    return result if is_flat else result.asformat(x.format)


def _on_stored_by_torch(function: Callable[..., Any], x: Any, slopes: Sequence[Any]) -> Any:
    torch = sys.modules["torch"]
    are_numbers = all(map(is_number, slopes))
    if not are_numbers:
        slopes = [torch.as_tensor(slope, device=x.device) for slope in slopes]
    if not all(np.isfinite(s) if are_numbers else torch.isfinite(s).all() for s in slopes):
        raise InputError(_INFINITE)
    if x.layout is not torch.sparse_coo and are_numbers:
        by_row = x.layout in (torch.sparse_csr, torch.sparse_bsr)
        starts, others = ("crow", "col") if by_row else ("ccol", "row")
        indices = (getattr(x, f"{each}_indices")() for each in (starts, others))
        parts = *indices, function(x.values(), *slopes), x.shape
        return torch.sparse_compressed_tensor(*parts, layout=x.layout, check_invariants=False)
    if x.layout is not torch.sparse_coo and x.dim() - x.dense_dim() > 2:
        raise TypeError(
            "a batch of compressed sparse tensors takes a single slope; for several, use "
            "x.to_sparse_coo()"
        )
    stored = x.to_sparse_coo().coalesce()
    indices = stored.indices()
    if not are_numbers:
        slopes = [slope.expand(x.shape)[tuple(indices)] for slope in slopes]
    values = function(stored.values(), *slopes)
    result = torch.sparse_coo_tensor(
        indices, values, x.shape, is_coalesced=True, check_invariants=False
    )
    if x.layout is torch.sparse_coo:
        return result
    blocks = x.values().shape[1:] if x.layout in (torch.sparse_bsr, torch.sparse_bsc) else None
    return result.to_sparse(layout=x.layout, blocksize=blocks)
