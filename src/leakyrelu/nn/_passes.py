"""What the layers keep for the backward pass, and by which pass they compute it.

They keep their output, which the next layer keeps anyway, where the input's sign can be told from
it: it is positive where the input is, unless a slope is negative.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from leakyrelu.nn import _cpu
from leakyrelu.nn._memory import is_plain

__all__ = [
    "DTYPES",
    "NO_SUBCLASS",
    "fits",
    "fused_leaky_relu",
    "is_dense",
    "is_worth_it",
    "leaky_relu",
    "passes_for",
    "prelu",
    "rrelu",
    "rrelu_of_seeds",
]

# Elements below which PyTorch, which is C++ throughout, is faster: see benchmarks/README.md. The
# number for GPUs is a guess.
_SMALLEST = {"cpu": 1 << 14, "cuda": 1 << 22}

DTYPES = frozenset({torch.float16, torch.bfloat16, torch.float32, torch.float64})
NO_SUBCLASS = frozenset({Tensor, torch.nn.Parameter})


# Slopes by which an output can be divided to have the input again, as exact as one more rounding
# to the dtype leaves it: far from where numbers underflow or overflow.
_INVERTIBLE = (2**-7, 2**7)


def is_worth_it(x: Tensor) -> bool:
    """Whether a tensor is plain memory, and large enough for a pass or for what it saves."""
    return _is_ordinary(x) and x.numel() >= _SMALLEST["cpu" if x.is_cpu else "cuda"]


def passes_for(x: Tensor, *others: Tensor, of_any_size: bool = False) -> ModuleType | None:
    """Return the module with the passes for these tensors, if they are all plain memory."""
    if not (_is_ordinary(x, *others) and ((of_any_size and x.is_cpu) or is_worth_it(x))):
        return None
    if x.is_cpu:
        return _cpu
    # A CUDA graph would repeat the same seed.
    return None if torch.cuda.is_current_stream_capturing() else _triton()


def _is_ordinary(x: Tensor, *others: Tensor) -> bool:
    """Whether nothing but autograd looks on, and all are plain memory of one dtype and device."""
    if (
        torch.compiler.is_compiling()
        or torch.jit.is_tracing()  # type: ignore[attr-defined]
        or torch.autograd.forward_ad._current_level >= 0
        or torch._C._are_functorch_transforms_active()
        or torch._C._len_torch_dispatch_stack() > 0
        or x.dtype not in DTYPES
    ):
        return False
    dtype, device = x.dtype, x.get_device()
    return all(
        type(tensor) in NO_SUBCLASS
        and is_plain(tensor)
        and tensor.dtype is dtype
        and tensor.get_device() == device
        for tensor in (x, *others)
    )


def fits(weight: Tensor, x: Tensor) -> bool:
    channels = weight.numel()
    return weight.dim() <= 1 and (channels == 1 or (x.dim() > 1 and x.shape[1] == channels))


@functools.cache
def _triton() -> ModuleType | None:
    try:
        from leakyrelu.nn import _triton
    except ImportError:
        return None
    return _triton


# --- The order of elements in memory -------------------------------------------------------


def is_dense(x: Tensor) -> bool:
    return x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last)


def _in_order_of(out: Tensor, *tensors: Tensor) -> list[Tensor]:
    """Return `tensors` with their elements in memory in the order of `out`, which is dense.

    The first that needs a copy is copied to `out` itself: a pass may overwrite what it reads.
    """
    free = [out]
    return [
        tensor
        if tensor.stride() == out.stride()
        else (free.pop() if free else torch.empty_like(out)).copy_(tensor)
        for tensor in tensors
    ]


# --- Leaky ReLU ----------------------------------------------------------------------------


def leaky_relu(x: Tensor, negative_slope: float) -> Tensor:
    """Compute Leaky ReLU with a slope of at least 0, and keep the output for backward."""
    result: Tensor = _LeakyReLU.apply(x, negative_slope)
    return result


class _LeakyReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, negative_slope: float) -> Tensor:
        y = torch.nn.functional.leaky_relu(x, negative_slope)
        ctx.save_for_backward(y)
        ctx.negative_slope = negative_slope
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (y,) = ctx.saved_tensors
        backward = torch.ops.aten.leaky_relu_backward
        return backward(gradient, y.detach(), ctx.negative_slope, False), None


def fused_leaky_relu(x: Tensor, bias: Tensor, negative_slope: float, scale: float) -> Tensor:
    """Add a bias, compute Leaky ReLU with a slope of at least 0, and scale by at least 1."""
    result: Tensor = _FusedLeakyReLU.apply(x, bias, negative_slope, scale)
    return result


class _FusedLeakyReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, bias: Tensor, negative_slope: float, scale: float) -> Tensor:
        x = x + bias.view(-1, *[1] * (x.dim() - 2))
        y = torch.nn.functional.leaky_relu_(x, negative_slope).mul_(scale)
        ctx.save_for_backward(y)
        ctx.parameters = negative_slope, scale
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (y,) = ctx.saved_tensors
        negative_slope, scale = ctx.parameters
        backward = torch.ops.aten.leaky_relu_backward
        of_x = backward(gradient * scale, y.detach(), negative_slope, False)
        needs_x, needs_bias = ctx.needs_input_grad[:2]
        others = [axis for axis in range(y.dim()) if axis != 1]
        of_bias = of_x.sum(others) if needs_bias else None
        return of_x if needs_x else None, of_bias, None, None


# --- PReLU ---------------------------------------------------------------------------------


def prelu(x: Tensor, weight: Tensor) -> Tensor:
    """Compute PReLU of tensors for which there are passes, with a weight that fits."""
    result: Tensor = _PReLU.apply(x, weight)
    return result


class _PReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        y = _prelu(x, weight)
        ctx.has_output = _is_invertible(weight)
        ctx.save_for_backward(y if ctx.has_output else x, weight)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        kept, weight = ctx.saved_tensors  # or what a hook made of them
        passes = None if torch.is_grad_enabled() else passes_for(kept, weight, gradient)
        if passes is None or gradient.shape != kept.shape or not fits(weight, kept):
            if ctx.has_output:
                return _differentiable_backward_of_output(ctx, kept, weight, gradient)
            return _differentiable_backward(ctx, kept, weight, gradient)
        out = torch.empty_like(kept)
        gradient, kept = _in_order_of(out, gradient, kept)
        channels = weight.numel()
        inner = out.stride(1) if channels > 1 else out.numel()
        of_weight = passes.prelu_backward(
            gradient, kept, weight, out, channels, inner, is_output=ctx.has_output
        )
        return out, of_weight


def _prelu(x: Tensor, weight: Tensor) -> Tensor:
    if x.itemsize == 2 and x.device.type == "cpu" and weight.numel() > 1:
        out = torch.empty_like(x)
        if 1 < out.stride(1) < 64:
            # PyTorch computes short rows of 16-bit floats one by one. The backward pass,
            # given x as the gradient, is the forward pass.
            (x,) = _in_order_of(out, x)
            _cpu.prelu_backward(x, x, weight, out, weight.numel(), out.stride(1))
            return out
    return torch.prelu(x, weight)


def _is_invertible(weight: Tensor) -> bool:
    """Whether the input can be had from the output; a GPU would have to be waited for."""
    if not weight.is_cpu:
        return False
    least, most = (bound.item() for bound in torch.aminmax(weight))
    return _INVERTIBLE[0] <= least and most <= _INVERTIBLE[1]


def _differentiable_backward(
    ctx: Any, x: Tensor, weight: Tensor, gradient: Tensor
) -> tuple[Tensor | None, ...]:
    """Return PyTorch's gradients, which can be differentiated again."""
    needed = ctx.needs_input_grad
    of_gradients = torch.is_grad_enabled()
    with torch.enable_grad():
        y = torch.prelu(x, weight)
    wanted = [tensor for tensor, is_needed in zip((x, weight), needed, strict=True) if is_needed]
    found = iter(torch.autograd.grad(y, wanted, gradient, create_graph=of_gradients))
    return tuple(next(found) if is_needed else None for is_needed in needed)


