"""Data as users have it: files, missing values, text, and what is refused."""

import dataclasses
import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from sklearn.datasets import load_iris

from leakyrelu._compare.data.table_task import load_task
from leakyrelu._compare.data.tensor_task import make_task


def people(rows=60):
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "age": rng.uniform(18, 80, rows).round(1),
            "born": 1_600_000_000.0 + rng.uniform(0, 1000, rows),
            "city": rng.choice(["Rome", "Oslo", "Lima"], rows),
            "member": rng.random(rows) < 0.5,
            "answer": rng.choice(["no", "yes"], rows),
            "income": rng.normal(1000, 100, rows),
        }
    )


def test_digits_are_the_default():
    task = load_task()
    assert task.X.shape == (1797, 64)
    assert (task.kind, len(task.classes)) == ("classification", 10)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_table_file(tmp_path, ending):
    table = people()
    table.loc[3, "age"] = np.nan
    table.loc[4, "city"] = None
    path = tmp_path / f"people.{ending}"
    table.to_csv(path, index=False) if ending == "csv" else table.to_parquet(path)
    task = load_task(path, "answer")
    assert (task.kind, task.classes, task.name) == ("classification", ["no", "yes"], path.name)
    # age, age is missing, born, four cities with "(missing)", member, income
    assert task.X.shape[1] == 9
    assert np.isnan(task.X[3]).sum() == 1
    assert any("'age' is missing in 1 rows" in note for note in task.notes)
    assert any("'city' is text" in note for note in task.notes)
    assert task.X[:, 2].std() == pytest.approx(1, abs=0.1)  # float32 alone would lose `born`


@pytest.mark.parametrize("separator", ";\t|")
def test_csv_with_another_separator(tmp_path, separator):
    people().to_csv(tmp_path / "people.csv", index=False, sep=separator)
    assert load_task(tmp_path / "people.csv", "answer").X.shape[1] == 8 - 1


def test_npz_with_images(tmp_path):
    rng = np.random.default_rng(0)
    images, labels = rng.random((40, 4, 4)), rng.integers(0, 3, 40)
    np.savez(tmp_path / "images.npz", images=images, size=np.arange(40), label=labels)
    task = load_task(tmp_path / "images.npz", "label")
    assert task.X.shape[1] == 17
    assert task.kind == "classification"


def test_frame_and_arrays_give_the_same_task():
    table = people()[["age", "income"]]
    from_frame = load_task(table, "income")
    from_arrays = load_task((table[["age"]].to_numpy(), table["income"].to_numpy()))
    assert from_frame.fingerprint == from_arrays.fingerprint


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ([0, 1] * 30, "classification"),
        ([0.0, 1.0, 2.0] * 20, "classification"),
        ([True, False] * 30, "classification"),
        (["a", "b"] * 30, "classification"),
        (list(range(60)), "regression"),
        ([0.5, 1.0] * 30, "regression"),
    ],
)
def test_kind_is_found_from_the_target(target, kind):
    task = load_task((np.arange(60.0), np.array(target)))
    assert task.kind == kind
    assert task.notes[0].startswith("Treated as ")
    assert kind in task.notes[0]


def test_kind_can_be_told():
    task = load_task((np.arange(60.0), np.arange(60) % 3), kind="regression")
    assert task.kind == "regression"
    assert abs(task.y.mean()) < 1e-6


def ends_with(column, values):
    table = people(len(values))
    table[column] = values
    return table


