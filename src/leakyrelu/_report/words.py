"""Numbers and lists as text, wherever they are shown."""

from __future__ import annotations

import math
from collections.abc import Sequence

from leakyrelu._compare.metric import Metric
from leakyrelu._compare.statistics.candidates import Estimate
from leakyrelu._compare.statistics.crossed import Claim

__all__ = [
    "MARKS",
    "MEANINGS",
    "by",
    "chance",
    "few",
    "fraction",
    "interval",
    "listing",
    "odds",
    "percent",
    "plain_difference",
    "score_in_words",
    "with_unit",
]

MOST_NAMED = 5
# What the two claims speak of.
MEANINGS = {
    "these data": "networks trained on this data set, on new examples",
    "these test examples": "networks trained with other seeds, on the same test examples",
    "source": "networks trained on other samples of it, too",
}
MARKS = {"better": "▲", "worse": "▼", "equivalent": "=", "undecided": "?"}


def with_unit(metric: Metric) -> str:
    """Name a score with its unit: ``accuracy (%)``."""
    return f"{metric.name} ({metric.unit})" if metric.unit else metric.name


def score_in_words(score: float, metric: Metric) -> str:
    """Write a score in its unit, as ``97.1%`` or ``0.971``."""
    if math.isnan(score):
        return "-"
    return f"{metric.scale * score:.{metric.digits}f}{metric.unit}"


def interval(estimate: Estimate | Claim, metric: Metric, signed: bool = False) -> str:
    """Write an estimate as ``97.1 ± 0.9%``, without the ± where there is no interval.

    A difference (`signed`) has a sign and no unit.
    """
    if math.isnan(estimate.mean):
        return "-"
    sign = "+" if signed else ""
    text = f"{metric.scale * estimate.mean:{sign}.{metric.digits}f}"
    if not math.isnan(estimate.reach):
        text += f" ± {metric.scale * estimate.reach:.{metric.digits}f}"
    return text if signed else f"{text}{metric.unit}"


def by(claim: Claim, metric: Metric, unit: bool = True) -> str:
    """Write by how much something is better or worse: ``2.8 to 7.4 points``, or without unit."""
    low, high = sorted(abs(end) for end in claim.interval)
    ends = [f"{metric.scale * end:.{metric.digits}f}" for end in (low, high)]
    return f"{ends[0]} to {ends[1]}{metric.unit_of_difference if unit else ''}"


def plain_difference(size: float, metric: Metric) -> str:
    """Write a size of differences: ``2 points``."""
    return f"{metric.scale * size:g}{metric.unit_of_difference}"


def odds(probability: float) -> str:
    """Write a probability of 0 to 1 with two digits: ``0.61``, and ``over 0.99``."""
    if probability > 0.99:
        return "over 0.99"
    return f"{probability:.2f}" if probability >= 0.01 else "under 0.01"


def chance(probability: float | None) -> str:
    """Write a probability in a table: ``61%``, never ``0%`` or ``100%``; nothing if not known.

    Examples
    --------
    >>> [chance(probability) for probability in (0.614, 0.0, 0.9999, None)]
    ['61%', '<1%', '>99%', '']
    """
    if probability is None or math.isnan(probability):
        return ""
    if not 0.01 <= probability <= 0.99:
        return ">99%" if probability > 0.5 else "<1%"
    return f"{100 * probability:.0f}%"


def percent(share: float) -> str:
    """Write a share as per cent: ``12.3%``, ``<0.1%``, and ``0`` for none at all."""
    if math.isnan(share):
        return "-"
    if 0 < share < 0.0005:
        return "<0.1%"
    return f"{100 * share:.1f}%" if share else "0"


def fraction(ratio: float) -> str:
    """Write a ratio with two digits, small ones as ``1/900``.

    Examples
    --------
    >>> [fraction(ratio) for ratio in (0.0011, 0.2, 0.81, 12.3, 0.0, float("nan"))]
    ['1/910', '1/5', '0.81', '12', '0', '-']
    """
    if math.isnan(ratio):
        return "-"
    if ratio == 0 or not 1e-6 < ratio < 1e6:
        return f"{ratio:.2g}"
    if ratio < 0.5:
        return f"1/{_two_digits(1 / ratio)}"
    return _two_digits(ratio)


def _two_digits(value: float) -> str:
    return f"{float(f'{value:.2g}'):,g}"


def listing(items: Sequence[str], last: str = "and") -> str:
    """Join names in a sentence: ``a, b and c``."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {last} {items[-1]}"


def few(items: Sequence[object], separator: str = ", ") -> str:
    """Join the first few items, and say how many more there are: ``0, 1, 2, 3, 4 and 7 more``."""
    shown = separator.join(map(str, items[:MOST_NAMED]))
    more = len(items) - MOST_NAMED
    return f"{shown} and {more} more" if more > 0 else shown
