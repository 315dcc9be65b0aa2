"""Activation calls, seen while the model runs: by modules and by functions alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from leakyrelu._errors import InputError
from leakyrelu._trace.known import function_name, known
from leakyrelu._trace.names import layer_name
from leakyrelu._trace.weights import WEIGHTED, units_of, weight_at_hand
from leakyrelu.activations import KINDS

__all__ = ["Call", "CallTracer", "batch_size", "no_activation", "unwrapped"]


def no_activation() -> InputError:
    """Return the error to raise of a model in which nothing was seen."""
    seen = [name for name, kind in KINDS.items() if not kind.is_gate]
    return InputError(f"the model calls none of the known activations: {', '.join(seen)}")


def batch_size(args: Iterable[Any], kwargs: Mapping[str, Any]) -> int:
    """Return how many examples these arguments of a model have."""
    first = next(iter((*args, *kwargs.values())), None)
    if isinstance(first, torch.Tensor) and first.ndim > 0:
        return first.shape[0]
    if isinstance(first, list) and all(isinstance(x, torch.Tensor) for x in first):
        return len(first)  # images of several sizes
    if isinstance(graphs := getattr(first, "num_graphs", None), int):  # of PyTorch Geometric
        return graphs
    leaves = tree_leaves((tuple(args), dict(kwargs)))
    return next((len(x) for x in leaves if isinstance(x, torch.Tensor) and x.ndim > 0), 1)


def _modules_that_call_hooks(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield all modules but those in a compiled one, which calls them itself."""
    compiled: list[str] = []
    for name, module in model.named_modules():
        if not any(name.startswith(prefix) for prefix in compiled):
            if isinstance(module, torch.jit.ScriptModule):
                compiled.append(f"{name}.")
            else:
                yield name, module


