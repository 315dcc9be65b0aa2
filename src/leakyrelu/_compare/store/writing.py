"""The SQLite file that keeps an experiment: its settings and every finished trial."""

from __future__ import annotations

import dataclasses
import json
import math
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from leakyrelu._compare.data.task import TaskInfo
from leakyrelu._compare.settings import Settings
from leakyrelu._compare.store import reading
from leakyrelu._compare.store.reading import BEGAN_WITH, FILE_NAME
from leakyrelu._compare.trial import Trial, is_possible
from leakyrelu._errors import InputError

__all__ = ["Store"]

_SCHEMA = """
    CREATE TABLE experiment (
        key TEXT PRIMARY KEY, value TEXT NOT NULL, checksum TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE trial (
        activation TEXT NOT NULL,
        learning_rate REAL NOT NULL,
        seed INTEGER NOT NULL,
        validation_score REAL,  -- NULL: the trial diverged, or the score is not defined
        test_score REAL,
        seconds REAL NOT NULL,
        layers TEXT NOT NULL,  -- JSON list of names
        history TEXT NOT NULL,  -- JSON list of checkpoints
        undefined INTEGER NOT NULL,  -- 1: it has not diverged, but a score is not defined
        results BLOB NOT NULL,  -- of each test example, see leakyrelu._compare.trial.packed
        checksum TEXT NOT NULL,  -- of all the others
        PRIMARY KEY (activation, learning_rate, seed)
    ) WITHOUT ROWID;  -- so that there is no index which could be damaged separately
"""


