"""Drop-in replacements for layers of `torch.nn` that train faster and keep less memory.

>>> import torch
>>> from leakyrelu import nn
>>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), nn.PReLU(8), torch.nn.Linear(8, 1))
>>> isinstance(model[1], torch.nn.PReLU)
True
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from leakyrelu._errors import InputError
from leakyrelu.nn import functional
from leakyrelu.nn._model import model_to_change

__all__ = [
    "Abs",
    "FusedLeakyReLU",
    "LeakyReLU",
    "LeakyReLU2",
    "PReLU",
    "RReLU",
    "ReLU2",
    "convert",
    "functional",
]


class LeakyReLU(torch.nn.LeakyReLU):
    r"""Leaky ReLU: `torch.nn.LeakyReLU`, which keeps its output for backward, as ReLU does.

    .. math:: f(x) = \begin{cases} x & x > 0 \\ a\,x & x \le 0 \end{cases}

    Parameters
    ----------
    negative_slope : float, default 0.01
        The slope `a` for ``x <= 0``.
    inplace : bool, default False
        Overwrite the input.

    See Also
    --------
    leakyrelu.nn.functional.leaky_relu : The function, and what it keeps.

    Examples
    --------
    >>> import torch
    >>> from leakyrelu.nn import LeakyReLU
    >>> LeakyReLU(0.25)(torch.tensor([-2.0, 3.0]))
    tensor([-0.5000,  3.0000])
    """

    def __init__(self, negative_slope: float = 1e-2, inplace: bool = False) -> None:
        super().__init__(negative_slope, inplace)
        if type(self) is LeakyReLU:  # torch.fx should see what a subclass computes
            _make_leaf(self)

    def forward(self, input: Tensor) -> Tensor:
        return functional.leaky_relu(input, self.negative_slope, self.inplace)


class FusedLeakyReLU(torch.nn.Module):
    """Bias, Leaky ReLU and a scale in one: a drop-in for the layer of StyleGAN2.

    Parameters
    ----------
    channel : int
        The number of channels, dimension 1.
    bias : bool, default True
        Whether there is a bias, which is learned.
    negative_slope : float, default 0.2
    scale : float, default sqrt(2)

    Attributes
    ----------
    bias : torch.nn.Parameter of shape (channel,), or None
        Zeros at first.

    See Also
    --------
    leakyrelu.nn.functional.fused_leaky_relu : The function, its formula and references.

    Examples
    --------
    >>> import torch
    >>> from leakyrelu.nn import FusedLeakyReLU
    >>> FusedLeakyReLU(2, scale=2)(torch.tensor([[-1.0, 3.0]])).detach()
    tensor([[-0.4000,  6.0000]])
    """

    def __init__(
        self, channel: int, bias: bool = True, negative_slope: float = 0.2, scale: float = 2**0.5
    ) -> None:
        super().__init__()
        self.bias = torch.nn.Parameter(torch.zeros(channel)) if bias else None
        self.negative_slope = negative_slope
        self.scale = scale
        if type(self) is FusedLeakyReLU:  # torch.fx should see what a subclass computes
            _make_leaf(self)

    def forward(self, input: Tensor) -> Tensor:
        return functional.fused_leaky_relu(input, self.bias, self.negative_slope, self.scale)

    def extra_repr(self) -> str:
        channel = "bias=False" if self.bias is None else f"{len(self.bias)}"
        return f"{channel}, negative_slope={self.negative_slope}, scale={self.scale:.4g}"


class ReLU2(torch.nn.Module):
    """Squared ReLU, as a layer.

    See Also
    --------
    leakyrelu.relu2 : Its formula and references.

    Examples
    --------
    >>> import torch
    >>> from leakyrelu.nn import ReLU2
    >>> ReLU2()(torch.tensor([-2.0, 3.0]))
    tensor([0., 9.])
    """

    def forward(self, input: Tensor) -> Tensor:
        return functional.relu2(input)


class LeakyReLU2(torch.nn.Module):
    """Squared Leaky ReLU, as a layer.

    Parameters
    ----------
    negative_slope : float, default 0.5
        The slope where the input is not positive, before it is squared.

    See Also
    --------
    leakyrelu.leaky_relu2 : Its formula and references.

    Examples
    --------
    >>> import torch
    >>> from leakyrelu.nn import LeakyReLU2
    >>> LeakyReLU2()(torch.tensor([-2.0, 3.0]))
    tensor([1., 9.])
    """

    def __init__(self, negative_slope: float = 0.5) -> None:
        super().__init__()
        self.negative_slope = negative_slope

    def forward(self, input: Tensor) -> Tensor:
        return functional.leaky_relu2(input, self.negative_slope)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}"


class Abs(torch.nn.Module):
    """The absolute value, as a layer.

    Examples
    --------
    >>> import torch
    >>> from leakyrelu.nn import Abs
    >>> Abs()(torch.tensor([-2.0, 3.0]))
    tensor([2., 3.])
    """

    def forward(self, input: Tensor) -> Tensor:
        return torch.abs(input)


class PReLU(torch.nn.PReLU):
    r"""PReLU: `torch.nn.PReLU` with a backward pass that goes over memory once, on a CPU.

    .. math:: f(x_c) = \begin{cases} x_c & x_c > 0 \\ w_c\,x_c & x_c \le 0 \end{cases}

    Parameters
    ----------
    num_parameters : int, default 1
        The number of slopes: 1 for all, or one for each channel (dimension 1).
    init : float, default 0.25
        Their initial value.
    device, dtype : optional
        Those of the slopes.

    Raises
    ------
    InputError
        If `init` is not finite in that dtype.

    Attributes
    ----------
    weight : torch.nn.Parameter of shape (num_parameters,)
        The slopes. Exclude them from weight decay, which pulls them to 0.

    See Also
    --------
    leakyrelu.nn.functional.prelu : The function, its precision and references.

    Examples
    --------
    >>> import torch
    >>> from leakyrelu.nn import PReLU
    >>> PReLU(2)(torch.tensor([[-2.0, 3.0]]))
    tensor([[-0.5000,  3.0000]], grad_fn=<PreluKernelBackward0>)
    """

    def __init__(
        self,
        num_parameters: int = 1,
        init: float = 0.25,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        _refuse_unless_finite("init", init, dtype or torch.get_default_dtype())
        super().__init__(num_parameters, init, device, dtype)
        if type(self) is PReLU:  # torch.fx should see what a subclass computes
            _make_leaf(self)

    def forward(self, input: Tensor) -> Tensor:
        return functional.prelu(input, self.weight)


class RReLU(torch.nn.RReLU):
    r"""RReLU: `torch.nn.RReLU` with one pass over memory forward and one backward, on a CPU.

    .. math:: f(x) = \begin{cases} x & x > 0 \\ a\,x & x \le 0 \end{cases},
        \quad a \sim U(l, u)

    Parameters
    ----------
    lower, upper : float, default 1/8 and 1/3
        The interval that each element's slope is drawn from in training; in evaluation the slope
        is the middle of the interval.
    inplace : bool, default False
        Overwrite the input.

    Raises
    ------
    InputError
        If `lower` is above `upper`, or one of them is not finite.

    See Also
    --------
    leakyrelu.nn.functional.rrelu : How slopes are drawn, and references.

    Examples
    --------
    >>> import torch
    >>> from leakyrelu.nn import RReLU
    >>> RReLU(0.2, 0.3).eval()(torch.tensor([-2.0, 3.0]))
    tensor([-0.5000,  3.0000])
    """

    def __init__(
        self, lower: float = 1.0 / 8, upper: float = 1.0 / 3, inplace: bool = False
    ) -> None:
        _refuse_unless_finite("lower", lower, torch.float64)
        _refuse_unless_finite("upper", upper, torch.float64)
        if lower > upper:
            raise InputError(f"lower must not be above upper, but lower={lower}, upper={upper}")
        super().__init__(lower, upper, inplace)
        if type(self) is RReLU:  # torch.fx should see what a subclass computes
            _make_leaf(self)

    def forward(self, input: Tensor) -> Tensor:
        return functional.rrelu(input, self.lower, self.upper, self.training, self.inplace)


_FASTER = {torch.nn.LeakyReLU: LeakyReLU, torch.nn.PReLU: PReLU, torch.nn.RReLU: RReLU}


def _refuse_unless_finite(name: str, number: float, dtype: torch.dtype) -> None:
    try:
        size = math.fabs(number)
    except OverflowError:  # of a large int
        size = math.inf
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{name} must be a number, but is {number!r}") from None
    largest = torch.finfo(dtype).max if dtype.is_floating_point else math.inf
    if not size <= largest:
        raise InputError(f"{name} must be a finite number of {dtype}, but is {number}")


def _make_leaf(module: torch.nn.Module) -> None:
    """Make `torch.fx` keep the layer whole, as it does if a layer claims to be from `torch.nn`."""
    module.__module__ = "torch.nn"


def convert(model: torch.nn.Module, back: bool = False, *, inplace: bool = True) -> torch.nn.Module:
    """Make the LeakyReLU, PReLU and RReLU layers of a model those here, or PyTorch's again.

    Parameters
    ----------
    model : torch.nn.Module
        Weights, hooks and names stay. Subclasses stay as they are, as they may compute something
        else; so does a layer while it is parametrized.
    back : bool, default False
        Make the layers of this module PyTorch's: for a tool that knows a layer by its exact type,
        as eager-mode quantization does.
    inplace : bool, default True
        Change `model` itself, not a copy. The layers stay the same objects: an optimizer made
        before goes on working.

    Returns
    -------
    torch.nn.Module
        `model`, or its changed copy.

    Raises
    ------
    TypeError
        If `model` is not a module.
    InputError
        If it can't be copied.

    Notes
    -----
    These layers keep their output for the backward pass, where PyTorch's keep the input. A model
    that changes the output of one in place, such as by ``y += x``, gets PyTorch's error of a
    "variable modified by an inplace operation" in the backward pass, as it would after a ReLU:
    write ``y = y + x`` there.

    Examples
    --------
    >>> import torch
    >>> from leakyrelu.nn import PReLU, convert
    >>> model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.PReLU(8))
    >>> isinstance(convert(model)[1], PReLU)
    True
    >>> type(convert(model, back=True)[1]) is torch.nn.PReLU
    True
    """
    model = model_to_change(model, inplace)
    others = {ours: theirs for theirs, ours in _FASTER.items()} if back else _FASTER
    for module in model.modules():
        if type(module) in others:
            module.__class__ = others[type(module)]
            if back:
                vars(module).pop("__module__", None)
            else:
                _make_leaf(module)
    return model
