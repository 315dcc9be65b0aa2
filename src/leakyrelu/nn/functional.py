"""The functions of the layers, as `torch.nn.functional` has them.

On CPU tensors of some size, and on large ones on a GPU with Triton, the way back of PReLU and
both ways of RReLU are one pass over memory. Everything else goes to PyTorch: small tensors,
other devices and dtypes, compiling and exporting, the transforms of `torch.func`, forward-mode
differentiation. So all of these work as they do there.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import leaky_relu, leaky_relu_
from torch.overrides import handle_torch_function, has_torch_function_unary

from leakyrelu.nn import _cpu
from leakyrelu.nn._memory import is_plain

__all__ = ["leaky_relu", "leaky_relu_", "prelu", "rrelu", "rrelu_"]

# Elements. Below, a call of PyTorch's, which is C++ throughout, is faster: see
# benchmarks/README.md. The one for GPUs is a guess.
_SMALLEST = {"cpu": 1 << 14, "cuda": 1 << 22}

_DTYPES = frozenset({torch.float16, torch.bfloat16, torch.float32, torch.float64})
_LARGEST, _LARGEST_FLOAT32 = (torch.finfo(dtype).max for dtype in (torch.float64, torch.float32))
_NO_SUBCLASS = frozenset({Tensor, torch.nn.Parameter})


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    r"""PReLU, with a slope that is learned: `torch.nn.functional.prelu`, faster to train.

    .. math:: f(x_c) = \begin{cases} x_c & x_c > 0 \\ w_c\,x_c & x_c \le 0 \end{cases}

    Parameters
    ----------
    input : torch.Tensor, any shape
        Of any dtype and on any device that PyTorch's function takes. The channels are
        dimension 1.
    weight : torch.Tensor, shape (1,), (C,) or ()
        One slope for all, or one for each channel; of the dtype of `input`.

    Returns
    -------
    torch.Tensor
        Of the shape, dtype and memory format of `input`.

    Raises
    ------
    RuntimeError
        As PyTorch's function does, if the number of slopes does not fit or dtypes differ.

    See Also
    --------
    leakyrelu.nn.PReLU : The layer.

    Notes
    -----
    Backward, the gradients of `input` and `weight` are computed in one pass, and nothing of
    the size of `input` is allocated but the gradient of `input`. That of a slope is

    .. math:: \frac{\partial L}{\partial w_c} =
        \sum_{x_c \le 0} x_c \frac{\partial L}{\partial f(x_c)}

    summed over up to 16 elements at a time in the dtype of `input` (float32 for 16-bit
    floats), and over these sums in float64: the error is at most 17 units of roundoff of that
    dtype (2^-24 for float32) times the sum of the absolute values, before the result is
    rounded to the dtype of `weight`. The order of the sums depends on shape and memory format
    alone, so the result is the same each time, on any number of threads.

    References
    ----------
    .. [1] K. He, X. Zhang, S. Ren and J. Sun, "Delving deep into rectifiers: Surpassing
       human-level performance on ImageNet classification", ICCV 2015.

    Examples
    --------
    >>> import torch
    >>> from leakyrelu.nn import functional
    >>> functional.prelu(torch.tensor([[-2.0, -2.0]]), torch.tensor([0.25, 0.5]))
    tensor([[-0.5000, -1.0000]])
    """
    if torch.jit.is_scripting():  # type: ignore[attr-defined]
        return torch.prelu(input, weight)
    if (
        type(input) in _NO_SUBCLASS  # nor a proxy of torch.fx
        and type(weight) in _NO_SUBCLASS
        and torch.is_grad_enabled()
        and (input.requires_grad or weight.requires_grad)
    ):
        computed, slopes = _as_in_autocast(input, weight)
        if _passes_for(computed, slopes) and _fits(slopes, computed):
            result: Tensor = _PReLU.apply(computed, slopes)
            return result
    return torch.prelu(input, weight)


def rrelu(
    input: Tensor,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    inplace: bool = False,
) -> Tensor:
    r"""RReLU, with a slope drawn at random: `torch.nn.functional.rrelu`, faster to train.

    .. math:: f(x) = \begin{cases} x & x > 0 \\ a\,x & x \le 0 \end{cases},
        \quad a \sim U(l, u)

    Parameters
    ----------
    input : torch.Tensor, any shape
        Of any dtype and on any device that PyTorch's function takes.
    lower, upper : float, default 1/8 and 1/3
        The interval that the slope of each element is drawn from.
    training : bool, default False
        If not, the slope is ``(lower + upper) / 2`` everywhere.
    inplace : bool, default False
        Write the result to `input`.

    Returns
    -------
    torch.Tensor
        Of the shape, dtype and memory format of `input`.

    Raises
    ------
    RuntimeError
        As PyTorch's function does, if `lower` is above `upper`, or in training one of them is
        not finite in float32 (for float64, in float64).

    See Also
    --------
    leakyrelu.nn.RReLU : The layer.

    Notes
    -----
    The slopes are drawn where they are used, by xoshiro128+ on a CPU [2]_ and by a generator
    that counts, Philox 4x32-10, on a GPU [3]_, with a seed from PyTorch's generator:
    `torch.manual_seed` makes them the same again, though they are others than PyTorch's function
    draws. For the way back that seed is stored, and not a number for each element. A slope has 24
    random bits.

    References
    ----------
    .. [1] B. Xu, N. Wang, T. Chen and M. Li, "Empirical evaluation of rectified activations
       in convolutional network", 2015, arXiv:1505.00853.
    .. [2] D. Blackman and S. Vigna, "Scrambled linear pseudorandom number generators", ACM
       Transactions on Mathematical Software 47, 2021.
    .. [3] J. K. Salmon, M. A. Moraes, R. O. Dror and D. E. Shaw, "Parallel random numbers: as
       easy as 1, 2, 3", SC 2011.

    Examples
    --------
    >>> import torch
    >>> from leakyrelu.nn import functional
    >>> functional.rrelu(torch.tensor([-2.0, 3.0]), lower=0.2, upper=0.3)
    tensor([-0.5000,  3.0000])
    """
    if torch.jit.is_scripting():  # type: ignore[attr-defined]
        return torch.nn.functional.rrelu(input, lower, upper, training, inplace)
    if has_torch_function_unary(input):  # a subclass, or one who watches the calls
        arguments = (input, lower, upper, training, inplace)
        handled: Tensor = handle_torch_function(rrelu, (input,), *arguments)
        return handled
    if not training and abs(lower + upper) == math.inf:
        middle = lower / 2 + upper / 2
        return (leaky_relu_ if inplace else leaky_relu)(input, middle)
    if training and type(input) in _NO_SUBCLASS and _are_bounds(lower, upper, input):
        # In place, backward has the signs of the output to go by.
        can_overwrite = lower > 0 and _is_dense(input)
        # PyTorch has no RReLU for float16 on a CPU, nor for bounds as far apart as these.
        only_here = input.is_cpu and (input.dtype is torch.float16 or upper - lower == math.inf)
        if only_here and inplace and not can_overwrite:
            return input.copy_(rrelu(input.clone(), lower, upper, training))
        passes = _passes_for(input, of_any_size=only_here) if can_overwrite or not inplace else None
        if passes is not None:
            # Of the generator for CPUs: to ask a GPU's would be to wait for it.
            seed = int(torch.empty((), dtype=torch.int64, device="cpu").random_())
            drawn: Tensor = _RReLU.apply(input, inplace, passes.rrelu, (lower, upper, seed))
            return drawn
        if not inplace and torch._C._are_functorch_transforms_active():
            # PyTorch's RReLU is not among what vmap knows.
            slopes = torch.empty_like(input).uniform_(lower, upper)
            return input * torch.where(input > 0, torch.ones_like(input), slopes)
    return torch.nn.functional.rrelu(input, lower, upper, training, inplace)


def rrelu_of_seeds(input: Tensor, lower: float, upper: float, seeds: Sequence[int]) -> Tensor:
    """Compute RReLU in training, of equal parts of a CPU tensor, each with slopes of its own seed.

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
    drawn: Tensor = _RReLU.apply(input, False, _cpu.rrelu, (lower, upper, *seeds))
    return drawn


