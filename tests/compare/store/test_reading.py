"""What stands in place of an experiment's entries is refused in one sentence, whatever it is."""

import contextlib
import json
import sqlite3

import pytest

from leakyrelu._compare.data.task import TaskInfo
from leakyrelu._compare.metric import metric_named
from leakyrelu._compare.settings import make_settings
from leakyrelu._compare.store.reading import FILE_NAME, read
from leakyrelu._compare.store.writing import Store
from leakyrelu._compare.trial import Checkpoint, Trial

HISTORY = [Checkpoint(epoch, 2, 0.25, [0.5], [0.1, 0.2], []) for epoch in (0, 1)]


@pytest.fixture
def directory(tmp_path):
    settings = make_settings("abc", ["relu", "elu"], 1, 1, (0.01,), depth=1, width=8)
    task = TaskInfo("digits", metric_named("accuracy"), 0.01, 100, "64 features", ["a note"])
    with Store(tmp_path, settings, task, {"python": "3"}) as store:
        store.add([Trial("relu", 0.01, 0, 0.5, 0.75, 1, ["1"], HISTORY)])
    return tmp_path


def test_what_was_stored_is_read(directory):
    stored = read(directory)
    assert len(stored.trials) == 1
    assert stored.environment == {"python": "3"}


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("trial", "test_score", "high"),
        ("trial", "seconds", b"\x00\xff"),
        ("trial", "seed", 1.5),
        ("trial", "activation", b"relu"),
        ("trial", "layers", "null"),
        ("trial", "layers", "[1, 2]"),
        ("trial", "layers", b"\xff"),
        ("trial", "history", "[[]]"),
        ("trial", "history", json.dumps([{**vars(HISTORY[0]), "epoch": "first"}])),
        ("trial", "history", json.dumps([{**vars(HISTORY[0]), "never_fired": 0.5}])),
        ("trial", "history", json.dumps([{**vars(HISTORY[0]), "gradient": ["0.1"]}])),
        ("experiment", "value", "[]"),
        ("experiment", "value", "{}"),
        ("experiment", "value", '{"python": 3}'),
    ],
)
def test_entries_of_another_kind_are_damage(directory, table, column, value):
    with contextlib.closing(sqlite3.connect(directory / FILE_NAME)) as connection:
        connection.execute(f"UPDATE {table} SET {column} = ?", (value,))
        connection.commit()
    if table == "trial":  # the others are none the worse
        found = read(directory)
        assert found.trials == []
        assert len(found.damaged) == 1
        return
    with pytest.raises(
        ValueError, match="is damaged: its contents don't match their checksums"
    ) as caught:
        read(directory)
    for internal in ("__init__", "Checkpoint", "sqlite3", "NoneType", "column"):
        assert internal not in str(caught.value)


def test_a_directory_of_that_name_is_none(tmp_path):
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(ValueError, match=f"{FILE_NAME} is a directory, not an experiment's file"):
        read(tmp_path)


@pytest.mark.parametrize("groups", [None, [0, 0, 1]])
def test_groups_of_examples_are_read(tmp_path, groups):
    settings = make_settings("abc", ["relu", "elu"], 1, 1, (0.01,), depth=1, width=8)
    task = TaskInfo("own", metric_named("accuracy"), 0.01, 3, "", [], groups=groups, blocks=50)
    with Store(tmp_path, settings, task, {}):
        pass
    assert read(tmp_path).task == task
