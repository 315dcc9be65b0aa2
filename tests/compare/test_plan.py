"""Settings are checked, and every trial is in exactly one batch."""

import numpy as np
import pytest

from leakyrelu.compare.plan import MOST_TRIALS_A_BATCH, Settings, make_settings


def settings(**changes):
    usual = {
        "data": "abc",
        "activations": ["relu", "elu"],
        "seeds": 3,
        "depth": 2,
        "width": 8,
        "epochs": 1,
        "learning_rates": (0.01, 0.1),
    }
    return make_settings(**{**usual, **changes})


@pytest.mark.parametrize("seeds", [1, 3, 41, 100])
def test_batches_hold_each_trial_once(seeds):
    plan = settings(seeds=seeds)
    batches = plan.batches(features=4, outputs=2)
    each = [
        (batch.activation.spec, rate, seed)
        for batch in batches
        for rate, seed in zip(batch.learning_rates, batch.seeds, strict=True)
    ]
    assert len(each) == len(set(each)) == plan.trials == 2 * 2 * seeds
    assert max(map(len, batches)) <= MOST_TRIALS_A_BATCH
    assert min(map(len, batches)) > max(map(len, batches)) // 2


def test_large_networks_are_trained_one_by_one():
    batches = settings(width=4096, depth=4).batches(features=100, outputs=2)
    assert {len(batch) for batch in batches} == {1}


def test_numpy_numbers_are_numbers():
    given = {"seeds": np.int64(3), "depth": np.int32(2), "learning_rates": np.float32(0.5)}
    expected = {"seeds": 3, "depth": 2, "learning_rates": 0.5}
    assert settings(**given).to_json() == settings(**expected).to_json()


def test_json_round_trip():
    plan = settings()
    assert Settings.from_json(plan.to_json()) == plan
    assert plan.fingerprint == settings().fingerprint != settings(epochs=2).fingerprint


def test_reference_is_relu_or_the_first():
    assert settings(activations=["elu", "relu"]).reference == "relu"
    assert settings(activations=["elu", "gelu"]).reference == "elu"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": 0}, "seeds is 0, but a comparison needs 1 or more"),
        ({"seeds": []}, "at least one"),
        ({"seeds": [1, 1]}, "seed 1 was given twice"),
        ({"seeds": [-1]}, "whole numbers from 0 up"),
        ({"activations": ["relu"]}, "needs two or more"),
        ({"activations": "relu"}, "needs two or more"),
        ({"activations": ["relu", "leaky_rely"]}, "did you mean 'leaky_relu'"),
        ({"activations": ["prelu", "prelu:0.25"]}, "activation prelu was given twice"),
        ({"depth": 0}, "depth is 0"),
        ({"depth": 2.5}, "must be a whole number"),
        ({"width": -1}, "width is -1"),
        ({"epochs": 0}, "epochs is 0"),
        ({"learning_rates": 0.0}, "positive numbers"),
        ({"learning_rates": (float("nan"),)}, "positive numbers"),
        ({"learning_rates": ()}, "at least one"),
    ],
)
def test_bad_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        settings(**changes)
