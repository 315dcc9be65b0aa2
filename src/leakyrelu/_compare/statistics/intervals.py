"""Statistics of one number a seed: intervals and probabilities of its mean.

Splits of different seeds are drawn from the same examples and overlap, so their scores are not
independent, and the plain t interval over seeds is too narrow. After Nadeau and Bengio's
corrected resampled t-test, the variance of a mean over ``n`` seeds is taken for
``(1/n + n_test/n_train)`` times the variance between seeds. Probabilities are the Bayesian
reading of the same test, with a flat prior.

References
----------
C. Nadeau and Y. Bengio, "Inference for the generalization error", Machine Learning 52,
2003.

O. Ledoit and M. Wolf, "A well-conditioned estimator for large-dimensional covariance matrices",
Journal of Multivariate Analysis 88, 2004.

G. Corani and A. Benavoli, "A Bayesian approach for comparing cross-validated algorithms on
multiple data sets", Machine Learning 100, 2015.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import special

from leakyrelu._compare.data.task import TEST_SHARE, VALIDATION_SHARE

__all__ = [
    "CONFIDENCE",
    "TEST_TO_TRAIN",
    "Estimate",
    "Verdict",
    "corrected_interval",
    "mean_and_variance",
    "probability_above",
    "probability_best",
]

CONFIDENCE = 0.95
TEST_TO_TRAIN = TEST_SHARE / (1 - TEST_SHARE - VALIDATION_SHARE)
DRAWS = 10_000

Verdict = Literal["better", "worse", "equivalent", "undecided"]


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

    def verdict(self, rope: float = 0.0) -> Verdict:
        """Say what a difference is, where those up to `rope` do not matter.

        Examples
        --------
        >>> Estimate(0.03, 0.01, 0.05).verdict()
        'better'
        >>> Estimate(0.03, 0.01, 0.05).verdict(rope=0.02)
        'undecided'
        """
        if self.low > rope:
            return "better"
        if self.high < -rope:
            return "worse"
        if -rope < self.low and self.high < rope:
            return "equivalent"
        return "undecided"


def mean_and_variance(values: npt.ArrayLike, step: float = 0.0) -> tuple[float, float]:
    """Return the mean of differences and the variance between them, NaN for one alone.

    Parameters
    ----------
    values : array_like, shape (n,)
    step : float, default 0.0
        The scores come in steps of this size. Differences that are equal because they were
        rounded to the same step do not show that there is no noise, so the variance is taken
        for no less than rounding makes: ``step**2 / 6``.
    """
    each = np.asarray(values, dtype=np.float64)
    variance = max(float(each.var(ddof=1)), step * step / 6) if each.size > 1 else math.nan
    return float(each.mean()), variance


def corrected_interval(
    values: npt.ArrayLike,
    test_to_train: float = TEST_TO_TRAIN,
    confidence: float = CONFIDENCE,
    step: float = 0.0,
) -> Estimate:
    """Mean of one value a seed, with Nadeau and Bengio's corrected t interval.

    Parameters
    ----------
    values : array_like, shape (n,)
        A score, or a paired difference, of each seed.
    test_to_train : float, default 1/3
        Number of test examples over number of training examples.
    confidence : float, default 0.95
    step : float, default 0.0
        As in `mean_and_variance`.

    Examples
    --------
    >>> corrected_interval([1.0, 2.0, 3.0], test_to_train=0.0)
    Estimate(mean=2.0, low=-0.484..., high=4.484...)
    """
    mean, variance = mean_and_variance(values, step)
    n = np.size(values)
    if n < 2:
        return Estimate(mean, math.nan, math.nan)
    quantile = float(special.stdtrit(n - 1, (1 + confidence) / 2))
    reach = quantile * math.sqrt((1 / n + test_to_train) * variance)
    return Estimate(mean, mean - reach, mean + reach)


def probability_above(
    values: npt.ArrayLike, test_to_train: float = TEST_TO_TRAIN, step: float = 0.0
) -> float:
    """Probability that the mean of differences is above 0, with a flat prior.

    Parameters are those of `corrected_interval`; NaN for one value.

    Examples
    --------
    >>> round(probability_above([0.01, 0.02, 0.03], test_to_train=0.25), 2)
    0.94
    """
    mean, variance = mean_and_variance(values, step)
    n = np.size(values)
    if n < 2:
        return math.nan
    error = math.sqrt((1 / n + test_to_train) * variance)
    if error == 0:
        return 0.5 if mean == 0 else float(mean > 0)
    return float(special.stdtr(n - 1, mean / error))


def probability_best(
    scores: npt.ArrayLike, test_to_train: float = TEST_TO_TRAIN, step: float = 0.0
) -> npt.NDArray[np.float64]:
    """Probability of each candidate that its mean score is the highest of all.

    The means are drawn together from a multivariate t distribution. For two candidates it is
    what `probability_above` says of their differences. The covariance of many candidates over few
    seeds is known badly, and of more candidates than seeds it leaves some no way to be first, so
    it is shrunk towards that of candidates which, seed by seed, vary independently (the idea of
    Ledoit and Wolf): by ``(c - 2) / (c - 2 + n)`` for c candidates.

    Parameters
    ----------
    scores : array_like, shape (n, candidates)
        A row a seed.
    test_to_train, step : float
        As in `corrected_interval`.

    Returns
    -------
    ndarray, shape (candidates,)
        They add up to 1; NaN for one seed.

    Examples
    --------
    >>> probability_best([[0.90, 0.91], [0.92, 0.95], [0.91, 0.93]]).round(1)
    array([0.1, 0.9])
    """
    each = np.asarray(scores, dtype=np.float64)
    n, candidates = each.shape
    if n < 2:
        return np.full(candidates, math.nan)
    rng = np.random.default_rng(0)  # the same scores give the same probabilities
    mean = each.mean(axis=0)
    shrinkage = max(candidates - 2, 0) / (max(candidates - 2, 0) + n)
    # Normal numbers, one a seed, times the deviations from the mean have their covariance.
    deviations = each - mean
    draws = rng.standard_normal((DRAWS, n)) @ deviations / math.sqrt(n - 1)
    # What all have in common in a seed makes nobody first. What is left varies less by a candidate.
    own = deviations - deviations.mean(axis=1, keepdims=True)
    variance = own.var(axis=0, ddof=1) * candidates / max(candidates - 1, 1)
    independent = rng.standard_normal(draws.shape) * np.sqrt(variance)
    draws = math.sqrt(1 - shrinkage) * draws + math.sqrt(shrinkage) * independent
    if step:  # scores were rounded
        draws += step / math.sqrt(12) * rng.standard_normal(draws.shape)
    chi = np.sqrt(rng.chisquare(n - 1, (DRAWS, 1)) / (n - 1))
    draws = mean + math.sqrt(1 / n + test_to_train) * draws / chi
    first = draws == draws.max(axis=1, keepdims=True)
    shares = first / first.sum(axis=1, keepdims=True)  # equals divide the first place
    return np.asarray(shares.mean(axis=0))
