"""The backward pass of PReLU and both passes of RReLU on a GPU, in Triton.

Each program stores its sums, and PyTorch adds them up: the result does not depend on the order in
which programs run.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from leakyrelu.nn._memory import addresses

__all__ = ["prelu_backward", "rrelu"]

_SHORTEST_ROW = 64
_LONGEST_BLOCK = 4096
_GROUPS = 1024  # of periods, at most: several per multiprocessor


@triton.jit
def _by_rows(gradient, x, weight, out, sums, channels, inner, segments, BLOCK: tl.constexpr):
    """Compute a segment of a row, which belongs to one channel."""
    item = tl.program_id(0).to(tl.int64)
    row = item // segments
    position = item % segments * BLOCK + tl.arange(0, BLOCK)
    at = row * inner + position
    inside = position < inner
    computed = sums.dtype.element_ty
    slope = tl.load(weight + row % channels).to(computed)
    g = tl.load(gradient + at, mask=inside, other=0).to(computed)
    z = tl.load(x + at, mask=inside, other=0).to(computed)
    tl.store(out + at, tl.where(z > 0, g, g * slope), mask=inside)
    tl.store(sums + item, tl.sum(tl.where(z > 0, 0, g * z)))


@triton.jit
def _by_columns(
    gradient,
    x,
    weight,
    out,
    sums,
    n,
    period,
    once,
    inner,
    each,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Compute columns of a group of periods; `once` is a period without repeats."""
    group = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    is_column = column < period
    computed = sums.dtype.element_ty
    slope = tl.load(weight + column % once // inner, mask=is_column, other=0).to(computed)
    total = tl.zeros((ROWS, COLUMNS), computed)
    for first in range(0, each, ROWS):
        row = first + tl.arange(0, ROWS)
        at = (group * each + row[:, None]) * period + column[None, :]
        inside = (row[:, None] < each) & is_column[None, :] & (at < n)
        g = tl.load(gradient + at, mask=inside, other=0).to(computed)
        z = tl.load(x + at, mask=inside, other=0).to(computed)
        tl.store(out + at, tl.where(z > 0, g, g * slope[None, :]), mask=inside)
        total += tl.where(z > 0, 0, g * z)
    tl.store(sums + group * period + column, tl.sum(total, 0), mask=is_column)


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

    Like `leakyrelu.nn._cpu.prelu_backward`. Sums are in float32, or in float64 for float64.
    """
    n = out.numel()
    computed = torch.promote_types(x.dtype, torch.float32)
    shape: tuple[int, ...]
    if n == 0:
        return torch.zeros_like(weight)
    with torch.cuda.device_of(x):
        weight = weight.contiguous()
        each = [(gradient, n), (x, n), (weight, channels), (out, n)]
        addresses(out.get_device(), out.dtype, each)
        if inner >= _SHORTEST_ROW:
            block = min(triton.next_power_of_2(inner), _LONGEST_BLOCK)
            segments = triton.cdiv(inner, block)
            shape = n // (channels * inner), channels, segments
            sums = torch.empty(shape, dtype=computed, device=x.device)
            _by_rows[(sums.numel(),)](
                gradient, x, weight, out, sums, channels, inner, segments, BLOCK=block
            )
            total = sums.sum((0, 2))
        else:
            once = channels * inner
            repeats = triton.cdiv(64, once)
            period = repeats * once
            columns = min(triton.next_power_of_2(period), 256)
            rows = 4096 // columns
            each = triton.cdiv(triton.cdiv(n, period), _GROUPS)
            each = triton.cdiv(each, rows) * rows
            groups = triton.cdiv(n, period * each)
            shape = groups, repeats, channels, inner
            sums = torch.empty(shape, dtype=computed, device=x.device)
            _by_columns[(groups, triton.cdiv(period, columns))](
                gradient,
                x,
                weight,
                out,
                sums,
                n,
                period,
                once,
                inner,
                each,
                ROWS=rows,
                COLUMNS=columns,
            )
            total = sums.sum((0, 1, 3))
        if is_output:
            total = total / weight.reshape(-1)
    return total.to(weight.dtype).view_as(weight)


@triton.jit
def _rrelu(factor, x, out, n, lower, upper, seed, BLOCK: tl.constexpr, COMPUTED: tl.constexpr):
    """Compute four blocks of elements, as the generator draws four numbers at once.

    The bounds are half of the slopes', so that their distance is finite.
    """
    program = tl.program_id(0).to(tl.int64)
    position = program * BLOCK + tl.arange(0, BLOCK)
    u0, u1, u2, u3 = tl.rand4x(seed, position)
    at = program * 4 * BLOCK + tl.arange(0, BLOCK)
    for block in tl.static_range(4):
        uniform = u0 if block == 0 else u1 if block == 1 else u2 if block == 2 else u3
        slope = (2 * (lower + (upper - lower) * uniform)).to(COMPUTED)
        inside = at < n
        f = tl.load(factor + at, mask=inside, other=0).to(COMPUTED)
        z = tl.load(x + at, mask=inside, other=0).to(COMPUTED)
        tl.store(out + at, tl.where(z > 0, f, f * slope), mask=inside)
        at += BLOCK


def rrelu(factor: Tensor, x: Tensor, out: Tensor, lower: float, upper: float, seed: int) -> None:
    """Write `factor` to `out`, times a slope drawn by `seed` where `x` is not positive."""
    n, block = out.numel(), 512
    computed = tl.float64 if x.dtype == torch.float64 else tl.float32
    if n:
        addresses(out.get_device(), out.dtype, [(factor, n), (x, n), (out, n)])
        with torch.cuda.device_of(x):
            grid = (triton.cdiv(n, 4 * block),)
            bounds = lower / 2, upper / 2
            _rrelu[grid](factor, x, out, n, *bounds, seed, BLOCK=block, COMPUTED=computed)
