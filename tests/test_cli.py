"""The command line: what it writes, and one clear sentence for each bad input."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from torch import nn
from typer.testing import CliRunner

import leakyrelu
from leakyrelu import _cli
from leakyrelu._cli import app

SMALL = [
    "--activations",
    "relu,elu",
    "--seeds",
    "2",
    "--depth",
    "2",
    "--width",
    "8",
    "--epochs",
    "1",
]


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_metrics_by_name(tmp_path):
    result = run("compare", *SMALL, "--metric", "f1_macro", "--output", tmp_path / "run")
    assert result.exit_code == 0
    assert "test f1_macro" in result.output
    result = run("compare", *SMALL, "--metric", "f1_marco", "--output", tmp_path / "other")
    assert result.exit_code == 2
    assert "did you mean 'f1_macro'?" in result.output
    result = run("compare", *SMALL, "--metric", "mae", "--output", tmp_path / "other")
    assert result.exit_code == 2
    assert "the targets are classes" in result.output


def test_compare_writes_table_verdict_and_report(tmp_path):
    result = run("compare", *SMALL, "--output", tmp_path / "run")
    assert result.exit_code == 0
    for text in ("handwritten digits: 1,797 examples", "vs relu", "±", "report:"):
        assert text in result.output
    assert (tmp_path / "run" / "report.html").stat().st_size > 10_000


def test_own_file(tmp_path):
    rows = "\n".join(f"{i % 7},{i % 2}" for i in range(60))
    (tmp_path / "data.csv").write_text(f"a,b\n{rows}\n")
    result = run("compare", *SMALL, "--data", tmp_path / "data.csv", "--target", "b")
    assert result.exit_code == 0
    assert "data.csv: 60 examples" in result.output


def test_columns_are_dropped(tmp_path):
    rows = "\n".join(f"{i % 7},name {i % 55},{i % 2}" for i in range(60))
    (tmp_path / "data.csv").write_text(f"a,name,b\n{rows}\n")
    arguments = (*SMALL, "--data", tmp_path / "data.csv", "--target", "b")
    assert "drop them: --drop name" in run("compare", *arguments).output
    result = run("compare", *arguments, "--drop", "name")
    assert result.exit_code == 0
    assert "data.csv: 60 examples" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--drop", "a"], "drop ['a'] was given without data"),
        (["--data", "https://a.org/t.csv"], "'https://a.org/t.csv' is an address"),
        (["--activations", "relu,leaky_rely"], "did you mean 'leaky_relu'"),
        (["--activations", "relu"], "needs two or more"),
        (["--seeds", "0"], "needs 1 or more"),
        (["--lr", "fast"], "'fast' should be numbers, such as 0.001,0.01"),
        (["--lr", "-1"], "positive numbers"),
        (["--data", "nothing.csv", "--target", "y"], "there is no file nothing.csv"),
        (["--target", "y"], "without data"),
        (["--kind", "clustering"], "'classification' or 'regression'"),
        (["--output", "/proc/nothing/here"], "can't be written to"),
        (["--output", "/etc"], "holds no leakyrelu experiment"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(arguments, message):
    result = run("compare", *arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert result.output.startswith("leakyrelu: ")
    assert len(result.output.strip().splitlines()) == 1


def raising(error):
    def raises(*_, **__):
        raise error

    return raises


@pytest.mark.parametrize(
    "bug",
    [
        lambda *_, **__: np.zeros(3) + np.zeros(2),  # a ValueError, as an InputError is one
        lambda *_, **__: np.zeros(3)[5],
        raising(TypeError("wrong type")),
        raising(ImportError("cannot import name 'x' from 'leakyrelu._plot'")),
    ],
)
@pytest.mark.parametrize("command", ["plot", "compare"])
def test_a_bug_shows_its_traceback_and_says_to_report_it(command, bug, monkeypatch):
    monkeypatch.setattr(leakyrelu, command, bug)
    result = run(command, "-o", "x.png")
    assert result.exit_code == 1
    assert "please report it" in result.exception.__notes__[0]
    assert not isinstance(result.exception, SystemExit)  # Python shows the traceback


def test_a_bug_as_a_user_sees_it():
    code = """
