"""The trainer of `compare` against the loop that one would write, Optuna, Ray Tune and JAX.

python benchmarks/training.py [--quick] [default] [others] [whole] [stacks]
"""

from __future__ import annotations

import functools
import itertools
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import harness
import joblib
import ray
import rivals
import torch

from leakyrelu._compare.data.table_task import load_task
from leakyrelu._compare.data.task import Task
from leakyrelu._compare.data.tensor_task import tensor_task
from leakyrelu._compare.engines.local import LocalEngine
from leakyrelu._compare.networks.mlp import StackedMLP
from leakyrelu._compare.networks.models import ModelStack
from leakyrelu._compare.networks.recipe import Recipe, make_recipe
from leakyrelu._compare.settings import DEFAULT_ACTIVATIONS, Batch, batches, make_settings
from leakyrelu._compare.training.train import Experiment, Training
from leakyrelu._compare.trial import Key
from leakyrelu._comparison.comparison import Comparison
from leakyrelu.activations import parse

sys.path.append(str(Path(__file__).parents[1]))
from examples import digits

QUICK = "--quick" in sys.argv
EPOCHS, EPOCHS_OF_OTHERS = (2, 2) if QUICK else (30, 10)
ROUNDS, ROUNDS_OF_OTHERS = (2, 2) if QUICK else (4, 3)
RATES = (0.001, 0.003, 0.01)

# What trains how many trials.
Contestant = tuple[Callable[[], object], int]


class Race:
    """Contestants in turns, round by round; the first of them is ours."""

    def __init__(self, contestants: dict[str, Contestant], rounds: int) -> None:
        names = list(contestants)
        times: dict[str, list[float]] = {name: [] for name in names}
        for number in range(rounds):
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                call, trials = contestants[name]
                time.sleep(harness.SECONDS_TO_SETTLE)
                times[name].append(seconds(call) / trials)
        self._times, self._ours = times, times[names[0]]

    def time(self, name: str) -> str:
        """Return the median time a trial."""
        return harness.duration(median(self._times[name]))

    def ratio(self, name: str) -> str:
        """Return its time over ours of the same round, the median and all but the extremes."""
        ratios = [one / own for one, own in zip(self._times[name], self._ours, strict=True)]
        deciles = quantiles(ratios, n=10, method="inclusive")
        return f"{median(ratios):.2f} ({deciles[0]:.2f}-{deciles[-1]:.2f})"


class Silent:
    """A listener that nobody looks at."""

    def epoch_finished(self, *event: object) -> None:
        """Take no note."""


class Tool:
    """What `compare` does with the trials of one activation, as it has chosen to train them."""

    def __init__(self, experiment: Experiment, spec: str) -> None:
        keys: list[Key] = [(spec, rate, seed) for rate in RATES for seed in range(10)]
        self._workers = LocalEngine(experiment, keys, Silent())  # type: ignore[arg-type]
        self.way = self._workers.way
        # A stack for each process is enough to tell.
        self._todo = batches(keys, self.way.stack)[: self.way.workers]
        self.keys = [
            (spec, rate, seed)
            for batch in self._todo
            for rate, seed in zip(batch.learning_rates, batch.seeds, strict=True)
        ]
        self._experiment = experiment

    def __call__(self) -> None:
        """Train them."""
        assert sum(len(trials) for _, trials in self._workers.train(self._todo)) == len(self.keys)

    def without_looks(self) -> None:
        """Train them in the same way, and look at nothing but the scores in the end."""
        call, stacked, workers = joblib.delayed(_without_looks), self.way.stacked, self.way.workers
        calls = (call(self._experiment, batch, stacked, workers) for batch in self._todo)
        joblib.Parallel(workers)(calls)


def _without_looks(
    experiment: Experiment, batch: Batch, stacked: bool, processes: int
) -> list[float]:
    if processes > 1:
        torch.set_num_threads(1)
    training = Training(experiment, batch, stacked)
    for _ in range(experiment.settings.epochs):
        for _ in training.epoch():
            pass
    return training.test_scores()


def experiment_of(
    task: Task, specs: Sequence[str], recipe: Recipe, epochs: int, **shape: int
) -> Experiment:
    """Return an experiment with the seeds, rates and batches of the default one."""
    named = {"model": "own"} if recipe.model else {}
    settings = make_settings(task.fingerprint, specs, 10, epochs, RATES, **shape, **named)
    return Experiment(task, settings, recipe)


