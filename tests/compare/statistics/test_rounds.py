"""Rounds of seeds: who goes on, that stopping and resuming change nothing, and what is claimed."""

import dataclasses
import math
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from leakyrelu._compare.settings import make_settings
from leakyrelu._compare.statistics import crossed
from leakyrelu._compare.statistics.candidates import candidates as found_by
from leakyrelu._compare.statistics.crossed import Claim, Difference
from leakyrelu._compare.statistics.evidence import Evidence
from leakyrelu._compare.statistics.rounds import seeds_to_decide, wanted
from leakyrelu._compare.trial import Trial, packed

EIGHT = ["relu", "leaky_relu:0.1", "leaky_relu:0.2", "prelu", "rrelu", "elu", "gelu", "silu"]


def settings_for(specs, seeds=10, rates=(0.01,)):
    return make_settings("abc", specs, seeds, 1, rates, depth=2, width=8)


def trial_of(key, test_score, validation_score=0.5):
    """Make a trial that has the same result for all test examples: only seeds count."""
    results = packed([0, 1], [test_score] * 2, 2)
    return Trial(*key, validation_score, test_score, 1.0, [], [], results=results)


def candidates(settings, trials, score_step=0.0, rope=0.0):
    return found_by(Evidence(settings, trials, score_step), rope)


def asked(settings, *seeds):
    """Return the settings of an experiment of which more and more seeds were asked for."""
    return dataclasses.replace(settings, seeds=tuple(range(seeds[-1])), asked=seeds)


def run(settings, train, score_step=0.0, rope=0.0):
    """Run an experiment to its end; return its trials, and the keys of each round."""
    trials, rounds = [], []
    while keys := wanted(settings, trials, score_step, rope):
        rounds.append(keys)
        trials += [train(key) for key in keys]
    return trials, rounds


def around(means, spread=0.01, seed=0):
    """Return a trainer whose scores are near the mean of their activation."""
    draws = np.random.default_rng(seed).standard_normal((len(means), 1000))
    of = {spec: mean + spread * draws[row] for row, (spec, mean) in enumerate(means.items())}
    return lambda key: trial_of(key, of[key[0]][key[2]], validation_score=-key[1])


@pytest.mark.parametrize("seeds", [1, 2])
def test_one_or_two_seeds_are_one_round_at_every_rate(seeds):
    settings = settings_for(["relu", "elu"], seeds, (0.01, 0.1))
    trials, rounds = run(settings, around({"relu": 0.9, "elu": 0.9}))
    assert len(rounds) == 1
    assert len({trial.key for trial in trials}) == len(trials) == settings.trials


def test_later_rounds_train_at_the_chosen_rate():
    settings = settings_for(["relu", "elu"], 10, (0.001, 0.01, 0.1))
    best = {"relu": 0.01, "elu": 0.1}
    rng = np.random.default_rng(0)

    def train(key):
        spec, rate, _ = key
        return trial_of(key, rng.standard_normal(), 0.9 if rate == best[spec] else 0.8)

    _, (first, second, third) = run(settings, train)
    assert sorted(first) == sorted(
        (spec, rate, seed) for spec in best for rate in (0.001, 0.01, 0.1) for seed in range(2)
    )
    assert sorted(second) == sorted((*item, seed) for item in best.items() for seed in range(2, 5))
    assert sorted(third) == sorted((*item, seed) for item in best.items() for seed in range(5, 10))


def test_a_rate_is_dropped_by_the_paired_t_test():
    """After 2 seeds, and after 5."""
    rng = np.random.default_rng(1)
    for _ in range(20):
        scores = {rate: rng.normal(0.02 * (rate == 0.1), 0.02, 10) for rate in (0.01, 0.1)}
        settings = settings_for(["relu", "elu"], 10, (0.01, 0.1))

        def train(key, scores=scores):
            return trial_of(key, 0.5, scores[key[1]][key[2]])

        trials, _ = run(settings, train)
        kept = {0.01, 0.1}
        for race in (2, 5):
            own = [scores[rate][:race] for rate in (0.01, 0.1)]
            worse = (0.01, 0.1)[int(np.mean(own[0]) > np.mean(own[1]))]
            if len(kept) == 2 and stats.ttest_rel(*own).pvalue / 2 < 0.1:
                kept.discard(worse)
        last = {t.learning_rate for t in trials if t.seed == 9}
        assert last == kept


