"""The condition of trained networks in numbers: silent units, gradients and learned slopes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from leakyrelu._compare.trial import Trial

__all__ = ["gradients", "imbalance", "median_reach", "reach", "silent", "silent_by_layer", "slopes"]

START, END = 0, -1  # checkpoints: before training, and after the last epoch
# Orders of magnitude at most by which gradients are said to differ; a gradient of 0 has no other.
MOST_IMBALANCE = 30.0


def silent(trial: Trial, at: int) -> float:
    """Return the share of units that never fire at a checkpoint, the mean over the layers.

    NaN if the network was not looked at.
    """
    return float(np.mean(trial.history[at].never_fired)) if trial.has_health else math.nan


def reach(trial: Trial, at: int) -> float:
    """Return how large the gradient of the first weights is, as a multiple of that of the last.

    Far below 1 it vanishes on its way back, far above it explodes; NaN if it is not known.

    Examples
    --------
    >>> from leakyrelu._compare.trial import Checkpoint
    >>> history = [Checkpoint(0, 2.3, 0.1, [0.5, 0.5], [0.001, 0.002, 0.1], [])]
    >>> round(reach(Trial("relu", 0.01, 0, 0.9, 0.9, 1.0, ["1", "2"], history), 0), 6)
    0.01
    """
    gradient = trial.history[at].gradient if trial.has_health else []
    if len(gradient) < 2 or not np.isfinite(gradient).all():
        return math.nan
    if gradient[0] == 0:
        return 0.0
    return gradient[0] / gradient[-1] if gradient[-1] else math.inf


def median_reach(trials: Sequence[Trial], at: int) -> float:
    """Return the median of `reach`, NaN for no trials."""
    return float(np.median([reach(trial, at) for trial in trials])) if trials else math.nan


def imbalance(trial: Trial, at: int) -> float:
    """Return by how many orders of magnitude the first gradient is smaller or larger than the last.

    Examples
    --------
    >>> from leakyrelu._compare.trial import Checkpoint
    >>> history = [Checkpoint(0, 2.3, 0.1, [0.5, 0.5], [0.001, 0.002, 0.1], [])]
    >>> round(imbalance(Trial("relu", 0.01, 0, 0.9, 0.9, 1.0, ["1", "2"], history), 0), 6)
    2.0
    """
    ratio = reach(trial, at)
    if math.isnan(ratio):
        return math.nan
    if ratio in (0, math.inf):
        return MOST_IMBALANCE
    return min(abs(math.log10(ratio)), MOST_IMBALANCE)


def silent_by_layer(trials: Sequence[Trial], at: int) -> npt.NDArray[np.float64]:
    """Return the share of each layer's units that never fire, the mean over trials."""
    return np.asarray(np.mean([trial.history[at].never_fired for trial in trials], axis=0))


def gradients(trials: Sequence[Trial], at: int) -> npt.NDArray[np.float64]:
    """Return the gradient of each weight matrix, first to last, the median over trials."""
    return np.asarray(np.median([trial.history[at].gradient for trial in trials], axis=0))


def slopes(trials: Sequence[Trial], at: int) -> npt.NDArray[np.float64]:
    """Return the slope of each PReLU, the mean over trials; empty for other activations."""
    return np.asarray(np.mean([trial.history[at].slopes for trial in trials], axis=0))
