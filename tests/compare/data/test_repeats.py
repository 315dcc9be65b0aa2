"""Examples that belong together stay in one part of each split; all others are split as ever."""

import dataclasses
import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Subset, TensorDataset

from leakyrelu._compare.data.repeats import alike, grouped_split, joined
from leakyrelu._compare.data.table_task import load_task
from leakyrelu._compare.data.tensor_task import tensor_task


def same(one, other):
    """Whether two numberings divide alike: each pair of rows, written out."""
    return all(
        (one[i] == one[j]) == (other[i] == other[j])
        for i, j in itertools.combinations(range(len(one)), 2)
    )


@given(st.lists(st.sampled_from([0.0, -0.0, 1.0, np.nan, np.inf]), min_size=2, max_size=30))
def test_rows_of_the_same_values_are_alike(values):
    X = np.array(values, np.float32)[:, None]
    expected = pd.factorize(np.array([str(v + 0) for v in values]))[0]
    found = alike(X)
    if len(set(expected)) == len(values):
        assert found is None
    else:
        assert same(found, expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float16, np.float64, bool])
def test_alike_in_any_dtype_and_shape(dtype):
    X = np.random.default_rng(0).integers(0, 2, (5000, 2, 3)).astype(dtype)
    expected = np.unique(X.reshape(5000, -1), axis=0, return_inverse=True)[1]
    assert len(np.unique(alike(X))) == len(np.unique(expected)) == 64
    assert len(set(zip(alike(X), expected.ravel(), strict=True))) == 64


@given(st.data(), st.integers(2, 30))
def test_joined_groups_are_what_can_be_reached(data, rows):
    one, other = (
        np.array(data.draw(st.lists(st.integers(0, 9), min_size=rows, max_size=rows)))
        for _ in range(2)
    )
    reached = (one[:, None] == one) | (other[:, None] == other)
    for _ in range(rows):
        reached = (reached.astype(int) @ reached.astype(int)) > 0
    assert same(joined(one, other), reached.argmax(1))
    assert joined(one, None) is one
    assert joined(None, other) is other


@settings(deadline=None, max_examples=50)
@given(st.integers(60, 400), st.integers(1, 6), st.integers(0, 9), st.booleans())
def test_a_group_is_in_one_part_and_parts_have_their_sizes(rows, most, seed, has_classes):
    rng = np.random.default_rng(rows)
    sizes = rng.integers(1, most + 1, rows)
    groups = rng.permutation(np.repeat(np.arange(rows), sizes)[:rows])
    groups = np.unique(groups, return_inverse=True)[1]
    labels = groups % 3 if has_classes else None
    size = -(-rows // 5)
    parts = grouped_split(groups, labels, size, seed)
    assert [len(part) for part in parts] == [rows - 2 * size, size, size]
    assert sum(len(np.unique(groups[part])) for part in parts) == len(
        np.unique(groups[np.concatenate(parts)])
    )
    again = grouped_split(groups, labels, size, seed)
    assert all(np.array_equal(a, b) for a, b in zip(parts, again, strict=True))
    left_out = rows - len(np.unique(np.concatenate(parts)))
    assert left_out <= 2 * (most - 1)


def test_classes_come_in_their_shares():
    groups = np.repeat(np.arange(200), 5)
    labels = (groups % 10 == 0).astype(np.int64)
    for seed in range(5):
        for part in grouped_split(groups, labels, 200, seed):
            assert labels[part].mean() == pytest.approx(0.1, abs=0.03)
            assert len(np.unique(part)) == len(part)


def test_what_has_no_repeats_is_split_example_by_example():
    rng = np.random.default_rng(0)
    task = load_task((rng.normal(size=(200, 3)), rng.integers(0, 2, 200)))
    assert task.groups is None
    tested = np.concatenate([task.split(seed).test for seed in range(5)])
    assert sorted(tested) == list(range(200))


def repeated(times=5, rows=60):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(rows, 3)), rng.integers(0, 2, rows)
    order = rng.permutation(np.repeat(np.arange(rows), times))
    return X[order].astype(np.float32), y[order], order


def tasks():
    X, y, _ = repeated()
    pairs = TensorDataset(torch.tensor(X), torch.tensor(y))
    frame = pd.DataFrame(X, columns=list("abc")).assign(y=y)
    yield load_task((X, y))
    yield load_task(frame, "y")
    yield tensor_task((torch.tensor(X), y))
    yield tensor_task(pairs)
    yield tensor_task(DataLoader(Subset(pairs, range(300))))


@pytest.mark.parametrize(
    "task", list(tasks()), ids=["arrays", "table", "tensors", "data set", "subset"]
)
def test_rows_that_are_alike_stay_together(task):
    order = repeated()[2]
    for seed in range(3):
        parts = [set(order[part]) for part in dataclasses.astuple(task.split(seed))]
        assert len(set.union(*parts)) == sum(map(len, parts)) == 60
    assert any("300 of 300" in note and "stay in one part" in note for note in task.notes)


def test_labels_of_noise_are_not_learned():
    """The nearest training row knows all labels of repeats that a random split tears apart."""
    X, y, _ = repeated(5, 200)
    task = load_task((X, y))
    right = []
    for seed in range(5):
        split = task.split(seed)
        distance = ((X[split.test][:, None] - X[split.train]) ** 2).sum(2)
        right.append((y[split.train][distance.argmin(1)] == y[split.test]).mean())
    assert 0.4 < np.mean(right) < 0.6


def test_repeats_make_other_data():
    X, y, _ = repeated()
    task = load_task((X, y))
    assert task.fingerprint != dataclasses.replace(task, groups=None).fingerprint


@pytest.mark.parametrize("values", [1, 2, 3])
def test_what_is_nearly_all_the_same_is_split_at_random_and_told(values):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"a": rng.integers(0, values, 90).astype(str), "y": [0, 1, 2] * 30})
    task = load_task(table, "y")
    assert task.groups is None
    assert len(task.split(0).test) == 18
    (note,) = (note for note in task.notes if "can't be kept apart" in note)
    assert f"90 of 90 rows have the same inputs as another one ({values} different)" in note


def test_ids_count_more_than_rows_that_happen_to_be_alike():
    rng = np.random.default_rng(0)
    ids = np.repeat(np.arange(60), 3)
    table = pd.DataFrame({"user_id": ids, "a": rng.integers(0, 4, 180).astype(str), "y": ids % 2})
    task = load_task(table, "y")
    assert len(np.unique(task.groups)) == 60
    assert "Those of one 'user_id' stay in one part of each split." in task.notes
    assert any("180 of 180" in note and "can't be kept apart" in note for note in task.notes)
    few = table.assign(user_id=np.repeat(np.arange(9), 20))
    assert load_task(few, "y").groups is None


def test_categories_that_repeat_are_kept_apart():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({name: rng.choice(list("uvwx"), 500) for name in "abc"})
    task = load_task(table.assign(y=rng.integers(0, 2, 500)), "y")
    assert len(np.unique(task.groups)) == len(table.drop_duplicates())
    parts = [set(task.groups[part]) for part in dataclasses.astuple(task.split(0))]
    assert len(set.union(*parts)) == sum(map(len, parts))
