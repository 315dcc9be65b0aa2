"""Figures of a comparison: score intervals, learning curves, dead units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from leakyrelu._figure import NotebookFigure

if TYPE_CHECKING:
    from leakyrelu.compare.comparison import Comparison
    from leakyrelu.compare.verdict import Candidate, Estimate

__all__ = ["differences", "learning_curve", "most_silent", "overview", "scores", "silent_units"]

# Told apart by colour-blind readers, and dark enough on white, bright enough on black.
BETTER, WORSE, UNCLEAR, OTHERS = "#1f86c8", "#d9731a", "#808080", "#a0a0a0"


def scores(comparison: Comparison, axes: Axes) -> None:
    """Draw the test score of each activation with its 95% interval."""
    trained = [c for c in comparison.candidates if not c.diverged]
    scale = _scale(comparison)
    _intervals(axes, trained, [c.score for c in trained], scale, [_color(c) for c in trained])
    for row, candidate in enumerate(trained):
        each = [scale * trial.test_score for trial in candidate.trials]
        axes.plot(each, [row] * len(each), "|", color=OTHERS, markersize=7, zorder=1)
    axes.set_xlabel(f"test {_metric(comparison)}; | one seed")


def differences(comparison: Comparison, axes: Axes) -> None:
    """Draw each paired difference to the reference, with simultaneous 95% intervals."""
    compared = [c for c in comparison.candidates if c.difference and not c.diverged]
    estimates = [c.difference for c in compared if c.difference]
    _intervals(axes, compared, estimates, _scale(comparison), [_color(c) for c in compared])
    axes.axvline(0, color=OTHERS, linewidth=1, linestyle="--", zorder=0)
    unit = "points" if comparison.task.metric == "accuracy" else comparison.task.metric
    axes.set_xlabel(f"difference to {comparison.settings.reference} ({unit})")


def learning_curve(comparison: Comparison, candidate: Candidate, axes: Axes) -> None:
    """Draw the validation score of one activation over the epochs, the others in grey."""
    means = []
    for other in comparison.candidates:
        if other.diverged:
            continue
        epochs = [checkpoint.epoch for checkpoint in other.trials[0].history]
        curves = _scale(comparison) * np.array(
            [[checkpoint.validation_score for checkpoint in t.history] for t in other.trials]
        )
        mean = curves.mean(axis=0)
        means.append(mean[1:])
        own = other is candidate
        axes.plot(
            epochs[1:],
            mean[1:],
            color=BETTER if own else OTHERS,
            alpha=1 if own else 0.45,
            linewidth=2 if own else 0.8,
            zorder=3 if own else 1,
        )
        if own:
            axes.fill_between(
                epochs[1:],
                curves.min(axis=0)[1:],
                curves.max(axis=0)[1:],
                color=BETTER,
                alpha=0.18,
                linewidth=0,
            )
    # The same range in every figure, so that they compare.
    low, high = np.min(means), np.max(means)
    margin = 0.05 * max(high - low, 0.01)
    axes.set_ylim(low - margin, high + margin)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.set_xlabel("epoch")
    axes.set_title(candidate.activation)


def silent_units(comparison: Comparison, candidate: Candidate, axes: Axes) -> None:
    """Draw the share of units that never fire, by layer and epoch."""
    epochs = [checkpoint.epoch for checkpoint in candidate.trials[0].history]
    share = _silent_share(candidate)
    axes.pcolormesh(
        np.arange(len(epochs)),
        np.arange(1, share.shape[1] + 1),
        share.T,
        cmap="cividis",
        vmin=0,
        vmax=most_silent(comparison),
        edgecolors="face",  # else seams show between the cells of an SVG
        linewidth=0.2,
    )
    shown = range(0, len(epochs), 2) if len(epochs) > 6 else range(len(epochs))
    axes.set_xticks(list(shown), [str(epochs[i]) for i in shown])
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch")
    axes.set_ylabel("hidden layer")
    axes.set_title(candidate.activation)


def overview(comparison: Comparison) -> Figure:
    """Draw scores, differences, learning curves and dead units in one figure."""
    trained = [c for c in comparison.candidates if not c.diverged]
    columns = max(2, min(4, len(trained)))
    rows = max(1, -(-len(trained) // columns))
    figure = NotebookFigure(figsize=(3 * columns, 3.2 + 4.4 * rows))
    parts: Any = figure.subfigures(3, 1, height_ratios=[3.2, 2.2 * rows, 2.2 * rows])
    top, curves, heat = parts
    left, right = top.subplots(1, 2)
    scores(comparison, left)
    differences(comparison, right)
    curves.suptitle(f"validation {_metric(comparison)}: mean and range over the seeds")
    heat.suptitle(
        f"units that never fire, dark 0 to yellow {most_silent(comparison):.0%}, by layer"
    )
    for part, draw in ((curves, learning_curve), (heat, silent_units)):
        grid = part.subplots(rows, columns, squeeze=False, sharey=True)
        for i, axes in enumerate(grid.flat):
            if i < len(trained):
                draw(comparison, trained[i], axes)
                axes.label_outer()
            else:
                axes.set_visible(False)
    return figure


def _scale(comparison: Comparison) -> float:
    return 100 if comparison.task.metric == "accuracy" else 1


def _metric(comparison: Comparison) -> str:
    return "accuracy (%)" if comparison.task.metric == "accuracy" else comparison.task.metric


def _color(candidate: Candidate) -> str:
    return {"better": BETTER, "worse": WORSE}.get(candidate.verdict or "", UNCLEAR)


def _silent_share(candidate: Candidate) -> npt.NDArray[np.float64]:
    """Mean over the seeds, shape (checkpoints, layers)."""
    shares = np.array([[c.never_fired for c in t.history] for t in candidate.trials])
    return np.asarray(shares.mean(axis=0))


def most_silent(comparison: Comparison) -> float:
    """Return the upper end of the colour scale, one for all activations."""
    trained = [c for c in comparison.candidates if not c.diverged]
    return max([0.01, *(float(_silent_share(c).max()) for c in trained)])


def _intervals(
    axes: Axes,
    candidates: Sequence[Candidate],
    estimates: Sequence[Estimate],
    scale: float,
    colors: Sequence[str],
) -> None:
    for row, (estimate, color) in enumerate(zip(estimates, colors, strict=True)):
        axes.plot(
            [scale * estimate.low, scale * estimate.high], [row, row], color=color, linewidth=2.5
        )
        axes.plot(scale * estimate.mean, row, "o", color=color, markersize=7)
    axes.set_yticks(range(len(candidates)), [c.activation for c in candidates])
    axes.set_ylim(max(len(candidates), 1) - 0.5, -0.5)
    axes.grid(axis="x", color=OTHERS, alpha=0.3, linewidth=0.6)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
