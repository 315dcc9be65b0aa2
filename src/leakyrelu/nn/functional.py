"""The functions of the layers, like those of `torch.nn.functional`.

For the backward pass they keep their output, as ReLU does, where PyTorch's keep the input: the
next layer keeps that tensor anyway, so it takes no memory of its own. The backward pass of PReLU,
and both passes of RReLU, go over memory once: for all but small CPU tensors, and for large ones on
a GPU with Triton. Everything else goes to PyTorch, and so works as it does there: small tensors,
other devices and dtypes, compiling and exporting, the transforms of `torch.func`, forward-mode
differentiation.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import leaky_relu_
from torch.overrides import handle_torch_function, has_torch_function_unary

from leakyrelu.nn import _passes
from leakyrelu.nn._passes import DTYPES, NO_SUBCLASS, fits, is_dense, is_worth_it, passes_for

__all__ = [
    "fused_leaky_relu",
    "leaky_relu",
    "leaky_relu2",
    "leaky_relu_",
    "prelu",
    "relu2",
    "rrelu",
    "rrelu_",
]

_LARGEST, _LARGEST_FLOAT32 = (torch.finfo(dtype).max for dtype in (torch.float64, torch.float32))


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    r"""Leaky ReLU: `torch.nn.functional.leaky_relu`, keeping less memory for the backward pass.

    .. math:: f(x) = \begin{cases} x & x > 0 \\ a\,x & x \le 0 \end{cases}

    Parameters
    ----------
    input : torch.Tensor, any shape
        Of any dtype and on any device that PyTorch's function supports.
    negative_slope : float, default 0.01
        The slope `a` for ``x <= 0``.
    inplace : bool, default False
        Write the result to `input`.

    Returns
    -------
    torch.Tensor
        Of the shape, dtype and memory format of `input`.

    See Also
    --------
    leakyrelu.nn.LeakyReLU : The layer.

    Notes
    -----
    For ``a >= 0`` the output is positive where the input is, also where a product underflows to
    -0.0. So the gradients, bit for bit PyTorch's, are computed from the output, which the next
    layer keeps anyway. As after `torch.relu`, the output must then not be changed in place before
    the backward pass: PyTorch raises an error there. The input may be.

    References
    ----------
    .. [1] A. L. Maas, A. Y. Hannun and A. Y. Ng, "Rectifier nonlinearities improve neural
       network acoustic models", ICML 2013.

    Examples
    --------
    >>> import torch
    >>> from leakyrelu.nn import functional
    >>> functional.leaky_relu(torch.tensor([-2.0, 3.0]), 0.25)
    tensor([-0.5000,  3.0000])
    """
    if torch.jit.is_scripting():  # type: ignore[attr-defined]
        return torch.nn.functional.leaky_relu(input, negative_slope, inplace)
    if (
        not inplace
        and type(input) in NO_SUBCLASS  # nor a torch.fx proxy
        and torch.is_grad_enabled()
        and input.requires_grad
        and type(negative_slope) in (float, int)
        and negative_slope >= 0
        and is_worth_it(input)
    ):
        return _passes.leaky_relu(input, negative_slope)
    return torch.nn.functional.leaky_relu(input, negative_slope, inplace)


def fused_leaky_relu(
    input: Tensor,
    bias: Tensor | None = None,
    negative_slope: float = 0.2,
    scale: float = 2**0.5,
) -> Tensor:
    r"""Bias, Leaky ReLU and a scale in one, as the networks of StyleGAN2 have them.

    .. math:: f(x_c) = s \cdot \mathrm{leaky\_relu}(x_c + b_c)

    Parameters
    ----------
    input : torch.Tensor, shape (N, C, ...)
    bias : torch.Tensor of shape (C,), optional
    negative_slope : float, default 0.2
    scale : float, default sqrt(2)

    Returns
    -------
    torch.Tensor
        Of the shape of `input`: the same numbers as ``leaky_relu(input + bias) * scale``.

    Raises
    ------
    RuntimeError
        As in PyTorch, if the shape of `bias` does not fit.

    See Also
    --------
    leakyrelu.nn.FusedLeakyReLU : The layer.

    Notes
    -----
    The backward pass, which can be differentiated again, keeps nothing but the output, if the
    slope is not below 0 and the scale not below 1; the same limits as to `leaky_relu` apply to
    changing it in place.

    References
    ----------
    .. [1] T. Karras, S. Laine, M. Aittala, J. Hellsten, J. Lehtinen and T. Aila, "Analyzing and
       improving the image quality of StyleGAN", CVPR 2020.

    Examples
    --------
    >>> import torch
    >>> from leakyrelu.nn import functional
    >>> functional.fused_leaky_relu(torch.tensor([[-1.0, 1.0]]), torch.tensor([0.5, 0.5]), scale=2)
    tensor([[-0.2000,  3.0000]])
    """
    if bias is None:
        return leaky_relu(input, negative_slope) * scale
    if torch.jit.is_scripting():  # type: ignore[attr-defined]
        x = (input.movedim(1, -1) + bias).movedim(-1, 1)
        return torch.nn.functional.leaky_relu(x, negative_slope) * scale
    if (
        type(input) in NO_SUBCLASS
        and type(bias) in NO_SUBCLASS
        and torch.is_grad_enabled()
        and (input.requires_grad or bias.requires_grad)
        and negative_slope >= 0
        and scale >= 1  # else a small number could become 0, and lose its sign
        and input.dim() > 1
        and bias.shape == input.shape[1:2]
        and bias.dtype == input.dtype
        and bias.device == input.device
        and is_worth_it(input)
    ):
        return _passes.fused_leaky_relu(input, bias, negative_slope, scale)
    x = (input.movedim(1, -1) + bias).movedim(-1, 1)
    return leaky_relu(x, negative_slope) * scale


def relu2(input: Tensor) -> Tensor:
    """Squared ReLU: ``torch.relu(input)`` squared.

    Parameters
    ----------
    input : torch.Tensor, any shape

    Returns
    -------
    torch.Tensor
        Of the shape and dtype of `input`.

    See Also
    --------
    leakyrelu.nn.ReLU2 : The layer.
    leakyrelu.relu2 : The function of arrays, its formula and references.

    Examples
    --------
    >>> import torch
    >>> from leakyrelu.nn import functional
    >>> functional.relu2(torch.tensor([-2.0, 3.0]))
    tensor([0., 9.])
    """
    if torch.jit.is_scripting():  # type: ignore[attr-defined]
        return torch.relu(input).square()
    if has_torch_function_unary(input):  # a subclass, or a mode that intercepts calls
        handled: Tensor = handle_torch_function(relu2, (input,), input)
        return handled
    return torch.relu(input).square()


def leaky_relu2(input: Tensor, negative_slope: float = 0.5) -> Tensor:
    """Squared Leaky ReLU: ``leaky_relu(input, negative_slope)`` squared.

    Parameters
    ----------
    input : torch.Tensor, any shape
    negative_slope : float, default 0.5
        The slope where the input is not positive, before it is squared.

    Returns
    -------
    torch.Tensor
        Of the shape and dtype of `input`.

    See Also
    --------
    leakyrelu.nn.LeakyReLU2 : The layer.
    leakyrelu.leaky_relu2 : The function of arrays, its formula and references.

    Examples
    --------
    >>> import torch
    >>> from leakyrelu.nn import functional
    >>> functional.leaky_relu2(torch.tensor([-2.0, 3.0]))
    tensor([1., 9.])
    """
    if torch.jit.is_scripting():  # type: ignore[attr-defined]
        return torch.nn.functional.leaky_relu(input, negative_slope).square()
    if has_torch_function_unary(input):  # a subclass, or a mode that intercepts calls
        handled: Tensor = handle_torch_function(leaky_relu2, (input,), input, negative_slope)
        return handled
    return leaky_relu(input, negative_slope).square()


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    r"""PReLU, with a learned slope: `torch.nn.functional.prelu`, faster to train.

    .. math:: f(x_c) = \begin{cases} x_c & x_c > 0 \\ w_c\,x_c & x_c \le 0 \end{cases}

    Parameters
    ----------
    input : torch.Tensor, any shape
        Of any dtype and on any device that PyTorch's function supports. The channels are
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
        As in PyTorch, if the number of slopes does not fit or dtypes differ.

    See Also
    --------
    leakyrelu.nn.PReLU : The layer.

    Notes
    -----
    The backward pass computes the gradients of `input` and `weight` together, and allocates
    nothing of the size of `input` but its gradient. On a CPU, while all slopes are from 1/128 to
    128, the output is kept for it and not the input, which is the output divided by the slope: a
    tensor less, if the next layer keeps that one anyway. As after `torch.relu`, the output must
    then not be changed in place before the backward pass. The gradient of a slope is

    .. math:: \frac{\partial L}{\partial w_c} =
        \sum_{x_c \le 0} x_c \frac{\partial L}{\partial f(x_c)}

    summed over up to 16 elements at a time in the dtype of `input` (float32 for 16-bit
    floats), and over these sums in float64: the error is at most 17 units of roundoff of that
    dtype (2^-24 for float32) times the sum of the absolute values, before the result is
    rounded to the dtype of `weight`. Where the output was kept, its rounding adds one unit of
    roundoff of the dtype of `input` itself (2^-8 for bfloat16, 2^-11 for float16), as long as
    outputs don't underflow or overflow; one that underflows adds at most half of the smallest
    number of that dtype, times the gradient there, divided by the slope. The order of the sums
    depends only on shape and memory format, so the result is the same every time, on any number
    of threads.

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
        type(input) in NO_SUBCLASS  # nor a torch.fx proxy
        and type(weight) in NO_SUBCLASS
        and torch.is_grad_enabled()
        and (input.requires_grad or weight.requires_grad)
    ):
        computed, slopes = _as_in_autocast(input, weight)
        if passes_for(computed, slopes) and fits(slopes, computed):
            return _passes.prelu(computed, slopes)
    return torch.prelu(input, weight)