@pytest.mark.parametrize(
    ("table", "target", "message"),
    [
        (people(), None, "no target was given; choose one of the columns: age, born"),
        (people(), "incom", "no column 'incom'; did you mean 'income'"),
        (ends_with("answer", ["yes"] * 60), "answer", "only one class"),
        (ends_with("income", [1.5] * 60), "income", "the same value in every row"),
        (ends_with("answer", [f"a{i}" for i in range(60)]), "answer", "60 classes for 60 examples"),
        (ends_with("income", [np.nan] * 60), "income", "target is empty"),
        (ends_with("income", [np.nan] * 41 + [1.5] * 19), "income", "the same value in every row"),
        (ends_with("income", [np.inf] + [1.5] * 59), "income", "target has infinite"),
        (ends_with("age", [np.inf] + [1.5] * 59), "income", "'age' has infinite values"),
        (
            ends_with("city", [f"c{i}" for i in range(59)] + ["c0"]),
            "income",
            "'city' has 59 distinct texts.* --drop city",
        ),
        (
            ends_with("age", ["?"] + ["1.5"] * 59),
            "income",
            "'age' has numbers and texts such as '?'",
        ),
        (people().rename(columns={"age": "city"}), "income", "several columns are named 'city'"),
        (people(), 3, "no column 3"),
        (people(), "AGE", "no column 'AGE'; did you mean 'age'"),
        (people(), ["age", "income"], r"no column \['age', 'income'\]"),
        (ends_with("born", np.arange(60) * 1j), "born", "target has complex numbers"),
        (people()[["income"]], "income", "the target is the only usable column"),
        (people(10), "income", "10 examples are too few"),
        (people(0), "answer", "no rows"),
        (people().rename(columns={"age": 7}), "7", "no column '7'; did you mean 7[?]"),
        (people().set_index("income"), "income", "'income' is the table's index, .*reset_index"),
        (ends_with("age", np.linspace(-1, 1, 60) * 1e308), "income", "'age' has values such as 1e"),
        (ends_with("income", np.arange(60) * 1e306), "income", "target has values such as 5.9e"),
        (ends_with("income", np.arange(60) * 1e-320), "income", "target has values such as 5.9e"),
    ],
)
def test_unusable_data_is_refused(table, target, message):
    with pytest.raises(ValueError, match=message):
        load_task(table, target)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file"):
        load_task(tmp_path / "nothing.csv", "y")
    (tmp_path / "table.txt").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="should end in"):
        load_task(tmp_path / "table.txt", "b")
    for name in ("bad.parquet", "bad.npz", "bad.csv"):
        (tmp_path / name).write_bytes(b"\x00\xff not this" if name != "bad.csv" else b"")
        with pytest.raises(ValueError, match="can't be read"):
            load_task(tmp_path / name, "b")
    with pytest.raises(ValueError, match=r"bad.npz can't be read: .*as numpy.save"):
        load_task(tmp_path / "bad.npz", "b")
    (tmp_path / "bad.npz").write_bytes(b"")
    with pytest.raises(ValueError, match="can't be read"):
        load_task(tmp_path / "bad.npz", "b")
    with (tmp_path / "one.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(ValueError, match="one array without a name"):
        load_task(tmp_path / "one.npz", "b")
    np.savez(tmp_path / "short.npz", x=np.zeros(3), y=np.zeros(4))
    with pytest.raises(ValueError, match=r"'y' has shape \(4,\), but 'x' has 3 examples"):
        load_task(tmp_path / "short.npz", "y")


@pytest.mark.parametrize("data", [3, [1, 2], {"a": 1}])
def test_data_of_another_type(data):
    with pytest.raises(ValueError, match="is not supported; give a path"):
        load_task(data)


def test_numbers_that_are_categories_are_names():
    table = pd.DataFrame({"size": pd.Categorical([38, 40, 42] * 10), "y": [0, 1] * 15})
    assert load_task(table, "y").X.shape == (30, 3)


def test_numbers_kept_as_objects_are_numbers():
    halves = [i / 2 for i in range(30)]
    expected = load_task(pd.DataFrame({"x": halves, "y": [0, 1] * 15}), "y")
    for column in (list(map(Decimal, halves)), list(map(str, halves)), np.array(halves, object)):
        task = load_task(pd.DataFrame({"x": column, "y": [0, 1] * 15}), "y")
        assert task.fingerprint == expected.fingerprint


def test_dates_may_be_told_to_be_categories():
    table = pd.DataFrame({"when": pd.Categorical(["2024-1-1", "2024-1-2"] * 15), "y": [0, 1] * 15})
    assert load_task(table, "y").X.shape == (30, 2)


def test_a_column_of_targets_is_as_good_as_a_row():
    x, y = np.arange(30.0), np.arange(30) % 2
    assert load_task((x, y[:, None])).fingerprint == load_task((x, y)).fingerprint


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([f"{1 + i % 5}.1.2024" for i in range(30)], r"dates or times such as '1.1.2024'"),
        ([f"1/{1 + i % 5}/24" for i in range(30)], "dates or times"),
        (["2024-02-30"] * 30, "the date '2024-02-30', which does not exist"),
        (["soon"] + ["2024-02-03"] * 29, "dates and texts such as 'soon' .row 0"),
        ([f"{1 + i % 5},500" for i in range(30)], "'1,500', which may mean 1500 or 1.5"),
        (["1.5", "1,5"] * 15, "decimal points and with decimal commas"),
        (["$5", "€5"] * 15, "several units: '.5', '.5'"),
        ([[1, 2]] * 30, "values of type list"),
        (["?", *map(str, range(29))], r"numbers and texts such as '\?' .row 0"),
        ([Decimal(1), "?"] + [Decimal(2)] * 28, r"numbers and texts such as '\?' .row 1"),
        (np.arange(30) * 1j, "complex numbers"),
    ],
)
def test_what_is_no_feature_is_no_target_either(column, message):
    table = pd.DataFrame({"when": column, "x": np.arange(30.0) ** 2, "y": [0, 1] * 15})
    with pytest.raises(ValueError, match=f"'when' has .*{message}"):
        load_task(table, "y")
    with pytest.raises(ValueError, match=f"the target has .*{message}"):
        load_task(table, "when")


