"""Results in the terminal: a table, and what it says."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import mean

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
from leakyrelu._report.words import MARKS, fraction, interval, percent, score_in_words
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
ON_THESE_DATA = "on these data (networks trained on this data set, on new examples)"
FOR_THE_SOURCE = "source: for their source (networks trained on other samples of it, too)"
STUCK = "stuck: never fires either, but still gets a gradient (next to 0 for elu, gelu, silu)"


def _table() -> Table:
    return Table(box=rich.box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)


def scores_so_far(settings: Settings, trials: Sequence[Trial], metric: Metric) -> Table:
    """Make the table of mean scores so far, at the learning rate that is best in validation."""
    table = _table()
    table.add_column("activation", no_wrap=True)
    scored = (f"{part} {metric}" for part in PARTS)
    for name in ("trials", "lr", "seeds", *scored):
        table.add_column(name, justify="right", no_wrap=True)
    for spec in settings.activations:
        own = [trial for trial in trials if trial.activation == spec]
        by_rate: dict[float, list[Trial]] = {}
        for trial in own:
            if math.isfinite(trial.validation_score):
                by_rate.setdefault(trial.learning_rate, []).append(trial)
        if not by_rate:
            continue
        scores = {
            rate: [mean(getattr(t, f"{part}_score") for t in each) for part in PARTS]
            for rate, each in by_rate.items()
        }
        best = max(scores, key=lambda rate: scores[rate][0])
        table.add_row(
            spec,
            str(len(own)),
            f"{best:g}",
            str(len(by_rate[best])),
            *(score_in_words(score, metric) for score in scores[best]),
        )
    return table


def print_examination(examination: Examination, console: Console) -> None:
    """Print the table, what its words mean, and the summary."""
    table = _table()
    table.add_column("layer", overflow="fold")
    for heading in ("units", "dead", "stuck", "dormant", "always on", "firing rate", "gradient"):
        table.add_column(heading, justify="right", no_wrap=True)
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
    console.print(table, markup=False, highlight=False)
    for line in (
        "dead: fires for no example and gets no gradient, so it never learns",
        "stuck: fires for no example either, but still gets a gradient",
        "dormant: its mean activation is at most 0.025 times the layer's",
        "firing rate: share of examples for which a unit fires; 10%, 50% and 90% quantiles\n",
    ):
        console.print(line, markup=False, highlight=False)
    console.print(examination.summary, style="bold", markup=False, highlight=False)


def print_comparison(comparison: Results, console: Console) -> None:
    """Print the table, the verdict, what goes with it, and the notes."""
    settings = comparison.settings
    metric = comparison.task.metric

    def say(text: str, style: str | None = None) -> None:
        console.print(text, style=style, markup=False, highlight=False)

    def conclude() -> None:
        say("")
        say(sentences.verdict(comparison), style="bold")
        for note in [*explain(comparison), *sentences.notes(comparison)]:
            say(f"- {note}")

    say(
        f"{comparison.task.name}: {comparison.task.examples:,} examples, "
        f"{settings.network}, {sentences.seeds(comparison)}",
        style="italic",
    )
    if not comparison.is_finished:
        say(sentences.progress(comparison), style="bold")
    if not comparison.candidates:
        so_far = scores_so_far(settings, comparison.histories(), metric)
        if so_far.row_count:
            console.print(so_far, markup=False, highlight=False)
            say(SO_FAR)
        conclude()
        return
    columns = {
        f"test {metric}": lambda c: interval(c.score, metric),
        f"vs {settings.reference}": lambda c: _claimed(c.difference, metric),
        "source": lambda c: _claimed(c.source, metric, c.difference),
        "best": lambda c: "" if c.probability_best is None else f"{100 * c.probability_best:.0f}%",
        "dead": lambda c: percent(c.dead),
        "stuck": lambda c: percent(c.stuck_negative),
        "lr": lambda c: c.lost or f"{c.learning_rate:g}",
        "time": lambda c: f"{c.seconds:.1f} s",
    }
    # Shown where there is room, the most telling first.
    more = {
        "seeds": lambda c: str(len(c.trials)),
        "1st grad": lambda c: fraction(median_reach(c.trials, START)),
    }
    if not comparison.has_different_seeds:
        del more["seeds"]
    if all(c.probability_best is None for c in comparison.candidates):  # of one seed
        del columns["best"]

    def fits(columns: dict[str, Callable[[Candidate], str]], width: int) -> bool:
        unlimited = console.options.update(max_width=10_000)
        table = _scores_table(comparison, columns)
        return Measurement.get(console, unlimited, table).maximum <= width

    for name in ("time", "stuck", "lr", "dead", "source"):  # rather than to cut numbers
        if not fits(columns, console.width):
            del columns[name]
    for name, tell in more.items():
        wider = {name: tell, **columns}
        if fits(wider, min(console.width, WIDEST)):
            columns = wider
    console.print(_scores_table(comparison, columns), markup=False, highlight=False)
    say("±: interval at 95% or more, each on its own")
    if comparison.has_claims:
        say(MARKED)
        say(f"vs {settings.reference}: {ON_THESE_DATA}")
        if "source" in columns:
            say(FOR_THE_SOURCE)
    if "best" in columns:
        say("best: probability of being the best of all on these data")
    if "dead" in columns:
        say(f"dead: fires for none of up to {LOOK_EXAMPLES} training examples, so gets no gradient")
    if "stuck" in columns:
        say(STUCK)
    if "1st grad" in columns:
        say("1st grad: gradient at the first weights relative to the last, before training")
    conclude()


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
    """Print how much each activation is above each other."""
    if not comparison.candidates:
        return
    metric = comparison.task.metric
    table = _table()
    for name in ("activation", "than"):
        table.add_column(name, no_wrap=True)
    for name in ("on these data", "source", "better"):
        table.add_column(name, justify="right", no_wrap=True)
    for pair in comparison.compared_pairs:
        style = {"better": "green", "worse": "red"}.get(pair.difference.verdict)
        table.add_row(
            *(pair.first, pair.second, _claimed(pair.difference, metric)),
            _claimed(pair.source, metric, pair.difference),
            "" if math.isnan(pair.probability) else f"{100 * pair.probability:.0f}%",
            style=style,
        )
    console.print(table, markup=False, highlight=False)
    for line in (
        "All pairs: as more is compared, less is decided than against the reference alone.",
        MARKED,
        FOR_THE_SOURCE,
        "better: probability that the first is better by any amount on these data",
    ):
        console.print(line, markup=False, highlight=False)


def _scores_table(comparison: Results, columns: dict[str, Callable[[Candidate], str]]) -> Table:
    """Make the table of these columns, in an order that does not depend on theirs."""
    order = ("test", "vs", "source", "best", "dead", "stuck", "1st grad", "seeds", "lr", "time")
    names = sorted(
        columns, key=lambda name: order.index(name if name in order else name.split()[0])
    )
    table = _table()
    table.add_column("activation", no_wrap=True)
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for c in comparison.candidates:
        style = {"better": "green", "worse": "red"}.get(c.verdict or "")
        table.add_row(c.activation, *(columns[name](c) for name in names), style=style)
    return table


def print_experiments(comparisons: Sequence[Results], console: Console) -> None:
    """Print experiments side by side: a row an activation, a column an experiment."""
    names = names_of(comparisons)
    table = _table()
    table.add_column("activation", overflow="fold")
    for name in names:
        table.add_column(name, justify="right", overflow="fold")
    for activation, row in side_by_side(comparisons):
        cells = [
            c
            and interval(c.score, comparison.task.metric)
            + (f" {MARKS[c.verdict]}" if c.verdict else "\u00a0\u00a0")
            for c, comparison in zip(row, comparisons, strict=True)
        ]
        table.add_row(activation, *(cell or "" for cell in cells))
    console.print(table, markup=False, highlight=False)  # a directory may be named [red]
    for line in (
        "±: 95% interval; than the reference of its experiment, on its data: ▲ better,",
        "▼ worse, = equivalent, ? undecided",
        "Scores of different data or settings are not comparable across columns.",
    ):
        console.print(line, markup=False, highlight=False)
    for name, comparison in zip(names, comparisons, strict=True):
        console.print(f"\n{name}: {sentences.verdict(comparison)}", markup=False, highlight=False)
        if not comparison.is_finished:
            console.print(
                sentences.progress(comparison), style="bold", markup=False, highlight=False
            )
