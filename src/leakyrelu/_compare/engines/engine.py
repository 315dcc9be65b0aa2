"""Running an experiment: what is trained where, batch by batch, into a store."""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, closing
from typing import Any, Literal, Protocol

import joblib
import torch

from leakyrelu._compare.engines.calibrate import calibrate, seconds_a_step
from leakyrelu._compare.engines.orphans import end_with
from leakyrelu._compare.settings import Batch, batches
from leakyrelu._compare.statistics.rounds import wanted
from leakyrelu._compare.store.writing import Store
from leakyrelu._compare.training.pace import Pace
from leakyrelu._compare.training.train import Experiment, train
from leakyrelu._compare.trial import Key, Trial

__all__ = ["Engine", "Listener", "Results", "in_worker", "run", "train_batch"]

Engine = Literal["local", "ray"]
# Batches as they finish, with their trials.
Results = Generator[tuple[Batch, list[Trial]], None, None]

# Processes take seconds to start, and must be worth it.
WORTH_SECONDS = 5.0
WORTH_RATIO = 1.2


class Listener(Protocol):
    """Who is told how a run goes on; see `leakyrelu._report.terminal.LiveProgress`."""

    def resumed(self, trials: list[Trial]) -> None:
        """Take note of the trials that were found in the store."""

    def damage_found(self, trials: list[str]) -> None:
        """Take note of trials that are damaged in the store, and will be trained again."""

    def trainer_chosen(self, way: str) -> None:
        """Take note of how trials are trained."""

    def epoch_finished(self, batch: Batch, epoch: int, validation_score: float) -> None:
        """Take note of how far the batch in flight has come."""

    def batch_finished(self, batch: Batch, trials: list[Trial]) -> None:
        """Take note that the trials of a batch are stored."""


def run(
    experiment: Experiment,
    store: Store,
    listener: Listener,
    engine: Engine = "local",
    address: str | None = None,
    rope: float = 0.0,
) -> None:
    """Train every trial that is wanted and not in the store yet; store each batch as it ends."""
    settings = experiment.settings

    def finished() -> list[Trial]:
        return [trial for trial in store.trials() if settings.cover(trial.key)]

    stored = finished()
    if store.damaged:
        listener.damage_found(store.damaged)
    if stored:
        listener.resumed(stored)
    if f"{rope:g}" != store.environment.get("rope"):
        store.note("rope", f"{rope:g}")  # a report of the same differences asks for it
    step = experiment.task.score_step
    keys = wanted(settings, stored, step, rope)
    if not keys:
        return
    with ExitStack() as stack:
        if engine == "ray":
            from leakyrelu._compare.engines.cluster import Cluster

            cluster = Cluster(experiment, keys, address)
            workers: Workers | Cluster = stack.enter_context(closing(cluster))
        else:
            workers = Workers(experiment, keys, listener)
        way = workers.way
        listener.trainer_chosen(str(way))
        store.note("trainer", str(way))
        while keys:
            most = max(1, min(way.stack, len(keys) // way.workers))  # no worker is to stand idle
            results = workers.train(batches(keys, most))
            with closing(results):
                for batch, trials in results:
                    store.add(trials)
                    listener.batch_finished(batch, trials)
            keys = wanted(settings, finished(), step, rope)


class Workers:
    """Those of this machine: this process, or several if that is measured to be worth it."""

    def __init__(self, experiment: Experiment, keys: Sequence[Key], listener: Listener) -> None:
        self._experiment = experiment
        self._listener = listener
        self.way = calibrate(experiment, keys)
        # As many processes as this one may use threads.
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
        # Each measures while the others do, as they will train.
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


def _pool(processes: int) -> joblib.Parallel:
    return joblib.Parallel(
        processes,
        return_as="generator_unordered",
        pre_dispatch="all",
        initializer=end_with,
        initargs=(os.getpid(),),
    )


def in_worker(work: Callable[..., Any], *arguments: Any) -> Any:
    """Do some work in a process that is one of several, with one thread."""
    torch.set_num_threads(1)
    # joblib and Ray share arrays among processes, which none may write to; none does.
    warnings.filterwarnings("ignore", "The given NumPy array is not writable")
    return work(*arguments)


def train_batch(experiment: Experiment, batch: Batch, stacked: bool) -> tuple[Batch, list[Trial]]:
    """Train a batch, and return it with its trials: batches end in any order."""
    return batch, train(experiment, batch, stacked)
