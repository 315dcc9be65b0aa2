"""The interface of engines, which train batches of trials and yield each as it finishes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Sequence
from typing import Any, Literal, Protocol

import torch

from leakyrelu._compare.engines.calibrate import Way
from leakyrelu._compare.settings import Batch
from leakyrelu._compare.training.train import Experiment, train
from leakyrelu._compare.trial import Trial

__all__ = ["Engine", "EngineName", "Listener", "Results", "in_worker", "train_batch"]

EngineName = Literal["local", "ray"]
# Batches as they finish, with their trials.
Results = Generator[tuple[Batch, list[Trial]], None, None]


class Engine(Protocol):
    """Trains batches somewhere; an engine is one file beside this one, and one line in `run`."""

    way: Way

    def train(self, todo: Sequence[Batch]) -> Results:
        """Train batches, and yield each with its trials as it finishes."""

    def close(self) -> object:
        """Release what it holds: connections, processes."""


class Listener(Protocol):
    """Follows a run; see `leakyrelu._report.progress.LiveProgress`."""

    def resumed(self, trials: list[Trial]) -> None:
        """Receive the trials that were found in the store."""

    def damage_found(self, trials: list[str]) -> None:
        """Receive trials that are damaged in the store and will be trained again."""

    def trainer_chosen(self, way: str) -> None:
        """Receive how trials are trained."""

    def epoch_finished(self, batch: Batch, epoch: int, validation_score: float) -> None:
        """Receive the progress of the running batch."""

    def batch_finished(self, batch: Batch, trials: list[Trial]) -> None:
        """Receive the trials of a batch, once they are stored."""


def in_worker(work: Callable[..., Any], *arguments: Any) -> Any:
    """Do some work in one of several processes, with one thread."""
    torch.set_num_threads(1)
    # joblib and Ray share arrays between processes as read-only; none writes to them.
    warnings.filterwarnings("ignore", "The given NumPy array is not writable")
    return work(*arguments)


def train_batch(experiment: Experiment, batch: Batch, stacked: bool) -> tuple[Batch, list[Trial]]:
    """Train a batch, and return it with its trials, since batches finish in any order."""
    return batch, train(experiment, batch, stacked)
