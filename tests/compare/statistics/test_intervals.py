"""Intervals and probabilities against SciPy and by simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from leakyrelu._compare.statistics.intervals import (
    corrected_interval,
    mean_and_variance,
    probability_above,
    probability_best,
)


def noisy(mean, seed, n=10, spread=0.01):
    return (mean + spread * np.random.default_rng(seed).standard_normal(n)).tolist()


def test_without_overlap_the_interval_is_the_t_interval():
    values = noisy(0.9, 0)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    found = corrected_interval(values, test_to_train=0)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_overlap_widens_the_interval_as_nadeau_and_bengio_say():
    values = noisy(0.9, 0)
    plain, corrected = (corrected_interval(values, ratio).reach for ratio in (0, 1 / 3))
    assert corrected / plain == pytest.approx(math.sqrt((1 / 10 + 1 / 3) / (1 / 10)))


def test_one_seed_gives_no_interval():
    found = corrected_interval([0.5])
    assert found.mean == 0.5
    assert math.isnan(found.low)
    assert found.verdict() == "undecided"


def test_variance_is_no_less_than_rounding_makes():
    rng = np.random.default_rng(0)
    exact = rng.uniform(0, 1, (2, 100_000))
    of_rounding = np.subtract(*(np.round(10 * exact) / 10 - exact)).var()
    assert mean_and_variance([0.1, 0.1], step=0.1)[1] == pytest.approx(of_rounding, rel=0.02)


def test_the_probability_is_that_of_the_t_test():
    values = noisy(0.005, 1)
    one_sided = stats.ttest_1samp(values, 0, alternative="greater").pvalue
    assert probability_above(values, test_to_train=0) == pytest.approx(1 - one_sided)
    assert probability_above([-v for v in values], 0) == pytest.approx(one_sided)
    assert probability_above([0.0, 0.0], 0) == 0.5
    assert probability_above([0.1, 0.1], 0) == 1
    assert math.isnan(probability_above([0.1], 0))


@pytest.mark.parametrize("n", [2, 5, 20])
def test_of_two_the_best_is_who_is_above(n):
    scores = np.transpose([noisy(0.9, 1, n), noisy(0.903, 2, n)])
    above = probability_above(scores[:, 1] - scores[:, 0])
    assert probability_best(scores) == pytest.approx([1 - above, above], abs=0.015)


def test_the_best_of_many_is_found_by_chance_as_often_as_is_said():
    """True means drawn from a flat prior, so to speak: the said probabilities are then right."""
    rng = np.random.default_rng(0)
    said, was = [], []
    for _ in range(300):
        means = rng.uniform(-5, 5, 4)
        scores = means + rng.standard_normal((6, 4))
        said.append(probability_best(scores, test_to_train=0))
        was.append(means == means.max())
    said, was = np.ravel(said), np.ravel(was)
    for low, high in ((0.02, 0.3), (0.3, 0.7), (0.7, 0.98)):
        chosen = (said > low) & (said < high)
        spread = math.sqrt((said * (1 - said))[chosen].sum()) / chosen.sum()
        assert abs(was[chosen].mean() - said[chosen].mean()) < 4 * spread


def test_of_more_candidates_than_seeds_nobody_near_is_ruled_out():
    rng = np.random.default_rng(0)
    ruled_out = 0
    for _ in range(200):
        means = rng.normal(0, 0.5, 12)
        scores = means + rng.standard_normal((5, 12))
        ruled_out += probability_best(scores)[means.argmax()] == 0
    assert ruled_out <= 1  # 7, were the covariance of the few seeds taken as it is


def test_equals_share_the_first_place():
    scores = np.array([[0.5, 0.5, 0.1], [0.7, 0.7, 0.3]])
    assert probability_best(scores).tolist() == [0.5, 0.5, 0]
    assert np.isnan(probability_best(scores[:1])).all()
    # One test example more, for each of two seeds, is no proof.
    assert probability_best([[0.5, 0.6], [0.5, 0.6]], step=0.1)[1] < 0.98
