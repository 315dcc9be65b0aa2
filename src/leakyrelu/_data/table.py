"""What reading a file of any kind gives: a `Table`."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from leakyrelu._errors import InputError

__all__ = ["Table", "all_named", "decoded", "is_number", "refuse_data_as_names"]


@dataclass
class Table:
    """A table, and how it was read.

    Attributes
    ----------
    frame : DataFrame
        From a text file, all columns are texts.
    name : str
    notes : list of str
        Sentences on what was assumed.
    where : callable
        Given the number of a row from 0, says where the user finds it.
    separator : str
        What stands between the fields of a text file.
    is_arrays : bool
        The columns are computed features, not the properties of some things.
    """

    frame: pd.DataFrame
    name: str = "table"
    notes: list[str] = field(default_factory=list)
    where: Callable[[int], str] = "row {}, counted from 0".format
    separator: str = ""
    is_arrays: bool = False


def decoded(content: bytes) -> tuple[str, list[str]]:
    """Decode text, with a note if the encoding was guessed."""
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
    raise InputError("it is not text")


def all_named(names: list[str]) -> list[str]:
    """Name columns without a name by their position, as pandas does."""
    named = []
    for i, name in enumerate(names):
        place = f"Unnamed: {i}"
        while place in names:  # from an earlier file
            place += "'"
        named.append(name or place)
    return named


def is_number(text: str) -> bool:
    try:
        return np.isfinite(float(text))  # type: ignore[no-any-return]
    except ValueError:
        return False


def refuse_data_as_names(names: list[str]) -> None:
    """Refuse a first line of numbers, unless they count the columns or are evenly spaced."""
    if all(map(is_number, names)):
        steps = np.diff([float(name) for name in names])
        is_scale = steps.size > 1 or names[0] in ("0", "1")
        if not (is_scale and np.allclose(steps, steps[0], rtol=0.01) and steps[0] > 0):
            shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
            raise InputError(
                f"its first line has numbers, {shown}, where the names of the columns should be; "
                "add a line with names above it"
            )
