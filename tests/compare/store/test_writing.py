"""What was stored comes back; what is not ours, or not whole, is refused and left alone."""

import collections
import contextlib
import dataclasses
import json
import math
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import numpy as np
import pytest

from leakyrelu._compare.data.task import TaskInfo
from leakyrelu._compare.metric import metric_named
from leakyrelu._compare.settings import make_settings
from leakyrelu._compare.store.reading import FILE_NAME, checksum, read
from leakyrelu._compare.store.writing import Store
from leakyrelu._compare.trial import Checkpoint, Trial, packed, unpacked
from leakyrelu._comparison.comparison import Comparison
from leakyrelu.activations import parse

SETTINGS = make_settings("abc", ["relu", "elu"], 2, 1, (0.01,), depth=2, width=8)
TASK = TaskInfo(
    "digits", metric_named("accuracy"), 0.01, 100, "64 features, 10 classes", ["a note"]
)
HISTORY = [
    Checkpoint(0, 2.5, 0.25, [0.5, 0.0], [0.1, 0.2, 0.3], []),
    Checkpoint(1, math.nan, 0.5, [0.0, 0.125], [0.0, math.inf, 0.3], [0.25, 0.3]),
]
TRIAL = Trial(parse("relu"), 0.01, 0, 0.5, 0.75, 1.5, ["1", "2"], HISTORY)


def opened(directory, settings=SETTINGS, environment=None):
    return Store(directory, settings, TASK, environment or {})


def seeds_from(start, end):
    return [dataclasses.replace(TRIAL, seed=seed) for seed in range(start, end)]


@pytest.fixture
def file(tmp_path):
    """Return the file of an experiment with 50 trials, about 80 kB, in a directory of its own."""
    with opened(tmp_path / "run", environment={"python": "3"}) as store:
        store.add(seeds_from(0, 50))
    return tmp_path / "run" / FILE_NAME


