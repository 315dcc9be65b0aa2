"""Numbers as the tables show them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from leakyrelu._compare.statistics.verdict import Candidate, Estimate
    from leakyrelu._comparison.comparison import Comparison

__all__ = [
    "damage",
    "fraction",
    "interval",
    "names_of",
    "percent",
    "score_axis",
    "score_in_words",
    "score_scale",
    "side_by_side",
]

MOST_NAMED = 5


def score_scale(metric: str) -> float:
    """Return what scores are multiplied by where they are shown: accuracy is in per cent."""
    return 100 if metric == "accuracy" else 1


def score_axis(metric: str) -> str:
    """Name a score with its unit."""
    return "accuracy (%)" if metric == "accuracy" else metric


def score_in_words(score: float, metric: str) -> str:
    """Write a score as ``97.1%``, or ``0.971`` where it is not accuracy."""
    if math.isnan(score):
        return "-"
    return f"{100 * score:.1f}%" if metric == "accuracy" else f"{score:.3f}"


def interval(estimate: Estimate, metric: str, signed: bool = False) -> str:
    """Write an estimate as ``97.1 ± 0.9%``, without the ± where there is no interval.

    A difference of accuracies (`signed`) is in percentage points and has no unit.
    """
    if math.isnan(estimate.mean):
        return "-"
    scale, digits = score_scale(metric), 1 if metric == "accuracy" else 3
    text = format(scale * estimate.mean, f"{'+' if signed else ''}.{digits}f")
    if not math.isnan(estimate.reach):
        text += f" ± {scale * estimate.reach:.{digits}f}"
    return f"{text}%" if metric == "accuracy" and not signed else text


def percent(share: float) -> str:
    """Write a share as per cent: ``12.3%``, and ``0`` for none at all."""
    if math.isnan(share):
        return "-"
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


def names_of(comparisons: Sequence[Comparison]) -> list[str]:
    """Name experiments by their directories, with as much of the path as tells them apart."""
    paths = [comparison.directory.absolute() for comparison in comparisons]
    for parts in range(1, max(len(path.parts) for path in paths)):
        names = ["/".join(path.parts[-parts:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


def side_by_side(comparisons: Sequence[Comparison]) -> list[tuple[str, list[Candidate | None]]]:
    """Return each activation with what each experiment found of it, None if it is not among them.

    Those that are in more experiments come first, then those of the better mean place.
    """
    each = [{c.activation: c for c in comparison.candidates} for comparison in comparisons]
    places: dict[str, list[int]] = {}
    for found in each:
        for place, activation in enumerate(found):
            places.setdefault(activation, []).append(place)
    ordered = sorted(places, key=lambda name: (-len(places[name]), sum(places[name])))
    return [(name, [found.get(name) for found in each]) for name in ordered]


def damage(trials: Sequence[str]) -> str:
    """Name trials that are damaged, a few of them: ``relu at 0.01, seed 3; and 2 more``."""
    more = len(trials) - MOST_NAMED
    return "; ".join(trials[:MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")
