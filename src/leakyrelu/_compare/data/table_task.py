"""Turns the user's table, from a file or from memory, into a task."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from torch import Tensor

from leakyrelu._compare.data.repeats import Numbers, alike, joined, sized_for_a_split
from leakyrelu._compare.data.task import Kind, Task, check_kind
from leakyrelu._data.columns import MISSING, Column, decimal_mark, shown, understand
from leakyrelu._data.reading import READERS, Table, as_array, as_table
from leakyrelu._errors import InputError

__all__ = ["TOO_RARE", "TWO_PARTS", "load_task", "refuse_two_parts", "together"]

# A text column with more distinct values than this holds names or free text, not categories.
MOST_CATEGORIES = 50
# Integers with up to this many distinct values are treated as class labels.
MOST_INTEGER_CLASSES = 20
# A column with such a name identifies who or what a row belongs to, if it has at least one distinct
# value per ROWS_OF_AN_ID rows. Row numbers that a library has written are here too: once the rows
# are shuffled, they no longer count.
ID_NAME = re.compile(
    r"(?i:(^|.*[\W_])(id|uuid|guid))|.*[a-z]I[Dd]|Unnamed: 0'*|index|__index_level_0__|rownames"
)
ROWS_OF_AN_ID = 20
LEAST_EXAMPLES = 20
# A note names up to this many columns, and counts the others.
NAMED = 5
TOO_RARE = "Some classes are too rare to be in every part of each split."
TWO_PARTS = (
    "data is a train and a test part, but splits can't be given: give all examples as one, since "
    "each seed makes its own split"
)


def load_task(
    data: Any = None,
    target: str | None = None,
    kind: Kind | None = None,
    drop: str | Sequence[str] = (),
) -> Task:
    """Make a `Task` from the user's table; the arguments are those of `leakyrelu.compare`.

    By default text, booleans and integers with up to 20 distinct values are classes, other numbers
    are regression.
    """
    check_kind(kind)
    drop = [drop] if isinstance(drop, str) else list(drop)
    if data is None:
        if target is not None:
            raise InputError(f"target {target!r} was given without data; give data too")
        if drop:
            raise InputError(f"drop {drop!r} was given without data; give data too")
        from sklearn.datasets import load_digits

        X, y = load_digits(return_X_y=True)
        pixels = pd.DataFrame(X, columns=[f"pixel {i}" for i in range(X.shape[1])])
        return _make_task(Table(pixels, "handwritten digits"), pd.Series(y), kind)
    refuse_two_parts(data)
    is_bunch = isinstance(data, Mapping) and {"data", "target"} <= set(data)  # scikit-learn's
    if is_bunch and (target is None or (target == "target" and data.get("frame") is None)):
        data, target = (data["data"], data["target"]), None
    if isinstance(data, tuple) and len(data) == 2:
        table, y = _pair(*data, target)
        return _make_task(table, y, kind, drop)
    found = as_table(data)
    if found is None:
        raise InputError(
            f"data of type {type(data).__name__} is not supported; give a path to a table "
            f"({', '.join(READERS)}), a data frame, a dict of columns, or a tuple (X, y)"
        )
    name = f"{found.name}: " if isinstance(data, (str, Path)) else ""
    try:
        y = _target_of(found.frame, target)
        found.frame = found.frame.drop(columns=[target])
        return _make_task(found, y, kind, drop, target)
    except InputError as error:
        raise InputError(f"{name}{error}") from error


def refuse_two_parts(data: Any) -> None:
    """Refuse a train and a test part: each seed makes its own split."""
    parts: Sequence[Any] = ()
    if isinstance(data, dict) and {"train", "test", "validation"} & set(data):
        parts = list(data.values())
    elif isinstance(data, (tuple, list)) and len(data) in (2, 3):
        parts = data
    columns = {tuple(_columns_of(part)) for part in parts}
    if len(parts) > 1 and all(map(_is_whole, parts)) and len(columns) == 1:
        raise InputError(TWO_PARTS)


def _columns_of(part: Any) -> Sequence[Any]:
    """Return a frame's column names; nothing for anything else."""
    found = getattr(part, "column_names", getattr(part, "columns", ()))
    return list(found) if hasattr(part, "shape") else ()


def _is_whole(part: Any) -> bool:
    """Whether it has both inputs and targets: a pair, path, data set or frame with columns."""
    if isinstance(part, (tuple, list)):
        return len(part) == 2 and all(hasattr(each, "shape") for each in part)
    if isinstance(part, (str, Path)):
        return True
    if hasattr(part, "shape"):
        return len(_columns_of(part)) > 1
    has_items = hasattr(part, "__len__") and hasattr(part, "__getitem__")
    return hasattr(part, "dataset") or (has_items and not isinstance(part, (Sequence, Tensor)))


