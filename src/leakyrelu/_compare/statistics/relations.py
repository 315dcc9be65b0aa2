"""How the condition of networks goes with their score, by statistics that prove no cause.

What sets an activation apart from the reference is looked for among few quantities and by fixed
thresholds, seed by seed. Whether a quantity goes with the score at all is told by rank
correlations over the trained networks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from leakyrelu._compare.statistics.candidates import Candidate
from leakyrelu._compare.statistics.condition import END, START, imbalance, silent
from leakyrelu._compare.trial import Trial

__all__ = [
    "FEWEST_TO_TELL",
    "QUANTITIES",
    "SILENT",
    "THRESHOLDS",
    "UNEVEN",
    "Quantity",
    "Relation",
    "apart",
    "relations",
]

POINTS_APART = 0.05
ORDERS_APART = 1.0
AGREEING = 0.8
THRESHOLDS = (
    "A health metric is named if it differs from the reference by "
    f"{100 * POINTS_APART:.0f} points of the units or by a factor of {10**ORDERS_APART:.0f} in the "
    f"gradient (median over paired seeds), in the same direction for {AGREEING:.0%} of the seeds."
)

# A correlation is clear if chance would make it in fewer than 5% of experiments, for all of them
# together.
CHANCE = 0.05
PERMUTATIONS = 10_000
FEWEST = 4  # activations, or seeds, to rank
# With fewer, even the best of all orders comes by chance too often to be clear.
FEWEST_TO_TELL = 6


@dataclass(frozen=True)
class Quantity:
    """A number of a trained network; the smaller, the healthier.

    Attributes
    ----------
    name : str
    of : callable
        Returns it for a trial.
    least : float
        By how much it must differ to set activations apart.
    """

    name: str
    of: Callable[[Trial], float]
    least: float


# Not the gradient at the end: it also is what is left to learn.
BORN = Quantity("silent units before training", lambda t: silent(t, START), POINTS_APART)
SILENT = Quantity("silent units at the end", lambda t: silent(t, END), POINTS_APART)
UNEVEN = Quantity(
    "imbalance of the gradient before training", lambda t: imbalance(t, START), ORDERS_APART
)
QUANTITIES = (BORN, SILENT, UNEVEN)


def apart(candidate: Candidate, reference: Candidate, quantity: Quantity) -> float:
    """Return the median difference over the paired seeds, 0 where it does not set them apart."""
    by_seed = {trial.seed: quantity.of(trial) for trial in reference.trials}
    each = [quantity.of(t) - by_seed[t.seed] for t in candidate.trials if t.seed in by_seed]
    differences = np.array([difference for difference in each if math.isfinite(difference)])
    if not differences.size:
        return 0.0
    median = float(np.median(differences))
    agreeing = np.mean(np.sign(differences) == np.sign(median))
    return median if abs(median) >= quantity.least and agreeing >= AGREEING else 0.0


@dataclass(frozen=True)
class Relation:
    """How a quantity goes with the test score.

    Attributes
    ----------
    quantity : str
    scope : {"within activations", "across activations"}
        Among the seeds of the same activation, or among the activations' medians.
    correlation : float
        Of the ranks, -1 to 1; NaN if there are too few to rank.
    n : int
        Networks within activations, or activations across. Those are left out whose quantity is
        not known, and activations of which all networks have the same.
    is_clear : bool
        Chance would not make it, all relations taken together.
    is_tested : bool
        There are enough to be clear.
    """

    quantity: str
    scope: str
    correlation: float
    n: int
    is_clear: bool
    is_tested: bool


def relations(candidates: Sequence[Candidate]) -> list[Relation]:
    """Tell how each quantity goes with the test score, at the chosen learning rates."""
    groups = [candidate.trials for candidate in candidates if not candidate.lost]
    tests = {"within activations": _within, "across activations": _across}
    least = CHANCE / (len(QUANTITIES) * len(tests))
    found = []
    for quantity in QUANTITIES:
        for scope, correlate in tests.items():
            correlation, n, p = correlate(groups, quantity)
            is_tested = math.isfinite(p)
            found.append(Relation(quantity.name, scope, correlation, n, p < least, is_tested))
    return found


def _pairs(trials: Sequence[Trial], quantity: Quantity) -> tuple[list[int], npt.NDArray[Any]]:
    """Return the seeds of trials, and quantity and score of each, shape (2, trials)."""
    known = [t for t in trials if math.isfinite(quantity.of(t)) and math.isfinite(t.test_score)]
    values = np.array([(quantity.of(t), t.test_score) for t in known]).reshape(-1, 2).T
    return [t.seed for t in known], values


def _across(groups: Sequence[Sequence[Trial]], quantity: Quantity) -> tuple[float, int, float]:
    each = [_pairs(trials, quantity)[1] for trials in groups]
    x, y = np.array([np.median(own, axis=1) for own in each if own.size]).reshape(-1, 2).T
    if len(x) < FEWEST or np.ptp(x) == 0 or np.ptp(y) == 0:
        return math.nan, len(x), math.nan
    ranks = stats.rankdata((x, y), axis=1)
    x, y = (ranks - ranks.mean(axis=1, keepdims=True))[:, None]
    return _exchanged(x, y, x.size, np.zeros(x.size))


def _within(groups: Sequence[Sequence[Trial]], quantity: Quantity) -> tuple[float, int, float]:
    """Correlate ranks within each activation, all pooled.

    Networks of one seed have the same split and the same draw of weights, so they are no more
    than one piece of evidence: chance is what comes of exchanging the scores of whole seeds, each
    with those for which the same activations were trained.
    """
    places = {seed: place for place, seed in enumerate(sorted({t.seed for g in groups for t in g}))}
    ranks = []  # (quantity, score) by seed, centred; 0 where a seed is missing
    n = 0
    for trials in groups:
        seeds, own = _pairs(trials, quantity)
        # Where it is the same for all networks, as no silent units, it can't go with anything.
        if len(seeds) > 1 and np.ptp(own[0]) > 0:
            n += len(seeds)
            each = stats.rankdata(own, axis=1) / (len(seeds) + 1)
            by_seed = np.zeros((2, len(places)))
            by_seed[:, [places[seed] for seed in seeds]] = each - each.mean(axis=1, keepdims=True)
            ranks.append(by_seed)
    if not ranks or len(places) < FEWEST:
        return math.nan, n, math.nan
    x, y = np.array(ranks).swapaxes(0, 1)
    if not y.any():
        return math.nan, n, math.nan
    is_trained = [[seed in {t.seed for t in own} for own in groups] for seed in places]
    blocks = np.unique(is_trained, axis=0, return_inverse=True)[1]
    return _exchanged(x, y, n, blocks.ravel())


def _exchanged(
    x: npt.NDArray[Any], y: npt.NDArray[Any], n: int, blocks: npt.NDArray[Any]
) -> tuple[float, int, float]:
    """Return the correlation of ranks, n, and how often exchanged columns have one as large.

    Columns are exchanged with those of the same block.
    """
    products = x.T @ y / math.sqrt((x * x).sum() * (y * y).sum())
    found = float(np.trace(products))
    every = np.arange(len(products))
    if len(every) < FEWEST_TO_TELL:
        return found, n, math.nan
    keys = blocks + np.random.default_rng(0).random((PERMUTATIONS, len(every)))
    exchanged = np.empty(keys.shape, dtype=int)
    exchanged[:, np.argsort(blocks, kind="stable")] = np.argsort(keys, axis=1)
    by_chance = np.abs(products[every, exchanged].sum(axis=1)) >= abs(found) - 1e-12
    return found, n, float((1 + by_chance.sum()) / (1 + PERMUTATIONS))
