"""Runs that others have trained: a table of activations, seeds and scores, as trials.

It is long, a row a run or a row a run and test example; or wide, a column an activation and a row a
seed. What a column means is recognised by its name, as people and trackers write it, or told.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from leakyrelu._compare.data.labels import named
from leakyrelu._compare.data.run_columns import Columns, is_error, measured, plain, wide_to_long
from leakyrelu._compare.data.task import TaskInfo
from leakyrelu._compare.metric import ACCURACY, Metric
from leakyrelu._compare.settings import Settings
from leakyrelu._compare.trial import Trial, packed
from leakyrelu._data.columns import decimal_mark, understand
from leakyrelu._data.reading import as_table
from leakyrelu._data.table import Table
from leakyrelu._errors import InputError
from leakyrelu.activations import Activation

__all__ = ["Known", "Run", "RunSettings", "Runs", "read_runs"]

PARTS = {"train", "training", "val", "valid", "validation", "dev", "test", "testing"}
UNFINISHED = {"running", "scheduled", "pending", "queued"}

Frame = Any  # a data frame, whose columns can't be typed
Known = Literal["results of examples", "scores of splits", "scores of seeds"]


@dataclass(frozen=True)
class Run(Trial):
    """A training by others, of which perhaps only the test score is known."""

    @property
    def is_scored(self) -> bool:
        """Whether it has a test score."""
        return math.isfinite(self.test_score)


@dataclass(frozen=True)
class RunSettings(Settings):
    """What is known of how others have trained, which is little."""

    against: Activation | None = None

    @property
    def reference(self) -> Activation:
        """The activation that all others are compared with."""
        return self.against or super().reference


@dataclass(frozen=True)
class Runs:
    """Trials made of a table, with what is known of them.

    Attributes
    ----------
    task : TaskInfo
    settings : RunSettings
    trials : list of Run
        All there are.
    judged : dict of Activation to list of Run
        Those by which each activation is judged, at one learning rate; none of what diverged.
    known : {"results of examples", "scores of splits", "scores of seeds"}
    test_to_train : float
        Of splits: how many examples test for each that trains.
    has_fixed_test : bool
        All seeds were tested on the same examples, as far as is known.
    chosen_by_test : bool
        Learning rates were chosen by test scores, those of every second seed.
    """

    task: TaskInfo
    settings: RunSettings
    trials: list[Run]
    judged: dict[Activation, list[Run]]
    known: Known
    test_to_train: float = 0.0
    has_fixed_test: bool = True
    chosen_by_test: bool = False

    @property
    def has_one_grid(self) -> bool:
        """Whether all activations were trained at the same learning rates."""
        rates = self.settings.learning_rates
        tried = {trial.key[:2] for trial in self.trials}
        return all((spec, rate) in tried for spec in self.judged for rate in rates)


# --- What is in them -----------------------------------------------------------------------------


def read_runs(
    source: Any,
    told: Mapping[str, str | None],
    *,
    lower_is_better: bool = False,
    reference: str | None = None,
    splits: float | None = None,
) -> Runs:
    """Make trials of runs.

    Parameters
    ----------
    source : path, or data frame of any library
    told : mapping of role to column
        Those that are not to be recognised.
    lower_is_better : bool
    reference : str, optional
    splits : float, optional
        Each seed had a split of its own; the share of its examples, without those that validate,
        that tested.

    Raises
    ------
    InputError
        If it is not clear what is what, or something is missing.
    """
    if splits is not None and not 0 < splits < 1:
        raise InputError(
            f"splits is {splits!r}, but should be a share of the examples, such as 0.2"
        )
    table = _table(source)
    notes = list(table.notes)
    frame = table.frame
    if frame.columns.duplicated().any():
        twice = frame.columns[frame.columns.duplicated()][0]
        raise InputError(f"two columns are named {str(twice)!r}; rename one")
    mark = decimal_mark(frame, table.separator)
    columns = Columns(frame, told)
    for role in ("activation", "seed", "learning_rate", "example", "split", "state"):
        columns.find(role)
    if "activation" in columns.found:
        _find_scores(columns, lower_is_better, notes)
    else:
        frame = wide_to_long(columns, mark, notes)
        if any(told.get(role) for role in ("score", "validation")):
            raise columns.refuse("no column tells the activation", "name it: --activation COLUMN")
    if "seed" not in columns.found:
        raise columns.refuse(
            "no column tells the seed, by which runs are compared in pairs",
            "say which it is: --seed COLUMN",
        )
    score_name = told.get("score") or str(columns.found["score"]).strip()
    rows = _rows(frame, columns, mark, lower_is_better, notes)
    rows = _without_repeats(rows, notes)
    has_examples = "example" in columns.found
    known, ratio = _kind(rows, columns, splits, has_examples)
    metric = _metric(score_name, rows["score"], lower_is_better, has_examples)
    return _judged(rows, table.name, metric, notes, known, ratio, reference)


def _find_scores(columns: Columns, lower_is_better: bool, notes: list[str]) -> None:
    score = columns.find_score(lower_is_better)
    if score is None:
        hint = "say which it is: --score COLUMN"
        if any(is_error(name) for name in columns.names) and not lower_is_better:
            hint += ", with --lower-is-better for a loss or an error"
        raise columns.refuse("no column is known to be the test score", hint)
    columns.find_validation()
    if is_error(score) and not lower_is_better:
        notes.append(
            f"{score} was taken for a score of which higher is better; for an error, say "
            "--lower-is-better."
        )


def _table(source: Any) -> Table:
    if isinstance(source, (str, Path)) and Path(source).is_dir():
        from leakyrelu._compare.data.tensorboard import read_folder

        return read_folder(Path(source))
    table = as_table(source)
    if table is None:
        raise InputError(
            f"runs is a {type(source).__name__}, but should be a table of runs: a path or a data "
            "frame, with a row a run"
        )
    if not isinstance(source, (str, Path)):
        table.name = "the runs"
    if table.frame.empty:
        raise InputError(f"{table.name} has no rows, but should have one for each run")
    return table


def _rows(
    frame: Frame,
    columns: Columns,
    mark: str | None,
    lower_is_better: bool,
    notes: list[str],
) -> Frame:
    """Return a row a score, with columns by what they are; what can't be used is told."""
    found = columns.found
    rows: Frame = pd.DataFrame(index=range(len(frame)))
    for role, name in found.items():
        column = understand(frame[name].reset_index(drop=True), mark)
        if role in ("score", "validation", "learning_rate"):
            rows[role] = _numbers(column.values, name)
        else:
            rows[role] = _mapped(column.values, _key)
    signs = {"score": -1 if lower_is_better else 1}
    if "validation" in found:
        alike = measured(found["validation"]) == measured(found["score"])
        signs["validation"] = (
            signs["score"] if alike else -1 if is_error(found["validation"]) else 1
        )
    for role, sign in signs.items():
        rows[role] = (sign * rows[role]).where(np.isfinite(rows[role]))
    if "state" in rows:
        running = rows["state"].map(lambda state: str(state).lower() in UNFINISHED)
        if running.any():
            notes.append(f"Left out: {running.sum()} that have not finished ({found['state']}).")
            rows = rows[~running]
    incomplete = rows[["activation", "seed"]].isna().any(axis=1)
    if incomplete.any():
        what = "activation or seed"
        notes.append(f"Left out: {incomplete.sum()} of {len(rows)} rows, without {what}.")
        rows = rows[~incomplete]
    if "example" in rows and rows["example"].isna().any():
        raise InputError(f"column {str(found['example'])!r} has no value in some rows")
    if rows.empty:
        raise InputError("no row has an activation and a seed")
    for role in ("learning_rate", "validation", "split"):
        if role not in rows:
            rows[role] = {"learning_rate": 0.0, "validation": np.nan, "split": ""}[role]
    rows["learning_rate"] = rows["learning_rate"].fillna(0.0)
    spelled: dict[str, Activation] = {}  # in small letters
    labels = {
        text: spelled.setdefault(text.lower(), named(text))
        for text in sorted(rows["activation"].unique())
    }
    each = _mapped(rows["activation"], labels.__getitem__)
    rows["activation"] = pd.Series(each, rows.index, dtype=object)  # else pandas makes plain texts
    if {str(part).lower() for part in rows["split"].unique()} <= PARTS:
        raise InputError(
            f"column {str(found['split'])!r} has the parts of the data: keep the rows of the test "
            "part, and leave the column out"
        )
    if rows["split"].nunique() < 2:
        rows["split"] = ""
    return rows.reset_index(drop=True)


