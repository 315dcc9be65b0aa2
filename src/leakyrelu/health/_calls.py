"""Seeing every rectifier call of a model, in modules and in functions alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - its usual name
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from leakyrelu import nn as leakyrelu_nn
from leakyrelu._errors import InputError
from leakyrelu.nn import functional

__all__ = ["NO_RECTIFIER", "RECTIFIERS", "RECTIFIER_MODULES", "Call", "CallTracer", "batch_size"]


def _blocks_gradient(*args: Any, **kwargs: Any) -> bool:
    return True


def _passes_gradient(*args: Any, **kwargs: Any) -> bool:
    return False


def _has_slope_zero(x: Any, negative_slope: Any = 0.01, *args: Any, **kwargs: Any) -> bool:
    return bool(torch.as_tensor(kwargs.get("weight", negative_slope)).eq(0).all())


def _clips_at_zero(x: Any, min_val: Any = -1.0, *args: Any, **kwargs: Any) -> bool | None:
    # hardtanh is a rectifier as ReLU6 calls it, clamp if it is given min=0.
    least = kwargs.get("min", min_val)
    return True if isinstance(least, (int, float)) and least == 0 else None


# Every call that rectifies, and whether its negative side blocks the gradient (None: it is
# no rectifier with these arguments). The modules (nn.ReLU ...) call these too, so that
# modules and functional calls are seen alike.
RECTIFIERS: dict[Callable[..., Any], Callable[..., bool | None]] = {
    **dict.fromkeys(
        (F.relu, torch.relu, torch.Tensor.relu, torch.relu_, torch.Tensor.relu_, F.relu6),
        _blocks_gradient,
    ),
    **dict.fromkeys(
        (F.leaky_relu, F.leaky_relu_, torch.prelu, torch.Tensor.prelu), _has_slope_zero
    ),
    **dict.fromkeys(
        (
            F.hardtanh,
            torch.clamp,
            torch.clamp_,
            torch.clamp_min,
            torch.clamp_min_,
            torch.Tensor.clamp,
            torch.Tensor.clamp_,
            torch.Tensor.clamp_min,
            torch.Tensor.clamp_min_,
        ),
        _clips_at_zero,
    ),
    **dict.fromkeys(
        (F.rrelu, F.rrelu_, functional.rrelu, F.elu, F.elu_, F.gelu, F.silu), _passes_gradient
    ),
}


# Modules that do nothing but call one of these, with what they are given.
RECTIFIER_MODULES = frozenset(
    {
        *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ELU, nn.GELU, nn.SiLU),
        *(leakyrelu_nn.PReLU, leakyrelu_nn.RReLU),
    }
)

NO_RECTIFIER = "the model calls no rectifier, so no unit can die; known are " + ", ".join(
    sorted({function.__name__.rstrip("_") for function in RECTIFIERS})
)


def batch_size(args: Iterable[Any], kwargs: Mapping[str, Any]) -> int:
    """Return how many examples a model is given with these arguments."""
    first = next(iter(args), None)
    if isinstance(first, torch.Tensor) and first.ndim > 0:
        return first.shape[0]
    leaves = tree_leaves((tuple(args), dict(kwargs)))
    return next((len(x) for x in leaves if isinstance(x, torch.Tensor) and x.ndim > 0), 1)


@dataclass(frozen=True)
class Call:
    """A rectifier call that is about to be made.

    Attributes
    ----------
    layer : str
        Path of the module that makes the call; a second call of the same function in the
        same module is another layer, with ``#2`` after its name.
    function : str
        The function called, such as ``relu``.
    pre_activation : torch.Tensor
        What it is called with.
    blocks_gradient : bool
        Whether no gradient passes where the pre-activation is negative.
    unit_axis : int
        The axis of the pre-activation that numbers the units.
    feeding : str
        Path of the layer with weights that ran last before the call, or "".
    feeding_input : torch.Tensor or None
        What that layer was given.
    below_is_trainable : bool
        Whether what that layer is given comes from weights that can change.
    mask : torch.Tensor of bool, or None
        False at padding; it broadcasts against the pre-activation.
    """

    layer: str
    function: str
    pre_activation: torch.Tensor
    blocks_gradient: bool
    unit_axis: int
    feeding: str
    feeding_input: torch.Tensor | None
    below_is_trainable: bool
    mask: torch.Tensor | None

    @property
    def key(self) -> str:
        """What tells the call from all others of the model."""
        return f"{self.layer} {self.function}"


class CallTracer(TorchFunctionMode):
    """While it is active, shows every rectifier call to `on_call` before it is made.

    Parameters
    ----------
    model : torch.nn.Module
        The model that is run; `hooked` follows its modules.
    on_call : callable
        Is given a `Call`. What it returns, if anything, is called with the result.
    unit_axis : int, optional
        The axis that numbers the units, where it is not to be guessed.
    mask : callable, optional
        Given the arguments of the model, returns a tensor that is False at padding.
    """

    def __init__(
        self,
        model: nn.Module,
        on_call: Callable[[Call], Callable[[torch.Tensor], None] | None],
        unit_axis: int | None = None,
        mask: Callable[..., torch.Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.on_call = on_call
        self.unit_axis = unit_axis
        self.mask = mask
        self.begin()

    def begin(self, args: Iterable[Any] = (), kwargs: Mapping[str, Any] | None = None) -> None:
        """Forget what was seen: the model is run anew, with these arguments."""
        self.is_real: torch.Tensor | None = None
        self.mask_fits = False
        if self.mask is not None and (args or kwargs):
            self.is_real = self.mask(*args, **(kwargs or {})).bool()
        self.path = [""]  # the modules being run, outermost first
        self.feeding = ""  # the layer with weights that ran last
        self.feeding_input: torch.Tensor | None = None
        self.below_is_trainable = self.some_ran_that_is_trainable = False
        self.calls: Counter[tuple[str, str]] = Counter()

    @contextmanager
    def hooked(self) -> Iterator[None]:
        """Follow which module is being run."""
        with ExitStack() as stack:
            for name, module in self.model.named_modules():
                enter = module.register_forward_pre_hook(
                    lambda _module, _args, name=name: self.path.append(name)
                )
                leave = module.register_forward_hook(
                    lambda module, args, _output: self._leave(module, args), always_call=True
                )
                stack.callback(enter.remove)
                stack.callback(leave.remove)
            yield

    def _leave(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        if len(self.path) == 1:  # an error came before the module was entered
            return
        name = self.path.pop()
        if getattr(module, "weight", None) is None or isinstance(module, nn.PReLU):
            return
        self.feeding = name
        self.feeding_input = next((x for x in args if isinstance(x, torch.Tensor)), None)
        # A BatchNorm gives a unit nothing of the others: it counts as part of its layer.
        if not isinstance(module, nn.modules.batchnorm._BatchNorm):
            self.below_is_trainable = self.some_ran_that_is_trainable
            self.some_ran_that_is_trainable |= any(
                parameter.requires_grad for parameter in module.parameters(recurse=False)
            )

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if function not in RECTIFIERS:
            return function(*args, **kwargs)
        positional = args or (kwargs["input"],)
        named = {name: value for name, value in kwargs.items() if name != "input"}
        blocks_gradient = RECTIFIERS[function](*positional, **named)
        # Clamps are used for other things too, such as lengths and rates.
        has_units = positional[0].ndim > 1 and positional[0].is_floating_point()
        if blocks_gradient is None or not has_units:
            return function(*args, **kwargs)
        name = function.__name__.rstrip("_")
        layer = self.next_layer(self.path[-1], name)
        x = positional[0]
        axis = self._axis_of_units(x)
        call = Call(
            layer,
            name,
            x,
            blocks_gradient,
            axis,
            self.feeding,
            self.feeding_input,
            self.below_is_trainable,
            self.mask_for(x, axis),
        )
        after = self.on_call(call)
        result = function(*args, **kwargs)
        if after is not None:
            after(result)
        return result

    def next_layer(self, path: str, function: str) -> str:
        """Return the name of the layer that the module calls next by this function."""
        self.calls[path, function] += 1
        number = self.calls[path, function]
        return (path or "(model)") + (f" #{number}" if number > 1 else "")

    def _axis_of_units(self, pre_activation: torch.Tensor) -> int:
        if self.unit_axis is not None:
            return self.unit_axis
        feeding = self.model.get_submodule(self.feeding)
        if isinstance(feeding, (nn.modules.conv._ConvNd, nn.modules.batchnorm._BatchNorm)):
            return 1
        if isinstance(feeding, (nn.Linear, nn.LayerNorm)):
            return pre_activation.ndim - 1
        return 2 if pre_activation.ndim == 3 else 1  # a sequence of features, or an image

    def mask_for(self, pre_activation: torch.Tensor, axis: int) -> torch.Tensor | None:
        """Return the mask, made to broadcast against a pre-activation, if it fits it."""
        if self.is_real is None:
            return None
        shape = list(pre_activation.shape)
        shape[axis] = 1
        # A pre-activation of another shape, such as one value a sequence, has no padding.
        if self.is_real.numel() != torch.Size(shape).numel():
            return None
        self.mask_fits = True
        return self.is_real.reshape(shape)

    def raise_if_mask_fits_nothing(self) -> None:
        """Tell, when the model has run, that the mask has been of no use."""
        if self.is_real is not None and not self.mask_fits:
            raise InputError(
                f"the mask that mask= returned, of shape {tuple(self.is_real.shape)} fits no "
                "rectifier; it must have the shape of a pre-activation without its axis of units"
            )
