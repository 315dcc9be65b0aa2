"""What the trials show: intervals, paired differences and a sentence that claims no more.

The intervals are those of Nadeau and Bengio's corrected resampled t-test. Splits of
different seeds are drawn from the same examples and overlap, so their scores are not
independent, and the plain t interval over seeds is too narrow. The corrected variance of
a mean over ``n`` seeds is ``(1/n + n_test/n_train)`` times the variance between seeds.

Of each candidate it is said whether it is better than the reference, worse, equivalent (the
difference is smaller than what matters to the user) or undecided; and with what probability it
is better, by the Bayesian reading of the same test, with a flat prior.

References
----------
C. Nadeau and Y. Bengio, "Inference for the generalization error", Machine Learning 52,
2003.

G. Corani and A. Benavoli, "A Bayesian approach for comparing cross-validated algorithms on
multiple data sets", Machine Learning 100, 2015.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

from leakyrelu.activations import parse
from leakyrelu.compare.plan import Settings
from leakyrelu.compare.task import TEST_SHARE, VALIDATION_SHARE
from leakyrelu.compare.trial import Trial

__all__ = [
    "Candidate",
    "Estimate",
    "candidates",
    "corrected_interval",
    "probability_above",
    "seeds_to_decide",
    "sentence",
]

CONFIDENCE = 0.95
MOST_SEEDS = 1000  # that anybody would run
TEST_TO_TRAIN = TEST_SHARE / (1 - TEST_SHARE - VALIDATION_SHARE)


@dataclass(frozen=True)
class Estimate:
    """A mean and its interval; `low` and `high` are NaN where one seed gives none."""

    mean: float
    low: float
    high: float

    @property
    def reach(self) -> float:
        """Half the width of the interval."""
        return (self.high - self.low) / 2

    @property
    def above_zero(self) -> bool:
        """The whole interval is positive."""
        return self.low > 0

    @property
    def below_zero(self) -> bool:
        """The whole interval is negative."""
        return self.high < 0


@dataclass(frozen=True)
class Candidate:
    """One activation at its chosen learning rate.

    Attributes
    ----------
    activation : str
        Its spec.
    learning_rate : float
        The one with the best mean validation score; NaN if trials diverged at each.
    trials : list of Trial
        Those at that learning rate, a seed each.
    score : Estimate
        Test score with its 95% interval.
    difference : Estimate or None
        Paired difference to the reference, with an interval that is right for all
        candidates at once (Bonferroni) in 95% of experiments. None for the reference.
    seconds : float
        Training time of all trials of this activation, at all learning rates.
    verdict : {"better", "worse", "equivalent", "undecided"} or None
        Than the reference, by the interval of the difference: all of it above what matters,
        all below, all within, or neither.
    probability : float or None
        That it is better than the reference by any amount, 0 to 1.
    seeds_to_decide : int or None
        If undecided: how many seeds in all would decide, if the differences go on as they are;
        None if not even 1,000 would.
    """

    activation: str
    learning_rate: float
    trials: list[Trial]
    score: Estimate
    difference: Estimate | None
    seconds: float
    verdict: Literal["better", "worse", "equivalent", "undecided"] | None = None
    probability: float | None = None
    seeds_to_decide: int | None = None

    @property
    def diverged(self) -> bool:
        """No learning rate of the grid trained with every seed."""
        return not self.trials

    def silent(self, checkpoint: int = -1) -> float:
        """Share of hidden units that never fire at a checkpoint, over layers and seeds."""
        if self.diverged:
            return math.nan
        return float(np.mean([trial.history[checkpoint].never_fired for trial in self.trials]))

    @property
    def dead(self) -> float:
        """Share of units dead at the end: they never fire and get no gradient."""
        return self.silent() if parse(self.activation).can_die else 0.0

    @property
    def born_dead(self) -> float:
        """Share of units dead before the first update."""
        return self.silent(0) if parse(self.activation).can_die else 0.0

    @property
    def stuck_negative(self) -> float:
        """Share of units that never fire at the end but still get a gradient."""
        return 0.0 if parse(self.activation).can_die else self.silent()


def corrected_interval(
    values: npt.ArrayLike,
    test_to_train: float,
    confidence: float = CONFIDENCE,
    step: float = 0.0,
) -> Estimate:
    """Mean of one value a seed, with Nadeau and Bengio's corrected t interval.

    Parameters
    ----------
    values : array_like, shape (n,)
        A score, or a paired difference, of each seed.
    test_to_train : float
        Number of test examples over number of training examples.
    confidence : float, default 0.95
    step : float, default 0.0
        The scores come in steps of this size. Differences that are equal because they
        were rounded to the same step do not show that there is no noise, so the variance
        is taken for no less than rounding makes: ``step**2 / 6``.

    Examples
    --------
    >>> corrected_interval([1.0, 2.0, 3.0], test_to_train=0.0)
    Estimate(mean=2.0, low=-0.484..., high=4.484...)
    """
    mean, variance, n = _moments(values, step)
    if n < 2:
        return Estimate(mean, math.nan, math.nan)
    quantile = stats.t.ppf((1 + confidence) / 2, n - 1)
    reach = float(quantile * _error(variance, n, test_to_train))
    return Estimate(mean, mean - reach, mean + reach)


def _moments(values: npt.ArrayLike, step: float) -> tuple[float, float, int]:
    each = np.asarray(values, dtype=np.float64)
    variance = max(each.var(ddof=1), step * step / 6) if each.size > 1 else math.nan
    return float(each.mean()), variance, each.size


def _error(variance: float, n: Any, test_to_train: float) -> Any:
    """Return the standard error of a mean over `n` seeds, one number or several."""
    return np.sqrt((1 / n + test_to_train) * variance)


def probability_above(values: npt.ArrayLike, test_to_train: float, step: float = 0.0) -> float:
    """Probability that the mean of differences is above 0, with a flat prior.

    Parameters are those of `corrected_interval`; NaN for one value.

    Examples
    --------
    >>> round(probability_above([0.01, 0.02, 0.03], test_to_train=0.25), 2)
    0.94
    """
    mean, variance, n = _moments(values, step)
    if n < 2:
        return math.nan
    error = _error(variance, n, test_to_train)
    if error == 0:
        return 0.5 if mean == 0 else float(mean > 0)
    return float(stats.t.cdf(mean / error, n - 1))


def seeds_to_decide(
    values: npt.ArrayLike,
    test_to_train: float,
    confidence: float = CONFIDENCE,
    rope: float = 0.0,
    step: float = 0.0,
) -> int | None:
    """How many seeds in all would decide, if differences go on as they are; None for over 1,000.

    Splits of the same examples overlap, so that the interval does not shrink to nothing: some
    differences no number of seeds on this data can decide.

    Examples
    --------
    >>> differences = [0.01, -0.01, 0.02, 0.0]
    >>> seeds_to_decide(differences, test_to_train=0.0)
    29
    >>> seeds_to_decide(differences, test_to_train=0.33) is None
    True
    """
    mean, variance, n = _moments(values, step)
    seeds = np.arange(max(n, 1) + 1, MOST_SEEDS + 1)
    reach = _quantiles(confidence)[seeds] * _error(variance, seeds, test_to_train)
    decided = (abs(mean) - reach > rope) | (abs(mean) + reach < rope)
    return int(seeds[decided.argmax()]) if decided.any() else None


@functools.cache
def _quantiles(confidence: float) -> npt.NDArray[np.float64]:
    """Those of Student's t, by number of seeds up to `MOST_SEEDS`."""
    degrees = np.maximum(np.arange(MOST_SEEDS + 1) - 1, 1)
    return np.asarray(stats.t.ppf((1 + confidence) / 2, degrees))


