"""Sentences that claim no more than the trials show."""

import dataclasses
import itertools
import math
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from trials import noisy, trials_of

from leakyrelu._compare.data.task import TaskInfo
from leakyrelu._compare.metric import metric_named
from leakyrelu._compare.results import Results
from leakyrelu._compare.settings import make_settings
from leakyrelu._compare.trial import packed
from leakyrelu._report import sentences


def found_in(trials, metric="accuracy", rope=0.0):
    """Return the results of trials, a seed each of all activations."""
    specs = list(dict.fromkeys(trial.activation for trial in trials))
    seeds = len({trial.seed for trial in trials})
    settings = make_settings("abc", specs, seeds, 1, 0.01, depth=2, width=8)
    task = TaskInfo("own", metric_named(metric), 0.0, 1000, "", [])
    return Results(task, settings, trials, {}, Path("none"), rope)


def verdict_of(scores, **options):
    return sentences.verdict(found_in(trials_of(scores, **options)))


def test_a_real_difference_is_found():
    text = verdict_of({"relu": noisy(0.90, 1), "elu": noisy(0.95, 2)})
    assert text.startswith(
        "Best on these data: elu (95%). On these data, better than relu in accuracy: elu by "
    )
    assert "Use elu: on these data it is best with probability over 0.99." in text
    assert "For the source of the data, too, this difference holds." in text


def test_no_difference_is_a_proper_verdict():
    text = verdict_of({"relu": noisy(0.90, 1), "elu": noisy(0.90, 2)})
    assert re.match(
        r"Best on these data: (elu or relu|relu or elu) \(95%\)\. On these data, no detectable "
        r"difference from relu in accuracy, nor for their source \(10 paired seeds\)\. Use \w+: on "
        r"these data it is best with probability 0\.\d\d, and at worst \d\.\d points below the "
        r"best \(95%\)\.",
        text,
    )


def test_worse_is_said_and_the_better_stand_first():
    scores = {
        "relu": noisy(0.90, 1),
        "elu": noisy(0.95, 2),
        "silu": noisy(0.80, 3),
        "gelu": noisy(0.97, 4),
    }
    text = verdict_of(scores)
    assert text.index("gelu by") < text.index("elu by") < text.index("worse: silu by")
    only_worse = verdict_of({"relu": scores["relu"], "silu": scores["silu"]})
    assert "On these data, nothing is detectably better than relu" in only_worse
    assert only_worse.startswith("Best on these data: relu (95%).")


def test_by_how_much_is_the_interval():
    found = found_in(trials_of({"relu": noisy(0.90, 1), "elu": noisy(0.95, 2)}))
    elu = next(c for c in found.candidates if c.activation == "elu")
    low, high = elu.difference.interval
    text = f"elu by {100 * low:.1f} to {100 * high:.1f} points"
    assert text in sentences.verdict(found)
    turned = found_in(trials_of({"elu": noisy(0.95, 2), "relu": noisy(0.90, 1)}))
    assert text in sentences.verdict(turned)


def test_a_claim_that_later_seeds_did_not_repeat_says_how_many_it_rests_on():
    """Decided by the 10 seeds that were planned; 10 more leave it, but would not decide it."""
    wave = np.tile([0.01, -0.01], 10)
    scores = {"relu": [0.8] * 20, "elu": (0.8 + 0.02 * (np.arange(20) < 10) + wave).tolist()}
    ten = found_in(trials_of({spec: each[:10] for spec, each in scores.items()}))
    assert "(10 paired seeds)" in sentences.verdict(ten)
    found = found_in(trials_of(scores))
    added = dataclasses.replace(found.settings, asked=(10, 20))
    found = Results(found.task, added, found.histories(), {}, Path("none"))
    elu = next(c for c in found.candidates if c.activation == "elu")
    assert (elu.verdict, elu.difference.trainings, len(elu.trials)) == ("better", 10, 20)
    assert "points (10 paired seeds)" in sentences.verdict(found)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_of_those_that_tie_the_one_that_is_more_likely_the_best_is_first_and_to_be_used(order):
    """Means of right answers of 60 are equal but for rounding."""
    right = {
        "relu": [46, 38, 29, 37, 40, 32, 34, 40, 37, 38],
        "leaky_relu:0.01": [45, 40, 30, 35, 40, 34, 34, 41, 36, 36],
        "leaky_relu:0.011": [44, 40, 30, 36, 40, 34, 34, 41, 36, 35],
    }
    names = [list(right)[place] for place in order]
    trials = [
        dataclasses.replace(
            t, results=packed(range(60), np.arange(60) < right[t.activation][t.seed], 60)
        )
        for t in trials_of({name: [count / 60 for count in right[name]] for name in names})
    ]
    found = found_in(trials)
    likeliest = max(found.candidates, key=lambda c: c.probability_best)
    assert likeliest.activation == "relu"
    assert found.recommended == found.candidates[0] == likeliest