def _pair(inputs: Any, targets: Any, target: str | None) -> tuple[Table, pd.Series[Any]]:
    """Return X as a table, and y."""
    if target is not None:
        raise InputError(f"target {target!r} names a column, but data is (X, y); leave target out")
    is_frame = isinstance(inputs, pd.DataFrame) or hasattr(inputs, "__arrow_c_stream__")
    found = as_table(inputs) if is_frame else None
    if found is None:
        array = as_array(inputs, "X")
        if array.ndim == 0:
            raise InputError("X is a single value; give an array of shape (examples, features)")
        # Each example is flattened, so that images can be given as they are.
        found = Table(pd.DataFrame(array.reshape(len(array), -1)), is_arrays=True)
    found.name = "arrays"
    y = targets if isinstance(targets, pd.Series) else as_array(targets, "y")
    if y.shape == (len(found.frame), 1):
        y = y[:, 0]
    if y.shape != (len(found.frame),):
        raise InputError(
            f"y has shape {y.shape}, but X has {len(found.frame)} examples: y should have shape "
            f"({len(found.frame)},)"
        )
    return found, pd.Series(y).reset_index(drop=True)


def _unknown(name: Any, names: Sequence[Any]) -> InputError:
    listed = ", ".join(str(n)[:60] for n in names[:20]) + (", ..." if len(names) > 20 else "")
    if name is None:
        return InputError(f"no target was given; choose one of the columns: {listed}")
    known = {str(n).lower(): n for n in names}
    nearest = [known[n] for n in difflib.get_close_matches(str(name).lower(), known, n=1)]
    hint = f"; did you mean {nearest[0]!r}?" if nearest else "."
    if any(re.fullmatch(r"-?\d*\.\d+", str(n)) for n in names):
        listed += "; if these are values, add a header line with the column names above them"
    return InputError(f"there is no column {shown(name)}{hint} The columns are: {listed}")


def _target_of(table: pd.DataFrame, target: str | None) -> pd.Series[Any]:
    if table.columns.nlevels > 1:
        raise InputError(
            "the columns have multi-level names; flatten them, for example with "
            "table.columns = ['_'.join(map(str, names)) for names in table.columns]"
        )
    repeated = table.columns[table.columns.duplicated()]
    if len(repeated):
        raise InputError(f"several columns are named {shown(repeated[0])}; give each its own name")
    if target is None or target not in list(table.columns):  # a list, as target may be unhashable
        if target is not None and target in list(table.index.names):
            raise InputError(
                f"{shown(target)} is the table's index, not a column; give table.reset_index()"
            )
        raise _unknown(target, list(table.columns))
    return table[target]


def together(
    X: npt.NDArray[Any] | None,
    notes: list[str],
    what: str = "rows",
    ids: Numbers | None = None,
    of: str = "",
) -> Numbers | None:
    """Return the groups that a split keeps together, if any, and add notes about them.

    These are duplicates in X, called `what`, and examples of the same person or thing: with the
    same number in `ids`, which come from the columns `of`.
    """
    same = None if X is None else alike(X)
    either = joined(same, ids)
    # Rows of one person surely belong together; identical rows may be a coincidence.
    can = [g for g in (either, ids, same) if g is not None and sized_for_a_split(g)]
    groups = can[0] if can else None
    if ids is not None:
        is_kept = groups is not None and groups is not same
        told = "are kept" if is_kept else "are too many to keep"
        notes.append(f"Rows with the same {of} {told} in one part of each split.")
    if same is not None:
        sizes = np.bincount(same)
        repeats = int((sizes[same] > 1).sum())
        told = f"{repeats:,} of {len(same):,} {what} have duplicate inputs"
        if groups is not None and groups is not ids:
            notes.append(f"{told}; duplicates are kept in one part of each split.")
        else:
            notes.append(
                f"{told} ({len(sizes):,} are distinct): too many to keep in one part, so test "
                f"parts contain {what} seen in training."
            )
    return groups


