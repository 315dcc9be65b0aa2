"""What the columns of a table mean: numbers, classes or times, however they are written.

Features and targets, from files and data frames alike, go through `understand`.
"""

from __future__ import annotations

import datetime
import decimal
import numbers
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["Column", "decimal_mark", "shown", "to_pandas", "understand"]

# Missing values in a column of numbers. Among texts, NA may be Namibia, and None a kind of garage.
MISSING = (
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"),
    *("<NA>", "N/A", "NA", "NULL", "NaN", "NaT", "None", "n/a", "nan", "null"),
)
SPACES = " '\u2019\u00a0\u202f"  # between thousands
MINUS = ("-", "\u2212")
WRITTEN = re.compile(
    rf"(?P<before>[$€£¥₹]?)\s?(?P<sign>[+\u2212-]?)(?P<unit>[$€£¥₹]?)\s?"
    rf"(?P<digits>[.,]?\d[\d.,{SPACES}]*(e[-+]?\d+)?)\s?(?P<after>[%$€£¥₹]?)",
    re.IGNORECASE,
)
THOUSANDS = {
    mark: re.compile(
        rf"(\d+|[1-9]\d{{0,2}}({re.escape(group)}\d{{3}})+|[1-9]\d{{0,2}}([{SPACES}]\d{{3}})+)?"
        rf"({re.escape(mark)}\d*)?(e[-+]?\d+)?",
        re.IGNORECASE,
    )
    for mark, group in (".,", ",.")
}
CODE = r"^[-+]?0\d"
POINTED = r"(?i)^[-+]?\d*\.\d*(e[-+]?\d+)?$"
GROUPED = r"^[-+]?[1-9]\d{0,2}\.\d{3}$"
DATE = r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}\b|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}\b"
# With the year first, day and month can't be mistaken for each other.
MOMENT = re.compile(
    r"(\d{4})[-/.](\d{1,2})(?:[-/.](\d{1,2})(?:[T ](\d{2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?))?)?"
    r"\s?(Z|[-+]\d{2}(?::?\d{2})?)?"
)
SECONDS_A_DAY = 86_400
WHOLE = {
    getattr(pa, name.lower())(): pd.api.types.pandas_dtype(name)
    for name in ("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64")
}
LONGEST_SHOWN = 60  # characters
ENOUGH = 1000  # rows to see how a column is written


@dataclass
class Column:
    """A column, interpreted.

    Attributes
    ----------
    kind : {"number", "text"}
    values : Series
        Numbers are float64, Int64 or boolean; an empty text is a missing value.
    problem : str
        What keeps the column from being used as it is, to follow "has"; `values` are texts then.
    row : int
        Where an example of the problem is.
    note : str
        What a reader should know, to follow the column's name.
    is_code : bool
        Its texts are digits with leading zeros.
    is_time : bool
    """

    kind: Literal["number", "text"]
    values: pd.Series[Any]
    problem: str = ""
    row: int | None = None
    note: str = ""
    is_code: bool = False
    is_time: bool = False


def shown(name: Any) -> str:
    """Write a name or a value, shortened if it is long, in quotes if it is text."""
    if isinstance(name, str) and len(name) > LONGEST_SHOWN:
        return repr(name[: LONGEST_SHOWN - 3] + "...")
    return repr(name)


def understand(column: pd.Series[Any], mark: str | None = None) -> Column:
    """Interpret a column of any dtype.

    If the decimal `mark` of its table is unknown, ambiguous numbers are refused.
    """
    column = column.reset_index(drop=True)
    if isinstance(column.dtype, pd.ArrowDtype):
        column = to_pandas(pa.table({"": pa.array(column)}))[""]
    if isinstance(column.dtype, pd.SparseDtype):
        column = pd.Series(np.asarray(column))
    elif isinstance(column.dtype, pd.PeriodDtype):
        column = column.dt.start_time
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):  # texts, even if numbers: somebody said so
        return Column("text", column.astype(object).map(_text, na_action="ignore").astype("string"))
    if pd.api.types.is_complex_dtype(dtype):
        return Column("text", column, problem="complex numbers")
    if pd.api.types.is_bool_dtype(dtype):
        return Column("number", column.astype("boolean"))
    if pd.api.types.is_integer_dtype(dtype):
        is_large = str(dtype).lower() == "uint64"
        return Column("number", column.astype("Float64" if is_large else "Int64"))
    if pd.api.types.is_float_dtype(dtype):
        return Column("number", _floats(column))
    if pd.api.types.is_datetime64_any_dtype(dtype):
        return _times(pd.to_datetime(column, utc=True))
    if pd.api.types.is_timedelta64_dtype(dtype):
        return _durations(column)
    if pd.api.types.is_object_dtype(dtype):
        return _objects(column, mark)
    return _written(column, mark)


def to_pandas(table: Any) -> pd.DataFrame:
    """Make a data frame from an Arrow table; integers stay integers beside missing values."""
    frame: pd.DataFrame = table.to_pandas(types_mapper=WHOLE.get)
    return frame


