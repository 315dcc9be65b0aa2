"""Intervals against SciPy and by simulation; the sentence claims no more than they allow."""

import math

import numpy as np
import pytest
from scipy import stats

from leakyrelu.compare.plan import make_settings
from leakyrelu.compare.train import Checkpoint, Trial
from leakyrelu.compare.verdict import (
    TEST_TO_TRAIN,
    candidates,
    corrected_interval,
    probability_above,
    seeds_to_decide,
    sentence,
)


def settings_for(scores, rates=(0.01,)):
    seeds = len(next(iter(scores.values())))
    return make_settings("abc", list(scores), seeds, 2, 8, 1, rates)


def trials_of(scores, rate=0.01, never_fired=0.0, validation=None):
    return [
        Trial(
            spec,
            rate,
            seed,
            score if validation is None else validation,
            score,
            1.0,
            [
                Checkpoint(0, 0.1, score, [never_fired / 2]),
                Checkpoint(1, 0.1, score, [never_fired]),
            ],
        )
        for spec, each in scores.items()
        for seed, score in enumerate(each)
    ]


def verdict_of(scores, **options):
    settings = settings_for(scores)
    return sentence(settings, candidates(settings, trials_of(scores, **options)), "accuracy")


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
    found = corrected_interval([0.5], 1 / 3)
    assert found.mean == 0.5
    assert math.isnan(found.low)
    assert not found.above_zero
    assert not found.below_zero


@pytest.mark.parametrize("step", [0.0, 1 / 30])
@pytest.mark.parametrize("seeds", [2, 6])
def test_false_claims_stay_under_five_per_cent(seeds, step):
    """No activation is better, and splits overlap; a claim is a false one."""
    rng = np.random.default_rng(0)
    specs = ["relu", "leaky_relu:0.1", "leaky_relu:0.2", "prelu", "elu", "gelu", "silu"]
    experiments, claims = 1000, 0
    # Splits of one data set share examples, so an activation that suits them is favoured in
    # all of them: the correlation that Nadeau and Bengio correct for.
    shared = TEST_TO_TRAIN / (1 + TEST_TO_TRAIN)
    for _ in range(experiments):
        luck = math.sqrt(shared) * rng.standard_normal((len(specs), 1))
        noise = math.sqrt(1 - shared) * rng.standard_normal((len(specs), seeds))
        values = 0.9 + 0.01 * (luck + noise)
        if step:  # few test examples: many scores are equal
            values = step * np.round(values / step)
        scores = dict(zip(specs, values, strict=True))
        found = candidates(settings_for(scores), trials_of(scores), step)
        claims += any(
            c.difference.above_zero or c.difference.below_zero for c in found if c.difference
        )
    # As many false claims as a rate of 5% makes by chance, but no more.
    assert stats.binomtest(claims, experiments, 0.05, alternative="greater").pvalue > 0.001


def test_equal_differences_of_one_example_prove_nothing():
    scores = {"relu": [0.5, 0.6], "elu": [0.6, 0.7]}
    _, elu = candidates(settings_for(scores), trials_of(scores), score_step=0.1)
    assert not elu.difference.above_zero
    assert elu.difference.reach > 0.1


def test_a_real_difference_is_found():
    text = verdict_of({"relu": noisy(0.90, 1), "elu": noisy(0.95, 2)})
    assert text.startswith("elu (+")
    assert "is better than relu in accuracy" in text


def test_no_difference_is_a_proper_verdict():
    text = verdict_of({"relu": noisy(0.90, 1), "elu": noisy(0.90, 2)})
    assert text.startswith("No detectable difference to relu")


def test_worse_is_said_and_the_better_stand_first():
    scores = {
        "relu": noisy(0.90, 1),
        "elu": noisy(0.95, 2),
        "silu": noisy(0.80, 3),
        "gelu": noisy(0.97, 4),
    }
    text = verdict_of(scores)
    assert text.index("gelu") < text.index("elu (") < text.index("worse")
    only_worse = verdict_of({"relu": scores["relu"], "silu": scores["silu"]})
    assert only_worse.startswith("Nothing is detectably better than relu")


def test_one_seed_claims_nothing():
    text = verdict_of({"relu": [0.5], "elu": [0.9]})
    assert text.startswith("One seed shows no difference")


