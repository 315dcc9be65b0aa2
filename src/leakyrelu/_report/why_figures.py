"""Figures of the condition of networks: gradients by depth, slopes, silent units and score."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.markers import MarkerStyle
from matplotlib.ticker import MaxNLocator

from leakyrelu._compare.results import Results
from leakyrelu._compare.statistics.candidates import Candidate
from leakyrelu._compare.statistics.condition import (
    END,
    START,
    gradients,
    median_reach,
    silent,
    slopes,
)
from leakyrelu._report.svg import Drawing, Value, mark
from leakyrelu._report.why import names_of_slopes
from leakyrelu._report.words import fraction, percent, score_in_words, with_unit

__all__ = ["gradient_by_depth", "legend", "line_styles", "silent_and_score", "slopes_by_layer"]

# Of one lightness, which stands out from white and from black: at least 3 to 1.
_COLORS = ("#1f86c8", "#d9731a", "#2f9a5c", "#a566cc", "#cf5050", "#93832a", "#19979c", "#d0559b")
_DASHES = ("", "5 2", "1.5 1.5")
_MARKERS = "os^Dv*P"  # not as many as colours: those of one colour have different ones


def line_styles(comparison: Results) -> dict[str, tuple[str, str, str]]:
    """Return colour, SVG dashes and marker of each activation, in all figures the same."""
    return {
        spec: (
            _COLORS[i % len(_COLORS)],
            _DASHES[i // len(_COLORS) % len(_DASHES)],
            _MARKERS[i % len(_MARKERS)],
        )
        for i, spec in enumerate(comparison.settings.activations)
    }


def legend(comparison: Results) -> dict[str, tuple[str, str, str]]:
    """Return colour, SVG dashes and the corners of the marker, in a box of 10, of those trained."""
    found: dict[str, tuple[str, str, str]] = {}
    for c in comparison.trained:
        color, dashes, marker = line_styles(comparison)[c.activation]
        style = MarkerStyle(marker)
        (polygon,) = style.get_path().transformed(style.get_transform()).to_polygons()
        corners = np.asarray(polygon)
        corners = 5 + 4 * corners / np.abs(corners).max()
        # The y of SVG points down.
        found[c.activation] = color, dashes, " ".join(f"{x:.1f},{10 - y:.1f}" for x, y in corners)
    return found


def _line(comparison: Results, candidate: Candidate) -> dict[str, Any]:
    color, dashes, _ = line_styles(comparison)[candidate.activation]
    style = (0, tuple(map(float, dashes.split()))) if dashes else "-"
    return {"color": color, "linestyle": style, "gid": mark(candidate.activation)}


def gradient_by_depth(comparison: Results, at: int, axes: Axes) -> Drawing:
    """Draw the gradient of each weight matrix, first to last, on a logarithmic scale."""
    values, told = [], []
    by_name = {c.activation: gradients(c.trials, at) for c in comparison.trained}
    positive = [float(gradient) for each in by_name.values() for gradient in each if gradient > 0]
    # A logarithmic scale has no place for 0: it is drawn where the figure ends.
    bottom = min(positive, default=1) / 3
    for c in comparison.trained:
        each = by_name[c.activation]
        depth = np.arange(1, len(each) + 1)
        shown = np.where(each == 0, bottom, each)
        axes.plot(depth, shown, linewidth=1.6, **_line(comparison, c))
        for x, y, gradient in zip(depth.tolist(), shown.tolist(), each.tolist(), strict=True):
            if gradient >= 0:
                text = f"{c.activation}, {x}: {gradient:.2g}"
                values.append(Value(float(x), y, text, c.activation))
        told.append(f"{c.activation} {fraction(median_reach(c.trials, at))}")
    axes.set_yscale("log")
    if any((each == 0).any() for each in by_name.values()):
        axes.set_ylim(bottom=bottom)
        axes.annotate("bottom: 0", (0.02, 0.03), xycoords="axes fraction", fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("weights, from the first layer to the last")
    axes.set_ylabel("gradient")
    axes.grid(axis="y", color="#a0a0a0", alpha=0.3, linewidth=0.6)
    when = "before training" if at == START else "at the end"
    axes.set_title(f"gradient by depth, {when}")
    return Drawing(
        f"Gradient of each weight matrix {when}. At the first, as a multiple of that at the last, "
        "the median over the seeds: "
        f"{'; '.join(told)}",
        values,
    )


def silent_and_score(comparison: Results, axes: Axes) -> Drawing:
    """Draw each network's test score over its silent units, and the medians of the activations."""
    metric = comparison.task.metric
    scale = metric.scale
    values, told = [], []

    def says(x: float, y: float) -> str:
        return f"{percent(x / 100)} silent, {score_in_words(y / scale, metric)}"

    for c in comparison.trained:
        style = _line(comparison, c)
        x = [100 * silent(trial, END) for trial in c.trials]
        y = [scale * trial.test_score for trial in c.trials]
        options = {"color": style["color"], "gid": style["gid"], "linestyle": "none"}
        options["marker"] = line_styles(comparison)[c.activation][2]
        axes.plot(x, y, markersize=4.5, alpha=0.6, markeredgewidth=0, **options)
        middle = float(np.median(x)), float(np.median(y))
        axes.plot(*middle, markersize=9, fillstyle="none", markeredgewidth=2, **options)
        for trial, a, b in zip(c.trials, x, y, strict=True):
            text = f"{c.activation}, seed {trial.seed}: {says(a, b)}"
            values.append(Value(a, b, text, c.activation))
        told.append(f"{c.activation} {says(*middle)}")
    axes.set_title("silent units and score")
    axes.set_xlabel("units that never fire at the end (%)")
    axes.set_ylabel(f"test {with_unit(metric)}")
    axes.grid(color="#a0a0a0", alpha=0.3, linewidth=0.6)
    return Drawing(
        f"Test {metric} of each network over its silent units at the end. Medians: "
        f"{'; '.join(told)}",
        values,
    )


def slopes_by_layer(comparison: Results, axes: Axes) -> Drawing:
    """Draw the slopes that PReLUs have learned, the mean over the seeds and their range."""
    values, told = [], []
    for c in comparison.trained:
        if not c.trials[0].history[END].slopes:
            continue
        each = np.array([trial.history[END].slopes for trial in c.trials])
        mean = each.mean(axis=0)
        place = np.arange(1, len(mean) + 1)
        style = _line(comparison, c)
        low, high = each.min(axis=0), each.max(axis=0)
        axes.plot(place, mean, marker="o", markersize=3.5, **style)
        axes.fill_between(
            place, low, high, color=style["color"], alpha=0.18, linewidth=0, gid=style["gid"]
        )
        start = slopes(c.trials, START)
        axes.plot(place, start, color="#808080", linewidth=1, linestyle="--", gid=style["gid"])
        names = names_of_slopes(c.trials[0])
        for x, name, y, least, most in zip(place, names, mean, low, high, strict=True):
            text = f"{c.activation}, {name}: {y:.3f} ({least:.3f} to {most:.3f})"
            values.append(Value(float(x), y, text, c.activation))
        told.append(
            f"{c.activation} from {start.mean():.2f} on average to {mean.min():.2f} at the least "
            f"and {mean.max():.2f} at the most"
        )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title("slopes that PReLU learned")
    axes.set_xlabel("PReLU, from the first to the last")
    axes.set_ylabel("slope")
    axes.grid(axis="y", color="#a0a0a0", alpha=0.3, linewidth=0.6)
    return Drawing(f"Slopes that were learned. {'; '.join(told)}", values)
