"""A comparison in the terminal: live progress, and the table at the end."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from statistics import mean
from types import TracebackType
from typing import TYPE_CHECKING

import rich.box
from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.progress import (
    BarColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from leakyrelu._compare.statistics.condition import START, median_reach
from leakyrelu._compare.trial import LOOK_EXAMPLES
from leakyrelu._report.words import (
    damage,
    fraction,
    interval,
    names_of,
    percent,
    score_in_words,
    side_by_side,
)

if TYPE_CHECKING:
    from leakyrelu._compare.settings import Batch, Settings
    from leakyrelu._compare.statistics.verdict import Candidate
    from leakyrelu._compare.trial import Trial
    from leakyrelu._comparison.comparison import Comparison
    from leakyrelu.health import Examination

__all__ = ["LiveProgress", "print_comparison", "print_examination", "print_experiments"]

WIDEST = 100  # columns that a table takes
PARTS = ("validation", "test")
SO_FAR = "so far, at the rate that is best in validation; it shows no difference yet"
SECONDS_A_LINE = 10.0  # of a log, at the least
STUCK = (
    "stuck: fires for none either, but gets a gradient; that of elu, gelu, silu may be next to 0"
)


class _BarBelowTable(Progress):
    """A progress bar, and above it what is known so far."""

    table: Table | None = None

    def get_renderables(self) -> Iterator[RenderableType]:
        if self.table is not None and self.table.row_count:
            yield self.table
            yield SO_FAR
        yield from super().get_renderables()


class LiveProgress:
    """Progress on standard error, with the scores so far; a context manager, and a listener.

    Where that is no terminal but a log, a line now and then.

    Parameters
    ----------
    settings : Settings
        What will be run.
    metric : str
        The name of the score.
    shown : bool, default True
        False for none of it.
    """

    def __init__(self, settings: Settings, metric: str, shown: bool = True) -> None:
        self._settings = settings
        self._metric = metric
        self._trials: list[Trial] = []
        console = Console(stderr=True, quiet=not shown)
        self._is_log = not (console.is_terminal or console.is_jupyter)
        self._logged = time.monotonic()
        self._progress = _BarBelowTable(
            BarColumn(),
            TextColumn("{task.fields[stored]} of up to {task.fields[trials]} trials"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
            console=console,
            disable=not shown or self._is_log,
        )
        # The bar counts epochs of networks; what is told in numbers is what is safely stored.
        self._bar = self._progress.add_task(
            "", total=settings.trials * settings.epochs, trials=settings.trials, stored=0
        )

    def __enter__(self) -> LiveProgress:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:  # activations that were dropped early leave trials out
            self._progress.update(self._bar, total=len(self._trials) * self._settings.epochs)
        self._progress.table = None
        self._progress.stop()
        self._log()

    def resumed(self, trials: list[Trial]) -> None:
        """Take in the trials that an earlier run has stored."""
        self._add(trials)
        self._say(f"resumed: {len(trials)} trials were stored before")

    def damage_found(self, trials: list[str]) -> None:
        """Say which trials are not what was stored."""
        self._say(f"damaged on the disk, and trained again: {damage(trials)}")

    def trainer_chosen(self, way: str) -> None:
        """Say how trials are trained."""
        self._say(f"trainer: {way}")

    def epoch_finished(self, batch: Batch, epoch: int, validation_score: float) -> None:
        """Show how far the batch in flight has come."""
        self._progress.update(
            self._bar,
            completed=len(self._trials) * self._settings.epochs + len(batch) * epoch,
            description=f"{batch.activation.spec}: epoch {epoch}/{self._settings.epochs}, "
            f"validation {validation_score:.3f}",
        )

    def batch_finished(self, batch: Batch, trials: list[Trial]) -> None:
        """Take in the trials that were stored."""
        self._add(trials)
        if time.monotonic() - self._logged > SECONDS_A_LINE:
            self._log()

    def stopped(self) -> None:
        """Show what is known so far, before anything can be said of differences."""
        table = self._so_far()
        self._progress.table = None
        self._progress.stop()
        if table.row_count:
            self._progress.console.print(table, markup=False, highlight=False)
            self._say(SO_FAR)

    def _so_far(self) -> Table:
        table = _table()
        table.add_column("activation", no_wrap=True)
        scored = (f"{part} {self._metric}" for part in PARTS)
        for name in ("trials", "lr", "seeds", *scored):
            table.add_column(name, justify="right", no_wrap=True)
        for spec in self._settings.activations:
            own = [trial for trial in self._trials if trial.activation == spec]
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
                *(score_in_words(score, self._metric) for score in scores[best]),
            )
        return table

    def _say(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False, soft_wrap=self._is_log)

    def _log(self) -> None:
        if self._is_log:
            self._logged = time.monotonic()
            self._say(f"{len(self._trials)} of up to {self._settings.trials} trials")

    def _add(self, trials: list[Trial]) -> None:
        self._trials += trials
        stored = len(self._trials)
        completed = stored * self._settings.epochs
        self._progress.update(self._bar, completed=completed, stored=stored)
        self._progress.table = self._so_far()


def _table() -> Table:
    return Table(box=rich.box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)


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
        "dead: fires for no example, so it gets no gradient and never learns",
        STUCK,
        "dormant: its mean activation is at most 0.025 of the layer's",
        "firing rate: share of the examples, of the unit at the 10%, 50% and 90% quantile\n",
    ):
        console.print(line, markup=False, highlight=False)
    console.print(examination.summary, style="bold", markup=False, highlight=False)


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print the table, the verdict, what goes with it, and the notes."""
    settings = comparison.settings
    metric = comparison.task.metric

    def say(text: str, style: str | None = None) -> None:
        console.print(text, style=style, markup=False, highlight=False)

    say(
        f"{comparison.task.name}: {comparison.task.examples:,} examples, "
        f"{settings.network}, {comparison.seeds_in_words}",
        style="italic",
    )
    if not comparison.is_finished:
        say(comparison.progress, style="bold")
    columns = {
        f"test {metric}": lambda c: interval(c.score, metric),
        f"vs {settings.reference}": lambda c: (
            "" if c.difference is None else interval(c.difference, metric, signed=True)
        ),
        "best": lambda c: "" if c.probability_best is None else f"{100 * c.probability_best:.0f}%",
        "dead": lambda c: percent(c.dead),
        "stuck": lambda c: percent(c.stuck_negative),
        "lr": lambda c: c.lost or f"{c.learning_rate:g}",
        "time": lambda c: f"{c.seconds:.1f} s",
    }
    # Told where there is room for it, what says most first.
    more = {
        "verdict": lambda c: c.verdict or "",
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

    for name in ("time", "lr", "stuck"):  # rather than to cut numbers
        if not fits(columns, console.width):
            del columns[name]
    for name, tell in more.items():
        wider = {name: tell, **columns}
        if fits(wider, min(console.width, WIDEST)):
            columns = wider
    console.print(_scores_table(comparison, columns), markup=False, highlight=False)
    say("±: 95% interval; those of the differences hold for all activations together")
    if "best" in columns:
        say("best: how likely it is the best of all, to go by if you must choose")
    say(f"dead: fires for none of up to {LOOK_EXAMPLES} training examples, so it gets no gradient")
    if "stuck" in columns:
        say(STUCK)
    if "1st grad" in columns:
        say("1st grad: gradient of the first weights over that of the last, before training")
    say("")
    say(comparison.verdict, style="bold")
    for note in [*comparison.why, *comparison.notes]:
        say(f"- {note}")


def _scores_table(comparison: Comparison, columns: dict[str, Callable[[Candidate], str]]) -> Table:
    """Make the table of these columns, in an order that does not depend on theirs."""
    order = ("test", "vs", "verdict", "best", "dead", "stuck", "1st grad", "seeds", "lr", "time")
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


def print_experiments(comparisons: Sequence[Comparison], console: Console) -> None:
    """Print experiments side by side: a row an activation, a column an experiment."""
    names = names_of(comparisons)
    table = _table()
    table.add_column("activation", overflow="fold")
    for name in names:
        table.add_column(name, justify="right", overflow="fold")
    marks = {"better": " ▲", "worse": " ▼", "equivalent": " =", "undecided": " ?"}
    for activation, row in side_by_side(comparisons):
        cells = [
            c
            and interval(c.score, comparison.task.metric)
            + marks.get(c.verdict or "", "\u00a0\u00a0")
            for c, comparison in zip(row, comparisons, strict=True)
        ]
        table.add_row(activation, *(cell or "" for cell in cells))
    console.print(table, markup=False, highlight=False)  # a directory may be named [red]
    for line in (
        "±: 95% interval; than the reference of its experiment: ▲ better, ▼ worse,",
        "= equivalent, ? undecided",
        "Scores of different data or settings do not compare from column to column.",
    ):
        console.print(line, markup=False, highlight=False)
    for name, comparison in zip(names, comparisons, strict=True):
        console.print(f"\n{name}: {comparison.verdict}", markup=False, highlight=False)
        if not comparison.is_finished:
            console.print(comparison.progress, style="bold", markup=False, highlight=False)
