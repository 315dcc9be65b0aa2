"""Experiments for the report that nobody had to train."""

from pathlib import Path

import numpy as np
import pytest

from leakyrelu._compare.data.task import TaskInfo
from leakyrelu._compare.metric import metric_named
from leakyrelu._compare.settings import make_settings
from leakyrelu._compare.trial import Checkpoint, Trial, packed
from leakyrelu._comparison.comparison import Comparison

LEAKY = [f"leaky_relu:{slope}" for slope in ("0.01", "0.02", "0.05", "0.1", "0.2", "0.3")]
MANY = ["relu", *LEAKY, "prelu", "prelu:0", "prelu:0.1", "rrelu", "elu", "elu:0.5", "gelu", "silu"]


def construct(activations, layers, seeds, name="digits", metric="accuracy"):
    """Make a comparison in which relu loses units and score, and the others differ by chance."""
    settings = make_settings("abc", activations, seeds, 30, (0.001, 0.01), depth=layers, width=32)
    task = TaskInfo(name, metric_named(metric), 1 / 360, 1797, "64 features, 10 classes", [])
    rng = np.random.default_rng(0)
    trials = []
    for spec in settings.activations:
        for rate in settings.learning_rates:
            for seed in settings.seeds:
                score = 0.9 + 0.01 * rng.normal() - 0.1 * (spec == "relu") - 3 * abs(rate - 0.01)
                history = [
                    Checkpoint(
                        epoch,
                        2.3 / (epoch + 1),
                        score * (1 - 0.9 / (epoch + 1)),
                        rng.uniform(0, 0.8 if spec == "relu" else 0.1, layers).tolist(),
                        np.geomspace(1e-5 if spec == "relu" else 0.1, 1, layers + 1).tolist(),
                        rng.uniform(0.1, 0.4, layers).tolist() if "prelu" in spec else [],
                    )
                    for epoch in range(0, 31, 3)
                ]
                names = [str(layer + 1) for layer in range(layers)]
                tested = np.arange(seed % 5, 1797, 5)
                right = rng.random(len(tested)) < score
                share = float(right.mean()) if metric == "accuracy" else score
                results = packed(tested, right if metric == "accuracy" else right + score, 1797)
                scores = score, share
                trials.append(
                    Trial(spec, rate, seed, *scores, 1.25, names, history, results=results)
                )
    environment = {"python": "3.11"}
    return Comparison(task, settings, trials, environment, Path("runs") / name)


@pytest.fixture(scope="session")
def large():
    """Return the largest comparison that is to be expected."""
    return construct(MANY, layers=24, seeds=20)


@pytest.fixture(scope="session")
def several():
    """Return experiments that have some activations in common."""
    digits = construct(["relu", "elu", "prelu"], 4, 4)
    return [digits, construct(["elu", "relu", "gelu"], 6, 8, name="prices", metric="R²")]
