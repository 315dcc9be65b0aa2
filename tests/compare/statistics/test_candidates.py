"""Candidates of trials that are given."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from trials import noisy, trials_of

from leakyrelu._compare.settings import make_settings
from leakyrelu._compare.statistics.candidates import all_pairs, chosen
from leakyrelu._compare.statistics.candidates import candidates as found_by
from leakyrelu._compare.statistics.evidence import Evidence


def candidates(settings, trials, score_step=0.0, rope=0.0):
    return found_by(Evidence(settings, trials, score_step), rope)


def settings_for(scores, rates=(0.01,)):
    seeds = len(next(iter(scores.values())))
    return make_settings("abc", list(scores), seeds, 1, rates, depth=2, width=8)


def test_equal_differences_of_one_example_prove_nothing():
    scores = {"relu": [0.5, 0.6], "elu": [0.6, 0.7]}
    _, elu = candidates(settings_for(scores), trials_of(scores), score_step=0.1)
    assert elu.verdict == "undecided"
    assert elu.difference.reach > 0.1


def test_scores_that_repeat_are_coarse_though_nobody_said_so():
    """All are equal, and judged by the share of right answers of 30."""
    false = 0
    for seed in range(200):
        draws = np.random.default_rng(seed).binomial(30, 0.8, (4, 2)) / 30
        scores = dict(zip(("relu", "elu", "gelu", "silu"), draws.tolist(), strict=True))
        found = candidates(settings_for(scores), trials_of(scores))
        false += any(c.verdict in ("better", "worse") for c in found)
    assert false <= 0.05 * 200


def test_dead_units_are_told_for_relu_only():
    scores = {"relu": noisy(0.9, 1), "leaky_relu:0.1": noisy(0.9, 2)}
    settings = settings_for(scores)
    relu, leaky = candidates(settings, trials_of(scores, never_fired=0.25))
    assert (relu.dead, relu.born_dead, relu.stuck_negative) == (0.25, 0.125, 0)
    assert (leaky.dead, leaky.born_dead, leaky.stuck_negative) == (0, 0, 0.25)


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


def test_who_was_dropped_is_judged_by_the_seeds_it_has():
    scores = {
        "relu": noisy(0.90, 1),
        "silu": noisy(0.80, 3, n=5),
        "elu": noisy(0.91, 2),
    }
    settings = settings_for(scores)
    relu, silu, elu = candidates(settings, trials_of(scores))
    assert (relu.dropped, silu.dropped, elu.dropped) == (False, True, False)
    assert [len(c.trials) for c in (relu, silu, elu)] == [10, 5, 10]
    assert silu.difference.mean == pytest.approx(
        np.mean(scores["silu"]) - np.mean(scores["relu"][:5])
    )
    assert silu.verdict == "worse"
    assert silu.seeds_to_decide is None


def test_the_first_looks_have_wider_intervals():
    values = noisy(0.01, 1, n=5)
    found = []
    for most in (5, 10):
        scores = {"relu": [0.9] * most, "silu": [0.9 + value for value in values]}
        found.append(candidates(settings_for(scores), trials_of(scores))[1].difference)
    assert found[0].mean == pytest.approx(found[1].mean)
    assert found[0].reach < found[1].reach


def test_half_a_round_counts_for_nothing():
    scores = {"relu": noisy(0.90, 1), "elu": noisy(0.91, 2, n=7)}
    relu, elu = candidates(settings_for(scores), trials_of(scores))
    assert (len(relu.trials), len(elu.trials)) == (10, 5)


def test_a_rate_that_diverges_later_gives_way_to_the_next():
    scores = {"relu": noisy(0.90, 1), "elu": noisy(0.91, 2)}
    best = {spec: [*each[:9], math.nan] for spec, each in scores.items() if spec == "elu"}
    settings = settings_for(scores, (0.01, 0.1))
    trials = (
        trials_of(scores, 0.01, validation=0.8)
        + trials_of(best, 0.1, validation=0.9)
        + trials_of({"relu": scores["relu"][:5]}, 0.1, validation=0.7)
    )
    relu, elu = candidates(settings, trials)
    assert (relu.learning_rate, elu.learning_rate) == (0.01, 0.01)
    assert len(elu.trials) == 10


def test_an_unfinished_first_round_is_refused():
    scores = {"relu": noisy(0.90, 1), "elu": noisy(0.91, 2, n=3)}
    with pytest.raises(ValueError, match="3 trials of elu, fewer than its first round; run it"):
        candidates(settings_for(scores), trials_of(scores))


def test_probabilities_to_be_the_best_add_up_over_all_rounds():
    scores = {
        "relu": noisy(0.90, 1),
        "silu": noisy(0.80, 3, n=5),
        "elu": noisy(0.91, 2),
        "gelu": [math.nan] * 10,
    }
    relu, silu, elu, gelu = candidates(settings_for(scores), trials_of(scores))
    assert gelu.probability_best is None
    together = relu.probability_best + silu.probability_best + elu.probability_best
    assert together == pytest.approx(1)
    assert silu.probability_best < 0.001
    alone = {spec: scores[spec] for spec in ("relu", "elu")}
    _, other = candidates(settings_for(alone), trials_of(alone))
    assert elu.probability_best == pytest.approx(other.probability_best, abs=0.02)
    assert elu.probability_best == pytest.approx(elu.probability, abs=0.02)


def test_who_may_be_the_best_and_whom_to_use():
    scores = {
        "relu": noisy(0.90, 1),
        "silu": noisy(0.80, 3, n=5),
        "elu": noisy(0.95, 2),
        "gelu": noisy(0.951, 5),
    }
    known = Evidence(settings_for(scores), trials_of(scores))
    choice = chosen(known, found_by(known))
    assert set(choice.possible) == {"elu", "gelu"}
    ahead = max(("elu", "gelu"), key=lambda spec: np.mean(scores[spec]))
    other = {"elu": "gelu", "gelu": "elu"}[ahead]
    assert choice.name == ahead
    # Two-sided, of three claims, with the 80% of the planned look.
    d = np.subtract(scores[other], scores[ahead])
    reach = stats.t.ppf(1 - 0.05 * 0.8 / 3 / 2, 9) * stats.sem(d)
    assert choice.regret == pytest.approx(d.mean() + reach, abs=1e-6)
    assert chosen(Evidence(settings_for({"relu": [0.5], "elu": [0.9]}), []), []) is None


@settings(deadline=None)
@given(
    count=st.integers(2, 6),
    lost=st.integers(0, 1),
    seeds=st.sampled_from([3, 5, 10, 12]),
    spread=st.floats(0.0, 0.1),
    number=st.integers(0, 10_000),
)
def test_the_best_and_the_verdicts_agree(count, lost, seeds, spread, number):
    rng = np.random.default_rng(number)
    names = ["relu", "elu", "gelu", "silu", "prelu", "rrelu"][:count]
    level = rng.uniform(0.5, 0.5 + spread + 1e-9, count)
    scores = {
        name: list(mean + rng.uniform(0, 0.03) * rng.standard_normal(seeds))
        for name, mean in zip(names, level, strict=True)
    }
    for name in names[count - lost :]:
        scores[name] = [math.nan] * seeds
    known = Evidence(settings_for(scores), trials_of(scores))
    found = {c.activation: c for c in found_by(known)}
    possible = chosen(known, list(found.values())).possible
    verdicts = {name: found[name].verdict for name in names[1:]}
    # Nobody is called better than one that may be the best, nor is one worse that may be.
    assert "relu" not in possible or "better" not in verdicts.values()
    assert not any(verdicts.get(name) == "worse" for name in possible)
    # If the reference is ruled out, somebody is called better than it.
    assert "relu" in possible or "better" in verdicts.values()


def test_all_pairs_share_the_five_per_cent():
    scores = {"relu": noisy(0.90, 1), "elu": noisy(0.95, 2), "gelu": noisy(0.951, 5)}
    scores["silu"] = [math.nan] * 10
    known = Evidence(settings_for(scores), trials_of(scores))
    found = all_pairs(known, ["gelu", "elu", "relu"])
    assert [(p.first, p.second) for p in found] == [
        ("gelu", "elu"),
        ("gelu", "relu"),
        ("elu", "relu"),
    ]
    assert [p.difference.verdict for p in found] == ["undecided", "better", "better"]
    # Two of six are decided, the lost one's are counted.
    assert found[0].difference.level == pytest.approx(0.05 * 0.8 / 4)
    d = np.subtract(scores["gelu"], scores["elu"])
    expected = stats.t.interval(1 - 0.05 * 0.8 / 4, 9, d.mean(), stats.sem(d))
    assert found[0].difference.interval == pytest.approx(expected, abs=1e-6)
    wide = np.sqrt(stats.sem(d) ** 2 + 0.02 * d.var(ddof=1))
    assert found[0].source.difference.error == pytest.approx(wide, rel=1e-4)


def test_where_results_are_not_known_seeds_alone_count():
    scores = {"relu": noisy(0.90, 1), "elu": noisy(0.95, 2)}
    trials = trials_of(scores)
    trials[3] = dataclasses.replace(trials[3], results=b"")
    _, elu = candidates(settings_for(scores), trials)
    d = np.subtract(scores["elu"], scores["relu"])
    assert elu.difference.difference.error == pytest.approx(
        d.std(ddof=1) * math.sqrt(1 / 10 + 1 / 3)
    )
    assert elu.difference.difference == elu.source.difference


def test_one_seed_gives_no_probability():
    scores = {"relu": [0.5], "elu": [0.9]}
    relu, elu = candidates(settings_for(scores), trials_of(scores))
    assert relu.probability_best is None
    assert elu.probability_best is None
    assert elu.verdict == "undecided"
