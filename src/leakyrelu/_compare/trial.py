"""The record of one trained network."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from leakyrelu._compare.metric import Metric
from leakyrelu.activations import Activation

__all__ = [
    "LOOK_EXAMPLES",
    "Checkpoint",
    "Key",
    "Trial",
    "is_possible",
    "packed",
    "unpacked",
]

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
        0 if it is not known.
    seed : int
    validation_score, test_score : float
        After the last epoch; NaN if it diverged, or if the score is undefined.
    seconds : float
        Its share of its batch's training time; 0 if it is not known.
    layers : list of str
        The activation layers, in the order of `Checkpoint.never_fired`; empty if the network was
        not looked at.
    history : list of Checkpoint
        Empty if its course is not known.
    undefined : bool
        A score is missing though the losses of training, validation and test examples are finite.
    results : bytes
        What each test example adds to the test score, as `packed` makes it; empty where it is not
        known.
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
    results: bytes = field(default=b"", repr=False)

    @property
    def is_scored(self) -> bool:
        """Whether both scores are numbers."""
        return math.isfinite(self.validation_score) and math.isfinite(self.test_score)

    @property
    def has_health(self) -> bool:
        """Whether its network was looked at."""
        return bool(self.layers and self.history)

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


_COUNT = np.dtype("<u8")


def packed(rows: npt.ArrayLike, values: npt.ArrayLike, examples: int) -> bytes:
    """Return the results of test examples as few bytes.

    They are the number of examples in the data, a bit for each of them, set if it was tested, and
    the results in the order of the data: a bit each if they are all 0 or 1, else a float32.

    Parameters
    ----------
    rows : array_like of int
        Of the test examples in the data.
    values : array_like
        Of each of them. If one is not finite, nothing is known.
    examples : int
        In the data.

    Examples
    --------
    >>> len(packed(range(360), [1.0] * 360, 1797)) - len(packed([], [], 1797))
    45
    """
    where = np.asarray(rows, np.int64)
    with np.errstate(over="ignore"):
        found = np.asarray(values, "<f4")
    if not np.isfinite(found).all():
        return b""
    tested = np.zeros(examples, bool)
    tested[where] = True
    found = found[where.argsort()]
    is_bits = bool(((found == 0) | (found == 1)).all())
    data = np.packbits(found.astype(bool)) if is_bits else found
    return np.array(examples, _COUNT).tobytes() + np.packbits(tested).tobytes() + data.tobytes()


def unpacked(results: bytes) -> npt.NDArray[np.float32]:
    """Return the result of each example in the data, NaN of those that were not tested.

    Examples
    --------
    >>> unpacked(packed([3, 0], [1.0, 0.5], 4))
    array([0.5, nan, nan, 1. ], dtype=float32)
    """
    examples = int(np.frombuffer(results, _COUNT, 1)[0])
    start = _COUNT.itemsize
    end = start + -(-examples // 8)
    bits = np.frombuffer(results[start:end], np.uint8)
    tested = np.unpackbits(bits, count=examples).astype(bool)
    count = int(tested.sum())
    if len(results) - end < 4 * count:
        own = np.unpackbits(np.frombuffer(results[end:], np.uint8), count=count)
    else:
        own = np.frombuffer(results[end:], "<f4")
    found = np.full(examples, np.nan, np.float32)
    found[tested] = own
    return found
