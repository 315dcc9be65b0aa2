"""The user's data, from a file or from memory, made into a task."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from leakyrelu.compare.task import Kind, Task, check_kind
from leakyrelu.loading import read_arrays

__all__ = ["TOO_RARE", "as_array", "load_task"]

# A text column with more different texts than this is a name or free text, not a category.
MOST_CATEGORIES = 50
# Whole numbers with up to this many values are taken for class labels.
MOST_INTEGER_CLASSES = 20
DATE = r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}\b|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}\b"
TOO_RARE = "Some classes are too rare to be split evenly; the splits are fully random."


def load_task(data: Any = None, target: str | None = None, kind: Kind | None = None) -> Task:
    """Make a `Task` of the user's data.

    Parameters
    ----------
    data : None, path, DataFrame or (X, y), default None
        None is scikit-learn's handwritten digits. A path ends in ``.csv``, ``.parquet``
        or ``.npz`` (named arrays: the target and the features).
    target : str, optional
        Column, or array of the ``.npz``, to predict. Needed with a file or DataFrame; not
        with ``(X, y)``.
    kind : {"classification", "regression"}, optional
        Found from the target by default: text, booleans and whole numbers of up to 20
        different values are classes, other numbers are regression.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If the data can't be trained on; the message says which column and how to mend it.
    """
    check_kind(kind)
    if data is None:
        if target is not None:
            raise ValueError(f"target {target!r} was given without data; give data too")
        from sklearn.datasets import load_digits

        X, y = load_digits(return_X_y=True)
        pixels = pd.DataFrame(X, columns=[f"pixel {i}" for i in range(X.shape[1])])
        return _make_task("handwritten digits", pixels, pd.Series(y), kind)
    if isinstance(data, (str, Path)):
        return _make_task(Path(data).name, *_read_file(Path(data), target), kind)
    if isinstance(data, pd.DataFrame):
        return _make_task("data frame", *_take_target(data, target), kind)
    if isinstance(data, tuple) and len(data) == 2:
        X = pd.DataFrame(_as_table(as_array(data[0], "X"), "X"))
        y = as_array(data[1], "y")
        if y.shape == (len(X), 1):
            y = y[:, 0]
        if y.shape != (len(X),):
            raise ValueError(
                f"y has shape {y.shape}, but X has {len(X)} examples: give ({len(X)},)"
            )
        return _make_task("arrays", X, pd.Series(y), kind)
    raise ValueError(
        f"data of type {type(data).__name__} is not understood; give a path to a .csv, .parquet "
        "or .npz file, a DataFrame, or a tuple (X, y)"
    )


def as_array(part: Any, name: str) -> npt.NDArray[Any]:
    """Make an array of a tensor, sparse or not, of a list or a Series."""
    if isinstance(part, torch.Tensor):
        part = part.detach().cpu().to_dense()
        part = part.float() if part.dtype == torch.bfloat16 else part
    elif hasattr(part, "toarray"):  # SciPy's sparse arrays
        part = part.toarray()
    try:
        return np.asarray(part)
    except Exception as error:
        raise ValueError(
            f"{name} can't be made an array, for which all examples need one shape: {error}"
        ) from error


def _read_file(path: Path, target: str | None) -> tuple[pd.DataFrame, pd.Series[Any]]:
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name the file in it")
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    readers = {".csv": _read_csv, ".parquet": pd.read_parquet, ".npz": _read_npz}
    reader: Any = readers.get(path.suffix.lower())
    if reader is None:
        raise ValueError(f"{path} should end in {', '.join(readers)}")
    if reader is _read_npz:
        return _take_array(_read_npz(path), target)
    try:
        table = reader(path)
    except (ValueError, OSError) as error:  # pandas and pyarrow raise one of these
        raise ValueError(f"{path} can't be read: {str(error).strip()}") from error
    return _take_target(table, target)


def _read_csv(path: Path) -> pd.DataFrame:
    table = pd.read_csv(path)
    if table.shape[1] == 1:  # in much of the world the separator is no comma
        for separator in ";\t|":
            if separator in str(table.columns[0]):
                return pd.read_csv(path, sep=separator)
    return table


def _read_npz(path: Path) -> Mapping[str, npt.NDArray[Any]]:
    arrays = read_arrays(path)
    if isinstance(arrays, np.ndarray):
        raise ValueError(f"{path} is one array without a name; give several by numpy.savez")
    return arrays


def _unknown_target(target: str | None, names: Sequence[Any]) -> ValueError:
    shown = ", ".join(map(str, names[:20])) + (", ..." if len(names) > 20 else "")
    if target is None:
        return ValueError(f"the target is not named; choose one of the columns: {shown}")
    known = {str(name).lower(): str(name) for name in names}
    nearest = [known[n] for n in difflib.get_close_matches(str(target).lower(), known, n=1)]
    hint = f"; did you mean {nearest[0]!r}?" if nearest else "."
    return ValueError(f"there is no column {target!r}{hint} The columns are: {shown}")


def _take_target(table: pd.DataFrame, target: str | None) -> tuple[pd.DataFrame, pd.Series[Any]]:
    if table.columns.nlevels > 1:
        raise ValueError(
            "the columns have names of several levels; give each one name, as with "
            "table.columns = ['_'.join(map(str, names)) for names in table.columns]"
        )
    repeated = table.columns[table.columns.duplicated()]
    if len(repeated):
        raise ValueError(f"there are several columns {repeated[0]!r}; give each its own name")
    if target is None or target not in list(table.columns):  # as a list may be asked for
        raise _unknown_target(target, list(table.columns))
    return table.drop(columns=target), table[target]


def _take_array(
    arrays: Mapping[str, npt.NDArray[Any]], target: str | None
) -> tuple[pd.DataFrame, pd.Series[Any]]:
    if target is None or target not in arrays:
        raise _unknown_target(target, list(arrays))
    y = arrays[target]
    if y.ndim != 1:
        raise ValueError(f"the target {target!r} has shape {y.shape}; give one value an example")
    parts = []
    for name, array in arrays.items():
        if name == target:
            continue
        if array.ndim == 0 or len(array) != len(y):
            raise ValueError(
                f"array {name!r} has shape {array.shape}, but the target has {len(y)} examples; "
                "all arrays need the same first axis"
            )
        part = _as_table(array, name)
        parts.append(pd.DataFrame(part, columns=[f"{name} {i}" for i in range(part.shape[1])]))
    return pd.concat(parts, axis=1) if parts else pd.DataFrame(index=range(len(y))), pd.Series(y)


def _as_table(array: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    """Flatten each example, so that images may be given as they are."""
    if array.ndim == 0:
        raise ValueError(f"{name} is a single value; give an array of shape (examples, features)")
    return array.reshape(len(array), -1)


def _make_task(name: str, table: pd.DataFrame, y: pd.Series[Any], kind: Kind | None) -> Task:
    if y.isna().any():
        raise ValueError(
            f"the target is missing (NaN) in {int(y.isna().sum())} of {len(y)} rows; "
            "drop these rows or fill them in"
        )
    if pd.api.types.is_complex_dtype(y):
        raise ValueError("the target has complex numbers; give real ones, such as their abs()")
    notes: list[str] = []
    center, scale = 0.0, 1.0
    found = kind or _find_kind(y)
    classes: list[str] = []
    target: npt.NDArray[Any]
    if found == "classification":
        codes, names = pd.factorize(y, sort=True)
        classes, target = [str(label) for label in names], codes.astype(np.int64)
        if len(classes) < 2:
            raise ValueError(
                f"the target has one class only, {classes}, so there is nothing to learn"
                if classes
                else "the data has no rows"
            )
        if len(classes) > len(y) // 2:
            raise ValueError(
                f"the target has {len(classes)} classes for {len(y)} examples, but each needs "
                "several; if it is a number to predict, ask for kind regression"
            )
    else:
        try:
            target = y.to_numpy(dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(
                "a regression target must be numbers, but this one has text"
            ) from error
        if not np.isfinite(target).all():
            raise ValueError("the target has infinite values; drop these rows")
        if len(target) == 0 or target.min() == target.max():
            raise ValueError("the target has the same value in every row, nothing to learn")
        center, scale = float(target.mean()), float(target.std())
        target = ((target - center) / scale).astype(np.float32)
    if len(target) < 20:
        raise ValueError(
            f"{len(target)} examples are too few to split three ways; 20 are the least"
        )
    X = _features(table, notes)
    task = Task(name, found, X, target, classes, notes, center=center, scale=scale)
    if kind is None:
        what = f"classification with {len(classes)} classes" if classes else "regression"
        notes.insert(0, f"Taken as {what}, from the values of the target.")
    if found == "classification" and not task.can_stratify:
        notes.append(TOO_RARE)
    return task


def _find_kind(y: pd.Series[Any]) -> Kind:
    if not pd.api.types.is_numeric_dtype(y) or pd.api.types.is_bool_dtype(y):
        return "classification"
    few = y.nunique() <= MOST_INTEGER_CLASSES
    return "classification" if few and bool((y % 1 == 0).all()) else "regression"


def _is_text(column: pd.Series[Any]) -> bool:
    return column.dtype == object or isinstance(column.dtype, pd.StringDtype)


def _has_times(column: pd.Series[Any]) -> bool:
    """Whether a column has dates or times, as pandas keeps them or in writing."""
    if _is_text(column):
        written = column.dropna().astype("string")
        return bool(written.str.match(DATE).sum() > len(written) / 2)
    return (
        pd.api.types.is_datetime64_any_dtype(column)
        or pd.api.types.is_timedelta64_dtype(column)
        or isinstance(column.dtype, pd.PeriodDtype)
    )


def _as_numbers(column: pd.Series[Any]) -> pd.Series[Any]:
    """Return numbers that are kept as objects or in writing as what they are."""
    if not _is_text(column):
        return column
    numbers = pd.to_numeric(column, errors="coerce")
    return numbers if numbers.notna().equals(column.notna()) else column


def _features(table: pd.DataFrame, notes: list[str]) -> npt.NDArray[np.float32]:
    """Turn every column into numbers, or refuse those that are none."""
    columns: list[npt.NDArray[np.float64]] = []
    refused: list[str] = []
    for name, given in table.items():
        column = _as_numbers(given)
        if column.isna().all():
            notes.append(f"Column {name!r} is empty and was left out.")
        elif pd.api.types.is_bool_dtype(column) or pd.api.types.is_numeric_dtype(column):
            if pd.api.types.is_complex_dtype(column):
                refused.append(f"{name!r} has complex numbers")
                continue
            values = column.to_numpy(dtype=np.float64, na_value=np.nan)
            if np.isinf(values).any():
                refused.append(f"{name!r} has infinite values")
                continue
            missing = np.isnan(values)
            # float32 has 7 digits: centre in float64 first, for columns such as years or times.
            scale = np.nanstd(values) or 1.0
            columns.append((values - np.nanmean(values)) / scale)
            if missing.any():
                columns.append(missing.astype(np.float64))
                notes.append(
                    f"Column {name!r} is missing in {missing.sum()} rows; these get its training "
                    "mean, and a column that says so."
                )
        elif _has_times(column):
            refused.append(f"{name!r} has dates or times")
        else:
            texts = column.astype("string").fillna("(missing)")
            is_number = pd.to_numeric(column, errors="coerce").notna()
            if isinstance(column.dtype, pd.CategoricalDtype):
                is_number[:] = False  # numbers that are names
            if texts.str.fullmatch(r"[-+]?\d+,\d+").mean() > 0.5:
                refused.append(f"{name!r} has numbers with decimal commas")
                continue
            if is_number.sum() > column.notna().sum() / 2:
                text = column[column.notna() & ~is_number].iloc[0]
                refused.append(f"{name!r} has numbers and texts such as {text!r}")
                continue
            if texts.nunique() > MOST_CATEGORIES:
                refused.append(f"{name!r} has {texts.nunique()} different texts")
                continue
            columns.extend(pd.get_dummies(texts, dtype=np.float64).to_numpy().T)
            notes.append(
                f"Column {name!r} is text: one column for each of {texts.nunique()} values."
            )
    if refused:
        raise ValueError(
            f"can't be used as features: {'; '.join(refused)}. Drop these columns or turn them "
            f"into numbers (up to {MOST_CATEGORIES} different texts are taken as they are)"
        )
    if not columns:
        raise ValueError("there is no feature beside the target; give at least one more column")
    return np.stack(columns, axis=1).astype(np.float32)
