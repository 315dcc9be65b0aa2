"""The table in a terminal of 80 columns, and the live progress."""

import dataclasses
import io
import math

import pytest
from rich.console import Console

import leakyrelu
from leakyrelu._compare.metric import metric_named
from leakyrelu._compare.settings import Batch
from leakyrelu._comparison.comparison import Comparison
from leakyrelu._report.progress import LiveProgress
from leakyrelu._report.terminal import print_comparison, print_experiments, print_pairs
from leakyrelu._report.words import chance
from leakyrelu.activations import parse


@pytest.fixture(scope="module", params=["classification", "regression"])
def result(request, tmp_path_factory):
    return leakyrelu.compare(
        data=(list(range(100)), [i % 2 for i in range(100)]),
        kind=request.param,
        activations=["relu", "leaky_relu:0.01"],
        seeds=2,
        depth=2,
        width=8,
        epochs=2,
        output=tmp_path_factory.mktemp("terminal"),
        progress=False,
    )


def test_a_row_is_a_line(result):
    result.task.notes.append("column 'a[bold]b'")
    stream = io.StringIO()
    print_comparison(result, Console(file=stream, width=80))
    text = stream.getvalue()
    rows = [line for line in text.splitlines() if line.startswith((" relu", " leaky_relu:0.01"))]
    assert len(rows) == 2
    assert "…" not in text
    assert " ".join(result.verdict.split()) in " ".join(text.split())
    assert "a[bold]b" in text  # no markup of rich


def test_pairs_of_which_nothing_can_be_said_are_no_empty_table(result):
    lost = [dataclasses.replace(t, test_score=math.nan) for t in result.histories()]
    one_seed = dataclasses.replace(result.settings, seeds=(0,), asked=(1,))
    names = ("task", "environment", "directory")
    rest = {name: getattr(result, name) for name in names}
    for settings, trials in ((result.settings, lost), (one_seed, result.histories())):
        stream = io.StringIO()
        found = Comparison(settings=settings, trials=trials, **rest)
        print_pairs(found, Console(file=stream, width=80))
        assert not found.has_claims
        assert stream.getvalue() == ""


def test_progress_counts_stored_and_finished_trials(result):
    batch = Batch(parse("relu"), (0.001, 0.001), (0, 1))
    with LiveProgress(result.settings, metric_named("accuracy")) as progress:
        progress.resumed(result.histories()[:3])
        progress.epoch_finished(batch, 1, 0.5)
        assert progress._progress.tasks[0].fields["stored"] == 3
        progress.batch_finished(batch, result.histories()[3:7])
        (bar,) = progress._progress.tasks
        assert bar.fields["trials"] == 2 * 2 * 3
        assert bar.fields["stored"] == 7
        assert bar.completed / bar.total == 7 / 12


def test_the_bar_is_full_at_the_end_though_trials_were_left_out(result):
    batch = Batch(parse("relu"), (0.001, 0.001), (0, 1))
    with LiveProgress(result.settings, metric_named("accuracy"), shown=False) as progress:
        progress.batch_finished(batch, result.histories()[3:5])
    (bar,) = progress._progress.tasks
    assert bar.completed == bar.total > 0


def printed(show, *arguments, width):
    stream = io.StringIO()
    show(*arguments, Console(file=stream, width=width))
    return stream.getvalue()


def heading(text):
    return next(line for line in text.splitlines() if line.startswith(" activation")).split()


def test_wide_terminals_are_told_more(large):
    narrow, wide, widest = (printed(print_comparison, large, width=w) for w in (80, 100, 300))
    assert "time" not in heading(narrow)
    assert {"source", "lr"} <= set(heading(narrow)) & set(heading(wide))
    assert "1st" in heading(widest)
    assert "1/100,000" in widest  # the gradient of relu that reaches its first weights
    rule = next(line for line in widest.splitlines() if line.startswith(" ───"))
    assert len(rule) <= 100
    for text in (narrow, wide):
        assert "…" not in text
        for sentence in large.why:
            assert " ".join(sentence.split()) in " ".join(text.split())


def test_how_likely_each_is_the_best_is_told(large):
    for width in (60, 80, 100):
        text = printed(print_comparison, large, width=width)
        place = heading(text).index("best")
        for c in large.candidates:
            row = next(line for line in text.splitlines() if f" {c.activation} " in line)
            cells = row.replace(" ± ", "±").replace("± ", "±").split()
            cells = [cell for cell in cells if cell not in "▲▼=?"]
            shown = cells[place - (heading(text).count("test") + heading(text).count("vs"))]
            if c.activation == "relu":  # it has no difference to itself
                continue
            assert shown == chance(c.probability_best), row


def test_experiments_side_by_side(several):
    text = printed(print_experiments, several, width=80)
    assert heading(text) == ["activation", "digits", "prices"]
    rows = {line.split()[0]: line for line in text.splitlines() if "±" in line and "%" in line}
    assert rows["relu"].count("±") == 2
    assert rows["prelu"].count("±") == 1
    marks = {"better": "▲", "worse": "▼", "equivalent": "=", "undecided": "?"}
    elu = [next(c for c in each.candidates if c.activation == "elu") for each in several]
    assert [word for word in rows["elu"].split() if word in "▲▼=?"] == [
        marks[c.verdict] for c in elu
    ]
    for comparison in several:
        assert comparison.verdict in " ".join(text.split())


