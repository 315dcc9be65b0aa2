"""Figures as SVG inside a page: in its colours, with the values that are shown on hovering."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes

from leakyrelu._plot.figure import NotebookFigure

__all__ = ["Drawing", "Value", "mark", "page_figure"]

# Text and axes are drawn in this colour, which the page replaces by that of its own text:
# light on dark and dark on light.
_INK = "#010203"
_STYLE: Any = {
    "svg.fonttype": "none",
    "font.size": 10,
    "axes.titlesize": 10.5,
    **dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), _INK
    ),
}
_MARK = "of "


@dataclass(frozen=True)
class Value:
    """A value in a figure, in the coordinates of its data, in words, and of which activation."""

    x: float
    y: float
    text: str
    of: str


@dataclass
class Drawing:
    """What has been drawn: in one sentence with its numbers, and value by value."""

    says: str
    values: list[Value] = field(default_factory=list)


def mark(activation: str) -> str:
    """Return the ``gid`` of what belongs to an activation, so that the page can highlight it."""
    return _MARK + activation


def page_figure(
    size: tuple[float, float], draw: Callable[[Axes], Drawing], part: str = ""
) -> Markup:
    """Return an HTML figure of a size in inches, at 72 points each.

    `part` tells the part of the page where it stands, if the same figure may stand in several.
    """
    with matplotlib.rc_context(_STYLE):
        figure = NotebookFigure(figsize=size)
        axes = figure.subplots()
        drawing = draw(axes)
        axes.patch.set_alpha(0)
        axes.spines[["top", "right"]].set_visible(False)
        # Decides the ids, by which figures of one page must not clash.
        matplotlib.rcParams["svg.hashsalt"] = part + drawing.says
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].replace(_INK, "currentColor")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(rf' id="{_MARK}([^"]+)"', r' data-of="\1"', svg)
    used = set(re.findall(r"(?:url\(|href=\")#([^\")]+)", svg))
    # Several figures share a page: ids that nothing refers to would only clash.
    svg = re.sub(r' id="([^"]+)"', lambda m: m[0] if m[1] in used else "", svg)
    svg = re.sub(r"\n\s*", "\n", svg)
    svg = svg.replace("<svg", f'<svg role="img" aria-label="{Markup.escape(drawing.says)}"', 1)
    # Drawn by matplotlib, which escapes the names it writes.
    return Markup("<figure>{}{}</figure>").format(Markup(svg), _values(axes, drawing.values))


def _values(axes: Axes, values: list[Value]) -> Markup:
    """Write values with their places in the SVG, for the script of the page."""
    if not values:
        return Markup("")
    figure: Any = axes.figure
    places = axes.transData.transform([(value.x, value.y) for value in values]) * 72 / figure.dpi
    height = 72 * figure.get_figheight()
    rows = [
        [round(x, 1), round(height - y, 1), value.text, value.of]
        for (x, y), value in zip(places.tolist(), values, strict=True)
    ]
    text = json.dumps(rows, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")
    return Markup('<script type="application/json">{}</script>').format(Markup(text))