def _numbers(values: pd.Series[Any], name: object) -> np.ndarray[Any, np.dtype[np.float64]]:
    numbers = pd.to_numeric(values.astype(object), errors="coerce")
    texts = values[numbers.isna() & values.notna()].astype(str)
    bad = texts[~texts.str.lower().isin(["", "nan", "none", "null"])]
    if len(bad):
        raise InputError(
            f"column {str(name)!r} should have numbers, but has {str(bad.iloc[0])!r}; leave empty "
            "what is not known or has diverged"
        )
    return np.asarray(numbers, np.float64)


def _mapped(column: Frame, function: Callable[[Any], Any]) -> np.ndarray[Any, np.dtype[Any]]:
    """Return what a function makes of each value, called once for equal ones; None of none."""
    codes, values = pd.factorize(column)
    found = np.empty(len(values) + 1, object)
    found[:-1] = [function(value) for value in values]
    return found[codes]


def _key(value: Any) -> str:
    """Write a value that identifies something, the same for 1, 1.0 and "1"."""
    is_whole = isinstance(value, (float, np.floating)) and float(value).is_integer()
    return str(int(value)) if is_whole else str(value).strip()


RUN = ["activation", "learning_rate", "seed", "split"]


def _without_repeats(rows: Frame, notes: list[str]) -> Frame:
    """Leave out rows that are there twice; refuse those that differ in the score."""
    keys = [*RUN, "example"] if "example" in rows else RUN
    first = rows.drop_duplicates([*keys, "score", "validation"])
    if len(first) < len(rows):
        notes.append(f"{len(rows) - len(first)} rows are there more than once; each counts once.")
    twice = first[first.duplicated(keys, keep=False)]
    if len(twice):
        own = twice[(twice[keys] == twice[keys].iloc[0]).all(axis=1)]
        one = own.iloc[0]
        told = [f"seed {one['seed']}"]
        told += [f"learning rate {one['learning_rate']:g}"] if one["learning_rate"] else []
        told += [f"split {one['split']}"] if one["split"] else []
        told += [f"example {one['example']}"] if "example" in own else []
        scores = " and ".join(f"{abs(score):g}" for score in own["score"][:2])
        raise InputError(
            f"{one['activation']} with {', '.join(told)} is there {len(own)} times, with scores "
            f"{scores}: keep one of them, or name the column that tells them apart "
            "(--learning-rate or --example COLUMN, or a column named split)"
        )
    return first