def rrelu(
    input: Tensor,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    inplace: bool = False,
) -> Tensor:
    r"""RReLU, with a random slope: `torch.nn.functional.rrelu`, faster to train.

    .. math:: f(x) = \begin{cases} x & x > 0 \\ a\,x & x \le 0 \end{cases},
        \quad a \sim U(l, u)

    Parameters
    ----------
    input : torch.Tensor, any shape
        Of any dtype and on any device that PyTorch's function supports.
    lower, upper : float, default 1/8 and 1/3
        The interval that the slope of each element is drawn from.
    training : bool, default False
        Draw the slopes. Otherwise every slope is ``(lower + upper) / 2``.
    inplace : bool, default False
        Write the result to `input`.

    Returns
    -------
    torch.Tensor
        Of the shape, dtype and memory format of `input`.

    Raises
    ------
    RuntimeError
        As in PyTorch, if `lower` is above `upper`, or in training one of them is not finite in
        float32 (for float64, in float64).

    See Also
    --------
    leakyrelu.nn.RReLU : The layer.

    Notes
    -----
    The slopes are drawn where they are used, by xoshiro128+ on a CPU [2]_ and by the
    counter-based Philox 4x32-10 on a GPU [3]_, with a seed from PyTorch's generator:
    `torch.manual_seed` makes them reproducible, though they differ from those of PyTorch's
    function. For the backward pass only the seed is stored, not the slope of every element. A
    slope has 24 random bits.

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
    if has_torch_function_unary(input):  # a subclass, or a mode that intercepts calls
        arguments = (input, lower, upper, training, inplace)
        handled: Tensor = handle_torch_function(rrelu, (input,), *arguments)
        return handled
    if not training and abs(lower + upper) == math.inf:
        return leaky_relu(input, lower / 2 + upper / 2, inplace)
    if training and type(input) in NO_SUBCLASS and _are_bounds(lower, upper, input):
        # In place, the backward pass takes the signs from the output.
        can_overwrite = lower > 0 and is_dense(input)
        # PyTorch has no RReLU for float16 on a CPU, nor for bounds as far apart as these.
        only_here = input.is_cpu and (input.dtype is torch.float16 or upper - lower == math.inf)
        if only_here and inplace and not can_overwrite:
            return input.copy_(rrelu(input.clone(), lower, upper, training))
        passes = passes_for(input, of_any_size=only_here) if can_overwrite or not inplace else None
        if passes is not None:
            # From the CPU's generator: a GPU's would have to be waited for.
            seed = int(torch.empty((), dtype=torch.int64, device="cpu").random_())
            return _passes.rrelu(input, inplace, passes, lower, upper, seed)
        if not inplace and torch._C._are_functorch_transforms_active():
            # vmap does not know PyTorch's RReLU.
            slopes = torch.empty_like(input).uniform_(lower, upper)
            return input * torch.where(input > 0, torch.ones_like(input), slopes)
    return torch.nn.functional.rrelu(input, lower, upper, training, inplace)


def rrelu_(
    input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False
) -> Tensor:
    """`rrelu` in place."""
    return rrelu(input, lower, upper, training, inplace=True)


def _are_bounds(lower: float, upper: float, x: Tensor) -> bool:
    # Slopes for 16-bit dtypes and on a GPU are computed in float32.
    largest = _LARGEST if x.dtype is torch.float64 and x.is_cpu else _LARGEST_FLOAT32
    return -largest <= lower <= upper <= largest


def _as_in_autocast(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Return the tensors in the dtype in which autocast computes PReLU, if it is on."""
    if torch.compiler.is_compiling() or not (tensors[0].is_cpu or tensors[0].is_cuda):
        return tensors
    device = "cpu" if tensors[0].is_cpu else "cuda"
    if not torch.is_autocast_enabled(device):
        return tensors
    dtype = torch.get_autocast_dtype(device)
    return tuple(
        tensor.to(dtype) if tensor.dtype in DTYPES - {torch.float64} else tensor
        for tensor in tensors
    )