import numpy, sys, leakyrelu
from leakyrelu._cli import main
leakyrelu.plot = lambda *_, **__: numpy.zeros(3) + numpy.zeros(2)
sys.argv[1:] = ["plot", "-o", "x.png"]
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    *_, error, note = done.stderr.strip().splitlines()
    assert "could not be broadcast" in error
    assert "it is a bug in leakyrelu: please report it" in note


@pytest.mark.parametrize("arguments", [["plot", "relo"], ["report", "nowhere"]])
def test_debug_shows_the_traceback_of_bad_input_too(arguments):
    result = run(*arguments, "--debug")
    assert result.exit_code == 2
    assert result.output.startswith("Traceback")
    assert result.output.splitlines()[-1].startswith("leakyrelu: ")
    assert len(run(*arguments).output.splitlines()) == 1


def test_a_reader_that_stops_is_no_error():
    """As `head` does: neither a traceback nor a message."""
    code = "import time; from leakyrelu._cli import main; time.sleep(0.2); main()"
    command = f"{sys.executable} -c '{code}' plot relu -o x.svg | true"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.stderr == ""


@pytest.mark.parametrize(
    "arguments", [["relu,elu"], ["relu", "elu"], ["relu, elu"], ["relu,", "elu"]]
)
def test_lists_with_commas_or_by_repetition(arguments, monkeypatch):
    given = []
    monkeypatch.setattr(leakyrelu, "plot", lambda chosen, *_, **__: given.append(chosen))
    monkeypatch.setattr(leakyrelu, "compare", lambda *_, **options: given.append(options))
    run("plot", *arguments, "-o", "x.png")
    repeated = [part for text in arguments for part in ("--activations", text, "--drop", text)]
    run("compare", *repeated, "--lr", "0.1", "--lr", "0.2,0.3")
    plotted, compared = given
    assert plotted == compared["activations"] == compared["drop"] == ["relu", "elu"]
    assert compared["lr"] == [0.1, 0.2, 0.3]


@pytest.mark.parametrize("ending", ["png", "svg", "jpg", "WEBP", "tif", "eps"])
def test_plot(tmp_path, ending):
    result = run("plot", "relu", "prelu:0.3", "--output", tmp_path / f"picture.{ending}")
    assert result.exit_code == 0
    assert (tmp_path / f"picture.{ending}").stat().st_size > 1000


FUNCTIONS = """
import math

def swish(x):
    return x / (1 + math.exp(-x))

class Mine:
    cube = staticmethod(lambda x: x**3)

names = ["relu"]
name = "leaky_relu:0.5"
"""


