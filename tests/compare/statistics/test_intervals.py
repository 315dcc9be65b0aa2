"""Intervals of scores of seeds alone, with the formula of Nadeau and Bengio written out."""

import math

import numpy as np
import pytest
from scipy import stats

from leakyrelu._compare.statistics.intervals import corrected, looks_before, shares_before


def test_the_interval_is_that_of_nadeau_and_bengio():
    values = np.random.default_rng(0).standard_normal(12)
    found = corrected(values)
    error = values.std(ddof=1) * math.sqrt(1 / 12 + 0.2 / 0.6)
    assert (found.mean, found.error) == pytest.approx((values.mean(), error))
    expected = stats.t.interval(0.99, 11, values.mean(), error)
    assert found.interval(0.01) == pytest.approx(expected)


def test_no_number_of_seeds_gets_below_what_splits_share():
    found = corrected(np.random.default_rng(0).standard_normal(2000))
    assert found.floor == pytest.approx(found.error**2, rel=0.01)


def test_scores_in_steps_are_not_sure():
    assert corrected([0.5] * 4, step=0.1).error == pytest.approx(0.1 * math.sqrt(7 / 12 / 6))
    assert corrected([0.5] * 4).error == 0


def test_one_seed_gives_no_interval():
    found = corrected([0.5])
    assert found.mean == 0.5
    assert math.isnan(found.error)


@pytest.mark.parametrize("most", [1, 4, 7, 10, 20, 40, 100])
def test_the_looks_of_earlier_versions_share_five_per_cent(most):
    assert looks_before(most)[-1] == most
    assert sum(shares_before(most)) == pytest.approx(1)
    assert len(shares_before(most)) == len(looks_before(most))
