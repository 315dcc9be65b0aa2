"""The report of a comparison: one HTML file with its figures inside."""

from __future__ import annotations

import datetime
import io
import re
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import jinja2
import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes

from leakyrelu._figure import NotebookFigure
from leakyrelu.activations import parse
from leakyrelu.report import figures
from leakyrelu.report.words import interval, percent

if TYPE_CHECKING:
    from leakyrelu.compare.comparison import Comparison

__all__ = ["comparison_page"]

# Text and axes are drawn in this colour, which the page replaces by that of its own text:
# light on dark and dark on light.
_INK = "#010203"
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "leakyrelu",
    "font.size": 10,
    "axes.titlesize": 10.5,
    **dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), _INK
    ),
}


def comparison_page(comparison: Comparison) -> str:
    """Return the report as HTML that refers to nothing outside itself."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("leakyrelu.report", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["percent"] = percent
    trained = [c for c in comparison.candidates if not c.diverged]
    height = 0.9 + 0.33 * len(comparison.candidates)
    metric = comparison.task.metric

    def each(draw: Callable[..., None], what: str) -> list[Markup]:
        return [
            _svg((2.7, 2.2), partial(draw, comparison, c), f"{what}, {c.activation}")
            for c in trained
        ]

    recommended = comparison.recommended
    return environment.get_template("comparison.html.j2").render(
        comparison=comparison,
        settings=comparison.settings,
        task=comparison.task,
        interval=lambda estimate, signed=False: interval(estimate, metric, signed),
        recommended=recommended,
        recommended_code=recommended and parse(recommended.activation).code,
        gain=recommended and parse(recommended.activation).gain,
        most=figures.most_silent(comparison) if trained else 0,
        scores=_svg((5, height), partial(figures.scores, comparison), "Scores with intervals"),
        differences=_svg(
            (5, height),
            partial(figures.differences, comparison),
            f"Differences to {comparison.settings.reference} with intervals",
        ),
        curves=each(figures.learning_curve, "Learning curve"),
        heatmaps=each(figures.silent_units, "Units that never fire by layer and epoch"),
        written=datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
    )


def _svg(size: tuple[float, float], draw: Callable[[Axes], None], label: str) -> Markup:
    with matplotlib.rc_context(_STYLE):
        figure = NotebookFigure(figsize=size)
        axes = figure.subplots()
        draw(axes)
        axes.patch.set_alpha(0)
        axes.spines[["top", "right"]].set_visible(False)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].replace(_INK, "currentColor")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    used = set(re.findall(r"(?:url\(|href=\")#([^\")]+)", svg))
    # Several figures share a page: ids that nothing refers to would only clash.
    svg = re.sub(r' id="([^"]+)"', lambda m: m[0] if m[1] in used else "", svg)
    svg = svg.replace("<svg", f'<svg role="img" aria-label="{Markup.escape(label)}"', 1)
    return Markup(svg)  # drawn by matplotlib, which escapes the names it writes
