"""Turns the user's tensors or data set into a task, as they are: images, sequences, anything."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch.utils.data import ConcatDataset, DataLoader, IterableDataset, Subset, TensorDataset

from leakyrelu._compare.data.images import read_images, tracked
from leakyrelu._compare.data.metrics import check_metric, named_metric, refuse_errors
from leakyrelu._compare.data.table_task import TOO_RARE, load_task, refuse_two_parts, together
from leakyrelu._compare.data.task import Kind, Task, check_kind, left_out_by, name_of
from leakyrelu._compare.fingerprint import learn_changes
from leakyrelu._data.loading import called
from leakyrelu._data.reading import as_array
from leakyrelu._errors import InputError

__all__ = ["make_task", "tensor_task"]

LEAST_EXAMPLES = 20
MOST_TRIED = 20  # items tried, to see whether they have the targets that a data set holds
UNSCALED = "uint8 inputs were converted to float32, not scaled."


def make_task(
    data: Any,
    target: str | None,
    kind: Kind | None,
    loss: Callable[..., Any] | None,
    metric: Callable[..., Any] | str | None,
    is_table: bool,
    drop: str | Sequence[str] = (),
    progress: bool = False,
) -> Task:
    """Make a `Task` from whatever the user gave: a table, or tensors as they are."""
    check_kind(kind)
    metric = named_metric(metric, loss) if isinstance(metric, str) else metric
    refuse_errors(metric)
    for name, function in (("loss", loss), ("metric", metric)):
        if isinstance(function, type):
            raise InputError(
                f"{name} is the class {function.__name__}, but should be a function of outputs and "
                f"targets, such as {function.__name__}()"
            )
        if function is not None and not callable(function):
            raise InputError(
                f"{name} should be a function of outputs and targets, not {function!r}"
            )
    given = data
    while isinstance(data, type) or (callable(data) and not hasattr(data, "__getitem__")):
        data = _made_by(data)
    if not is_table and data is None:
        raise InputError(
            "a model was given without data; give (X, y), a data set, or the path of a table"
        )
    if isinstance(data, (str, Path)) and os.path.isdir(data):
        if target is not None or drop:
            raise InputError(
                f"target and drop are for tables, but {data} is a folder of images, one sub-folder "
                "per class; leave them out"
            )
        task = _image_task(Path(data), kind, loss, metric, is_table, progress)
    elif is_table or _is_table(data, target):
        task = load_task(data, target, kind, drop)
        scored = "custom" if loss and kind is None else task.kind
        task = dataclasses.replace(task, kind=scored, loss=loss, metric=metric)
    elif target is not None:
        raise InputError(f"target {target!r} names a column, but data is not a table")
    elif drop:
        raise InputError(f"drop {drop!r} names columns, but data is not a table")
    else:
        task = tensor_task(data, kind, loss, metric, progress=progress)
    if given is not data:
        task = dataclasses.replace(task, name=name_of(given), source=given)
    check_metric(task)
    return task


def _made_by(function: Callable[[], Any]) -> Any:
    """Return what a function of the user makes; later hashes exclude what changes in it."""
    made: list[Any] = []
    learn_changes(function, lambda: made.append(called(function, f"{name_of(function)}()")))
    return made[0]


def _image_task(
    directory: Path,
    kind: Kind | None,
    loss: Callable[..., Any] | None,
    metric: Callable[..., Any] | None,
    is_table: bool,
    progress: bool,
) -> Task:
    """Make a `Task` from a folder of images; as a table, each pixel value is a feature."""
    if kind == "regression":
        raise InputError(f"kind is 'regression', but the sub-folders of {directory} are classes")
    found = read_images(directory, 4 if is_table else 1, progress)
    task = tensor_task((found.X, found.y), kind, loss, metric, directory.resolve().name)
    notes = [*found.notes, *(note for note in task.notes if note != UNSCALED)]
    X: npt.NDArray[Any] = found.X
    if is_table:
        X = X.reshape(len(X), -1).astype(np.float32)
        notes.append("Without a model, each pixel value is a feature.")
    else:
        notes.append(
            "Pixel values are float32 from 0 to 255, not scaled; the model may divide them first."
        )
    return dataclasses.replace(task, X=X, classes=found.classes, notes=notes, is_table=is_table)


def _is_table(data: Any, target: str | None) -> bool:
    """Whether data is a table even when the user gives a model."""
    speaks_of_tables = hasattr(data, "to_pandas") or hasattr(data, "__arrow_c_stream__")
    has_target = target is not None and isinstance(data, dict)
    return isinstance(data, (str, Path, pd.DataFrame)) or speaks_of_tables or has_target


def tensor_task(
    data: Any,
    kind: Kind | None = None,
    loss: Callable[..., Any] | None = None,
    metric: Callable[..., Any] | None = None,
    name: str = "own data",
    progress: bool = False,
) -> Task:
    """Make a `Task` from tensors, arrays or a data set; the model gets the examples as they are.

    A `torch.utils.data.DataLoader` stands for its data set, whose items are read on demand. Integer
    targets are classes unless `kind` says otherwise.
    """
    if isinstance(data, DataLoader):
        data = data.dataset
    if isinstance(data, dict) and {"data", "target"} <= set(data):
        data = data["data"], data["target"]  # a scikit-learn Bunch
    refuse_two_parts(data)
    X, y = _parts(data, progress)
    y = y.astype(np.float32 if y.dtype.kind == "f" else np.int64)
    if len(y) < LEAST_EXAMPLES:
        raise InputError(
            f"{len(y)} examples are too few to split three ways; give at least {LEAST_EXAMPLES}"
        )
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise InputError("the targets have NaN or infinite values; drop these examples")
    is_whole = y.dtype.kind == "i"
    if kind is None:
        kind = "custom" if loss else "classification" if is_whole else "regression"
    notes = []
    first = X[0] if isinstance(X, np.ndarray) else X[0][0]
    if str(getattr(first, "dtype", "")).endswith("uint8"):
        notes.append(UNSCALED)
    if isinstance(X, np.ndarray) and X.dtype.kind == "f":
        broken = int((~np.isfinite(X.reshape(len(X), -1))).any(1).sum())
        if broken:
            notes.append(f"X has NaN or infinite values in {broken:,} of {len(X):,} examples.")
    classes: list[str] = []
    if kind == "classification":
        if y.ndim == 2 and y.shape[1] == 1:
            y = y[:, 0]
        if (y == np.round(y)).all():
            y, is_whole = y.astype(np.int64), True
        numbers = y if loss is None else y[y != left_out_by(loss)]
        if not is_whole or numbers.min(initial=0) < 0:
            raise InputError(
                "classification targets should be class indices, 0 and up, but are "
                f"{y.dtype} from {y.min():g} up; for regression give kind='regression', and to "
                "ignore positions marked -100 give loss=torch.nn.CrossEntropyLoss()"
            )
        classes = [str(label) for label in np.unique(numbers).tolist()]
        if len(classes) < 2:
            raise InputError("the targets have only one class, so there is nothing to learn")
    elif kind == "regression":
        y = y.astype(np.float32)
    groups = together(X if isinstance(X, np.ndarray) else _held(X, "inputs"), notes, "examples")
    task = Task(name, kind, X, y, classes, notes, False, loss, metric, groups=groups)
    if kind == "classification" and y.ndim == 1 and not task.can_stratify:
        notes.append(TOO_RARE)
    return task


def _parts(data: Any, progress: bool) -> tuple[Any, npt.NDArray[Any]]:
    if isinstance(data, (tuple, list)) and len(data) == 2:
        X, y = (_array(part, name) for part, name in zip(data, "Xy", strict=True))
        if len(X) != len(y):
            raise InputError(f"X has {len(X)} examples, but y has {len(y)}; give as many of each")
        return X, y
    if isinstance(data, (torch.Tensor, np.ndarray)):
        raise InputError(
            f"data is one array of shape {tuple(data.shape)}, without targets; give (X, y)"
        )
    if isinstance(data, tuple):
        raise InputError(f"data is a tuple of {len(data)}, but should be (X, y)")
    is_map_style = hasattr(data, "__len__") and hasattr(data, "__getitem__")
    if not is_map_style or isinstance(data, (IterableDataset, dict, str)):
        raise InputError(
            f"data is a {type(data).__name__}, but should be (X, y), tensors or arrays of shape "
            "(examples, ...), or a data set with len() and items (x, y)"
        )
    examples = called(lambda: len(data), "len() of the data set")
    held = _held_targets(data, examples)
    if held is None:
        rows = tracked(range(examples), "reading the targets of the data set", progress)
        targets = [_target_of(data, row) for row in rows]
        if len({target.shape for target in targets}) > 1:
            raise InputError(
                "the targets of the data set have different shapes; pad them to the same shape"
            )
        held = np.stack(targets) if targets else np.zeros(0)
    if held.dtype.kind not in "fiub":
        raise InputError(
            "the targets of the data set are not numbers, but values such as "
            f"{str(held.flat[0])!r}; give class indices, 0 and up"
        )
    return data, held


def _held(data: Any, part: Literal["inputs", "targets"]) -> npt.NDArray[Any] | None:
    """Return all inputs or all targets, if a data set holds them as one array."""
    if isinstance(data, Subset):
        whole = _held(data.dataset, part)
        return None if whole is None else whole[np.asarray(data.indices, np.int64)]
    if isinstance(data, ConcatDataset):
        parts = [each for each in (_held(one, part) for one in data.datasets) if each is not None]
        is_one = len({(each.shape[1:], each.dtype) for each in parts}) == 1
        return np.concatenate(parts) if is_one and len(parts) == len(data.datasets) else None
    if isinstance(data, TensorDataset):
        found = data.tensors[part == "targets"] if len(data.tensors) == 2 else None
    elif part == "targets":
        found = getattr(data, "targets", getattr(data, "labels", None))
    else:
        found = getattr(data, "data", None)
        if str(getattr(found, "dtype", "")).removeprefix("torch.") != "uint8":  # not images
            return None
    if not isinstance(found, (torch.Tensor, np.ndarray, list)) or isinstance(found, np.memmap):
        return None
    try:
        array = as_array(found, part)
    except ValueError:  # of several shapes
        return None
    return array if len(array) == len(data) and array.dtype.kind in "fiub" else None


def _held_targets(data: Any, examples: int) -> npt.NDArray[Any] | None:
    """Return the targets that a data set holds as one array, if its items have the same.

    That is tried on one item of each class, and a few more.
    """
    y = _held(data, "targets")
    if y is None or len(y) != examples or examples == 0:
        return None
    firsts = np.unique(y.reshape(examples, -1)[:, 0], return_index=True)[1][:MOST_TRIED]
    for row in {*firsts.tolist(), *np.linspace(0, examples - 1, MOST_TRIED, dtype=int).tolist()}:
        target = _target_of(data, row)
        if target.dtype.kind != y.dtype.kind or not np.array_equal(target, y[row]):
            return None
    return y


def _target_of(data: Any, row: int) -> npt.NDArray[Any]:
    item = called(lambda: data[row], f"item {row} of the data set")
    if not isinstance(item, (tuple, list)) or len(item) != 2:
        found = f"{type(item).__name__} of {len(item)}" if hasattr(item, "__len__") else repr(item)
        raise InputError(f"items of the data set should be (x, y), but one is a {found}")
    if isinstance(item[0], (tuple, list, dict)):
        raise InputError(
            f"x in the items of the data set is a {type(item[0]).__name__}, but a model gets one "
            "tensor; stack its parts into one, and unstack them in a module around the model"
        )
    return np.asarray(item[1])


def _array(part: Any, name: str) -> npt.NDArray[Any]:
    array = as_array(part, name)
    if name == "y" and array.dtype.kind in "UO" and all(isinstance(v, str) for v in array.flat):
        raise InputError(
            f"y is text such as {str(array.flat[0])!r}; give class indices, 0 and up, as made by "
            "sklearn.preprocessing.LabelEncoder"
        )
    if array.ndim == 0 or array.dtype.kind not in "fiub":
        raise InputError(
            f"{name} should be numbers of shape (examples, ...), but is a "
            f"{type(part).__name__} of {array.dtype} with shape {array.shape}"
        )
    # float64 is NumPy's default, but few models take it.
    return np.ascontiguousarray(array, np.float32 if array.dtype.kind == "f" else None)