def default_network() -> None:
    """Print how the trials of the default comparison are trained by all."""
    task = load_task()
    experiment = experiment_of(task, ["relu", "elu"], Recipe(), EPOCHS)
    make = rivals.perceptron(task, "relu", 24, 32)
    tool = Tool(experiment, "relu")
    few, some = tool.keys[: 2 if QUICK else 3], tool.keys[: 2 if QUICK else 12]

    def alone(call: Any, keys: list[Key]) -> Contestant:
        return functools.partial(call, experiment, make, keys), len(keys)

    optuna, ray_tune = alone(rivals.by_optuna, some), alone(rivals.by_ray_tune, some)
    ray.init("local", log_to_driver=False, logging_level="ERROR", include_dashboard=False)
    for call, _ in (optuna, ray_tune):  # start their processes, before JAX has threads
        call()
    jax = rivals.Jax(experiment, "relu", tool.keys)
    compiling = seconds(jax) - seconds(jax)
    seen: dict[str, Contestant] = {
        "`compare`": (tool, len(tool.keys)),
        "loop": alone(rivals.by_loop, few),
        "Optuna": optuna,
        "Ray Tune": ray_tune,
        "JAX vmap": (jax, len(tool.keys)),
    }
    races = [(seen, Race(seen, ROUNDS))]
    ray.shutdown()
    unseen: dict[str, Contestant] = {
        "`compare`, no looks": (tool.without_looks, len(tool.keys)),
        "loop, no looks": (lambda: rivals.by_loop(experiment, make, few, looks=False), len(few)),
        "JAX vmap, no looks": (lambda: jax(looks=False), len(tool.keys)),
    }
    races.append((unseen, Race(unseen, ROUNDS)))
    rows = [
        [name, str(trials), race.time(name), race.ratio(name)]
        for contestants, race in races
        for name, (_, trials) in contestants.items()
    ]
    print(f"24 x 32 relu, {EPOCHS} epochs. `compare` chose {tool.way}. ", end="")
    print(f"JAX compiled for {compiling:.1f} s, which is excluded.\n")
    print(harness.table(["trained by", "trials", "time a trial", "over `compare`'s"], rows))


def seconds(call: Callable[[], object]) -> float:
    """Time one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def other_models() -> None:
    """Print other shapes, and models of one's own."""
    table = load_task()
    images, sequences = digits.make_images(), digits.make_sequences()
    cases: list[tuple[str, str, Experiment, Any]] = []
    for depth, width in [(24, 32), (8, 64), (4, 256), (4, 1024)]:
        for spec in ("relu", "prelu", "elu") if depth == 24 else ("relu",):
            shape = {"depth": depth, "width": width}
            experiment = experiment_of(table, [spec, "silu"], Recipe(), EPOCHS_OF_OTHERS, **shape)
            name = f"{depth} x {width} {spec}"
            cases.append((name, spec, experiment, rivals.perceptron(table, spec, depth, width)))
    for name, model, data in (
        ("CNN with BatchNorm and dropout", digits.make_cnn, images),
        ("Transformer with dropout", digits.make_transformer, sequences),
    ):
        task = tensor_task(data, kind="classification")
        recipe = make_recipe(model, None, None)
        experiment = experiment_of(task, ["relu", "silu"], recipe, EPOCHS_OF_OTHERS)
        cases.append((name, "relu", experiment, model))
    rows = []
    for name, spec, experiment, make in cases[1:] if not QUICK else cases[-3:]:
        tool = Tool(experiment, spec)
        few = tool.keys[: 1 if QUICK else 2]
        contestants: dict[str, Contestant] = {
            "ours": (tool, len(tool.keys)),
            "loop": (functools.partial(rivals.by_loop, experiment, make, few), len(few)),
        }
        if experiment.recipe.model is None:
            jax = rivals.Jax(experiment, spec, tool.keys)
            jax()
            contestants["jax"] = jax, len(tool.keys)
        race = Race(contestants, ROUNDS_OF_OTHERS)
        way = f"stacks of {tool.way.stack}" if tool.way.stacked else "one at a time"
        way += f", {tool.way.workers} processes" if tool.way.workers > 1 else ""
        jax_cells = [race.time("jax"), race.ratio("jax")] if "jax" in contestants else ["", ""]
        rows.append(
            [name, way, race.time("ours"), race.time("loop"), race.ratio("loop"), *jax_cells]
        )
    print(f"Other networks, {EPOCHS_OF_OTHERS} epochs, time a trial:\n")
    print(
        harness.table(
            ["network", "chosen", "`compare`", "loop", "loop over", "JAX vmap", "JAX over"], rows
        )
    )


