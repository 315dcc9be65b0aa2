"""Live progress of a comparison in the terminal, with the scores so far."""

from __future__ import annotations

import time
from collections.abc import Iterator

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from leakyrelu._compare.metric import Metric
from leakyrelu._compare.settings import Batch, Settings
from leakyrelu._compare.trial import Trial
from leakyrelu._report.terminal import SO_FAR, scores_so_far
from leakyrelu._report.words import few

__all__ = ["LiveProgress"]

SECONDS_A_LINE = 10.0  # of a log, at the least


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
    """

    def __init__(self, settings: Settings, metric: Metric, shown: bool = True) -> None:
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

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:  # activations that were dropped early leave trials out
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
        self._say(f"damaged on disk, will be trained again: {few(trials, '; ')}")

    def trainer_chosen(self, way: str) -> None:
        """Say how trials are trained."""
        self._say(f"trainer: {way}")

    def epoch_finished(self, batch: Batch, epoch: int, validation_score: float) -> None:
        """Show how far the batch in flight has come."""
        self._progress.update(
            self._bar,
            completed=len(self._trials) * self._settings.epochs + len(batch) * epoch,
            description=f"{batch.activation}: epoch {epoch}/{self._settings.epochs}, "
            f"validation {validation_score:.3f}",
        )

    def batch_finished(self, batch: Batch, trials: list[Trial]) -> None:
        """Take in the trials that were stored."""
        self._add(trials)
        if time.monotonic() - self._logged > SECONDS_A_LINE:
            self._log()

    def stopped(self) -> None:
        """Show what is known so far, before anything can be said of differences."""
        table = scores_so_far(self._settings, self._trials, self._metric)
        self._progress.table = None
        self._progress.stop()
        if table.row_count:
            self._progress.console.print(table, markup=False, highlight=False)
            self._say(SO_FAR)

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
        self._progress.table = scores_so_far(self._settings, self._trials, self._metric)
