"""Processes give what one process gives; what is stored is not trained again."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
import torch

from leakyrelu._compare.data.table_task import load_task
from leakyrelu._compare.engines import local
from leakyrelu._compare.engines.calibrate import Way
from leakyrelu._compare.engines.run import run
from leakyrelu._compare.networks.recipe import Recipe
from leakyrelu._compare.settings import make_settings
from leakyrelu._compare.store.reading import read
from leakyrelu._compare.store.writing import Store
from leakyrelu._compare.training.train import Experiment


class Notes:
    """A listener that remembers."""

    def __init__(self):
        self.resumed_with, self.way, self.finished, self.epochs = 0, "", [], 0

    def resumed(self, trials):
        self.resumed_with = len(trials)

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
    monkeypatch.setattr(local, "WORTH_SECONDS", -1.0)
    monkeypatch.setattr(local, "WORTH_RATIO", 0.0)
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
    monkeypatch.setattr(local, "_pool", None)
    notes = Notes()
    stored(experiment, tmp_path, notes)
    assert "processes" not in notes.way


def test_what_is_finished_before_an_error_is_kept(experiment, tmp_path, monkeypatch):
    real, calls = local.train, []

    def breaks(experiment, batch, *rest):
        calls.append(batch)
        if len(calls) == 2:
            raise RuntimeError("the machine is on fire")
        return real(experiment, batch, *rest)

    monkeypatch.setattr(local, "train", breaks)
    monkeypatch.setattr(local, "calibrate", lambda experiment, keys: Way(3, 1.0, 1.0))
    with pytest.raises(RuntimeError, match="on fire"):
        stored(experiment, tmp_path, Notes())
    monkeypatch.setattr(local, "train", real)
    notes = Notes()
    trials, _ = stored(experiment, tmp_path, notes)
    assert (notes.resumed_with, len(notes.finished), len(trials)) == (3, 3, 6)


# --- However a run is ended, its workers end with it ----------------------------------------------

PROGRAM = """
import sys
import torch
from leakyrelu._compare.engines import local

torch.get_num_threads = lambda: 2
torch.set_num_threads = lambda threads: None
local.WORTH_SECONDS, local.WORTH_RATIO = -1.0, 0.0
from leakyrelu._cli import main

sys.argv = ["leakyrelu", "compare", "--seeds", "40", "--epochs", "300", "--output", "run",
            "--depth", "2", "--activations", "relu,elu,silu,gelu"]
main()
"""


def started(tmp_path):
    """Start a run, and return it once it has two worker processes, with all its processes."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        start_new_session=True,  # a group of its own
    )
    end = time.monotonic() + 120
    while True:
        children = psutil.Process(process.pid).children(recursive=True)
        if sum("LokyProcess" in " ".join(child.cmdline()) for child in children) >= 2:
            return process, children
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("seconds", [0, 1, 4, 8])
def test_workers_end_with_a_process_that_is_killed(tmp_path, seconds):
    process, children = started(tmp_path)
    time.sleep(seconds)
    children += [c for c in psutil.Process(process.pid).children(True) if c not in children]
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(children, timeout=30)
    assert alive == []


@pytest.mark.parametrize("send", [os.kill, os.killpg])
@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGTERM, 143, "ended"), (signal.SIGINT, 130, "stopped")]
)
def test_a_run_that_is_asked_to_end_says_so_and_keeps_its_trials(
    tmp_path, number, code, word, send
):
    process, children = started(tmp_path)
    time.sleep(5)
    send(process.pid, number)
    try:
        _, told = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == code
    *_, last = told.decode().strip().splitlines()
    assert last == f"{word}; finished trials are kept, and the same command resumes"
    assert "Traceback" not in told.decode()
    _, alive = psutil.wait_procs(children, timeout=30)
    assert alive == []
    read(tmp_path / "run")


CHILD = """
import os, subprocess, sys, time
from leakyrelu._compare.engines.orphans import end_with

parent = os.getpid()
if os.fork() == 0:
    end_with(parent)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    print(os.getpid(), child.pid, flush=True)
time.sleep(600)
"""


def test_what_a_worker_has_started_ends_with_it():
    process = subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE)
    both = [psutil.Process(int(pid)) for pid in process.stdout.readline().split()]
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(both, timeout=30)
    assert alive == []
