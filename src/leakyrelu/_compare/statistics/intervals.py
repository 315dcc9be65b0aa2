"""What scores of seeds alone show, where results of each test example are not known.

Splits of different seeds are drawn from the same examples and overlap, so their scores are not
independent, and the plain t interval over seeds is too narrow. After Nadeau and Bengio's
corrected resampled t-test, the variance of a mean over ``n`` seeds is taken for
``(1/n + n_test/n_train)`` times the variance between seeds.

Experiments of earlier versions have nothing else, and are looked at as they were then.

References
----------
C. Nadeau and Y. Bengio, "Inference for the generalization error", Machine Learning 52,
2003.

K. K. G. Lan and D. L. DeMets, "Discrete sequential boundaries for clinical trials", Biometrika
70, 1983.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from leakyrelu._compare.data.task import TEST_SHARE, VALIDATION_SHARE
from leakyrelu._compare.statistics.crossed import Difference

__all__ = ["corrected", "looks_before", "shares_before"]

TEST_TO_TRAIN = TEST_SHARE / (1 - TEST_SHARE - VALIDATION_SHARE)


def corrected(
    values: npt.ArrayLike, step: float = 0.0, test_to_train: float = TEST_TO_TRAIN
) -> Difference:
    """Return the mean of one value a seed, with Nadeau and Bengio's error.

    Parameters
    ----------
    values : array_like, shape (n,)
        A score, or a paired difference, of each seed.
    step : float, default 0.0
        The scores come in steps of this size. Differences that are equal because they were
        rounded to the same step do not show that there is no noise, so the variance is taken
        for no less than rounding makes: ``step**2 / 6``.
    test_to_train : float, optional
        How many examples test for each that trains; by default as here.

    Examples
    --------
    >>> corrected([1.0, 2.0, 3.0])
    Difference(mean=2.0, error=0.816..., freedom=2.0)
    """
    each = np.asarray(values, dtype=np.float64)
    if each.size < 2:
        return Difference(float(each.mean()), math.nan, math.nan)
    variance = max(float(each.var(ddof=1)), step * step / 6)
    floor = test_to_train * variance
    error = math.sqrt(variance / each.size + floor)
    return Difference(float(each.mean()), error, float(each.size - 1), floor)


def looks_before(most: int) -> list[int]:
    """Return after how many seeds experiments of earlier versions were looked at.

    Examples
    --------
    >>> looks_before(20), looks_before(6)
    ([5, 10, 20], [6])
    """
    found = [most]
    while (half := math.ceil(found[0] / 2)) >= 4:
        found.insert(0, half)
    return found


def shares_before(most: int) -> list[float]:
    """Return the share of the 5% that each of these looks had.

    Examples
    --------
    >>> shares_before(20)
    [0.0625, 0.1875, 0.75]
    """
    return [(look**2 - before**2) / most**2 for before, look in pairwise([0, *looks_before(most)])]
