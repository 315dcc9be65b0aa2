"""Activations with an upper bound, for the places of ReLU6 and its like."""

from __future__ import annotations

import functools
from typing import Any

from torch import Tensor, nn

__all__ = ["Capped", "capped"]


class Capped:
    """What a class of activations becomes by `capped`: ``min(f(x), cap)``."""

    cap: float

    def forward(self, input: Tensor) -> Tensor:
        value: Tensor = super().forward(input)  # type: ignore[misc]
        return value.clamp(max=self.cap)

    def extra_repr(self) -> str:
        return ", ".join(filter(None, [super().extra_repr(), f"cap={self.cap:g}"]))  # type: ignore[misc]

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        # For copies and pickles: no import finds the subclass.
        return _new, (type(self).__bases__[1],), self.__getstate__()


def capped(module: nn.Module, cap: float) -> nn.Module:
    """Let an activation module return at most `cap`, and return it."""
    cls: Any = type(module)
    module.__class__ = _subclass(cls)
    module.cap = cap  # type: ignore[assignment]
    return module


@functools.cache
def _subclass(base: Any) -> Any:
    return type(f"Capped{base.__name__}", (Capped, base), {"__module__": __name__})


def _new(base: Any) -> nn.Module:
    cls = _subclass(base)
    module: nn.Module = cls.__new__(cls)
    return module
