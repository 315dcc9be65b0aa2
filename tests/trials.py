"""Trials that nobody had to train, for the tests of what is made of them."""

import numpy as np

from leakyrelu._compare.trial import Checkpoint, Trial, packed
from leakyrelu.activations import parse


def trials_of(scores, rate=0.01, never_fired=0.0, validation=None):
    """Return trials with the given test scores: a list for each activation, one a seed."""
    return [
        Trial(
            parse(spec),
            rate,
            seed,
            score if validation is None else validation,
            score,
            1.0,
            ["1"],
            [
                Checkpoint(0, 0.1, score, [never_fired / 2], [1.0, 1.0], []),
                Checkpoint(1, 0.1, score, [never_fired], [1.0, 1.0], []),
            ],
            results=packed([0, 1], [score] * 2, 2),  # all examples alike: only seeds count
        )
        for spec, each in scores.items()
        for seed, score in enumerate(each)
    ]


def noisy(mean, seed, n=10, spread=0.01):
    """Return scores about a mean, the same for the same seed."""
    return (mean + spread * np.random.default_rng(seed).standard_normal(n)).tolist()
