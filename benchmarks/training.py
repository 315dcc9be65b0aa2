"""The stacked trainer of `compare` against one network at a time.

python benchmarks/training.py [--quick]
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import pairwise

import harness
import torch
from torch import nn

from leakyrelu.activations import parse
from leakyrelu.compare.data import load_task
from leakyrelu.compare.plan import Batch, make_settings
from leakyrelu.compare.task import Task
from leakyrelu.compare.train import train

NETWORKS = 30
STACKS = (30, 10, 3, 1)
RATES = tuple(rate for rate in (0.001, 0.003, 0.01) for _ in range(NETWORKS // 3))
SEEDS = tuple(range(NETWORKS // 3)) * 3


def loop(task: Task, spec: str, depth: int, width: int, epochs: int, networks: int) -> None:
    """Train as one would by hand: network by network, fused Adam, the same looks at the units.

    The networks looked at are the same as in the trainer: all training and validation
    examples before the first epoch and after each (with so few epochs).
    """
    for seed, rate in list(zip(SEEDS, RATES, strict=True))[:networks]:
        split = task.split(seed)
        X, y = torch.from_numpy(task.X), torch.from_numpy(task.y)
        mean, std = X[split.train].mean(0), X[split.train].std(0)
        X = (X - mean) / torch.where(std > 1e-6, std, 1.0)
        layers: list[nn.Module] = []
        sizes = [task.features, *[width] * depth]
        for inputs, outputs in pairwise(sizes):
            layers += [nn.Linear(inputs, outputs), parse(spec).module()]
        model = nn.Sequential(*layers, nn.Linear(sizes[-1], task.outputs))
        optimizer = torch.optim.Adam(model.parameters(), lr=rate, fused=True)
        x_train, y_train = X[split.train], y[split.train]
        x_validation, y_validation = X[split.validation], y[split.validation]
        steps = len(y_train) // 64
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * steps)
        for epoch in range(epochs + 1):
            if epoch:
                for rows in torch.randperm(len(y_train))[: steps * 64].split(64):
                    optimizer.zero_grad()
                    nn.functional.cross_entropy(model(x_train[rows]), y_train[rows]).backward()
                    optimizer.step()
                    schedule.step()
            with torch.no_grad():
                x = x_train
                for layer in model:
                    before, x = x, layer(x)
                    if not isinstance(layer, nn.Linear):
                        (before > 0).any(0).logical_not().float().mean().item()
                nn.functional.cross_entropy(x, y_train).item()
                (model(x_validation).argmax(1) == y_validation).float().mean().item()


def main() -> None:
    """Print the table."""
    quick = "--quick" in sys.argv
    task = load_task()
    rows = []
    shapes = [(24, 32), (8, 64), (4, 256), (4, 1024)]
    for depth, width in shapes[:1] if quick else shapes:
        for spec in ("relu",) if quick else ("relu", "prelu", "elu"):
            epochs = 1 if quick or width == 1024 else 2
            # Large networks take long one by one: fewer of them give the same ratio.
            networks = NETWORKS if width < 256 else 6
            settings = make_settings(
                task.fingerprint, [spec, "silu"], 10, depth, width, epochs, (0.001, 0.003, 0.01)
            )
            calls: dict[str, Callable[[], object]] = {}
            sizes = [size for size in STACKS if size <= networks]
            for size in sizes:
                batches = [
                    Batch(parse(spec), RATES[start : start + size], SEEDS[start : start + size])
                    for start in range(0, networks, size)
                ]
                calls[f"stacks of {size}"] = lambda batches=batches, settings=settings: [
                    train(task, settings, batch, lambda epoch, score: None) for batch in batches
                ]
            calls["loop"] = lambda d=depth, w=width, s=spec, e=epochs, n=networks: loop(
                task, s, d, w, e, n
            )
            timings = harness.compare(calls, rounds=3 if quick else 5)
            chosen = len(settings.batches(task.features, task.outputs)[0])
            cells = [
                harness.duration(timings[f"stacks of {size}"].seconds / networks)
                if f"stacks of {size}" in timings
                else ""
                for size in STACKS
            ]
            loop_time = harness.duration(timings["loop"].seconds / networks)
            gain = timings["loop"].ratio
            rows.append(
                [f"{depth} x {width} {spec}", *cells, loop_time, f"{gain:.1f}", str(chosen)]
            )
    print(harness.header(["leakyrelu", "torch"]))
    columns = ["network", "30 at once", "10", "3", "1", "loop", "loop / first", "chosen"]
    threads = torch.get_num_threads()
    print(f"Time a network, {threads} threads; the trainer itself takes the last column's size.\n")
    print(harness.table(columns, rows))


if __name__ == "__main__":
    main()
