"""Tables as users have them, in files or in memory, made data frames.

What a file of text says stays text here; `leakyrelu._data.columns` tells what it means.
"""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import io
import itertools
import json
import lzma
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import torch
from pyarrow import csv as arrow_csv
from pyarrow import feather, parquet

from leakyrelu._data.columns import to_pandas
from leakyrelu._data.files import read_arrays, refuse_address
from leakyrelu._errors import InputError

__all__ = ["READERS", "Table", "as_array", "as_table", "read_table"]

SEPARATORS = ",;\t|"
ROWS_SNIFFED = 100  # that a separator should divide alike
SNIFFED = 1 << 20  # letters, for these rows
OF_PANDAS = {"columns", "index", "data", "schema"}  # keys of what it writes as JSON


@dataclass
class Table:
    """A table, and what is to be said of how it was read.

    Attributes
    ----------
    frame : DataFrame
        Of a file of text, all columns are texts.
    name : str
    notes : list of str
        What was decided, in sentences.
    where : callable
        Says where the user finds a row, given its number from 0.
    separator : str
        What stands between the fields of a file of text.
    is_arrays : bool
        Its columns are what somebody has computed, not all there is of some things.
    """

    frame: pd.DataFrame
    name: str = "table"
    notes: list[str] = field(default_factory=list)
    where: Callable[[int], str] = "row {}, counted from 0".format
    separator: str = ""
    is_arrays: bool = False


def read_table(path: Path) -> Table:
    """Read a table from a file.

    Parameters
    ----------
    path : Path
        Its ending is one of `READERS`, or one of these with .gz, .bz2 or .xz behind it; or .zip,
        with one such file in it.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ImportError
        If a library is needed to read it.
    InputError
        If it can't be read; the message says in which line, if it is a file of text.
    """
    if path.is_dir():
        raise InputError(
            f"{path} is a folder; name the file in it (for a folder of images, give module:name of "
            "a data set that reads them)"
        )
    ending, packing = endings(path)
    if packing != ".zip" and ending not in READERS:
        raise InputError(
            f"{path} should end in {', '.join(READERS)}; of these, packed ones may end in "
            f"{', '.join(f'.csv{packing}' for packing in UNPACKERS)}"
        )
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        content = path.read_bytes()
        if packing == ".zip":
            content, ending = _unzipped(content)
        elif packing:
            content = UNPACKERS[packing](content)
        table = READERS[ending](content)
    except ImportError:
        raise
    except Exception as error:  # of the libraries, which raise all kinds at what is broken
        told = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path} can't be read: {told}") from error
    table.name = path.name
    return table


def endings(path: Path) -> tuple[str, str]:
    """Return what a file ends in, without the ending that tells how it is packed, and that."""
    packing = path.suffix.lower() if path.suffix.lower() in UNPACKERS else ""
    return Path(path.stem).suffix.lower() if packing else path.suffix.lower(), packing


