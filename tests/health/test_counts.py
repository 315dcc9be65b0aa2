"""Counting against a loop over examples and units."""

import numpy as np
import pytest
import torch

from leakyrelu.health._counts import FiringCounts


def by_hand(pre_activation):
    """Count, in loops, fired and fired-everywhere of an array (examples, units, positions)."""
    fired = [[row.max() > 0 for row in example] for example in pre_activation]
    everywhere = [[row.min() > 0 for row in example] for example in pre_activation]
    return np.sum(fired, axis=0), np.sum(everywhere, axis=0)


@pytest.mark.parametrize("batches", [1, 4])
def test_convolution(batches):
    x = np.random.default_rng(0).normal(-1, 1, (20, 5, 3, 2))
    counts = FiringCounts()
    for batch in np.array_split(x, batches):
        counts.update(torch.tensor(batch))
    fired, everywhere = by_hand(x.reshape(20, 5, 6))
    assert counts.fired.tolist() == fired.tolist()
    assert counts.fired_everywhere.tolist() == everywhere.tolist()
    assert counts.examples == 20
    assert counts.rate.tolist() == pytest.approx(fired / 20)


def test_sequence_with_features_last():
    x = np.random.default_rng(0).normal(-1, 1, (20, 7, 3))
    counts = FiringCounts(unit_axes=-1)
    counts.update(torch.tensor(x))
    assert counts.fired.tolist() == by_hand(x.transpose(0, 2, 1))[0].tolist()


def test_stack_of_networks():
    x = np.random.default_rng(0).normal(-1, 1, (2, 20, 3))
    counts = FiringCounts(unit_axes=(0, 2), example_axis=1)
    counts.update(torch.tensor(x))
    assert counts.fired.tolist() == (x > 0).sum(axis=1).tolist()


def test_states():
    x = torch.tensor([[-1.0, 0.0, 1.0, -1.0], [-2.0, -0.0, 2.0, 1.0]])
    counts = FiringCounts()
    counts.update(x)
    assert counts.never_fired.tolist() == [True, True, False, False]
    assert counts.always_on.tolist() == [False, False, True, False]


def test_nan_is_told_and_not_called_dead():
    counts = FiringCounts()
    counts.update(torch.tensor([[float("nan"), -1.0, float("inf")]]))
    counts.update(torch.tensor([[-1.0, -1.0, float("-inf")]]))
    assert counts.has_nan.tolist() == [True, False, False]
    assert counts.never_fired.tolist() == [False, True, False]


def test_infinities_that_cancel_are_no_nan():
    counts = FiringCounts()
    counts.update(torch.tensor([[float("inf"), float("-inf")]]))
    assert not counts.has_nan.any()