def test_rates_that_may_be_the_best_go_on_and_all_seeds_choose():
    settings = settings_for(["relu", "elu"], 10, (0.001, 0.01, 0.1))
    # Of the last two, one is ahead after five seeds and the other after ten.
    scores = {
        0.001: np.zeros(10),
        0.01: np.tile([0.9, 0.7], 5),
        0.1: np.array([0.8, 0.8, 0.8, 0.7, 0.8, 0.9, 0.9, 0.9, 0.9, 0.9]),
    }

    def train(key):
        return trial_of(key, key[2] / 100, scores[key[1]][key[2]])

    trials, (_, _, third) = run(settings, train)
    assert {key[1] for key in third} == {0.01, 0.1}
    assert [c.learning_rate for c in candidates(settings, trials)] == [0.1, 0.1]
    half = [trial for trial in trials if trial.seed < 5]
    assert [c.learning_rate for c in candidates(settings, half)] == [0.01, 0.01]


def test_a_claim_stays_though_the_reference_changes_its_rate():
    settings = settings_for(["relu", "elu", "gelu"], 10, (0.01, 0.1))
    validation = {  # the first is ahead after five seeds, the second after ten
        0.01: np.tile([0.9, 0.7], 5),
        0.1: np.array([0.8, 0.8, 0.8, 0.7, 0.8, 0.9, 0.9, 0.9, 0.9, 0.9]),
    }
    noise = 0.01 * np.random.default_rng(0).standard_normal((3, 10))

    def train(key):
        spec, rate, seed = key
        mean = {"relu": 0.9 if rate == 0.01 else 0.5, "elu": 0.5, "gelu": 0.9}[spec]
        score = mean + noise[settings.activations.index(spec), seed]
        return trial_of(key, score, validation[rate][seed])

    relu, elu, _ = candidates(settings, run(settings, train)[0])
    assert (relu.learning_rate, len(relu.trials)) == (0.1, 10)
    assert (elu.verdict, len(elu.trials)) == ("worse", 5)


def test_who_is_surely_worse_gets_no_more_seeds():
    settings = settings_for(["relu", "silu", "elu", "gelu"], 20)
    train = around({"relu": 0.9, "silu": 0.5, "elu": 0.9, "gelu": 0.905})
    _, rounds = run(settings, train)
    assert {key[0] for key in rounds[0]} == {"relu", "silu", "elu", "gelu"}
    assert {key[0] for key in rounds[1]} == {"relu", "elu", "gelu"}
    assert min(key[2] for key in rounds[1]) == 5


def test_it_ends_when_only_the_reference_is_left():
    settings = settings_for(["relu", "silu", "elu"], 20)
    _, rounds = run(settings, around({"relu": 0.9, "silu": 0.5, "elu": 0.6}))
    assert len(rounds) == 1


def test_it_ends_when_the_best_is_known_and_all_is_decided():
    settings = settings_for(["relu", "silu", "elu"], 20)
    trials, rounds = run(settings, around({"relu": 0.5, "silu": 0.7, "elu": 0.9}))
    assert len(rounds) == 1
    assert [c.verdict for c in candidates(settings, trials)] == [None, "better", "better"]


def test_the_best_is_looked_for_to_the_end():
    settings = settings_for(["relu", "silu", "elu"], 20)
    to_and_fro = np.tile([0.01, -0.01], 10)  # who is best of silu and elu changes

    def train(key):
        spec, _, seed = key
        return trial_of(key, {"relu": 0.5, "silu": 0.9 + to_and_fro[seed], "elu": 0.9}[spec])

    _, rounds = run(settings, train)
    assert {key[0] for key in rounds[-1]} == {"relu", "silu", "elu"}
    assert max(key[2] for key in rounds[-1]) == 19


def test_what_is_undecided_goes_on_though_it_is_not_the_best():
    settings = settings_for(["relu", "silu", "elu"], 20)
    differences = np.tile([0.01, 0.03], 10)  # of silu: clear with 20 seeds, not with 5

    def train(key):
        spec, _, seed = key
        return trial_of(key, {"relu": 0.5, "silu": 0.5 + differences[seed], "elu": 0.9}[spec])

    trials, rounds = run(settings, train)
    assert "silu" in {key[0] for key in rounds[1]}
    assert candidates(settings, trials)[1].verdict == "better"


