"""Files of tables: what was written is read, to the last digit, and what is broken is told."""

import bz2
import csv
import gzip
import json
import lzma
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.api.types import is_numeric_dtype
from pyarrow import feather

from leakyrelu._compare.data.table_task import load_task
from leakyrelu._data.columns import decimal_mark, understand
from leakyrelu._data.loading import load_batches
from leakyrelu._data.reading import read_table


def flowers(rows=60):
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "petal length": rng.normal(size=rows),
            "count": rng.integers(-5, 9, rows) ** 3,
            "big": rng.integers(2**60, 2**62, rows),
            "kind": rng.choice(["Böhm, A.", 'the "old" one', "plain"], rows),
            "seen": rng.random(rows) < 0.5,
            "y": rng.choice(["no", "yes"], rows),
        }
    )


def read(content, name="table.csv", tmp="."):
    path = f"{tmp}/{name}"
    with open(path, "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
    return read_table(__import__("pathlib").Path(path))


def written(table, **options):
    return table.to_csv(index=False, **options)


def to_xlsx(table, path):
    pytest.importorskip("openpyxl")
    table.assign(big=table["big"].astype(str)).to_excel(path, index=False)


def to_stream(table, path):
    with pa.OSFile(str(path), "wb") as file:
        whole = pa.Table.from_pandas(table)
        with pa.ipc.new_stream(file, whole.schema) as stream:
            stream.write_table(whole)


def to_ipc(table, path):
    with pa.OSFile(str(path), "wb") as file:
        whole = pa.Table.from_pandas(table)
        with pa.ipc.new_file(file, whole.schema) as stream:
            stream.write_table(whole)


def packed(pack, ending="csv"):
    def write(table, path):
        path.write_bytes(pack(written(table).encode()))

    return write


def to_zip(table, path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("folder/table.tsv", written(table, sep="\t"))
        archive.writestr("__MACOSX/._table.tsv", b"\0")
        archive.writestr("README", "nothing")


FORMATS = {
    "t.csv": lambda t, path: t.to_csv(path, index=False),
    "t.CSV": lambda t, path: t.to_csv(path, index=False),
    "t.tsv": lambda t, path: t.to_csv(path, index=False, sep="\t"),
    "semicolons.csv": lambda t, path: t.to_csv(path, index=False, sep=";"),
    "decimal.csv": lambda t, path: t.to_csv(path, index=False, sep=";", decimal=","),
    "quoted.csv": lambda t, path: t.to_csv(path, index=False, quoting=csv.QUOTE_ALL),
    "bom.csv": lambda t, path: t.to_csv(path, index=False, encoding="utf-8-sig"),
    "wide.csv": lambda t, path: t.to_csv(path, index=False, encoding="utf-16"),
    "western.csv": lambda t, path: t.to_csv(path, index=False, encoding="cp1252"),
    "windows.csv": lambda t, path: t.to_csv(path, index=False, lineterminator="\r\n"),
    "mac.csv": lambda t, path: t.to_csv(path, index=False, lineterminator="\r"),
    "indexed.csv": lambda t, path: t.to_csv(path),
    "t.csv.gz": packed(gzip.compress),
    "t.csv.bz2": packed(bz2.compress),
    "t.csv.xz": packed(lzma.compress),
    "t.zip": to_zip,
    "t.json": lambda t, path: t.to_json(path, orient="records", double_precision=15),
    "columns.json": lambda t, path: path.write_text(json.dumps(t.to_dict("list"))),
    "pandas.json": lambda t, path: path.write_text(json.dumps(t.to_dict("dict"))),
    "split.json": lambda t, path: path.write_text(json.dumps(t.to_dict("split"))),
    "t.jsonl": lambda t, path: path.write_text("\n\n".join(map(json.dumps, t.to_dict("records")))),
    "t.ndjson.gz": lambda t, path: path.write_bytes(
        gzip.compress("\n".join(map(json.dumps, t.to_dict("records"))).encode())
    ),
    "t.parquet": lambda t, path: t.to_parquet(path),
    "indexed.parquet": lambda t, path: t.set_index(t.index[::-1] * 2).to_parquet(path),
    "t.feather": lambda t, path: feather.write_feather(t, str(path)),
    "t.arrow": to_ipc,
    "stream.arrow": to_stream,
    "t.ipc": to_ipc,
    "t.xlsx": to_xlsx,
    "t.npz": lambda t, path: np.savez(
        path,
        **{n: t[n].to_numpy().astype(str if not is_numeric_dtype(t[n]) else t[n].dtype) for n in t},
    ),
    "records.npy": lambda t, path: np.save(
        path,
        np.array(
            list(t.itertuples(index=False, name=None)),
            [(n, "U20" if not is_numeric_dtype(t[n]) else t[n].dtype) for n in t],
        ),
    ),
}


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_table_in_any_file_is_the_same_task(tmp_path, name):
    table = flowers()
    FORMATS[name](table, tmp_path / name)
    task, expected = load_task(tmp_path / name, "y"), load_task(table, "y")
    assert (task.name, task.classes) == (name, ["no", "yes"])
    # pandas writes 15 digits of JSON
    digits = {"t.json": 1e-6}.get(name, 0)
    np.testing.assert_allclose(task.X, expected.X, rtol=digits, atol=digits)
    assert np.array_equal(task.y, expected.y)


cells = st.text(st.sampled_from(list("ab \t,;|\"'#é\n1.")), min_size=1, max_size=6).filter(
    lambda text: text.strip()
)
finite = st.floats(allow_nan=False, allow_infinity=False, width=64)


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.tuples(finite, st.integers(-(2**62), 2**62), cells), min_size=2, max_size=9),
    st.sampled_from(",;\t|"),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from([".", ","]),
    st.sampled_from(["", "NA", "nan", "NULL", "None"]),
    st.data(),
)
def test_what_pandas_writes_is_read(
    tmp_path_factory, rows, sep, quoting, encoding, end, dec, na, data
):
    table = pd.DataFrame(rows, columns=["x", "n", "t"])
    gaps = data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
    table["x"] = table["x"].mask(gaps)
    if end == "\r":  # pandas does not quote the others then
        table["t"] = table["t"].str.replace("\n", end)
    text = table.to_csv(
        index=False, sep=sep, quoting=quoting, lineterminator=end, decimal=dec, na_rep=na
    )
    found = read(text.encode(encoding), tmp=tmp_path_factory.mktemp("t"))
    assert list(found.frame) == ["x", "n", "t"]
    mark = decimal_mark(found.frame)
    x = understand(found.frame["x"], mark or dec).values.to_numpy(np.float64, na_value=np.nan)
    np.testing.assert_array_equal(x, table["x"].to_numpy())
    n = understand(found.frame["n"], mark or dec)
    assert n.values.tolist() == table["n"].tolist()
    newlines = table["t"].str.replace("\r\n", "\n").str.replace("\r", "\n")
    assert found.frame["t"].str.strip().tolist() == newlines.str.strip().tolist()


