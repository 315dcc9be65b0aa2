"""Running an experiment: what is trained where, batch by batch, into a store."""

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
    """Train every trial that is wanted and not in the store yet; store each batch as it ends."""
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
    ahead = _ahead(settings, stored) or keys
    with closing(_engine(engine, experiment, ahead, listener, address)) as workers:
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
            keys = next_keys()


def _ahead(settings: Settings, stored: Sequence[Trial]) -> list[Key]:
    """Return what may be trained up to the first look: how to train it is measured once."""
    seeds = settings.seeds[: looks(len(settings.seeds), settings.asked)[0]]
    known = {trial.key for trial in stored}
    each = itertools.product(settings.activations, settings.learning_rates, seeds)
    return [key for key in each if key not in known]


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