def test_differences_that_do_not_matter_are_not_followed():
    settings = settings_for(["relu", "elu"], 40)
    means = {"relu": 0.9, "elu": 0.9}
    assert len(run(settings, around(means, 0.001), rope=0.05)[1]) == 1
    trials, rounds = run(settings, around(means, 0.001))
    assert len(rounds) == 4
    assert candidates(settings, trials, rope=0.05)[1].verdict == "equivalent"


def test_a_rate_that_diverges_later_is_ruled_out():
    settings = settings_for(["relu", "elu"], 10, (0.01, 0.1))
    train = around({"relu": 0.9, "elu": 0.9})

    def train_or_diverge(key):
        if key == ("elu", 0.01, 7):  # of the chosen rate, in the second round
            return trial_of(key, math.nan, math.nan)
        return train(key)

    trials, rounds = run(settings, train_or_diverge)
    assert rounds[3] == [("elu", 0.1, seed) for seed in range(2, 10)]
    relu, elu = candidates(settings, trials)
    assert (relu.learning_rate, elu.learning_rate) == (0.01, 0.1)
    assert len(elu.trials) == 10


@pytest.mark.parametrize("lost", ["elu", "relu"])
def test_who_diverges_at_every_rate_is_out(lost):
    settings = settings_for(["relu", "elu", "gelu"], 10, (0.01, 0.1))
    train = around({"relu": 0.9, "elu": 0.9, "gelu": 0.9}, seed=1)

    def train_or_diverge(key):
        return trial_of(key, math.nan, math.nan) if key[0] == lost and key[2] > 2 else train(key)

    trials, rounds = run(settings, train_or_diverge)
    # The best of the others is looked for, also where there is no reference to compare with.
    assert {key[0] for key in rounds[-1]} == {"relu", "elu", "gelu"} - {lost}
    found = {c.activation: c for c in candidates(settings, trials)}
    assert found[lost].diverged
    assert found["gelu"].probability_best > 0


def test_all_diverge():
    settings = settings_for(["relu", "elu"], 10)
    _, rounds = run(settings, lambda key: trial_of(key, math.nan, math.nan))
    assert len(rounds) == 1


def without_scores(key):
    return dataclasses.replace(trial_of(key, math.nan, math.nan), undefined=True)


def test_seeds_whose_examples_give_no_score_are_left_out():
    settings = settings_for(["relu", "elu", "gelu"], 20, (0.01, 0.1))
    train = around({"relu": 0.9, "elu": 0.9, "gelu": 0.8})
    missing = {1, 3, 12}
    trials, rounds = run(settings, lambda k: without_scores(k) if k[2] in missing else train(k))
    assert max(key[2] for key in rounds[-1]) == 19
    for found in candidates(settings, trials):
        assert found.lost is None
        seeds = [t.seed for t in found.trials]
        assert seeds == [seed for seed in range(max(seeds) + 1) if seed not in missing]
        assert found.score.mean == pytest.approx(np.mean([t.test_score for t in found.trials]))
    assert candidates(settings, trials)[2].verdict == "worse"


@pytest.mark.parametrize("missing", [{0}, {0, 1}, {0, 1, 2}, {1, 2, 3, 4}])
def test_rates_are_not_out_where_the_first_seeds_give_no_network_a_score(missing):
    settings = settings_for(["relu", "elu"], 10, (0.01, 0.1))
    train = around({"relu": 0.9, "elu": 0.8})
    trials, _ = run(settings, lambda k: without_scores(k) if k[2] in missing else train(k))
    for found in candidates(settings, trials):
        assert found.lost is None
        seeds = [t.seed for t in found.trials]
        assert seeds == [seed for seed in range(max(seeds) + 1) if seed not in missing]
    assert candidates(settings, trials)[1].verdict == "worse"


@pytest.mark.parametrize("lost", ["elu", "relu"])
def test_a_score_that_is_missing_beside_others_of_its_seed_is_no_seed_to_leave_out(lost):
    settings = settings_for(["relu", "elu", "gelu"], 10, (0.01, 0.1))
    train = around({"relu": 0.9, "elu": 0.9, "gelu": 0.9}, seed=1)

    def train_or_fail(rates):
        return lambda k: without_scores(k) if k[:2] in rates and k[2] == 2 else train(k)

    trials, _ = run(settings, train_or_fail({(lost, 0.01)}))
    found = {c.activation: c for c in candidates(settings, trials)}
    assert found[lost].learning_rate == 0.1
    trials, rounds = run(settings, train_or_fail({(lost, 0.01), (lost, 0.1)}))
    assert lost not in {key[0] for key in rounds[-1]}
    found = {c.activation: c for c in candidates(settings, trials)}
    assert (found[lost].lost, found[lost].diverged) == ("undefined", False)