def test_dead_units_are_told_for_relu_only():
    scores = {"relu": noisy(0.9, 1), "leaky_relu:0.1": noisy(0.9, 2)}
    settings = settings_for(scores)
    relu, leaky = candidates(settings, trials_of(scores, never_fired=0.25))
    assert (relu.dead, relu.born_dead, relu.stuck_negative) == (0.25, 0.125, 0)
    assert (leaky.dead, leaky.born_dead, leaky.stuck_negative) == (0, 0, 0.25)
    text = verdict_of(scores, never_fired=0.25)
    assert "25.0% of relu's units ended dead (12.5% were born dead)" in text


def test_the_learning_rate_is_chosen_on_validation_data_alone():
    scores = {"relu": [0.5, 0.5], "elu": [0.5, 0.5]}
    better_on_test = {"relu": [0.9, 0.9], "elu": [0.9, 0.9]}
    trials = trials_of(scores, 0.1, validation=0.8) + trials_of(
        better_on_test, 0.01, validation=0.7
    )
    found = candidates(settings_for(scores, (0.01, 0.1)), trials)
    assert [c.learning_rate for c in found] == [0.1, 0.1]
    assert [c.score.mean for c in found] == [0.5, 0.5]


def test_a_diverged_seed_rules_its_learning_rate_out():
    scores = {"relu": [0.5, 0.5], "elu": [0.5, 0.5]}
    broken = {"relu": [0.9, math.nan], "elu": [0.9, math.nan]}
    settings = settings_for(scores, (0.01, 0.1))
    found = candidates(settings, trials_of(scores, 0.01) + trials_of(broken, 0.1))
    assert [c.learning_rate for c in found] == [0.01, 0.01]


def test_all_diverged():
    scores = {"relu": noisy(0.9, 1), "elu": [math.nan] * 10}
    assert "elu diverged at every learning rate" in verdict_of(scores)
    scores = {"relu": [math.nan] * 10, "elu": noisy(0.9, 1)}
    assert verdict_of(scores).startswith(
        "Nothing can be said of differences to relu, which diverged"
    )


def found_for(differences, rope=0.0, base=0.9):
    scores = {
        "relu": [base] * len(differences),
        "elu": [base + difference for difference in differences],
    }
    settings = settings_for(scores)
    found = candidates(settings, trials_of(scores), rope=rope)
    return found[1], sentence(settings, found, "accuracy", rope)


@pytest.mark.parametrize(
    ("mean", "rope", "word"),
    [
        (0.05, 0.0, "better"),
        (-0.05, 0.0, "worse"),
        (0.05, 0.03, "better"),
        (0.05, 0.05, "undecided"),
        (0.001, 0.0, "undecided"),
        (0.001, 0.02, "equivalent"),
        (0.05, 0.1, "equivalent"),
        (-0.05, 0.02, "worse"),
    ],
)
def test_what_matters_decides_the_word(mean, rope, word):
    differences = mean + 0.01 * np.linspace(-1, 1, 10)
    found, text = found_for(differences, rope)
    assert found.verdict == word
    assert ("equivalent" in text) == (word == "equivalent")
    if rope:
        assert f"differences up to {100 * rope:g} points count as none" in text


def test_the_probability_is_that_of_the_t_test():
    values = noisy(0.005, 1)
    one_sided = stats.ttest_1samp(values, 0, alternative="greater").pvalue
    assert probability_above(values, test_to_train=0) == pytest.approx(1 - one_sided)
    assert probability_above([-v for v in values], 0) == pytest.approx(one_sided)
    assert probability_above([0.0, 0.0], 0) == 0.5
    assert probability_above([0.1, 0.1], 0) == 1
    assert math.isnan(probability_above([0.1], 0))


def test_as_many_seeds_as_are_said_would_decide():
    values = np.array(noisy(0.004, 2, n=6))
    needed = seeds_to_decide(values, test_to_train=0)
    assert needed > 6
    mean, spread = values.mean(), values.std(ddof=1)
    for seeds, decides in ((needed, True), (needed - 1, False)):
        reach = stats.t.ppf(0.975, seeds - 1) * spread / math.sqrt(seeds)
        assert (abs(mean) > reach) == decides
    assert seeds_to_decide(values, TEST_TO_TRAIN, rope=0.5) == 7  # equivalent at once
    assert seeds_to_decide(0.1 * values - values.mean(), TEST_TO_TRAIN, rope=mean) is None
