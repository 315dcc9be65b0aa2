"""Numbers as the tables show them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from leakyrelu.compare.verdict import Estimate

__all__ = ["interval", "percent"]


def interval(estimate: Estimate, metric: str, signed: bool = False) -> str:
    """Write an estimate as ``97.1 ± 0.9%``, without the ± where there is no interval.

    A difference of accuracies (`signed`) is in percentage points and has no unit.
    """
    if math.isnan(estimate.mean):
        return "-"
    scale, digits = (100, 1) if metric == "accuracy" else (1, 3)
    text = format(scale * estimate.mean, f"{'+' if signed else ''}.{digits}f")
    if not math.isnan(estimate.reach):
        text += f" ± {scale * estimate.reach:.{digits}f}"
    return f"{text}%" if metric == "accuracy" and not signed else text


def percent(share: float) -> str:
    """Write a share as per cent: ``12.3%``, and ``0`` for none at all."""
    if math.isnan(share):
        return "-"
    return f"{100 * share:.1f}%" if share else "0"
