"""Tables, in files or in memory, as data frames.

Text stays text here; `leakyrelu._data.columns` interprets it.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from leakyrelu._data.columns import to_pandas
from leakyrelu._data.files import refuse_address
from leakyrelu._data.formats import READERS, as_array, of_arrays, of_records
from leakyrelu._data.table import Table
from leakyrelu._errors import InputError

__all__ = ["READERS", "Table", "as_array", "as_table", "endings", "read_table"]


def read_table(path: Path) -> Table:
    """Read a table from a file.

    Its ending is one of `READERS`, optionally followed by .gz, .bz2 or .xz; or it is .zip, with one
    such file inside. If a text file can't be read, the message names the line.
    """
    if path.is_dir():
        raise InputError(
            f"{path} is a folder; name a file in it (for a folder of images, give module:name of a "
            "data set that reads them)"
        )
    ending, packing = endings(path)
    if packing != ".zip" and ending not in READERS:
        raise InputError(
            f"{path} should end in {', '.join(READERS)}; compressed files may end in "
            f"{', '.join(f'.csv{packing}' for packing in UNPACKERS)}, and so on"
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
    except Exception as error:  # the libraries raise all kinds at a broken file
        told = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path} can't be read: {told}") from error
    table.name = path.name
    return table


def endings(path: Path) -> tuple[str, str]:
    """Return the ending of a file's name, apart from that of its compression, and the latter."""
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
                f"it should contain one file that ends in {', '.join(READERS)}, but has "
                f"{', '.join(names[:5]) or 'none'}"
            )
        return archive.read(names[0]), Path(names[0]).suffix.lower()


UNPACKERS: dict[str, Callable[[bytes], Any]] = {
    ".gz": gzip.decompress,
    ".bz2": bz2.decompress,
    ".xz": lzma.decompress,
    ".zip": _unzipped,
}


def as_table(data: Any) -> Table | None:
    """Make a table from a path, a data frame of any library, or named columns; else None."""
    if isinstance(data, (str, Path)):
        refuse_address(str(data))
        return read_table(Path(data))
    if isinstance(data, pd.DataFrame):
        return Table(data, "data frame")
    name = type(data).__name__
    if isinstance(data, Mapping):
        if isinstance(data.get("frame"), pd.DataFrame):  # a Bunch of scikit-learn
            return Table(data["frame"], "data frame")
        has_columns = all(hasattr(c, "__len__") and not isinstance(c, str) for c in data.values())
        return Table(of_arrays(data), "columns") if data and has_columns else None
    if isinstance(data, np.ndarray) and data.dtype.names:
        return Table(of_records(data), "array")
    if isinstance(data, pd.Series):
        return None
    if hasattr(data, "__arrow_c_stream__"):  # polars, pyarrow, DuckDB and others
        return Table(to_pandas(pa.table(data)), "data frame")
    if hasattr(data, "to_pandas"):  # such as a Dataset of Hugging Face
        frame = data.to_pandas()
        return Table(frame, name) if isinstance(frame, pd.DataFrame) else None
    return None
