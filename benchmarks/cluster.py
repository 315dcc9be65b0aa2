"""What Ray costs and gains on one machine: the same trials here and on 1, 2 and 4 Ray workers.

python benchmarks/cluster.py [--quick]
"""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from collections.abc import Sequence
from statistics import median

import harness
import ray
import torch

from leakyrelu._compare.data.table_task import load_task
from leakyrelu._compare.engines.ray import RayEngine
from leakyrelu._compare.networks.recipe import Recipe
from leakyrelu._compare.settings import DEFAULT_ACTIVATIONS, Batch, batches, make_settings
from leakyrelu._compare.statistics.rounds import wanted
from leakyrelu._compare.training.train import Experiment, train

QUICK = "--quick" in sys.argv
ROUNDS = 1 if QUICK else 5
WORKERS = (1, 2, 4)
STACK = 8


def experiment_of(seeds: int, epochs: int, **shape: int) -> tuple[Experiment, list[Batch]]:
    """Return an experiment, and its trials of all seeds in stacks of `STACK`."""
    task = load_task()
    settings = make_settings(
        task.fingerprint, DEFAULT_ACTIVATIONS, list(range(seeds)), epochs, 0.003, **shape
    )
    keys = [(spec, 0.003, seed) for spec in settings.activations for seed in settings.seeds]
    return Experiment(task, settings, Recipe()), batches(keys, STACK)


def here(experiment: Experiment, todo: Sequence[Batch]) -> float:
    """Train the batches in this process, with one thread, and return the seconds."""
    start = time.perf_counter()
    for batch in todo:
        train(experiment, batch)
    return time.perf_counter() - start


def main() -> None:
    """Print what it costs to begin, and the time a trial."""
    torch.set_num_threads(1)
    experiment, todo = experiment_of(2 * STACK, 1 if QUICK else 15)
    tiny, tiny_todo = experiment_of(2 * STACK, 1, depth=1, width=1)
    trials = sum(map(len, todo))
    here(experiment, todo[:1])
    rounds: dict[str, list[dict[str, float]]] = {"here": []} | {str(n): [] for n in WORKERS}
    for _ in range(ROUNDS):
        rounds["here"].append({"training": here(experiment, todo), "tiny": here(tiny, tiny_todo)})
        for workers in WORKERS:
            rounds[str(workers)].append(on_ray(workers, experiment, todo, tiny, tiny_todo))

    def middle(name: str, what: str) -> float:
        return median(one[what] for one in rounds[name])

    rows = []
    cores = len(os.sched_getaffinity(0))
    for name, ones in rounds.items():
        gains = [
            h["training"] / one["training"] for h, one in zip(rounds["here"], ones, strict=True)
        ]
        cells = [
            harness.duration(middle(name, "training") / trials),
            f"{median(gains):.2f} ({min(gains):.2f}-{max(gains):.2f})",
            harness.duration(middle(name, "tiny") / len(tiny_todo)),
        ]
        begun = ["start", "first"]
        begin = [harness.duration(middle(name, what)) if name != "here" else "" for what in begun]
        more = f", more than the {cores} cores" if name != "here" and int(name) > cores else ""
        label = (
            "this process" if name == "here" else f"Ray, {name} worker{'s' * (name != '1')}{more}"
        )
        rows.append([label, *begin, *cells])
    print(harness.header(["leakyrelu", "torch", "ray"]))
    print(f"{trials} trials in stacks of {STACK}, one thread per worker.\n")
    columns = ["where", "Ray starts", "until it trains", "time a trial", "gain", "tiny batch"]
    print(harness.table(columns, rows))


def on_ray(
    workers: int,
    experiment: Experiment,
    todo: Sequence[Batch],
    tiny: Experiment,
    tiny_todo: Sequence[Batch],
) -> dict[str, float]:
    """Start Ray with some workers, train the batches there, and return the seconds of each part."""
    times = {}
    start = time.perf_counter()
    ray.init(
        "local",
        num_cpus=workers,
        log_to_driver=False,
        logging_level="ERROR",
        include_dashboard=False,
    )
    times["start"] = time.perf_counter() - start
    start = time.perf_counter()
    cluster = RayEngine(experiment, wanted(experiment.settings, [], 0.0), None)
    times["first"] = time.perf_counter() - start
    cluster.way = dataclasses.replace(cluster.way, stack=STACK)
    list(cluster.train(todo[: 2 * workers]))  # all workers have started
    start = time.perf_counter()
    assert len(list(cluster.train(todo))) == len(todo)
    times["training"] = time.perf_counter() - start
    cluster = RayEngine(tiny, wanted(tiny.settings, [], 0.0), None)
    start = time.perf_counter()
    assert len(list(cluster.train(tiny_todo))) == len(tiny_todo)
    times["tiny"] = time.perf_counter() - start
    ray.shutdown()
    return times


if __name__ == "__main__":
    main()
