"""The readers of every file format for tables, by its ending."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import torch
from pyarrow import feather, parquet

from leakyrelu._data.columns import to_pandas
from leakyrelu._data.files import read_arrays
from leakyrelu._data.separated import read_fields
from leakyrelu._data.table import Table, all_named, decoded, refuse_data_as_names
from leakyrelu._errors import InputError, needed_for

__all__ = ["READERS", "as_array", "of_arrays", "of_records"]

OF_PANDAS = {"columns", "index", "data", "schema"}  # keys of what it writes as JSON


def _read_json(content: bytes) -> Table:
    text, notes = decoded(content)
    try:
        return Table(_of_json(json.loads(text)), notes=notes)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":  # one record per line, which many name .json
            return _read_json_lines(content)
        raise


def _of_json(found: Any) -> pd.DataFrame:
    """Make a frame from records, columns, or what pandas writes."""
    if isinstance(found, dict):
        if isinstance(found.get("data"), list) and found.keys() <= OF_PANDAS:
            if isinstance(found.get("columns"), list):
                return pd.DataFrame(found["data"], columns=found["columns"], dtype=object)
            return _of_json(found["data"])
        if found and all(isinstance(column, (list, dict)) for column in found.values()):
            return pd.DataFrame(found, dtype=object).reset_index(drop=True)
    if isinstance(found, list) and all(isinstance(record, dict) for record in found):
        return pd.DataFrame(found, dtype=object)
    raise InputError('it should be records, [{"a": 1, ...}, ...], or columns, {"a": [1, ...], ...}')


def _read_json_lines(content: bytes) -> Table:
    text, notes = decoded(content)
    records, lines = [], []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise InputError(f"line {number} is not JSON: {error}") from error
        if not isinstance(record, dict):
            raise InputError(f'line {number} should be a record, {{"a": 1, ...}}')
        records.append(record)
        lines.append(number)
    frame = pd.DataFrame(records, dtype=object)
    return Table(frame, notes=notes, where=lambda row: f"line {lines[row]}")


def _read_sheet(content: bytes) -> Table:
    with needed_for("a .xlsx file", "excel"):
        import openpyxl
    book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
    sheets = book.worksheets
    rows = list(sheets[0].values)
    names, *rows = rows or [()]
    if not any(name is not None for name in names):
        raise InputError(
            "the first line of its first sheet is empty, but should have the names of the columns"
        )
    notes = []
    if len(sheets) > 1:
        notes.append(f"The first of {len(sheets)} sheets was read, {sheets[0].title!r}.")
    numbers = [n for n, row in enumerate(rows) if any(cell is not None for cell in row)]
    texts = ["" if name is None else str(name).strip() for name in names]
    refuse_data_as_names(texts)
    frame = pd.DataFrame([rows[n] for n in numbers], columns=range(len(names)), dtype=object)
    frame.columns = pd.Index(all_named(texts))
    is_there = [bool(text) or frame.iloc[:, i].notna().any() for i, text in enumerate(texts)]
    return Table(frame.loc[:, is_there], notes=notes, where=lambda row: f"line {numbers[row] + 2}")


def _read_ipc(content: bytes) -> Table:
    source = pa.BufferReader(content)
    is_file = content.startswith(b"ARROW1")
    reader = pa.ipc.open_file(source) if is_file else pa.ipc.open_stream(source)
    return Table(to_pandas(reader.read_all()))


def _read_array(content: bytes) -> Table:
    array = read_arrays(io.BytesIO(content))
    if not isinstance(array, np.ndarray):
        raise InputError("it has several arrays, so its name should end in .npz")
    if array.dtype.names:
        return Table(of_records(array))
    if array.ndim != 2:
        raise InputError(f"it is an array of shape {array.shape}, but should have rows and columns")
    names = [str(i) for i in range(array.shape[1])]
    return Table(pd.DataFrame(as_array(array, "it"), columns=names), is_arrays=True)


def _read_arrays(content: bytes) -> Table:
    arrays = read_arrays(io.BytesIO(content))
    if isinstance(arrays, np.ndarray):
        raise InputError("it is one array without a name; save named ones with numpy.savez")
    return Table(of_arrays(arrays), is_arrays=True)


def of_arrays(arrays: Mapping[Any, Any]) -> pd.DataFrame:
    """Make columns from named arrays; one with several values per example gives several."""
    columns: dict[str, Any] = {}
    first, examples = "", 0
    for name, values in arrays.items():
        if isinstance(values, (list, tuple, range)):
            values = pd.Series(list(values))
        array = values if isinstance(values, pd.Series) else as_array(values, str(name))
        if array.ndim == 0:
            raise InputError(f"{name!r} is a single value, but should have one for each example")
        if not columns:
            first, examples = str(name), len(array)
        if len(array) != examples:
            raise InputError(
                f"{name!r} has shape {array.shape}, but {first!r} has {examples} examples; all "
                "need the same number"
            )
        if array.ndim == 1 or array.shape == (examples, 1):
            columns[str(name)] = np.ravel(array) if array.ndim > 1 else array
        else:
            flat = array.reshape(examples, -1)
            columns |= {f"{name} {i}": flat[:, i] for i in range(flat.shape[1])}
    return pd.DataFrame({name: pd.Series(column).array for name, column in columns.items()})


def of_records(array: npt.NDArray[Any]) -> pd.DataFrame:
    """Make columns from the fields of a structured array."""
    return of_arrays({name: array[name] for name in array.dtype.names or ()})


def as_array(part: Any, name: str) -> npt.NDArray[Any]:
    """Make an array from a tensor, sparse or dense, a list or a Series."""
    if isinstance(part, torch.Tensor):
        part = part.detach().cpu().to_dense()
        part = part.float() if part.dtype == torch.bfloat16 else part
    elif hasattr(part, "toarray"):  # a sparse array of SciPy
        part = part.toarray()
    if isinstance(part, np.ma.MaskedArray) and np.ma.is_masked(part):  # what is masked is missing
        is_numbers = part.dtype.kind in "fiub"
        part = part.astype(np.result_type(part, np.float32) if is_numbers else object)
        part = part.filled(np.nan if is_numbers else None)
    try:
        array = np.asarray(part)
    except Exception as error:
        raise InputError(
            f"{name} can't become an array, for which all examples need the same shape: {error}"
        ) from error
    # Neither pandas nor PyTorch takes the other byte order, which FITS files have.
    return array.astype(array.dtype.newbyteorder("="), copy=False)


READERS: dict[str, Callable[[bytes], Table]] = {
    ".csv": read_fields,
    ".tsv": read_fields,
    ".parquet": lambda content: Table(to_pandas(parquet.read_table(pa.BufferReader(content)))),
    ".npz": _read_arrays,
    ".npy": _read_array,
    ".json": _read_json,
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
    ".feather": lambda content: Table(to_pandas(feather.read_table(pa.BufferReader(content)))),
    ".arrow": _read_ipc,
    ".ipc": _read_ipc,
    ".xlsx": _read_sheet,
}
