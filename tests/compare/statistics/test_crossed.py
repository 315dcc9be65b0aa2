"""Differences of trainings that share test examples."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from leakyrelu._compare.statistics.crossed import (
    BLOCKS,
    Difference,
    choose,
    compared,
    decide,
    influence,
    least_spread,
    looks,
    probability_best,
    share_at,
    shares,
)


def folded(rng, trainings, examples):
    """Return which examples each training tests, in repeated 5-fold splits."""
    tested = np.zeros((trainings, examples), bool)
    for training in range(trainings):
        if training % 5 == 0:
            fold = rng.permutation(examples) % 5
        tested[training] = fold == training % 5
    return tested


def drawn(rng, trainings, examples, of_examples, of_trainings, of_cells, tested):
    values = (
        of_examples * rng.standard_normal(examples)
        + of_trainings * rng.standard_normal((trainings, 1))
        + of_cells * rng.standard_normal((trainings, examples))
    )
    return np.where(tested, values, np.nan)


@pytest.mark.parametrize("parts", [(1, 0.3, 1), (0.2, 1, 0.2), (2, 0.1, 0.5)])
@pytest.mark.parametrize("complete", [True, False])
def test_the_error_is_that_of_crossed_random_effects(parts, complete):
    rng = np.random.default_rng(0)
    trainings, examples = 20, 60
    tested = np.ones((20, 60), bool) if complete else folded(rng, 20, 60)
    found = [compared(drawn(rng, 20, 60, *parts, tested)) for _ in range(600)]
    a, b, c = (part**2 for part in parts)
    exact = a / examples + b / trainings + c / tested.sum()
    assert np.var([d.mean for d in found]) == pytest.approx(exact, rel=0.2)
    assert np.mean([d.error**2 for d in found]) == pytest.approx(exact, rel=0.1)


def test_of_trainings_alone_it_is_the_t_test():
    each = np.random.default_rng(0).standard_normal(8)
    found = compared(np.repeat(each[:, None], 5, axis=1))  # all examples alike
    low, high = stats.t.interval(0.95, 7, each.mean(), stats.sem(each))
    assert found.interval(0.05) == pytest.approx((low, high))
    assert found.p_value() == pytest.approx(stats.ttest_1samp(each, 0).pvalue)


def test_of_examples_alone_it_is_the_t_test_over_examples():
    each = np.random.default_rng(0).standard_normal(50)
    found = compared(np.repeat(each[None], 9, axis=0))  # all trainings alike
    assert found.p_value() == pytest.approx(stats.ttest_1samp(each, 0).pvalue)


def test_neither_order_nor_missing_columns_matter():
    rng = np.random.default_rng(0)
    tested = folded(rng, 10, 40)
    table = drawn(rng, 10, 40, 1, 1, 1, tested)
    wider = np.column_stack([table[:, ::-1], np.full(10, np.nan)])[::-1]
    first, second = compared(table), compared(wider)
    assert (first.mean, first.error, first.freedom) == pytest.approx(
        (second.mean, second.error, second.freedom)
    )
    turned = compared(-table)
    assert (turned.mean, turned.error) == pytest.approx((-first.mean, first.error))


def test_examples_that_belong_together_count_as_one():
    rng = np.random.default_rng(0)
    few = rng.standard_normal((10, 12))
    copies = np.repeat(few, 6, axis=1)
    together = compared(copies, examples=np.repeat(np.arange(12), 6))
    assert together.error == pytest.approx(compared(few).error)
    assert together.freedom == pytest.approx(compared(few).freedom)
    assert compared(copies).error < together.error


@pytest.mark.parametrize("complete", [True, False])
def test_groups_in_which_nothing_differs_count_as_well(complete):
    tested = np.ones((5, 30), bool) if complete else folded(np.random.default_rng(1), 5, 30)
    table = np.where(tested, 0.0, np.nan)
    for place, value in ((0, 1.0), (7, -1.0)):  # so that the mean is 0, as most cells are
        table[tested[:, place], place] = value
    alone, groups = compared(table), compared(table, examples=np.arange(30))
    assert (groups.error, groups.freedom) == pytest.approx((alone.error, alone.freedom))


def test_equal_scores_in_steps_are_not_sure():
    same = compared(np.zeros((10, 24)), step=1 / 24)
    assert same.error == pytest.approx(1 / 24 / math.sqrt(60))
    assert same.verdict(0.05) == "undecided"
    assert compared(np.zeros((10, 24))).p_value() == 1.0


def test_one_training_decides_nothing():
    found = compared(np.ones((1, 10)))
    assert math.isnan(found.error)
    assert found.verdict(0.05) == "undecided"
    assert decide([(1, {"elu": found})], 1, 1)["elu"].verdict == "undecided"


@pytest.mark.parametrize("planned", [1, 3, 5, 7, 10, 20, 33, 1000])
def test_shares_of_all_looks_add_up_to_one_at_most(planned):
    before = [planned / 2**k for k in range(1, 30)]
    after = [planned * 2**k for k in range(1, 30)]
    assert sum(share_at(n, planned) for n in [*before, planned, *after]) <= 1
    assert share_at(planned, planned) > 0.5


@pytest.mark.parametrize(("planned", "expected"), [(10, [5, 10]), (20, [5, 10, 20]), (7, [7])])
def test_looks_are_halves_of_what_was_planned(planned, expected):
    assert looks(planned) == looks(planned, [planned]) == expected
    assert looks(4 * planned, [planned]) == [*expected, 2 * planned, 4 * planned]
    assert shares(looks(planned), planned) == [share_at(n, planned) for n in expected]


@pytest.mark.parametrize("seed", range(20))
def test_shares_of_any_looks_add_up_to_one_at_most(seed):
    rng = np.random.default_rng(seed)
    asked = [int(rng.integers(1, 40)), *np.sort(rng.integers(1, 400, 30)).tolist()]
    each = looks(max(asked), asked)
    assert set(asked) <= set(each)
    found = shares(each, asked[0])
    assert sum(found) <= 1 + 1e-12
    assert min(found) > 0


@pytest.mark.parametrize("error", [0.1, 0.19])
def test_a_later_look_that_says_the_same_gives_the_interval(error):
    """Also a wider one: it is of all seeds, as the scores beside it are."""
    first, later = Difference(1.0, 0.2, 9.0), Difference(0.9, error, 19.0)
    found = decide([(10, {"a": first}), (20, {"a": later})], 1, 10)["a"]
    assert (found.verdict, found.trainings, found.mean) == ("better", 20, 0.9)
    assert found.level == pytest.approx(0.05 * 0.075)


def test_what_is_decided_leaves_the_others_more():
    clear, close = Difference(1.0, 0.1, 19.0), Difference(1.0, 0.37, 19.0)
    alone = decide([(20, {"close": close, "third": Difference(0.0, 1, 19)})], 3, 20)
    both = decide([(20, {"clear": clear, "close": close})], 3, 20)
    assert alone["close"].verdict == "undecided"
    assert both["close"].verdict == "better"
    assert both["close"].interval.low > 0


def test_a_claim_stays_what_it_was():
    clear, nothing = Difference(1.0, 0.1, 9.0), Difference(0.0, 1.0, 19.0)
    found = decide([(10, {"a": clear, "b": nothing}), (20, {"a": nothing, "b": nothing})], 2, 20)
    assert (found["a"].verdict, found["a"].trainings) == ("better", 10)
    assert (found["b"].verdict, found["b"].trainings) == ("undecided", 20)


@pytest.mark.parametrize(
    ("mean", "verdict"), [(3.0, "better"), (-3.0, "worse"), (0.0, "equivalent"), (1.0, "undecided")]
)
def test_verdict_and_p_value_agree(mean, verdict):
    difference = Difference(mean, 0.3, 30.0)
    assert difference.verdict(0.05, rope=1.0) == verdict
    for level in (0.3, 0.1, 0.05, 0.01, 0.0001):
        decided = difference.verdict(level, rope=1.0) != "undecided"
        assert decided == (difference.p_value(rope=1.0) < level)


def test_the_best_is_possible_and_the_regret_within_its_bound():
    rng = np.random.default_rng(0)
    truth = np.array([0.0, 0.5, 0.5, 0.8, -1.0])
    names = list("abcde")
    wrong = over = 0
    for _ in range(400):
        means = truth + 0.4 * rng.standard_normal(5)
        error = 0.4 * math.sqrt(2)

        def between(one, other, means=means, error=error):
            return Difference(means[names.index(one)] - means[names.index(other)], error, 1e6)

        choice = choose(names, between, lambda one, other: 0.05 / 4)
        wrong += "d" not in choice.possible
        over += truth.max() - truth[names.index(choice.name)] > choice.regret
    # Half of the 5% is left to claims that are made elsewhere.
    assert wrong <= 0.025 * 400
    assert over <= 0.025 * 400


def test_probabilities_of_two_are_those_of_their_difference():
    d = Difference(0.7, 0.5, 9.0)
    found = probability_best(["a", "b"], lambda one, other: d if one == "a" else _turned(d))
    assert found["a"] == pytest.approx(d.probability_above(), abs=0.01)


def _turned(d):
    return Difference(-d.mean, d.error, d.freedom)


def test_probabilities_are_those_of_correlated_candidates():
    # b and c are the same but for a little, a is independent of both
    names, error = ["a", "b", "c"], {"ab": 1.0, "ac": 1.0, "bc": 0.01}

    def between(one, other):
        return Difference(0.0, error["".join(sorted(one + other))], 1e6)

    found = probability_best(names, between)
    assert list(found.values()) == pytest.approx([0.5, 0.25, 0.25], abs=0.02)


def test_the_influence_on_a_mean_is_each_result():
    values = np.random.default_rng(0).standard_normal(30)
    assert influence(lambda kept: values[kept].mean(), np.arange(30)) == pytest.approx(values)


def test_the_influence_gives_the_error_of_a_score_that_is_no_mean():
    rng = np.random.default_rng(0)

    def score(pairs):
        return float(np.corrcoef(pairs.T)[0, 1])

    def pairs():
        x = rng.standard_normal((50, 1))
        return x + rng.standard_normal((50, 2))

    spread = np.std([score(pairs()) for _ in range(2000)])
    errors = []
    for _ in range(50):
        own = pairs()
        each = influence(lambda kept, own=own: score(own[kept]), np.arange(50))
        assert each.mean() == pytest.approx(score(own))
        errors.append(each.std(ddof=1) / math.sqrt(50))
    assert np.mean(errors) == pytest.approx(spread, rel=0.1)


def test_blocks_of_examples_are_the_same_in_all_trainings():
    rng = np.random.default_rng(0)
    values = rng.standard_normal(1000)
    for rows in (np.arange(0, 1000, 2), rng.permutation(1000)[:500]):
        own = values[rows]
        each = influence(lambda kept, own=own: own[kept].mean(), rows)
        for one, other in itertools.pairwise(sorted(range(500), key=lambda i: rows[i] % BLOCKS)):
            if rows[one] % BLOCKS == rows[other] % BLOCKS:
                assert each[one] == each[other]


@pytest.mark.parametrize(("trainings", "examples"), [(5, 120), (10, 120), (10, 40)])
def test_a_candidate_that_has_not_failed_yet_is_no_better(trainings, examples):
    """One training in ten of all but the reference fails; on average all are equal."""
    false = {"alone": 0, "together": 0}
    experiments = 60
    for number in range(experiments):
        rng = np.random.default_rng(number)
        tested = folded(rng, trainings, examples)
        failed = rng.random((8, trainings, 1)) < 0.1
        failed[0] = False
        values = 0.1 * np.arange(8).astype(bool)[:, None, None] - failed
        values = values + 0.05 * rng.standard_normal((8, trainings, 1))
        values = values + 0.2 * rng.standard_normal((8, trainings, examples))
        tables = np.where(tested, values[1:] - values[0], np.nan)
        least = least_spread(np.nanmean(tables, axis=2))
        for way, own in (("alone", 0.0), ("together", least)):
            each = {str(n): compared(table, least=own) for n, table in enumerate(tables)}
            claims = decide([(trainings, each)], 7, trainings)
            false[way] += any(claim.verdict != "undecided" for claim in claims.values())
    assert false["together"] <= 0.1 * experiments < false["alone"]


def test_a_spread_is_at_least_half_of_what_others_have():
    rng = np.random.default_rng(0)
    tables = rng.standard_normal((5, 10, 30)) * np.array([1, 1, 1, 0.01, 3])[:, None, None]
    scores = tables.mean(2)
    least = least_spread(scores)
    assert least == pytest.approx(scores.var(axis=1, ddof=1).mean() / 2)
    narrow, plain = compared(tables[3], least=least), compared(tables[3])
    assert narrow.mean == plain.mean
    assert narrow.error >= math.sqrt(least / 10) > plain.error
    assert compared(tables[4], least=least) == compared(tables[4])