def _unzipped(content: bytes) -> tuple[bytes, str]:
    """Return the only table in an archive, and its ending."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = [
            name
            for name in archive.namelist()
            if Path(name).suffix.lower() in READERS and not name.startswith("__MACOSX/")
        ]
        if len(names) != 1:
            raise InputError(
                f"it should have one file in it that ends in {', '.join(READERS)}, but has "
                f"{', '.join(names[:5]) or 'none'}"
            )
        return archive.read(names[0]), Path(names[0]).suffix.lower()


UNPACKERS: dict[str, Callable[[bytes], Any]] = {
    ".gz": gzip.decompress,
    ".bz2": bz2.decompress,
    ".xz": lzma.decompress,
    ".zip": _unzipped,
}


def _decoded(content: bytes) -> tuple[str, list[str]]:
    """Make text of bytes, with a note if it took a guess."""
    start, notes = content[:1000], []
    if start.startswith(codecs.BOM_UTF8):
        encodings = ["utf-8-sig"]
    elif start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encodings = ["utf-16"]
    elif b"\0" in start:
        encodings = ["utf-16-le" if 0 in start[1::2] else "utf-16-be"]
    else:
        encodings = ["utf-8", "cp1252", "latin-1"]
    for encoding in encodings:
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if re.search("[\0-\x08]", text[:1000]):
            break
        if encoding in ("cp1252", "latin-1"):
            notes.append(f"The file is not in UTF-8; it was read as {encoding}.")
        return text, notes
    raise InputError("it is no text")


# Files of text: rows are lines, fields stand between separators.


def _read_fields(content: bytes) -> Table:
    text, notes = _decoded(content)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    separator = ""
    if told := re.match(r"sep=(.)\n", text):  # as Excel writes it
        separator, text = told[1], text[told.end(0) - 1 :]
    # Lines that are left out stay as empty ones, so that the others keep their numbers.
    text = re.sub(r"(?m)^ +$", "", text)
    text, separator = _without_comments(text, separator)
    text = _without_spaces(text, separator)
    records = _records(text, separator)
    start, end, header = next(records, (0, 0, []))
    if not header:
        raise InputError("it is empty")
    names = [name.strip() for name in header]
    first = next(records, (0, 0, header))[2]
    if len(first) == len(names) + 1 and not first[-1].strip():
        names.append("")  # a separator ends each row, but not that of the names
    _refuse_data_as_names(names)
    frame = _split(text, separator, end, len(names))

    def where(row: int) -> str:
        each = itertools.islice(_records(text, separator), row + 1, None)
        return f"line {next(each)[0]}"

    if not names[-1]:
        filled = frame.iloc[:, -1].str.strip() != ""
        if filled.any() and len(names) > len(header):
            raise InputError(
                f"{where(int(filled.argmax()))} has {len(names)} fields, but line {start} has "
                f"{len(header)} names"
            )
        if not filled.any():
            notes.append("A separator ends each row; the empty column behind it was left out.")
            frame, names = frame.iloc[:, :-1], names[:-1]
    frame.columns = pd.Index(_all_named(names))
    return Table(frame, notes=notes, where=where, separator=separator)


def _all_named(names: list[str]) -> list[str]:
    """Name the columns without a name as pandas does, by their place."""
    named = []
    for i, name in enumerate(names):
        place = f"Unnamed: {i}"
        while place in names:  # of an earlier file
            place += "'"
        named.append(name or place)
    return named


def _records(text: str, separator: str) -> Iterator[tuple[int, int, list[str]]]:
    """Go through the rows: number of the first line of each and of its last, and its fields."""
    lines = io.StringIO(text, newline="\n")
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    end = 0
    for fields in reader:
        if fields:
            yield end + 1, reader.line_num, fields
        end = reader.line_num


def _without_spaces(text: str, separator: str) -> str:
    """Leave out spaces before quotes if they stand between fields: Arrow would keep the quotes."""
    pattern = f'{re.escape(separator)} +"'
    if re.search(pattern, text):
        lines = io.StringIO(text, newline="\n")
        kept = filter(None, csv.reader(lines, delimiter=separator))
        for fields, (_, _, meant) in itertools.islice(
            zip(kept, _records(text, separator), strict=False), ROWS_SNIFFED
        ):
            if [field.lstrip(" ") for field in fields] != [field.lstrip(" ") for field in meant]:
                return re.sub(pattern, f'{separator}"', text)
    return text


def _sniffed(text: str) -> str:
    """Return the separator that divides the rows alike, into the most fields."""

    def rating(separator: str) -> tuple[bool, int]:
        rows = list(itertools.islice(_records(text[:cut], separator), ROWS_SNIFFED))
        if cut < len(text):
            rows = rows[:-1] or rows
        widths = [len(fields) for _, _, fields in rows] or [0]
        alike = len(set(widths[1:])) <= 1 and widths[-1] - widths[0] in (0, 1)
        return alike and widths[0] > 1, widths[0]

    cut = text.find("\n", min(SNIFFED, len(text)))
    cut = len(text) if cut < 0 else cut
    return max(SEPARATORS, key=rating)


def _without_comments(text: str, separator: str) -> tuple[str, str]:
    """Empty the lines that begin with # and are no rows, and return the separator, too."""
    lines = text.split("\n")
    marked = []
    in_quotes = False
    for i, line in enumerate(lines):
        if line.startswith("#") and not in_quotes:
            marked.append(i)
        elif line.count('"') % 2:
            in_quotes = not in_quotes
    others = lines.copy()
    for i in marked:
        others[i] = ""
    rest = "\n".join(others) if marked else text
    separator = separator or _sniffed(rest)
    first = next(_records(rest, separator), (0, 0, []))[2]
    before = next((i for i, line in enumerate(others) if line), 0)
    for i in marked:
        fields = next(csv.reader([lines[i]], delimiter=separator))
        is_row = len(fields) == len(first) > 1
        if is_row and i < before:  # a comment that happens to be so wide, or the names
            is_row = i + 1 == before and any(map(_is_number, first))
            if is_row and fields[0].strip() != "#":
                lines[i] = lines[i][1:]
        if not is_row:
            lines[i] = ""
    return "\n".join(lines) if marked else text, separator