def contents(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def refused(directory, message):
    """Refused in one sentence, to write and to read, and left byte for byte as it was."""
    before = contents(directory)
    for attempt in (lambda: opened(directory), lambda: read(directory)):
        with pytest.raises(ValueError, match=message) as caught:
            attempt()
        assert str(directory) in str(caught.value)
        assert "\n" not in str(caught.value)
        assert contents(directory) == before


# --- What comes back ---------------------------------------------------------------------------


def test_trials_come_back_whole(tmp_path):
    diverged = dataclasses.replace(TRIAL, seed=1, test_score=math.nan, validation_score=math.nan)
    undefined = dataclasses.replace(TRIAL, seed=2, test_score=math.nan, undefined=True)
    with opened(tmp_path / "new" / "run", environment={"python": "3"}) as store:
        store.add([TRIAL, diverged, undefined])
    with opened(tmp_path / "new" / "run", environment={"python": "4"}) as store:
        first, second, third = store.trials()
        assert store.environment == {"python": "3"}
    assert repr(first) == repr(TRIAL)  # repr: NaN is unequal to itself
    assert math.isnan(second.test_score)
    assert math.isnan(second.validation_score)
    assert (second.diverged, second.undefined) == (True, False)
    assert repr(third) == repr(undefined)
    assert (third.diverged, third.undefined) == (False, True)


def test_reading_gives_what_was_written_and_changes_nothing(file):
    before = contents(file.parent)
    stored = read(file.parent)
    assert stored.settings == SETTINGS
    assert stored.task == TASK
    assert stored.environment == {"python": "3"}
    assert [trial.seed for trial in stored.trials] == list(range(50))
    assert repr(stored.trials[0]) == repr(TRIAL)
    assert contents(file.parent) == before


def test_a_note_is_added_to_the_environment(tmp_path):
    with opened(tmp_path, environment={"python": "3"}) as store:
        store.note("trainer", "stacks of 8")
        assert store.environment == {"python": "3", "trainer": "stacks of 8"}
    assert read(tmp_path).environment == {"python": "3", "trainer": "stacks of 8"}


def test_the_first_to_finish_a_trial_counts(tmp_path):
    with opened(tmp_path) as one, opened(tmp_path) as other:
        one.add([TRIAL])
        other.add([dataclasses.replace(TRIAL, seconds=99.0)])
        assert [trial.seconds for trial in one.trials()] == [1.5]


# --- Several at once, and killed ---------------------------------------------------------------

WRITER = """
    import dataclasses, sys
    from pathlib import Path
    sys.path.insert(0, {here!r})
    from test_writing import TRIAL, opened, seeds_from

    with opened(Path(sys.argv[1])) as store:
        print("open", flush=True)
        sys.stdin.readline()  # so that all write at the same time
        for seed in range(40):
            store.add([dataclasses.replace(TRIAL, seed=seed, seconds=float(sys.argv[2]))])
        print(len(store.trials()))
"""


def start(program, *arguments):
    code = textwrap.dedent(program).format(here=str(Path(__file__).parent))
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_processes_that_write_at_the_same_time_lose_nothing(tmp_path):
    processes = [start(WRITER, tmp_path / "run", number) for number in range(3)]
    for process in processes:
        assert process.stdout.readline() == "open\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        out, error = process.communicate(timeout=120)
        assert (out, error) == ("40\n", "")
    assert [trial.seed for trial in read(tmp_path / "run").trials] == list(range(40))


KILLED = """
    import os, signal, sys
    from pathlib import Path
    sys.path.insert(0, {here!r})
    from test_writing import opened, seeds_from

    store = opened(Path(sys.argv[1]))
    store._connection.execute("PRAGMA cache_size = 2")  # so that it writes before it commits
    store._connection.set_progress_handler(
        lambda: os.kill(os.getpid(), signal.SIGKILL), int(sys.argv[2])
    )
    store.add(seeds_from(50, 5000))
"""


@pytest.mark.parametrize("instructions", [10_000, 40_000])
def test_killed_in_the_middle_of_a_write_all_committed_is_kept(file, instructions):
    committed = contents(file.parent)[FILE_NAME]
    process = start(KILLED, file.parent, instructions)
    assert process.wait(timeout=120) == -signal.SIGKILL
    assert file.with_name(f"{FILE_NAME}-journal").exists()
    before = contents(file.parent)
    assert len(before[FILE_NAME]) > len(committed)  # some of it was written
    assert [trial.seed for trial in read(file.parent).trials] == list(range(50))
    assert contents(file.parent) == before
    with opened(file.parent) as store:  # takes back what was not committed
        assert [trial.seed for trial in store.trials()] == list(range(50))
        store.add(seeds_from(50, 60))
    assert list(contents(file.parent)) == [FILE_NAME]
    assert len(read(file.parent).trials) == 60


def test_an_unfinished_creation_is_taken_over(tmp_path):
    """Killed between making the file and its first commit: an empty file is left."""
    (tmp_path / FILE_NAME).touch()
    with pytest.raises(ValueError, match="is empty: its experiment was stopped before it began"):
        read(tmp_path)
    with opened(tmp_path, environment={"a": "b"}) as store:
        assert store.environment == {"a": "b"}


def test_what_a_write_ahead_log_holds_is_read(file):
    """As another program leaves it that was killed, such as a browser of databases."""
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA journal_mode = WAL")
    values = connection.execute("SELECT * FROM trial WHERE seed = 3").fetchone()
    changed = (*values[:5], 7.0, *values[6:-1])
    connection.execute(
        "UPDATE trial SET seconds = 7, checksum = ? WHERE seed = 3", (checksum(*changed),)
    )
    connection.commit()
    left = file.parent.with_name("left")
    shutil.copytree(file.parent, left)  # before it is closed, which would empty the log
    connection.close()
    assert (left / f"{FILE_NAME}-wal").stat().st_size > 0
    before = contents(left)
    assert [trial.seconds for trial in read(left).trials][:5] == [1.5, 1.5, 1.5, 7, 1.5]
    assert contents(left) == before
    with opened(left) as store:
        assert [trial.seconds for trial in store.trials()][:5] == [1.5, 1.5, 1.5, 7, 1.5]


# --- What is refused ---------------------------------------------------------------------------


def test_other_settings_are_refused(tmp_path):
    with opened(tmp_path) as store:
        store.add([TRIAL])
    changed = dataclasses.replace(SETTINGS, epochs=7, learning_rates=(0.01, 0.1), data="xyz")
    message = r"holds an experiment with other data; epochs 1, not 7"
    with pytest.raises(ValueError, match=message):
        opened(tmp_path, changed)


def test_an_attempt_without_trials_makes_room_for_another(tmp_path):
    others = dataclasses.replace(SETTINGS, recipe="0123", epochs=2)
    with opened(tmp_path) as first, opened(tmp_path, others) as second:
        assert second.settings == others
        second.add([TRIAL])
        with pytest.raises(ValueError, match="was taken by another experiment"):
            first.add(seeds_from(1, 3))
        assert [trial.seed for trial in second.trials()] == [0]
    with pytest.raises(ValueError, match=r"epochs 2, not 1; another model, loss, metric"):
        opened(tmp_path)


def test_a_directory_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match="holds something else"):
        opened(tmp_path)
    with pytest.raises(FileNotFoundError, match="holds no experiment"):
        read(tmp_path)
    assert contents(tmp_path) == {"thesis.tex": b"years of work"}


