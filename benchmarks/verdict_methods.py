"""Ways to make verdicts of the same trainings: ours, the former one, and those of other packages.

A method gets the paired differences of each candidate to the reference, training by training and
example by example, and says of each candidate whether it is better (1), worse (-1) or neither (0).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy import stats

from leakyrelu._compare.statistics import crossed
from leakyrelu._compare.statistics.crossed import Claim, Difference

Array = npt.NDArray[np.float64]
# Differences by number of trainings, for each candidate but the first.
Looks = Sequence[tuple[int, Sequence[Difference]]]
TEST_TO_TRAIN = 1 / 3
SIGNS = {"better": 1, "worse": -1}


def once(looks: Looks, planned: int, rope: float = 0.0) -> list[Claim]:
    """Look at the end, and divide the 5% equally (Bonferroni)."""
    trainings, differences = looks[-1]
    level = 0.05 / len(differences)
    return [Claim(d, level, d.verdict(level, rope), trainings) for d in differences]


def in_former_rounds(looks: Looks, planned: int, rope: float = 0.0) -> list[Claim]:
    """Look after 5, 10, 20 ... trainings; up to n of N, (n/N)² of the 5% are spent."""
    found: list[Claim] = []
    spent = 0.0
    for trainings, differences in looks:
        level = 0.05 * ((trainings / planned) ** 2 - spent) / len(differences)
        spent = (trainings / planned) ** 2
        now = [Claim(d, level, d.verdict(level, rope), trainings) for d in differences]
        found = [
            before if before.verdict != "undecided" else claim
            for before, claim in zip(found or now, now, strict=True)
        ]
    return found


def in_rounds(looks: Looks, planned: int, rope: float = 0.0) -> list[Claim]:
    """Look as `leakyrelu` does."""
    named = [(n, {str(i): d for i, d in enumerate(each)}) for n, each in looks]
    count = len(looks[-1][1])
    claims = crossed.decide(named, count, planned, rope)
    return [claims[str(i)] for i in range(count)]


METHODS: dict[str, Callable[..., list[Claim]]] = {
    "former": in_former_rounds,
    "paired t": once,
    "these data": in_rounds,
    "the source": in_rounds,
}


def looks_of(method: str, planned: int) -> list[int]:
    """Return the numbers of trainings at which a method looks."""
    if method == "paired t":
        return [planned]
    if method == "former":
        return [n for n in (5, 10, 20) if n < planned] + [planned]
    return crossed.looks(planned)


class Pairs:
    """The differences of one experiment, each computed once.

    Parameters
    ----------
    tables : ndarray, shape (candidates, trainings, examples)
        NaN where an example was not tested.
    step : float
        The smallest difference between two scores.
    examples : ndarray, optional
        Of examples that belong together, what they belong to.
    """

    def __init__(
        self,
        tables: npt.NDArray[np.float32],
        step: float,
        examples: npt.NDArray[np.int64] | None = None,
    ) -> None:
        self._tables, self._step, self._examples = tables, step, examples
        self._scores = np.nanmean(tables, axis=2, dtype=np.float64)
        self.difference = cache(self._difference)

    def _difference(
        self, method: str, one: int, other: int, trainings: int, least: float = 0.0
    ) -> Difference:
        """Return how much one candidate is above another, by a method and so many trainings."""
        if method == "these data":
            values = self._tables[one, :trainings] - self._tables[other, :trainings]
            return crossed.compared(values, examples=self._examples, step=self._step, least=least)
        each = self._scores[one, :trainings] - self._scores[other, :trainings]
        spread = max(float(each.var(ddof=1)), self._step**2 / 6)
        if method == "the source":
            found = self.difference("these data", one, other, trainings, least)
            error = math.sqrt(found.error**2 + crossed.SHARED["the source"] * max(spread, least))
            return Difference(found.mean, error, found.freedom)
        # Nadeau and Bengio: splits share a third of the variance.
        shared = TEST_TO_TRAIN if method == "former" else 0.0
        error = math.sqrt(spread * (1 / trainings + shared))
        return Difference(float(each.mean()), error, trainings - 1)

    def least_spread(self, candidates: Sequence[int], trainings: int) -> float:
        """Return what the variance between trainings is taken for at least."""
        reference, *others = candidates
        return crossed.least_spread(
            self._scores[others, :trainings] - self._scores[reference, :trainings]
        )

    def claims(
        self,
        method: str,
        candidates: Sequence[int],
        planned: int,
        looks: Sequence[int] | None = None,
        truth: tuple[Array, Array] | None = None,
        rope: float = 0.0,
    ) -> list[Claim]:
        """Compare candidates with the first of them; of a truth, after it is taken away."""
        reference, *others = candidates
        each = []
        for n in looks or looks_of(method, planned):
            least = self.least_spread(candidates, n)
            found = [self.difference(method, c, reference, n, least) for c in others]
            if truth is not None:
                found = [
                    moved(d, truth[0][c, reference], truth[1][c, reference])
                    for d, c in zip(found, others, strict=True)
                ]
            each.append((n, found))
        return METHODS[method](each, planned, rope)


def moved(difference: Difference, by: float, doubt: float) -> Difference:
    """Take what is true away, with what is known of it; so nothing is left to be claimed."""
    error = math.hypot(difference.error, math.sqrt(doubt))
    return Difference(difference.mean - by, error, difference.freedom)


# Others: signs of all candidates but the first, and trainings used, of scores (candidates,
# trainings), in groups of five that test each example once.
Peer = Callable[[Array], tuple[list[int], int]]


def baycomp(scores: Array) -> tuple[list[int], int]:
    """Correlated Bayesian t test; the 5% divided equally."""
    from baycomp import two_on_single

    sure = 1 - 0.05 / 2 / (len(scores) - 1)
    found = []
    for own in scores[1:]:
        # The answer is the probabilities of the first and of the second to be better.
        better, worse = two_on_single(own, scores[0], runs=scores.shape[1] // 5)
        found.append(1 if better > sure else -1 if worse > sure else 0)
    return found, scores.shape[1]


def adastop(scores: Array) -> tuple[list[int], int]:
    """Group sequential permutation tests, five trainings a step; the comparisons to the first."""
    from adastop import MultipleAgentsComparator

    pairs = np.array([(0, i) for i in range(1, len(scores))])
    comparator = MultipleAgentsComparator(
        n=5, K=scores.shape[1] // 5, B=500, comparisons=pairs, alpha=0.05, seed=0
    )
    used = 0
    while not used or (used < scores.shape[1] and not comparator.is_finished):
        used += 5
        comparator.partial_compare(
            {str(i): own[:used] for i, own in enumerate(scores)}, verbose=False
        )
    words = {"larger": -1, "smaller": 1}
    return [words.get(comparator.decisions[str(pair)], 0) for pair in pairs], used


def posthocs(scores: Array) -> tuple[list[int], int]:
    """Wilcoxon's signed ranks of scikit-posthocs, with Holm's correction."""
    import pandas as pd
    from scikit_posthocs import posthoc_wilcoxon

    frame = pd.DataFrame(
        [(str(i), value) for i, own in enumerate(scores) for value in own],
        columns=["who", "score"],
    )
    p = posthoc_wilcoxon(frame, val_col="score", group_col="who", zero_method="zsplit")
    each = p.loc["0"].to_numpy()[1:]
    found = [0] * len(each)
    for rank, i in enumerate(each.argsort()):
        if each[i] >= 0.05 / (len(each) - rank):
            break
        found[i] = int(np.sign(scores[i + 1].mean() - scores[0].mean()))
    return found, scores.shape[1]


def bootstrap(scores: Array) -> tuple[list[int], int]:
    """Percentile bootstrap of both means, which is rliable's interval; the 5% divided equally."""
    level = 1 - 0.05 / (len(scores) - 1)
    found = []
    for own in scores[1:]:
        low, high = stats.bootstrap(
            (own, scores[0]),
            lambda a, b, axis: a.mean(axis) - b.mean(axis),
            confidence_level=level,
            n_resamples=2000,
            method="percentile",
            random_state=np.random.default_rng(0),
        ).confidence_interval
        found.append(1 if low > 0 else -1 if high < 0 else 0)
    return found, scores.shape[1]


PEERS: dict[str, Peer] = {
    "baycomp": baycomp,
    "AdaStop": adastop,
    "scikit-posthocs": posthocs,
    "percentile bootstrap": bootstrap,
}
