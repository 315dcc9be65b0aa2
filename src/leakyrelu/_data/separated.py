"""Tables in text files: rows are lines, with a separator between the fields."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pyarrow as pa
from pyarrow import csv as arrow_csv

from leakyrelu._data.table import Table, all_named, decoded, is_number, refuse_data_as_names
from leakyrelu._errors import InputError

__all__ = ["read_fields"]

SEPARATORS = ",;\t|"
ROWS_SNIFFED = 100  # that a separator should divide alike
SNIFFED = 1 << 20  # characters, for these rows


def read_fields(content: bytes) -> Table:
    text, notes = decoded(content)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    separator = ""
    if told := re.match(r"sep=(.)\n", text):  # as Excel writes it
        separator, text = told[1], text[told.end(0) - 1 :]
    # Lines are emptied rather than removed, so that the others keep their numbers.
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
        names.append("")  # a separator ends each row, but not the header
    refuse_data_as_names(names)
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
            notes.append("A separator ends each row; the empty last column was left out.")
            frame, names = frame.iloc[:, :-1], names[:-1]
    frame.columns = pd.Index(all_named(names))
    return Table(frame, notes=notes, where=where, separator=separator)


def _records(text: str, separator: str) -> Iterator[tuple[int, int, list[str]]]:
    """Yield the number of the first line of each row and of its last, and its fields."""
    lines = io.StringIO(text, newline="\n")
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    end = 0
    for fields in reader:
        if fields:
            yield end + 1, reader.line_num, fields
        end = reader.line_num


def _without_spaces(text: str, separator: str) -> str:
    """Remove spaces between a separator and a quote, where Arrow would keep the quote."""
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
    """Empty the lines that begin with # and are not rows; return the separator, too."""
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
        if is_row and i < before:  # a comment that happens to be that wide, or the header
            is_row = i + 1 == before and any(map(is_number, first))
            if is_row and fields[0].strip() != "#":
                lines[i] = lines[i][1:]
        if not is_row:
            lines[i] = ""
    return "\n".join(lines) if marked else text, separator


def _split(text: str, separator: str, header_lines: int, width: int) -> pd.DataFrame:
    """Split the rows below the header into columns of texts."""
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