def test_what_holds_for_the_source_is_told_apart():
    """A difference that is clear on these data by a hair: for the source it is not."""
    differences = np.linspace(-1, 1, 10)
    differences *= 0.01 / differences.std(ddof=1)
    reach = stats.t.ppf(1 - 0.05 * 0.8 / 2, 9) * 0.01 / math.sqrt(10)
    found, text = found_for(1.02 * reach + differences)
    assert (found.verdict, found.source.verdict) == ("better", "undecided")
    assert "For the source of the data, nothing is decided." in text
    assert text.count("these data") >= 3


def test_of_many_that_may_be_best_the_others_are_named():
    scores = {
        spec: noisy(0.9, i) for i, spec in enumerate(("relu", "elu", "gelu", "silu", "prelu"))
    }
    assert verdict_of(scores).startswith("Best on these data: any of the 5 (95%).")
    scores["rrelu"] = noisy(0.5, 9)
    assert verdict_of(scores).startswith("Best on these data: any but rrelu (95%).")


def test_nobody_can_be_further_below_the_best_than_scores_go():
    found = found_in(trials_of({"relu": [0.1, 0.9], "elu": [0.9, 0.3]}))
    assert found.regret == 1
    assert "at worst 100.0 points below the best" in sentences.verdict(found)


def test_one_seed_claims_nothing():
    text = verdict_of({"relu": [0.5], "elu": [0.9]})
    assert text.startswith("One seed can't show a difference")
    assert "elu had the highest score." in text


def test_dead_units_are_told_for_relu_only():
    scores = {"relu": noisy(0.9, 1), "leaky_relu:0.1": noisy(0.9, 2)}
    text = verdict_of(scores, never_fired=0.25)
    assert "25.0% of relu's units ended dead (12.5% were born dead)" in text
    del scores["relu"]
    assert "dead" not in verdict_of({**scores, "elu": noisy(0.9, 1)}, never_fired=0.25)


def test_seeds_of_who_was_dropped_are_told():
    scores = {"relu": noisy(0.90, 1), "silu": noisy(0.80, 3, n=5), "elu": noisy(0.91, 2)}
    assert "(5 to 10 paired seeds" in verdict_of(scores)


def test_all_diverged():
    scores = {"relu": noisy(0.9, 1), "elu": [math.nan] * 10}
    assert "elu diverged with some seed at every learning rate" in verdict_of(scores)
    scores = {"relu": [math.nan] * 10, "elu": noisy(0.9, 1)}
    assert verdict_of(scores).startswith(
        "Nothing can be said about differences from relu, which diverged"
    )


def found_for(differences, rope=0.0, base=0.9):
    scores = {
        "relu": [base] * len(differences),
        "elu": [base + difference for difference in differences],
    }
    found = found_in(trials_of(scores), rope=rope)
    elu = next(c for c in found.candidates if c.activation == "elu")
    return elu, sentences.verdict(found)


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


def test_nobody_is_left():
    scores = {"relu": noisy(0.9, 1), "elu": [math.nan] * 10}
    assert verdict_of(scores).startswith("Nothing is left to compare with relu. ")


def undefined(trials, *lost):
    """Take the scores from trials of these activations and seeds."""
    nothing = {"test_score": math.nan, "undefined": True}
    return [
        dataclasses.replace(t, **nothing) if (t.activation, t.seed) in lost else t for t in trials
    ]


def test_what_is_undefined_is_not_said_to_have_diverged():
    trials = trials_of({"relu": noisy(0.9, 1, 5), "elu": noisy(0.9, 2, 5)})
    text = sentences.verdict(found_in(undefined(trials, ("elu", 3)), "auc"))
    assert "auc of elu is undefined at every learning rate" in text
    found = found_in(undefined(trials, ("relu", 3)), "auc")
    text = sentences.verdict(found)
    assert text.startswith(
        "Nothing can be said about differences from relu, whose auc is undefined"
    )
    assert "diverged" not in text
    (note,) = [note for note in sentences.notes(found) if "undefined" in note]
    assert "relu at 0.01 (seed 3)" in note
    assert "not divergence" in note


@pytest.mark.parametrize(
    ("metric", "why"),
    [
        ("R²", "targets are all the same"),
        ("roc_auc", "lacks a class"),
        ("mine", "no finite number"),
    ],
)
def test_seeds_without_a_score_are_left_out_and_noted(metric, why):
    scores = {"relu": noisy(0.9, 1, 5), "elu": noisy(0.8, 2, 5)}
    found = found_in(undefined(trials_of(scores), ("relu", 3), ("elu", 3)), metric)
    assert [len(c.trials) for c in found.candidates] == [4, 4]
    assert found.candidates[1].verdict == "worse"
    (note,) = [note for note in sentences.notes(found) if "undefined" in note]
    assert why in note
    assert "the test part of seed 3: these seeds are left out" in note
    lost = [(spec, seed) for spec in scores for seed in range(1, 5)]
    text = sentences.verdict(found_in(undefined(trials_of(scores), *lost), metric))
    assert text.startswith("One seed can't show a difference")


def test_of_what_diverged_or_trained_nothing_is_undefined():
    found = found_in(trials_of({"relu": [0.5, math.nan], "elu": [0.5, 0.5]}), "auc")
    assert not any("undefined" in note for note in sentences.notes(found))