def _floats(column: pd.Series[Any]) -> pd.Series[Any]:
    return pd.Series(column.to_numpy(dtype=np.float64, na_value=np.nan))


def _times(times: pd.Series[Any]) -> Column:
    present = times.dropna()
    note = ""
    if len(present):
        first, last = (
            str(time.date()) if time == time.normalize() else f"{time:%Y-%m-%d %H:%M:%S}"
            for time in (present.min(), present.max())
        )
        note = f"has dates from {first} to {last}, used as numbers of days"
    # In seconds, which hold any year; in nanoseconds, it would end in 2262.
    start = pd.Timestamp("1970-01-01", tz="UTC").as_unit("s")
    days = (times - start).dt.total_seconds() / SECONDS_A_DAY
    return Column("number", _floats(days), note=note, is_time=True)


def _durations(durations: pd.Series[Any]) -> Column:
    days = _floats(durations.dt.total_seconds() / SECONDS_A_DAY)
    return Column("number", days, note="has times, used as numbers of days", is_time=True)


def _text(value: Any) -> str:
    """Write a value without loss."""
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, numbers.Real) and not isinstance(value, (int, float)):
        value = float(value)
    return str(value)


def _objects(column: pd.Series[Any], mark: str | None) -> Column:
    """Interpret Python objects."""
    present = column[[not (pd.api.types.is_scalar(v) and pd.isna(v)) for v in column]]
    for row, value in zip(present.index.tolist(), present, strict=True):
        if isinstance(value, complex):
            return Column("text", column, problem="complex numbers", row=row)
        if not isinstance(value, PLAIN):
            what = f"values of type {type(value).__name__}, such as {shown(str(value))}"
            return Column("text", column, problem=what, row=row)
    if len(present) and present.map(lambda value: isinstance(value, datetime.timedelta)).all():
        return _durations(pd.to_timedelta(present).reindex(column.index))
    texts = present.map(_text).reindex(column.index)
    return _written(texts, mark)


PLAIN = (
    *(str, bytes, bool, numbers.Real, decimal.Decimal, np.generic, pd.Period, pd.Interval),
    *(datetime.date, datetime.time, datetime.timedelta),
)


# Texts.


def _written(column: pd.Series[Any], mark: str | None) -> Column:
    """Interpret texts: all of a column must agree, apart from missing values."""
    trimmed = pc.utf8_trim_whitespace(pa.array(column, pa.string(), from_pandas=True))
    plain = pc.if_else(pc.is_in(trimmed, pa.array(MISSING)), None, trimmed)
    numbers = _cast(plain, floats=mark == ".")
    if numbers is not None:
        is_whole = pd.api.types.is_integer_dtype(numbers.dtype)
        if is_whole and pc.any(pc.match_substring_regex(plain, CODE)).as_py():
            return Column("text", _filled(trimmed), is_code=True)
        return Column("number", numbers)
    texts = _filled(trimmed)
    given = texts[texts.notna() & ~texts.isin(MISSING)]
    unique = given.unique()
    if {text.lower() for text in unique[:3]} <= {"true", "false"} and len(unique) <= 3:
        values = (given.str.lower() == "true").astype("boolean")
        return Column("number", values.reindex(texts.index))
    if all(_moment(text) for text in unique):
        moments = given.map(_moment)
        times = pd.to_datetime(moments, format="ISO8601", utc=True, errors="coerce")
        if times.isna().any():
            row = int(times.index[times.isna()][0])
            return Column("text", texts, f"the date {given[row]!r}, which does not exist", row)
        return _times(times.reindex(texts.index))
    readings = {text: _Number.read(text) for text in unique}
    if all(readings.values()):
        return _numbers(texts, given, readings, mark)  # type: ignore[arg-type]
    for what, is_it in (("numbers", readings.get), ("dates", _moment)):
        agrees = given.map({text: is_it(text) is not None for text in unique}).to_numpy(bool)
        if agrees.sum() > len(given) / 2:
            row = int(given.index[~agrees][0])
            return Column("text", texts, f"{what} and texts such as {shown(given[row])}", row)
    is_date = given.str.match(DATE).to_numpy(bool)
    if is_date.sum() > len(given) / 2:
        row = int(given.index[is_date][0])
        problem = f"dates or times such as {given[row]!r}; write the year first, as in 2024-05-31"
        return Column("text", texts, problem, row)
    return Column("text", texts)


def _filled(trimmed: Any) -> pd.Series[Any]:
    """Make texts from Arrow's; an empty one is a missing value."""
    texts = pc.if_else(pc.equal(trimmed, ""), None, trimmed)
    return pd.Series(texts.to_pandas(), dtype="string")


def _cast(texts: Any, floats: bool) -> pd.Series[Any] | None:
    """Make numbers from Arrow's texts if all are numbers, integers if possible."""
    with suppress(pa.ArrowInvalid):
        whole = pc.cast(texts, pa.int64())
        gaps = pc.is_null(whole).to_numpy(zero_copy_only=False)
        values = pc.fill_null(whole, 0).to_numpy(zero_copy_only=False)
        return pd.Series(pd.arrays.IntegerArray(values.copy(), gaps))
    if floats:
        with suppress(pa.ArrowInvalid):
            return pd.Series(pc.cast(texts, pa.float64()).to_numpy(zero_copy_only=False))
    return None