def candidates(
    settings: Settings, trials: Sequence[Trial], score_step: float = 0.0, rope: float = 0.0
) -> list[Candidate]:
    """Choose each activation's learning rate and compare it with the reference.

    Parameters
    ----------
    settings, trials
        All trials of the settings.
    score_step : float, default 0.0
        `Task.score_step`.
    rope : float, default 0.0
        The smallest difference that matters, in the unit of the score.

    Returns
    -------
    list of Candidate
        In the order of ``settings.activations``.
    """
    chosen = {spec: _best_learning_rate(settings, trials, spec) for spec in settings.activations}
    reference = [trial.test_score for trial in chosen[settings.reference]]
    # Each interval is wide enough that all of them hold together (Bonferroni).
    together = 1 - (1 - CONFIDENCE) / (len(settings.activations) - 1)
    found = []
    for spec, own in chosen.items():
        scores = [trial.test_score for trial in own]
        nothing = Estimate(math.nan, math.nan, math.nan)
        difference, word, probability, seeds = None, None, None, None
        if spec != settings.reference:
            difference = nothing
            if scores and reference:
                differences = np.subtract(scores, reference)
                difference = corrected_interval(differences, TEST_TO_TRAIN, together, score_step)
                probability = probability_above(differences, TEST_TO_TRAIN, score_step)
                word = _verdict(difference, rope)
                if word == "undecided" and len(scores) > 1:
                    seeds = seeds_to_decide(differences, TEST_TO_TRAIN, together, rope, score_step)
        found.append(
            Candidate(
                activation=spec,
                learning_rate=own[0].learning_rate if own else math.nan,
                trials=own,
                score=corrected_interval(scores, TEST_TO_TRAIN, step=score_step)
                if scores
                else nothing,
                difference=difference,
                seconds=sum(trial.seconds for trial in trials if trial.activation == spec),
                verdict=word,
                probability=probability,
                seeds_to_decide=seeds,
            )
        )
    return found


