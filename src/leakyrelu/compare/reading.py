"""What a directory holds of an experiment, read without changing a byte of it."""

from __future__ import annotations

import json
import math
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from leakyrelu.compare.plan import Settings
from leakyrelu.compare.task import TaskInfo
from leakyrelu.compare.trial import Checkpoint, Trial

__all__ = ["APPLICATION_ID", "FILE_NAME", "FORMAT", "PATIENCE", "Stored", "read"]

FILE_NAME = "trials.sqlite"
# Marks the file as ours, in the header that SQLite writes (PRAGMA application_id).
APPLICATION_ID = int.from_bytes(b"lkRL", "big")
FORMAT = 2

_MAGIC = b"SQLite format 3\0"
_HEADER_BYTES = 100
_KEPT = "it was left as it is, give another directory"
PATIENCE = 60.0  # seconds to wait for another process that is writing


@dataclass(frozen=True)
class Stored:
    """An experiment as it is stored: what it is, and the trials that are finished."""

    settings: Settings
    task: TaskInfo
    environment: dict[str, str]
    trials: list[Trial]


def read(directory: Path) -> Stored:
    """Read an experiment, finished or not; it needs no permission to write.

    Raises
    ------
    FileNotFoundError
        If there is none in the directory.
    ValueError
        If the file is of something else, or damaged.
    OSError
        If it can't be read.
    """
    file = directory / FILE_NAME
    if not file.is_file():
        raise FileNotFoundError(f"{directory} holds no experiment: there is no {file}")
    _check_header(file)
    with _opened(file) as connection:
        for (finding,) in connection.execute("PRAGMA quick_check(1)"):
            if finding != "ok":
                raise ValueError(_damaged(file, " ".join(finding.split())))
        return Stored(*entries(connection), trials(connection))


def entries(connection: sqlite3.Connection) -> tuple[Settings, TaskInfo, dict[str, str]]:
    """Read what an experiment is, what it is about, and with what it began."""
    found = dict(connection.execute("SELECT key, value FROM experiment"))
    return (
        Settings.from_json(found["settings"]),
        TaskInfo(**json.loads(found["task"])),
        json.loads(found["environment"]),
    )


def trials(connection: sqlite3.Connection) -> list[Trial]:
    """Read every finished trial."""
    rows = connection.execute(
        "SELECT activation, learning_rate, seed, validation_score, test_score, seconds, layers,"
        " history FROM trial ORDER BY learning_rate, activation, seed"
    )
    return [
        Trial(
            activation,
            learning_rate,
            seed,
            math.nan if validation_score is None else validation_score,
            math.nan if test_score is None else test_score,
            seconds,
            json.loads(layers),
            [Checkpoint(**fields) for fields in json.loads(history)],
        )
        for (
            activation,
            learning_rate,
            seed,
            validation_score,
            test_score,
            seconds,
            layers,
            history,
        ) in rows
    ]


def _check_header(file: Path) -> None:
    """Refuse a file of something else, before SQLite gets to change it.

    SQLite finishes or takes back what another program has left undone.
    """
    try:
        with file.open("rb") as opened:
            header = opened.read(_HEADER_BYTES)
    except OSError as error:
        raise OSError(f"{file} can't be read: {error}") from error
    if not header:
        raise ValueError(f"{file} is empty: its experiment was stopped before it began")
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
        raise ValueError(f"{file} is damaged or no experiment of leakyrelu; {_KEPT}")
    if int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        raise ValueError(f"{file} is a database of another program; {_KEPT}")
    version = int.from_bytes(header[60:64], "big")
    if version != FORMAT:
        what = "a newer" if version > FORMAT else "an older"
        raise ValueError(
            f"{file} was written by {what} version of leakyrelu (format {version}, this one has "
            f"{FORMAT}); {_KEPT}, or use that version"
        )


def _damaged(file: Path, what: object) -> str:
    return f"{file} is damaged ({what}); {_KEPT}"


@contextmanager
def _opened(file: Path) -> Iterator[sqlite3.Connection]:
    """Open a file to read; where a killed process has left work undone, a copy of it."""
    try:
        if _beside(file, "-wal").exists() or not _is_readable(file):
            with tempfile.TemporaryDirectory() as folder:
                for ending in ("", "-journal", "-wal"):
                    if _beside(file, ending).exists():
                        shutil.copyfile(_beside(file, ending), Path(folder, FILE_NAME + ending))
                with closing(sqlite3.connect(Path(folder, FILE_NAME))) as connection:
                    yield connection
        else:
            with closing(_read_only(file)) as connection:
                yield connection
    except sqlite3.OperationalError as error:
        if "decode" in str(error):  # a text that is none
            raise ValueError(_damaged(file, error)) from error
        raise OSError(f"{file} can't be read: {error}") from error
    except (sqlite3.DatabaseError, json.JSONDecodeError, LookupError, TypeError) as error:
        raise ValueError(_damaged(file, error)) from error


def _beside(file: Path, ending: str) -> Path:
    return file.with_name(file.name + ending)


def _read_only(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=PATIENCE)


def _is_readable(file: Path) -> bool:
    """Whether it can be read as it is; not if an unfinished transaction must be taken back."""
    with closing(_read_only(file)) as connection:
        try:
            connection.execute("SELECT count(*) FROM sqlite_master")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_READONLY_ROLLBACK:
                return False
            raise
    return True