def test_narrow_terminals_leave_columns_out_rather_than_digits(large):
    rows = {}
    for width in (80, 70, 62):
        text = printed(print_comparison, large, width=width)
        assert "…" not in text
        rows[width] = heading(text)
    assert {"lr", "source"} <= set(rows[80])
    assert "time" not in rows[70]
    assert {"best", "vs"} <= set(rows[62])
    assert not {"time", "lr"} & set(rows[62])


def test_of_what_diverged_nothing_is_told(several):
    nothing = {"test_score": math.nan, "validation_score": math.nan}
    trials = [dataclasses.replace(trial, **nothing) for trial in several[0].histories()]
    names = ("task", "settings", "environment", "directory")
    lost = Comparison(trials=trials, **{name: getattr(several[0], name) for name in names})
    text = printed(print_comparison, lost, width=100)
    for line in text.splitlines():
        if line.startswith((" relu", " elu", " prelu")):
            assert line.split()[1] == "diverged"
            assert set(line.split()[2:-2]) == {"-"}  # up to the time
    assert lost.table()[["dead %", "born dead %", "stuck negative %"]].isna().all(axis=None)


def test_names_are_no_markup(several, tmp_path):
    one = Comparison.__new__(Comparison)
    one.__dict__.update(several[0].__dict__)
    one.directory = tmp_path / "[red]x"
    text = printed(print_experiments, [one, several[1]], width=100)
    assert heading(text) == ["activation", "[red]x", "prices"]


def test_in_a_log_progress_is_lines(result, capsys, monkeypatch):
    monkeypatch.setattr("leakyrelu._report.progress.SECONDS_A_LINE", 0.0)
    batch = Batch(parse("relu"), (0.001, 0.001), (0, 1))
    long = "networks one at a time, in each of 2 processes, and so on to the end of a line and more"
    with LiveProgress(result.settings, metric_named("accuracy")) as progress:
        progress.resumed(result.histories()[:3])
        progress.trainer_chosen(long)
        progress.epoch_finished(batch, 1, 0.5)
        progress.batch_finished(batch, result.histories()[3:5])
    assert capsys.readouterr().err.splitlines() == [
        "resumed: 3 trials were stored before",
        f"trainer: {long}",
        "5 of up to 12 trials",
        "5 of up to 12 trials",
    ]
    with LiveProgress(result.settings, metric_named("accuracy"), shown=False) as progress:
        progress.batch_finished(batch, result.histories()[3:5])
    assert capsys.readouterr().err == ""


def test_who_stops_a_run_sees_what_is_known_so_far(several, capsys):
    digits = several[0]
    trials = [t for t in digits.histories() if t.seed < 2 and t.activation != "prelu"]
    lost = dataclasses.replace(trials[0], seed=2, validation_score=math.nan, test_score=math.nan)
    with LiveProgress(digits.settings, metric_named("accuracy")) as progress:
        progress.resumed([*trials, lost])
        progress.stopped()
    text = capsys.readouterr().err
    assert heading(text)[:4] == ["activation", "trials", "lr", "seeds"]
    for spec in ("relu", "elu"):
        own = [t for t in trials if t.activation == spec and t.learning_rate == 0.01]
        row = next(line.split() for line in text.splitlines() if line.startswith(f" {spec} "))
        expected = sum(t.test_score for t in own) / len(own)
        assert row[1:] == [
            str(4 + (spec == lost.activation)),
            "0.01",
            "2",
            f"{100 * sum(t.validation_score for t in own) / len(own):.1f}%",
            f"{100 * expected:.1f}%",
        ]
    assert " prelu " not in text
    assert text.index("resumed") < text.index("activation")
    assert "too early to tell differences" in text
    with LiveProgress(digits.settings, metric_named("accuracy"), shown=False) as progress:
        progress.resumed(trials)
        progress.stopped()
    with LiveProgress(digits.settings, metric_named("accuracy")) as progress:
        progress.stopped()
    assert "activation" not in capsys.readouterr().err


def test_a_terminal_shows_the_scores_so_far_above_the_bar(several):
    digits = several[0]
    trials = [t for t in digits.histories() if t.seed < 2]
    batch = Batch(parse("relu"), (0.01,), (0, 1))
    with LiveProgress(digits.settings, metric_named("accuracy"), shown=False) as progress:
        own = progress._progress
        assert len(list(own.get_renderables())) == 1
        progress.batch_finished(batch, [t for t in trials if t.activation == "relu"])
        table, word, _bar = own.get_renderables()
        assert list(table.columns[0].cells) == ["relu"]
        assert "too early to tell differences" in word
        progress.batch_finished(batch, [t for t in trials if t.activation == "elu"])
        table, *_ = own.get_renderables()
        assert sorted(table.columns[0].cells) == ["elu", "relu"]
    assert len(list(own.get_renderables())) == 1  # the table of the result comes instead
