"""The user's data, from a file or from memory, made into a task."""

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
from leakyrelu._data.tables import READERS, Table, as_array, as_table
from leakyrelu._errors import InputError

__all__ = ["TOO_RARE", "TWO_PARTS", "load_task", "refuse_two_parts", "together"]

# A text column with more different texts than this is a name or free text, not a category.
MOST_CATEGORIES = 50
# Whole numbers with up to this many values are taken for class labels.
MOST_INTEGER_CLASSES = 20
# A column of this name tells who or what a row is of, if it has a value for each so many rows. So
# do the numbers of rows that a library has written, which count no more once the rows are shuffled.
ID_NAME = re.compile(
    r"(?i:(^|.*[\W_])(id|uuid|guid))|.*[a-z]I[Dd]|Unnamed: 0'*|index|__index_level_0__|rownames"
)
ROWS_OF_AN_ID = 20
LEAST_EXAMPLES = 20
# Columns named in a note; of more, their number is told.
NAMED = 5
TOO_RARE = "Some classes are too rare to be in every part of each split."
TWO_PARTS = (
    "data is a train and a test part, but splits can't be given: give all examples as one, which "
    "each seed splits anew"
)


def load_task(
    data: Any = None,
    target: str | None = None,
    kind: Kind | None = None,
    drop: str | Sequence[str] = (),
) -> Task:
    """Make a `Task` of the user's data.

    Parameters
    ----------
    data : None, path, data frame or (X, y), default None
        None is scikit-learn's handwritten digits. A path is that of a table, as
        `leakyrelu._data.tables.read_table` reads it. A data frame is one of pandas or any other
        library that speaks Arrow, a dict of columns, a Dataset of Hugging Face or a Bunch of
        scikit-learn.
    target : str, optional
        The column to predict. Needed but for ``(X, y)``.
    kind : {"classification", "regression"}, optional
        Found from the target by default: text, booleans and whole numbers of up to 20
        different values are classes, other numbers are regression.
    drop : str or sequence of str, optional
        Columns to leave out.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    InputError
        If the data can't be trained on; the message says which column and how to mend it.
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
    is_bunch = isinstance(data, Mapping) and {"data", "target"} <= set(data)  # of scikit-learn
    if is_bunch and (target is None or (target == "target" and data.get("frame") is None)):
        data, target = (data["data"], data["target"]), None
    if isinstance(data, tuple) and len(data) == 2:
        table, y = _pair(*data, target)
        return _make_task(table, y, kind, drop)
    found = as_table(data)
    if found is None:
        raise InputError(
            f"data of type {type(data).__name__} is not understood; give a path to a table "
            f"({', '.join(READERS)}), a data frame, a dict of columns, or a tuple (X, y)"
        )
    name = f"{found.name}: " if isinstance(data, (str, Path)) else ""
    try:
        y = _target_of(found.frame, target)
        found.frame = found.frame.drop(columns=[target])
        return _make_task(found, y, kind, drop, target)
    except ValueError as error:
        raise InputError(f"{name}{error}") from error


def refuse_two_parts(data: Any) -> None:
    """Refuse a train and a test part, as long as splits can't be given."""
    parts: tuple[Any, ...] = ()
    if isinstance(data, dict) and {"train", "test", "validation"} & set(data):
        parts = tuple(data.values())
    elif isinstance(data, (tuple, list)) and len(data) in (2, 3):
        parts = tuple(data)
    columns = {tuple(_columns_of(part)) for part in parts}
    if len(parts) > 1 and all(map(_is_whole, parts)) and len(columns) == 1:
        raise InputError(TWO_PARTS)


def _columns_of(part: Any) -> Sequence[Any]:
    """Return the names of the columns of a frame; of other things none."""
    found = getattr(part, "column_names", getattr(part, "columns", ()))
    return list(found) if hasattr(part, "shape") else ()


