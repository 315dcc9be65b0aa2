"""What is kept of one trained network."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LOOK_EXAMPLES", "Checkpoint", "Key", "Trial"]

# How many training examples a look takes at the most. A unit that fires for none of them fires for
# less than 0.6%, with 95% confidence.
LOOK_EXAMPLES = 512

# Names a trial: activation, learning rate, seed.
Key = tuple[str, float, int]


@dataclass(frozen=True)
class Checkpoint:
    """State of one trial after some epochs; a number that is not finite stands for divergence.

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
    """One trained network and how it did; scores are NaN if it diverged.

    Attributes
    ----------
    activation : str
        Its spec.
    learning_rate : float
    seed : int
    validation_score, test_score : float
        After the last epoch.
    seconds : float
        Its share of the time that its batch took.
    layers : list of str
        The layers of activations, as `Checkpoint.never_fired` counts them.
    history : list of Checkpoint
    """

    activation: str
    learning_rate: float
    seed: int
    validation_score: float
    test_score: float
    seconds: float
    layers: list[str]
    history: list[Checkpoint]

    @property
    def key(self) -> Key:
        """What names the trial in its experiment."""
        return self.activation, self.learning_rate, self.seed
