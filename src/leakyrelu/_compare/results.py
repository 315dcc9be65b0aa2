"""What an experiment has found, as data: `leakyrelu._report` makes words and figures of it."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from leakyrelu._compare.data.task import TaskInfo
from leakyrelu._compare.settings import Settings
from leakyrelu._compare.statistics.candidates import (
    Candidate,
    Pair,
    all_pairs,
    candidates,
    chosen,
)
from leakyrelu._compare.statistics.crossed import DECIMALS, Choice, Scope
from leakyrelu._compare.statistics.evidence import Evidence
from leakyrelu._compare.statistics.facts import Fact, Limit, facts, limit
from leakyrelu._compare.statistics.relations import Relation, relations
from leakyrelu._compare.statistics.rounds import wanted
from leakyrelu._compare.trial import Key, Trial
from leakyrelu._errors import InputError
from leakyrelu.activations import Activation

__all__ = ["Results"]


class Results:
    """Candidates, and what goes with them, of the rounds of seeds that are complete.

    If no round is, there are no candidates.
    """

    is_judged = False  # whether others have trained them
    scope: Scope = "these data"  # what the first claim speaks of
    has_source = True  # whether anything can be said for the source of the data

    def __init__(
        self,
        task: TaskInfo,
        settings: Settings,
        trials: Sequence[Trial],
        environment: dict[str, str],
        directory: Path,
        rope: float = 0.0,
    ) -> None:
        self.task = task
        self.settings = settings
        self.environment = environment
        self.directory = directory
        self.rope = rope
        self._others = [trial for trial in trials if not settings.cover(trial.key)]
        self._trials = [trial for trial in trials if settings.cover(trial.key)]
        complete = self._complete_rounds()
        self.is_finished = not self._wanted(complete)
        if not self._trials:
            damaged = environment.get("damaged")
            raise InputError(
                f"{directory} holds none of up to {settings.trials:,} trials yet; the command that "
                "began it resumes" + (f" (damaged, and not counted: {damaged})" if damaged else "")
            )
        self._evidence = self._known(complete)
        self.scope, self.has_source = self._evidence.scope, self._evidence.has_source
        found = candidates(self._evidence, rope) if complete else []
        self.candidates: list[Candidate] = sorted(found, key=_place)
        claims = [c.difference.reach for c in found if c.difference and c.difference.reach > 0]
        reach = min(claims or [c.score.reach for c in found if c.score.reach > 0], default=math.nan)
        self.task = replace(task, metric=task.metric.shown_to(reach))

    def _wanted(self, trials: Sequence[Trial]) -> list[Key]:
        task = self.task
        return wanted(self.settings, trials, task.score_step, self.rope, task.clusters)

    def _complete_rounds(self) -> Sequence[Trial]:
        """Return the trials of the rounds that are complete; all, if none is missing."""
        known = {trial.key: trial for trial in self._trials}
        complete: list[Trial] = []
        while keys := self._wanted(complete):
            if any(key not in known for key in keys):
                return complete if self._known(complete).has_looked else []
            complete += [known[key] for key in keys]
        return self._trials

    def _known(self, trials: Sequence[Trial]) -> Evidence:
        return Evidence(self.settings, trials, self.task.score_step, self.task.clusters)

    def histories(self) -> list[Trial]:
        """Return the trials with their histories, as they are stored."""
        return list(self._trials)

    @property
    def trained(self) -> list[Candidate]:
        """The candidates that have trials to be judged by."""
        return [candidate for candidate in self.candidates if not candidate.lost]

    @property
    def reference(self) -> Candidate:
        """The candidate that all others are compared with."""
        return next(c for c in self.candidates if c.activation == self.settings.reference)

    @functools.cached_property
    def _choice(self) -> Choice[Activation] | None:
        return chosen(self._evidence, self.candidates)

    @property
    def recommended(self) -> Candidate | None:
        """Who to use on these data: who is ahead of all others, also where nothing is decided."""
        if self._choice is None:  # of one seed
            return max(self.trained, key=lambda c: c.score.mean, default=None)
        return next(c for c in self.trained if c.activation == self._choice.name)

    @property
    def best(self) -> list[Candidate]:
        """Who can't be ruled out as the best on these data, at 95%; all of one seed."""
        if self._choice is None:
            return self.trained
        return [c for c in self.trained if c.activation in self._choice.possible]

    @property
    def regret(self) -> float:
        """How far at worst the one recommended is below the best on these data, at 95%."""
        if self._choice is None:
            return math.nan
        return min(self._choice.regret, self.task.metric.high - self.task.metric.low)

    @functools.cached_property
    def compared_pairs(self) -> list[Pair]:
        """All trained against all on these data and for the source, the best first."""
        return all_pairs(self._evidence, [c.activation for c in self.trained], self.rope)

    @functools.cached_property
    def relations(self) -> list[Relation]:
        """How the condition of the networks goes with their score, by rank correlation."""
        return relations(self.candidates)

    @property
    def first_round(self) -> tuple[int, int, int]:
        """Seeds of the first round, its trials at the most, and how many of these are there."""
        seeds = self.settings.seeds[: self._evidence.looks[0]]
        most = len(self.settings.activations) * len(self.settings.learning_rates) * len(seeds)
        return len(seeds), most, sum(trial.seed in seeds for trial in self._trials)

    @property
    def limit(self) -> Limit | None:
        """Why the task can't tell activations apart, if it can't."""
        return limit(self.task, self.trained)

    @property
    def facts(self) -> list[Fact]:
        """What a careful reader should know beside the verdict."""
        if not self.candidates:
            return []
        return facts(self.task, self.settings, self.candidates, self._trials, self.rope)

    @property
    def seeds(self) -> tuple[int, int]:
        """The fewest and the most paired seeds that an activation is judged by."""
        counts = [len(c.trials) for c in self.trained] or [len(self.settings.seeds)]
        return min(counts), max(counts)

    @property
    def has_health(self) -> bool:
        """Whether all networks were looked at, as those that others have trained are not."""
        return all(trial.has_health for c in self.candidates for trial in c.trials)

    @property
    def has_curves(self) -> bool:
        """Whether the course of all trainings is known."""
        return all(trial.history for c in self.candidates for trial in c.trials)

    @property
    def has_rates(self) -> bool:
        """Whether learning rates are known."""
        return any(self.settings.learning_rates)

    @property
    def has_times(self) -> bool:
        """Whether it is known how long trainings took."""
        return any(c.seconds for c in self.candidates)

    @property
    def has_claims(self) -> bool:
        """Whether there are intervals of differences: not of one seed, nor of nothing trained."""
        return any(c.difference and math.isfinite(c.difference.reach) for c in self.candidates)

    @property
    def has_different_seeds(self) -> bool:
        """Whether some activations were given more seeds than others."""
        return len(set(self.seeds)) > 1

    @property
    def left_out(self) -> tuple[list[str], list[float]]:
        """Activations and learning rates that are stored but were not asked for."""
        others = {t.activation for t in self._others} - set(self.settings.activations)
        rates = {t.learning_rate for t in self._others} - set(self.settings.learning_rates)
        return sorted(others), sorted(rates)


def _place(candidate: Candidate) -> tuple[float, float]:
    """Order by the difference to the reference, by score where that has none; then by chance.

    Rounding makes no difference.
    """
    if candidate.lost:
        return math.inf, 0.0
    mean = candidate.difference.mean if candidate.difference else 0.0
    first = -(candidate.score.mean if math.isnan(mean) else mean)
    return round(first, DECIMALS), -(candidate.probability_best or 0.0)
