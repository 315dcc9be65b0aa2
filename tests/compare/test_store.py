"""What was stored comes back; what is not ours is refused and left alone."""

import dataclasses
import json
import math
import sqlite3

import pytest

from leakyrelu.compare.plan import make_settings
from leakyrelu.compare.store import FILE_NAME, Store
from leakyrelu.compare.train import Checkpoint, Trial

SETTINGS = make_settings("abc", ["relu", "elu"], 2, 2, 8, 1, (0.01,))
HISTORY = [Checkpoint(0, 2.5, 0.25, [0.5, 0.0]), Checkpoint(1, math.nan, 0.5, [0.0, 0.125])]
TRIAL = Trial("relu", 0.01, 0, 0.5, 0.75, 1.5, HISTORY)


def test_trials_come_back_whole(tmp_path):
    diverged = dataclasses.replace(TRIAL, seed=1, test_score=math.nan, validation_score=math.nan)
    with Store(tmp_path / "new" / "run", SETTINGS, {"python": "3"}) as store:
        store.add([TRIAL, diverged])
    with Store(tmp_path / "new" / "run", SETTINGS, {"python": "4"}) as store:
        first, second = store.trials()
        assert store.info == {"python": "3"}
    assert repr(first) == repr(TRIAL)  # repr: NaN is unequal to itself
    assert math.isnan(second.test_score)
    assert math.isnan(second.validation_score)


def test_the_first_to_finish_a_trial_counts(tmp_path):
    with Store(tmp_path, SETTINGS, {}) as one, Store(tmp_path, SETTINGS, {}) as other:
        one.add([TRIAL])
        other.add([dataclasses.replace(TRIAL, seconds=99.0)])
        assert [trial.seconds for trial in one.trials()] == [1.5]


def test_other_settings_are_refused(tmp_path):
    Store(tmp_path, SETTINGS, {}).__exit__(None, None, None)
    changed = dataclasses.replace(SETTINGS, epochs=7, learning_rates=(0.01, 0.1), data="xyz")
    message = r"holds an experiment with other data; epochs 1, not 7; learning rates 0.01, not 0.01"
    with pytest.raises(ValueError, match=message):
        Store(tmp_path, changed, {})


def test_a_directory_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match="holds something else"):
        Store(tmp_path, SETTINGS, {})
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_foreign_database_is_refused(tmp_path):
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.execute("CREATE TABLE recipes (name)")
    connection.commit()
    connection.close()
    before = (tmp_path / FILE_NAME).read_bytes()
    with pytest.raises(ValueError, match="database of another program"):
        Store(tmp_path, SETTINGS, {})
    assert (tmp_path / FILE_NAME).read_bytes() == before


@pytest.mark.parametrize("damage", [lambda whole: b"no database" * 500, lambda whole: whole[:5000]])
def test_a_damaged_file_is_refused_and_kept(tmp_path, damage):
    with Store(tmp_path, SETTINGS, {}) as store:
        store.add([dataclasses.replace(TRIAL, seed=seed) for seed in range(50)])
    file = tmp_path / FILE_NAME
    file.write_bytes(damage(file.read_bytes()))
    before = file.read_bytes()
    with pytest.raises((ValueError, OSError), match=str(tmp_path)):
        Store(tmp_path, SETTINGS, {}).trials()
    assert file.read_bytes() == before


def test_another_format_is_refused(tmp_path):
    Store(tmp_path, SETTINGS, {}).__exit__(None, None, None)
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(ValueError, match="another version of leakyrelu"):
        Store(tmp_path, SETTINGS, {})


def test_where_no_directory_can_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is a file"):
        Store(tmp_path / "file", SETTINGS, {})
    with pytest.raises(OSError, match="can't be written to"):
        Store(tmp_path / "file" / "below", SETTINGS, {})


def test_a_full_disk_leaves_the_earlier_trials_whole(tmp_path):
    with Store(tmp_path, SETTINGS, {}) as store:
        store.add([TRIAL])
        pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
        store._connection.execute(f"PRAGMA max_page_count = {pages}")
        many = [dataclasses.replace(TRIAL, seed=seed) for seed in range(1, 500)]
        with pytest.raises(
            OSError, match=r"499 trials could not be stored.*full.*earlier ones are"
        ):
            store.add(many)
    with Store(tmp_path, SETTINGS, {}) as store:
        assert [trial.seed for trial in store.trials()] == [0]


def test_an_unfinished_creation_is_taken_over(tmp_path):
    """Killed between making the file and its first commit: an empty file is left."""
    (tmp_path / FILE_NAME).touch()
    with Store(tmp_path, SETTINGS, {"a": "b"}) as store:
        assert store.info == {"a": "b"}
    settings = sqlite3.connect(tmp_path / FILE_NAME).execute("SELECT value FROM experiment")
    assert json.loads(settings.fetchone()[0])