def all_of_it() -> None:
    """Print what the whole command takes, against the loop over all of its trials."""
    task = load_task()
    options = ["--epochs", "2", "--seeds", "4"] if QUICK else []
    with tempfile.TemporaryDirectory() as folder:
        output = str(Path(folder, "run"))
        command = [sys.executable, "-m", "leakyrelu", "compare", *options, "--output", output]
        run = functools.partial(subprocess.run, command, check=True, capture_output=True)
        whole = seconds(run)
        found = Comparison.read(output)
    trained = [trial.activation for trial in found.histories()]
    alone = {
        spec: seconds(
            functools.partial(
                rivals.loop, rivals.perceptron(task, spec, 24, 32), task, 0, 0.003, EPOCHS
            )
        )
        for spec in DEFAULT_ACTIVATIONS
    }
    same = sum(alone[spec] for spec in trained)
    every = sum(alone.values()) * found.settings.trials / len(alone)
    print(
        f"`leakyrelu {' '.join(['compare', *options])}`, all of it (start, calibration, "
        f"{len(trained)} trials, report): {whole:.1f} s. The loop over the same trials, from one "
        f"network of each activation: {same:.0f} s, {same / whole:.1f} times as long; over all "
        f"{found.settings.trials}, without early stopping: {every:.0f} s, "
        f"{every / whole:.1f} times."
    )


def stacks() -> None:
    """Stacks of the default networks: batched by hand, and by `torch.func.vmap` as a user's are."""
    torch.set_num_threads(1)
    seeds, examples, classes = tuple(range(30)), 64, 10
    x = torch.randn(len(seeds), examples, 64)
    y = torch.randint(0, classes, (len(seeds), examples))

    def loss_of(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        each = torch.nn.functional.cross_entropy(
            outputs.flatten(0, 1), targets.flatten(), reduction="none"
        )
        return each.view(len(seeds), -1).mean(1)

    print(f"\n### A backward pass of {len(seeds)} networks in a stack, one thread\n")
    print("| network | activation | by hand | by `vmap`, over by hand |\n|---|---|---:|---:|")
    for depth, width in ((24, 32), (4, 128)):
        sizes = [64, *[width] * depth, classes]
        for spec in ("relu", "prelu", "elu"):
            recipe = make_recipe(functools.partial(_perceptron, sizes), None, None)
            both = {
                "by hand": StackedMLP(parse(spec), sizes, seeds),
                "vmap": ModelStack(recipe, parse(spec), seeds),
            }
            for networks in both.values():
                networks.parameters(slice(len(seeds)))
            times = harness.compare(
                {
                    name: functools.partial(networks.differentiate, x, y, loss_of)
                    for name, networks in both.items()
                },
                rounds=3 if QUICK else 21,
            )
            ours, other = times["by hand"], times["vmap"]
            print(
                f"| {depth} x {width} | {spec} | {harness.duration(ours.seconds)} | "
                f"{other.ratio:.2f} ({other.low:.2f}-{other.high:.2f}) |"
            )


def _perceptron(sizes: Sequence[int]) -> torch.nn.Sequential:
    layers: list[torch.nn.Module] = []
    for one, other in itertools.pairwise(sizes):
        layers += [torch.nn.Linear(one, other), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


SECTIONS = {
    "default": default_network,
    "others": other_models,
    "whole": all_of_it,
    "stacks": stacks,
}


def main() -> None:
    """Print the tables that are named, or all."""
    packages = ["leakyrelu", "torch", "jax", "optuna", "ray"]
    print(harness.header(packages))
    print(f"{torch.get_num_threads()} threads; Optuna and Ray Tune: {rivals.CORES} processes.\n")
    for name, section in SECTIONS.items():
        if name in sys.argv or not SECTIONS.keys() & set(sys.argv):
            section()


if __name__ == "__main__":
    main()