def _kind(
    rows: Frame, columns: Columns, splits: float | None, has_examples: bool
) -> tuple[Known, float]:
    """Say what is known of the runs, and of splits how many test for each that trains."""
    if has_examples:
        return "results of examples", 0.0
    count = rows["split"].nunique()
    if splits is None and count > 1:
        name = str(columns.found["split"])
        if "fold" not in plain(name):
            raise InputError(
                f"column {name!r} has {count} splits: say which share of the examples was tested "
                "in each, as in --splits 0.2 (without those that validate)"
            )
        splits = 1 / count
    if splits is None:
        return "scores of seeds", 0.0
    return "scores of splits", splits / (1 - splits)


def _metric(name: str, scores: pd.Series[float], lower: bool, has_examples: bool) -> Metric:
    what = measured(name) or "score"
    low, high = scores.min(), scores.max()
    is_share = low >= 0 and high <= 1
    if has_examples and scores.dropna().isin([0.0, 1.0]).all():
        return ACCURACY
    if what in ("accuracy", "acc", "top1", "top_1", "top1_acc", "acc1") and low >= 0:
        if is_share:
            return ACCURACY
        if high <= 100:
            return dataclasses.replace(ACCURACY, high=100.0, scale=1.0)
    return Metric(f"minus {what}" if lower else what.replace("_", " "))


# --- By which each activation is judged ----------------------------------------------------------


