"""Reads an experiment from its directory, without changing a byte."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
import shutil
import sqlite3
import tempfile
import types
import typing
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from leakyrelu._compare.data.task import TaskInfo
from leakyrelu._compare.metric import Metric
from leakyrelu._compare.settings import Settings
from leakyrelu._compare.trial import Checkpoint, Trial, is_possible
from leakyrelu._errors import InputError
from leakyrelu.activations import parse

__all__ = [
    "APPLICATION_ID",
    "ASKED_FOR",
    "BEGAN_WITH",
    "FILE_NAME",
    "FORMAT",
    "PATIENCE",
    "Stored",
    "read",
]

FILE_NAME = "trials.sqlite"
# Marks the file as ours, in the header that SQLite writes (PRAGMA application_id).
APPLICATION_ID = int.from_bytes(b"lkRL", "big")
FORMAT = 4
WITHOUT_RESULTS = 3  # the format before, which has no results of test examples

_MAGIC = b"SQLite format 3\0"
_HEADER_BYTES = 100
_KEPT = "it was left as it is, give another directory"
BEGAN_WITH = "began with"  # an entry of the environment: candidates before others were asked for
ASKED_FOR = "seeds asked for"  # an entry of it, not stored: fewer than the experiment has
VERSIONS = ("leakyrelu", "torch", "numpy")  # entries of it that numbers depend on
THEN = ", then "  # between versions with which it began and went on
PATIENCE = 60.0  # seconds to wait for another process that is writing

T = TypeVar("T")


@dataclass(frozen=True)
class Stored:
    """An experiment as stored: its settings and finished trials.

    Trials that fail their checksum, such as by a bit flipped on the disk, are left out and listed
    in `damaged`.
    """

    settings: Settings
    task: TaskInfo
    environment: dict[str, str]
    trials: list[Trial]
    damaged: list[str]


def read(directory: Path) -> Stored:
    """Read an experiment, finished or not; needs no write permission."""
    file = directory / FILE_NAME
    if file.is_dir():
        raise InputError(f"{file} is a directory, not an experiment's file; {_KEPT}")
    if not file.is_file():
        raise FileNotFoundError(f"{directory} holds no experiment: there is no {file}")
    _check_header(file)
    with _opened(file) as connection:
        for (finding,) in connection.execute("PRAGMA quick_check(1)"):
            if finding != "ok":
                raise sqlite3.DatabaseError(finding)
        settings, task, environment = entries(connection)
        return Stored(settings, task, environment, *trials(connection, task.metric))


def checksum(*values: Any) -> str:
    """Return the checksum that is stored with values, to detect damage."""
    return hashlib.sha256(repr(values).encode()).hexdigest()[:16]


def entries(connection: sqlite3.Connection) -> tuple[Settings, TaskInfo, dict[str, str]]:
    """Read an experiment's settings, task and environment."""
    found = {}
    for key, value, stored in connection.execute("SELECT key, value, checksum FROM experiment"):
        if checksum(key, value) != stored:
            raise InputError(f"{key} fails its checksum")
        found[key] = value
    return (
        _whole(Settings.from_json(found["settings"])),
        _whole(TaskInfo.from_json(found["task"])),
        _of_type(json.loads(found["environment"]), dict[str, str]),
    )


