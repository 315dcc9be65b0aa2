"""The report as one HTML file with its figures inside: of one experiment, or of several."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup

from leakyrelu.activations import parse
from leakyrelu.compare.condition import END, START, gradients, median_reach, silent_by_layer, slopes
from leakyrelu.compare.relations import THRESHOLDS
from leakyrelu.report import figures, why_figures
from leakyrelu.report.svg import page_figure
from leakyrelu.report.why import names_of_slopes
from leakyrelu.report.words import fraction, interval, names_of, percent, side_by_side

if TYPE_CHECKING:
    from leakyrelu.compare.comparison import Comparison

__all__ = ["comparison_page", "experiments_page"]

WIDE, SMALL = (5, 3.3), (2.7, 2.2)  # inches; figures keep legible letters on a telephone


def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("leakyrelu.report", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "fraction": fraction,
        "interval": interval,
        "percent": percent,
        "reach": lambda trials: median_reach(trials, START),
        "sortable": _sortable,
    }
    return environment.get_template(name)


def _sortable(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.6g}"


def _now() -> str:
    return datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M")


def comparison_page(comparison: Comparison) -> str:
    """Return the report as HTML that refers to nothing outside itself."""
    trained = comparison.trained

    def each(draw: Callable[..., Any]) -> list[Markup]:
        return [page_figure(SMALL, partial(draw, comparison, c)) for c in trained]

    recommended = comparison.recommended
    found = comparison.relations
    return _template("comparison.html.j2").render(
        comparison=comparison,
        settings=comparison.settings,
        task=comparison.task,
        recommended=recommended,
        recommended_code=recommended and parse(recommended.activation).code,
        gain=recommended and parse(recommended.activation).gain,
        most=figures.most_silent(comparison) if trained else 0,
        curves=each(figures.learning_curve),
        heatmaps=each(figures.silent_units),
        thresholds=THRESHOLDS,
        relations=list(zip(found[::2], found[1::2], strict=True)),  # within and across
        tables=_tables(comparison),
        slopes=page_figure(WIDE, partial(why_figures.slopes_by_layer, comparison))
        if any(c.trials[0].history[END].slopes for c in trained)
        else None,
        written=_now(),
        **_figures(comparison),
    )


def experiments_page(comparisons: Sequence[Comparison]) -> str:
    """Return a page that shows experiments side by side, and a section for each."""
    return _template("experiments.html.j2").render(
        comparisons=comparisons,
        names=names_of(comparisons),
        rows=side_by_side(comparisons),
        figures=[_figures(comparison) for comparison in comparisons],
        thresholds=THRESHOLDS,
        written=_now(),
    )


def _figures(comparison: Comparison) -> dict[str, Any]:
    """Draw what the page of one experiment and that of several show."""
    intervals = 5, 0.9 + 0.33 * len(comparison.candidates)
    found: dict[str, Any] = {
        "scores": page_figure(intervals, partial(figures.scores, comparison)),
        "differences": page_figure(intervals, partial(figures.differences, comparison)),
        "styles": {},
        "gradients": [],
        "silent_and_score": None,
    }
    if comparison.trained:
        by_name = why_figures.line_styles(comparison)
        found["styles"] = {c.activation: by_name[c.activation] for c in comparison.trained}
        found["gradients"] = [
            page_figure(WIDE, partial(why_figures.gradient_by_depth, comparison, at))
            for at in (START, END)
        ]
        draw = partial(why_figures.silent_and_score, comparison)
        found["silent_and_score"] = page_figure(WIDE, draw)
    return found


@dataclass(frozen=True)
class _ByLayer:
    """A table of the numbers that the figures show: a row a layer, a column an activation."""

    caption: str
    layers: list[str]
    columns: dict[str, list[str]]


def _tables(comparison: Comparison) -> list[_ByLayer]:
    trained = comparison.trained
    if not trained:
        return []
    found = []
    for at, when in ((START, "before training"), (END, "at the end")):
        each = {c.activation: gradients(c.trials, at) for c in trained}
        depth = [str(place + 1) for place in range(max(map(len, each.values())))]
        columns = {name: [f"{g:.2g}" for g in values] for name, values in each.items()}
        found.append(_ByLayer(f"Gradient of each weight matrix, {when}", depth, columns))
        columns = {
            c.activation: [percent(s) for s in silent_by_layer(c.trials, at)] for c in trained
        }
        layers = trained[0].trials[0].layers
        found.append(_ByLayer(f"Units that never fire, {when}", layers, columns))
    learned = [c for c in trained if c.trials[0].history[END].slopes]
    if learned:
        names = names_of_slopes(learned[0].trials[0])
        columns = {c.activation: [f"{s:.3f}" for s in slopes(c.trials, END)] for c in learned}
        found.append(_ByLayer("Slopes that were learned", names, columns))
    return found