def _differentiable_backward_of_output(
    ctx: Any, y: Tensor, weight: Tensor, gradient: Tensor
) -> tuple[Tensor | None, ...]:
    """Return the gradients as functions of the output, which is one of the input and `weight`."""
    needs_x, needs_weight = ctx.needs_input_grad
    slopes = weight if weight.numel() == 1 else weight.view(-1, *[1] * (y.dim() - 2))
    of_x = of_weight = None
    if needs_x:
        of_x = torch.where(y > 0, gradient, gradient * slopes)
    if needs_weight:
        # 0 and not the product where x > 0, whose derivative would be NaN for an infinite x.
        each = gradient * torch.where(y > 0, 0, y / slopes)
        of_weight = each.sum_to_size(slopes.shape).view_as(weight)
    return of_x, of_weight


# --- RReLU ---------------------------------------------------------------------------------


def rrelu(
    x: Tensor, inplace: bool, passes: ModuleType, lower: float, upper: float, *seeds: int
) -> Tensor:
    """Compute RReLU in training, by the given passes."""
    drawn: Tensor = _RReLU.apply(x, inplace, passes.rrelu, (lower, upper, *seeds))
    return drawn


class _RReLU(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, inplace: bool, rrelu: Callable[..., None], drawn: tuple[float, ...]
    ) -> Tensor:
        out = x if inplace else torch.empty_like(x)
        if inplace:
            ctx.mark_dirty(x)
        ctx.save_for_backward(out if inplace or drawn[0] >= 0 else x)
        ctx.strides, ctx.drawn, ctx.rrelu = out.stride(), drawn, rrelu
        (x,) = _in_order_of(out, x)
        rrelu(x, x, out, *ctx.drawn)
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        dtype, device = gradient.dtype, gradient.device
        out = torch.empty_strided(gradient.shape, ctx.strides, dtype=dtype, device=device)
        passes = None if torch.is_grad_enabled() else passes_for(x, gradient, of_any_size=True)
        if passes is None or gradient.shape != x.shape:
            out.copy_(x.detach())  # a copy, as a hook may make x a tensor of any kind
            ctx.rrelu(torch.ones_like(out), out, out, *ctx.drawn)
            return gradient * out, None, None, None
        gradient, x = _in_order_of(out, gradient, x)
        ctx.rrelu(gradient, x, out, *ctx.drawn)
        return out, None, None, None


def rrelu_of_seeds(input: Tensor, lower: float, upper: float, seeds: Sequence[int]) -> Tensor:
    """Compute RReLU in training, for equal parts of a CPU tensor, each with its own seed.

    Parameters
    ----------
    input : torch.Tensor, shape (parts, ...)
        Contiguous.
    lower, upper : float
        The interval that the slope of each element is drawn from.
    seeds : sequence of int, length parts
        0 to 2^64 - 1.

    Examples
    --------
    >>> x = torch.full((2, 3), -1.0)
    >>> both = rrelu_of_seeds(x, 0.1, 0.3, [5, 6])
    >>> bool((both[1] == rrelu_of_seeds(x[1:], 0.1, 0.3, [6])).all())
    True
    """
    return rrelu(input, False, _cpu, lower, upper, *seeds)
