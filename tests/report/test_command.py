"""``leakyrelu report``: what it prints and writes, and one clear sentence for each bad input."""

import contextlib
import html
import json
import os
import subprocess
import sys

import pandas as pd
import pytest
from typer.testing import CliRunner

import leakyrelu
from leakyrelu._cli import app
from leakyrelu._compare.store.reading import FILE_NAME, read
from leakyrelu._compare.store.writing import Store
from leakyrelu._comparison.comparison import Comparison


def run(*arguments):
    return CliRunner().invoke(app, ["report", *map(str, arguments)])


@pytest.fixture
def stored(several, tmp_path):
    """Return the directories of experiments."""
    folders = [tmp_path / each.task.name for each in several]
    for each, folder in zip(several, folders, strict=True):
        with Store(folder, each.settings, each.task, each.environment) as store:
            store.add(each.histories())
    return folders


def words(text):
    return " ".join(text.split())


def test_one_experiment(stored, several):
    before = (stored[0] / FILE_NAME).read_bytes()
    result = run(stored[0])
    assert result.exit_code == 0, result.output
    for text in (several[0].verdict, *several[0].why, "digits: 1,797 examples"):
        assert words(text) in words(result.output)
    page = (stored[0] / "report.html").read_text(encoding="utf-8")
    assert several[0].verdict in html.unescape(page)
    assert (stored[0] / FILE_NAME).read_bytes() == before


def test_what_matters_may_be_said_anew(stored):
    assert "equivalent: " not in run(stored[0], "--rope", 0).output
    assert "differences up to 100 points count as none" in words(run(stored[0], "--rope", 1).output)


def test_several_experiments_and_exports(stored, several, tmp_path):
    pages = tmp_path / "pages"
    pages.mkdir()
    result = run(
        *stored,
        *("--html", pages / "both.html"),
        *("--export", pages / "both.csv"),
        *("--tensorboard", pages / "runs"),
    )
    assert result.exit_code == 0, result.output
    for comparison in several:
        assert words(comparison.verdict) in words(result.output)
    assert "in 2 experiments" in (pages / "both.html").read_text(encoding="utf-8")
    table = pd.read_csv(pages / "both.csv")
    assert table.groupby("experiment").size().to_dict() == {
        str(folder): len(each.histories()) for folder, each in zip(stored, several, strict=True)
    }
    assert {folder.name for folder in (pages / "runs").iterdir()} == {"digits", "prices"}
    assert not (stored[0] / "report.html").exists()
    assert run(*stored).exit_code == 0
    assert (tmp_path / "report.html").exists()


def test_json(stored, tmp_path):
    assert run(stored[1], "--export", tmp_path / "a.json").exit_code == 0
    assert json.loads((tmp_path / "a.json").read_text())["task"]["metric"] == "R²"


def test_bad_input_is_one_sentence_and_exit_code_2(stored, several, tmp_path):
    young = tmp_path / "young"
    with Store(young, several[0].settings, several[0].task, {}):
        pass
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / FILE_NAME).write_text("no database" * 20)
    for arguments, message in (
        ([tmp_path / "nothing"], "holds no experiment"),
        ([tmp_path / "foreign"], "is damaged or not a leakyrelu experiment"),
        ([young], "holds none of up to 24 trials"),
        ([stored[0], "--rope", -1], "must be a difference of scores"),
        ([stored[0], "--export", "a.txt"], "should end in .csv"),
        ([stored[0], tmp_path / "nothing"], "holds no experiment"),
        ([stored[0], "--html", stored[0] / FILE_NAME], "should end in .html or .htm"),
        ([stored[0], "--html", "a.csv", "--export", "a.csv"], "should end in .html or .htm"),
        ([stored[0], "--html", tmp_path / "nowhere" / "a.html"], "there is no directory"),
        ([stored[0], "--export", tmp_path / "nowhere" / "a.csv"], "there is no directory"),
        ([stored[0], "--tensorboard", stored[0] / FILE_NAME], "is a file"),
        ([stored[0], f"{stored[0]}/."], "was given twice"),
    ):
        result = run(*arguments)
        assert result.exit_code == 2
        assert message in result.output
        assert result.output.startswith("leakyrelu: ")
        assert len(result.output.strip().splitlines()) == 1
    assert Comparison.read(stored[0]).verdict == several[0].verdict


@pytest.fixture
def stopped(several, tmp_path):
    """Return the directory of an experiment that has not all of its first round."""
    folder = tmp_path / "stopped"
    with Store(folder, several[0].settings, several[0].task, several[0].environment) as store:
        store.add([t for t in several[0].histories() if t.activation == "relu"][:3])
    return folder


