"""Runs an experiment: which trials an engine trains, batch by batch, into a store."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

from leakyrelu._compare.engines.engine import Engine, EngineName, Listener
from leakyrelu._compare.engines.local import LocalEngine
from leakyrelu._compare.settings import batches
from leakyrelu._compare.statistics.rounds import wanted
from leakyrelu._compare.store.writing import Store
from leakyrelu._compare.training.train import Experiment
from leakyrelu._compare.trial import Key, Trial

__all__ = ["run"]


def run(
    experiment: Experiment,
    store: Store,
    listener: Listener,
    engine: EngineName = "local",
    address: str | None = None,
    rope: float = 0.0,
) -> None:
    """Train every wanted trial that is not yet stored; store each batch as it finishes."""
    settings = experiment.settings

    def finished() -> list[Trial]:
        return [trial for trial in store.trials() if settings.cover(trial.key)]

    stored = finished()
    if store.damaged:
        listener.damage_found(store.damaged)
    if stored:
        listener.resumed(stored)
    if repr(float(rope)) != store.environment.get("rope"):
        store.note("rope", repr(float(rope)))  # the default of later reports
    step = experiment.task.score_step
    keys = wanted(settings, stored, step, rope)
    if not keys:
        return
    with closing(_engine(engine, experiment, keys, listener, address)) as workers:
        way = workers.way
        listener.trainer_chosen(str(way))
        store.note("trainer", str(way))
        while keys:
            most = max(1, min(way.stack, len(keys) // way.workers))  # no worker should be idle
            results = workers.train(batches(keys, most))
            with closing(results):
                for batch, trials in results:
                    store.add(trials)
                    listener.batch_finished(batch, trials)
            keys = wanted(settings, finished(), step, rope)


def _engine(
    name: EngineName,
    experiment: Experiment,
    keys: Sequence[Key],
    listener: Listener,
    address: str | None,
) -> Engine:
    if name == "ray":
        from leakyrelu._compare.engines.ray import RayEngine  # needs Ray

        return RayEngine(experiment, keys, address)
    return LocalEngine(experiment, keys, listener)
