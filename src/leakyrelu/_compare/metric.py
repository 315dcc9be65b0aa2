"""What is scored: its name, its range, and the unit in which it is shown."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

__all__ = ["ACCURACY", "R2", "Metric", "metric_named"]

ROUNDING = 1e-6


@dataclass(frozen=True)
class Metric:
    """A score; higher is better, so errors are negated.

    Attributes
    ----------
    name : str
    low, high : float
        The range of its values, up to rounding.
    scale : float
        What a score is multiplied by to be shown.
    unit : str
        Behind a score: ``"%"``.
    unit_of_difference : str
        Behind a difference of scores: ``" points"``.
    digits : int
        Shown after the point.
    guess : str
        What a model that ignores the features would always predict; empty if not known.
    undefined_for : str
        Parts of the data for which it is undefined, whatever the network.
    """

    name: str
    low: float = -math.inf
    high: float = math.inf
    scale: float = 1.0
    unit: str = ""
    unit_of_difference: str = ""
    digits: int = 3
    guess: str = ""
    undefined_for: str = ""

    def allows(self, score: float) -> bool:
        """Whether a score is in the range; NaN is.

        Examples
        --------
        >>> ACCURACY.allows(-0.94), R2.allows(-0.94)
        (False, True)
        """
        return not (score < self.low - ROUNDING or score > self.high + ROUNDING)

    def exceeds(self, score: float, other: float) -> bool:
        """Whether a score is higher than another, by more than rounding."""
        return score > other + ROUNDING

    def shown_to(self, reach: float) -> Metric:
        """Return the metric with digits for this half of an interval, if its range is not known.

        Examples
        --------
        >>> error = Metric("neg_mean_absolute_error")
        >>> [error.shown_to(reach).digits for reach in (21_917.0, 0.086, 0.00012)]
        [0, 3, 5]
        >>> ACCURACY.shown_to(0.00012).digits
        1
        """
        if math.isfinite(self.high) or not 0 < reach < math.inf:
            return self
        return replace(self, digits=max(1 - math.floor(math.log10(reach)), 0))

    def __str__(self) -> str:
        return self.name


ACCURACY = Metric(
    "accuracy",
    low=0.0,
    high=1.0,
    scale=100.0,
    unit="%",
    unit_of_difference=" points",
    digits=1,
    guess="the majority class",
    undefined_for="a part without a target that is a class",
)
R2 = Metric("R²", high=1.0, guess="the mean", undefined_for="a part whose targets are all the same")
_KNOWN = {metric.name: metric for metric in (ACCURACY, R2)}


def metric_named(name: str) -> Metric:
    """Return the metric of a name; one that is not known here has no unit and any range.

    Examples
    --------
    >>> metric_named("accuracy").unit, metric_named("f1_macro").digits
    ('%', 3)
    """
    if name in _KNOWN:
        return _KNOWN[name]
    return Metric(name, undefined_for="a part that lacks a class" if "auc" in name else "")