ROWS = [(round(0.5 + i**1.5, 3), i * 7 % 23, "ab"[i % 2]) for i in range(40)]
PLAIN = "x,n,y\n" + "".join(f"{x},{n},{y}\n" for x, n, y in ROWS)


def each_row(pattern):
    return "".join(pattern.format(*row) for row in ROWS)


@pytest.mark.parametrize(
    "text",
    [
        "x,n,y\n" + each_row("{},{},{},\n"),  # the separator ends each row
        "x,n,y,\n" + each_row("{},{},{},\n"),
        "# by me, for you, and all\n# of it\n" + PLAIN,
        "# x,n,y\n" + PLAIN[6:],  # as numpy.savetxt writes names
        PLAIN.replace("\n", "\n#a comment\n", 7),
        PLAIN.replace("\n", "\n\n   \n", 7),
        "sep=;\n" + PLAIN.replace(",", ";"),
        PLAIN.replace(",", " , "),
        PLAIN.replace("\n", "\r\n").removesuffix("\r\n"),
        "x|n|y\n" + each_row("{}|{}|{}\n"),
        "x;n;y\n" + each_row("{};{};{}\n").replace(".", ","),
        "x,n,y\n" + each_row('"{}","{}","{}"\n'),
        '"x", "n", "y"\n' + each_row('"{}",  "{}" , "{}"\n'),
        "x, n, t, y\n" + each_row('{}, {}, "a, \\"\\"b, c\\"\\"", {}\n'.replace("\\", "")),
    ],
)
def test_other_ways_to_write_a_table(tmp_path, text):
    expected = load_task(pd.DataFrame(ROWS, columns=["x", "n", "y"]), "y")
    (tmp_path / "t.csv").write_text(text, newline="")
    task = load_task(tmp_path / "t.csv", "y", drop="t" if '"a, ' in text else ())
    assert task.fingerprint == expected.fingerprint
    assert "target 'y' (a, b, a, ...)." in task.notes[0]


