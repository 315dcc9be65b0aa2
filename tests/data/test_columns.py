"""A column means the same however it is kept: its numbers are those that were put in."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leakyrelu._data.columns import decimal_mark, shown, understand

# Numbers of these are exact in each of the dtypes.
quarters = st.integers(-(2**20), 2**20).map(lambda n: n / 4)
wholes = st.integers(-(2**7), 2**7 - 1)


def with_gaps(values):
    return st.lists(st.none() | values, min_size=1, max_size=12)


def floats_of(values):
    return np.array([np.nan if v is None else float(v) for v in values])


def arrow(values, dtype):
    return pd.array(values, dtype=pd.ArrowDtype(dtype))


def each(function, missing=None):
    return lambda values: pd.Series(
        [missing if v is None else function(v) for v in values], dtype=object
    )


FLOATS = {
    "float64": floats_of,
    "float32": lambda v: floats_of(v).astype(np.float32),
    "Float64": lambda v: pd.array(v, dtype="Float64"),
    "Arrow": lambda v: arrow(v, pa.float64()),
    "Arrow decimals": lambda v: arrow(
        [x if x is None else Decimal(x) for x in v], pa.decimal128(12, 2)
    ),
    "Arrow texts": lambda v: arrow([x if x is None else str(x) for x in v], pa.string()),
    "sparse": lambda v: pd.arrays.SparseArray(floats_of(v)),
    "objects": each(float),
    "objects with NA": each(float, pd.NA),
    "objects of NumPy": each(np.float32),
    "decimals": each(Decimal, Decimal("nan")),
    "fractions": each(Fraction),
    "texts": each(str),
    "texts, NA": each(str, "NA"),
    "texts, nothing": each(str, " "),
    "texts with spaces": each(lambda v: f" {v} "),
    "signs": each("{:+}".format),
    "exponents": each("{:.12e}".format),
    "bytes": each(lambda v: str(v).encode()),
    "thousands": each("{:,.2f}".format, "n/a"),
    "dollars": each("${:.2f}".format),
    "euros": each("{:,.2f} €".format),
}
WHOLES = {
    "int8": lambda v: pd.array(v, dtype="Int8"),
    "Int64": lambda v: pd.array(v, dtype="Int64"),
    "Arrow": lambda v: arrow(v, pa.int8()),
    "objects": each(int),
    "objects of NumPy": each(np.int16),
    "texts": each(str, None),
    "texts, nan": each(str, "nan"),
    "bytes": each(lambda v: str(v).encode(), b""),
}


@pytest.mark.parametrize("keep", FLOATS.values(), ids=FLOATS)
@settings(deadline=None, max_examples=30)
@given(values=with_gaps(quarters))
def test_numbers_are_what_they_were(keep, values):
    column = understand(pd.Series(keep(values)), ".")
    assert (column.kind, column.problem) == ("number", "")
    found = column.values.to_numpy(np.float64, na_value=np.nan)
    np.testing.assert_array_equal(found, floats_of(values))


@pytest.mark.parametrize("keep", WHOLES.values(), ids=WHOLES)
@settings(deadline=None, max_examples=30)
@given(values=with_gaps(wholes).filter(any))
def test_whole_numbers_stay_whole(keep, values):
    column = understand(pd.Series(keep(values)))
    assert (column.kind, str(column.values.dtype)) == ("number", "Int64")
    assert [None if v is pd.NA else v for v in column.values] == values


@settings(deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_every_digit_of_a_text_counts(values):
    column = understand(pd.Series(list(map(repr, values))), ".")
    assert column.values.astype(float).tolist() == values


@settings(deadline=None)
@given(st.lists(st.integers(-(10**7), 10**7).map(lambda n: n / 100), min_size=1, max_size=9))
def test_points_and_commas_are_told_apart_or_refused(values):
    """Never is a number read as another one."""
    swap = str.maketrans(".,", ",.")
    for pattern in ("{:.2f}", "{:,.2f}", "{:.3f}", "{:,.0f}", "{:g}"):
        texts = [pattern.format(v) for v in values]
        meant = [float(text.replace(",", "")) for text in texts]
        for written in (texts, [text.translate(swap) for text in texts]):
            table = pd.DataFrame({"x": written})
            column = understand(table["x"], decimal_mark(table))
            has_both = any(text.count(",") + text.count(".") > 1 for text in written)
            if column.problem:
                assert "which may mean" in column.problem
                assert not has_both
            elif "," in "".join(written) or has_both:
                assert column.values.astype(float).tolist() == meant


def test_a_table_of_points_and_commas_is_read_where_it_can_be():
    table = pd.DataFrame(
        {"comma": ["1,5", "2"], "point": ["0.25", "2"], "either": ["1.234", "2"], "n": ["1", "2"]}
    )
    assert decimal_mark(table) is None
    for name, values in {"comma": [1.5, 2], "point": [0.25, 2], "n": [1, 2]}.items():
        assert understand(table[name], None).values.tolist() == values
    assert "'1.234', which may mean 1.234 or 1234" in understand(table["either"], None).problem
    for other, mark, value in (("comma", ",", 1234), ("point", ".", 1.234)):
        part = table[[other, "either"]]
        assert decimal_mark(part) == mark
        assert understand(part["either"], mark).values[0] == value


@pytest.mark.parametrize(
    "keep",
    [
        lambda v: pd.array(v, dtype="boolean"),
        lambda v: arrow(v, pa.bool_()),
        each(bool),
        each(str),
        each(lambda v: str(v).upper(), "NA"),
    ],
)
def test_booleans(keep):
    values = [True, None, False, True]
    found = understand(pd.Series(keep(values))).values
    assert found.dtype == "boolean"
    assert [None if v is pd.NA else v for v in found] == values


@pytest.mark.parametrize("dtype", ["str", "category", "object", "string"])
def test_texts(dtype):
    values = ["NA", " a ", "", "1 or 2", None]
    column = understand(pd.Series(values, dtype=dtype))
    assert column.kind == "text"
    assert [v if isinstance(v, str) else None for v in column.values][3] == "1 or 2"
    assert column.values.isna().sum() == (1 if dtype == "category" else 2)


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ([1], "values of type list"),
        ({"a": 1}, "values of type dict"),
        (np.zeros(2), "values of type ndarray"),
        ((), "values of type tuple"),
        (1j, "complex numbers"),
    ],
)
def test_things_that_are_no_values(value, what):
    column = understand(pd.Series([None, 1, value], dtype=object))
    assert what in column.problem
    assert column.row == 2


def test_columns_of_nothing_are_empty():
    for values in ([None] * 3, [""] * 3, ["NA", "nan", None], [pd.NaT] * 3, [np.nan] * 3, []):
        column = understand(pd.Series(values, dtype=object))
        assert (column.kind, bool(column.values.isna().all())) == ("number", True)


def test_long_names_are_cut():
    assert len(shown("a" * 400)) == 62
    assert shown(3) == "3"