def _make_task(
    table: Table,
    y: pd.Series[Any],
    kind: Kind | None,
    drop: Sequence[str] = (),
    target: str | None = None,
) -> Task:
    if target in drop:
        raise InputError(f"{shown(target)} can't be both the target and dropped")
    for name in drop:
        if name not in list(table.frame.columns):
            raise _unknown(name, list(table.frame.columns))
    frame = table.frame.drop(columns=list(drop)).reset_index(drop=True)
    written = pd.concat([frame, y.reset_index(drop=True)], axis=1)
    mark = decimal_mark(written, table.separator)
    notes = list(table.notes)
    if mark == ",":
        notes.append("Commas in numbers were read as decimal marks.")

    column = understand(y, mark)
    can_be_classes = kind == "classification" and isinstance(column.values.dtype, pd.StringDtype)
    if column.problem and not can_be_classes:
        raise InputError(_told_of_target(column, table, kind))
    rows = np.flatnonzero(column.values.notna())
    if len(rows) < len(y):
        notes.append(f"{len(y) - len(rows):,} of {len(y):,} rows have no target and were dropped.")
    found = kind or _kind_of(column)
    classes, target_values, center, scale = _target_values(column, rows, found)
    if len(rows) < LEAST_EXAMPLES:
        raise InputError(
            f"{len(rows)} examples are too few to split three ways; give at least {LEAST_EXAMPLES}"
        )
    if found == "classification" and (doubtful := [c for c in classes if c in MISSING]):
        notes.append(f"{doubtful[0]!r} is a class of the target, not treated as missing.")
    named = ""
    if target is not None:
        first = ", ".join(shown(str(value).strip()).strip("'\"") for value in y.iloc[rows[:3]])
        named = f"{shown(target)} ({first}, ...)"
    if kind is None:
        what = f"{len(classes)}-class classification" if classes else "regression"
        source = f"target {named}" if named else "the target"
        notes.insert(0, f"Treated as {what}, inferred from {source}.")
    elif named:
        notes.insert(0, f"The target is {named}.")
    if column.note:
        notes.append(f"The target {column.note}.")
    X, ids, of = _features(frame.iloc[rows], table, mark, notes)
    groups = together(X, notes, ids=ids, of=of)
    about = table.name, found, X, target_values, classes, notes
    task = Task(*about, center=center, scale=scale, groups=groups)
    if found == "classification" and not task.can_stratify:
        notes.append(TOO_RARE)
    return task


def _told_of_target(column: Column, table: Table, kind: Kind | None) -> str:
    place = "" if column.row is None else f" ({table.where(column.row)})"
    hint = "drop or fix these rows"
    if kind is None and "texts" in column.problem:
        hint += ", or ask for kind classification if these are classes"
    if column.problem == "complex numbers":
        hint = "give real numbers, such as their abs()"
    return f"the target has {column.problem}{place}; {hint}"


def _kind_of(column: Column) -> Kind:
    if column.kind == "text" or column.values.dtype == "boolean":
        return "classification"
    values = column.values.dropna()
    is_whole = values.nunique() <= MOST_INTEGER_CLASSES and bool((values % 1 == 0).all())
    return "classification" if is_whole and not column.is_time else "regression"


def _target_values(
    column: Column, rows: npt.NDArray[np.int64], kind: Kind
) -> tuple[list[str], npt.NDArray[Any], float, float]:
    """Return the classes, the values to train on, and their center and scale."""
    values = column.values.iloc[rows]
    if not len(rows):
        raise InputError("the target is empty" if len(column.values) else "the data has no rows")
    if kind == "classification":
        plain = {"Int64": "int64", "boolean": "bool", "float64": "float64"}
        dtype = np.dtype(plain.get(str(values.dtype), "object"))
        codes, names = pd.factorize(values.to_numpy(dtype=dtype), sort=True)
        classes = [str(label) for label in names]
        if len(classes) < 2:
            raise InputError(
                f"the target has only one class, {classes}, so there is nothing to learn"
            )
        if len(classes) > len(rows) // 2:
            raise InputError(
                f"the target has {len(classes)} classes for {len(rows)} examples, but each class "
                "needs several; if it is a quantity, ask for kind regression"
            )
        return classes, codes.astype(np.int64), 0.0, 1.0
    if column.kind == "text" and not column.is_code:
        raise InputError(
            f"a regression target must be numeric, but this one has text such as "
            f"{shown(values.iloc[0])}"
        )
    numbers = values.astype("float64").to_numpy()
    if not np.isfinite(numbers).all():
        raise InputError("the target has infinite values; drop these rows")
    if numbers.min() == numbers.max():
        raise InputError("the target has the same value in every row, so there is nothing to learn")
    with np.errstate(over="ignore"):
        center, scale = float(numbers.mean()), float(numbers.std())
    if not 0 < scale < np.inf:
        largest = np.abs(numbers).max()
        raise InputError(
            f"the target has values such as {largest:.3g}, out of range; give it in another unit"
        )
    return [], ((numbers - center) / scale).astype(np.float32), center, scale