def test_numbers_and_texts_may_be_told_to_be_classes():
    table = pd.DataFrame({"x": np.arange(40.0) ** 2, "children": ["0", "1", "2", "3+"] * 10})
    with pytest.raises(ValueError, match="ask for kind classification if these are classes"):
        load_task(table, "children")
    assert load_task(table, "children", "classification").classes == ["0", "1", "2", "3+"]
    for nothing in ([1, 2], {"a": 1}, 1j):
        with pytest.raises(ValueError, match=r"values of type|complex numbers"):
            load_task(table.assign(z=[nothing] * 40), "z", "classification")


def test_names_of_several_levels_are_refused():
    table = pd.DataFrame(np.ones((30, 2)), columns=pd.MultiIndex.from_product([["a"], ["b", "y"]]))
    with pytest.raises(ValueError, match="multi-level names"):
        load_task(table, "y")


def days_with(date):
    dates = np.where(np.arange(40) % 5, "1999-12-31", date).astype("datetime64[D]")
    return dates.astype(np.int64).astype(float)


@pytest.mark.parametrize(
    ("column", "days"),
    [
        (pd.date_range("1970-01-03", periods=40, tz="UTC"), np.arange(2, 42)),
        (pd.to_timedelta(np.arange(40) ** 2, unit="h"), np.arange(40) ** 2 / 24),
        (pd.period_range("1970-01", periods=40, freq="D"), np.arange(40)),
        ([datetime.date(1970, 1, 1 + i % 28) for i in range(40)], np.arange(40) % 28),
        ([f"1970-1-{1 + i % 28}" for i in range(40)], np.arange(40) % 28),
        ([f"1970-01-{1 + i % 28:02}T12:00:00" for i in range(40)], np.arange(40) % 28 + 0.5),
        ([f"1970/01/{1 + i % 28:02} 12:00Z" for i in range(40)], np.arange(40) % 28 + 0.5),
        (
            [f"1970-01-02T{i % 9:02}:30:00.000+02:30" for i in range(40)],
            1 - 2 / 24 + (np.arange(40) % 9) / 24,
        ),
        # Dates that stand for "always" or "never"; numpy counts the days.
        *(
            (convert(np.where(np.arange(40) % 5, "1999-12-31", date)), days_with(date))
            for date in ("9999-12-31", "0001-01-01", "2300-01-01")
            for convert in (list, lambda dates: dates.astype("datetime64[s]"))
        ),
    ],
)
def test_dates_and_times_are_days(column, days):
    table = pd.DataFrame({"when": column, "x": np.arange(40.0) ** 2, "y": [0, 1] * 20})
    task = load_task(table, "when")
    assert task.kind == "regression"
    assert task.center + task.scale * task.y.astype(float) == pytest.approx(days, abs=1e-5)
    expected = load_task(table.assign(when=days + 0.25), "y")
    assert np.allclose(load_task(table, "y").X, expected.X, atol=1e-5)
    for each in (task, load_task(table, "y")):
        assert any("used as numbers of days" in note for note in each.notes)


def test_rows_without_a_target_are_left_out():
    table = people()
    table["answer"] = table["answer"].mask(np.arange(60) % 3 == 0)
    task = load_task(table, "answer")
    assert "20 of 60 rows have no target and were dropped." in task.notes
    expected = load_task(table.dropna(), "answer")
    assert task.fingerprint == expected.fingerprint


def test_what_is_predicted_is_told(tmp_path):
    people().to_csv(tmp_path / "people.csv", index=False)
    first = ", ".join(people()["answer"][:3])
    inferred = f"inferred from target 'answer' ({first}, ...)."
    assert load_task(tmp_path / "people.csv", "answer").notes[0].endswith(inferred)
    named = f"The target is 'answer' ({first}, ...)."
    assert load_task(people(), "answer", "classification").notes[0] == named


@pytest.mark.parametrize("drop", ["city", ["city", "born"]])
def test_columns_may_be_dropped(drop):
    table = people()
    task = load_task(table, "income", drop=drop)
    assert task.fingerprint == load_task(table.drop(columns=drop), "income").fingerprint