def test_a_foreign_database_is_refused(tmp_path):
    with contextlib.closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        connection.execute("CREATE TABLE recipes (name)")
        connection.commit()
    refused(tmp_path, "database of another program")


def test_a_foreign_database_with_work_undone_is_refused(tmp_path):
    """SQLite would finish it, which is for its own program to do."""
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE recipes (name)")
    connection.execute("INSERT INTO recipes VALUES ('soup')")
    connection.commit()
    left = tmp_path.with_name("left")
    shutil.copytree(tmp_path, left)
    connection.close()
    refused(left, "database of another program")


DAMAGES = {
    "no database": lambda whole: b"no database" * 500,
    "a few bytes": lambda whole: whole[:50],
    "truncated": lambda whole: whole[:5000],
    "half of it": lambda whole: whole[: len(whole) // 2],
    "a page of noise": lambda whole: whole[:4096] + b"\xa5" * 4096 + whole[8192:],
    "noise in the middle": lambda whole: whole[:20_000] + b"\xff\x00" * 9000 + whole[38_000:],
    "another environment": lambda whole: whole.replace(b'"python": "3"', b'"python": "4"', 1),
    "a column is gone": lambda whole: whole.replace(b"seconds REAL", b"seconda REAL", 1),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_refused_and_kept(file, damage):
    whole = file.read_bytes()
    file.write_bytes(DAMAGES[damage](whole))
    assert file.read_bytes() != whole
    refused(file.parent, "is damaged")


DAMAGED_TRIALS = {
    "a text that is none": lambda whole: whole.replace(b'"never_fired"', b'"never\xfffired"', 1),
    "no JSON": lambda whole: whole.replace(b'"train_loss": 2.5', b'"train_loss": }{:', 1),
    "a field is gone": lambda whole: whole.replace(b'"train_loss"', b'"trainloss_"', 1),
    "another number": lambda whole: whole.replace(b'"train_loss": 2.5', b'"train_loss": 2.4', 1),
}


@pytest.mark.parametrize("damage", DAMAGED_TRIALS)
def test_a_damaged_trial_is_left_out_and_may_be_stored_again(file, damage):
    whole = file.read_bytes()
    before = read(file.parent)
    file.write_bytes(DAMAGED_TRIALS[damage](whole))
    assert file.read_bytes() != whole
    found = read(file.parent)
    assert len(found.damaged) == 1
    assert found.damaged[0].startswith("relu at 0.01, seed ")
    lost = int(found.damaged[0].split()[-1])
    assert [trial.seed for trial in found.trials] == [n for n in range(50) if n != lost]
    with opened(file.parent) as store:
        assert store.damaged == found.damaged
        assert len(store.trials()) == 49
        assert store.environment["damaged"] == found.damaged[0]
        store.add(seeds_from(0, 50))
        assert repr(store.trials()) == repr(before.trials)
    again = read(file.parent)
    assert (again.damaged, repr(again.trials)) == ([], repr(before.trials))


def test_a_bit_that_flips_changes_no_number(file):
    """The table stays what it was, or it is said what is left out, or the file is refused."""
    whole = file.read_bytes()
    before = read(file.parent)
    known = {repr(trial) for trial in before.trials}
    rng = random.Random(0)
    outcomes = collections.Counter()
    for attempt in range(400):
        bits = 8 * len(whole) if attempt % 4 else 8 * 8192  # headers and settings are at the start
        byte, bit = divmod(rng.randrange(bits), 8)
        flipped = bytearray(whole)
        flipped[byte] ^= 1 << bit
        file.write_bytes(flipped)
        refusal = ""
        try:
            found = read(file.parent)
        except (ValueError, OSError) as error:
            refusal = str(error)
        if refusal:
            assert str(file) in refusal
            assert file.read_bytes() == flipped
            outcomes["refused"] += 1
            continue
        assert (found.settings, found.task) == (before.settings, before.task), (byte, bit)
        assert found.environment == before.environment, (byte, bit)
        assert {repr(trial) for trial in found.trials} <= known, (byte, bit)
        assert len(found.trials) + len(found.damaged) == 50, (byte, bit)
        outcomes["left out" if found.damaged else "the same"] += 1
        with opened(file.parent) as store:
            assert store.damaged == found.damaged
            store.add(seeds_from(0, 50))
            assert repr(store.trials()) == repr(before.trials), (byte, bit)
    assert min(outcomes[name] for name in ("refused", "left out", "the same")) > 10, outcomes


@pytest.mark.parametrize("score", [-0.0, 1, np.float32(0.7), 1e-300, 0.1 + 0.2])
def test_numbers_of_any_kind_are_no_damage(tmp_path, score):
    with opened(tmp_path) as store:
        store.add([dataclasses.replace(TRIAL, test_score=score, seconds=score)])
        assert [trial.test_score for trial in store.trials()] == [float(score)]
    assert read(tmp_path).damaged == []


@pytest.mark.parametrize(
    ("metric", "score", "is_possible"),
    [
        *(("accuracy", -0.94, False), ("accuracy", 94.0, False), ("accuracy", 1.0, True)),
        *(("R²", 1.5, False), ("R²", -7.0, True), ("own", 94.0, True)),
    ],
)
def test_a_score_outside_of_its_range_is_refused(tmp_path, metric, score, is_possible):
    task = dataclasses.replace(TASK, metric=metric_named(metric))
    for field in ("test_score", "validation_score"):
        with Store(tmp_path / field, SETTINGS, task, {}) as store:
            trial = dataclasses.replace(TRIAL, **{field: score})
            if is_possible:
                store.add([trial])
            else:
                with pytest.raises(
                    ValueError, match=f"{metric} of relu with seed 0 is .*{score:g}"
                ):
                    store.add([trial])
            assert len(store.trials()) == is_possible


@pytest.mark.parametrize(("version", "word"), [(99, "a newer"), (1, "an older"), (2, "an older")])
def test_another_format_is_refused(file, version, word):
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute(f"PRAGMA user_version = {version}")
    refused(file.parent, rf"written by {word} version of leakyrelu \(format {version}")


def test_where_no_directory_can_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is a file"):
        opened(tmp_path / "file")
    with pytest.raises(OSError, match="can't be written to"):
        opened(tmp_path / "file" / "below")


# --- What can't be written ---------------------------------------------------------------------


def test_a_full_disk_leaves_the_earlier_trials_whole(tmp_path):
    with opened(tmp_path) as store:
        store.add([TRIAL])
        pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
        store._connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(
            OSError, match=r"499 trials could not be stored.*full.*earlier ones are"
        ):
            store.add(seeds_from(1, 500))
    with opened(tmp_path) as store:
        assert [trial.seed for trial in store.trials()] == [0]


LIMITED = """
    import resource, sys
    from pathlib import Path
    sys.path.insert(0, {here!r})
    from test_writing import opened, seeds_from

    with opened(Path(sys.argv[1])) as store:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            store.add(seeds_from(50, 2000))
        except OSError as error:
            print(error)
        print(len(store.trials()))
"""


def test_a_write_that_the_system_refuses_leaves_the_earlier_trials_whole(file):
    out, error = start(LIMITED, file.parent).communicate(timeout=120)
    assert error == ""
    said, counted = out.splitlines()
    assert said.startswith(f"the last 1950 trials could not be stored in {file.parent}: ")
    assert counted == "50"
    assert len(read(file.parent).trials) == 50


@pytest.fixture
def read_only(file):
    """Return a directory that its user may read but not write to; root may do anything."""
    directory = Path(tempfile.mkdtemp())  # pytest's own are closed to others
    shutil.copy(file, directory)
    (directory / FILE_NAME).chmod(0o444)
    directory.chmod(0o555)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    yield directory
    os.seteuid(user)
    directory.chmod(0o755)
    shutil.rmtree(directory)


def test_what_may_only_be_read_is_read(read_only):
    with pytest.raises(PermissionError):
        (read_only / "new").touch()
    before = contents(read_only)
    assert len(read(read_only).trials) == 50
    assert contents(read_only) == before
    with (
        opened(read_only) as store,  # a finished experiment needs no more
        pytest.raises(OSError, match="can't be written to: attempt to write a readonly database"),
    ):
        store.note("trainer", "none")
    assert contents(read_only) == before


def test_settings_are_readable_by_others(file):
    with contextlib.closing(sqlite3.connect(file)) as connection:
        entries = dict(connection.execute("SELECT key, value FROM experiment"))
    assert json.loads(entries["settings"])["activations"] == ["relu", "elu"]


# --- Results of test examples, and seeds that are added ------------------------------------------


def test_results_come_back_and_are_small(tmp_path):
    rng = np.random.default_rng(0)
    rows = rng.permutation(1797)[:360]
    right, losses = rng.integers(0, 2, 360), rng.normal(size=360).astype(np.float32)
    trials = [
        dataclasses.replace(TRIAL, seed=seed, results=packed(rows, values, 1797))
        for seed, values in enumerate((right, losses))
    ]
    with opened(tmp_path) as store:
        store.add(trials)
    for trial, values in zip(read(tmp_path).trials, (right, losses), strict=True):
        found = unpacked(trial.results)
        assert np.array_equal(found[rows], values)
        assert np.isnan(np.delete(found, rows)).all()
    bits, floats = (len(trial.results) for trial in trials)
    assert bits == 8 + 225 + 45  # how many there are, which are tested, which are right
    assert floats == 8 + 225 + 4 * 360


@pytest.mark.parametrize("values", [[0.0], [1.0], [0.5], [0, 1, 1, 0, 1, 0, 0, 1, 1], [1e-30, 7.0]])
def test_results_of_any_number_are_unpacked(values):
    for examples in range(len(values), len(values) + 20):
        rows = np.arange(examples)[::-1][: len(values)]
        assert np.array_equal(unpacked(packed(rows, values, examples))[rows], np.float32(values))


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e300])
def test_results_that_are_no_numbers_are_not_known(value):
    assert packed([0, 1], [0.5, value], 3) == b""


