"""The report in a real browser: what can be clicked, focused, read and seen."""

import html
import json
import os
import re
import shutil
import subprocess

import pytest

from leakyrelu._report.html import comparison_page, experiments_page

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROME = os.environ.get("CHROME") or next(filter(None, map(shutil.which, NAMES)), None)
pytestmark = pytest.mark.skipif(
    CHROME is None, reason=f"needs a browser: {', '.join(NAMES)}, or its path in CHROME"
)
OPTIONS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",  # in a container it is small
    "--no-first-run",
    "--virtual-time-budget=20000",
    "--dump-dom",
]

# Before the page: what goes wrong in it is collected.
WATCH = """
const wrong = [];
addEventListener("error", (event) => wrong.push(String(event.message)));
addEventListener("securitypolicyviolation", (event) => wrong.push(event.blockedURI));
console.error = console.warn = (...words) => wrong.push(words.join(" "));
"""
# After it: what a test looks at goes to the page around it, as text.
TELL = """
const all = (selector) => [...document.querySelectorAll(selector)];
const one = (selector) => document.querySelector(selector);
const press = (element, key) =>
  element.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
addEventListener("load", () => {
  const found = {};
  try { LOOK } catch (error) { wrong.push(String(error)); }
  found.wrong = wrong;
  found.requests = performance.getEntriesByType("resource").map((entry) => entry.name);
  parent.postMessage(JSON.stringify(found), "*");
});
"""


@pytest.fixture
def browse(tmp_path):
    """Return what opens a page in a frame so wide, runs a script in it and returns `found`."""

    def run(page, script, width=1100, dark=False):
        page = page.replace("<head>", f"<head><script>{WATCH}</script>", 1)
        ending = f"<script>{TELL.replace('LOOK', script)}</script></body>"
        (tmp_path / "page.html").write_text(page.replace("</body>", ending), encoding="utf-8")
        (tmp_path / "frame.html").write_text(
            "<pre></pre><script>addEventListener('message', (event) => {"
            "document.querySelector('pre').textContent = event.data; });</script>"
            f"<iframe src='page.html' style='width: {width}px; height: 900px; border: 0'></iframe>",
            encoding="utf-8",
        )
        theme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
        address = (tmp_path / "frame.html").as_uri()
        profile = f"--user-data-dir={tmp_path / 'profile'}"
        done = subprocess.run(
            [CHROME, *OPTIONS, profile, "--window-size=1400,1000", theme, address],
            capture_output=True,
            text=True,
            timeout=180,
            check=True,
        )
        told = re.search("<pre>(.+?)</pre>", done.stdout, re.DOTALL)
        assert told, f"the page told nothing: {done.stderr[-2000:]}"
        found = json.loads(html.unescape(told[1]))
        assert found["wrong"] == []
        return found

    return run


@pytest.fixture(scope="module")
def page(large):
    return comparison_page(large)


def test_it_asks_the_network_for_nothing(browse, page):
    assert browse(page, "")["requests"] == []


def test_a_request_would_be_noticed(browse, page):
    """The test above can fail."""
    spoilt = page.replace("<main>", '<main><img src="https://example.org/a.png" alt="">')
    with pytest.raises(AssertionError, match=r"example\.org"):
        browse(spoilt, "")


SORT = """
const column = (name) => all("table.wide.sortable th button").find(
  (button) => button.textContent.includes(name));
const rows = () => all("table.wide.sortable tbody tr").map((row) => [
  row.cells[0].textContent,
  row.cells[column("than relu, on these data").parentNode.cellIndex].textContent]);
found.before = rows();
found.sorts = [];
for (const name of ["than relu, on these data", "than relu, on these data", "activation"]) {
  column(name).focus();
  found.focused = document.activeElement === column(name);
  column(name).click();
  found.sorts.push([column(name).parentNode.getAttribute("aria-sort"), rows()]);
}
found.sorted = all("th[aria-sort]").map((heading) => heading.textContent);
"""


def test_the_table_is_sorted_by_a_click(browse, page, large):
    found = browse(page, SORT)
    order = [candidate.activation for candidate in large.candidates]
    assert [name for name, _ in found["before"]] == order
    better = {c.activation: c.difference.mean for c in large.candidates if c.difference}
    (first, descending), (second, ascending), (_, by_name) = found["sorts"]
    assert (first, second) == ("descending", "ascending")
    down = sorted(better, key=lambda name: -better[name])
    assert [name for name, _ in descending[:-1]] == down
    assert [name for name, _ in ascending[:-1]] == down[::-1]
    assert descending[-1][0] == ascending[-1][0] == "relu"  # it has none: last either way
    assert [name for name, _ in by_name] == sorted(order, reverse=True)
    assert found["focused"]
    assert found["sorted"] == ["activation"]