@pytest.mark.parametrize(
    ("drop", "message"),
    [
        ("citi", "no column 'citi'; did you mean 'city'"),
        ("income", "both the target and dropped"),
        (["age", "born", "city", "member", "answer"], "the target is the only usable column"),
    ],
)
def test_what_can_not_be_dropped(drop, message):
    with pytest.raises(ValueError, match=message):
        load_task(people(), "income", drop=drop)
    with pytest.raises(ValueError, match="without data"):
        load_task(drop=drop)


@pytest.mark.parametrize("parts", [2, 3])
def test_a_train_and_a_test_part_are_refused(parts):
    X, y = np.ones((30, 2)), np.arange(30) % 2
    whole = [(X, y), people(), pa.table({"a": X[:, 0], "y": y}), "train.csv", [X, y]]
    for each in whole:
        for model in (None, "theirs"):
            with pytest.raises(ValueError, match="data is a train and a test part"):
                make_task((each,) * parts, None, None, None, None, is_table=model is None)
    with pytest.raises(ValueError, match="data is a train and a test part"):
        load_task({"train": people(), "test": people()}, "income")
    X, y = pd.DataFrame(X, columns=["a", "b"]), pd.DataFrame(X, columns=["c", "d"])
    assert make_task((X, y), None, None, None, None, False).y.shape == (30, 2)
    rows = range(30)
    assert load_task((rows, rows)).kind == "regression"  # these are (X, y)


def numbered(rows=60, **columns):
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, rows)
    return pd.DataFrame({**columns, "x": rng.normal(size=rows), "y": y})


@pytest.mark.parametrize("start", [0, 1])
def test_a_column_that_counts_the_rows_is_left_out(start):
    count = np.arange(60) + start
    for column in (count, count.astype(float), count.astype(str)):
        table = numbered(n=column)
        task = load_task(table, "y")
        assert "Column 'n' numbers the rows and was dropped." in task.notes
        assert task.fingerprint == load_task(table, "y", drop="n").fingerprint
    holes = numbered(n=count).assign(y=lambda t: t["y"].where(t.index % 4 != 1))
    assert load_task(holes, "y").X.shape == (45, 1)
    for other in (count[::-1], count * 2, count + 5, count.astype(float) + 0.5):
        assert load_task(numbered(n=other), "y").X.shape == (60, 2)


def test_a_count_that_is_all_there_is_stays():
    task = load_task(pd.DataFrame({"t": range(60), "y": np.arange(60) ** 2 % 7}), "y")
    assert task.X.shape == (60, 1)
    assert "Column 't' numbers the rows, so it encodes their order." in task.notes


@pytest.mark.parametrize(
    "ids",
    [
        [f"patient {i}" for i in range(60)],
        [f"{i:05}" for i in range(60)],
        (np.arange(60) * 7919) % 10007,
    ],
)
def test_what_names_each_row_is_left_out(ids):
    task = load_task(numbered(patient_id=ids), "y")
    assert task.X.shape == (60, 1)
    assert "Column 'patient_id' has a different value in every row and was dropped." in task.notes
    assert task.groups is None


@pytest.mark.parametrize("name", ["id", "ID", "patient_id", "userId", "PassengerID", "session.id"])
def test_rows_of_one_id_stay_together(name):
    ids = np.random.default_rng(0).permutation(np.repeat(np.arange(100, 140), 3))
    task = load_task(numbered(120, **{name: ids}), "y")
    assert task.X.shape == (120, 1)
    assert f"Rows with the same {name!r} are kept in one part of each split." in task.notes
    for seed in range(5):
        parts = dataclasses.astuple(task.split(seed))
        each = [set(ids[part]) for part in parts]
        assert len(set.union(*each)) == sum(map(len, each))


@pytest.mark.parametrize(
    "write",
    [
        lambda table: table.to_csv("t.csv"),
        lambda table: table.reset_index().to_csv("t.csv", index=False),
        lambda table: table.reset_index(names="rownames").to_csv("t.csv", index=False),
        lambda table: (table.to_csv("t.csv"), pd.read_csv("t.csv").to_csv("t.csv")),
    ],
)
@pytest.mark.parametrize("again", [False, True])
def test_rows_that_were_shuffled_and_written_with_their_numbers(
    tmp_path, monkeypatch, write, again
):
    monkeypatch.chdir(tmp_path)
    table = numbered(80).sort_values("y", ignore_index=True)  # so that the number tells the class
    table = table.sample(frac=1, replace=again, random_state=0)
    write(table)
    task = load_task("t.csv", "y")
    assert task.X.shape == (80, 1)
    if again:  # a row that was drawn twice is one thing
        rows = task.groups[:, None] == task.groups
        assert (rows == (table.index.to_numpy()[:, None] == table.index.to_numpy())).all()


