"""The main job as a user runs it, in Python and on the command line, killed and resumed."""

import os
import signal
import sqlite3
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

import leakyrelu
from leakyrelu._compare.engines import local

SMALL = {"seeds": 3, "depth": 3, "width": 16, "epochs": 3, "lr": (0.003, 0.01), "progress": False}
COMMAND = [sys.executable, "-m", "leakyrelu", "compare"]


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return leakyrelu.compare(output=tmp_path_factory.mktemp("small"), **SMALL)


def test_table(result):
    table = result.table()
    assert set(table["activation"]) == set(result.settings.activations)
    assert table["accuracy"].is_monotonic_decreasing
    assert table["accuracy"].between(table["low"], table["high"]).all()
    compared = table[table["activation"] != "relu"]
    difference = compared["difference to relu"]
    for claim in ("on these data", "for the source"):
        assert difference.between(compared[f"low {claim}"], compared[f"high {claim}"]).all()
    relu = table.set_index("activation").loc["relu"]
    assert np.isnan(relu["difference to relu"])
    own = table.set_index("activation").loc["elu"]
    assert own["difference to relu"] == pytest.approx(own["accuracy"] - relu["accuracy"])


def test_trials(result):
    trials = result.trials()
    assert 8 * (2 * 2 + 1) <= len(trials) <= 8 * 2 * 3  # of rates that are dropped after 2 seeds
    assert trials["test_score"].between(0, 1).all()


def test_the_networks_learn(result):
    assert result.table()["accuracy"].min() > 0.5  # chance: 0.1


def test_plot(result):
    figure = result.plot()
    figure.savefig("overview.png")
    titles = {axes.get_title() for part in figure.subfigs for axes in part.axes}
    assert set(result.settings.activations) <= titles


def test_the_same_seeds_give_the_same_numbers(result, tmp_path):
    again = leakyrelu.compare(output=tmp_path / "again", **SMALL)
    pd.testing.assert_frame_equal(
        again.table().drop(columns="seconds"), result.table().drop(columns="seconds")
    )
    assert again.verdict == result.verdict


def test_a_finished_experiment_is_not_trained_again(result, monkeypatch):
    monkeypatch.setattr(local, "train", None)
    again = leakyrelu.compare(output=result.directory, **SMALL)
    pd.testing.assert_frame_equal(again.table(), result.table())


def test_the_default_directory_is_named_after_the_settings():
    small = {**SMALL, "activations": ["relu", "elu"], "epochs": 1}
    first = leakyrelu.compare(**small)
    other = leakyrelu.compare(**{**small, "depth": 2})
    assert first.directory.parts[0] == "leakyrelu-runs"
    assert first.directory.name.startswith("handwritten-digits-")
    assert first.directory != other.directory


def test_own_data_for_regression(tmp_path):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(200, 2)), columns=["a", "b"])
    table["y"] = table["a"] * 2 - table["b"] + 0.1 * rng.normal(size=200)
    small = {**SMALL, "epochs": 20, "seeds": 2, "activations": ["elu", "leaky_relu:0.1"]}
    result = leakyrelu.compare(None, table, "y", output=tmp_path, **small)
    assert result.table()["R²"].min() > 0.8
    assert "difference to elu" in result.table().columns
    assert "elu" in result.verdict


OWN = """
import torch
from torch import nn

X = torch.randn(120, 5, 3, generator=torch.Generator().manual_seed(0))

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, 8))
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        return self.head(torch.relu(self.body(x)).mean(1))

def data():
    return X, X[:, 0, :2] * 2

def wrong():
    return X, X[:, :, 0]

def loss(outputs, targets):
    return (outputs - targets).abs().mean()

def closeness(outputs, targets):
    return -(outputs - targets).abs().max()

def schedule(optimizer, steps):
    peaks = [0.01] * len(optimizer.param_groups)
    return torch.optim.lr_scheduler.OneCycleLR(optimizer, peaks, steps)
"""


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_models.py").write_text(OWN)
    options = ["--seeds", "3", "--epochs", "2", "--lr", "0.01", "--activations", "relu,prelu,gelu"]
    return [*COMMAND, "my_models:Model", "--data", "my_models:data", *options]


