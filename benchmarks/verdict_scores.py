"""Scores of experiments for `verdicts.py`: of networks that were trained, or drawn from a law.

A table of scores has the shape (experiments, candidates, learning rates, seeds).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from joblib import Parallel, delayed
from sklearn.datasets import make_classification

from leakyrelu._compare.data.task import TEST_SHARE, VALIDATION_SHARE, Task
from leakyrelu.activations import parse

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    """Validation and test scores.

    `truth` is the expected test score of each candidate at each learning rate, `step` the smallest
    difference between two scores.
    """

    validation: Array
    test: Array
    truth: Array
    step: float = 0.0

    def made_equal(self) -> Scores:
        """Move scores so that all candidates are equal in truth, at every learning rate."""

        def move(scores: Array) -> Array:
            return np.asarray(scores - scores.mean(axis=(0, 3), keepdims=True) + scores.mean())

        equal = np.full_like(self.truth, self.test.mean())
        return Scores(move(self.validation), move(self.test), equal, self.step)


@dataclass(frozen=True)
class Source:
    """Where data sets are drawn from, and the networks that learn from them."""

    name: str
    examples: int
    depth: int
    width: int
    epochs: int
    rates: tuple[float, ...]
    teacher: bool
    features: int = 10
    batch_size: int = 24

    def draw(self, experiments: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Return so many data sets, each of other examples of one and the same law."""
        rows = experiments * self.examples
        if self.teacher:
            rng = np.random.default_rng(0)
            x = rng.standard_normal((rows, self.features))
            hidden = np.tanh(x @ rng.standard_normal((self.features, 12)) / 2)
            signal = hidden @ rng.standard_normal(12)
            y = (signal + 0.5 * rng.standard_normal(rows) > 0).astype(np.int64)
        else:
            x, y = make_classification(
                rows, self.features, n_informative=5, n_classes=3, class_sep=1.0, random_state=0
            )
        shape = (experiments, self.examples)
        return x.reshape(*shape, -1).astype(np.float32), y.reshape(shape).astype(np.int64)


SOURCES = (
    Source("2 classes, 120 examples, 2 x 12", 120, 2, 12, 12, (0.003, 0.03), teacher=True),
    Source("3 classes, 200 examples, 1 x 16", 200, 1, 16, 8, (0.003, 0.03), teacher=False),
    # Deep and narrow: some seeds do not learn at all.
    Source("2 classes, 300 examples, 16 x 8", 300, 16, 8, 8, (0.003, 0.03), teacher=True),
    Source("3 classes, 1,200 examples, 10 x 16", 1200, 10, 16, 3, (0.003, 0.01), teacher=False),
)


def trained(source: Source, specs: Sequence[str], experiments: int, seeds: int) -> Scores:
    """Train every network of many experiments, each with a data set of its own.

    As in `compare`, a seed decides split, initial weights up to the gain, and order of batches,
    and candidates share them. Only candidates of the same name get other initial weights, as
    they would be the same networks.
    """
    at_once = 20
    x, y = source.draw(experiments)
    calls = [
        delayed(_train_some)(source, specs, x[i : i + at_once], y[i : i + at_once], seeds, i)
        for i in range(0, experiments, at_once)
    ]
    parts = Parallel(n_jobs=-1)(calls)
    validation, test = (np.concatenate(each) for each in zip(*parts, strict=True))
    truth = test.mean(axis=(0, 3))  # of thousands of networks each
    if len(set(specs)) < len(specs):
        truth[:] = truth.mean(axis=0)
    return Scores(validation, test, truth, 1 / math.ceil(TEST_SHARE * source.examples))


def _train_some(
    source: Source,
    specs: Sequence[str],
    x: npt.NDArray[np.float32],
    y: npt.NDArray[np.int64],
    seeds: int,
    number: int,
) -> tuple[Array, Array]:
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(number)
    train, validation, test = [], [], []
    for own_x, own_y in zip(x, y, strict=True):
        classes = [str(c) for c in range(own_y.max() + 1)]
        task = Task("simulated", "classification", own_x, own_y, classes)
        for seed in range(seeds):
            split = task.split(seed)
            train.append(split.train)
            validation.append(split.validation)
            test.append(split.test)
    data, labels = torch.from_numpy(x), torch.from_numpy(y)
    which = torch.arange(len(x)).repeat_interleave(seeds)[:, None]
    rows = [torch.from_numpy(np.stack(part)) for part in (train, validation, test)]
    parts = [(data[which, part], labels[which, part]) for part in rows]
    mean, std = parts[0][0].mean(1, keepdim=True), parts[0][0].std(1, keepdim=True)
    parts = [((inputs - mean) / std, targets) for inputs, targets in parts]
    sizes = [source.features, *[source.width] * source.depth, int(y.max()) + 1]
    networks = len(which)
    orders = torch.rand(source.epochs, networks, len(train[0]), generator=generator).argsort(-1)

    def draw() -> list[torch.Tensor]:
        return [
            torch.randn(networks, inputs, outputs, generator=generator) / math.sqrt(inputs)
            for inputs, outputs in pairwise(sizes)
        ]

    common = draw()
    same = len(set(specs)) < len(specs)
    scores = [
        _train_stack(source, spec, draw() if same else common, parts, orders) for spec in specs
    ]
    shape = (len(specs), len(source.rates), len(x), seeds)
    of_parts = np.array(scores).transpose(1, 0, 2, 3)  # part, candidate, rate, network
    validation_scores, test_scores = (
        np.moveaxis(scores.reshape(shape), 2, 0) for scores in of_parts
    )
    return validation_scores, test_scores


