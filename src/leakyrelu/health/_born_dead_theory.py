"""Bounds from theory on the probability that a network is born dead."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise

from torch import Tensor

from leakyrelu.activations import Activation

__all__ = ["bounds"]


def bounds(widths: Sequence[int], data: Tensor, init: str, spec: Activation) -> tuple[float, float]:
    """Return bounds on the probability of being born dead; see the notes of `born_dead`."""
    if not spec.can_die:
        return 0.0, 0.0
    by_sign = init == "he" and data.shape[1] == 1
    signs = set(data.sign().flatten().tolist()) - {0.0}
    if len(data) == 1 or (by_sign and len(signs) == 1):
        return (_any_of(widths),) * 2
    if by_sign:
        by_layer_two = _both_signs_lost(widths[:2])
        return (_both_signs_lost(widths), by_layer_two + (1 - by_layer_two) * _any_of(widths[2:]))
    biases = init == "torch"
    all_negative = ((before + biases) * after for before, after in pairwise(widths))
    return _any_of(all_negative), _any_of(widths)


def _any_of(coins: Iterable[int]) -> float:
    """Return the probability that at least one of some groups of coins is all tails."""
    return 0.0 - math.expm1(sum(math.log1p(-(2.0**-n)) for n in coins))


def _both_signs_lost(widths: Sequence[int]) -> float:
    """Return the probability that the Markov chain in the notes of `born_dead` has died.

    While it lives it is *split*, or *joined*: what is left of all examples lies on one ray,
    because one sign was lost or both reach the same single unit only.
    """
    dead, joined = 0.0, 2 * 2.0 ** -widths[0]  # only if all weights of layer 1 have one sign
    split = 1 - joined
    for width in widths[1:]:
        lost = 2.0**-width  # of one ray
        dead += joined * lost + split * lost**2
        joined = joined * (1 - lost) + split * lost * (2 + (width - 2) * lost)
        split *= 1 - 2 * lost - (width - 1) * lost**2
    return dead