def _features(
    frame: pd.DataFrame, table: Table, mark: str | None, notes: list[str]
) -> tuple[npt.NDArray[np.float32], Numbers | None, str]:
    """Turn every column into numbers, or refuse those that can't be.

    Returns also a number for the person or thing that each row belongs to, if a column says so, and
    the names of these columns.
    """
    features: list[npt.NDArray[np.float64]] = []
    refused: dict[str, str] = {}
    told: dict[str, list[tuple[str, str]]] = {}
    ids, of = None, list[str]()
    is_alone = frame.shape[1] == 1 or table.is_arrays

    def tell(one: str, many: str) -> None:
        told.setdefault(many, []).append((label, one))

    for name, given in frame.items():
        column = understand(given, mark)
        label, values = shown(name), column.values
        if column.problem:
            row = column.row
            place = "" if row is None else f" ({table.where(int(frame.index[row]))})"
            refused[str(name)] = f"{label} has {column.problem}{place}"
            continue
        if values.isna().all():
            tell("is empty and was dropped", "are empty and were dropped")
            continue
        counts_rows = _counts(column, frame.index.to_numpy())
        names_rows = _is_id(name, column)
        can_be_unique = column.kind == "text" or names_rows
        is_unique = can_be_unique and values.notna().all() and values.is_unique
        if counts_rows and is_alone:
            tell("numbers the rows, so it encodes their order", "number the rows in order")
        elif counts_rows:
            tell("numbers the rows and was dropped", "number the rows and were dropped")
            continue
        elif is_unique:
            what = "has a different value in every row and was dropped"
            tell(what, "have a different value in every row and were dropped")
            continue
        elif names_rows:
            tell(
                f"is an identifier ({values.nunique():,} values) and was dropped",
                "are identifiers and were dropped",
            )
            of.append(label)
            ids = joined(ids, _codes(values))
            continue
        if column.note:
            tell(column.note, "hold times or units, read as numbers")
        if column.kind == "text":
            texts = values.astype("string").fillna("(missing)")
            if texts.nunique() <= MOST_CATEGORIES:
                features.extend(pd.get_dummies(texts, dtype=np.float64).to_numpy().T)
                what = f"is text: one-hot encoded ({texts.nunique()} values)"
                tell(what, "are text: one-hot encoded")
                continue
            if not column.is_code:
                refused[str(name)] = f"{label} has {texts.nunique()} distinct texts"
                continue
            what = f"has codes such as {values.dropna().iloc[0]!r}, read as numbers"
            tell(what, "have codes with leading zeros, read as numbers")
        numbers = values.astype("float64").to_numpy(dtype=np.float64, na_value=np.nan)
        if np.isinf(numbers).any():
            row = int(np.isinf(numbers).argmax())
            place = table.where(int(frame.index[row]))
            refused[str(name)] = f"{label} has infinite values ({place})"
            continue
        missing = np.isnan(numbers)
        # float32 has 7 digits, too few for columns such as years or times: center in float64 first.
        with np.errstate(over="ignore"):
            scale = np.nanstd(numbers) or 1.0
        if np.isinf(scale):
            refused[str(name)] = f"{label} has values such as {np.nanmax(np.abs(numbers)):.3g}"
            continue
        features.append((numbers - np.nanmean(numbers)) / scale)
        if missing.any():
            features.append(missing.astype(np.float64))
            rest = "filled with the training mean, with an indicator column"
            tell(f"is missing in {missing.sum()} rows; {rest}", f"are missing in some rows; {rest}")
    if refused:
        names = [name for name in refused if "," not in name]
        raise InputError(
            f"can't be used as features: {_some(list(refused.values()), '; ')}. Fix these columns "
            f"(text may have up to {MOST_CATEGORIES} distinct values) or drop them: "
            f"--drop {','.join(names[:NAMED])}"
        )
    if not features:
        raise InputError("the target is the only usable column; give at least one feature")
    for many, each in told.items():
        if len(each) <= NAMED:
            notes.extend(f"Column {label} {one}." for label, one in each)
        else:
            notes.append(f"{len(each):,} columns {many}: {_some([n for n, _ in each], ', ')}.")
    return np.stack(features, axis=1).astype(np.float32), ids, " or ".join(of)


def _some(parts: Sequence[str], separator: str) -> str:
    more = f"{separator}and {len(parts) - NAMED:,} more" if len(parts) > NAMED else ""
    return separator.join(parts[:NAMED]) + more


def _counts(column: Column, rows: npt.NDArray[np.int64]) -> bool:
    """Whether a column numbers the rows, from 0 or 1."""
    values = column.values
    if column.kind == "text" or column.is_time or pd.isna(values.iloc[0]):
        return False
    start = values.iloc[0] - rows[0]
    return start in (0, 1) and bool((values == rows + start).fillna(False).all())


def _is_id(name: Any, column: Column) -> bool:
    """Whether a column's name says it is an identifier, and it has enough distinct values."""
    values = column.values
    is_named = bool(ID_NAME.fullmatch(str(name)))
    is_whole = column.kind == "text" or values.dtype == "Int64"
    return is_named and is_whole and values.nunique() * ROWS_OF_AN_ID >= len(values)


def _codes(values: pd.Series[Any]) -> Numbers:
    """Give each value a number, and each missing value one of its own."""
    codes = pd.factorize(values)[0].astype(np.int64)
    gaps = codes < 0
    codes[gaps] = codes.max() + 1 + np.arange(gaps.sum())
    return codes
