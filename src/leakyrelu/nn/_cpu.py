"""PReLU's way back and RReLU's both ways on a CPU: calls of the compiled passes."""

from __future__ import annotations

import struct

import torch
from torch import Tensor

import leakyrelu._layers as _layers  # after torch: they share its threads

__all__ = ["prelu_backward", "rrelu"]

_NAMES = {
    torch.float16: "float16",
    torch.bfloat16: "bfloat16",
    torch.float32: "float32",
    torch.float64: "float64",
}


def prelu_backward(
    gradient: Tensor, x: Tensor, weight: Tensor, out: Tensor, channels: int, inner: int
) -> Tensor:
    """Write the gradient of `x` to `out`; return that of `weight`.

    All but `weight` lie in memory in one order, and element number ``i`` of it belongs to
    channel ``i // inner % channels``; `out` may be `gradient` or `x`.
    """
    weight = weight.contiguous()
    grad_weight = torch.empty_like(weight)
    addresses = [tensor.data_ptr() for tensor in (gradient, x, weight, out, grad_weight)]
    outer = out.numel() // (channels * inner) if out.numel() else 0
    _layers.prelu_backward(_NAMES[x.dtype], *addresses, outer, channels, inner)
    return grad_weight


def rrelu(factor: Tensor, x: Tensor, out: Tensor, lower: float, upper: float, *seeds: int) -> None:
    """Write `factor` to `out`, times a slope drawn by a seed where `x` is not positive.

    With several seeds, each is for one of as many equal parts, in the order of memory.
    """
    addresses = [tensor.data_ptr() for tensor in (factor, x, out)]
    packed = struct.pack(f"{len(seeds)}Q", *seeds)
    _layers.rrelu(_NAMES[x.dtype], *addresses, out.numel(), lower, upper, packed)
