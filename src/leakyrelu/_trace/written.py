"""Rectifiers that are written out, such as ``torch.where(x > 0, x, 0)`` and ``x * (x > 0)``."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import TensorWeakRef, WeakIdKeyDictionary

__all__ = ["WrittenOut"]


def _both(*names: str) -> set[Any]:
    """Return the functions and methods of these names."""
    found = (getattr(owner, name, None) for name in names for owner in (torch, Tensor))
    return {each for each in found if each is not None}


_ABOVE, _BELOW = _both("gt", "ge", "__gt__", "__ge__"), _both("lt", "le", "__lt__", "__le__")
_CASTS = _both("float", "half", "double", "bfloat16", "to", "type", "type_as")
_WHERE, _TIMES = _both("where"), _both("mul", "mul_", "__mul__", "__rmul__", "__imul__")
_MAXIMUM, _FILL = _both("maximum", "max", "fmax"), _both("masked_fill", "masked_fill_")
_SET = {Tensor.__setitem__}
_ALL = _ABOVE | _BELOW | _CASTS | _WHERE | _TIMES | _MAXIMUM | _FILL | _SET


class WrittenOut:
    """Remembers which masks are signs of which tensors, to know a rectifier that uses one."""

    def __init__(self) -> None:
        self._signs: Any = WeakIdKeyDictionary()  # mask -> its tensor, and whether it is above 0

    @staticmethod
    def may_be(function: Any) -> bool:
        """Whether calls of this function are of interest."""
        return function in _ALL

    def note(self, function: Any, args: Any, result: Any) -> None:
        """Note the result of a call."""
        if not (isinstance(result, Tensor) and args and isinstance(args[0], Tensor)):
            return
        if function in _CASTS and args[0] in self._signs and result is not args[0]:
            self._signs[result] = self._signs[args[0]]
        elif function in _ABOVE | _BELOW and len(args) == 2 and _is_zero(args[1]):
            self._signs[result] = (TensorWeakRef(args[0]), function in _ABOVE)

    def rectified(self, function: Any, args: Any) -> Tensor | None:
        """Return the tensor that a call is about to rectify, if it is."""
        if function in _WHERE and len(args) == 3:
            mask, one, other = args
            if isinstance(one, Tensor) and one in self._signs:  # x.where(mask, other)
                mask, one = one, mask
            found = self._of(mask, one, True, other), self._of(mask, other, False, one)
            return next((x for x in found if x is not None), None)
        if function in _TIMES and len(args) == 2:
            one, other = args
            found = self._of(one, other, True), self._of(other, one, True)
            return next((x for x in found if x is not None), None)
        if function in _MAXIMUM and len(args) == 2 and isinstance(args[1], Tensor):
            one, other = args
            return one if _is_zero(other) else other if _is_zero(one) else None
        if function in _FILL | _SET and len(args) == 3:
            x, mask, value = args
            return self._of(mask, x, False, value)
        return None

    def _of(self, mask: Any, x: Any, above: bool, zero: Any = 0) -> Tensor | None:
        """Return x if the mask is where it is above 0, or below, and the rest becomes 0."""
        sign = self._signs.get(mask) if isinstance(mask, Tensor) else None
        is_its = sign is not None and sign[1] == above and sign[0]() is x
        return x if is_its and _is_zero(zero) else None


def _is_zero(x: Any) -> bool:
    if isinstance(x, Tensor):
        return x.device.type != "meta" and x.grad_fn is None and not bool(x.detach().any())
    return isinstance(x, (int, float)) and x == 0
