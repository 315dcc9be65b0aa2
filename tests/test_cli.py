"""The command line: what it writes, and one clear sentence for each bad input."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from leakyrelu.cli import app

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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--activations", "relu,leaky_rely"], "did you mean 'leaky_relu'"),
        (["--activations", "relu"], "needs two or more"),
        (["--seeds", "0"], "needs 1 or more"),
        (["--lr", "fast"], "numbers with commas"),
        (["--lr", "-1"], "positive numbers"),
        (["--data", "nothing.csv", "--target", "y"], "there is no file nothing.csv"),
        (["--target", "y"], "without data"),
        (["--kind", "clustering"], "'classification' or 'regression'"),
        (["--output", "/proc/nothing/here"], "can't be written to"),
        (["--output", "/etc"], "holds something else"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(arguments, message):
    result = run("compare", *arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert result.output.startswith("leakyrelu: ")
    assert len(result.output.strip().splitlines()) == 1


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_plot(tmp_path, ending):
    result = run("plot", "relu", "prelu:0.3", "--output", tmp_path / f"picture.{ending}")
    assert result.exit_code == 0
    assert (tmp_path / f"picture.{ending}").stat().st_size > 1000


def test_plot_bad_input(tmp_path):
    result = run("plot", "relo", "-o", tmp_path / "x.png")
    assert result.exit_code == 2
    assert "did you mean 'relu'" in result.output
    assert run("plot", "relu").exit_code == 2  # no window in tests: says to name a file


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
    load = "from leakyrelu.cli import main" if call == "main()" else "import leakyrelu"
    done = subprocess.run(
        [sys.executable, "-c", f"{setup}; {load}; {call}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert message in done.stderr
    assert ("Traceback" in done.stderr) == (call != "main()")