def test_a_flipped_bit_of_the_results_is_found(tmp_path):
    results = packed(range(100), [1.0] * 100, 500)
    with opened(tmp_path) as store:
        store.add([dataclasses.replace(t, results=results) for t in seeds_from(0, 3)])
    with contextlib.closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        flipped = bytes([*results[:-1], results[-1] ^ 16])
        connection.execute("UPDATE trial SET results = ? WHERE seed = 1", (flipped,))
        connection.commit()
    found = read(tmp_path)
    assert [trial.seed for trial in found.trials] == [0, 2]
    assert found.damaged == ["relu at 0.01, seed 1"]


def test_seeds_are_added_and_what_was_planned_stays(tmp_path):
    def seeds(count):
        return make_settings("abc", ["relu", "elu"], count, 1, (0.01,), depth=2, width=8)

    with opened(tmp_path, seeds(10)) as store:
        store.add(seeds_from(0, 10))
    for count, expected, asked in ((20, 20, (10, 20)), (5, 20, (10, 20)), (40, 40, (10, 20, 40))):
        with opened(tmp_path, seeds(count)) as store:
            assert store.settings.seeds == tuple(range(expected))
            assert (store.settings.asked, store.settings.planned) == (asked, 10)
            store.add(seeds_from(0, expected))
    assert read(tmp_path).settings.asked == (10, 20, 40)


