"""The backward pass of PReLU and both passes of RReLU on a CPU: calls of the compiled code."""

from __future__ import annotations

import struct

import torch
from torch import Tensor

from leakyrelu._kernels import layers  # after torch: they share its threads
from leakyrelu.nn._memory import addresses

__all__ = ["prelu_backward", "rrelu"]

_NAMES = {
    dtype: str(dtype).removeprefix("torch.")
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64)
}


def prelu_backward(
    gradient: Tensor,
    x: Tensor,
    weight: Tensor,
    out: Tensor,
    channels: int,
    inner: int,
    is_output: bool = False,
) -> Tensor:
    """Write the gradient of `x` to `out`; return that of `weight`.

    With `is_output`, `x` is the output of PReLU instead of its input, and no slope is 0 or less.

    All but `weight` have their elements in the same order in memory, where element ``i`` belongs
    to channel ``i // inner % channels``; `out` may be `gradient` or `x`.
    """
    weight = weight.contiguous()
    grad_weight = torch.empty_like(weight)
    n = out.numel()
    outer = n // (channels * inner) if n else 0
    each = [(gradient, n), (x, n), (weight, channels), (out, n), (grad_weight, channels)]
    at = addresses(-1, out.dtype, each)
    layers.prelu_backward(_NAMES[out.dtype], *at, outer, channels, inner, is_output)
    return grad_weight


def rrelu(factor: Tensor, x: Tensor, out: Tensor, lower: float, upper: float, *seeds: int) -> None:
    """Write `factor` to `out`, times a slope drawn from a seed where `x` is not positive.

    With several seeds, each is for one of as many equal parts, in the order of memory.
    """
    n = out.numel()
    at = addresses(-1, out.dtype, [(factor, n), (x, n), (out, n)])
    packed = struct.pack(f"{len(seeds)}Q", *seeds)
    layers.rrelu(_NAMES[out.dtype], *at, n, lower, upper, packed)