def _is_number(text: str) -> bool:
    try:
        return np.isfinite(float(text))  # type: ignore[no-any-return]
    except ValueError:
        return False


def _refuse_data_as_names(names: list[str]) -> None:
    """Refuse a first line of numbers, unless they count the columns or are an even scale."""
    if all(map(_is_number, names)):
        steps = np.diff([float(name) for name in names])
        is_scale = steps.size > 1 or names[0] in ("0", "1")
        if not (is_scale and np.allclose(steps, steps[0], rtol=0.01) and steps[0] > 0):
            shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
            raise InputError(
                f"its first line has numbers, {shown}, where the names of the columns should be; "
                "write a line with names above it"
            )


def _split(text: str, separator: str, header_lines: int, width: int) -> pd.DataFrame:
    """Divide the rows below the names into columns of texts."""
    start = 0
    for _ in range(header_lines):
        start = text.find("\n", start) + 1 or len(text)
    body = text[start:].encode()
    names = [str(i) for i in range(width)]
    if not body.strip():
        return pd.DataFrame(columns=names, dtype="string")
    misfits: list[Any] = []

    def refuse(row: Any) -> str:
        misfits.append(row)
        return "error"

    try:
        parsed = arrow_csv.read_csv(
            pa.BufferReader(body),
            arrow_csv.ReadOptions(
                use_threads=False, block_size=min(len(body), 1 << 30), column_names=names
            ),
            arrow_csv.ParseOptions(
                delimiter=separator, newlines_in_values=True, invalid_row_handler=refuse
            ),
            arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid as error:
        if not misfits:
            raise
        rows = itertools.islice(_records(text, separator), misfits[0].number, None)
        line, _, fields = next(rows)
        if any("\n" in part for part in fields) and next(rows, None) is None:
            raise InputError(f'a quote (") in line {line} is not closed') from error
        found = misfits[0].actual_columns
        raise InputError(
            f"line {line} has {found} field{'s' * (found != 1)}, but the line of names has {width}"
        ) from error
    frame: pd.DataFrame = parsed.to_pandas()
    return frame


# Files of other kinds.


def _read_json(content: bytes) -> Table:
    text, notes = _decoded(content)
    try:
        return Table(_of_json(json.loads(text)), notes=notes)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":  # a record in each line, as many name it .json
            return _read_json_lines(content)
        raise


def _of_json(found: Any) -> pd.DataFrame:
    """Make a frame of records, of columns, or of what pandas writes."""
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
    text, notes = _decoded(content)
    records, lines = [], []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise InputError(f"line {number} is no JSON: {error}") from error
        if not isinstance(record, dict):
            raise InputError(f'line {number} should be a record, {{"a": 1, ...}}')
        records.append(record)
        lines.append(number)
    frame = pd.DataFrame(records, dtype=object)
    return Table(frame, notes=notes, where=lambda row: f"line {lines[row]}")


def _read_sheet(content: bytes) -> Table:
    try:
        import openpyxl
    except ImportError as error:
        message = "a .xlsx file needs openpyxl: pip install 'leakyrelu[excel]'"
        raise ImportError(message, name="openpyxl") from error
    book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
    sheets = book.worksheets
    rows = list(sheets[0].values)
    names, *rows = rows or [()]
    if not any(name is not None for name in names):
        raise InputError("the first line of its first sheet is empty, but should have names")
    notes = []
    if len(sheets) > 1:
        notes.append(f"Of {len(sheets)} sheets the first was read, {sheets[0].title!r}.")
    numbers = [n for n, row in enumerate(rows) if any(cell is not None for cell in row)]
    texts = ["" if name is None else str(name).strip() for name in names]
    _refuse_data_as_names(texts)
    frame = pd.DataFrame([rows[n] for n in numbers], columns=range(len(names)), dtype=object)
    frame.columns = pd.Index(_all_named(texts))
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
        return Table(_of_records(array))
    if array.ndim != 2:
        raise InputError(f"it is an array of shape {array.shape}, but should have rows and columns")
    names = [str(i) for i in range(array.shape[1])]
    return Table(pd.DataFrame(as_array(array, "it"), columns=names), is_arrays=True)


def _read_arrays(content: bytes) -> Table:
    arrays = read_arrays(io.BytesIO(content))
    if isinstance(arrays, np.ndarray):
        raise InputError("it is one array without a name; give several by numpy.savez")
    return Table(_of_arrays(arrays), is_arrays=True)


def _of_arrays(arrays: Mapping[Any, Any]) -> pd.DataFrame:
    """Make columns of named arrays, of each value of those that have several an example."""
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
                "need the same first axis"
            )
        if array.ndim == 1 or array.shape == (examples, 1):
            columns[str(name)] = np.ravel(array) if array.ndim > 1 else array
        else:
            flat = array.reshape(examples, -1)
            columns |= {f"{name} {i}": flat[:, i] for i in range(flat.shape[1])}
    return pd.DataFrame({name: pd.Series(column).array for name, column in columns.items()})


