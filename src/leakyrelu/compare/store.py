"""The SQLite file that keeps an experiment: its settings and every finished trial."""

from __future__ import annotations

import dataclasses
import json
import math
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from leakyrelu.compare.plan import Settings
from leakyrelu.compare.task import TaskInfo
from leakyrelu.compare.trial import Checkpoint, Trial

__all__ = ["Store"]

FILE_NAME = "trials.sqlite"
# Marks the file as ours; SQLite keeps it in the header (PRAGMA application_id).
APPLICATION_ID = int.from_bytes(b"lkRL", "big")
FORMAT = 2

_SCHEMA = """
    CREATE TABLE experiment (key TEXT PRIMARY KEY, value TEXT NOT NULL);
    CREATE TABLE trial (
        activation TEXT NOT NULL,
        learning_rate REAL NOT NULL,
        seed INTEGER NOT NULL,
        validation_score REAL,  -- NULL: the trial diverged
        test_score REAL,
        seconds REAL NOT NULL,
        layers TEXT NOT NULL,  -- JSON list of names
        history TEXT NOT NULL,  -- JSON list of checkpoints
        PRIMARY KEY (activation, learning_rate, seed)
    );
"""


class Store:
    """An experiment's file, opened for one set of settings; a context manager.

    Parameters
    ----------
    directory : Path
        Made if it does not exist.
    settings : Settings
        What the experiment is. A directory that holds another one is refused.
    task : TaskInfo
        What it is about, kept with a new experiment.
    environment : dict of str to str
        Versions and the like, kept with a new experiment.

    Raises
    ------
    ValueError
        If the directory holds something else, or an experiment of other settings.
    OSError
        If it cannot be written to.
    """

    def __init__(
        self, directory: Path, settings: Settings, task: TaskInfo, environment: dict[str, str]
    ) -> None:
        self.directory = directory
        self._connection = _open(directory)
        try:
            with self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                self._check_or_create(settings, task, environment)
        except sqlite3.Error as error:
            self._connection.close()
            raise OSError(f"{directory} can't be written to: {error}") from error
        except ValueError:
            self._connection.close()
            raise

    def _check_or_create(
        self, settings: Settings, task: TaskInfo, environment: dict[str, str]
    ) -> None:
        run = self._connection.execute
        tables = run("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if tables == 0:
            for statement in _SCHEMA.split(";")[:-1]:
                run(statement)
            run(f"PRAGMA application_id = {APPLICATION_ID}")
            run(f"PRAGMA user_version = {FORMAT}")
            entries = {
                "settings": settings.to_json(),
                "task": json.dumps(dataclasses.asdict(task)),
                "environment": json.dumps(environment),
            }
            self._connection.executemany("INSERT INTO experiment VALUES (?, ?)", entries.items())
            return
        if run("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
            raise ValueError(
                f"{self.directory}/{FILE_NAME} is a database of another program; "
                "give another output directory"
            )
        if run("PRAGMA user_version").fetchone()[0] != FORMAT:
            raise ValueError(
                f"{self.directory} was written by another version of leakyrelu; "
                "give another output directory"
            )
        changes = _changes(self.settings, settings)
        if changes:
            raise ValueError(
                f"{self.directory} holds an experiment with {'; '.join(changes)}. Ask for the same "
                "settings to resume it, or give another output directory"
            )

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._connection.close()

    def _entry(self, key: str) -> str:
        query = "SELECT value FROM experiment WHERE key = ?"
        text: str = self._connection.execute(query, (key,)).fetchone()[0]
        return text

    @property
    def settings(self) -> Settings:
        """What the experiment is."""
        return Settings.from_json(self._entry("settings"))

    @property
    def task(self) -> TaskInfo:
        """What it is about."""
        return TaskInfo(**json.loads(self._entry("task")))

    @property
    def environment(self) -> dict[str, str]:
        """Versions and machine with which it began."""
        environment: dict[str, str] = json.loads(self._entry("environment"))
        return environment

    def note(self, name: str, text: str) -> None:
        """Add something to the environment."""
        with self._connection:
            entry = json.dumps({**self.environment, name: text})
            query = "UPDATE experiment SET value = ? WHERE key = 'environment'"
            self._connection.execute(query, (entry,))

    def add(self, trials: Iterable[Trial]) -> None:
        """Commit finished trials, all or none.

        Raises
        ------
        OSError
            If they cannot be written, as on a full disk; earlier trials stay whole.
        """
        rows = [
            (
                trial.activation,
                trial.learning_rate,
                trial.seed,
                trial.validation_score,
                trial.test_score,
                trial.seconds,
                json.dumps(trial.layers),
                json.dumps([dataclasses.asdict(checkpoint) for checkpoint in trial.history]),
            )
            for trial in trials
        ]
        try:
            with self._connection:
                # Another process may have run the same trial: the first to finish counts.
                self._connection.executemany(
                    "INSERT OR IGNORE INTO trial VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows
                )
        except sqlite3.Error as error:
            raise OSError(
                f"the last {len(rows)} trials could not be stored in {self.directory}: {error}; "
                "the earlier ones are kept, and the same command resumes"
            ) from error

    def trials(self) -> list[Trial]:
        """Return every finished trial."""
        rows = self._connection.execute(
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


def _open(directory: Path) -> sqlite3.Connection:
    file = directory / FILE_NAME
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if not file.exists() and any(directory.iterdir()):
            raise ValueError(
                f"{directory} holds something else than an experiment of leakyrelu; "
                "give a new or empty output directory"
            )
        connection = sqlite3.connect(file, timeout=60)
    except FileExistsError as error:
        raise ValueError(f"{directory} is a file; give a directory for the output") from error
    except (OSError, sqlite3.Error) as error:
        raise OSError(f"the output directory {directory} can't be written to: {error}") from error
    try:
        connection.execute("SELECT count(*) FROM sqlite_master")
    except sqlite3.DatabaseError as error:
        connection.close()
        if isinstance(error, sqlite3.OperationalError):
            raise OSError(f"{file} can't be opened: {error}") from error
        raise ValueError(
            f"{file} is damaged or no SQLite file ({error}); it was left as it is, "
            "give another output directory"
        ) from error
    return connection


def _changes(stored: Settings, asked: Settings) -> list[str]:
    """Say what differs: ``epochs 20, not 30``."""
    changes = []
    for field in dataclasses.fields(Settings):
        before, after = getattr(stored, field.name), getattr(asked, field.name)
        if before == after:
            continue
        name = field.name.replace("_", " ")
        if field.name == "data":
            changes.append("other data")
        else:
            shown = [
                ", ".join(map(str, v)) if isinstance(v, tuple) else str(v) for v in (before, after)
            ]
            changes.append(f"{name} {shown[0]}, not {shown[1]}")
    return changes
