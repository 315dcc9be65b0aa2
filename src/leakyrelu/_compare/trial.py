"""What is kept of one trained network."""

from __future__ import annotations

import math
from dataclasses import dataclass

from leakyrelu._compare.metric import Metric
from leakyrelu.activations import Activation

__all__ = ["LOOK_EXAMPLES", "Checkpoint", "Key", "Trial", "is_possible"]

# How many training examples a look takes at the most. A unit that fires for none of them fires for
# less than 0.6%, with 95% confidence.
LOOK_EXAMPLES = 512

# Names a trial: activation, learning rate, seed.
Key = tuple[Activation, float, int]


@dataclass(frozen=True)
class Checkpoint:
    """State of one trial after some epochs.

    A loss that is not finite is NaN, and so is its score; beside a finite loss a score is NaN
    where it is not defined.

    Attributes
    ----------
    epoch : int
        0 is before the first step.
    train_loss, validation_score : float
        Over the training examples looked at, up to `LOOK_EXAMPLES`, and the whole validation part.
    never_fired : list of float
        Per layer of activations, the share of units that fire for none of these training
        examples.
    gradient : list of float
        Per weight matrix or kernel, first to last, the root mean square of the gradient of the
        training loss with respect to it, of some of these examples.
    slopes : list of float
        Per PReLU, the mean of its slopes; empty for other activations.
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
        After the last epoch; NaN if it diverged, or where the score is not defined.
    seconds : float
        Its share of the time that its batch took.
    layers : list of str
        The layers of activations, as `Checkpoint.never_fired` counts them.
    history : list of Checkpoint
    undefined : bool
        A score is missing though the losses of training, validation and test examples are finite.
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
        """Whether a score is missing because the loss was not finite."""
        return not (self.is_scored or self.undefined)

    @property
    def key(self) -> Key:
        """What names the trial in its experiment."""
        return self.activation, self.learning_rate, self.seed


def is_possible(trial: Trial, metric: Metric) -> bool:
    """Whether the scores of a trial are such as the metric can give; NaN is."""
    looks = (checkpoint.validation_score for checkpoint in trial.history)
    return all(map(metric.allows, (trial.validation_score, trial.test_score, *looks)))