def _judged(
    rows: Frame,
    name: str,
    metric: Metric,
    notes: list[str],
    known: Known,
    ratio: float,
    reference: str | None,
) -> Runs:
    activations = sorted(rows["activation"].unique())
    if len(activations) < 2:
        raise InputError(f"all runs are of {activations[0]}, but a comparison needs two or more")
    against = _reference(rows["activation"].unique(), reference)
    # The same runs give the same numbers in any order of rows.
    rows = rows.sort_values([*RUN, "example"] if "example" in rows else RUN)
    activations = [against, *(each for each in activations if each != against)]
    pairs = rows[["seed", "split"]].drop_duplicates().itertuples(index=False, name=None)
    each = list(pairs)
    units = _numbered(each)
    numbers = np.array([units[pair] for pair in each])
    rows["unit"] = numbers[rows.groupby(["seed", "split"], sort=False).ngroup()]
    rows = _without_drawn_rates(rows, notes)
    if "example" in rows:
        rows = _tested_by_all(rows, notes)
    choosing, chosen_by_test = rows, _has_rates(rows) and not _validated(rows)
    if chosen_by_test:
        choosing, rows = _halves(rows)
    rates = _rates(choosing, rows, activations, chosen_by_test, notes)
    trials = _trials(rows, known)
    judged = {spec: [t for t in trials if t.key[:2] == (spec, rates[spec])] for spec in activations}
    names = {number: _told(unit) for unit, number in units.items()}
    lost = {spec: [names[t.seed] for t in own if not t.is_scored] for spec, own in judged.items()}
    judged = _paired(judged, against, names, notes)
    if told := [f"{spec} with {', '.join(own[:3])}" for spec, own in lost.items() if own]:
        notes.append(
            f"No score: {'; '.join(told)}. That counts as diverged, as to leave out only what "
            "failed would flatter."
        )
    judged = {spec: [] if lost[spec] else own for spec, own in judged.items()}
    used = {t.seed for own in judged.values() for t in own} or {t.seed for t in trials}
    settings = RunSettings(
        data="",
        activations=tuple(judged),
        seeds=tuple(sorted(used)),
        epochs=0,
        learning_rates=tuple(sorted({t.learning_rate for t in trials})),
        batch_size=0,
        recipe="runs",
        against=against,
    )
    count, is_fixed, step = 0, known == "scores of seeds", 0.0
    if known == "results of examples":
        tested = rows.groupby(RUN)["example"].size()
        count = rows["example"].nunique()
        is_fixed = bool(tested.mean() > count / 2)  # else each seed has a split of its own
        if metric == ACCURACY:
            step = 1 / int(tested.max())
    task = TaskInfo(name, metric, step, count, "", notes)
    kept = [trial for trial in trials if trial.activation in judged]
    return Runs(task, settings, kept, judged, known, ratio, is_fixed, chosen_by_test)


def _reference(activations: Sequence[Activation], asked: str | None) -> Activation:
    """Return the activation to compare with: that which was asked for, relu, or the first."""
    wanted = named("relu" if asked is None else asked)
    for each in activations:
        if each.lower() == wanted.lower():
            return each
    if asked is not None:
        raise InputError(
            f"the reference {asked!r} is not among the activations: "
            f"{', '.join(sorted(set(activations)))}"
        )
    return activations[0]


def _tested_by_all(rows: Frame, notes: list[str]) -> Frame:
    """Leave out test examples on which not all runs of a seed were tested."""
    runs = rows.groupby("unit").apply(lambda own: len(own[RUN].drop_duplicates()))
    tested = rows.groupby(["unit", "example"])["score"].transform("size")
    kept = rows[tested == rows["unit"].map(runs)]
    if kept.empty:
        raise InputError(
            "no test example was tested with all activations of a seed, but they are compared in "
            "pairs: the same examples should have the same names in all runs"
        )
    if len(kept) < len(rows):
        notes.append(
            f"Left out: {len(rows) - len(kept):,} results of test examples on which not all runs "
            "of the seed were tested."
        )
    return kept


def _without_drawn_rates(rows: Frame, notes: list[str]) -> Frame:
    """Leave out learning rates where each seed has its own, so that none was chosen here."""
    of_each = rows.groupby(["activation", "unit"])["learning_rate"].nunique()
    if _has_rates(rows) and (of_each == 1).all():
        notes.append(
            "Learning rates differ among the seeds of an activation, which has one for each: all "
            "of its seeds are judged together."
        )
        return rows.assign(learning_rate=0.0)
    return rows


def _has_rates(rows: Frame) -> bool:
    return bool((rows.groupby("activation")["learning_rate"].nunique() > 1).any())


def _validated(rows: Frame) -> bool:
    """Whether every run with a score has a validation score."""
    return not (rows["score"].notna() & rows["validation"].isna()).any()


def _halves(rows: Frame) -> tuple[Frame, Frame]:
    """Let every second seed, and test example, choose the learning rate, and the others judge."""
    seeds = sorted(rows["seed"].unique(), key=_place)
    if len(seeds) < 4:
        raise InputError(
            f"there are several learning rates and no validation score: to choose by test scores "
            f"flatters, and to choose on half of {len(seeds)} seeds takes 4 or more; name the "
            "validation scores with --validation COLUMN, or keep one learning rate"
        )
    chooses = rows["seed"].isin(seeds[::2])
    judges = ~chooses
    if "example" in rows:
        own = rows["example"].isin(sorted(rows["example"].unique(), key=_place)[::2])
        chooses, judges = chooses & own, judges & ~own
    return rows[chooses], rows[judges]


