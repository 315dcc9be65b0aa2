"""Processes give what one process gives; what is stored is not trained again."""

import pytest
import torch

from leakyrelu.compare import engine
from leakyrelu.compare.calibrate import Way
from leakyrelu.compare.data import load_task
from leakyrelu.compare.engine import run
from leakyrelu.compare.plan import make_settings
from leakyrelu.compare.recipe import Recipe
from leakyrelu.compare.store import Store
from leakyrelu.compare.train import Experiment


class Notes:
    """A listener that remembers."""

    def __init__(self):
        self.resumed_with, self.way, self.finished, self.epochs = 0, "", [], 0

    def resumed(self, trials):
        self.resumed_with = trials

    def trainer_chosen(self, way):
        self.way = way

    def epoch_finished(self, batch, epoch, validation_score):
        self.epochs += 1

    def batch_finished(self, batch, trials):
        self.finished.extend(trial.key for trial in trials)


@pytest.fixture(autouse=True)
def _threads(monkeypatch):
    monkeypatch.setattr(torch, "set_num_threads", lambda number: None)


@pytest.fixture
def experiment():
    task = load_task()
    settings = make_settings(task.fingerprint, ["relu", "elu"], 3, 2, 0.01, depth=2, width=8)
    return Experiment(task, settings, Recipe())


def stored(experiment, directory, listener, **how):
    with Store(directory, experiment.settings, experiment.task.info, {}) as store:
        run(experiment, store, listener, **how)
        return store.trials(), store.environment


def test_a_run_stores_all_and_says_how(experiment, tmp_path):
    notes = Notes()
    trials, environment = stored(experiment, tmp_path, notes)
    assert sorted(notes.finished) == sorted(trial.key for trial in trials)
    assert len(trials) == experiment.settings.trials == 6
    assert environment["trainer"] == notes.way
    assert notes.epochs > 0
    again = Notes()
    assert stored(experiment, tmp_path, again)[0] == trials
    assert (again.resumed_with, again.finished, again.way) == (6, [], "")
    # What mattered when a finished experiment was asked for again is what a report goes by.
    assert stored(experiment, tmp_path, Notes(), rope=0.2)[1]["rope"] == "0.2"


def test_processes_give_the_same(experiment, tmp_path, monkeypatch):
    alone, _ = stored(experiment, tmp_path / "alone", Notes())
    monkeypatch.setattr(engine, "WORTH_SECONDS", -1.0)
    monkeypatch.setattr(engine, "WORTH_RATIO", 0.0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    notes = Notes()
    together, _ = stored(experiment, tmp_path / "together", notes)
    assert "in each of 2 processes" in notes.way
    assert [trial.key for trial in together] == [trial.key for trial in alone]
    for one, other in zip(together, alone, strict=True):
        assert one.test_score == pytest.approx(other.test_score, abs=1.5 / 360)
        assert one.history[-1].train_loss == pytest.approx(other.history[-1].train_loss, rel=1e-3)


def test_processes_that_are_not_worth_it_are_not_started(experiment, tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(engine, "_pool", None)
    notes = Notes()
    stored(experiment, tmp_path, notes)
    assert "processes" not in notes.way


def test_what_is_finished_before_an_error_is_kept(experiment, tmp_path, monkeypatch):
    real, calls = engine.train, []

    def breaks(experiment, batch, *rest):
        calls.append(batch)
        if len(calls) == 2:
            raise RuntimeError("the machine is on fire")
        return real(experiment, batch, *rest)

    monkeypatch.setattr(engine, "train", breaks)
    monkeypatch.setattr(engine, "calibrate", lambda experiment, keys: Way(3, 1.0, 1.0))
    with pytest.raises(RuntimeError, match="on fire"):
        stored(experiment, tmp_path, Notes())
    monkeypatch.setattr(engine, "train", real)
    notes = Notes()
    trials, _ = stored(experiment, tmp_path, notes)
    assert (notes.resumed_with, len(notes.finished), len(trials)) == (3, 3, 6)
