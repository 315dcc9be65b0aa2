"""PyTorch tensors: computed by PyTorch, with its gradients, devices and rules."""

from __future__ import annotations

import functools
import sys
from typing import Any

import numpy as np

from leakyrelu._arrays.dispatch import (
    SQUARED,
    Arguments,
    Options,
    check_real,
    computes,
    refuse_options,
    wrong_out,
)
from leakyrelu._arrays.sparse import is_sparse, with_sparse
from leakyrelu._kernels import ufuncs


@computes("torch", "Tensor")
def with_torch(ufunc: np.ufunc, arguments: Arguments, out: Any, options: Options) -> Any:
    """Compute the function of `ufunc`; `out` follows PyTorch's rules."""
    torch = sys.modules["torch"]
    refuse_options("a tensor", options)
    if out is not None and not isinstance(out, torch.Tensor):
        raise wrong_out("a tensor", out)
    if any(map(is_sparse, arguments)):
        return with_sparse(ufunc, arguments, out, options)
    if ufunc in SQUARED:
        y = with_torch(SQUARED[ufunc], arguments, None, {})
        return torch.mul(y, y, out=out) if out is not None else y.square()
    x, last = arguments[0], arguments[-1]
    has_number = ufunc is ufuncs.leaky_relu and isinstance(last, (float, int))
    last = float(last) if has_number else last  # PyTorch has no ints beyond 64 bits
    if has_number or ufunc is ufuncs.relu:  # functions that PyTorch has
        if not x.is_floating_point():
            (x,) = _as_floats(torch, ufunc, (x,))
        if has_number:
            if out is None:
                return torch.nn.functional.leaky_relu(x, last)
            return _write(torch, torch.ops.aten.leaky_relu.out, out, x, last)
        return torch.relu(x) if out is None else _write(torch, torch.clamp_min, out, x, 0)
    *arrays, slope = _as_floats(torch, ufunc, arguments)
    one = torch.ones((), dtype=slope.dtype, device=slope.device)
    positive = arrays[-1] > 0
    if ufunc is ufuncs.leaky_relu_derivative:
        return _write(torch, torch.where, out, positive, one, slope)
    # Choosing between two products would let a gradient meet the other one, as inf * 0.
    slopes = torch.where(positive, one, slope)
    return arrays[0] * slopes if out is None else torch.mul(arrays[0], slopes, out=out)


def _write(torch: Any, function: Any, out: Any, x: Any, *others: Any) -> Any:
    """Call a PyTorch function whose `out` must have the dtype of the result.

    As with most of PyTorch's functions, `out` may here have any dtype the result can be cast to.
    """
    dtype = others[-1].dtype if isinstance(others[-1], torch.Tensor) else x.dtype
    if out is None:
        return function(x, *others)
    if out.dtype == dtype:
        return function(x, *others, out=out)
    result = function(x, *others, out=torch.empty((0,), dtype=dtype, device=x.device))
    return torch.mul(result, 1, out=out)


def _as_floats(torch: Any, ufunc: np.ufunc, arguments: Arguments) -> list[Any]:
    """Return tensors of one dtype: what PyTorch promotes the float tensors to, or its default.

    Other arguments are converted to it, on the device of the first tensor.
    """
    given = [value for value in arguments if isinstance(value, torch.Tensor)]
    floats = [tensor for tensor in given if tensor.is_floating_point()]
    floats = [tensor for tensor in floats if tensor.dim()] or floats
    dtypes = [tensor.dtype for tensor in floats] or [torch.get_default_dtype()]
    dtype = functools.reduce(torch.promote_types, dtypes)
    check_real(ufunc, arguments)
    device = given[0].device
    return [
        value.to(dtype)
        if isinstance(value, torch.Tensor)
        else torch.as_tensor(value, dtype=dtype, device=device)
        for value in arguments
    ]