def _verdict(
    difference: Estimate, rope: float
) -> Literal["better", "worse", "equivalent", "undecided"]:
    if difference.low > rope:
        return "better"
    if difference.high < -rope:
        return "worse"
    if -rope < difference.low and difference.high < rope:
        return "equivalent"
    return "undecided"


def _best_learning_rate(settings: Settings, trials: Sequence[Trial], spec: str) -> list[Trial]:
    """Return the trials, by seed, at the rate of the best mean validation score."""
    best: list[Trial] = []
    best_score = -math.inf
    for learning_rate in settings.learning_rates:
        own = {
            trial.seed: trial
            for trial in trials
            if trial.activation == spec and trial.learning_rate == learning_rate
        }
        in_order = [own[seed] for seed in settings.seeds]
        score = float(np.mean([trial.validation_score for trial in in_order]))
        if score > best_score:  # never true of NaN: a diverged trial rules the rate out
            best, best_score = in_order, score
    return best


def sentence(settings: Settings, found: Sequence[Candidate], metric: str, rope: float = 0.0) -> str:
    """Say in one sentence what the differences show."""
    reference = settings.reference
    others = [c for c in found if c.difference is not None and not c.diverged]
    own = next(c for c in found if c.activation == reference)
    diverged = [c.activation for c in found if c.diverged]
    tail = ""
    if not own.diverged and parse(reference).can_die:
        tail = f"; {own.dead:.1%} of {reference}'s units ended dead"
        tail += f" ({own.born_dead:.1%} were born dead)"
    if diverged:
        tail += f"; {_listing(diverged)} diverged at every learning rate"
    if own.diverged:
        return f"Nothing can be said of differences to {reference}, which diverged{tail}."
    if len(settings.seeds) < 2:
        return f"One seed shows no difference that chance could not make; use several{tail}."
    basis = f"over {len(settings.seeds)} paired seeds, 95% intervals for all comparisons together"
    better = [c for c in others if c.verdict == "better"]
    worse = [c for c in others if c.verdict == "worse"]
    equivalent = [c.activation for c in others if c.verdict == "equivalent"]
    if rope:
        matters = f"{100 * rope:g} points" if metric == "accuracy" else f"{rope:g}"
        basis += f"; differences up to {matters} count as none"
    better.sort(key=lambda c: -c.score.mean)
    described = {
        c.activation: f"{c.activation} ({_difference(c.difference, metric)})"
        for c in others
        if c.difference
    }
    if better:
        names = _listing([described[c.activation] for c in better])
        verb = "is" if len(better) == 1 else "are"
        text = f"{names} {verb} better than {reference} in {metric}"
        if worse:
            text += f", and {_listing([described[c.activation] for c in worse])} worse"
    elif worse:
        names = _listing([described[c.activation] for c in worse])
        verb = "is" if len(worse) == 1 else "are"
        text = f"Nothing is detectably better than {reference} in {metric}; {names} {verb} worse"
    else:
        text = f"No detectable difference to {reference} in {metric}"
    if equivalent:
        verb = "is" if len(equivalent) == 1 else "are"
        text += f"; {_listing(equivalent)} {verb} equivalent to it"
    return f"{text} ({basis}){tail}."


def _difference(difference: Estimate, metric: str) -> str:
    # Accuracy is spoken of in percentage points.
    scale, unit, digits = (100, " points", 1) if metric == "accuracy" else (1, "", 3)
    mean, low, high = (
        f"{scale * value:+.{digits}f}"
        for value in (difference.mean, difference.low, difference.high)
    )
    return f"{mean}{unit}, {low} to {high}"


def _listing(items: Sequence[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