@dataclass(frozen=True)
class _Number:
    """A number as written: its value under each possible decimal mark, and its unit."""

    by_mark: dict[str, float]
    unit: str

    @classmethod
    def read(cls, text: str) -> _Number | None:
        found = WRITTEN.fullmatch(text)
        if not found:
            return None
        units = [found[name] for name in ("before", "unit", "after") if found[name]]
        by_mark = {}
        for mark, group in (".,", ",."):
            if THOUSANDS[mark].fullmatch(found["digits"].strip()):
                digits = re.sub(f"[{re.escape(group)}{SPACES}]", "", found["digits"])
                number = float(digits.replace(mark, "."))
                by_mark[mark] = -number if found["sign"] in MINUS else number
        return cls(by_mark, "".join(units)) if by_mark and len(units) <= 1 else None


def _numbers(
    texts: pd.Series[Any], given: pd.Series[Any], readings: dict[str, _Number], mark: str | None
) -> Column:
    """Interpret numbers with thousands separators, decimal commas or a unit."""
    units = {number.unit: text for text, number in readings.items()}
    if len(units) > 1:
        return Column("text", texts, f"several units: {', '.join(map(repr, units.values()))}")
    marks = _marks(readings.values())
    if not marks:
        return Column("text", texts, "numbers with decimal points and with decimal commas")
    if len(marks) > 1 and mark is None:
        differs = [t for t, n in readings.items() if n.by_mark["."] != n.by_mark[","]]
        if differs:
            point, comma = (f"{readings[differs[0]].by_mark[m]:g}" for m in ".,")
            problem = f"numbers such as {differs[0]!r}, which may mean {point} or {comma}"
            return Column("text", texts, problem, int(given.index[given == differs[0]][0]))
    used = mark if mark is not None and mark in marks else marks[0]
    values = given.map({text: number.by_mark[used] for text, number in readings.items()})
    unit = next(iter(units))
    note = f"is written with {unit} and used as numbers" if unit else ""
    return Column("number", values.reindex(texts.index), note=note)


def _marks(readings: Iterable[_Number]) -> str:
    """Return the decimal marks under which all are numbers."""
    each = list(readings)
    return "".join(mark for mark in ".," if all(mark in number.by_mark for number in each))


def decimal_mark(table: pd.DataFrame, separator: str = "") -> str | None:
    """Tell whether the numbers written in a table have decimal points or commas.

    They have points if none has a comma, None if they could be either, or both occur. In doubt,
    points are assumed if the fields were separated by commas.
    """
    written = [column for _, column in table.items() if _is_text(column)]
    has_comma = [bool(column.str.contains(",", regex=False).any()) for column in written]
    in_doubt = "." if separator == "," else None
    if not any(has_comma):
        return _mark_of_points(written) or in_doubt
    found = set()
    # Columns with commas tell the most.
    for comma, column in sorted(zip(has_comma, written, strict=True), key=lambda pair: not pair[0]):
        texts = map(str.strip, (column if comma else column[:ENOUGH]).dropna().unique())
        readings = [_Number.read(text) for text in texts if text not in MISSING]
        found.add(_marks(number for number in readings if number) if all(readings) else "")
    marks = found & {".", ","}
    return marks.pop() if len(marks) == 1 else in_doubt


def _mark_of_points(columns: Iterable[pd.Series[Any]]) -> str | None:
    """Return a point, unless all points could mark thousands and a column has smaller numbers."""
    can_be_thousands = False
    for column in columns:
        texts = pc.utf8_trim_whitespace(pa.array(column, pa.string(), from_pandas=True))
        texts = pc.unique(pc.drop_null(texts))
        pointed = pc.filter(texts, pc.match_substring_regex(texts, POINTED))
        if not len(pointed):
            continue
        if not pc.all(pc.match_substring_regex(pointed, GROUPED)).as_py():
            return "."
        has_small, has_large = (
            pc.any(pc.match_substring_regex(texts, rf"^[-+]?\d{digits}$")).as_py()
            for digits in ("{1,3}", "{4,}")
        )
        can_be_thousands |= has_small and not has_large
    return None if can_be_thousands else "."


def _is_text(column: pd.Series[Any]) -> bool:
    return isinstance(column.dtype, pd.StringDtype) or (
        column.dtype == object and pd.api.types.infer_dtype(column, skipna=True) == "string"
    )


def _moment(text: str) -> str | None:
    """Write a date or time as in ISO 8601, if the year comes first."""
    found = MOMENT.fullmatch(text)
    if not found:
        return None
    year, month, day, time, zone = found.groups()
    time = f"T{time.replace(',', '.')}" if time else ""
    return f"{year}-{int(month):02}-{int(day or 1):02}{time}{zone or ''}"