@pytest.mark.parametrize("name", ["humid", "paid", "store_id", "valid"])
def test_words_that_end_in_id_are_no_ids(name):
    column = np.arange(120) % (3 if name == "store_id" else 40)
    assert load_task(numbered(120, **{name: column}), "y").X.shape == (120, 2)


def test_many_notes_are_one():
    rng = np.random.default_rng(0)
    X = rng.random((60, 500))
    X[np.arange(500) % 60, np.arange(500)] = np.nan
    table = pd.DataFrame(X, columns=[f"c{i}" for i in range(500)]).assign(y=np.arange(60) % 2)
    notes = load_task(table, "y").notes
    assert len(notes) == 2
    assert notes[1].startswith("500 columns are missing in some rows; ")
    assert notes[1].endswith(": 'c0', 'c1', 'c2', 'c3', 'c4', and 495 more.")


def test_long_names_are_cut(tmp_path):
    name = "x" * 400
    table = numbered(**{name: ["?", *map(str, range(59))]})
    with pytest.raises(ValueError, match=r"'x{57}\.\.\.' has numbers and texts") as caught:
        load_task(table, "y")
    assert len(load_task(table, "y", drop=name).notes) == 1
    assert str(caught.value).count(name) == 1  # behind --drop, to be copied
    path = tmp_path / f"{'n' * 240}.csv"
    table[["x", "y"]].to_csv(path, index=False)
    assert len(load_task(path, "y").slug) <= 80


def test_codes_are_categories_or_numbers():
    codes = [f"0{i % 7}" for i in range(60)]
    assert load_task(numbered(zip=codes), "y").X.shape == (60, 1 + 7)
    assert load_task(numbered(zip=codes), "zip").classes == [f"0{i}" for i in range(7)]
    many = [f"0{i % 70:03}" for i in range(200)]
    task = load_task(numbered(200, zip=many), "y")
    assert task.X.shape == (200, 2)
    assert any("'zip' has codes such as '0000'" in note for note in task.notes)


@pytest.mark.parametrize("word", ["NA", "None", "null"])
def test_words_for_nothing_are_gaps_among_numbers_and_texts_among_texts(word):
    table = numbered(n=[word, *map(str, np.arange(59) ** 2)], t=["DE", word] * 30)
    task = load_task(table, "y")
    assert task.X.shape == (60, 5)
    assert any("'n' is missing in 1 rows" in note for note in task.notes)
    task = load_task(table, "t")
    assert sorted(task.classes) == sorted(["DE", word])
    assert f"{word!r} is a class of the target, not treated as missing." in task.notes


def test_frames_of_other_libraries_are_tables():
    table = people()
    table.loc[3, "age"] = np.nan
    expected = load_task(table, "answer")
    columns = {name: table[name].tolist() for name in table}

    class Arrow:  # as Polars and DuckDB have it
        def __arrow_c_stream__(self, schema=None):
            return pa.table(table).__arrow_c_stream__(schema)

    class HuggingFace:
        def to_pandas(self):
            return table

    for other in (pa.table(table), Arrow(), HuggingFace(), columns, table.to_records(index=False)):
        task = load_task(other, "answer")
        assert (task.fingerprint, task.notes) == (expected.fingerprint, expected.notes)


def test_a_bunch_of_scikit_learn_has_its_target():
    expected = load_task(load_iris(return_X_y=True)).fingerprint
    for bunch in (load_iris(), load_iris(as_frame=True)):
        assert load_task(bunch).fingerprint == expected
        assert load_task(bunch, "target").fingerprint == expected


def test_a_folder_is_no_table(tmp_path):
    with pytest.raises(ValueError, match="is a folder"):
        load_task(tmp_path, "y")


def test_tensors_that_need_a_gradient_are_a_table_too():
    x = torch.randn(30, 2, requires_grad=True)
    assert load_task((x, torch.arange(30) % 2)).X.shape == (30, 2)


def test_a_target_keeps_its_unit():
    y = np.linspace(1e5, 2e5, 30)
    task = load_task((np.ones((30, 1)), y))
    assert task.center + task.scale * task.y == pytest.approx(y)
    assert task.fingerprint != load_task((np.ones((30, 1)), y / 2)).fingerprint