def test_where_no_score_is_defined_it_ends():
    settings = settings_for(["relu", "elu"], 10)
    trials, rounds = run(settings, without_scores)
    assert len(rounds) == 1
    assert [c.lost for c in candidates(settings, trials)] == ["undefined", "undefined"]


@pytest.mark.parametrize("seed", range(20))
def test_stopped_anywhere_it_goes_on_as_it_would_have(seed):
    """Trials are stored in any order, some are of rounds to come, some diverge or have no score."""
    rng = np.random.default_rng(seed)
    settings = settings_for(EIGHT[:5], 20, (0.01, 0.1))
    spread = rng.uniform(0.001, 0.05)
    scores = 0.9 + rng.choice([0.0, 0.05], (5, 1, 1)) + spread * rng.standard_normal((5, 2, 20))
    scores[rng.random(scores.shape) < 0.02] = math.nan
    left_out = set(np.flatnonzero(rng.random(20) < 0.1).tolist())

    def train(key):
        score = scores[EIGHT.index(key[0]), int(key[1] == 0.1), key[2]]
        if math.isfinite(score) and key[2] in left_out:
            return without_scores(key)
        return trial_of(key, score, score)

    expected, _ = run(settings, train)
    stored = []
    while keys := wanted(settings, stored, 0.0):
        assert not {trial.key for trial in stored} & set(keys)
        few = rng.choice(len(keys), min(len(keys), 7), replace=False)
        stored += [train(keys[i]) for i in few]
        rng.shuffle(stored)
    found = candidates(settings, stored)
    for one, other in zip(found, candidates(settings, expected), strict=True):
        assert [t.key for t in one.trials] == [t.key for t in other.trials]
        assert one.difference == other.difference
        assert one.probability_best == other.probability_best


def test_trials_of_rounds_to_come_change_nothing():
    settings = settings_for(["relu", "silu", "elu"], 10)
    train = around({"relu": 0.9, "silu": 0.5, "elu": 0.9})
    trials, (first, second) = run(settings, train)
    assert "silu" not in {key[0] for key in second}
    early = [train(key) for key in [*first, second[-1]]]
    assert wanted(settings, early, 0.0) == second[:-1]
    assert wanted(settings, [*trials, train(("silu", 0.01, 9))], 0.0) == []


def test_seeds_that_are_added_later_are_as_if_the_looks_had_been_there():
    """10, then 20, then 40 seeds: the same trials and claims as 40 of an experiment of 10."""
    settings = settings_for(EIGHT[:4], 10, (0.01, 0.1))
    means = dict(zip(EIGHT[:4], (0.9, 0.905, 0.91, 0.93), strict=True))
    train = around(means, 0.02)
    whole, _ = run(asked(settings, 10, 40), train)
    stored = []
    for steps in ((10,), (10, 20), (10, 20, 40)):
        own = asked(settings, *steps)
        while keys := wanted(own, stored, 0.0):
            stored += [train(key) for key in keys]
    assert {t.key for t in stored} == {t.key for t in whole}
    one, other = (candidates(asked(settings, 10, *rest), whole) for rest in ((40,), (20, 40)))
    assert one == other
    # By the looks at 5, 10, 20 and 40 seeds, written out.
    known = Evidence(asked(settings, 10, 40), whole)
    each = []
    for look in (5, 10, 20, 40):
        scores = {}
        for spec in settings.activations[1:]:
            if known.last_look(spec) >= look:
                pairs = zip(known.at(spec, look), known.at(settings.reference, look), strict=True)
                own = np.float32([(a.test_score, b.test_score) for a, b in pairs]).astype(float)
                scores[spec] = own[:, 0] - own[:, 1]
        least = np.mean([values.var(ddof=1) for values in scores.values()]) / 2
        found = {
            spec: Difference(
                values.mean(), math.sqrt(max(values.var(ddof=1), least) / look), look - 1
            )
            for spec, values in scores.items()
        }
        each.append((look, found))
    expected = crossed.decide(each, 3, 10)
    for candidate in one[1:]:
        claim = expected[candidate.activation]
        assert candidate.difference.verdict == claim.verdict
        assert candidate.difference.interval == pytest.approx(claim.interval, abs=1e-6)


