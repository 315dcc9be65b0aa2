"""Reasons that the data support, and where there are none, that it is said."""

import dataclasses
import math

import pytest

from leakyrelu._compare.results import Results
from leakyrelu._compare.settings import make_settings
from leakyrelu._compare.statistics.candidates import Candidate, Estimate
from leakyrelu._compare.statistics.crossed import Claim, Difference
from leakyrelu._compare.trial import Checkpoint, Trial
from leakyrelu._report.why import explain
from leakyrelu.activations import parse

NOTHING = Estimate(math.nan, math.nan, math.nan)
NAMES = [str(layer) for layer in range(1, 11)]


def candidate(spec, verdict=None, silent=0.0, first=1.0, seeds=4, slopes=None, names=NAMES):
    """Make one of which the last two layers are silent, all the same for all seeds."""
    by_layer = [0.0] * (len(names) - 2) + [silent * len(names) / 2] * 2
    begun = [0.25] * len(slopes) if slopes else []
    trials = [
        Trial(
            parse(spec),
            0.01,
            seed,
            0.9,
            0.9,
            1.0,
            list(names),
            [
                Checkpoint(0, 2.0, 0.1, [s / 2 for s in by_layer], [first, 1.0], begun),
                Checkpoint(9, 0.1, 0.9, by_layer, [1.0, 1.0], slopes or []),
            ],
        )
        for seed in range(seeds)
    ]
    claim = verdict and Claim(Difference(0.0, 1.0, 1.0), 0.05, verdict, seeds)
    return Candidate(parse(spec), 0.01, trials, NOTHING, claim, claim, 1.0)


def told(*candidates):
    found = Results.__new__(Results)  # of candidates that no trial has made
    found.candidates = list(candidates)
    specs = [*(c.activation for c in candidates), "silu"]
    found.settings = make_settings("", specs, 1, 1, 0.01, depth=1, width=1)
    return explain(found)


def test_dead_units_are_a_reason():
    first, *_ = told(candidate("elu", "better"), candidate("relu", silent=0.16))
    assert first == (
        "elu is better than relu on these data. What sets it apart: 16.0% of relu's units were "
        "dead at the end, at least half of these in layer 9 (8.0% before training), of elu's none."
    )


def test_a_gradient_that_vanishes_is_a_reason():
    first, *_ = told(candidate("elu", "better", first=0.5), candidate("relu", first=1 / 900))
    assert first == (
        "elu is better than relu on these data. What sets it apart: before training the gradient "
        "at relu's first weights was 1/900 of that at its last, at elu's 0.5."
    )


def test_so_it_is_for_the_worse():
    first, *_ = told(candidate("elu", "worse", silent=0.2, first=1e-4), candidate("relu"))
    assert first == (
        "elu is worse than relu on these data. What sets it apart: 20.0% of elu's units were stuck "
        "negative at the end, at least half of these in layer 9 (10.0% before training), of relu's "
        "none; before training the gradient at elu's first weights was 1/10,000 of that at its "
        "last, at relu's 1."
    )


def test_no_reason_is_said_to_be_none():
    first, *_ = told(candidate("elu", "better"), candidate("relu", silent=0.04, first=0.2))
    assert first == "elu is better than relu on these data, but no health metric sets it apart."


def test_what_speaks_against_it_is_told():
    first, *_ = told(candidate("elu", "better", silent=0.3), candidate("relu"))
    assert first.startswith(
        "elu is better than relu on these data, but no health metric explains it. "
        "Against it: 30.0% of elu's units were stuck negative"
    )
    first, *_ = told(candidate("elu", "worse"), candidate("relu", silent=0.3, first=1e-3))
    assert "but no health metric explains it" in first
    assert "; before training" in first


@pytest.mark.parametrize("verdict", ["undecided", "equivalent"])
def test_where_nothing_differs_nothing_is_explained(verdict):
    first, *_ = told(candidate("elu", verdict), candidate("relu", silent=0.3))
    assert first == (
        "No activation is known to be better or worse than relu: there is nothing to explain."
    )


def test_diverged_activations_have_no_reason():
    lost = Candidate("relu", math.nan, [], NOTHING, None, None, 1.0)
    nothing = "There is nothing to explain: relu diverged, so nothing could be compared."
    assert told(candidate("elu"), lost)[0] == nothing
    assert told(lost) == [nothing]
    others = Candidate("elu", math.nan, [], NOTHING, None, None, 1.0)
    assert told(candidate("relu"), others)[0].startswith("There is nothing to explain: the others")


def test_what_too_few_networks_cannot_tell_is_not_said_to_be_chance():
    def last(seeds):
        candidates = [candidate("elu"), candidate("relu")]
        for c in candidates:
            (first, end), *_ = [trial.history for trial in c.trials]
            c.trials[:] = [
                Trial(
                    **{
                        **vars(c.trials[0]),
                        "seed": seed,
                        "test_score": 0.9 + (seed * 7 % 5) / 100,
                        "history": [first, dataclasses.replace(end, never_fired=[seed / 10] * 10)],
                    }
                )
                for seed in range(seeds)
            ]
        return told(*candidates)[-1]

    assert last(5).startswith("Too few networks to tell")
    assert last(8).startswith("No health metric correlates with the score beyond chance")


def test_layers_with_names_of_their_own():
    names = ["stem", "block.1", "block.2", "head.1", "head.2"]
    first, *_ = told(
        candidate("elu", "better", names=names), candidate("relu", silent=0.3, names=names)
    )
    assert "at least half of these in head.1 (" in first


def test_slopes_are_told_by_layer():
    slopes = [0.3, 0.1, *[0.25] * 7, 0.5]
    _, second, _ = told(candidate("prelu", slopes=slopes), candidate("relu"))
    assert second == (
        "prelu's slopes began at 0.25 and ended between 0.10 (layer 2) and 0.50 (layer 10), "
        "0.27 on average."
    )
    _, second, _ = told(candidate("prelu", slopes=[0.1, 0.3]), candidate("relu"))
    assert "between 0.10 (PReLU 1) and 0.30 (PReLU 2)" in second


def test_correlations_are_told_with_their_number_and_the_caution():
    candidates = []
    for number in range(8):
        c = candidate(f"leaky_relu:0.{number}", silent=number / 20)
        trials = [Trial(**{**vars(t), "test_score": 0.9 - number / 20}) for t in c.trials]
        candidates.append(Candidate(c.activation, 0.01, trials, NOTHING, None, None, 1.0))
    last = told(*candidates)[-1]
    assert "silent units at the end -1.00 across activations (8 activations)" in last
    assert last.endswith("Correlation does not prove a cause.")