class Store:
    """An experiment's file, opened for one set of settings; a context manager.

    A directory is made where there is none. One that holds an experiment with other settings is
    refused; one that differs in activations, learning rates or seeds is the same, and its trials
    are kept. Those that were `damaged` are removed, to be trained again.
    """

    def __init__(
        self, directory: Path, settings: Settings, task: TaskInfo, environment: dict[str, str]
    ) -> None:
        self.directory = directory
        self.damaged: list[str] = []
        self._settings = settings
        self._versions = {n: environment[n] for n in reading.VERSIONS if n in environment}
        self._connection = _open(directory)
        self._connection.text_factory = reading.any_text
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
        if run("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
            for statement in _SCHEMA.split(";\n"):
                run(statement)
            run(f"PRAGMA application_id = {reading.APPLICATION_ID}")
            run(f"PRAGMA user_version = {reading.FORMAT}")
        elif run("PRAGMA user_version").fetchone()[0] != reading.FORMAT:
            raise InputError(
                f"{self.directory} holds an experiment of an earlier version of leakyrelu, which "
                "can be told by leakyrelu report, but not gone on with; give another output "
                "directory"
            )
        elif not (changes := _changes(self.settings, settings)):
            self._leave_out_what_is_damaged()
            self._take(settings)
            return
        elif run("SELECT count(*) FROM trial").fetchone()[0]:
            raise InputError(
                f"{self.directory} holds another experiment: {'; '.join(changes)}. Use the same "
                "settings to resume it, or give another output directory"
            )
        # A new experiment, or one that replaces another which failed before its first trial.
        self._put("settings", settings.to_json())
        self._put("task", task.to_json())
        self._put("environment", json.dumps(environment))

    def _take(self, asked: Settings) -> None:
        """Let the experiment be of other activations, rates or more seeds; it keeps all trials."""
        stored, trials = self.settings, self.trials()
        self._settings = asked.added_to(stored, {trial.seed for trial in trials})
        if self._settings == stored:
            return
        if trials and self._settings.candidates != stored.candidates:
            self._note(BEGAN_WITH, self.environment.get(BEGAN_WITH) or stored.candidates)
        self._put("settings", self._settings.to_json())

    def _leave_out_what_is_damaged(self) -> None:
        whole, self.damaged = reading.trials(self._connection, self.task.metric)
        if self.damaged:
            self._connection.execute("DELETE FROM trial")
            self._insert(whole)
            self._note("damaged", "; ".join(self.damaged))

    def _note_other_versions(self) -> None:
        for name, version in self._versions.items():
            known = self.environment.get(name, version)
            if version not in known.split(reading.THEN):
                self._note(name, f"{known}{reading.THEN}{version}")

    def _note(self, name: str, text: str) -> None:
        self._put("environment", json.dumps({**self.environment, name: text}))

    def _put(self, key: str, value: str) -> None:
        row = key, value, reading.checksum(key, value)
        self._connection.execute("INSERT OR REPLACE INTO experiment VALUES (?, ?, ?)", row)

    def _insert(self, trials: Iterable[Trial]) -> None:
        rows = [_row(trial) for trial in trials]
        # Another process may have run the same trial: the first to finish wins.
        self._connection.executemany(
            "INSERT OR IGNORE INTO trial VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [(*row, reading.checksum(*row)) for row in rows],
        )

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    @property
    def settings(self) -> Settings:
        """The experiment's settings."""
        return reading.entries(self._connection)[0]

    @property
    def task(self) -> TaskInfo:
        """The task."""
        return reading.entries(self._connection)[1]

    @property
    def environment(self) -> dict[str, str]:
        """Versions and machine with which it began."""
        return reading.entries(self._connection)[2]

    def note(self, name: str, text: str) -> None:
        """Add an entry to the environment."""
        try:
            with self._connection:
                self._note(name, text)
        except sqlite3.Error as error:
            raise OSError(f"{self.directory} can't be written to: {error}") from error

    def add(self, trials: Iterable[Trial]) -> None:
        """Commit finished trials, all or none; if that fails, earlier trials stay intact."""
        trials = list(trials)
        metric = self.task.metric
        for trial in trials:
            if not is_possible(trial, metric):
                raise InputError(
                    f"{metric} of {trial.activation} with seed {trial.seed} is "
                    f"{trial.test_score:g}, {trial.validation_score:g} in validation, but should "
                    f"be {metric.low:g} to {metric.high:g}; if it is another metric, give it "
                    "another name"
                )
        try:
            with self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                if self.settings.identity != self._settings.identity:
                    raise InputError(
                        f"{self.directory} was taken over by another experiment before this one "
                        "finished its first trial; give each its own output directory"
                    )
                self._note_other_versions()
                self._insert(trials)
        except sqlite3.Error as error:
            raise OSError(
                f"the last {len(trials)} trials could not be stored in {self.directory}: {error}; "
                "the earlier ones are kept, and the same command resumes"
            ) from error

    def trials(self) -> list[Trial]:
        """Return every finished trial, even of activations that are no longer asked for."""
        return reading.trials(self._connection, self.task.metric)[0]


def _row(trial: Trial) -> tuple[Any, ...]:
    """Return a trial's values as SQLite would return them."""

    def number(value: float) -> float | None:
        return None if math.isnan(value) else float(value) + 0.0  # -0.0 comes back as 0.0

    return (
        str(trial.activation),
        number(trial.learning_rate),
        int(trial.seed),
        number(trial.validation_score),
        number(trial.test_score),
        number(trial.seconds),
        json.dumps(trial.layers),
        json.dumps([dataclasses.asdict(checkpoint) for checkpoint in trial.history]),
        int(trial.undefined),
        trial.results,
    )


def _open(directory: Path) -> sqlite3.Connection:
    file = directory / FILE_NAME
    try:
        directory.mkdir(parents=True, exist_ok=True)
        names = [path.name for path in directory.iterdir()]
        if names and not any(name.startswith(FILE_NAME) for name in names):
            raise InputError(
                f"{directory} is not empty and holds no leakyrelu experiment; give a new or empty "
                "output directory"
            )
        if file.exists() and file.stat().st_size:
            reading.read(directory)  # refuses a damaged file before it is opened for writing
        return sqlite3.connect(file, timeout=reading.PATIENCE)
    except FileExistsError as error:
        raise InputError(f"{directory} is a file; give an output directory") from error
    except (OSError, sqlite3.Error) as error:
        raise OSError(f"the output directory {directory} can't be written to: {error}") from error


def _changes(stored: Settings, asked: Settings) -> list[str]:
    """List what differs: ``epochs 20, not 30``."""
    hashed = {
        "data": "other data",
        "recipe": "another model, loss, metric, optimizer or schedule, or its code",
    }
    return [
        hashed.get(name) or f"{name.replace('_', ' ')} {before}, not {asked.identity[name]}"
        for name, before in stored.identity.items()
        if before != asked.identity[name]
    ]
