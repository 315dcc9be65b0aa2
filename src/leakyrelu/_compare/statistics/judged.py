"""What runs that others have trained show: all of them at one look, in pairs of seeds."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from leakyrelu._compare.data.runs import Runs
from leakyrelu._compare.statistics import crossed
from leakyrelu._compare.statistics.crossed import Claim, Difference
from leakyrelu._compare.statistics.evidence import Evidence
from leakyrelu._compare.statistics.intervals import corrected
from leakyrelu._compare.trial import Key, Trial
from leakyrelu.activations import Activation

__all__ = ["Judged"]


class Judged(Evidence):
    """What runs show.

    The seeds that are there are the plan, so their one look has all of the 5%. Results of test
    examples are taken as those of an experiment are. Scores of splits get the corrected interval.
    Scores of seeds alone get the paired t of seeds: it speaks of the examples that were tested, as
    nothing shows what others would change.
    """

    def __init__(self, runs: Runs) -> None:
        task = runs.task
        super().__init__(runs.settings, runs.trials, task.score_step, task.clusters)
        look = len(runs.settings.seeds)
        self.looks, self.shares = [look], {look: 1.0}
        self._step = self._coarseness(look, task.score_step)
        self.runs = runs
        self.has_source = not runs.has_fixed_test
        if runs.known == "scores of seeds":
            self.scope = "these test examples"

    def judged(self, spec: Activation, look: int) -> list[Key]:
        """Return the trials at the learning rate that was chosen."""
        return [trial.key for trial in self.runs.judged[spec]]

    def _paired(
        self, one: Activation, other: Activation, look: int
    ) -> tuple[Sequence[Trial], Sequence[Trial]]:
        """Return their trials of the seeds that both have."""
        mine, theirs = ({t.seed: t for t in self.at(spec, look)} for spec in (one, other))
        seeds = [seed for seed in mine if seed in theirs]
        return [mine[seed] for seed in seeds], [theirs[seed] for seed in seeds]

    def _of_scores(self, scores: npt.NDArray[np.float64], least: float) -> Difference:
        if self.runs.known == "scores of splits":
            return corrected(scores, self._step, self.runs.test_to_train)
        # Of one value a training it is the plain paired t.
        return crossed.compared(scores[:, None], step=self._step, least=least)

    def claims(
        self,
        pairs: Sequence[tuple[Activation, Activation]],
        count: int,
        rope: float,
        shared: float = 0.0,
        until: int | None = None,
    ) -> dict[tuple[Activation, Activation], Claim]:
        """Decide the differences of pairs, each of as many seeds as both have."""
        found = super().claims(pairs, count, rope, shared, until)
        return {
            pair: dataclasses.replace(claim, trainings=len(self._paired(*pair, self.looks[0])[0]))
            for pair, claim in found.items()
        }
