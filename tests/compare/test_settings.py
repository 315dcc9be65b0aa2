"""Settings are checked, and every trial is in exactly one batch."""

import numpy as np
import pytest

from leakyrelu._compare.settings import Settings, batches, make_settings
from leakyrelu.activations import parse


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


@pytest.mark.parametrize("most", [1, 5, 64])
@pytest.mark.parametrize("seeds", [1, 3, 41])
def test_batches_hold_each_trial_once(seeds, most):
    keys = [(spec, rate, seed) for seed in range(seeds) for rate in (0.1, 0.01) for spec in "ab"]
    keys = [(parse({"a": "relu", "b": "elu"}[spec]), rate, seed) for spec, rate, seed in keys]
    found = batches(keys, most)
    each = [
        (batch.activation, rate, seed)
        for batch in found
        for rate, seed in zip(batch.learning_rates, batch.seeds, strict=True)
    ]
    assert sorted(each) == sorted(keys)
    assert max(map(len, found)) <= most
    assert min(map(len, found)) >= max(map(len, found)) // 2
    assert all(list(b.learning_rates) == sorted(b.learning_rates) for b in found)


def test_a_network_of_the_user_has_its_own_shape():
    own = settings(depth=None, width=None, model="nets:make")
    assert (own.network, own.depth) == ("nets:make", None)
    assert settings().network == "2 hidden layers of 8 units"
    with pytest.raises(ValueError, match="depth and width are for the built-in network"):
        settings(model="nets:make")


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
        ({"seeds": [-1]}, "whole numbers from 0 to"),
        ({"seeds": [2**32]}, "whole numbers from 0 to"),
        ({"seeds": 2.0}, "whole numbers from 0 to"),
        ({"activations": None}, "activations is None, but should be a list of two or more"),
        ({"activations": 5}, "activations is 5, but should be a list of two or more"),
        ({"epochs": "3"}, "epochs is '3', but must be a whole number"),
        ({"learning_rates": "fast"}, "positive numbers"),
        ({"activations": ["relu"]}, "needs two or more"),
        ({"activations": "relu"}, "needs two or more"),
        ({"activations": ["relu", "leaky_rely"]}, "did you mean 'leaky_relu'"),
        ({"activations": ["prelu", "prelu:0.25"]}, "activation prelu was given twice"),
        ({"depth": 0}, "depth is 0"),
        ({"depth": 2.5}, "must be a whole number"),
        ({"width": -1}, "width is -1"),
        ({"epochs": 0}, "epochs is 0"),
        ({"batch_size": 0}, "batch size is 0"),
        ({"learning_rates": 0.0}, "positive numbers"),
        ({"learning_rates": (float("nan"),)}, "positive numbers"),
        ({"learning_rates": ()}, "at least one"),
    ],
)
def test_bad_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        settings(**changes)
