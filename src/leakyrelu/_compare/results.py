"""What an experiment has found, as data: `leakyrelu._report` makes words and figures of it."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from pathlib import Path

from leakyrelu._compare.data.task import TaskInfo
from leakyrelu._compare.settings import Settings
from leakyrelu._compare.statistics.candidates import Candidate, candidates
from leakyrelu._compare.statistics.facts import Fact, Limit, facts, limit
from leakyrelu._compare.statistics.relations import Relation, relations
from leakyrelu._compare.statistics.rounds import looks, wanted
from leakyrelu._compare.trial import Trial
from leakyrelu._errors import InputError

__all__ = ["Results"]


class Results:
    """Candidates, and what goes with them, of the rounds of seeds that are complete.

    If no round is, there are no candidates.
    """

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
        complete = _complete_rounds(settings, self._trials, task.score_step, rope)
        self.is_finished = not wanted(settings, complete, task.score_step, rope)
        if not self._trials:
            damaged = environment.get("damaged")
            raise InputError(
                f"{directory} holds none of up to {settings.trials:,} trials yet; the command that "
                "began it resumes" + (f" (damaged, and not counted: {damaged})" if damaged else "")
            )
        found = candidates(settings, complete, task.score_step, rope) if complete else []
        self.candidates: list[Candidate] = sorted(found, key=_place)

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

    @property
    def recommended(self) -> Candidate | None:
        """Who is most probably the best: of those better than the reference, else of all."""
        better = [c for c in self.trained if c.verdict == "better"]

        def worth(candidate: Candidate) -> float:
            probability = candidate.probability_best  # None with one seed
            return candidate.score.mean if probability is None else probability

        return max(better or self.trained, key=worth, default=None)

    @functools.cached_property
    def relations(self) -> list[Relation]:
        """How the condition of the networks goes with their score, by rank correlation."""
        return relations(self.candidates)

    @property
    def first_round(self) -> tuple[int, int, int]:
        """Seeds of the first round, its trials, and how many of these are there."""
        seeds = self.settings.seeds[: looks(len(self.settings.seeds))[0]]
        needed = len(self.settings.activations) * len(self.settings.learning_rates) * len(seeds)
        return len(seeds), needed, sum(trial.seed in seeds for trial in self._trials)

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
    def has_different_seeds(self) -> bool:
        """Whether some activations were given more seeds than others."""
        return len(set(self.seeds)) > 1

    @property
    def left_out(self) -> tuple[list[str], list[float]]:
        """Activations and learning rates that are stored but were not asked for."""
        others = {t.activation for t in self._others} - set(self.settings.activations)
        rates = {t.learning_rate for t in self._others} - set(self.settings.learning_rates)
        return sorted(others), sorted(rates)


def _place(candidate: Candidate) -> float:
    """Order by the difference to the reference; by score where that has none."""
    if candidate.lost:
        return math.inf
    if candidate.difference is None:
        return 0.0
    mean = candidate.difference.mean
    return -(candidate.score.mean if math.isnan(mean) else mean)


def _complete_rounds(
    settings: Settings, trials: Sequence[Trial], score_step: float, rope: float
) -> Sequence[Trial]:
    """Return the trials up to the last round that is complete; all, if that is the last of all."""
    known = {trial.key: trial for trial in trials}
    complete: list[Trial] = []
    while keys := wanted(settings, complete, score_step, rope):
        if any(key not in known for key in keys):
            return complete
        complete += [known[key] for key in keys]
    return trials
