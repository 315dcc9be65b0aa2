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


@pytest.mark.parametrize("n", [20, 23, 60, 101])
@pytest.mark.parametrize("kind", ["classes", "numbers", "rare class"])
def test_five_seeds_test_and_validate_each_example(n, kind):
    rng = np.random.default_rng(n)
    y = {"classes": rng.integers(0, 3, n), "numbers": rng.normal(size=n)}.get(kind)
    if y is None:
        y = (np.arange(n) < 2).astype(int)
    task = load_task((np.arange(float(n)), y))
    for repeat in (0, 3):
        splits = [task.split(5 * repeat + fold) for fold in range(5)]
        size = -(-n // 5)
        for split in splits:
            parts = (split.train, split.validation, split.test)
            assert [len(part) for part in parts] == [n - 2 * size, size, size]
            assert sorted(np.concatenate(parts)) == list(range(n))
        for part in ("validation", "test"):
            times = np.bincount(np.concatenate([getattr(s, part) for s in splits]), minlength=n)
            assert times.min() >= 1
            assert times.sum() == 5 * size
        if kind == "classes":
            for number in range(3):
                share = (y == number).sum() / 5
                for split in splits:
                    assert abs((y[split.test] == number).sum() - share) <= 1.6
    assert not np.array_equal(task.split(0).test, task.split(5).test)


def test_what_is_looked_at_of_training_has_all_classes():
    """The first examples of the training part, of data sorted by class."""
    y = np.repeat(np.arange(4), 250)
    first = load_task((np.arange(1000.0), y)).split(0).train[:100]
    assert np.bincount(y[first]).min() >= 15


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