HIGHLIGHT = """
const select = one(".tools select");
const states = () => all("figure [data-of]").map((element) => [
  element.dataset.of, element.classList.contains("dim"), element.classList.contains("lit")]);
found.label = one(".tools label").textContent;
select.value = "elu";
select.dispatchEvent(new Event("change"));
found.chosen = states();
one('tr[data-of="gelu"]').dispatchEvent(new PointerEvent("pointerenter"));
found.pointed = states();
one('tr[data-of="gelu"]').dispatchEvent(new PointerEvent("pointerleave"));
found.left = states();
select.value = "";
select.dispatchEvent(new Event("change"));
found.none = states();
"""


def test_one_activation_stands_out_in_all_figures(browse, page, large):
    found = browse(page, HIGHLIGHT)
    assert found["label"].startswith("Highlight")
    assert {of for of, _, _ in found["chosen"]} == set(large.settings.activations)
    assert all(dim == (of != "elu") and lit == (of == "elu") for of, dim, lit in found["chosen"])
    assert all(lit == (of == "gelu") for of, _, lit in found["pointed"])
    assert found["left"] == found["chosen"]
    assert not any(dim or lit for _, dim, lit in found["none"])


VALUES = """
found.figures = all("figure").map((figure) => {
  figure.focus();
  const isFocused = document.activeElement === figure;
  const texts = [];
  for (const key of ["ArrowRight", "ArrowRight", "ArrowLeft", "End", "Home"]) {
    press(figure, key);
    texts.push([figure.querySelector(".tip").textContent, one("#status").textContent]);
  }
  const values = JSON.parse(figure.querySelector("script").textContent);
  const shown = !figure.querySelector(".tip").hidden;
  const mark = figure.querySelector(".mark");
  const place = [Number(mark.getAttribute("cx")), Number(mark.getAttribute("cy"))];
  const box = figure.querySelector("svg").viewBox.baseVal;
  press(figure, "Escape");
  return { isFocused, texts, shown, hidden: figure.querySelector(".tip").hidden, place,
    first: values[0], second: values[1], last: values.at(-1), values: values.length,
    outside: values.filter(([x, y]) => x < 0 || y < 0 || x > box.width || y > box.height) };
});
const svg = one("figure svg");
const box = svg.getBoundingClientRect();
const value = JSON.parse(one("figure script").textContent)[5];
const scale = box.width / svg.viewBox.baseVal.width;
svg.dispatchEvent(new PointerEvent("pointermove", {
  clientX: box.left + value[0] * scale + 1, clientY: box.top + value[1] * scale + 1 }));
const tip = one("figure .tip");
found.pointed = [value, tip.textContent, tip.hidden];
found.tip = tip.getBoundingClientRect().toJSON();
found.mark = one("figure .mark").getBoundingClientRect().toJSON();
svg.dispatchEvent(new PointerEvent("pointerleave"));
found.left = tip.hidden;
"""


def test_values_are_read_by_keyboard_and_by_pointing(browse, page, large):
    found = browse(page, VALUES)
    # Two gradients, silent units, slopes; scores, differences; a curve and a map for each.
    assert len(found["figures"]) == 6 + 2 * 15
    for figure in found["figures"]:
        first, second, last = (figure[name][2] for name in ("first", "second", "last"))
        assert [tip for tip, _ in figure["texts"]] == [first, second, first, last, first]
        assert all(tip == told for tip, told in figure["texts"])
        assert figure["isFocused"]
        assert figure["shown"]
        assert figure["hidden"]  # after Escape
        assert figure["place"] == figure["first"][:2]
        assert figure["outside"] == []
        assert figure["values"] >= 10
    value, told, hidden = found["pointed"]
    assert (told, hidden) == (value[2], False)
    assert found["left"]
    # The mark is where the point is: what is drawn there belongs to the same activation.
    scores = next(f for f in found["figures"] if "±" in f["first"][2])
    best = large.candidates[0]
    assert scores["first"][2] == f"{best.activation}: {100 * best.score.mean:.1f} ± " + (
        f"{100 * best.score.reach:.1f}%"
    )


MARKS = """
// The gradient of relu: where its values are, and the line that is drawn.
const figure = one("figure");
const line = figure.querySelector('[data-of="relu"] path');
const numbers = line.getAttribute("d").match(/-?[\\d.]+/g).map(Number);
found.drawn = numbers;
found.values = JSON.parse(figure.querySelector("script").textContent)
  .filter((value) => value[3] === "relu").map((value) => value.slice(0, 2));
"""


def test_values_lie_where_they_are_drawn(browse, page):
    found = browse(page, MARKS)
    drawn = list(zip(found["drawn"][::2], found["drawn"][1::2], strict=True))
    first, last = found["values"][0], found["values"][-1]
    assert drawn[0] == pytest.approx(first, abs=0.2)
    assert drawn[-1] == pytest.approx(last, abs=0.2)