def _is_whole(part: Any) -> bool:
    """Whether it has inputs and targets: a pair, a path, a data set, a frame of some columns."""
    if isinstance(part, (tuple, list)):
        return len(part) == 2 and all(hasattr(each, "shape") for each in part)
    if isinstance(part, (str, Path)):
        return True
    if hasattr(part, "shape"):
        return len(_columns_of(part)) > 1
    has_items = hasattr(part, "__len__") and hasattr(part, "__getitem__")
    return hasattr(part, "dataset") or (has_items and not isinstance(part, (Sequence, Tensor)))


def _pair(inputs: Any, targets: Any, target: str | None) -> tuple[Table, pd.Series[Any]]:
    """Take (X, y) as a table of X, and y."""
    if target is not None:
        raise InputError(f"target {target!r} names a column, but data is (X, y), which has targets")
    is_frame = isinstance(inputs, pd.DataFrame) or hasattr(inputs, "__arrow_c_stream__")
    found = as_table(inputs) if is_frame else None
    if found is None:
        array = as_array(inputs, "X")
        if array.ndim == 0:
            raise InputError("X is a single value; give an array of shape (examples, features)")
        # Each example is flattened, so that images may be given as they are.
        found = Table(pd.DataFrame(array.reshape(len(array), -1)), is_arrays=True)
    found.name = "arrays"
    y = targets if isinstance(targets, pd.Series) else as_array(targets, "y")
    if y.shape == (len(found.frame), 1):
        y = y[:, 0]
    if y.shape != (len(found.frame),):
        raise InputError(
            f"y has shape {y.shape}, but X has {len(found.frame)} examples: give "
            f"({len(found.frame)},)"
        )
    return found, pd.Series(y).reset_index(drop=True)


def _unknown(name: Any, names: Sequence[Any]) -> InputError:
    listed = ", ".join(str(n)[:60] for n in names[:20]) + (", ..." if len(names) > 20 else "")
    if name is None:
        return InputError(f"the target is not named; choose one of the columns: {listed}")
    known = {str(n).lower(): n for n in names}
    nearest = [known[n] for n in difflib.get_close_matches(str(name).lower(), known, n=1)]
    hint = f"; did you mean {nearest[0]!r}?" if nearest else "."
    if any(re.fullmatch(r"-?\d*\.\d+", str(n)) for n in names):
        listed += "; if these are values, write a line with the names of the columns above them"
    return InputError(f"there is no column {shown(name)}{hint} The columns are: {listed}")