def _has_weight(module: nn.Module) -> bool:
    return not isinstance(module, nn.PReLU) and (
        weight_at_hand(module) is not None or parametrize.is_parametrized(module, "weight")
    )


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model itself, in which layers have the names that the user gave them."""
    while True:
        if isinstance(model, nn.parallel.DistributedDataParallel):
            model = model.module
        elif isinstance(inner := getattr(model, "_orig_mod", None), nn.Module):  # torch.compile's
            model = inner
        else:
            return model


@dataclass(frozen=True)
class Call:
    """An activation call that is about to be made."""

    layer: str  # its name, see `leakyrelu._trace.names`
    function: str  # such as "relu"
    pre_activation: torch.Tensor
    blocks_gradient: bool  # no gradient passes where the pre-activation is negative
    unit_axis: int  # of the pre-activation
    feeding: str  # path of the layer with weights that ran last before the call, or ""
    feeding_input: torch.Tensor | None
    below_is_trainable: bool  # the input of that layer comes from weights that can change
    mask: torch.Tensor | None  # False at padding; broadcasts against the pre-activation

    @property
    def key(self) -> str:
        """What distinguishes the call from all others in the model."""
        return f"{self.layer} {self.function}"


class CallTracer(TorchFunctionMode):
    """While it is active, passes every activation call to `on_call` before it is made.

    What `on_call` returns, if anything, is called with the result. `unit_axis` is guessed by
    default; `mask`, called with the arguments of the model, returns False at padding. `hooked`
    follows which modules run. `on_error`, if given, is called with the key of the layer and what
    went wrong in looking at it, so that the model runs on; without it, that is raised.
    """

    def __init__(
        self,
        model: nn.Module,
        on_call: Callable[[Call], Callable[[torch.Tensor], None] | None],
        unit_axis: int | None = None,
        mask: Callable[..., torch.Tensor] | None = None,
        on_error: Callable[[str, Exception], None] | None = None,
    ) -> None:
        super().__init__()
        self._known = known()
        self.model = model
        self.on_call = on_call
        self.unit_axis = unit_axis
        self.mask = mask
        self.on_error = on_error
        self.begin()

    def begin(self, args: Iterable[Any] = (), kwargs: Mapping[str, Any] | None = None) -> None:
        """Start over: the model is about to run with these arguments."""
        self.is_real: torch.Tensor | None = None
        self.mask_fits = False
        if self.mask is not None and (args or kwargs):
            self.is_real = self.mask(*args, **(kwargs or {})).bool()
        self.path = [""]  # the modules being run, outermost first
        self.feeding = ""  # the layer with weights that ran last
        self.feeding_input: torch.Tensor | None = None
        self.below_is_trainable = self.some_ran_that_is_trainable = False
        self.calls: Counter[tuple[str, str]] = Counter()
        self._key = ""  # of the call that is looked at

    @contextmanager
    def hooked(self) -> Iterator[None]:
        """Follow which module is being run."""
        with ExitStack() as stack:
            for name, module in _modules_that_call_hooks(self.model):
                enter = module.register_forward_pre_hook(
                    lambda _module, _args, name=name: self.path.append(name)
                )
                leave = module.register_forward_hook(
                    lambda module, args, _output: self._after_module(module, args),
                    always_call=True,
                )
                stack.callback(enter.remove)
                stack.callback(leave.remove)
            yield

    def _after_module(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        if len(self.path) == 1:  # an error came before the module was entered
            return
        name = self.path.pop()
        self._key = f"{name or '(model)'} {type(module).__name__}"
        try:
            self._note(name, module, args)
        except Exception as error:
            self._fail(error)

    def _note(self, name: str, module: nn.Module, args: tuple[Any, ...]) -> None:
        """Note that a layer with weights ran, if the module is one."""
        if not _has_weight(module):
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
        if function not in self._known.calls:
            return function(*args, **kwargs)
        self._key = f"{self.path[-1] or '(model)'} {function_name(function)}"
        after = None
        try:
            after = self._look(function, args, kwargs)
        except Exception as error:
            self._fail(error)
        result = function(*args, **kwargs)
        if after is not None:
            try:
                after(result)
            except Exception as error:
                self._fail(error)
        return result

    def _fail(self, error: Exception) -> None:
        if self.on_error is None:
            raise error
        self.on_error(self._key, error)

    def _look(self, function: Any, args: Any, kwargs: Any) -> Callable[[torch.Tensor], None] | None:
        x = args[0] if args else kwargs["input"]
        blocks_gradient = self._known.blocks_gradient(function, args, kwargs)
        # Clamps are used for other things too, such as lengths and rates.
        has_units = x.ndim > 1 and x.is_floating_point()
        if blocks_gradient is None or not has_units:
            return None
        name = self._known.name(function, args, kwargs)
        axis = self._axis_of_units(x)
        if function in self._known.clamps and not self._come_from_weights(x.shape[axis]):
            return None
        layer = self._next_layer(self.path[-1], name)
        self._key = f"{layer} {name}"
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
        return self.on_call(call)

    def _come_from_weights(self, units: int) -> bool:
        """Whether so many units may be those of the layer that ran last: boxes are not."""
        if not self.feeding:
            caller = self.model.get_submodule(self.path[-1])
            return any(True for _ in caller.parameters(recurse=False))
        feeding = self.model.get_submodule(self.feeding)
        if isinstance(feeding, WEIGHTED):
            return units_of(feeding) == units
        weight = weight_at_hand(feeding)
        return weight is None or weight.ndim != 1 or len(weight) == units

    def _next_layer(self, path: str, function: str) -> str:
        self.calls[path, function] += 1
        return layer_name(path, self.calls[path, function])

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
        """Return the mask so that it broadcasts against a pre-activation, if it fits."""
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
        """Refuse, after a run, a mask that fitted no pre-activation."""
        if self.is_real is not None and not self.mask_fits:
            raise InputError(
                f"the mask that mask= returned, of shape {tuple(self.is_real.shape)}, fits no "
                "activation; it must have the shape of a pre-activation without its unit axis"
            )
