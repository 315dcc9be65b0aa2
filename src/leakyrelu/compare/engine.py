"""Running a plan on this machine, batch by batch, into a store."""

from __future__ import annotations

from typing import Protocol

from leakyrelu.compare.plan import Batch, Settings
from leakyrelu.compare.store import Store
from leakyrelu.compare.task import Task
from leakyrelu.compare.train import Trial, train

__all__ = ["Listener", "run"]


class Listener(Protocol):
    """Who is told how a run goes on; see `leakyrelu.report.terminal.LiveProgress`."""

    def resumed(self, trials: int) -> None:
        """Take note of the trials that were found in the store."""

    def epoch_finished(self, batch: Batch, epoch: int, validation_score: float) -> None:
        """Take note of how far the batch in flight has come."""

    def batch_finished(self, batch: Batch, trials: list[Trial]) -> None:
        """Take note that the trials of a batch are stored."""


def run(task: Task, settings: Settings, store: Store, listener: Listener | None = None) -> None:
    """Train every batch that is not in the store yet, and store it as it finishes."""
    stored = {(trial.activation, trial.learning_rate, trial.seed) for trial in store.trials()}
    if listener is not None and stored:
        listener.resumed(len(stored))
    for batch in settings.batches(task.features, task.outputs):
        each = zip(batch.learning_rates, batch.seeds, strict=True)
        if all((batch.activation.spec, rate, seed) in stored for rate, seed in each):
            continue

        def on_epoch(epoch: int, score: float, batch: Batch = batch) -> None:
            if listener is not None:
                listener.epoch_finished(batch, epoch, score)

        trials = train(task, settings, batch, on_epoch)
        store.add(trials)
        if listener is not None:
            listener.batch_finished(batch, trials)
