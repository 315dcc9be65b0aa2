"""Each seed splits the examples three ways, by class where that is possible."""

import functools

import numpy as np
import pytest
import torch

from leakyrelu._compare.data.table_task import load_task
from leakyrelu._compare.data.task import Task, left_out_by


def test_a_trial_part_is_split_by_class():
    task = load_task()
    split = task.split(seed=3)
    parts = [split.train, split.validation, split.test]
    assert sorted(np.concatenate(parts)) == list(range(1797))
    assert [len(part) for part in parts] == [1077, 360, 360]
    shares = [np.bincount(task.y[part]) / len(part) for part in parts]
    assert np.ptp(shares, axis=0).max() < 0.01
    assert not np.array_equal(split.test, task.split(seed=4).test)


def test_rare_classes_are_split_at_random_and_that_is_said():
    task = load_task((np.arange(60.0), np.array([0] * 57 + [1] * 3)))
    assert len(task.split(0).test) == 12
    assert any("too rare" in note for note in task.notes)


def test_a_score_step_is_one_test_example():
    for n in (101, 60, 1797):
        task = load_task((np.arange(float(n)), np.arange(n) % 2))
        assert task.score_step == 1 / len(task.split(0).test)
    assert load_task((np.arange(60.0), np.arange(60.0))).score_step == 0


def test_each_position_of_an_output_is_a_step_of_the_score():
    y = np.zeros((100, 7), dtype=np.int64)
    assert Task("own", "classification", y, y, ["0"], is_table=False).score_step == 1 / (20 * 7)


def test_info_says_what_is_learned():
    def loss_of_mine(outputs, targets):
        return outputs.sum()

    assert load_task().info.description == "64 features, 10 classes"
    X = np.zeros((30, 1, 8, 8), dtype=np.float32)
    task = Task("own", "custom", X, X[:, 0, 0], is_table=False, loss=loss_of_mine)
    assert task.info.description == "inputs of 1 x 8 x 8, loss loss_of_mine"
    assert (task.info.metric.name, task.info.examples) == ("minus the loss", 30)
    assert task.split(0).train.shape == (18,)


def test_fingerprint_is_that_of_the_data():
    X, y = np.arange(60.0), np.arange(60) % 2
    task = load_task((X, y))
    assert task.fingerprint == load_task((X.copy(), y.copy())).fingerprint
    assert task.fingerprint != load_task((X[::-1], y)).fingerprint
    assert task.fingerprint != load_task((X, y), kind="regression").fingerprint


@pytest.mark.parametrize(
    ("loss", "number"),
    [
        (None, -100),
        (torch.nn.functional.cross_entropy, -100),
        (torch.nn.NLLLoss(ignore_index=255), 255),
        (functools.partial(torch.nn.functional.cross_entropy, ignore_index=0), 0),
        (type("Own", (), {"ignore_index": None})(), -100),
    ],
)
def test_which_class_a_loss_leaves_out(loss, number):
    assert left_out_by(loss) == number
