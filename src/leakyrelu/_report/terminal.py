"""Results in the terminal: a table, and what it says."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from statistics import mean
from typing import Any

import rich.box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from leakyrelu._compare.metric import Metric
from leakyrelu._compare.results import Results
from leakyrelu._compare.settings import Settings
from leakyrelu._compare.statistics.candidates import Candidate
from leakyrelu._compare.statistics.condition import START, median_reach
from leakyrelu._compare.statistics.crossed import Claim
from leakyrelu._compare.trial import LOOK_EXAMPLES, Trial
from leakyrelu._report import sentences
from leakyrelu._report.tables import names_of, side_by_side
from leakyrelu._report.why import explain
from leakyrelu._report.words import (
    MARKS,
    MEANINGS,
    chance,
    fraction,
    interval,
    percent,
    score_in_words,
)
from leakyrelu.health import Examination

__all__ = [
    "SO_FAR",
    "print_comparison",
    "print_examination",
    "print_experiments",
    "print_pairs",
    "scores_so_far",
]

PARTS = ("validation", "test")
SO_FAR = "so far, at the learning rate that is best in validation; too early to tell differences"
WIDEST = 100  # columns that a table takes
MARKED = "▲ better, ▼ worse, = equivalent, ? undecided; a column holds with 95% confidence"
STYLES = {"better": "green", "worse": "red"}
LEGEND = {
    "source": f"source: for their source ({MEANINGS['source']})",
    "best": "best: probability of being the best of all on {scope}",
    "dead": f"dead: fires for none of up to {LOOK_EXAMPLES} training examples, so gets no gradient",
    "stuck": "stuck: never fires either, but still gets a gradient (next to 0 for elu, gelu, silu)",
    "1st grad": "1st grad: gradient at the first weights relative to the last, before training",
}


def _table(names: Sequence[str], numbers: Sequence[str], folded: Collection[str] = ()) -> Table:
    """Make a table with columns of names and of numbers; those that are not folded are cut."""
    table = Table(box=rich.box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for i, heading in enumerate((*names, *numbers)):
        options: Any = {"overflow": "fold"} if heading in folded else {"no_wrap": True}
        table.add_column(heading, justify="left" if i < len(names) else "right", **options)
    return table


def _say(console: Console, *lines: Any, style: str | None = None) -> None:
    """Print tables and lines as they are: a directory may be named [red]."""
    for line in lines:
        console.print(line, style=style, markup=False, highlight=False)


def scores_so_far(settings: Settings, trials: Sequence[Trial], metric: Metric) -> Table:
    """Make the table of mean scores so far, at the learning rate that is best in validation."""
    scored = (f"{part} {metric}" for part in PARTS)
    table = _table(["activation"], ["trials", "lr", "seeds", *scored])
    for spec in settings.activations:
        own = [trial for trial in trials if trial.activation == spec]
        by_rate: dict[float, list[Trial]] = {}
        for trial in own:
            if math.isfinite(trial.validation_score):
                by_rate.setdefault(trial.learning_rate, []).append(trial)
        if by_rate:
            best = max(by_rate, key=lambda rate: mean(t.validation_score for t in by_rate[rate]))
            scores = (mean(getattr(t, f"{part}_score") for t in by_rate[best]) for part in PARTS)
            counts = str(len(own)), f"{best:g}", str(len(by_rate[best]))
            table.add_row(spec, *counts, *(score_in_words(score, metric) for score in scores))
    return table


def print_examination(examination: Examination, console: Console) -> None:
    """Print the table, what its words mean, and the summary."""
    headings = ("units", "dead", "stuck", "dormant", "always on", "firing rate", "gradient")
    table = _table(["layer"], headings, folded=["layer"])
    for layer in examination.layers:
        row = layer.row()
        shares = ("dead %", "stuck negative %", "dormant %", "always on %")
        rates = [f"{100 * row[name]:.0f}" for name in ("10% rate", "median rate", "90% rate")]
        table.add_row(
            f"{layer.layer} ({layer.function})",
            str(layer.units),
            *(percent(row[name] / 100) for name in shares),
            f"{rates[0]} - {rates[1]} - {rates[2]}%",
            "-" if layer.gradient is None else f"{layer.gradient:.2g}",
            style="red" if layer.dead.any() else None,
        )
    _say(
        console,
        table,
        "dead: fires for no example and gets no gradient, so it never learns",
        "stuck: fires for no example either, but still gets a gradient",
        "dormant: its mean activation is at most 0.025 times the layer's",
        "firing rate: share of examples for which a unit fires; 10%, 50% and 90% quantiles\n",
    )
    _say(console, examination.summary, style="bold")


def print_comparison(comparison: Results, console: Console) -> None:
    """Print the table, the verdict, what goes with it, and the notes."""
    settings = comparison.settings
    metric = comparison.task.metric
    _say(console, f"{comparison.task.name}: {sentences.about(comparison)}", style="italic")
    if not comparison.is_finished:
        _say(console, sentences.progress(comparison), style="bold")
    if comparison.candidates:
        _print_scores(comparison, console)
    else:
        so_far = scores_so_far(settings, comparison.histories(), metric)
        if so_far.row_count:
            _say(console, so_far, SO_FAR)
    _say(console, "")
    _say(console, sentences.verdict(comparison), style="bold")
    _say(console, *(f"- {note}" for note in [*explain(comparison), *sentences.notes(comparison)]))


def _print_scores(comparison: Results, console: Console) -> None:
    """Print the table of scores, with the columns for which there is room, and its legend."""
    metric, reference = comparison.task.metric, comparison.settings.reference
    columns: dict[str, Callable[[Candidate], str]] = {
        f"test {metric}": lambda c: c.lost or interval(c.score, metric),
        f"vs {reference}": lambda c: _claimed(c.difference, metric),
        "source": lambda c: _claimed(c.source, metric, c.difference),
        "best": lambda c: chance(c.probability_best),
        "dead": lambda c: percent(c.dead),
        "stuck": lambda c: percent(c.stuck_negative),
        "1st grad": lambda c: fraction(median_reach(c.trials, START)),
        "seeds": lambda c: str(len(c.trials)),
        "lr": lambda c: "-" if c.lost else f"{c.learning_rate:g}",
        "time": lambda c: f"{c.seconds:.1f} s",
    }
    more = ["seeds", "1st grad"]  # shown where there is room, the most telling first
    if not comparison.has_different_seeds:
        more.remove("seeds")
    unknown = [] if comparison.has_source else ["source"]
    unknown += [] if comparison.has_health else ["dead", "stuck", "1st grad"]
    unknown += [] if comparison.has_rates else ["lr"]
    unknown += [] if comparison.has_times else ["time"]
    if all(c.probability_best is None for c in comparison.candidates):  # of one seed
        unknown.append("best")
    columns = {name: cell for name, cell in columns.items() if name not in unknown}

    def table(names: Collection[str]) -> Table:
        chosen = [name for name in columns if name in names]
        made = _table(["activation"], chosen)
        for c in comparison.candidates:
            cells = (columns[name](c) for name in chosen)
            made.add_row(c.activation, *cells, style=STYLES.get(c.verdict or ""))
        return made

    def fits(names: Collection[str], width: int) -> bool:
        unlimited = console.options.update(max_width=10_000)
        return Measurement.get(console, unlimited, table(names)).maximum <= width

    shown = columns.keys() - {"seeds", "1st grad"}
    for name in ("time", "stuck", "lr", "dead", "source"):  # rather than to cut numbers
        if not fits(shown, console.width):
            shown.discard(name)
    for name in more:
        if name in columns and fits(shown | {name}, min(console.width, WIDEST)):
            shown.add(name)
    scope = comparison.scope
    legend = [text.format(scope=scope) for name, text in LEGEND.items() if name in shown]
    if comparison.has_claims:
        legend = [MARKED, f"vs {reference}: on {scope} ({MEANINGS[scope]})", *legend]
    else:
        legend = [text for text in legend if text != LEGEND["source"]]
    _say(console, table(shown), "±: interval at 95% or more, each on its own", *legend)


def _claimed(claim: Claim | None, metric: Metric, beside: Claim | None = None) -> str:
    """Write a difference with what is claimed; without the mean, if that is beside it."""
    if claim is None:
        return ""
    text = interval(claim, metric, signed=True)
    if math.isnan(claim.reach):
        return "" if beside is not None else text
    if beside is not None and beside.mean == claim.mean:
        text = text[text.index("±") :]
    return f"{text} {MARKS[claim.verdict]}"


def print_pairs(comparison: Results, console: Console) -> None:
    """Print how much each activation is above each other, if there are claims at all."""
    if not comparison.has_claims:
        return
    metric = comparison.task.metric
    scope = comparison.scope
    source = ["source"] if comparison.has_source else []
    table = _table(["activation", "than"], [f"on {scope}", *source, "better"])
    for pair in comparison.compared_pairs:
        table.add_row(
            *(pair.first, pair.second, _claimed(pair.difference, metric)),
            *(_claimed(pair.source, metric, pair.difference) for _ in source),
            chance(pair.probability),
            style=STYLES.get(pair.difference.verdict),
        )
    _say(
        console,
        table,
        "All pairs: as more is compared, less is decided than against the reference alone.",
        MARKED,
        *(LEGEND[name] for name in source),
        f"better: probability that the first is better by any amount on {scope}",
    )


def print_experiments(comparisons: Sequence[Results], console: Console) -> None:
    """Print experiments side by side: a row an activation, a column an experiment."""
    names = names_of(comparisons)
    table = _table(["activation"], names, folded=["activation", *names])
    for activation, row in side_by_side(comparisons):
        cells = [
            c
            and interval(c.score, comparison.task.metric)
            + (f" {MARKS[c.verdict]}" if c.verdict else "\u00a0\u00a0")
            for c, comparison in zip(row, comparisons, strict=True)
        ]
        table.add_row(activation, *(cell or "" for cell in cells))
    _say(
        console,
        table,
        "±: 95% interval; than the reference of its experiment, on its data: ▲ better,",
        "▼ worse, = equivalent, ? undecided",
        "Scores of different data or settings are not comparable across columns.",
    )
    for name, comparison in zip(names, comparisons, strict=True):
        _say(console, f"\n{name}: {sentences.verdict(comparison)}")
        if not comparison.is_finished:
            _say(console, sentences.progress(comparison), style="bold")