def _train_stack(
    source: Source,
    spec: str,
    weights: list[torch.Tensor],
    parts: list[tuple[torch.Tensor, torch.Tensor]],
    orders: torch.Tensor,
) -> list[list[list[float]]]:
    """Train networks by Adam at a falling rate; return validation and test accuracy by rate."""
    activation = parse(spec)
    function = activation.module().eval()
    found = []
    (x, y), *others = parts
    for rate in source.rates:
        gains = [activation.gain] * (len(weights) - 1) + [1.0]
        matrices = [(gain * w).requires_grad_() for gain, w in zip(gains, weights, strict=True)]
        biases = [torch.zeros(len(w), 1, w.shape[2], requires_grad=True) for w in weights]

        def outputs(
            x: torch.Tensor,
            layers: Sequence[tuple[torch.Tensor, torch.Tensor]] = tuple(
                zip(matrices, biases, strict=True)
            ),
        ) -> torch.Tensor:
            for number, (matrix, bias) in enumerate(layers):
                x = torch.baddbmm(bias, function(x) if number else x, matrix)
            return x

        optimizer = torch.optim.Adam([*matrices, *biases], lr=rate, fused=True)
        steps = x.shape[1] // source.batch_size
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps * source.epochs)
        for order in orders:
            for chosen in order[:, : steps * source.batch_size].split(source.batch_size, dim=1):
                batch = torch.take_along_dim(x, chosen[:, :, None], 1)
                targets = torch.take_along_dim(y, chosen, 1)
                optimizer.zero_grad()
                found_loss = torch.nn.functional.cross_entropy(
                    outputs(batch).flatten(0, 1), targets.flatten(), reduction="sum"
                )
                (found_loss / source.batch_size).backward()
                optimizer.step()
                schedule.step()
        with torch.no_grad():
            found.append([(outputs(x).argmax(-1) == y).float().mean(1).tolist() for x, y in others])
    return [list(each) for each in zip(*found, strict=True)]


# Of the variance, what splits of one data set share, as Nadeau and Bengio have it.
SHARED = TEST_SHARE / (1 - VALIDATION_SHARE)


def drawn(
    means: Sequence[float],
    experiments: int,
    seeds: int,
    *,
    noise: str = "normal",
    spreads: Sequence[float] | None = None,
    step: float = 0.0,
    rates: Sequence[float] = (0.0, 0.0, 0.0),
    shared: float = SHARED,
) -> Scores:
    """Draw scores whose paired differences have a standard deviation of 1, if spreads are 1.

    What favours a candidate in all splits of a data set is drawn once an experiment, alike for
    validation and test. Scores are rounded to whole steps; a rate adds its own to each mean.
    """
    rng = np.random.default_rng(0)
    shape = (experiments, len(means), len(rates), seeds)
    luck = rng.standard_normal((experiments, len(means), 1, 1))
    spread = np.reshape(spreads or [1.0] * len(means), (-1, 1, 1))
    truth = np.reshape(means, (-1, 1, 1)) + np.reshape(rates, (-1, 1))

    def part() -> Array:
        own = {
            "normal": rng.standard_normal,
            "heavy tails": lambda shape: rng.standard_t(3, shape) / math.sqrt(3),
            "skewed": lambda shape: 1 - rng.exponential(size=shape),
        }[noise](shape)
        each = math.sqrt(shared) * luck + math.sqrt(1 - shared) * own
        split = 2 * rng.standard_normal((experiments, 1, 1, seeds))  # hard for all alike
        scores = truth + split + spread * each / math.sqrt(2)
        return np.asarray(step * np.round(scores / step) if step else scores)

    return Scores(part(), part(), truth[:, :, 0], step)
