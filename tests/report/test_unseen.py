"""Reports of trials whose networks were not looked at: nothing is shown that is not known."""

import dataclasses
import io
import math
import re

import pytest
from rich.console import Console

from leakyrelu._comparison.comparison import Comparison
from leakyrelu._report.html import experiments_page
from leakyrelu._report.terminal import print_comparison, print_experiments

from .conftest import construct

# What a trial, its settings and its task have where only scores are known.
UNKNOWN_TRIAL = {"layers": [], "history": [], "seconds": 0.0}
UNKNOWN_SETTINGS = {"epochs": 0, "batch_size": 0, "depth": None, "width": None, "data": ""}
UNKNOWN_TASK = {"examples": 0, "description": ""}
OF_HEALTH = re.compile("silent|dead|stuck|gradient|never fire|Why|health")


def without(found, rate=True, curves=False):
    """Return the comparison as it is if only scores are known, at the better learning rate."""
    trials = [
        dataclasses.replace(
            trial,
            learning_rate=trial.learning_rate if rate else 0.0,
            results=b"",
            **{**UNKNOWN_TRIAL, **({"history": trial.history} if curves else {})},
        )
        for trial in found.histories()
        if rate or trial.learning_rate == 0.01
    ]
    rates = {} if rate else {"learning_rates": (0.0,)}
    settings = dataclasses.replace(found.settings, **UNKNOWN_SETTINGS, **rates)
    task = dataclasses.replace(found.task, **UNKNOWN_TASK)
    return Comparison(task, settings, trials, {}, found.directory)


@pytest.fixture(scope="module", params=[True, False], ids=["rates", "no rates"])
def unseen(request):
    return without(construct(["relu", "elu", "prelu"], 4, 5), request.param)


def printed(show, found, width=80):
    stream = io.StringIO()
    show(found, Console(file=stream, width=width))
    return stream.getvalue()


def test_terminal(unseen):
    text = printed(print_comparison, unseen)
    assert not OF_HEALTH.search(text), text
    assert not re.search(r"\bnan\b|0 examples|None| time|0\.0 s", text), text
    assert (" lr" in text) == unseen.has_rates
    assert text.startswith("digits: 5 paired seeds")
    assert "…" not in text


def test_tables(unseen):
    for table in (unseen.table(), unseen.trials()):
        assert not [name for name in table if OF_HEALTH.search(name)]
        assert "seconds" not in table
        assert not table.drop(columns=[n for n in table if "to relu" in n]).isna().all().any()
        assert any("learning" in name for name in table) == unseen.has_rates


def test_page(unseen):
    page = unseen.to_html()
    body = page[page.index("<main>") : page.index("</main>")]
    text = re.sub("<[^>]+>", " ", body)
    assert not OF_HEALTH.search(text), OF_HEALTH.search(text)
    assert not re.search(r"\bnan\b|0 epoch|0 examples|None|fingerprint| time\b", text)
    assert "Scores and differences" in text
    assert "Learning curves" not in text
    assert body.count("<svg") == 2
    assert ("learning rate" in text[: text.index("±")]) == unseen.has_rates


def test_curves_alone_are_drawn():
    found = without(construct(["relu", "elu"], 2, 5), curves=True)
    page = found.to_html()
    assert "Learning curves" in page
    assert "Units that never fire" not in page
    assert len(found.plot().get_axes()) == 4
    assert not OF_HEALTH.search(found.verdict)


def test_plot_and_exports(unseen, tmp_path):
    assert len(unseen.plot().get_axes()) == 2
    unseen.export(tmp_path / "trials.csv")
    unseen.export(tmp_path / "all.json")
    assert unseen.to_json()["why"] == []
    assert "nan" not in (tmp_path / "trials.csv").read_text().lower()


def test_beside_another_experiment(unseen):
    seen = construct(["relu", "elu"], 4, 5, name="prices")
    page = experiments_page([unseen, seen])
    assert page.count("<h3>Why</h3>") == 1
    assert " 0 examples" not in page
    assert "nan" not in printed(print_experiments, [unseen, seen])


def test_the_lost_are_told_where_there_is_no_learning_rate():
    found = without(construct(["relu", "elu"], 2, 5), rate=False)
    trials = [
        dataclasses.replace(trial, test_score=math.nan) if trial.activation == "elu" else trial
        for trial in found.histories()
    ]
    lost = Comparison(found.task, found.settings, trials, {}, found.directory)
    assert re.search(r"elu +diverged", printed(print_comparison, lost))
    assert "elu diverged" in lost.verdict
    assert ">diverged<" in lost.to_html()
