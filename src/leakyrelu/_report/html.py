"""The report as one HTML file with its figures inside: of one experiment, or of several."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jinja2
from markupsafe import Markup

from leakyrelu._compare.environment import OPTIMIZER, SCHEDULE
from leakyrelu._compare.results import Results
from leakyrelu._compare.statistics.condition import (
    END,
    START,
    gradients,
    median_reach,
    silent_by_layer,
    slopes,
)
from leakyrelu._compare.statistics.crossed import SHARED
from leakyrelu._compare.statistics.relations import FEWEST_TO_TELL, THRESHOLDS
from leakyrelu._report import figures, sentences, why_figures
from leakyrelu._report.svg import page_figure
from leakyrelu._report.tables import names_of, side_by_side
from leakyrelu._report.why import explain, names_of_slopes
from leakyrelu._report.words import MARKS, MEANINGS, chance, fraction, interval, percent, with_unit
from leakyrelu.activations import Activation

__all__ = ["comparison_page", "experiments_page"]

WIDE, SMALL = (5, 3.3), (2.7, 2.2)  # inches; figures keep legible letters on a telephone


def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("leakyrelu._report", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "chance": chance,
        "fraction": fraction,
        "interval": interval,
        "percent": percent,
        "reach": lambda trials: median_reach(trials, START),
        "sortable": _sortable,
        "with_unit": with_unit,
        "verdict": sentences.verdict,
        "notes": sentences.notes,
        "why": explain,
        "progress": sentences.progress,
        "about": sentences.about,
        "seeds": sentences.seeds,
        "meaning": MEANINGS.__getitem__,
        "mark": lambda claim: MARKS[claim.verdict],
    }
    return environment.get_template(name)


def _sortable(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.6g}"


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")


def comparison_page(comparison: Results) -> str:
    """Return the report as HTML that refers to nothing outside itself."""
    trained = comparison.trained
    has_health = bool(trained) and comparison.has_health

    def each(draw: Callable[..., Any]) -> list[Markup]:
        return [page_figure(SMALL, partial(draw, comparison, c)) for c in trained]

    recommended = comparison.recommended
    found = comparison.relations if has_health else []
    return _template("comparison.html.j2").render(
        comparison=comparison,
        settings=comparison.settings,
        task=comparison.task,
        recommended=recommended,
        use=sentences.use(comparison),
        shared=SHARED["the source"],
        recommended_code=recommended and recommended.activation.code,
        gain=recommended and comparison.settings.depth and recommended.activation.gain,
        most=figures.most_silent(comparison) if has_health else 0,
        curves=each(figures.learning_curve) if comparison.has_curves else [],
        heatmaps=each(figures.silent_units) if has_health else [],
        thresholds=THRESHOLDS,
        fewest=FEWEST_TO_TELL,
        relations=list(zip(found[::2], found[1::2], strict=True)),  # within and across
        tables=_tables(comparison),
        training=_training(comparison),
        slopes=page_figure(WIDE, partial(why_figures.slopes_by_layer, comparison))
        if has_health and any(c.trials[0].history[END].slopes for c in trained)
        else None,
        written=_now(),
        **_figures(comparison),
    )


def experiments_page(comparisons: Sequence[Results]) -> str:
    """Return a page that shows experiments side by side, and a section for each."""
    return _template("experiments.html.j2").render(
        comparisons=comparisons,
        names=names_of(comparisons),
        rows=side_by_side(comparisons),
        figures=[_figures(each, f"experiment {i}: ") for i, each in enumerate(comparisons)],
        thresholds=THRESHOLDS,
        written=_now(),
    )


def _training(comparison: Results) -> dict[str, str | None]:
    """Tell in words how networks were trained.

    Of an earlier version's experiment it is known only if the user brought nothing.
    """
    default = {"optimizer": OPTIMIZER, "schedule": SCHEDULE}
    known: dict[str, str | None] = {} if comparison.settings.recipe else {**default}
    return {name: comparison.environment.get(name, known.get(name)) for name in default}


def _figures(comparison: Results, part: str = "") -> dict[str, Any]:
    """Draw what the page of one experiment and that of several show, of those that trained."""

    def drawn(size: tuple[float, float], draw: Callable[..., Any], *more: Any) -> Markup:
        return page_figure(size, partial(draw, comparison, *more), part)

    trained = comparison.trained
    if not trained:
        return {"styles": {}, "scores": None}
    intervals = 5, 0.9 + 0.33 * len(trained)
    compared = [c.difference for c in trained if c.difference]
    found: dict[str, Any] = {
        "scores": drawn(intervals, figures.scores),
        "differences": drawn(intervals, figures.differences)
        if any(math.isfinite(difference.mean) for difference in compared)
        else None,
        "styles": {},
    }
    if comparison.has_health:
        found |= {
            "styles": why_figures.legend(comparison),
            "gradients": [drawn(WIDE, why_figures.gradient_by_depth, at) for at in (START, END)],
            "silent_and_score": drawn(WIDE, why_figures.silent_and_score),
        }
    return found


def _tables(comparison: Results) -> list[tuple[str, list[str], dict[Activation, list[str]]]]:
    """Return tables of the numbers that the figures show: captions, layers, and columns by name."""
    trained = comparison.trained
    if not trained or not comparison.has_health:
        return []
    found = []
    for at, when in ((START, "before training"), (END, "at the end")):
        each = {c.activation: gradients(c.trials, at) for c in trained}
        depth = [str(place + 1) for place in range(max(map(len, each.values())))]
        columns = {name: [f"{g:.2g}" for g in values] for name, values in each.items()}
        found.append((f"Gradient of each weight matrix, {when}", depth, columns))
        columns = {
            c.activation: [percent(s) for s in silent_by_layer(c.trials, at)] for c in trained
        }
        layers = trained[0].trials[0].layers
        found.append((f"Units that never fire, {when}", layers, columns))
    learned = [c for c in trained if c.trials[0].history[END].slopes]
    if learned:
        names = names_of_slopes(learned[0].trials[0])
        columns = {c.activation: [f"{s:.3f}" for s in slopes(c.trials, END)] for c in learned}
        found.append(("Slopes that were learned", names, columns))
    return found