def _of_records(array: npt.NDArray[Any]) -> pd.DataFrame:
    """Make columns of the fields of a structured array."""
    return _of_arrays({name: array[name] for name in array.dtype.names or ()})


def as_array(part: Any, name: str) -> npt.NDArray[Any]:
    """Make an array of a tensor, sparse or not, of a list or a Series."""
    if isinstance(part, torch.Tensor):
        part = part.detach().cpu().to_dense()
        part = part.float() if part.dtype == torch.bfloat16 else part
    elif hasattr(part, "toarray"):  # SciPy's sparse arrays
        part = part.toarray()
    if isinstance(part, np.ma.MaskedArray) and np.ma.is_masked(part):  # what is masked is missing
        is_numbers = part.dtype.kind in "fiub"
        part = part.astype(np.result_type(part, np.float32) if is_numbers else object)
        part = part.filled(np.nan if is_numbers else None)
    try:
        array = np.asarray(part)
    except Exception as error:
        raise InputError(
            f"{name} can't be made an array, for which all examples need one shape: {error}"
        ) from error
    # Neither pandas nor PyTorch takes the other order of bytes, as FITS files have it.
    return array.astype(array.dtype.newbyteorder("="), copy=False)


READERS: dict[str, Callable[[bytes], Table]] = {
    ".csv": _read_fields,
    ".tsv": _read_fields,
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


# What is in memory.


def as_table(data: Any) -> Table | None:
    """Make a table of a path, a data frame of any library, or columns by name; None of others."""
    if isinstance(data, (str, Path)):
        refuse_address(str(data))
        return read_table(Path(data))
    if isinstance(data, pd.DataFrame):
        return Table(data, "data frame")
    name = type(data).__name__
    if isinstance(data, Mapping):
        if isinstance(data.get("frame"), pd.DataFrame):  # a Bunch of scikit-learn's
            return Table(data["frame"], "data frame")
        is_column = [
            hasattr(part, "__len__") and not isinstance(part, str) for part in data.values()
        ]
        return Table(_of_arrays(data), "columns") if is_column and all(is_column) else None
    if isinstance(data, np.ndarray) and data.dtype.names:
        return Table(_of_records(data), "array")
    if isinstance(data, pd.Series):
        return None
    if hasattr(data, "__arrow_c_stream__"):  # polars, pyarrow, DuckDB and others
        return Table(to_pandas(pa.table(data)), "data frame")
    if hasattr(data, "to_pandas"):  # as a Dataset of Hugging Face
        frame = data.to_pandas()
        return Table(frame, name) if isinstance(frame, pd.DataFrame) else None
    return None