def test_plot_of_modules_and_functions(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    Path("users_functions.py").write_text(FUNCTIONS)
    given = ["torch.nn:Mish", "users_functions:swish", "users_functions:Mine.cube", "relu"]
    result = run("plot", *given, "numpy:tanh", " leaky_relu:0.3", "rrelu:.1:.3", "-o", "x.svg")
    assert result.exit_code == 0, result.output
    picture = Path("x.svg").read_text()
    labels = ["Mish()", "swish", "lambda", "relu", "tanh", "leaky_relu:0.3", "rrelu:0.1:0.3"]
    assert all(f">{label}</text>" in picture for label in labels)
    sys.modules.pop("users_functions")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["relo"], "did you mean 'relu'"),
        (["leaky_rely:0.2"], "did you mean 'leaky_relu'"),
        (["rrely:0.2:0.3"], "did you mean 'rrelu'"),
        (["leaky_relu:steep"], "must be finite numbers"),
        (["leaky_relu:"], "must be finite numbers"),
        (["torch.nn:Mist"], "module 'torch.nn' has no 'Mist'; did you mean 'Mish'?"),
        (["no_such_module:mish"], "module 'no_such_module' of 'no_such_module:mish' can't be"),
        (["math:pi"], "math:pi is a float, but should be a torch module or a function"),
        (["torch.nn:Linear"], "Linear can't be made without arguments"),
        (["numpy:sum"], "sum is not elementwise"),
        (["torch:softmax"], "softmax can't be drawn"),
        (["relu", "--limit", "1e308"], "from 1e-280 to 1e+300, but is 1e+308"),
        (["relu", "--limit", "1e999"], "from 1e-280 to 1e+300, but is inf"),
        (["relu", "--limit", "nan"], "but is nan"),
        (["relu", "--limit", "-3"], "but is -3.0"),
        (["relu", "-o", "no/x.png"], "no/x.png can't be written: there is no directory no"),
        (["relu", "-o", "x.docx"], "x.docx should end in one of .avif, .eps,"),
        (["relu", "-o", "."], "should end in one of"),
    ],
)
def test_plot_bad_input(arguments, message):
    result = run("plot", "-o", "x.png", *arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert result.output.startswith("leakyrelu: ")
    assert len(result.output.strip().splitlines()) == 1
    assert not Path("x.png").exists()


def test_plot_without_a_window_says_to_name_a_file():
    result = run("plot", "relu")
    assert result.exit_code == 2
    assert "--output picture.png" in result.output


def test_version_and_help():
    assert run("--version").output.strip() == "0.1.0"
    shown = run("compare", "--help").output
    for option in ("--data", "--target", "--activations", "--seeds", "--output"):
        assert option in shown


@pytest.mark.parametrize(
    ("missing", "call", "message"),
    [
        ("typer", "main()", "the command line needs typer; pip install 'leakyrelu[all]'"),
        ("torch", "main()", "compare needs torch: pip install 'leakyrelu[compare]'"),
        ("pandas", "leakyrelu.compare()", "compare needs pandas: pip install 'leakyrelu[compare]'"),
        ("torch", "leakyrelu.examine", "examine needs torch: pip install 'leakyrelu[torch]'"),
        ("matplotlib", "leakyrelu.plot()", "plot needs matplotlib: pip install 'leakyrelu[plot]'"),
    ],
)
def test_without_the_extras_it_says_what_to_install(missing, call, message):
    """As with a plain `pip install leakyrelu`, which brings NumPy alone."""
    setup = f"import sys; sys.modules['{missing}'] = None; sys.argv[1:] = ['compare']"
    load = "from leakyrelu._cli import main" if call == "main()" else "import leakyrelu"
    done = subprocess.run(
        [sys.executable, "-c", f"{setup}; {load}; {call}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert message in done.stderr
    assert ("Traceback" in done.stderr) == (call != "main()")


MODELS = """
import torch
from torch import nn

def make():
    model = nn.Sequential(nn.Linear(3, 10), nn.ReLU(), nn.Linear(10, 20), nn.LeakyReLU())
    with torch.no_grad():
        model[0].bias.fill_(10.0)
        model[0].bias[4] = -100.0
    return model

def data():
    return torch.ones(50, 3)
"""


@pytest.fixture
def _user_module(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "users_models.py").write_text(MODELS)
    yield
    sys.modules.pop("users_models", None)


EXAMINE = ("examine", "users_models:make", "--data", "users_models:data")


@pytest.mark.usefixtures("_user_module")
def test_examine_prints_a_table():
    result = run(*EXAMINE, "--html", "health.html")
    assert result.exit_code == 0
    assert "1 of 30 units are dead, most in 1 (1 of 10)" in result.output
    assert "10.0%" in result.output
    assert "1 of 30 units are dead" in Path("health.html").read_text(encoding="utf-8")


@pytest.mark.usefixtures("_user_module")
def test_examine_as_json_for_machines():
    result = run(*EXAMINE, "--json")
    found = json.loads(result.stdout)
    assert found["layers"][0]["dead units"] == [4]


@pytest.mark.usefixtures("_user_module")
@pytest.mark.parametrize(("share", "code"), [("5%", 1), ("0.05", 1), ("10%", 0), ("50%", 0)])
def test_examine_fails_where_it_is_told_to(share, code):
    result = run(*EXAMINE, "--fail-above", share)
    assert result.exit_code == code
    assert ("are dead in 1" in result.output) == bool(code)


@pytest.mark.usefixtures("_user_module")
def test_examine_with_a_checkpoint():
    alive = nn.Sequential(nn.Linear(3, 10), nn.ReLU(), nn.Linear(10, 20), nn.LeakyReLU())
    with torch.no_grad():
        alive[0].bias.fill_(10.0)
    torch.save(alive.state_dict(), "alive.pt")
    result = run(*EXAMINE, "--checkpoint", "alive.pt", "--fail-above", "0%")
    assert result.exit_code == 0
    assert "0 of 30 units are dead" in result.output


@pytest.mark.usefixtures("_user_module")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["users_models:mak", "--data", "x.npy"], "did you mean 'make'"),
        (["users_models:make", "--data", "x.npy"], "there is no file x.npy"),
        ([*EXAMINE[1:], "--fail-above", "all"], "should be a share of the units"),
        ([*EXAMINE[1:], "--fail-above", "120%"], "should be a share of the units"),
        ([*EXAMINE[1:], "--checkpoint", "no.pt"], "there is no file no.pt"),
        ([*EXAMINE[1:], "--html", "no/such/place.html"], "there is no directory no/such"),
        ([*EXAMINE[1:], "--html", "page.pdf"], "page.pdf should end in .html or .htm"),
        ([*EXAMINE[1:], "--treat", "cured.npy"], "cured.npy should end in .pt or .pth"),
        (["torch.nn:Identity", "--data", "users_models:data"], "none of the known activations"),
        (
            [EXAMINE[1], "--data", "math:pi"],
            "math:pi is a float, but should be a tensor of examples",
        ),
    ],
)
def test_examine_with_bad_input(arguments, message):
    result = run("examine", *arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert "Traceback" not in result.output


@pytest.mark.usefixtures("_user_module")
def test_examine_treats():
    result = run(*EXAMINE, "--treat", "cured.pt", "--fail-above", "0%")
    assert result.exit_code == 0, result.output
    assert "1: 1 killed unit reinitialized; outputs unchanged" in result.output
    assert "wrote cured.pt" in result.output
    again = run(*EXAMINE, "--checkpoint", "cured.pt")
    assert "0 of 30 units are dead" in again.output
    assert json.loads(run(*EXAMINE, "--treat", "cured.pt", "--json").stdout)["examples"] == 50


@pytest.mark.parametrize(
    ("number", "word"), [(signal.SIGINT, "stopped"), (signal.SIGTERM, "ended")]
)
def test_what_a_library_raises_when_a_run_is_asked_to_end_is_no_error(number, word, capsys):
    def work():
        try:
            os.kill(os.getpid(), number)
            signal.sigtimedwait([], 5)
        except KeyboardInterrupt:
            raise RuntimeError("the cluster has gone") from None

    before = signal.getsignal(number)
    with pytest.raises(typer.Exit) as ended, _cli._ending_in_order():
        work()
    assert ended.value.exit_code == 128 + number
    assert (
        capsys.readouterr().err
        == f"{word}; finished trials are kept, and the same command resumes\n"
    )
    assert signal.getsignal(number) is before


def test_a_bug_is_no_end():
    with pytest.raises(RuntimeError, match="a bug"), _cli._ending_in_order():
        raise RuntimeError("a bug")


def write_finished(folder):
    rng = np.random.default_rng(0)
    lines = ["act,seed,test_acc"]
    for seed in range(6):
        for name, mean in (("ReLU", 0.9), ("Snake", 0.95), ("my act", 0.9)):
            lines.append(f"{name},{seed},{mean + 0.01 * rng.normal():.4f}")
    path = folder / "runs.csv"
    path.write_text("\n".join(lines))
    return path


def test_judge_prints_what_python_finds_and_writes_a_page(tmp_path):
    path = write_finished(tmp_path)
    result = run("judge", path, "--pairs", "--html", tmp_path / "page.html")
    assert result.exit_code == 0, result.output
    found = leakyrelu.judge(path)
    assert " ".join(found.verdict.split()) in " ".join(result.output.split())
    assert "All pairs" in result.output
    assert found.verdict in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["page.html", "runs.csv"]


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (["--require", "snake better than relu"], 0, ""),
        (
            ["--require", "Snake better than my act", "--require", "Snake worse than relu"],
            1,
            "but ",
        ),
        (["--require", "Snake is nice"], 2, "should be as 'elu better than relu'"),
        (["--score", "accuracy"], 2, "there is no column 'accuracy': the columns are 'act', "),
        (["--reference", "tanh"], 2, "the reference 'tanh' is not among"),
        (["--html", "page.txt"], 2, "page.txt should end in .html"),
        (["--rope", "-1"], 2, "rope must be"),
    ],
)
def test_judge_ends_with_a_code_for_scripts(options, code, told, tmp_path):
    result = run("judge", write_finished(tmp_path), *options)
    assert result.exit_code == code, result.output
    assert told in result.output