def test_of_a_stopped_experiment_the_scores_so_far_are_told(stopped, several, tmp_path):
    result = run(stopped, "--export", tmp_path / "a.csv", "--tensorboard", tmp_path / "runs")
    assert result.exit_code == 0, result.output
    trials = pd.read_csv(tmp_path / "a.csv")
    expected = trials["test_score"].mean()
    assert len(trials) == len(list((tmp_path / "runs").iterdir())) == 3
    (row,) = (line.split() for line in result.output.splitlines() if line.startswith(" relu"))
    assert (row[:4], row[-1]) == (["relu", "3", "0.001", "3"], f"{100 * expected:.1f}%")
    for text in (
        "digits: 1,797 examples",
        "up to 4 paired seeds",
        "not finished: 3 trials of up to 24 are stored",
        "too early to tell differences",
        "No verdict yet: 3 of up to 24 trials of the first round (4 seeds) are finished.",
        "The same call or command resumes.",
        "no page yet",
    ):
        assert text in words(result.output)
    assert not (stopped / "report.html").exists()
    assert run(stopped, "--export", tmp_path / "a.json").exit_code == 0
    found = json.loads((tmp_path / "a.json").read_text())
    assert (found["is_finished"], found["table"], len(found["trials"])) == (False, [], 3)


def test_a_page_is_not_written_without_a_verdict(stopped, stored, tmp_path):
    page = tmp_path / "page.html"
    for folders in ([stopped], [stored[0], stopped]):
        result = run(*folders, "--html", page)
        assert result.exit_code == 2
        assert f"leakyrelu: {page} was not written. {stopped}: No verdict yet: " in result.output
        assert not page.exists()


def test_a_stopped_experiment_beside_a_finished_one(stopped, stored, several):
    result = run(stored[0], stopped)
    assert result.exit_code == 0
    assert words(several[0].verdict) in words(result.output)
    assert "stopped: No verdict yet: 3 of up to 24 trials" in words(result.output)
    (row,) = (line for line in result.output.splitlines() if line.startswith(" elu"))
    assert row.count("±") == 1


def test_an_experiment_that_was_killed_is_told_and_resumed(tmp_path):
    options = ["--depth", "1", "--width", "4", "--epochs", "3", "--seeds", "8", "--output", "run"]
    command = [sys.executable, "-m", "leakyrelu", "compare", *options]
    killed = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL)
    trials = []
    while not trials:
        assert killed.poll() is None
        with contextlib.suppress(OSError, ValueError):  # it has not begun
            trials = read(tmp_path / "run").trials
    killed.kill()
    killed.wait()
    trials = read(tmp_path / "run").trials
    found = Comparison.read(tmp_path / "run")
    assert (found.is_finished, found.candidates, len(found.trials())) == (False, [], len(trials))
    result = run(tmp_path / "run")
    assert result.exit_code == 0
    assert f"No verdict yet: {len(trials)} of up to 192 trials" in words(result.output)
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert f"resumed: {len(trials)} trials were stored before" in done.stderr
    assert Comparison.read(tmp_path / "run").is_finished


def test_where_no_page_can_be_written_the_result_is_told(stored, several):
    (stored[0] / "report.html").mkdir()
    result = run(stored[0])
    assert result.exit_code == 2
    assert words(several[0].verdict) in words(result.output)
    assert result.output.endswith("name another page with --html\n")


def test_files_are_written_though_nobody_reads_what_is_printed(stored):
    command = [sys.executable, "-m", "leakyrelu", "report", stored[0]]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=120)
    os.close(writer)
    assert done.stderr == ""
    assert (stored[0] / "report.html").exists()


def test_an_experiment_of_compare_is_told_again(tmp_path):
    done = leakyrelu.compare(
        activations=["relu", "elu"],
        seeds=2,
        depth=2,
        width=8,
        epochs=1,
        output=tmp_path / "run",
        progress=False,
    )
    assert words(done.verdict) in words(run(tmp_path / "run").output)


def test_compare_tells_the_result_though_no_page_can_be_written(tmp_path):
    options = ["--activations", "relu,elu", "--seeds", "2", "--depth", "2", "--width", "8"]
    command = ["compare", *options, "--epochs", "1", "--output", str(tmp_path / "run")]
    assert CliRunner().invoke(app, command).exit_code == 0
    (tmp_path / "run" / "report.html").unlink()
    (tmp_path / "run" / "report.html").mkdir()
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2
    assert words(Comparison.read(tmp_path / "run").verdict) in words(result.stdout)
    assert "the trials are kept" in result.stderr
    assert f"leakyrelu report {tmp_path / 'run'} --html page.html" in result.stderr


def test_a_verdict_can_be_required(stored):
    for requirement, code in (
        ("elu better than relu", 0),
        ("relu better than elu", 1),
        ("elu beats relu", 2),
        ("tanh better than relu", 2),
    ):
        result = run(stored[0], "--require", requirement)
        assert result.exit_code == code, result.output
        assert ("required: relu better than elu; but relu is worse" in result.output) == (code == 1)
    both = run(*stored, "--require", "elu better than relu", "--require", "relu not worse than elu")
    assert both.exit_code == 1
