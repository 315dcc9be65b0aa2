"""Figures of a comparison: score intervals, learning curves, silent units."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from leakyrelu._compare.metric import Metric
from leakyrelu._compare.results import Results
from leakyrelu._compare.statistics.candidates import Candidate, Estimate
from leakyrelu._compare.statistics.crossed import Claim
from leakyrelu._plot.figure import NotebookFigure
from leakyrelu._report.svg import Drawing, Value, mark
from leakyrelu._report.words import interval, percent, score_in_words, with_unit

__all__ = ["differences", "learning_curve", "most_silent", "overview", "scores", "silent_units"]

# Told apart by colour-blind readers, and dark enough on white, bright enough on black.
BETTER, WORSE, UNCLEAR, OTHERS = "#1f86c8", "#d9731a", "#808080", "#a0a0a0"


def scores(comparison: Results, axes: Axes) -> Drawing:
    """Draw the test score of each activation with its 95% interval."""
    metric = comparison.task.metric
    trained = comparison.trained
    values = _intervals(axes, trained, [c.score for c in trained], metric)
    for row, candidate in enumerate(trained):
        name = candidate.activation
        each = [metric.scale * trial.test_score for trial in candidate.trials]
        style: Any = {"color": OTHERS, "markersize": 7, "zorder": 1, "gid": mark(name)}
        axes.plot(each, [row] * len(each), "|", **style)
        for x, trial in zip(each, candidate.trials, strict=True):
            text = f"{name}, seed {trial.seed}: {score_in_words(trial.test_score, metric)}"
            values.append(Value(x, row, text, name))
    axes.set_xlabel(f"test {with_unit(metric)}; | one seed")
    told = "; ".join(value.text for value in values[: len(trained)])
    return Drawing(f"Test {metric} with 95% intervals. {told}", values)


def differences(comparison: Results, axes: Axes) -> Drawing:
    """Draw each paired difference to the reference, as it is claimed of these data."""
    metric, reference = comparison.task.metric, comparison.settings.reference
    trained = comparison.trained  # the row of the reference stays empty: rows as in `scores`
    values = _intervals(axes, trained, [c.difference for c in trained], metric, signed=True)
    axes.axvline(0, color=OTHERS, linewidth=1, linestyle="--", zorder=0)
    if comparison.rope:
        reach = metric.scale * comparison.rope
        axes.axvspan(-reach, reach, color=OTHERS, alpha=0.2, linewidth=0, zorder=0)
    for row, claim in enumerate(c.source for c in trained):
        if claim is not None:
            ends = [metric.scale * claim.low, metric.scale * claim.high]
            axes.plot(ends, [row, row], color=OTHERS, linewidth=1, zorder=0.5)
    unit = metric.unit_of_difference.strip() or metric
    source = "; thin: for the source" if comparison.has_source else ""
    axes.set_xlabel(f"difference to {reference} ({unit}){source}")
    told = "; ".join(value.text for value in values)
    what = f"Difference to {reference} on {comparison.scope}"
    return Drawing(f"{what} with 95% intervals. {told}", values)


def learning_curve(comparison: Results, candidate: Candidate, axes: Axes) -> Drawing:
    """Draw the validation score of one activation over the epochs, the others in grey."""
    metric = comparison.task.metric
    scale = metric.scale
    reached, values = [], list[Value]()
    for other in comparison.trained:
        epochs = [checkpoint.epoch for checkpoint in other.trials[0].history]
        curves = np.array([[c.validation_score for c in t.history] for t in other.trials])
        if len(epochs) > 2:  # what is before training is far away, but one point makes no curve
            epochs, curves = epochs[1:], curves[:, 1:]
        mean, low, high = curves.mean(axis=0), curves.min(axis=0), curves.max(axis=0)
        reached.append(scale * curves[np.isfinite(curves)])
        own = other is candidate
        axes.plot(
            epochs,
            scale * mean,
            color=BETTER if own else OTHERS,
            alpha=1 if own else 0.45,
            linewidth=2 if own else 0.8,
            zorder=3 if own else 1,
            gid=mark(other.activation),
        )
        if own:
            ends = scale * low, scale * high
            axes.fill_between(epochs, *ends, color=BETTER, alpha=0.18, linewidth=0)
            for epoch, *each in zip(epochs, mean, low, high, strict=True):
                score, worst, best = (score_in_words(value, metric) for value in each)
                text = f"epoch {epoch}: {score} ({worst} to {best})"
                values.append(Value(epoch, scale * each[0], text, other.activation))
    # The same range in every figure, so that they compare.
    low_end, high_end = np.concatenate(reached).min(), np.concatenate(reached).max()
    margin = 0.05 * max(high_end - low_end, 0.01)
    axes.set_ylim(low_end - margin, high_end + margin)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True, min_n_ticks=1))
    axes.set_xlabel("epoch")
    axes.set_title(candidate.activation)
    told = "; ".join(value.text for value in values)
    return Drawing(f"Validation {metric} of {candidate.activation} by epoch. {told}", values)


def silent_units(comparison: Results, candidate: Candidate, axes: Axes) -> Drawing:
    """Draw the share of units that never fire, by layer and epoch."""
    epochs = [checkpoint.epoch for checkpoint in candidate.trials[0].history]
    layers = candidate.trials[0].layers
    share = _silent_share(candidate)
    name = candidate.activation
    axes.imshow(
        share.T,
        origin="lower",
        aspect="auto",
        interpolation="none",  # of an SVG: one pixel a cell, scaled by who shows it
        cmap="cividis",
        vmin=0,
        vmax=most_silent(comparison),
        extent=(-0.5, len(epochs) - 0.5, 0.5, len(layers) + 0.5),
    )
    shown = range(0, len(epochs), 2) if len(epochs) > 6 else range(len(epochs))
    axes.set_xticks(list(shown), [str(epochs[i]) for i in shown])
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch")
    axes.set_ylabel("layer")
    axes.set_title(name)
    values = [
        Value(i, row, f"layer {layer}, epoch {epoch}: {percent(share[i, row - 1])}", name)
        for row, layer in enumerate(layers, 1)
        for i, epoch in enumerate(epochs)
    ]
    worst = int(share[-1].argmax())
    return Drawing(
        f"Units of {name} that never fire, by layer and epoch: "
        f"{percent(share[0].mean())} before training, {percent(share[-1].mean())} at the end, "
        f"most of them in layer {layers[worst]} ({percent(share[-1, worst])})",
        values,
    )


def overview(comparison: Results) -> Figure:
    """Draw scores and differences, and of what is known learning curves and silent units."""
    trained = comparison.trained
    columns = max(2, min(4, len(trained)))
    rows = max(1, -(-len(trained) // columns))
    metric = with_unit(comparison.task.metric)
    grids: dict[str, Callable[[Results, Candidate, Axes], Drawing]] = {}
    if comparison.has_curves:
        grids[f"validation {metric}: mean and range over the seeds"] = learning_curve
    if comparison.has_health:
        most = f"{most_silent(comparison):.0%}"
        grids[f"units that never fire, dark 0 to yellow {most}, by layer"] = silent_units
    heights = [3.2, *(2.2 * rows for _ in grids)]
    figure = NotebookFigure(figsize=(3 * columns, sum(heights)))
    top, *parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False).flat
    left, right = top.subplots(1, 2)
    scores(comparison, left)
    differences(comparison, right)
    for part, (title, draw) in zip(parts, grids.items(), strict=True):
        part.suptitle(title)
        grid = part.subplots(rows, columns, squeeze=False, sharey=True)
        for i, axes in enumerate(grid.flat):
            axes.set_visible(i < len(trained))
            if i < len(trained):
                draw(comparison, trained[i], axes)
                axes.label_outer()
    return figure


def _silent_share(candidate: Candidate) -> npt.NDArray[np.float64]:
    """Mean over the seeds, shape (checkpoints, layers)."""
    shares = np.array([[c.never_fired for c in t.history] for t in candidate.trials])
    return np.asarray(shares.mean(axis=0))


def most_silent(comparison: Results) -> float:
    """Return the upper end of the colour scale, one for all activations."""
    return max([0.01, *(float(_silent_share(c).max()) for c in comparison.trained)])


def _intervals(
    axes: Axes,
    candidates: Sequence[Candidate],
    estimates: Sequence[Estimate | Claim | None],
    metric: Metric,
    signed: bool = False,
) -> list[Value]:
    """Draw an interval for each candidate that has an estimate, and return its value."""
    scale = metric.scale
    values = []
    for row, (candidate, estimate) in enumerate(zip(candidates, estimates, strict=True)):
        if estimate is None:
            continue
        color = {"better": BETTER, "worse": WORSE}.get(candidate.verdict or "", UNCLEAR)
        gid = mark(candidate.activation)
        ends = [scale * estimate.low, scale * estimate.high]
        axes.plot(ends, [row, row], color=color, linewidth=2.5, gid=gid)
        axes.plot(scale * estimate.mean, row, "o", color=color, markersize=7, gid=gid)
        text = f"{candidate.activation}: {interval(estimate, metric, signed)}"
        values.append(Value(scale * estimate.mean, row, text, candidate.activation))
    axes.set_yticks(range(len(candidates)), [c.activation for c in candidates])
    axes.set_ylim(max(len(candidates), 1) - 0.5, -0.5)
    axes.grid(axis="x", color=OTHERS, alpha=0.3, linewidth=0.6)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return values
