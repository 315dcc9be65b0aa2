"""The report is one file that refers to nothing outside itself and can be read by all."""

import re
from html.parser import HTMLParser

import pytest

import leakyrelu

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
    for heading in ("Learning curves", "Units that never fire", "Use it", "How it was measured"):
        assert heading in shown
    for name, value in result.environment.items():
        assert f"{name} {value}" in shown


def test_names_are_escaped(text):
    assert "<script>" not in text


def test_figures_have_a_label_and_follow_the_theme(text):
    labels = re.findall(r'<svg role="img" aria-label="([^"]+)"', text)
    assert len(labels) == text.count("<svg") == 2 + 2 * 3
    assert len(set(labels)) == len(labels)
    assert text.count("currentColor") > 50
    assert "#010203" not in text


def test_ids_are_unique_and_found(text):
    ids = re.findall(r' id="([^"]+)"', text)
    definitions = {i: re.findall(rf'id="{i}"[^>]*>', text) for i in set(ids)}
    used = set(re.findall(r'(?:url\(|href=")#([^")]+)', text))
    assert used == set(definitions)


def test_the_code_to_use_the_winner_runs(text, result):
    import html

    code = html.unescape(re.search(r"<pre>(.*?)</pre>", text, re.DOTALL)[1])
    import torch

    names = {"model": torch.nn.Sequential(torch.nn.Linear(2000, 20), torch.nn.Linear(20, 2))}
    exec(code, names)
    assert isinstance(names["activation"], torch.nn.Module)
    gain = leakyrelu.activations.parse(result.recommended.activation).gain
    assert names["model"][0].weight.std().item() == pytest.approx(gain / 2000**0.5, rel=0.05)
