"""What is exported is what was stored, as other programs read it."""

import dataclasses
import errno
import json
import math
import os
from pathlib import Path

import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2

import leakyrelu
from leakyrelu._compare.store.reading import FILE_NAME
from leakyrelu._compare.store.writing import Store
from leakyrelu._comparison.comparison import Comparison
from leakyrelu._report.export import export, to_tensorboard


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """Return a comparison with a trial that diverged."""
    found = leakyrelu.compare(
        activations=["relu", "leaky_relu:0.2", "prelu"],
        seeds=2,
        depth=2,
        width=8,
        epochs=2,
        lr=(0.003, 0.01),
        output=tmp_path_factory.mktemp("trained"),
        progress=False,
    )
    first, *others = found.histories()
    nothing = {"validation_score": math.nan, "test_score": math.nan}
    last = dataclasses.replace(first.history[-1], train_loss=math.inf)
    lost = dataclasses.replace(first, **nothing, history=[*first.history[:-1], last])
    directory = tmp_path_factory.mktemp("lost")
    with Store(directory, found.settings, found.task, found.environment) as store:
        store.add([lost, *others])
    return Comparison.read(directory)


@pytest.mark.parametrize(("ending", "reader"), [("csv", pd.read_csv), ("parquet", pd.read_parquet)])
def test_a_table_has_a_row_a_trial(result, ending, reader):
    result.export(f"trials.{ending}")
    table = reader(f"trials.{ending}")
    pd.testing.assert_frame_equal(table, result.trials(), check_dtype=False)
    assert len(table) == 3 * 2 * 2
    assert table["test_score"].isna().sum() == 1


def test_json_has_all_of_it(result):
    result.export("trials.json")

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    with open("trials.json", encoding="utf-8") as file:
        found = json.load(file, parse_constant=refuse)
    assert found["verdict"] == result.verdict
    assert found["why"] == result.why
    assert found["settings"]["activations"] == list(result.settings.activations)
    assert found["environment"] == result.environment
    assert found["task"]["name"] == "handwritten digits"
    stored = {trial.key: trial for trial in result.histories()}
    assert len(found["trials"]) == len(stored)
    for trial in found["trials"]:
        own = stored[trial["activation"], trial["learning_rate"], trial["seed"]]
        assert [c["gradient"] for c in trial["history"]] == [c.gradient for c in own.history]
        if math.isnan(own.test_score):
            assert trial["test_score"] is None
            assert trial["history"][-1]["train_loss"] is None
        else:
            assert trial["test_score"] == own.test_score


def test_several_are_told_apart(result, tmp_path):
    export([result, result], tmp_path / "both.csv")
    table = pd.read_csv(tmp_path / "both.csv")
    assert len(table) == 2 * 12
    assert set(table["experiment"]) == {str(result.directory)}
    export([result, result], tmp_path / "both.json")
    assert len(json.loads((tmp_path / "both.json").read_text())) == 2


def test_other_endings_are_refused(result, tmp_path):
    with pytest.raises(ValueError, match=r"should end in \.csv, \.parquet or \.json"):
        result.export(tmp_path / "trials.xlsx")
    assert list(tmp_path.iterdir()) == []


def read_run(folder):
    run = EventAccumulator(str(folder))
    run.Reload()
    return run


def test_tensorboard_has_a_run_a_trial(result, tmp_path):
    result.to_tensorboard(tmp_path / "runs")
    runs = {folder.name: folder for folder in (tmp_path / "runs").iterdir()}
    assert len(runs) == 12
    trial = next(t for t in result.histories() if t.activation == "prelu" and t.seed == 1)
    run = read_run(runs[f"prelu-lr{trial.learning_rate:g}-seed1"])

    def course(name):
        return [(event.step, event.value) for event in run.Scalars(name)]

    for name, values in {
        "train_loss": [c.train_loss for c in trial.history],
        "validation_score": [c.validation_score for c in trial.history],
        "health/silent": [sum(c.never_fired) / 2 for c in trial.history],
        "health/first_gradient": [c.gradient[0] / c.gradient[-1] for c in trial.history],
        "health/slope": [sum(c.slopes) / 2 for c in trial.history],
    }.items():
        steps, found = zip(*course(name), strict=True)
        assert list(steps) == [c.epoch for c in trial.history]
        assert found == pytest.approx(values)
    assert course("score/test") == [(2, pytest.approx(trial.test_score))]
    started = run.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    told = plugin_data_pb2.HParamsPluginData.FromString(started).session_start_info.hparams
    assert told["activation"].string_value == "prelu"
    assert told["learning_rate"].number_value == trial.learning_rate
    assert told["seed"].number_value == 1
    assert any(name.startswith("leaky_relu_0.2-lr") for name in runs)


def test_runs_are_not_written_twice_to_the_same_place(result, tmp_path):
    result.to_tensorboard(tmp_path / "runs")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match=r"already holds the run .*; give a new directory"):
        result.to_tensorboard(tmp_path / "runs")
    assert sorted(tmp_path.rglob("*")) == before
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="is a file"):
        result.to_tensorboard(tmp_path / "file")


def test_what_was_there_is_kept_if_it_cannot_be_replaced(result, tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    for name in ("trials.json", "trials.csv", "report.html"):
        (tmp_path / name).write_text("the last one")
    monkeypatch.setattr("os.replace", full)
    for write, name in (
        (result.export, "trials.json"),
        (result.export, "trials.csv"),
        (result.to_html, "report.html"),
    ):
        with pytest.raises(OSError, match=rf"{name} can't be written: No space left on device"):
            write(tmp_path / name)
    assert {path.read_text() for path in tmp_path.iterdir()} == {"the last one"}
    assert len(list(tmp_path.iterdir())) == 3


def test_a_page_is_no_other_file(result, tmp_path):
    before = (result.directory / FILE_NAME).read_bytes()
    with pytest.raises(ValueError, match=r"should end in \.html or \.htm"):
        result.to_html(result.directory / FILE_NAME)
    assert (result.directory / FILE_NAME).read_bytes() == before


def test_runs_of_several_experiments_lie_apart(result, tmp_path):
    other = Comparison.read(result.directory)
    other.directory = tmp_path / "other"
    to_tensorboard([result, other], tmp_path / "runs")
    names = {folder.name for folder in (tmp_path / "runs").iterdir()}
    assert names == {result.directory.name, "other"}
    other.directory = tmp_path / result.directory.name
    to_tensorboard([result, other], tmp_path / "same")
    runs = {path.parent for path in (tmp_path / "same").rglob("events*")}
    assert len(runs) == 2 * 12


def test_where_nothing_can_be_written_the_name_is_the_users(result, tmp_path, monkeypatch):
    """Read-only, not even the file that is written first can be taken away."""

    def refuse(path, *_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(Path, "write_text", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    monkeypatch.setattr(pd.DataFrame, "to_csv", lambda self, path, **_: refuse(path))
    monkeypatch.setattr(pd.DataFrame, "to_parquet", lambda self, path, **_: refuse(path))
    for name, write in [
        ("page.html", result.to_html),
        *((f"trials{ending}", result.export) for ending in (".csv", ".parquet", ".json")),
    ]:
        file = tmp_path / name
        with pytest.raises(OSError, match="Read-only file system") as caught:
            write(file)
        assert str(caught.value) == f"{file} can't be written: Read-only file system"


def test_a_name_as_long_as_names_may_be_is_written(result, tmp_path):
    file = tmp_path / f"{'n' * 251}.csv"
    result.export(file)
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