def rrelu_(
    input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False
) -> Tensor:
    """`rrelu` in place."""
    return rrelu(input, lower, upper, training, inplace=True)


def _are_bounds(lower: float, upper: float, x: Tensor) -> bool:
    # Slopes for 16 bits and on a GPU are computed in float32.
    largest = _LARGEST if x.dtype is torch.float64 and x.is_cpu else _LARGEST_FLOAT32
    return -largest <= lower <= upper <= largest


def _passes_for(x: Tensor, *others: Tensor, of_any_size: bool = False) -> ModuleType | None:
    """Return the module that computes it, if one can: they know memory and no more."""
    if (
        torch.compiler.is_compiling()
        or torch.jit.is_tracing()  # type: ignore[attr-defined]
        or torch.autograd.forward_ad._current_level >= 0
        or torch._C._are_functorch_transforms_active()
        or torch._C._len_torch_dispatch_stack() > 0
        or x.dtype not in _DTYPES
    ):
        return None
    dtype, device = x.dtype, x.get_device()
    for tensor in (x, *others):
        if not (
            type(tensor) in _NO_SUBCLASS
            and is_plain(tensor)
            and tensor.dtype is dtype
            and tensor.get_device() == device
        ):
            return None
    is_large = x.numel() >= _SMALLEST["cpu" if x.is_cpu else "cuda"]
    if x.is_cpu:
        return _cpu if is_large or of_any_size else None
    # A graph of CUDA would repeat one seed.
    return _triton() if is_large and not torch.cuda.is_current_stream_capturing() else None


