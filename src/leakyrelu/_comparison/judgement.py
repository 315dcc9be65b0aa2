"""The result of runs that others have trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from leakyrelu._compare.data.runs import Runs
from leakyrelu._compare.statistics.evidence import Evidence
from leakyrelu._compare.statistics.facts import (
    AtEdgeOfGrid,
    Diverged,
    Fact,
    RunsOfOthers,
    SeedsOnly,
    Undecided,
)
from leakyrelu._compare.statistics.judged import Judged
from leakyrelu._compare.trial import Key, Trial
from leakyrelu._comparison.comparison import Comparison

__all__ = ["Judgement"]


class Judgement(Comparison):
    """A comparison of runs that are there: no trial is wanted, and all are looked at once."""

    is_judged = True

    def __init__(self, runs: Runs, directory: Path, rope: float = 0.0) -> None:
        self.runs = runs
        super().__init__(runs.task, runs.settings, runs.trials, {}, directory, rope)

    def _wanted(self, trials: Sequence[Trial]) -> list[Key]:
        return []

    def _known(self, trials: Sequence[Trial]) -> Evidence:
        return Judged(self.runs)

    @property
    def facts(self) -> list[Fact]:
        """What a careful reader should know beside the verdict."""
        runs = self.runs
        found: list[Fact] = [
            RunsOfOthers(runs.known, runs.has_fixed_test, runs.test_to_train, runs.chosen_by_test)
        ]
        for fact in super().facts:
            if isinstance(fact, Undecided) and runs.known == "scores of seeds":
                fact = dataclasses.replace(fact, takes_more_data=False)  # the examples are given
            if isinstance(fact, AtEdgeOfGrid) and not runs.has_one_grid:
                continue
            if not isinstance(fact, (SeedsOnly, Diverged)):  # the notes tell which runs have
                found.append(fact)
        return found
