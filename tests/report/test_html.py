"""The report is one file that refers to nothing outside itself and can be read by all."""

import dataclasses
import html
import math
import re
from html.parser import HTMLParser

import pytest
import torch

import leakyrelu
from leakyrelu._report.html import comparison_page, experiments_page

VOID = {"meta", "br", "img", "link", "input", "hr"}


class Page(HTMLParser):
    """Collects what the tests look at, and checks that every tag is closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.attributes, self.texts = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    table = leakyrelu.compare(
        activations=["relu", "leaky_relu:0.2", "elu"],
        seeds=3,
        depth=4,
        width=16,
        epochs=4,
        output=tmp_path_factory.mktemp("report"),
        progress=False,
    )
    table.task.notes.append("<script>alert('a column name')</script>")
    return table


@pytest.fixture(scope="module")
def text(result, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    result.to_html(path)
    return path.read_text(encoding="utf-8")


def test_it_needs_no_network(text):
    for tag, name, value in Page(text).attributes:
        if name in ("src", "href", "xlink:href"):
            assert value.startswith(("#", "data:")), (tag, name, value)
    assert "url(http" not in text
    assert "@import" not in text
    assert len(text) < 2_000_000


def test_the_verdict_stands_before_the_table(text, result):
    shown = " ".join(" ".join(Page(text).texts).split())
    assert result.verdict in shown
    assert shown.index(result.verdict) < shown.index("stuck negative")
    assert all(sentence in shown for sentence in result.why)
    for heading in (
        "Why",
        "Learning curves",
        "Units that never fire",
        "Use it",
        "How it was measured",
    ):
        assert heading in shown
    for name, value in result.environment.items():
        assert f"{name} {value}" in shown


def test_names_are_escaped(text):
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text


def test_figures_have_a_label_and_follow_the_theme(text):
    labels = re.findall(r'<svg role="img" aria-label="([^"]+)"', text)
    swatches = text.count('aria-hidden="true"><line')
    assert len(labels) == text.count("<svg") - swatches == 5 + 2 * 3
    assert len(set(labels)) == len(labels)
    assert text.count("currentColor") > 50
    assert "#010203" not in text


def test_ids_are_unique_and_found(text):
    ids = re.findall(r' id="([^"]+)"', text)
    definitions = {i: re.findall(rf'id="{i}"[^>]*>', text) for i in set(ids)}
    used = set(re.findall(r'(?:url\(|href=")#([^")]+)', text))
    assert used == set(definitions) - {"keys", "status"}  # those of the script
    assert len(ids) == len(set(ids))


def test_the_code_to_use_the_winner_runs(text, result):
    code = html.unescape(re.search(r"<pre>(.*?)</pre>", text, re.DOTALL)[1])
    names = {"model": torch.nn.Sequential(torch.nn.Linear(2000, 20), torch.nn.Linear(20, 2))}
    exec(code, names)
    assert isinstance(names["activation"], torch.nn.Module)
    gain = leakyrelu.activations.parse(result.recommended.activation).gain
    assert names["model"][0].weight.std().item() == pytest.approx(gain / 2000**0.5, rel=0.05)


def test_a_model_of_ones_own_is_told_how_to_use_it(large):
    own = construct_with(large, settings=dataclasses.replace(large.settings, model="models:make"))
    code = html.unescape(re.search(r"<pre>(.*?)</pre>", comparison_page(own), re.DOTALL)[1])
    names = {"model": torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU())}
    exec(code, names)
    spec = leakyrelu.activations.parse(own.recommended.activation)
    assert isinstance(names["model"][1], type(spec.module()))
    assert isinstance(names["optimizer"], torch.optim.Adam)
    assert names["optimizer"].defaults["lr"] == 0.01


def test_the_optimizer_in_the_code_is_the_one_that_was_measured(large):
    def code(recipe, **environment):
        settings = dataclasses.replace(large.settings, recipe=recipe)
        page = comparison_page(construct_with(large, settings=settings, environment=environment))
        return html.unescape(re.findall(r"<pre>(.*?)</pre>", page, re.DOTALL)[0])

    default = {"optimizer": "Adam", "schedule": "cosine decay to 0"}
    for told in (code(None), code(None, **default), code("abc", **default)):
        assert "torch.optim.Adam(model.parameters(), lr=0.01)" in told
        assert "CosineAnnealingLR(optimizer, steps)" in told
    own = code("abc", optimizer="SGD(momentum=0.9)", schedule="recipes.warm_up")
    # Of an experiment of an earlier version it is not known.
    for told in (own, code("abc")):
        assert "torch.optim.Adam" not in told
        assert "Cosine" not in told
        assert "learning_rate = 0.01" in told
        compile(told, "page", "exec")
    assert "# Measured with SGD(momentum=0.9)" in own
    assert "# Measured with the schedule recipes.warm_up." in own
    half = code("abc", optimizer="SGD", schedule="cosine decay to 0")
    assert "Adam(" not in half
    assert "half cosine" in half


def test_what_was_measured_is_named(large):
    told = {"optimizer": "SGD(momentum=0.9)", "loss": "losses.focal", "metric": "scores.f1"}
    shown = " ".join(Page(comparison_page(construct_with(large, environment=told))).texts)
    shown = " ".join(shown.split())
    for name, value in told.items():
        assert f"{name} {value}" in shown
    assert "stored 600 trials" in shown
    assert re.search(r"written \d{4}-\d\d-\d\d \d\d:\d\d UTC", shown)


def test_ids_are_unique_though_two_experiments_are_the_same(large):
    text = experiments_page([large, large])
    ids = re.findall(r' id="([^"]+)"', text)
    assert len(ids) == len(set(ids))


def construct_with(comparison, **changed):
    names = ("task", "settings", "environment", "directory")
    given = {name: getattr(comparison, name) for name in names}
    return type(comparison)(**{**given, "trials": comparison.histories(), **changed})


def test_an_experiment_that_still_runs_says_so(large):
    first_round = [t for t in large.histories() if t.seed < 10]
    text = comparison_page(construct_with(large, trials=first_round))
    assert "Not finished: 300 trials of up to 600 are stored" in text
    assert "Not finished" not in comparison_page(large)


def test_several_experiments_have_a_section_each(several):
    page = Page(experiments_page(several))
    shown = " ".join(" ".join(page.texts).split())
    for comparison in several:
        assert shown.count(comparison.verdict) == 2  # in the overview and in its section
        assert comparison.task.name in shown
    links = {value[1:] for tag, name, value in page.attributes if (tag, name) == ("a", "href")}
    assert links == {value for tag, name, value in page.attributes if (tag, name) == ("h2", "id")}
    assert len(links) == 2


def test_undefined_scores_leave_a_page(large):
    def page(is_undefined):
        nothing = {"test_score": math.nan, "undefined": True}
        trials = [
            dataclasses.replace(t, **nothing) if is_undefined(t) else t for t in large.histories()
        ]
        comparison = construct_with(large, trials=trials)
        assert "undefined" in experiments_page([comparison, large]) or comparison.trained
        return comparison_page(comparison)

    text = page(lambda trial: True)
    assert ">undefined</td>" in text
    assert "diverged" not in text.replace("not diverged", "")
    assert ">undefined</td>" in page(lambda trial: trial.activation == "elu" and trial.seed == 1)
    text = page(lambda trial: trial.seed == 1)
    assert ">undefined</td>" not in text
    assert "these seeds are left out" in text


def test_diverged_activations_leave_a_page(large):
    nothing = {"test_score": math.nan, "validation_score": math.nan}
    lost = [dataclasses.replace(trial, **nothing) for trial in large.histories()]
    some = [lost[i] if t.activation == "elu" else t for i, t in enumerate(large.histories())]
    assert "diverged" in comparison_page(construct_with(large, trials=some))
    all_lost = construct_with(large, trials=lost)
    page = comparison_page(all_lost)
    assert "diverged" in page
    assert "<figure" not in page  # nothing is drawn of nothing
    assert "Learning curves" not in page
    shown = " ".join(" ".join(Page(page).texts).split())
    assert "- stuck" not in shown
    assert "No health metric" not in shown
    assert "No activation is better" not in shown
    assert (
        "diverged with some seed at every learning rate of the grid; try rates below 0.001."
        in shown
    )
    assert "diverged" in experiments_page([all_lost, large])
    no_reference = [
        lost[i] if t.activation == "relu" else t for i, t in enumerate(large.histories())
    ]
    page = comparison_page(construct_with(large, trials=no_reference))
    assert "Difference to relu with" not in page


def test_large_reports_stay_small(large):
    assert len(comparison_page(large).encode()) < 2_000_000