def _place(text: str) -> tuple[Any, ...]:
    return (0, int(text), "") if re.fullmatch(r"-?\d+", text) else (1, 0, text)


def _numbered(pairs: Sequence[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """Give a number to each seed and split, which make a pair; that of the seed if it has one."""
    units = sorted(pairs, key=lambda unit: (*map(_place, unit),))
    if all(re.fullmatch(r"\d+", seed) and not split for seed, split in units):
        return {unit: int(unit[0]) for unit in units}
    return {unit: number for number, unit in enumerate(units)}


def _told(unit: tuple[str, str]) -> str:
    return f"seed {unit[0]}" + (f" of split {unit[1]}" if unit[1] else "")


def _trials(rows: Frame, known: Known) -> list[Run]:
    count = 0
    if known == "results of examples":
        examples = sorted(rows["example"].unique(), key=_place)
        places = {example: place for place, example in enumerate(examples)}
        count = len(examples)
        rows = rows.assign(place=_mapped(rows["example"], places.__getitem__).astype(int))
    found = []
    for (spec, rate, unit), own in rows.groupby(["activation", "learning_rate", "unit"]):
        scores = own["score"].to_numpy(float)
        results = b""
        if count:
            results = packed(own["place"], scores, count)
        validation = own["validation"].mean()
        score = float(scores.mean())
        run = Run(spec, rate, int(unit), float(validation), score, 0.0, [], [], results=results)
        found.append(run)
    return found


def _rates(
    choosing: Frame,
    rows: Frame,
    activations: Sequence[Activation],
    by_test: bool,
    notes: list[str],
) -> dict[Activation, float]:
    """Choose each activation's learning rate, of those with the most seeds and all scores."""
    found: dict[Activation, float] = {}
    fewer: list[str] = []
    parts = [dict(iter(part.groupby("activation"))) for part in (choosing, rows)]
    for spec in activations:
        mine, own = (part[spec] for part in parts)
        counts = own.groupby("learning_rate")["unit"].nunique()
        fewer += [f"{spec} at {rate:g}" for rate in counts[counts < counts.max()].index]
        failed = {*mine[mine["score"].isna()]["learning_rate"]}
        failed |= {*own[own["score"].isna()]["learning_rate"]}
        most = counts[counts == counts.max()].index
        sound = [rate for rate in most if rate not in failed]
        by_unit = mine[mine["learning_rate"].isin(sound)].groupby(["learning_rate", "unit"])
        means = by_unit["score" if by_test else "validation"].mean()
        means = means.groupby("learning_rate").mean().dropna()
        found[spec] = float(means.idxmax() if len(means) else (sound or most)[0])
    if fewer:
        notes.append(
            f"Learning rates with fewer seeds than others of the activation are left out: "
            f"{', '.join(fewer[:5])}{' and more' if len(fewer) > 5 else ''}."
        )
    return found


def _paired(
    judged: dict[Activation, list[Run]],
    against: Activation,
    names: Mapping[int, str],
    notes: list[str],
) -> dict[Activation, list[Run]]:
    """Leave out seeds that have no pair: of others without the reference, and the other way."""
    has = {spec: {trial.seed for trial in own} for spec, own in judged.items()}
    other = {seed for spec, seeds in has.items() if spec != against for seed in seeds}
    found, dropped, alone = {}, [], []
    for spec, own in judged.items():
        partners = other if spec == against else has[against]
        kept = [trial for trial in own if trial.seed in partners]
        if not kept:
            alone.append(spec)
            continue
        dropped += [f"{spec} with {names[t.seed]}" for t in own if t.seed not in partners]
        found[spec] = kept
    if len(found) < 2:
        raise InputError(
            f"no activation has a seed in common with {against}, but runs are compared in pairs: "
            "train them with the same seeds"
        )
    if alone:
        notes.append(f"Left out, as no seed is that of a run of {against}: {', '.join(alone)}.")
    if dropped:
        more = f" and {len(dropped) - 5} more" if len(dropped) > 5 else ""
        notes.append(f"Runs without a pair are left out: {', '.join(dropped[:5])}{more}.")
    return found
