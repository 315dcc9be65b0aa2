"""The default comparison, its test examples kept: what is decided by 5, 10 and 20 seeds.

python benchmarks/verdict_digits.py

All seeds at all learning rates, on repeated 5-fold splits.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from leakyrelu.compare import crossed

from leakyrelu._compare.data.table_task import load_task
from leakyrelu._compare.data.task import Split, Task
from leakyrelu._compare.networks.recipe import Recipe
from leakyrelu._compare.settings import DEFAULT_ACTIVATIONS, batches, make_settings
from leakyrelu._compare.training.train import Experiment, Training

FOLDS = 5


@dataclass(frozen=True)
class Folded(Task):
    """A task whose seeds, five by five, test each example once."""

    def split(self, seed: int) -> Split:
        """Lay the examples out in a circle, classes mixed evenly, and cut it by seed."""
        repeat, fold = divmod(seed, FOLDS)
        rng = np.random.default_rng(repeat)
        place = rng.random(len(self.y))
        for number in np.unique(self.y):
            own = np.flatnonzero(self.y == number)
            place[own] = (rng.permutation(len(own)) + rng.random()) / len(own)
        size = -(-len(self.y) // FOLDS)
        order = np.roll(place.argsort(), -round(fold * len(self.y) / FOLDS))
        return Split(*(np.sort(part) for part in np.split(order, [size, 2 * size])[::-1]))


def main() -> None:
    """Train if need be, and print what is decided."""
    path = Path("corpus/digits.npz")
    rates, seeds = (0.001, 0.003, 0.01), 10
    if not path.exists():
        torch.set_num_threads(1)
        own = load_task(None)
        task = Folded(**vars(own))
        settings = make_settings("digits", DEFAULT_ACTIVATIONS, seeds, 30, rates)
        if len(sys.argv) > 1:
            settings = make_settings("digits", DEFAULT_ACTIVATIONS, seeds, int(sys.argv[1]), rates)
        experiment = Experiment(task, settings, Recipe())
        table = np.full((len(DEFAULT_ACTIVATIONS), len(rates), seeds, len(task.y)), -1, np.int8)
        validation = np.zeros(table.shape[:3])
        start = time.perf_counter()
        for spec in DEFAULT_ACTIVATIONS:
            keys = [(spec, rate, seed) for rate in rates for seed in range(seeds)]
            for batch in batches(keys, 60):
                training = Training(experiment, batch)
                for _ in range(settings.epochs):
                    for _ in training.epoch():
                        pass
                scores, _ = training._judged(training._examples.validation)
                for k, (rate, seed) in enumerate(
                    zip(batch.learning_rates, batch.seeds, strict=True)
                ):
                    place = DEFAULT_ACTIVATIONS.index(spec), rates.index(rate), seed
                    validation[place] = scores[k]
                part = training._examples.test
                with torch.no_grad():
                    right = torch.cat(
                        [training.networks.predict(x).argmax(2) == y for x, y in part.batches(512)],
                        1,
                    )
                for k, (rate, seed) in enumerate(
                    zip(batch.learning_rates, batch.seeds, strict=True)
                ):
                    place = DEFAULT_ACTIVATIONS.index(spec), rates.index(rate), seed
                    table[place][part.rows[k].numpy()] = right[k].numpy()
            print(
                spec, f"{time.perf_counter() - start:.0f} s", validation.mean(2).round(3).tolist()
            )
        np.savez_compressed(path, table=table, validation=validation)
    file = np.load(path)
    table, validation = file["table"].astype(float), file["validation"]
    table[table < 0] = np.nan
    for seeds in (5, 10):
        best = validation[:, :, :seeds].mean(2).argmax(1)
        own = table[np.arange(len(best)), best]
        for shared in (0.0, 0.02):
            looks = []
            for n in (seeds // 2, seeds):
                looks.append(
                    (
                        n,
                        {
                            spec: crossed.compared(
                                own[i, :n] - own[0, :n], step=1 / 360, shared=shared
                            )
                            for i, spec in enumerate(DEFAULT_ACTIVATIONS)
                            if i
                        },
                    )
                )
            claims = crossed.decide(looks, 7, seeds)
            print(f"{seeds} seeds, {shared:.0%} shared")
            for spec, claim in claims.items():
                mean = claim.difference.mean
                reach = claim.interval.high - mean
                print(f"    {spec}: {100 * mean:+.1f} ± {100 * reach:.1f}, {claim.verdict}")


if __name__ == "__main__":
    main()
