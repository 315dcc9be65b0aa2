"""Networks that are trained once, so that every method can be tried on what they got right.

python benchmarks/verdict_corpus.py [LAW ...]

Of each law a file is made in corpus/, unless it is there. Each experiment has a data set of its
own, drawn from one and the same source, on which every candidate trains ``2 * REPEATS`` times five
networks, by repeated 5-fold splits: fold by fold is tested, the next one validates, the other three
train. The first half are the experiment: kept is what each test example scored. The other half are
the truth: they are judged on the same fresh examples of the source.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from sklearn.datasets import make_classification

from leakyrelu.activations import parse

Array = npt.NDArray[np.float64]
FOLDER = Path(__file__).parents[1] / "corpus"

# The first is the reference; the second and third are all but the same.
CANDIDATES = (
    *("relu", "leaky_relu:0.01", "leaky_relu:0.011", "leaky_relu:0.2"),
    *("elu", "gelu", "silu"),
)
FOLDS, REPEATS = 5, 8
FRESH = 4000
BATCH_SIZE = 24
AT_ONCE = 400  # networks in a stack
CONVOLUTION = 5  # numbers that a kernel sees


@dataclass(frozen=True)
class Law:
    """Where data sets are drawn from, and the networks that learn from them."""

    name: str
    source: str
    examples: int
    depth: int
    width: int
    epochs: int
    rates: tuple[float, ...]
    experiments: int = 60
    features: int = 10
    convolution: bool = False
    seed: int = 0

    @property
    def outputs(self) -> int:
        """Return how many outputs a network has."""
        return {"three": 3, "rare": 3, "values": 1}.get(self.source, 2)

    def draw(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64 | np.float32]]:
        """Return inputs and targets of all data sets, and the fresh examples behind them."""
        rows = self.experiments * self.examples + FRESH
        rng = np.random.default_rng(self.seed)
        if self.source in ("three", "rare"):
            weights = [0.8, 0.15, 0.05] if self.source == "rare" else None
            x, y = make_classification(
                rows,
                self.features,
                n_informative=5,
                n_classes=3,
                weights=weights,
                random_state=self.seed,
            )
            return x.astype(np.float32), y.astype(np.int64)
        x = rng.standard_normal((rows, self.features))
        if self.source == "pattern":  # somewhere in the series: up, or down
            place = rng.integers(0, self.features - 4, rows)
            y = rng.integers(0, 2, rows)
            shape = np.array([-1.0, 0.5, 1.5, 0.5]) * np.where(y, 1, -1)[:, None]
            np.put_along_axis(
                x, place[:, None] + np.arange(4), shape + 0.7 * rng.standard_normal((rows, 4)), 1
            )
            return x.astype(np.float32), y.astype(np.int64)
        hidden = np.tanh(x @ rng.standard_normal((self.features, 12)) / 2)
        signal = hidden @ rng.standard_normal(12)
        if self.source == "values":
            return x.astype(np.float32), (
                (signal / signal.std()) + 0.3 * rng.standard_t(4, rows)
            ).astype(np.float32)
        return x.astype(np.float32), (signal + 0.5 * rng.standard_normal(rows) > 0).astype(np.int64)


TUNED = (  # methods were tuned on these
    Law("2x12", "two", 120, 2, 12, 12, (0.003, 0.01, 0.03), 200),
    Law("16x8", "two", 300, 16, 8, 8, (0.01,), 200),
    Law("10x16", "three", 1200, 10, 16, 3, (0.01,), 80),
)
OTHERS = (  # and not on these
    Law("values", "values", 300, 4, 16, 10, (0.01,)),
    Law("rare", "rare", 400, 3, 16, 6, (0.01,)),
    Law("wide", "two", 200, 1, 128, 6, (0.01,)),
    Law("stuck", "two", 200, 24, 6, 6, (0.01,)),
    Law("series", "pattern", 300, 2, 16, 8, (0.01,), features=16, convolution=True),
)
# The same again, more of it, from another source.
AGAIN = tuple(
    replace(law, name=f"{law.name}-again", experiments=140, seed=1) for law in (TUNED[-1], *OTHERS)
)
LAWS = {law.name: law for law in (*TUNED, *OTHERS, *AGAIN)}


def folds_of(
    y: npt.NDArray[np.int64 | np.float32], rng: np.random.Generator
) -> npt.NDArray[np.int8]:
    """Deal examples out to folds, class by class."""
    labels = y if y.dtype == np.int64 else np.zeros(len(y))
    found = np.empty(len(y), np.int8)
    found[np.lexsort((rng.random(len(y)), labels))] = np.arange(len(y)) % FOLDS
    return found


def make(law: Law) -> dict[str, npt.NDArray[np.generic]]:
    """Train all networks of a law.

    Returns
    -------
    dict
        `results` (experiment, candidate, rate, repeat, example): what an example scored when it
        was tested, right or wrong or minus the squared error; `folds` (experiment, repeat,
        example): the number of the training that tested it, of those of the repeat; `validation`
        (experiment, candidate, rate, repeat, fold); `fresh_trainings` (experiment, candidate,
        rate, training) and `fresh_examples` (experiment, candidate, rate, example): mean scores
        of further trainings on fresh examples.
    """
    torch.manual_seed(law.seed)
    rng = np.random.default_rng(law.seed + 1)
    x, y = law.draw()
    fresh = torch.from_numpy(x[-FRESH:]), torch.from_numpy(y[-FRESH:])
    n, count = law.examples, len(CANDIDATES)
    at_once = max(1, AT_ONCE // (2 * REPEATS * FOLDS))
    scored = np.int8 if law.outputs > 1 else np.float32
    shape = (law.experiments, count, len(law.rates))
    results = np.zeros((*shape, REPEATS, n), scored)
    folds = np.zeros((law.experiments, REPEATS, n), np.int8)
    validation = np.zeros((*shape, REPEATS, FOLDS), np.float32)
    by_training = np.zeros((*shape, REPEATS * FOLDS), np.float32)
    by_example = np.zeros((*shape, FRESH), np.float16)
    for start in range(0, law.experiments, at_once):
        some = range(start, min(start + at_once, law.experiments))
        own = np.stack([y[e * n : (e + 1) * n] for e in some])
        inputs = torch.from_numpy(np.stack([x[e * n : (e + 1) * n] for e in some]))
        targets = torch.from_numpy(own)
        dealt = np.stack([[folds_of(each, rng) for _ in range(2 * REPEATS)] for each in own])
        folds[some] = dealt[:, :REPEATS]
        # (experiments, repeats, fold, rows of it), then a network each of repeat and fold
        rows = dealt.argsort(2, kind="stable").reshape(len(own), 2 * REPEATS, FOLDS, -1)
        turned = np.stack([np.roll(rows, -turn, axis=2) for turn in range(FOLDS)], axis=3)
        flat = torch.from_numpy(turned.reshape(-1, FOLDS, n // FOLDS))
        which = torch.arange(len(own)).repeat_interleave(2 * REPEATS * FOLDS)[:, None]
        parts = flat[:, 0], flat[:, 1], flat[:, 2:].flatten(1)
        data = [(inputs[which, part], targets[which, part]) for part in parts]
        mean = data[2][0].mean(1, keepdim=True)
        spread = data[2][0].std(1, keepdim=True)
        data = [((part - mean) / spread, target) for part, target in data]
        features = CONVOLUTION if law.convolution else law.features
        places = law.features - CONVOLUTION + 1
        sizes = [features, *[law.width] * law.depth, law.outputs]
        pairs = list(pairwise(sizes))
        if law.convolution:
            pairs[1] = (places * law.width, pairs[1][1])
        weights = [torch.randn(len(flat), a, b) / math.sqrt(a) for a, b in pairs]
        orders = torch.rand(law.epochs, len(flat), data[2][0].shape[1]).argsort(-1)
        half = torch.arange(len(flat)).view(len(own), 2, -1)
        first, second = half[:, 0].flatten(), half[:, 1].flatten()
        for c, spec in enumerate(CANDIDATES):
            for r, rate in enumerate(law.rates):
                outputs = _trained(law, spec, rate, weights, data[2], orders)
                with torch.no_grad():
                    test = _scores(outputs(data[0][0]), data[0][1])
                    found = test.view(len(own), 2, REPEATS, -1)[:, 0].numpy()
                    place = turned[:, :REPEATS, :, 0].reshape(len(own), REPEATS, -1)
                    of_rows = np.empty(found.shape, np.float32)
                    np.put_along_axis(of_rows, place, found, 2)
                    results[some, c, r] = of_rows
                    kept = _scores(outputs(data[1][0]), data[1][1]).mean(1)
                    validation[some, c, r] = kept[first].view(len(own), REPEATS, FOLDS).numpy()
                    judged = _fresh(outputs, fresh, mean, spread, second)
                    judged = judged.view(len(own), REPEATS * FOLDS, FRESH)
                    by_training[some, c, r] = judged.mean(2).numpy()
                    by_example[some, c, r] = judged.mean(1).numpy()
    return {
        "results": results,
        "folds": folds,
        "validation": validation,
        "fresh_trainings": by_training,
        "fresh_examples": by_example,
    }


def _scores(outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    if outputs.shape[2] == 1:
        return -(outputs[..., 0] - y).square().clamp(max=1e4)
    return (outputs.argmax(-1) == y).float()


def _fresh(outputs, fresh, mean, spread, which: torch.Tensor) -> torch.Tensor:
    """Score fresh examples by some of the networks."""
    found = torch.empty(len(which), FRESH)
    for rows in torch.arange(FRESH).split(100):
        inputs = (fresh[0][rows] - mean[which]) / spread[which]
        found[:, rows] = _scores(outputs(inputs, which), fresh[1][rows].expand(len(which), -1))
    return found


def _trained(
    law: Law,
    spec: str,
    rate: float,
    weights: Sequence[torch.Tensor],
    train: tuple[torch.Tensor, torch.Tensor],
    orders: torch.Tensor,
):
    """Train networks by Adam at a falling rate; return what computes their outputs."""
    activation = parse(spec)
    function = activation.module().eval()
    gains = [activation.gain] * (len(weights) - 1) + [1.0]
    matrices = [(gain * w).requires_grad_() for gain, w in zip(gains, weights, strict=True)]
    biases = [torch.zeros(len(w), 1, w.shape[2], requires_grad=True) for w in weights]

    def outputs(x: torch.Tensor, which: torch.Tensor | slice = slice(None)) -> torch.Tensor:
        networks, examples = x.shape[:2]
        if law.convolution:
            x = x.unfold(2, CONVOLUTION, 1).flatten(1, 2)
        for number, (matrix, bias) in enumerate(zip(matrices, biases, strict=True)):
            x = function(x) if number else x
            if law.convolution and number == 1:
                x = x.view(networks, examples, -1)
            x = torch.baddbmm(bias[which], x, matrix[which])
        return x

    optimizer = torch.optim.Adam([*matrices, *biases], lr=rate, fused=True)
    x, y = train
    steps = x.shape[1] // BATCH_SIZE
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps * law.epochs)
    for order in orders:
        for chosen in order[:, : steps * BATCH_SIZE].split(BATCH_SIZE, dim=1):
            batch = torch.take_along_dim(x, chosen[:, :, None], 1)
            targets = torch.take_along_dim(y, chosen, 1)
            optimizer.zero_grad()
            found = outputs(batch)
            if law.outputs == 1:
                loss = (found[..., 0] - targets).square().sum()
            else:
                loss = torch.nn.functional.cross_entropy(
                    found.flatten(0, 1), targets.flatten(), reduction="sum"
                )
            (loss / BATCH_SIZE).backward()
            optimizer.step()
            schedule.step()
    return outputs


@dataclass(frozen=True)
class Experiments:
    """Experiments of one law, what was scored and what is true.

    Attributes
    ----------
    names : list of str
    tables : ndarray, shape (experiments, candidates, trainings, examples)
        NaN where an example was not tested.
    validation : ndarray, shape (experiments, candidates, trainings)
    truth, doubt : ndarray, shape (experiments, candidates, candidates)
        Differences on fresh examples, and the variance of what is known of them.
    step : float
        The smallest difference between two scores.
    """

    names: list[str]
    tables: npt.NDArray[np.float32]
    validation: npt.NDArray[np.float32]
    truth: Array
    doubt: Array
    step: float

    @cached_property
    def source(self) -> tuple[Array, Array]:
        """Differences to be expected of a data set of the source, and their doubt."""
        mean = self.truth.mean(0)
        return mean, self.truth.var(0, ddof=1) / len(self.truth) + self.doubt.mean(0) / 10

    def of(self, chosen: Sequence[int]) -> Experiments:
        """Return those of some candidates only."""
        both = np.ix_(range(len(self.tables)), chosen, chosen)
        names = [self.names[c] for c in chosen]
        return replace(
            self,
            names=names,
            tables=self.tables[:, chosen],
            validation=self.validation[:, chosen],
            truth=self.truth[both],
            doubt=self.doubt[both],
        )


def load(name: str, quick: bool = False) -> Experiments:
    """Read the experiments of a law, made if need be; "2x12@1" is its second learning rate.

    Without a rate each pair of activation and rate is a candidate.
    """
    name, _, rate = name.partition("@")
    law = replace(LAWS[name], experiments=10) if quick else LAWS[name]
    path = FOLDER / f"{name}{'-quick' * quick}.npz"
    if not path.exists():
        FOLDER.mkdir(exist_ok=True)
        start = time.perf_counter()
        np.savez_compressed(path, **make(law))
        print(f"{path.stem}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    file = np.load(path)
    rates = [int(rate)] if rate else list(range(len(law.rates)))
    names = [
        spec if len(rates) == 1 else f"{spec} at {law.rates[r]}"
        for spec in CANDIDATES
        for r in rates
    ]

    def part(key: str) -> npt.NDArray[np.float32]:
        own = file[key][:, :, rates].astype(np.float32)
        return own.reshape(len(own), len(names), *own.shape[3:])

    results, folds = part("results"), file["folds"]
    tested = folds[:, :, None] == np.arange(FOLDS)[:, None]  # experiments, repeats, folds, examples
    tables = np.where(tested[:, None], results[:, :, :, None], np.nan).astype(np.float32)
    by_training, by_example = part("fresh_trainings"), part("fresh_examples")
    means = by_training.mean(2, dtype=float)

    def doubt(values: npt.NDArray[np.float32]) -> Array:
        return np.stack(
            [(each[:, None] - each[None]).var(2, ddof=1) / each.shape[1] for each in values]
        )

    return Experiments(
        names,
        tables.reshape(*tables.shape[:2], -1, tables.shape[-1]),
        part("validation").reshape(*tables.shape[:2], -1),
        means[:, :, None] - means[:, None],
        doubt(by_training) + doubt(by_example),
        FOLDS / results.shape[-1] if file["results"].dtype == np.int8 else 0.0,
    )


def main() -> None:
    """Make the files that are missing."""
    torch.set_num_threads(1)
    for name in sys.argv[1:] or LAWS:
        load(name)


if __name__ == "__main__":
    main()