CONTRAST = """
const light = (color) => {
  const [r, g, b] = color.match(/[\\d.]+/g).slice(0, 3).map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ratio = (a, b) => {
  const [low, high] = [light(a), light(b)].sort((x, y) => x - y);
  return (high + 0.05) / (low + 0.05);
};
const ground = (element) => {
  for (let e = element; e; e = e.parentElement) {
    const color = getComputedStyle(e).backgroundColor;
    if (color !== "rgba(0, 0, 0, 0)") return color;
  }
  return "rgb(255, 255, 255)";
};
for (const details of all("details")) details.open = true;
press(one("figure"), "Home");
const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
found.texts = [];
while (walk.nextNode()) {
  const element = walk.currentNode.parentElement;
  if (!walk.currentNode.data.trim() || element.closest("script, style, .hidden")) continue;
  const style = getComputedStyle(element);
  const color = element.closest("svg") ? style.fill : style.color;
  found.texts.push([walk.currentNode.data.trim(), ratio(color, ground(element)),
    element.closest("svg") !== null]);
}
found.lines = all(".legend line").map(
  (line) => ratio(getComputedStyle(line).stroke, ground(line)));
found.paper = getComputedStyle(document.body).backgroundColor;
"""


@pytest.mark.parametrize("dark", [False, True])
def test_everything_stands_out_from_what_is_behind_it(browse, page, dark):
    found = browse(page, CONTRAST, dark=dark)
    assert found["paper"] == ("rgb(20, 24, 30)" if dark else "rgb(255, 255, 255)")
    assert len(found["texts"]) > 1000
    assert any(in_figure for _, _, in_figure in found["texts"])
    assert [text for text in found["texts"] if text[1] < 4.5] == []
    assert min(found["lines"]) > 3
    assert len(found["lines"]) == 15


WIDTH = """
for (const details of all("details")) details.open = true;
found.width = document.documentElement.scrollWidth;
found.window = innerWidth;
const letters = all("svg text").map((text) => {
  const svg = text.ownerSVGElement;
  return parseFloat(getComputedStyle(text).fontSize)
    * svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
});
found.smallest = Math.min(...letters);
"""


def test_a_telephone_shows_it_without_scrolling_sideways(browse, page):
    found = browse(page, WIDTH, width=400)
    assert found["window"] == 400
    assert found["width"] <= 400
    assert found["smallest"] >= 6  # pixels of superscripts; words have more


OUTLINE = """
found.headings = all("h1, h2, h3, h4").map((heading) => Number(heading.tagName[1]));
found.language = document.documentElement.lang;
found.images = all("svg").filter((svg) => svg.getAttribute("aria-hidden") !== "true")
  .map((svg) => [svg.getAttribute("role"), svg.getAttribute("aria-label")]);
found.tables = all("table").map((table) => table.caption !== null);
found.cells = all("th").filter((cell) => !cell.scope).length;
found.ids = all("[id]").map((element) => element.id);
found.unlabelled = all("select, button").filter(
  (element) => !(element.labels?.length || element.textContent.trim())).length;
found.links = all("a[href^='#']").map((a) => one(a.getAttribute("href")) !== null);
dispatchEvent(new Event("beforeprint"));
found.open = all("details").map((details) => details.open);
"""


def test_it_can_be_heard_and_printed(browse, page, several):
    for text in (page, experiments_page(several)):
        found = browse(text, OUTLINE)
        assert found["headings"][0] == 1
        assert found["headings"].count(1) == 1
        following = zip(found["headings"], found["headings"][1:], strict=False)
        assert all(after <= before + 1 for before, after in following)
        assert found["language"] == "en"
        labels = [label for role, label in found["images"] if role == "img"]
        assert len(labels) == len(found["images"]) > 5
        assert all(re.search(r"\d", label) for label in labels)
        assert all(found["tables"])
        assert found["cells"] == found["unlabelled"] == 0
        assert len(set(found["ids"])) == len(found["ids"])
        assert all(found["links"])
        assert all(found["open"])


def test_several_experiments_stand_side_by_side(browse, several):
    found = browse(experiments_page(several), WIDTH, width=400)
    assert found["width"] <= 400
    rows = browse(
        experiments_page(several),
        "found.rows = [...one('table').rows].map((r) => [...r.cells].map((c) => c.innerText));",
    )["rows"]
    assert rows[0] == ["activation", "digits (accuracy)", "prices (R²)"]
    by_name = {name: cells for name, *cells in rows[1:]}
    assert set(by_name) == {"relu", "elu", "prelu", "gelu"}
    assert by_name["gelu"][0] == by_name["prelu"][1] == ""
    for comparison, column in zip(several, (0, 1), strict=True):
        for candidate in comparison.candidates:
            assert (candidate.verdict or "reference") in by_name[candidate.activation][column]


SIDEWAYS = """
found.tables = all(".scroll").slice(0, 1).map((scroll) => [
  scroll.scrollWidth > scroll.clientWidth, scroll.classList.contains("wider")]);
"""


@pytest.mark.parametrize(("width", "is_wider"), [(400, True), (1100, False)])
def test_a_table_that_is_scrolled_says_so(browse, page, width, is_wider):
    found = browse(page, SIDEWAYS, width=width)
    assert found["tables"] == [[is_wider, is_wider]]