def _fits(weight: Tensor, x: Tensor) -> bool:
    channels = weight.numel()
    return weight.dim() <= 1 and (channels == 1 or (x.dim() > 1 and x.shape[1] == channels))


def _as_in_autocast(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Return the tensors in the dtype in which PyTorch computes PReLU in this context."""
    if torch.compiler.is_compiling() or not (tensors[0].is_cpu or tensors[0].is_cuda):
        return tensors
    device = "cpu" if tensors[0].is_cpu else "cuda"
    if not torch.is_autocast_enabled(device):
        return tensors
    dtype = torch.get_autocast_dtype(device)
    return tuple(
        tensor.to(dtype) if tensor.dtype in _DTYPES - {torch.float64} else tensor
        for tensor in tensors
    )


@functools.cache
def _triton() -> ModuleType | None:
    try:
        from leakyrelu.nn import _triton
    except ImportError:
        return None
    return _triton


# --- The order of elements in memory -------------------------------------------------------


def _is_dense(x: Tensor) -> bool:
    return x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last)


def _in_order_of(out: Tensor, *tensors: Tensor) -> list[Tensor]:
    """Return `tensors`, their elements in memory in the order of `out`, which is dense.

    The first to be copied goes to `out` itself: a pass may overwrite what it reads.
    """
    free = [out]
    return [
        tensor
        if tensor.stride() == out.stride()
        else (free.pop() if free else torch.empty_like(out)).copy_(tensor)
        for tensor in tensors
    ]


# --- PReLU ---------------------------------------------------------------------------------


class _PReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        if x.itemsize == 2 and x.device.type == "cpu" and weight.numel() > 1:
            out = torch.empty_like(x)
            if 1 < out.stride(1) < 64:
                # PyTorch computes short rows of 16-bit floats one by one. The way back of x
                # is the way forward.
                (x,) = _in_order_of(out, x)
                _cpu.prelu_backward(x, x, weight, out, weight.numel(), out.stride(1))
                return out
        return torch.prelu(x, weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors  # or what a hook made of them
        passes = None if torch.is_grad_enabled() else _passes_for(x, weight, gradient)
        if passes is None or gradient.shape != x.shape or not _fits(weight, x):
            return _differentiable_backward(ctx, x, weight, gradient)
        out = torch.empty_like(x)
        gradient, x = _in_order_of(out, gradient, x)
        channels = weight.numel()
        inner = out.stride(1) if channels > 1 else out.numel()
        return out, passes.prelu_backward(gradient, x, weight, out, channels, inner)


def _differentiable_backward(
    ctx: Any, x: Tensor, weight: Tensor, gradient: Tensor
) -> tuple[Tensor | None, ...]:
    """Return PyTorch's gradients, for those of gradients."""
    needed = ctx.needs_input_grad
    of_gradients = torch.is_grad_enabled()
    with torch.enable_grad():
        y = torch.prelu(x, weight)
    wanted = [tensor for tensor, is_needed in zip((x, weight), needed, strict=True) if is_needed]
    found = iter(torch.autograd.grad(y, wanted, gradient, create_graph=of_gradients))
    return tuple(next(found) if is_needed else None for is_needed in needed)


# --- RReLU ---------------------------------------------------------------------------------


class _RReLU(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, inplace: bool, rrelu: Callable[..., None], drawn: tuple[float, ...]
    ) -> Tensor:
        out = x if inplace else torch.empty_like(x)
        if inplace:
            ctx.mark_dirty(x)
        ctx.save_for_backward(out if inplace else x)  # whichever: they have the same signs
        ctx.strides, ctx.drawn, ctx.rrelu = out.stride(), drawn, rrelu
        (x,) = _in_order_of(out, x)
        rrelu(x, x, out, *ctx.drawn)
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        dtype, device = gradient.dtype, gradient.device
        out = torch.empty_strided(gradient.shape, ctx.strides, dtype=dtype, device=device)
        passes = None if torch.is_grad_enabled() else _passes_for(x, gradient, of_any_size=True)
        if passes is None or gradient.shape != x.shape:
            out.copy_(x.detach())  # a copy, as a hook may return a tensor of any kind for x
            ctx.rrelu(torch.ones_like(out), out, out, *ctx.drawn)
            return gradient * out, None, None, None
        gradient, x = _in_order_of(out, gradient, x)
        ctx.rrelu(gradient, x, out, *ctx.drawn)
        return out, None, None, None