def test_own_model_on_the_command_line(own_module, tmp_path):
    own = ["--loss", "my_models:loss", "--metric", "my_models:closeness", "--batch-size", "16"]
    own += ["--optimizer", "torch.optim:AdamW", "--schedule", "my_models:schedule"]
    command = [*own_module, *own, "--output", "run"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "test closeness" in done.stdout
    assert "my_models:Model" in done.stdout
    assert "trainer: " in done.stderr
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "resumed: 9 trials" in again.stderr
    # What is trained has changed, though its name has not.
    (tmp_path / "my_models.py").write_text(OWN.replace("Linear(8, 2)", "Linear(8, 2, bias=False)"))
    changed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert changed.returncode == 2
    assert "holds another experiment: " in changed.stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"my_models:data": "my_models:wrong"}, "outputs have shape (2,) per example, but"),
        ({"my_models:Model": "my_models:Modle"}, "did you mean 'Model'"),
        ({"my_models:Model": "my_models:data"}, "returned a tuple, but should return a new"),
        ({"--seeds": "--depth"}, "depth and width are for the built-in network"),
        ({"my_models:data": "nothing.csv"}, "there is no file nothing.csv"),
    ],
)
def test_own_model_that_can_not_be_used(own_module, change, message):
    command = [change.get(word, word) for word in own_module]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert message in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr


def test_all_diverged_is_told(tmp_path):
    small = {**SMALL, "activations": ["relu", "elu"], "lr": (1e25,)}
    result = leakyrelu.compare(output=tmp_path, **small)
    assert "diverged" in result.verdict
    assert result.recommended is None
    result.to_html(tmp_path / "report.html")
    result.plot()


def arguments(output):
    # One activation takes a second or so: time enough to be killed within.
    options = {"activations": "relu,elu,prelu", "seeds": 4, "depth": 12, "width": 32, "epochs": 6}
    named = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    return [*COMMAND, *named, "--output", str(output)]


def stop_after_first_batch(output, signal_number):
    """Start a comparison and end it as soon as its store holds some trials."""
    process = subprocess.Popen(
        arguments(output),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A background job of a shell ignores Ctrl-C, and so would what it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    file = output / "trials.sqlite"
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if file.exists() and _stored(file):
            process.send_signal(signal_number)
            break
        time.sleep(0.01)
    out, error = process.communicate(timeout=60)
    return process.returncode, out, error, _stored(file)


def _stored(file):
    try:
        with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as connection:
            return connection.execute("SELECT count(*) FROM trial").fetchone()[0]
    except sqlite3.OperationalError:  # not created yet
        return 0


def table_of(output):
    rows = sqlite3.connect(output / "trials.sqlite").execute(
        "SELECT activation, learning_rate, seed, validation_score, test_score, history FROM trial"
    )
    return sorted(rows.fetchall())


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    output = tmp_path_factory.mktemp("whole") / "run"
    done = subprocess.run(arguments(output), capture_output=True, text=True, check=True)
    return output, done.stdout


def verdict_of(stdout):
    """All that is printed but the times and the path."""
    lines = [line.split() for line in stdout.splitlines() if not line.startswith("report:")]
    return [words[:-2] if words[-1:] == ["s"] else words for words in lines]


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGINT])
def test_stopped_and_resumed_is_as_uninterrupted(uninterrupted, tmp_path, signal_number):
    output = tmp_path / "run"
    code, _, error, stored = stop_after_first_batch(output, signal_number)
    if signal_number == signal.SIGINT:
        assert code == 130
        assert "the same command resumes" in error
    else:
        assert code == -signal.SIGKILL
    assert 0 < stored < 3 * 3 * 4
    resumed = subprocess.run(arguments(output), capture_output=True, text=True, check=True)
    assert f"resumed: {stored} trials" in resumed.stderr
    assert table_of(output) == table_of(uninterrupted[0])
    assert verdict_of(resumed.stdout) == verdict_of(uninterrupted[1])


def test_a_changed_setting_is_refused_and_nothing_lost(uninterrupted):
    output, _ = uninterrupted
    before = table_of(output)
    changed = [*arguments(output), "--epochs", "7"]
    done = subprocess.run(changed, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "holds another experiment: epochs 6, not 7" in done.stderr
    assert "Traceback" not in done.stderr
    assert table_of(output) == before


def test_numbers_do_not_depend_on_threads(uninterrupted, tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    subprocess.run(arguments(tmp_path / "run"), capture_output=True, check=True, env=environment)
    two_threads = [row[3:5] for row in table_of(tmp_path / "run")]
    assert np.allclose(two_threads, [row[3:5] for row in table_of(uninterrupted[0])], atol=0.02)