@pytest.mark.parametrize(
    ("pattern", "factor"),
    [
        ("{0:,.2f}|{2}\n", 1),
        ("${0:,.2f}|{2}\n", 1),
        ("{0:.2f} €|{2}\n", 1),
        ("{0:.2f}%|{2}\n", 1),
        ("-{0:,.2f}|{2}\n", -1),
        ("+{0:.2f}|{2}\n", 1),
        ("{0:.6e}|{2}\n", 1),
    ],
)
@pytest.mark.parametrize("comma", [False, True])
def test_numbers_as_people_write_them(tmp_path, pattern, factor, comma):
    swap = str.maketrans(".,", ",." if comma else ".,")
    table = pd.DataFrame({"x": [factor * x * 1e3 for x, _, _ in ROWS], "y": [y for *_, y in ROWS]})
    text = "".join(pattern.format(abs(x), 0, y) for x, y in table.itertuples(index=False))
    (tmp_path / "t.csv").write_text("x|y\n" + text.translate(swap), encoding="utf-8")
    task = load_task(tmp_path / "t.csv", "y")
    assert np.allclose(task.X, load_task(table, "y").X, rtol=1e-2)
    assert load_task(tmp_path / "t.csv", "x").kind == "regression"


def test_comments_are_no_rows_and_rows_no_comments(tmp_path):
    colours = "colour,n,y\n" + "".join(f"#{i % 3}00,{i * i},{i % 2}\n" for i in range(40))
    (tmp_path / "t.csv").write_text(colours)
    assert load_task(tmp_path / "t.csv", "y").X.shape == (40, 4)
    numbered = "#,n,y\n" + "".join(f"{i * 7 % 41},{i * i},{i % 2}\n" for i in range(40))
    (tmp_path / "t.csv").write_text(numbered)
    assert load_task(tmp_path / "t.csv", "y", drop="#").X.shape == (40, 1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (PLAIN + "1,2,a,4\n", "line 42 has 4 fields, but the line of names has 3"),
        (PLAIN + "1,2\n", "line 42 has 2 fields"),
        (PLAIN + "1\n", "line 42 has 1 field,"),
        ("#c\n\n" + PLAIN + '"1\n2",2,a\n1,2,a,4\n', "line 46 has 4 fields"),
        ("x,n,y\n" + each_row("r,{},{},{}\n"), "line 2 has 4 fields"),  # names of rows
        (
            "x,n,y\n" + each_row("{},{},{},\n") + "1,2,a,4\n",
            "line 42 has 4 fields, but line 1 has 3",
        ),
        (PLAIN + '"1,2,a\n3,4,b\n', r'a quote \("\) in line 42 is not closed'),
        (PLAIN[6:].replace("a", "1").replace("b", "0"), "first line has numbers, 0.5, 0, 1, where"),
        (b"", "it is empty"),
        (b"\n \n", "it is empty"),
        (b"\0\1\2\xd8" * 50, "it is not text"),
        ("x,x,y\n" + PLAIN[6:], "several columns are named 'x'"),
        (PLAIN.replace("y", "z", 1), "no column 'y'"),
        (PLAIN[6:], "add a header line with the column names above them"),
        (PLAIN.replace("\n", "\n?,1,a\n", 1), r"'x' has numbers and texts such as '\?' \(line 2\)"),
        (PLAIN.replace("\n", "\ninf,1,a\n", 1), r"'x' has infinite values \(line 2\)"),
        ("x,n,y\n", "the data has no rows"),
    ],
)
def test_broken_files_are_told_with_their_lines(tmp_path, content, message):
    path = tmp_path / "t.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=rf"t\.csv(: | can't be read: ).*{message}"):
        load_task(path, "y")


@pytest.mark.parametrize("first", ["0,1,2", "1,2,3", "1950,1951,1952", "400.5,401,401.5"])
def test_names_may_be_numbers(tmp_path, first):
    (tmp_path / "t.csv").write_text(f"{first}\n{PLAIN[6:]}")
    assert load_task(tmp_path / "t.csv", first.split(",")[2]).X.shape == (40, 2)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.json", '[{"a": 1}', "line 1 column 10"),
        ("t.json", "[1, 2]", "should be records"),
        ("t.json", '{"a": [1, 2], "b": [1]}', "same length"),
        ("t.jsonl", '{"a": 1}\n\n{"a": \n', "line 3 is not JSON"),
        ("t.jsonl", '{"a": 1}\n2\n', "line 2 should be a record"),
        ("t.csv.gz", "no gzip", "can't be read"),
        ("t.xz", "", "should end in .csv, .tsv"),
        ("t.zip", "", "can't be read"),
        ("t.feather", "nothing", "can't be read"),
        ("t.arrow", "nothing", "can't be read"),
        ("t.parquet", "nothing", "can't be read"),
    ],
)
def test_what_is_broken_in_other_files_is_told(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        load_task(tmp_path / name, "y")


def test_archives_of_several_tables_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        archive.writestr("a.csv", PLAIN)
        archive.writestr("b.csv", PLAIN)
    with pytest.raises(ValueError, match=r"should contain one file .* but has a\.csv, b\.csv"):
        load_task(tmp_path / "t.zip", "y")


@pytest.mark.parametrize("address", ["https://a.org/t.csv", "s3://a/t.parquet", "hf://a/b"])
def test_addresses_are_refused_by_name(address):
    for read_data in (load_task, load_batches):
        with pytest.raises(ValueError, match=f"'{address}' is an address; download the file"):
            read_data(address)


def test_sheets(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(["x", None, "when", "y"])
    for i in range(40):
        book.active.append([i * 7 % 23, None, pd.Timestamp("2024-01-01").to_pydatetime(), i % 2])
    book.create_sheet("other").append(["x"])
    book.save(tmp_path / "t.xlsx")
    task = load_task(tmp_path / "t.xlsx", "y")
    assert task.X.shape == (40, 2)
    assert "The first of 2 sheets was read, 'Sheet'." in task.notes
    book.active["A7"] = "?"
    book.save(tmp_path / "t.xlsx")
    with pytest.raises(ValueError, match=r"texts such as '\?' \(line 7\)"):
        load_task(tmp_path / "t.xlsx", "y")


def test_sheets_need_a_library(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    (tmp_path / "t.xlsx").write_bytes(b"")
    with pytest.raises(ImportError, match=r"needs openpyxl: pip install 'leakyrelu\[excel\]'"):
        load_task(tmp_path / "t.xlsx", "y")


@pytest.mark.parametrize("name", [n for n in FORMATS if not n.endswith((".npz", ".npy"))])
def test_examine_reads_the_same_files(tmp_path, name):
    table = flowers()[["petal length", "count", "seen"]].assign(big=1, kind=0, y=2)
    FORMATS[name](table, tmp_path / name)
    found = load_batches(str(tmp_path / name)).numpy()
    found = found[:, found.shape[1] - 6 :]  # to_csv has numbered the rows
    np.testing.assert_allclose(found, table.to_numpy(np.float32), rtol=1e-6)


def test_frames_that_were_written_twice_with_their_index(tmp_path):
    table = flowers()
    table.to_csv(tmp_path / "once.csv")
    pd.read_csv(tmp_path / "once.csv").to_csv(tmp_path / "twice.csv")
    task = load_task(tmp_path / "twice.csv", "y")
    assert np.array_equal(task.X, load_task(table, "y").X)
    assert sum("numbers the rows and was dropped" in note for note in task.notes) == 2


def test_whole_numbers_with_gaps_stay_whole(tmp_path):
    table = pd.DataFrame({"x": [i * i for i in range(40)], "y": [0, 1, None, 1] * 10})
    table.assign(y=table["y"].astype("Int64")).to_parquet(tmp_path / "t.parquet")
    table.assign(y=table["y"].astype("Int64")).to_csv(tmp_path / "t.csv", index=False)
    records = [
        {name: value for name, value in record.items() if value == value}
        for record in table.astype(object).to_dict("records")
    ]
    lines = (json.dumps({n: int(v) for n, v in record.items()}) for record in records)
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    for name in ("t.parquet", "t.csv", "t.jsonl"):
        assert load_task(tmp_path / name, "y").classes == ["0", "1"]


def test_columns_of_json_may_have_any_name(tmp_path):
    (tmp_path / "t.json").write_text(
        json.dumps({"data": [i * i for i in range(40)], "y": [0, 1] * 20})
    )
    assert load_task(tmp_path / "t.json", "y").X.shape == (40, 1)


def test_records_of_json_may_stand_on_lines_in_a_json_file(tmp_path):
    table = flowers()
    for name in ("t.json", "t.jsonl"):
        (tmp_path / name).write_text(table.to_json(orient="records", lines=True))
    one, other = (load_task(tmp_path / name, "y") for name in ("t.json", "t.jsonl"))
    assert one.fingerprint == other.fingerprint
    with (tmp_path / "t.json").open("a") as file:
        file.write('\n{"y"')
    with pytest.raises(ValueError, match=r"t\.json can.t be read: line 62 is not JSON"):
        load_task(tmp_path / "t.json", "y")


RNG = np.random.default_rng(0)
VALUES = {"a": RNG.normal(size=40), "b": RNG.integers(0, 9, 40), "y": RNG.integers(0, 2, 40)}


@pytest.mark.parametrize("order", "<>=")
@pytest.mark.parametrize("kinds", ["f8 i8 i8", "f4 u2 i1", "f8 f4 f8"])
def test_arrays_of_any_order_of_bytes(tmp_path, order, kinds):
    dtypes = [(name, order + kind) for name, kind in zip("aby", kinds.split(), strict=True)]
    arrays = {name: VALUES[name].astype(dtype) for name, dtype in dtypes}
    expected = load_task(
        pd.DataFrame({n: a.astype(a.dtype.newbyteorder("=")) for n, a in arrays.items()}), "y"
    )
    records = np.array(list(zip(*VALUES.values(), strict=True)), dtype=dtypes)
    np.savez(tmp_path / "t.npz", **arrays)
    np.save(tmp_path / "t.npy", records)
    for data in (arrays, records, tmp_path / "t.npz", tmp_path / "t.npy"):
        assert load_task(data, "y").fingerprint == expected.fingerprint
    plain = np.stack([VALUES["a"].astype("f4"), VALUES["y"]], axis=1).astype(order + "f4")
    np.save(tmp_path / "plain.npy", plain)
    assert np.allclose(load_task(tmp_path / "plain.npy", "1").X, expected.X[:, :1], atol=1e-6)


def test_fields_of_records_may_have_several_values(tmp_path):
    records = np.zeros(40, dtype=[("pair", "f4", (2,)), ("y", "i8")])
    records["pair"], records["y"] = RNG.normal(size=(40, 2)), VALUES["y"]
    np.save(tmp_path / "t.npy", records)
    first, second = records["pair"].T
    expected = load_task(pd.DataFrame({"0": first, "1": second, "y": records["y"]}), "y")
    for data in (records, tmp_path / "t.npy"):
        assert load_task(data, "y").fingerprint == expected.fingerprint


@pytest.mark.parametrize("masked", ["a", "b", "t", "y"])
def test_what_is_masked_is_missing(masked):
    table = pd.DataFrame({**VALUES, "t": [f"text {i % 3}" for i in range(40)]})
    is_masked = np.arange(40) % 7 == 2
    expected = table.assign(**{masked: table[masked].astype(object).mask(is_masked, None)})
    arrays = {name: column.to_numpy() for name, column in table.items()}
    arrays["t"] = arrays["t"].astype(str)
    arrays[masked] = np.ma.masked_array(arrays[masked], is_masked)
    records = np.ma.zeros(40, [(name, array.dtype) for name, array in arrays.items()])
    for name, array in arrays.items():
        records[name] = array
    expected = load_task(expected, "y")
    for data in (arrays, records):
        task = load_task(data, "y")
        assert np.array_equal(task.X, expected.X, equal_nan=True)
        assert np.array_equal(task.y, expected.y)
    if masked in "ab":
        pair = np.ma.stack([arrays["a"], arrays["b"]], axis=1)
        X = load_task((pair, VALUES["y"])).X
        assert np.array_equal(
            X,
            load_task(table.assign(**{masked: table[masked].mask(is_masked)}), "y", drop="t").X,
            equal_nan=True,
        )


@pytest.mark.parametrize("separator", [";", "\t"])
def test_points_between_thousands_are_not_taken_for_decimal_points(tmp_path, separator):
    amounts = (np.arange(40) * 137).tolist()  # 0, 137, ... 5.343
    rows = [
        f"{amount:,}{separator}{'ab'[i % 2]}".replace(",", ".") for i, amount in enumerate(amounts)
    ]
    (tmp_path / "t.csv").write_text(f"x{separator}y\n" + "\n".join(rows))
    with pytest.raises(ValueError, match=r"'1\.096', which may mean 1\.096 or 1096 \(line 10\)"):
        load_task(tmp_path / "t.csv", "y")
    # Another column shows what the mark is.
    for mark, factor in ((",", 1), (".", 1000)):
        more = [f"0{mark}{i:02}{separator}{row}" for i, row in enumerate(rows)]
        (tmp_path / "t.csv").write_text(separator.join("zxy") + "\n" + "\n".join(more))
        expected = [amount if amount < 1000 else amount / factor for amount in amounts]
        frame = pd.DataFrame({"z": np.arange(40) / 100, "x": expected, "y": ["a", "b"] * 20})
        assert load_task(tmp_path / "t.csv", "y").fingerprint == load_task(frame, "y").fingerprint
