"""How often `judge` claims what is not so, of runs of which only scores are known.

Scores are drawn from laws under which no activation is better, through `judge`'s own evidence.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from leakyrelu._compare.data.labels import Label
from leakyrelu._compare.data.runs import Known, Run, Runs, RunSettings, read_runs
from leakyrelu._compare.data.task import TaskInfo
from leakyrelu._compare.metric import Metric
from leakyrelu._compare.statistics.judged import Judged

Array = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator, int, int], Array]
SIZES = ((2, 5), (2, 10), (2, 20), (8, 5), (8, 10), (8, 20), (15, 10))
EXAMPLES, SHARE = 300, 0.2  # of splits


def _noise(draw: Callable[[np.random.Generator, tuple[int, int]], Array]) -> Draw:
    """Return scores of activations that share half of their variance, that of the seed."""

    def scores(rng: np.random.Generator, count: int, seeds: int) -> Array:
        return np.asarray(rng.standard_normal((1, seeds)) + draw(rng, (count, seeds)))

    return scores


def _failing(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """One training in 10 fails, of any activation."""
    return np.asarray(rng.standard_normal(shape) - 5.0 * (rng.random(shape) < 0.1))


def _one_sided(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """One training in 10 of all but the reference fails; the means are equal."""
    failed = rng.random(shape) < 0.1
    failed[0] = False
    mean = np.where(np.arange(shape[0]) > 0, 0.1, 0.0)[:, None]
    return np.asarray(rng.standard_normal(shape) - 5.0 * (failed - mean))


def _uneven(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    return np.asarray(rng.standard_normal(shape) * np.geomspace(1, 10, shape[0])[::-1, None])


def _shares(of: int) -> Draw:
    def scores(rng: np.random.Generator, count: int, seeds: int) -> Array:
        return np.asarray(rng.binomial(of, 0.9, (count, seeds)) / of)

    return scores


LAWS: dict[str, Draw] = {
    "normal": _noise(lambda rng, shape: rng.standard_normal(shape)),
    "heavy tails": _noise(lambda rng, shape: rng.standard_t(3, shape)),
    "skewed": _noise(lambda rng, shape: rng.exponential(size=shape)),
    "uneven": _noise(_uneven),
    "one in 10 fails": _noise(_failing),
    "one in 10 of all but the reference fails": _noise(_one_sided),
    "shares of 24 examples": _shares(24),
    "shares of 1,000 examples": _shares(1000),
}


def _splits(rng: np.random.Generator, count: int, seeds: int) -> Array:
    """Return scores of splits: what examples are like is shared by all that test them."""
    values = rng.standard_normal((count, 1, EXAMPLES)) + 0.3 * rng.standard_normal(
        (count, seeds, 1)
    )
    values = values + rng.standard_normal((count, seeds, EXAMPLES))
    order = rng.random((seeds, EXAMPLES)).argsort(1)[:, : round(SHARE * EXAMPLES)]
    return np.take_along_axis(values, order[None], 2).mean(2)


def runs_of(scores: Array, known: Known = "scores of seeds") -> Runs:
    """Return what `judge` makes of scores, of shape (activations, seeds)."""
    names = [Label(str(number)) for number in range(len(scores))]
    judged = {
        name: [
            Run(name, 0.0, seed, math.nan, float(score), 0.0, [], [])
            for seed, score in enumerate(own)
        ]
        for name, own in zip(names, scores, strict=True)
    }
    settings = RunSettings(
        "", tuple(names), tuple(range(scores.shape[1])), 0, (0.0,), against=names[0]
    )
    trials = [trial for own in judged.values() for trial in own]
    ratio = SHARE / (1 - SHARE)
    return Runs(
        TaskInfo("", Metric("score"), 0.0, 0, "", []), settings, trials, judged, known, ratio
    )


def claims_any(runs: Runs) -> bool:
    """Whether anything is claimed."""
    known = Judged(runs)
    reference, *others = runs.settings.activations
    pairs = [(other, reference) for other in others]
    claims = known.claims(pairs, len(others), 0.0)
    return any(claim.verdict != "undecided" for claim in claims.values())


def paired_t(scores: Array) -> bool:
    """Whether the paired t test claims anything, the 5% divided equally."""
    p = stats.ttest_rel(scores[1:], scores[:1], axis=1).pvalue
    return bool(np.nanmin(p) < 0.05 / (len(scores) - 1))


def of_rates(rng: np.random.Generator, seeds: int) -> Mapping[str, Any]:
    """Return runs of two activations that are alike, the second at nine learning rates."""
    rates = [1, *range(1, 10)]
    names = ["relu", *["elu"] * 9]
    scores = rng.standard_normal((10, seeds))
    return {
        "activation": [name for name in names for _ in range(seeds)],
        "lr": [rate / 100 for rate in rates for _ in range(seeds)],
        "seed": list(range(seeds)) * 10,
        "score": scores.ravel().tolist(),
    }


def false_claims(experiments: int) -> tuple[list[list[str]], list[list[str]]]:
    """Return rows of any false claim: by law and size, and where learning rates are chosen."""
    rows = []
    laws: dict[str, tuple[Draw, Known]] = {
        **{name: (draw, "scores of seeds") for name, draw in LAWS.items()},
        "splits": (_splits, "scores of splits"),
    }
    for name, (draw, known) in laws.items():
        for count, seeds in SIZES:
            rng = np.random.default_rng([count, seeds])
            found = []
            for _ in range(experiments):
                scores = draw(rng, count, seeds)
                found.append((claims_any(runs_of(scores, known)), paired_t(scores)))
            own, plain = np.mean(found, axis=0)
            rows.append([name, f"{count}, {seeds}", f"{own:.1%}", f"{plain:.1%}"])
    chosen = []
    for seeds in (8, 10, 20):
        rng = np.random.default_rng(seeds)
        found = []
        for _ in range(experiments // 5):
            table = of_rates(rng, seeds)
            scores = np.reshape(table["score"], (10, seeds))
            best = scores[1:][scores[1:].mean(1).argmax()]
            found.append((claims_any(read_runs(table, {})), paired_t(np.stack([scores[0], best]))))
        own, flattered = np.mean(found, axis=0)
        chosen.append([str(seeds), f"{own:.1%}", f"{flattered:.1%}"])
    return rows, chosen