def test_seeds_that_were_never_begun_are_not_held_against_who_asks_for_fewer(tmp_path):
    def seeds(given):
        return make_settings("abc", ["relu", "elu"], given, 1, (0.01,), depth=2, width=8)

    with opened(tmp_path, seeds(40)) as store:
        store.add(seeds_from(0, 5))
    with opened(tmp_path, seeds([3, 50, 51])) as store:
        assert store.settings.seeds == (0, 1, 2, 3, 4, 50, 51)
        assert store.settings.asked == (40, 7)


FORMAT_3 = """
    CREATE TABLE experiment (
        key TEXT PRIMARY KEY, value TEXT NOT NULL, checksum TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE trial (
        activation TEXT NOT NULL, learning_rate REAL NOT NULL, seed INTEGER NOT NULL,
        validation_score REAL, test_score REAL, seconds REAL NOT NULL, layers TEXT NOT NULL,
        history TEXT NOT NULL, undefined INTEGER NOT NULL, checksum TEXT NOT NULL,
        PRIMARY KEY (activation, learning_rate, seed)
    ) WITHOUT ROWID;
    PRAGMA application_id = 1818972748;
    PRAGMA user_version = 3;
"""


def test_an_experiment_of_an_earlier_version_is_read_and_not_gone_on_with(tmp_path):
    settings = json.loads(SETTINGS.to_json())
    del settings["asked"]
    settings["protocol"] = 3
    task = json.loads(TASK.to_json())
    for name in ("groups", "blocks"):
        del task[name]
    with contextlib.closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        connection.executescript(FORMAT_3)
        for key, value in (("settings", settings), ("task", task), ("environment", {})):
            row = key, json.dumps(value)
            connection.execute("INSERT INTO experiment VALUES (?, ?, ?)", (*row, checksum(*row)))
        for spec in ("relu", "elu"):
            for seed in range(2):
                history = json.dumps([dataclasses.asdict(each) for each in HISTORY])
                row = spec, 0.01, seed, 0.5, 0.75 + seed / 100, 1.5, '["1", "2"]', history, 0
                marks = ", ".join("?" * 10)
                connection.execute(f"INSERT INTO trial VALUES ({marks})", (*row, checksum(*row)))
        connection.commit()
    before = contents(tmp_path)
    found = read(tmp_path)
    assert found.settings.is_of_earlier_version
    assert [(trial.test_score, trial.results) for trial in found.trials[:2]] == [
        (0.75, b""),
        (0.76, b""),
    ]
    with pytest.raises(ValueError, match="of an earlier version of leakyrelu, which can be told"):
        opened(tmp_path)
    told = Comparison.read(tmp_path)
    assert told.is_finished
    assert "On these data, no detectable difference from relu" in told.verdict
    assert "This experiment was made by an earlier version of leakyrelu" in " ".join(told.notes)
    assert contents(tmp_path) == before