def trials(connection: sqlite3.Connection, metric: Metric) -> tuple[list[Trial], list[str]]:
    """Read every finished trial, and name those that are not what was stored."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    names = [field.name for field in dataclasses.fields(Trial)]  # as the columns, in their order
    if version == WITHOUT_RESULTS:
        names.remove("results")
    rows = connection.execute(
        f"SELECT {', '.join(names)}, checksum FROM trial ORDER BY learning_rate, activation, seed"
    )
    whole, damaged = [], []
    for *values, stored in rows:
        is_whole = checksum(*values) == stored
        trial = _trial(dict(zip(names, values, strict=True))) if is_whole else None
        if trial is not None and is_possible(trial, metric):
            whole.append(trial)
        else:
            activation, rate, seed = values[:3]
            damaged.append(f"{activation} at {rate}, seed {seed}")
    return whole, damaged


def _trial(row: dict[str, Any]) -> Trial:
    for name in ("validation_score", "test_score"):
        row[name] = math.nan if row[name] is None else row[name]
    row["activation"] = parse(row["activation"])
    row["layers"] = json.loads(row["layers"])
    row["history"] = [_whole(Checkpoint(**fields)) for fields in json.loads(row["history"])]
    row["undefined"] = bool(row["undefined"])
    return _whole(Trial(**row))


def any_text(text: bytes) -> str:
    """Decode text, even if it is damaged: its checksum will tell."""
    return text.decode(errors="backslashreplace")


def _check_header(file: Path) -> None:
    """Refuse any other file before SQLite can change it.

    SQLite completes or rolls back what another program left unfinished.
    """
    try:
        with file.open("rb") as opened:
            header = opened.read(_HEADER_BYTES)
    except OSError as error:
        raise OSError(f"{file} can't be read: {error}") from error
    if not header:
        raise InputError(f"{file} is empty: its experiment was stopped before it began")
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
        raise InputError(f"{file} is damaged or not a leakyrelu experiment; {_KEPT}")
    if int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        raise InputError(f"{file} is another program's database; {_KEPT}")
    version = int.from_bytes(header[60:64], "big")
    if version not in (FORMAT, WITHOUT_RESULTS):
        what = "a newer" if version > FORMAT else "an older"
        raise InputError(
            f"{file} was written by {what} version of leakyrelu (format {version}, this one uses "
            f"{FORMAT}); {_KEPT}, or use that version"
        )


def _whole(found: T) -> T:
    """Return a dataclass; raise if a field is not of its type."""
    of: type = type(found)
    for name, kind in _fields(of).items():
        _of_type(getattr(found, name), kind)
    return found


_fields = functools.cache(typing.get_type_hints)


def _of_type(value: T, kind: Any) -> T:
    """Return a value; raise if it, or anything inside it, is not of its type."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:
        lists = [each for each in inner if typing.get_origin(each) is type(value)]
        if lists:
            return _of_type(value, lists[0])
        is_right = type(value) in inner
    elif isinstance(value, dict):
        is_right = origin is dict
        for each in value.values():
            _of_type(each, inner[1])
    elif isinstance(value, (list, tuple)):
        is_right = isinstance(value, origin)
        for each in value:
            _of_type(each, inner[0])
    else:
        is_right = type(value) is kind or (kind is float and type(value) is int)
    if not is_right:
        raise TypeError(f"{value!r} should be of type {kind}")
    return value


@contextmanager
def _opened(file: Path) -> Iterator[sqlite3.Connection]:
    """Open a file for reading, or a copy of it if a killed process left a transaction open."""
    try:
        with ExitStack() as stack:
            if Path(f"{file}-wal").exists() or not _is_readable(file):
                folder = stack.enter_context(tempfile.TemporaryDirectory())
                for ending in ("", "-journal", "-wal"):
                    if Path(f"{file}{ending}").exists():
                        shutil.copyfile(f"{file}{ending}", Path(folder, FILE_NAME + ending))
                connection = sqlite3.connect(Path(folder, FILE_NAME))
            else:
                connection = _read_only(file)
            stack.enter_context(closing(connection))
            connection.text_factory = any_text
            yield connection
    # Damaged entries can be of any type.
    except (sqlite3.DatabaseError, AttributeError, LookupError, TypeError, ValueError) as error:
        if isinstance(error, sqlite3.OperationalError) and (
            error.sqlite_errorcode != sqlite3.SQLITE_ERROR  # such as a missing column
        ):
            raise OSError(f"{file} can't be read: {error}") from error
        raise InputError(
            f"{file} is damaged: its contents don't match their checksums; {_KEPT}"
        ) from error


def _read_only(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=PATIENCE)


def _is_readable(file: Path) -> bool:
    """Whether it can be read as it is, with no open transaction to roll back."""
    with closing(_read_only(file)) as connection:
        try:
            connection.execute("SELECT count(*) FROM sqlite_master")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_READONLY_ROLLBACK:
                return False
            raise
    return True
