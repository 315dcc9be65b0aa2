"""Runs an experiment: which trials an engine trains, batch by batch, into a store."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextlib import closing

from leakyrelu._compare.engines.engine import Engine, EngineName, Listener
from leakyrelu._compare.engines.local import LocalEngine
from leakyrelu._compare.settings import Settings, batches
from leakyrelu._compare.statistics.crossed import looks
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
        store.note("rope", repr(float(rope)))  # a report of the same differences asks for it
    task = experiment.task.info

    def next_keys() -> list[Key]:
        return wanted(settings, finished(), task.score_step, rope, task.clusters)

    keys = next_keys()
    if not keys:
        return
    ahead = _ahead(settings, keys)
    if engine == "ray":
        from leakyrelu._compare.engines.ray import RayEngine  # needs Ray

        chosen: Engine = RayEngine(experiment, ahead, address)
    else:
        chosen = LocalEngine(experiment, ahead, listener)
    with closing(chosen) as workers:
        way = workers.way
        listener.trainer_chosen(str(way))
        store.note("trainer", str(way))
        while keys:
            most = max(1, min(way.stack, len(keys) // way.workers))  # no worker should be idle
            with closing(workers.train(batches(keys, most))) as results:
                for batch, trials in results:
                    store.add(trials)
                    listener.batch_finished(batch, trials)
            keys = next_keys()


def _ahead(settings: Settings, keys: Sequence[Key]) -> list[Key]:
    """Return what these activations may train up to the first look.

    How to train is measured for it: not for the few trials of the first round, and in the same way
    for an experiment that was stopped.
    """
    specs = dict.fromkeys(spec for spec, _, _ in keys)
    seeds = settings.seeds[: looks(len(settings.seeds), settings.asked)[0]]
    return list(itertools.product(specs, settings.learning_rates, seeds))
