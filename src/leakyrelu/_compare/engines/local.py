"""Training on this machine: in this process, or in several if that measures faster."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence

import joblib
import torch

from leakyrelu._compare.engines.calibrate import calibrate, seconds_a_step
from leakyrelu._compare.engines.engine import Listener, Results, in_worker, train_batch
from leakyrelu._compare.engines.orphans import end_with
from leakyrelu._compare.settings import Batch, batches
from leakyrelu._compare.training.pace import Pace
from leakyrelu._compare.training.train import Experiment, train
from leakyrelu._compare.trial import Key

__all__ = ["LocalEngine"]

# Processes take seconds to start, and must be worth it.
WORTH_SECONDS = 5.0
WORTH_RATIO = 1.2


class LocalEngine:
    """Trains in this process, or in several on this machine if that measures faster."""

    def __init__(self, experiment: Experiment, keys: Sequence[Key], listener: Listener) -> None:
        self._experiment = experiment
        self._listener = listener
        self.way = calibrate(experiment, keys)
        # As many processes as this one has threads.
        processes = min(torch.get_num_threads(), len(keys))
        if processes > 1:
            self._try_processes(processes, keys)

    def _try_processes(self, processes: int, keys: Sequence[Key]) -> None:
        stack = min(self.way.stack, -(-len(keys) // processes))
        batch = batches(keys, stack)[0]
        stacked = self.way.stacked
        steps = len(keys) * self._experiment.steps
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            hoped = seconds_a_step(self._experiment, batch, stacked) / processes
        finally:
            torch.set_num_threads(threads)
        saved = steps * (self.way.seconds - hoped)
        if self.way.seconds < WORTH_RATIO * hoped or saved < WORTH_SECONDS:
            return
        call = joblib.delayed(in_worker)(seconds_a_step, self._experiment, batch, stacked)
        # All measure at the same time, as they will train.
        each = list(_pool(processes)(call for _ in range(processes)))
        seconds = sum(each) / processes**2
        if self.way.seconds > WORTH_RATIO * seconds:
            where = f"in each of {processes} processes"
            self.way = dataclasses.replace(
                self.way, stack=stack, seconds=seconds, workers=processes, where=where
            )

    def train(self, todo: Sequence[Batch]) -> Results:
        """Train batches, and yield each with its trials as it finishes."""
        stacked = self.way.stacked
        if self.way.workers == 1:
            with Pace().kept() as pace:
                for batch in todo:

                    def on_epoch(epoch: int, score: float, batch: Batch = batch) -> None:
                        self._listener.epoch_finished(batch, epoch, score)

                    yield batch, train(self._experiment, batch, stacked, on_epoch, pace)
        else:
            call = joblib.delayed(in_worker)
            calls = (call(train_batch, self._experiment, batch, stacked) for batch in todo)
            yield from _pool(self.way.workers)(calls)

    def close(self) -> None:
        """Do nothing: joblib ends its processes by itself."""


def _pool(processes: int) -> joblib.Parallel:
    return joblib.Parallel(
        processes,
        return_as="generator_unordered",
        pre_dispatch="all",
        initializer=end_with,
        initargs=(os.getpid(),),
    )