@pytest.mark.parametrize("steps", [(10, 11, 12, 13, 14), (10, 13, 20), (20, 12), (5, 7, 9, 33)])
def test_all_looks_of_who_adds_a_few_seeds_at_a_time_share_five_per_cent(steps):
    settings = settings_for(["relu", "elu"], 10)
    spent = []
    for count in range(1, len(steps) + 1):
        known = Evidence(asked(settings, *steps[:count]), [])
        assert steps[count - 1] in known.looks
        assert sum(known.shares.values()) <= 1 + 1e-12
        spent.append(known.shares)
    for before, after in pairwise(spent):
        for look in set(before) & set(after):
            if look <= min(steps):
                assert after[look] <= before[look]


@pytest.mark.parametrize("step", [0.0, 1 / 30])
@pytest.mark.parametrize("seeds", [2, 10])
def test_false_claims_stay_under_five_per_cent(seeds, step):
    """No activation is better; seeds are added while nothing is claimed."""
    rng = np.random.default_rng(0)
    specs = EIGHT[:5]
    settings = settings_for(specs, seeds)
    experiments, claims = 50, 0
    for _ in range(experiments):
        values = 0.9 + 0.01 * rng.standard_normal((len(specs), 2 * seeds))
        if step:  # few test examples: many scores are equal
            values = step * np.round(values / step)
        of = dict(zip(specs, values, strict=True))
        trials = []
        for own in (settings, asked(settings, seeds, 2 * seeds)):
            while keys := wanted(own, trials, step):
                trials += [trial_of(key, of[key[0]][key[2]]) for key in keys]
            found = candidates(own, trials, step)
            is_claimed = any(c.verdict in ("better", "worse") for c in found)
            if is_claimed:
                break
        claims += is_claimed
    # As many false claims as a rate of 5% makes by chance, but no more.
    assert stats.binomtest(claims, experiments, 0.05, alternative="greater").pvalue > 0.001


def test_as_many_seeds_as_are_said_would_decide():
    now = Claim(Difference(0.01, 0.007, 9.0, floor=0.002**2), 0.02, "undecided", 10)
    needed = seeds_to_decide(now, 2, [10])
    for seeds, decides in ((needed, True), (needed - 1, False)):
        looks = crossed.looks(seeds, [10, seeds])
        level = 0.05 * crossed.shares(looks, 10)[-1] / 2
        error = math.sqrt(0.002**2 + (0.007**2 - 0.002**2) * 10 / seeds)
        assert (stats.t.ppf(1 - level / 2, seeds - 1) * error < 0.01) == decides
    assert seeds_to_decide(now, 2, [10], rope=0.5) == 11  # equivalent at once
    never = Claim(Difference(0.01, 0.02, 9.0, floor=0.019**2), 0.02, "undecided", 10)
    assert seeds_to_decide(never, 2, [10]) is None


# --- Experiments of earlier versions -------------------------------------------------------------


def test_an_experiment_of_an_earlier_version_is_read_as_it_was_told():
    """Seeds 5, 10, 20 with shares of 1/16, 3/16 and 3/4, and the corrected t interval."""
    settings = dataclasses.replace(settings_for(["relu", "silu", "elu"], 20, (0.01, 0.1)), asked=())
    settings = dataclasses.replace(settings, protocol=3)
    rng = np.random.default_rng(0)
    trials = [
        Trial(spec, rate, seed, 0.5 - rate, mean + 0.01 * rng.standard_normal(), 1.0, [], [])
        for spec, mean, seeds in (("relu", 0.9, 20), ("silu", 0.7, 5), ("elu", 0.9, 20))
        for rate in (0.01, 0.1)
        for seed in range(seeds if rate == 0.01 else 5)
    ]
    assert wanted(settings, trials, 0.0) == []
    relu, silu, elu = candidates(settings, trials)
    assert [len(c.trials) for c in (relu, silu, elu)] == [20, 5, 20]
    assert (silu.verdict, silu.dropped, elu.verdict) == ("worse", True, "undecided")
    values = [b.test_score - a.test_score for a, b in zip(relu.trials, elu.trials, strict=True)]
    error = np.std(values, ddof=1) * math.sqrt(1 / 20 + 1 / 3)
    reach = stats.t.ppf(1 - 0.05 * 0.75 / 2 / (2 - 1), 19) * error
    assert elu.difference.reach == pytest.approx(reach)
    assert elu.source.interval == pytest.approx(elu.difference.interval, rel=0.05)