def _target_of(table: pd.DataFrame, target: str | None) -> pd.Series[Any]:
    if table.columns.nlevels > 1:
        raise InputError(
            "the columns have names of several levels; give each one name, as with "
            "table.columns = ['_'.join(map(str, names)) for names in table.columns]"
        )
    repeated = table.columns[table.columns.duplicated()]
    if len(repeated):
        raise InputError(f"there are several columns {shown(repeated[0])}; give each its own name")
    if target is None or target not in list(table.columns):  # as a list may be asked for
        if target is not None and target in list(table.index.names):
            raise InputError(
                f"{shown(target)} is the index of the table, no column; give table.reset_index()"
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
    """Return the groups that a split keeps together, if there are any, and note them.

    Parameters
    ----------
    X : ndarray or None
        The examples: those with the same values are kept together.
    notes : list of str
        Sentences are added to it.
    what : str
        What examples are called.
    ids : ndarray, optional
        Numbers of whom or what examples are of.
    of : str, optional
        The columns that tell so.
    """
    same = None if X is None else alike(X)
    either = joined(same, ids)
    # Rows of one person are more surely one thing than rows that happen to be alike.
    can = [g for g in (either, ids, same) if g is not None and sized_for_a_split(g)]
    groups = can[0] if can else None
    if ids is not None:
        is_kept = groups is not None and groups is not same
        told = "stay" if is_kept else "are so many rows that they can't stay"
        notes.append(f"Those of one {of} {told} in one part of each split.")
    if same is not None:
        sizes = np.bincount(same)
        repeats = int((sizes[same] > 1).sum())
        told = f"{repeats:,} of {len(same):,} {what} have the same inputs as another one"
        if groups is not None and groups is not ids:
            notes.append(f"{told}; those that are alike stay in one part of each split.")
        else:
            notes.append(
                f"{told} ({len(sizes):,} different): so many that they can't be kept apart, "
                f"and test parts have {what} that were trained on."
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
    mark = decimal_mark(written) or ("." if table.separator == "," else None)
    notes = list(table.notes)
    if mark == ",":
        notes.append("Decimal commas were found and read as such.")

    column = understand(y, mark)
    can_be_classes = kind == "classification" and isinstance(column.values.dtype, pd.StringDtype)
    if column.problem and not can_be_classes:
        raise InputError(_told_of_target(column, table, kind))
    rows = np.flatnonzero(column.values.notna())
    if len(rows) < len(y):
        notes.append(f"{len(y) - len(rows):,} of {len(y):,} rows have no target; left out.")
    found = kind or _kind_of(column)
    classes, target_values, center, scale = _target_values(column, rows, found)
    if len(rows) < LEAST_EXAMPLES:
        raise InputError(
            f"{len(rows)} examples are too few to split three ways; {LEAST_EXAMPLES} are the least"
        )
    if found == "classification" and (doubtful := [c for c in classes if c in MISSING]):
        notes.append(f"{doubtful[0]!r} is a class of the target, not taken for a missing value.")
    begins = ""
    if target is not None:
        first = ", ".join(shown(str(value).strip()).strip("'\"") for value in y.iloc[rows[:3]])
        begins = f", {shown(target)}, which begins with {first}"
    if kind is None:
        what = f"classification with {len(classes)} classes" if classes else "regression"
        notes.insert(0, f"Taken as {what}, from the values of the target{begins}.")
    elif begins:
        notes.insert(0, f"The target is {begins[2:]}.")
    if column.note:
        notes.append(f"The target {column.note}.")
    X, ids, of = _features(frame.iloc[rows], table, mark, notes)
    groups = together(X, notes, ids=ids, of=of)
    task = Task(
        *(table.name, found, X, target_values, classes, notes),
        center=center,
        scale=scale,
        groups=groups,
    )
    if found == "classification" and not task.can_stratify:
        notes.append(TOO_RARE)
    return task


def _told_of_target(column: Column, table: Table, kind: Kind | None) -> str:
    place = "" if column.row is None else f" ({table.where(column.row)})"
    hint = "drop these rows or mend them"
    if kind is None and "texts" in column.problem:
        hint += ", or ask for kind classification if these are classes"
    if column.problem == "complex numbers":
        hint = "give real ones, such as their abs()"
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
    """Return the classes, the values to train on, and the center and scale of these."""
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
                f"the target has one class only, {classes}, so there is nothing to learn"
            )
        if len(classes) > len(rows) // 2:
            raise InputError(
                f"the target has {len(classes)} classes for {len(rows)} examples, but each needs "
                "several; if it is a number to predict, ask for kind regression"
            )
        return classes, codes.astype(np.int64), 0.0, 1.0
    if column.kind == "text" and not column.is_code:
        raise InputError(
            f"a regression target must be numbers, but this one has text such as "
            f"{shown(values.iloc[0])}"
        )
    numbers = values.astype("float64").to_numpy()
    if not np.isfinite(numbers).all():
        raise InputError("the target has infinite values; drop these rows")
    if numbers.min() == numbers.max():
        raise InputError("the target has the same value in every row, nothing to learn")
    with np.errstate(over="ignore"):
        center, scale = float(numbers.mean()), float(numbers.std())
    if not 0 < scale < np.inf:
        largest = np.abs(numbers).max()
        raise InputError(f"the target has values such as {largest:.3g}; give it in another unit")
    return [], ((numbers - center) / scale).astype(np.float32), center, scale


def _features(
    frame: pd.DataFrame, table: Table, mark: str | None, notes: list[str]
) -> tuple[npt.NDArray[np.float32], Numbers | None, str]:
    """Turn every column into numbers, or refuse those that are none.

    Returns
    -------
    tuple
        The features; numbers of whom or what each row is of, if a column says so; and which.
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
            tell("is empty and was left out", "are empty and were left out")
            continue
        counts_rows = _counts(column, frame.index.to_numpy())
        names_rows = _is_id(name, column)
        can_be_unique = column.kind == "text" or names_rows
        is_unique = can_be_unique and values.notna().all() and values.is_unique
        if counts_rows and is_alone:
            tell("counts the rows: it tells their order", "count the rows: they tell their order")
        elif counts_rows:
            tell("counts the rows and was left out", "count the rows and were left out")
            continue
        elif is_unique:
            what = "has another value in each row, so it was left out"
            tell(what, "have another value in each row, so they were left out")
            continue
        elif names_rows:
            tell(
                f"tells what the rows are of ({values.nunique():,} values), so it was left out",
                "tell what the rows are of, so they were left out",
            )
            of.append(label)
            ids = joined(ids, _codes(values))
            continue
        if column.note:
            tell(column.note, "have times or units; they are taken as numbers")
        if column.kind == "text":
            texts = values.astype("string").fillna("(missing)")
            if texts.nunique() <= MOST_CATEGORIES:
                features.extend(pd.get_dummies(texts, dtype=np.float64).to_numpy().T)
                what = f"is text: one column for each of {texts.nunique()} values"
                tell(what, "are text: one column for each of their values")
                continue
            if not column.is_code:
                refused[str(name)] = f"{label} has {texts.nunique()} different texts"
                continue
            what = f"has codes such as {values.dropna().iloc[0]!r}, and is taken as numbers"
            tell(what, "have codes with zeros in front, and are taken as numbers")
        numbers = values.astype("float64").to_numpy(dtype=np.float64, na_value=np.nan)
        if np.isinf(numbers).any():
            row = int(np.isinf(numbers).argmax())
            place = table.where(int(frame.index[row]))
            refused[str(name)] = f"{label} has infinite values ({place})"
            continue
        missing = np.isnan(numbers)
        # float32 has 7 digits: centre in float64 first, for columns such as years or times.
        with np.errstate(over="ignore"):
            scale = np.nanstd(numbers) or 1.0
        if np.isinf(scale):
            refused[str(name)] = f"{label} has values such as {np.nanmax(np.abs(numbers)):.3g}"
            continue
        features.append((numbers - np.nanmean(numbers)) / scale)
        if missing.any():
            features.append(missing.astype(np.float64))
            rest = "these get its training mean, and a column that says so"
            tell(
                f"is missing in {missing.sum()} rows; {rest}",
                "are missing in some rows; these get the training mean, and a column that says so",
            )
    if refused:
        names = [name for name in refused if "," not in name]
        raise InputError(
            f"can't be used as features: {_some(list(refused.values()), '; ')}. Mend these columns "
            f"(up to {MOST_CATEGORIES} different texts are taken as they are), or leave them out: "
            f"--drop {','.join(names[:NAMED])}"
        )
    if not features:
        raise InputError("there is no feature beside the target; give at least one more column")
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
    """Whether a column counts the rows, from 0 or 1."""
    values = column.values
    if column.kind == "text" or column.is_time or pd.isna(values.iloc[0]):
        return False
    start = values.iloc[0] - rows[0]
    return start in (0, 1) and bool((values == rows + start).fillna(False).all())


def _is_id(name: Any, column: Column) -> bool:
    """Whether a column tells by its name what the rows are of, and has values enough for that."""
    values = column.values
    is_named = bool(ID_NAME.fullmatch(str(name)))
    is_whole = column.kind == "text" or values.dtype == "Int64"
    return is_named and is_whole and values.nunique() * ROWS_OF_AN_ID >= len(values)


def _codes(values: pd.Series[Any]) -> Numbers:
    """Give each value a number, and each gap one of its own."""
    codes = pd.factorize(values)[0].astype(np.int64)
    gaps = codes < 0
    codes[gaps] = codes.max() + 1 + np.arange(gaps.sum())
    return codes
