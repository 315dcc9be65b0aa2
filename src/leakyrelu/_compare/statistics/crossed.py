"""What several trainings, tested on examples that they share, show of a difference.

A difference of two candidates has two sources of chance: which examples are in the test parts, and
the trainings (initial weights, batches, splits). Ten trainings do not make ten times the examples,
nor do 1,000 examples make 1,000 trainings. So results are taken as a table, a row a training and a
column an example, and both count: the variance between the means of columns, over their number,
plus the variance between the means of rows, over theirs, less the variance of single cells, over
their number, which is in both. For a complete table, and for repeated K-fold splits, this is the
exact variance of a mean of crossed random effects; in general it is two-way clustering.

A claim is made of one of two things. *On these data*: networks trained on this data set, on new
examples. *For the source*: networks trained on other data sets of the same source, too. What
splits of one data set share and other data sets do not cannot be seen in one data set; it is taken
for a share of the variance between trainings.

Several claims, and several looks at a growing experiment, divide the 5% of false ones.

References
----------
A. C. Cameron, J. B. Gelbach and D. L. Miller, "Robust inference with multiway clustering", Journal
of Business & Economic Statistics 29, 2011.

F. E. Satterthwaite, "An approximate distribution of estimates of variance components", Biometrics
Bulletin 2, 1946.

S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
Statistics 6, 1979.

J. C. Hsu, "Constrained simultaneous confidence intervals for multiple comparisons with the best",
Annals of Statistics 12, 1984.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from scipy import special

from leakyrelu._compare.data.task import BLOCKS

__all__ = [
    "BLOCKS",
    "CONFIDENCE",
    "DECIMALS",
    "SHARED",
    "Choice",
    "Claim",
    "Difference",
    "Interval",
    "Scope",
    "Verdict",
    "choose",
    "compared",
    "decide",
    "influence",
    "least_spread",
    "looks",
    "probability_best",
    "share_at",
    "shares",
]

CONFIDENCE = 0.95
# Of the variance between trainings, what all those on one data set have in common.
SHARED = {"these data": 0.0, "the source": 0.02}
# Shares of the 5%: see `share_at`.
PLANNED, BEFORE, AFTER = 0.8, 0.025, 0.075
FEWEST = 5  # trainings at a look that was not asked for
DRAWS = 10_000
DECIMALS = 12  # of means; what differs by less does so by rounding

Scope = Literal["these data", "these test examples"]
Verdict = Literal["better", "worse", "equivalent", "undecided"]

Floats = npt.NDArray[np.float64]
Name = TypeVar("Name", bound=Hashable)


class Interval(NamedTuple):
    """Where a difference lies."""

    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """A mean difference, and how sure it is.

    Attributes
    ----------
    mean, error : float
        The estimate and its standard error, NaN of one training.
    freedom : float
        Degrees of freedom of the error.
    floor : float
        The part of ``error**2`` that more trainings of the same examples do not reduce.
    """

    mean: float
    error: float
    freedom: float
    floor: float = field(default=0.0, repr=False)

    def interval(self, level: float) -> Interval:
        """Return the interval that misses the true difference with probability `level`."""
        reach = self.error * float(special.stdtrit(self.freedom, 1 - level / 2))
        return Interval(self.mean - reach, self.mean + reach)

    def probability_above(self, threshold: float = 0.0) -> float:
        """Return the probability that it is larger, with a flat prior.

        Examples
        --------
        >>> round(Difference(1.0, 0.5, 9.0).probability_above(), 3)
        0.962
        """
        if self.error == 0:
            return 0.5 if self.mean == threshold else float(self.mean > threshold)
        return float(special.stdtr(self.freedom, (self.mean - threshold) / self.error))

    def p_value(self, rope: float = 0.0) -> float:
        """Return the smallest level whose interval is decided: all of it beyond `rope`, or within.

        Examples
        --------
        >>> round(Difference(1.0, 0.5, 9.0).p_value(), 3)
        0.077
        """
        gap = abs(abs(self.mean) - rope)
        if not self.error:
            return float(gap == 0)
        # Of an interval that is within both ends must be.
        tail = float(special.stdtr(self.freedom, -gap / self.error))
        return 2 * tail if math.isfinite(tail) else 1.0

    def verdict(self, level: float, rope: float = 0.0) -> Verdict:
        """Say what the interval of a level shows.

        Examples
        --------
        >>> Difference(1.0, 0.5, 9.0).verdict(0.1)
        'better'
        """
        low, high = self.interval(level)
        if low > rope:
            return "better"
        if high < -rope:
            return "worse"
        return "equivalent" if -rope < low and high < rope else "undecided"


def compared(
    values: npt.ArrayLike,
    *,
    examples: npt.ArrayLike | None = None,
    step: float = 0.0,
    shared: float = 0.0,
    least: float = 0.0,
) -> Difference:
    """Return the mean of paired differences, each of one training and one test example.

    Parameters
    ----------
    values : array_like, shape (trainings, examples)
        NaN where a training did not test an example.
    examples : array_like of int, shape (examples,), optional
        Numbers of what was sampled, if some columns belong together: a group, a patient.
    step : float, default 0.0
        The scores come in steps of this size; the variance between trainings is taken for no less
        than rounding makes.
    shared : float, default 0.0
        See `SHARED`.
    least : float, default 0.0
        What the variance between trainings is taken for at least: see `least_spread`.

    Examples
    --------
    >>> nan = float("nan")
    >>> compared([[1, 0, nan, nan], [nan, nan, 1, 1], [0, nan, 1, nan], [nan, 0, nan, 1]])
    Difference(mean=0.625, error=0.239..., freedom=...)
    """
    table = np.asarray(values, dtype=np.float64)
    known = ~np.isnan(table)
    means = np.where(known, table, 0.0).sum(1) / known.sum(1)
    trainings, mean = len(means), float(means.mean())
    if trainings < 2:
        return Difference(mean, math.nan, math.nan)
    parts = np.where(known, table - mean, 0.0) / (trainings * known.sum(1, keepdims=True))
    tested = known.any(0)
    sampled = int(tested.sum())
    if examples is not None:
        groups = np.unique(np.asarray(examples), return_inverse=True)[1]
        sampled = len(np.unique(groups[tested]))
        gathered = np.zeros((groups.max() + 1, trainings))
        np.add.at(gathered, groups, parts.T)
        parts = gathered.T
    sampled = max(sampled, 2)
    spread = max(float(means.var(ddof=1)), step * step / 6, least)
    by_training = spread / trainings
    by_example = float(np.square(parts.sum(0)).sum()) * sampled / (sampled - 1)
    by_cell = float(np.square(parts).sum())
    variance = max(by_training + by_example - by_cell, by_training, by_example)
    doubt = by_training**2 / (trainings - 1) + by_example**2 / (sampled - 1)
    freedom = variance**2 / doubt if doubt else float(trainings - 1)
    floor = min(max(by_example - by_cell, 0.0), variance) + shared * spread
    return Difference(mean, math.sqrt(variance + shared * spread), freedom, floor)


def least_spread(differences: Iterable[npt.ArrayLike]) -> float:
    """Return what the variance between trainings is taken for at least, in any of the differences.

    It is half of what it is on average over all differences of the experiment. Where one varies
    much less than others, its trainings have perhaps only not failed yet: a failure in ten
    trainings, of a candidate that is otherwise better, is often not among the first ten.

    Parameters
    ----------
    differences : iterable of array_like, shape (trainings,)
        The scores of each candidate less those of the reference.

    Examples
    --------
    >>> least_spread([[0.0, 1.0, 2.0], [4.0, 4.0, 4.0]])
    0.25
    """
    spreads = [
        float(np.var(np.asarray(each, np.float64), ddof=1))
        for each in differences
        if np.size(each) > 1
    ]
    return sum(spreads) / (2 * len(spreads)) if spreads else 0.0


def share_at(trainings: int, planned: int) -> float:
    """Return the share of the 5% for a look at so many trainings.

    A look at as many as were planned has 80%. Of the looks before, at a half, a quarter and so on,
    the last has 2.5%, and the one before it half of that; looks after, at up to twice as many, four
    times and so on without end, have 7.5%, half of that and so on. So all shares add up to 1 at
    most, however often trainings are added later.

    Examples
    --------
    >>> [share_at(n, planned=10) for n in (5, 10, 20, 40)]
    [0.025, 0.8, 0.075, 0.0375]
    """
    if trainings == planned:
        return PLANNED
    looks = abs(math.log2(trainings / planned))
    first = BEFORE if trainings < planned else AFTER
    return float(first / 2.0 ** (math.ceil(looks - 1e-9) - 1))


def _planned_looks(planned: int, most: int) -> list[int]:
    """Return the looks that are provided for: halves of what was planned, then its doubles."""
    found = [planned]
    while (half := math.ceil(found[0] / 2)) >= FEWEST:
        found.insert(0, half)
    while found[-1] < most:
        found.append(2 * found[-1])
    return found


def looks(trainings: int, asked: Sequence[int] = ()) -> list[int]:
    """Return after how many trainings the experiment is looked at.

    Parameters
    ----------
    trainings : int
        How many there are in the end.
    asked : sequence of int, optional
        How many were asked for, run by run; the first number is what was planned.

    Examples
    --------
    >>> looks(20), looks(7), looks(30, asked=[10])
    ([5, 10, 20], [7], [5, 10, 20, 30])
    """
    provided = _planned_looks(asked[0] if asked else trainings, trainings)
    return sorted({look for look in (*provided, *asked, trainings) if look <= trainings})


def shares(each: Sequence[int], planned: int) -> list[float]:
    """Return the share of the 5% of each look, in their order; all add up to 1 at most.

    Looks that are provided for have what `share_at` says. One between two of them takes half of
    what is left to the later one.

    Examples
    --------
    >>> shares([5, 10, 20], planned=10), shares([5, 10, 15, 20], planned=10)
    ([0.025, 0.8, 0.075], [0.025, 0.8, 0.0375, 0.0375])
    """
    provided = _planned_looks(planned, max(each, default=planned))
    left = {look: share_at(look, planned) for look in provided}
    found = []
    for look in each:
        next_one = min(other for other in provided if other >= look)
        share = left[next_one] if look == next_one else left[next_one] / 2
        left[next_one] -= share
        found.append(share)
    return found


@dataclass(frozen=True)
class Claim:
    """What is claimed of one difference: that of two activations, on these data or for the source.

    Attributes
    ----------
    difference : Difference
        The estimate with its standard error and degrees of freedom.
    level : float
        The error level of its interval, by which it was decided, or was not.
    verdict : {"better", "worse", "equivalent", "undecided"}
    trainings : int
        How many seeds it rests on.

    Examples
    --------
    >>> claim = Claim(Difference(0.05, 0.01, 9.0), 0.05, "better", 10)
    >>> claim.verdict, round(claim.low, 3), round(claim.high, 3)
    ('better', 0.027, 0.073)
    """

    difference: Difference
    level: float
    verdict: Verdict
    trainings: int

    @property
    def interval(self) -> Interval:
        """Where the difference lies."""
        return self.difference.interval(self.level)

    @property
    def mean(self) -> float:
        """The estimate."""
        return self.difference.mean

    @property
    def low(self) -> float:
        """The lower end of the interval."""
        return self.interval.low

    @property
    def high(self) -> float:
        """The upper end of the interval."""
        return self.interval.high

    @property
    def reach(self) -> float:
        """Half the width of the interval."""
        return self.high - self.mean


def decide(
    each: Sequence[tuple[int, Mapping[Name, Difference]]],
    claims: int,
    planned: int,
    rope: float = 0.0,
    spending: Sequence[float] | None = None,
) -> dict[Name, Claim]:
    """Decide differences, look after look; any false claim in 5% of experiments at most.

    At each look the smallest p-value is held against the share of the look over the number of
    claims that are open; what is decided leaves the others more (Holm), and stays decided. Where a
    later look says the same, its interval is given: it is of all trainings, as the scores are.

    Parameters
    ----------
    each : sequence of (int, mapping of names to Difference)
        How many trainings there were at each look, and the differences then; of those that are
        decided, or were given up, none are needed.
    claims : int
        How many differences there are in all.
    planned : int
        How many trainings were planned before the first look.
    rope : float, default 0.0
        The smallest difference that matters.
    spending : sequence of float, optional
        The share of the 5% of each look; by default `shares`.

    Examples
    --------
    >>> clear, vague = Difference(3.0, 0.5, 9.0), Difference(1.0, 0.5, 9.0)
    >>> found = decide([(10, {"elu": clear, "gelu": vague})], claims=2, planned=10)
    >>> [claim.verdict for claim in found.values()]
    ['better', 'undecided']
    """
    found: dict[Name, Claim] = {}
    decided: dict[Name, int] = {}  # how many were open when it was
    spending = spending or shares([trainings for trainings, _ in each], planned)
    for (trainings, differences), share in zip(each, spending, strict=True):
        spent = (1 - CONFIDENCE) * share
        is_open = True
        before = set(decided)
        for name in sorted(differences, key=lambda name: differences[name].p_value(rope)):
            level = spent / decided.get(name, claims - len(decided))
            verdict = differences[name].verdict(level, rope)
            claim = Claim(differences[name], level, verdict, trainings)
            if name in before:
                if verdict == found[name].verdict:
                    found[name] = claim
                continue
            is_open = is_open and verdict != "undecided"
            if is_open:
                decided[name] = claims - len(decided)
            found[name] = claim if is_open else replace(claim, verdict="undecided")
    return found


@dataclass(frozen=True)
class Choice(Generic[Name]):
    """Whom to use, and what is known of that.

    Attributes
    ----------
    name : str
        Who has the highest mean.
    possible : list of str
        Who cannot be ruled out as the best, at the level asked for; also who has the highest mean.
    regret : float
        How far at worst the chosen one is below the best.
    """

    name: Name
    possible: list[Name]
    regret: float


def choose(
    names: Sequence[Name],
    difference: Callable[[Name, Name], Difference],
    level: Callable[[Name, Name], float],
    beaten: Collection[Name] = (),
) -> Choice[Name]:
    """Choose the candidate with the highest mean, and say what may be better by how much.

    Whoever is the best in truth is compared with each of the others, so there are as many claims
    as others (Hsu). Each is at a two-sided level, as the claims of differences are, so that the
    two agree; only one side can rule the best out. If levels add up to 5%, that takes half of it,
    and claims that somebody is beaten, at 5% as well, the other half. So at 95% the best is among
    those possible, and nobody is further below it than the bound says, whomever one takes.

    Parameters
    ----------
    names : sequence of str
        The first of those that tie is chosen.
    difference : callable
        Given two names, returns how much the first is above the second.
    level : callable
        Given two names, returns the error level of their difference; those of one name with all
        others add up to that of the choice.
    beaten : collection of str, optional
        Who is worse than another one, as is claimed elsewhere.

    Examples
    --------
    >>> means = {"relu": 0.0, "elu": 2.0, "gelu": 1.9}
    >>> difference = lambda a, b: Difference(means[a] - means[b], 0.2, 9.0)
    >>> choose(list(means), difference, level=lambda a, b: 0.05 / 2)
    Choice(name='elu', possible=['elu', 'gelu'], regret=0.43...)
    """

    def most(one: Name, other: Name) -> float:
        """Return how much `one` may be above `other`."""
        return difference(one, other).interval(level(one, other)).high

    def lead(one: Name) -> float:
        """Return how much `one` is above all others."""
        return round(sum(difference(one, other).mean for other in names if other != one), DECIMALS)

    ahead = max(names, key=lead)
    possible = [
        one
        for one in names
        if one == ahead
        or (one not in beaten and all(most(one, other) >= 0 for other in names if other != one))
    ]
    regret = max((most(one, ahead) for one in possible if one != ahead), default=0.0)
    return Choice(ahead, possible, max(regret, 0.0))


def probability_best(
    names: Sequence[Name], difference: Callable[[Name, Name], Difference]
) -> dict[Name, float]:
    """Return the probability of each candidate to be the best, with a flat prior.

    Differences to the first one are drawn together from a multivariate t distribution; how they
    vary together is in the errors of the differences between the others.

    Examples
    --------
    >>> means = {"relu": 0.0, "elu": 2.0, "gelu": 2.0}
    >>> found = probability_best(list(means), lambda a, b: Difference(means[a] - means[b], 0.5, 9))
    >>> [round(share, 1) for share in found.values()]
    [0.0, 0.5, 0.5]
    """
    pairs = [[None if a == b else difference(a, b) for b in names] for a in names]
    squares = np.array([[0.0 if p is None else p.error**2 for p in row] for row in pairs])
    means = np.array([0.0 if row[0] is None else row[0].mean for row in pairs])
    freedom = min((p.freedom for row in pairs for p in row if p), default=1.0)
    if not np.isfinite(squares).all():
        return dict.fromkeys(names, math.nan)
    covariance = (squares[:, :1] + squares[:1] - squares) / 2
    values, vectors = np.linalg.eigh(covariance)
    rng = np.random.default_rng(0)  # the same scores give the same probabilities
    normal = rng.standard_normal((DRAWS, len(names))) * np.sqrt(np.maximum(values, 0.0))
    chi = np.sqrt(rng.chisquare(freedom, (DRAWS, 1)) / freedom)
    draws = means + normal @ vectors.T / chi
    first = draws >= draws.max(axis=1, keepdims=True) - 1e-12
    shares = (first / first.sum(axis=1, keepdims=True)).mean(axis=0)
    return dict(zip(names, shares.tolist(), strict=True))


def influence(score_of: Callable[[Any], float], rows: npt.ArrayLike) -> Floats:
    """Return what each test example adds to a score that is no mean over examples.

    It is the jackknife: examples are left out of the score, one by one or, of many, in `BLOCKS`
    blocks, the same in all trainings; then `compared` is to be told ``examples=rows % BLOCKS``. Of
    a mean it is the result of each example (of each block). The mean over all is the score itself.

    Parameters
    ----------
    score_of : callable
        Given positions among the test examples, returns the score of these.
    rows : array_like of int, shape (examples,)
        Row numbers of the test examples in the data set.

    Returns
    -------
    ndarray, shape (examples,)
        NaN where the score of what is left is not defined.

    Examples
    --------
    >>> losses = np.array([1.0, 4.0, 1.0])
    >>> influence(lambda kept: float(np.sqrt(losses[kept].mean())), [7, 3, 9]).round(2)
    array([1.03, 2.19, 1.03])
    """
    numbers = np.asarray(rows)
    blocks = numbers % BLOCKS if len(numbers) > BLOCKS else np.arange(len(numbers))
    every = np.arange(len(numbers))
    score = score_of(every)
    found = np.empty(len(numbers))
    for block in np.unique(blocks):
        own = blocks == block
        without = score_of(every[~own])
        found[own] = score + (len(numbers) - own.sum()) / own.sum() * (score - without)
    return np.asarray(found - found.mean() + score)
