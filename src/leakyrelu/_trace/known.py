"""Which modules and functions stand for the entries of the table of activations."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from leakyrelu import _functions
from leakyrelu import nn as our_nn
from leakyrelu.activations import KINDS, OTHERS, Activation, Kind
from leakyrelu.nn import functional
from leakyrelu.nn._own import Calls

__all__ = ["CAPS", "Known", "function_name", "is_among", "known"]

_WITH_MODULES = (nn, our_nn)
_WITH_FUNCTIONS = (F, torch, Tensor, functional, _functions)


def known() -> Known:
    """Return what is known of the table as it is now."""
    return _known(tuple(KINDS.items()))


@functools.lru_cache(maxsize=8)
def _known(table: tuple[tuple[str, Kind], ...]) -> Known:
    return Known(dict(table))


class Known:
    """What PyTorch and this package have of the activations in a table."""

    def __init__(self, table: Mapping[str, Kind]) -> None:
        self._table = table
        self._blocks = functools.lru_cache(maxsize=256)(  # asked at every call that is seen
            lambda name, values: Activation(name, values).blocks_gradient
        )
        # Classes that do nothing but call one of `calls`.
        self.modules: dict[type[nn.Module], str] = {
            cls: name
            for name, kind in table.items()
            if not (kind.is_gate or kind.options)  # of one class, the first is meant
            for cls in _classes((kind.module, *kind.other_modules))
        }
        # Those that are replaced only by their very names.
        self.gates: dict[type[nn.Module], str] = {
            cls: name
            for name, kind in table.items()
            if kind.is_gate
            for cls in _classes((kind.module,))
        }
        self.calls: dict[Callable[..., Any], str] = {
            function: name
            for name, kind in table.items()
            if not kind.is_gate
            for function in _named(
                (name, f"{name}_", *kind.other_calls, *_with_aliases(kind.calls_if_min_is_0)),
                _WITH_FUNCTIONS,
            )
        }
        # By the name of the function, such as "relu6".
        self.by_name = {function_name(each): name for each, name in self.calls.items()}
        # Those of `calls` that are activations only if their lower bound is 0.
        self.clamps = frozenset(
            function
            for kind in table.values()
            for function in _named(_with_aliases(kind.calls_if_min_is_0), _WITH_FUNCTIONS)
        )
        self.bounded_modules = tuple(
            cls
            for kind in table.values()
            for cls in _named(kind.modules_if_min_is_0, _WITH_MODULES)
        )
        # Activations that are not in the table, and calls whose parameters the model owns.
        others = [name for name in OTHERS if name not in {cls.__name__ for cls in self.modules}]
        self.other_modules = tuple(_named(others, _WITH_MODULES))
        # The class that does what a function does, by which both are named.
        self.other_names = {
            function: name
            for name in others
            for function in _named(
                (name.lower(), f"{name.lower()}_", f"_{name.lower()}"), _WITH_FUNCTIONS
            )
        }
        learned = {function for function, name in self.calls.items() if table[name].is_learned}
        self.other_calls = frozenset(self.other_names) | learned
        self.replaceable = frozenset(self.calls) - learned

    def is_module(self, module: object) -> bool:
        """Whether it is an activation module, or one of a subclass."""
        if isinstance(module, tuple(self.modules)):
            return True
        return isinstance(module, self.bounded_modules) and module.min_val == 0

    def is_gate(self, module: object) -> bool:
        """Whether it is a module of an activation that may be a gate or an output."""
        return isinstance(module, (Calls, *self.gates)) and not self.is_module(module)

    def activation(self, module: nn.Module) -> Activation | None:
        """Return what a module computes, if it is known; of learned parameters, the default."""
        if isinstance(module, Calls):
            own = (name for name, kind in self._table.items() if kind.module is module.function)
            name = next(own, None)
            return None if name is None else Activation(name)
        for cls, name in (self.modules | self.gates).items():
            if isinstance(module, cls):
                parameters = self._table[name].parameters.items()
                return Activation(name, tuple(getattr(module, key, own) for key, own in parameters))
        return None

    def blocks_gradient(
        self, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> bool | None:
        """Whether one of `calls` passes no gradient where its input is negative.

        None if with these arguments it is no activation.
        """
        if function in self.clamps:
            named = [kwargs[word] for word in ("min", "min_val") if word in kwargs]
            least = [*named, *args[1:2], None][0]
            return True if isinstance(least, (int, float)) and least == 0 else None
        name = self.calls[function]
        values = []
        for index, (word, default) in enumerate(self._table[name].parameters.items(), start=1):
            value = kwargs.get(word, kwargs.get("weight", default))  # of a prelu
            value = args[index] if index < len(args) else value
            is_number = isinstance(value, (int, float))
            values.append(
                float(value if is_number else torch.as_tensor(value).detach().abs().amax())
            )
        return self._blocks(name, tuple(values))

    def keeps_zero(self, function: str) -> bool:
        """Whether the function of this name, as a layer shows it, is 0 at 0."""
        kind = self._table[self.by_name.get(function, "relu")]
        return not np.any(kind.value(np.zeros(1), *kind.parameters.values()))

    def cap(
        self, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> float | None:
        """Return the upper bound of what one of `calls` returns, if it has one."""
        own = CAPS.get(function_name(function))
        if function not in self.clamps:
            return own
        named = [kwargs[word] for word in ("max", "max_val") if word in kwargs]
        cap = [*named, *args[2:3], own][0]
        return float(cap) if isinstance(cap, (int, float)) and cap < math.inf else None

    def name(
        self, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> str:
        """Return the name by which a layer shows one of `calls`: `torch.nn.ReLU6` is a hardtanh."""
        name = function_name(function)
        is_capped = name == "hardtanh" or function in self.clamps
        is_relu6 = is_capped and self.cap(function, args, kwargs) == CAPS["relu6"]
        return "relu6" if is_relu6 else name


CAPS = {"relu6": 6.0, "hardtanh": 1.0}  # where no argument says so


def _classes(modules: Iterable[str | Callable[..., Any]]) -> list[type[nn.Module]]:
    """Return the classes of these names, and those of the user's own that are given themselves."""
    names = [module for module in modules if isinstance(module, str)]
    own = [module for module in modules if isinstance(module, type)]
    return _named(names, _WITH_MODULES) + own


def _named(names: Iterable[str], owners: Sequence[object]) -> list[Any]:
    found = (getattr(owner, name, None) for name in names for owner in owners)
    return [each for each in found if each is not None]


def _with_aliases(names: Iterable[str]) -> list[str]:
    return [*names, *(name.replace("clamp", "clip") for name in names if name.startswith("clamp"))]


def function_name(function: Callable[..., Any]) -> str:
    """Return the name by which a layer shows its function: in place or not, it is the same."""
    return str(getattr(function, "__name__", "")).rstrip("_")


def is_among(thing: object, group: Any) -> bool:
    """Tell whether it is in a set or tuple, of a thing that may have no hash."""
    try:
        return thing in group
    except TypeError:  # it has no hash
        return False
