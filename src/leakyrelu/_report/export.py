"""Trials as files that other programs read: CSV, Parquet, JSON, TensorBoard."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from leakyrelu._compare.results import Results
from leakyrelu._compare.statistics.condition import reach, silent
from leakyrelu._compare.trial import Trial
from leakyrelu._data.files import check_file, replacing
from leakyrelu._errors import InputError, needed_for
from leakyrelu._report import sentences
from leakyrelu._report.tables import candidates_table, names_of, pairs_table, trials_table
from leakyrelu._report.why import explain

__all__ = ["ENDINGS", "PAGES", "as_json", "export", "to_tensorboard"]

ENDINGS = (".csv", ".parquet", ".json")
PAGES = (".html", ".htm")


def export(several: Sequence[Results], path: Path) -> None:
    """Write the trials of experiments, one row each; of several with the name of its experiment.

    As JSON, one object, or a list of several, with settings, environment, verdict and histories.
    """
    check_file(path, ENDINGS)
    if path.suffix.lower() == ".json":
        each = [as_json(found) for found in several]
        text = json.dumps(each[0] if len(each) == 1 else each, indent=1, allow_nan=False)
        with replacing(path) as part:
            part.write_text(text, encoding="utf-8")
        return
    tables = [trials_table(found) for found in several]
    if len(tables) > 1:
        for table, found in zip(tables, several, strict=True):
            table.insert(0, "experiment", str(found.directory))
    rows = pd.concat(tables, ignore_index=True)
    write = rows.to_csv if path.suffix.lower() == ".csv" else rows.to_parquet
    with replacing(path) as part:
        write(part, index=False)


def as_json(found: Results) -> dict[str, Any]:
    """Return all that is known of an experiment, as `json.dumps` takes it."""
    trials = [dataclasses.asdict(trial) for trial in found.histories()]
    for trial in trials:
        del trial["results"]  # of single test examples
    everything: dict[str, Any] = _finite(
        {
            "experiment": str(found.directory),
            "task": json.loads(found.task.to_json()),
            "settings": json.loads(found.settings.to_json()),
            "environment": found.environment,
            "rope": found.rope,
            "is_finished": found.is_finished,
            "verdict": sentences.verdict(found),
            f"best on {found.scope}": [str(c.activation) for c in found.best],
            "recommended": found.recommended and str(found.recommended.activation),
            f"regret on {found.scope}": found.regret,
            "why": explain(found),
            "notes": sentences.notes(found),
            "table": candidates_table(found).to_dict("records") if found.candidates else [],
            "pairs": pairs_table(found).to_dict("records") if found.candidates else [],
            "trials": trials,
        }
    )
    return everything


def _finite(value: Any) -> Any:
    """Replace NaN and infinities, which JSON has not, by null."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def to_tensorboard(several: Sequence[Results], directory: Path) -> None:
    """Write each trial as a run: scalars over the epochs, and what it was with its scores."""
    with needed_for("TensorBoard", "tensorboard"):
        from torch.utils.tensorboard import SummaryWriter
        from torch.utils.tensorboard.summary import hparams
    if directory.exists() and not directory.is_dir():
        raise NotADirectoryError(f"{directory} is a file; give a directory for the runs")
    runs = list(_runs(several, directory))
    for run, _, _ in runs:
        if run.exists():  # TensorBoard would show each point twice
            raise InputError(f"{directory} already holds the run {run.name}; give a new directory")
    for run, found, trial in runs:
        with SummaryWriter(run) as writer:
            scores = {"score/test": trial.test_score, "score/validation": trial.validation_score}
            what = {name: getattr(trial, name) for name in ("activation", "learning_rate", "seed")}
            for summary in hparams(what, scores):  # type: ignore[no-untyped-call]
                writer.file_writer.add_summary(summary)
            for name, value in scores.items():
                writer.add_scalar(name, value, found.settings.epochs)
            for at, checkpoint in enumerate(trial.history):
                course = {
                    "train_loss": checkpoint.train_loss,
                    "validation_score": checkpoint.validation_score,
                    "health/silent": silent(trial, at),
                    "health/first_gradient": reach(trial, at),
                }
                if checkpoint.slopes:
                    course["health/slope"] = float(np.mean(checkpoint.slopes))
                for name, value in course.items():
                    writer.add_scalar(name, value, checkpoint.epoch)


def _runs(several: Sequence[Results], directory: Path) -> Iterator[tuple[Path, Results, Trial]]:
    """Yield each trial with the directory of its run."""
    folders = names_of(several) if len(several) > 1 else [""]
    for folder, found in zip(folders, several, strict=True):
        for trial in found.histories():
            name = f"{trial.activation}-lr{trial.learning_rate:g}-seed{trial.seed}"
            yield directory / folder / re.sub(r"[^\w.-]", "_", name), found, trial
