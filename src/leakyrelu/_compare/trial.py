"""The record of one trained network."""

from __future__ import annotations

import math
from dataclasses import dataclass

from leakyrelu._compare.metric import Metric
from leakyrelu.activations import Activation

__all__ = ["LOOK_EXAMPLES", "Checkpoint", "Key", "Trial", "is_possible"]

# How many training examples a checkpoint is measured on, at most. A unit that fires for none of
# them fires for less than 0.6%, with 95% confidence.
LOOK_EXAMPLES = 512

# Identifies a trial: activation, learning rate, seed.
Key = tuple[Activation, float, int]


@dataclass(frozen=True)
class Checkpoint:
    """State of one trial after some epochs.

    A non-finite loss is NaN, and so is its score; with a finite loss, a NaN score is undefined.

    Attributes
    ----------
    epoch : int
        0 is before the first step.
    train_loss, validation_score : float
        On up to `LOOK_EXAMPLES` training examples, and on the whole validation part.
    never_fired : list of float
        Per activation layer, the share of units that fire for none of these training examples.
    gradient : list of float
        Per weight matrix or kernel, first to last, the root mean square gradient of the training
        loss on some of these examples.
    slopes : list of float
        Per PReLU, its mean slope; empty for other activations.
    """

    epoch: int
    train_loss: float
    validation_score: float
    never_fired: list[float]
    gradient: list[float]
    slopes: list[float]


@dataclass(frozen=True)
class Trial:
    """One trained network and how it did.

    Attributes
    ----------
    activation : Activation
    learning_rate : float
    seed : int
    validation_score, test_score : float
        After the last epoch; NaN if it diverged, or if the score is undefined.
    seconds : float
        Its share of its batch's training time.
    layers : list of str
        The activation layers, in the order of `Checkpoint.never_fired`.
    history : list of Checkpoint
    undefined : bool
        A score is missing although training, validation and test losses are finite.
    """

    activation: Activation
    learning_rate: float
    seed: int
    validation_score: float
    test_score: float
    seconds: float
    layers: list[str]
    history: list[Checkpoint]
    undefined: bool = False

    @property
    def is_scored(self) -> bool:
        """Whether both scores are numbers."""
        return math.isfinite(self.validation_score) and math.isfinite(self.test_score)

    @property
    def diverged(self) -> bool:
        """Whether a score is missing because a loss is not finite."""
        return not (self.is_scored or self.undefined)

    @property
    def key(self) -> Key:
        """What identifies the trial in its experiment."""
        return self.activation, self.learning_rate, self.seed


def is_possible(trial: Trial, metric: Metric) -> bool:
    """Whether the metric can give a trial's scores; NaN is possible."""
    looks = (checkpoint.validation_score for checkpoint in trial.history)
    return all(map(metric.allows, (trial.validation_score, trial.test_score, *looks)))
