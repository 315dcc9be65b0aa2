"""Running a plan on this machine, batch by batch, into a store."""

from __future__ import annotations

from typing import Protocol

from leakyrelu.compare.plan import Batch, Settings, batches
from leakyrelu.compare.rounds import wanted
from leakyrelu.compare.store import Store
from leakyrelu.compare.task import Task
from leakyrelu.compare.train import train
from leakyrelu.compare.trial import Trial

__all__ = ["Listener", "run"]


class Listener(Protocol):
    """Who is told how a run goes on; see `leakyrelu.report.terminal.LiveProgress`."""

    def resumed(self, trials: int) -> None:
        """Take note of the trials that were found in the store."""

    def epoch_finished(self, batch: Batch, epoch: int, validation_score: float) -> None:
        """Take note of how far the batch in flight has come."""

    def batch_finished(self, batch: Batch, trials: list[Trial]) -> None:
        """Take note that the trials of a batch are stored."""


# Small networks gain speed from a stack until it outgrows the caches; networks of a million
# parameters are faster one by one (measured: benchmarks/README.md). A batch is also what a
# crash can lose.
MOST_TRIALS_A_BATCH = 40
MOST_PARAMETERS_A_BATCH = 1_200_000


def run(task: Task, settings: Settings, store: Store, listener: Listener | None = None) -> None:
    """Train every trial that is not in the store yet, and store each batch as it finishes."""
    stored = store.trials()
    if listener is not None and stored:
        listener.resumed(len(stored))
    width = settings.width
    parameters = width * (task.features + task.outputs + width * (settings.depth - 1))
    most = max(1, min(MOST_TRIALS_A_BATCH, MOST_PARAMETERS_A_BATCH // parameters))
    while keys := wanted(settings, store.trials(), task.score_step):
        for batch in batches(keys, most):

            def on_epoch(epoch: int, score: float, batch: Batch = batch) -> None:
                if listener is not None:
                    listener.epoch_finished(batch, epoch, score)

            trials = train(task, settings, batch, on_epoch)
            store.add(trials)
            if listener is not None:
                listener.batch_finished(batch, trials)
