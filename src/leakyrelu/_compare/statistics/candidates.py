"""What the trials show: each activation at its learning rate, compared with the reference.

Of each candidate it is said whether it is better than the reference, worse, equivalent (the
difference is smaller than what matters to the user) or undecided; with what probability it is
better, and with what probability it is the best of all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from leakyrelu._compare.settings import Settings
from leakyrelu._compare.statistics.condition import silent
from leakyrelu._compare.statistics.intervals import (
    Estimate,
    Verdict,
    corrected_interval,
    probability_above,
    probability_best,
)
from leakyrelu._compare.statistics.rounds import (
    at_look,
    coarseness,
    confidence_at,
    looks,
    seeds_to_decide,
)
from leakyrelu._compare.trial import Key, Trial
from leakyrelu._errors import InputError
from leakyrelu.activations import Activation

__all__ = [
    "Candidate",
    "Estimate",
    "candidates",
]


@dataclass(frozen=True)
class Candidate:
    """One activation at its chosen learning rate.

    Attributes
    ----------
    activation : Activation
    learning_rate : float
        The one with the best mean validation score, of those still in the race; NaN if none is
        left.
    trials : list of Trial
        Those at that learning rate that it is judged by, a seed each; without the seeds whose
        examples give no network a score.
    score : Estimate
        Test score with its 95% interval.
    difference : Estimate or None
        Paired difference to the reference, with an interval that is right for all candidates and
        all rounds at once in 95% of experiments. None for the reference.
    seconds : float
        Training time of all trials of this activation, at all learning rates.
    verdict : {"better", "worse", "equivalent", "undecided"} or None
        Than the reference, by the interval of the difference: all of it above what matters,
        all below, all within, or neither.
    probability : float or None
        That it is better than the reference by any amount, 0 to 1.
    probability_best : float or None
        That it is the best of all; those of all candidates add up to 1. None with one seed.
    seeds_to_decide : int or None
        If undecided: how many seeds in all would decide if the differences go on as they are,
        which they do as likely as not;
        None if not even 1,000 would, or if it was dropped.
    dropped : bool
        It got fewer seeds than others: its difference to the reference was decided, and more
        seeds would hardly have made it the best.
    undefined : bool
        There are no trials as scores are not defined, though at some rate no network diverged.
    """

    activation: Activation
    learning_rate: float
    trials: list[Trial]
    score: Estimate
    difference: Estimate | None
    seconds: float
    verdict: Verdict | None = None
    probability: float | None = None
    seeds_to_decide: int | None = None
    probability_best: float | None = None
    dropped: bool = False
    undefined: bool = False

    @property
    def diverged(self) -> bool:
        """No learning rate of the grid trained with every seed."""
        return self.lost == "diverged"

    @property
    def lost(self) -> Literal["diverged", "undefined"] | None:
        """Why there are no trials, if there are none."""
        if self.trials:
            return None
        return "undefined" if self.undefined else "diverged"

    def silent(self, checkpoint: int = -1) -> float:
        """Share of hidden units that never fire at a checkpoint, over layers and seeds."""
        if self.lost:
            return math.nan
        return float(np.mean([silent(trial, checkpoint) for trial in self.trials]))

    @property
    def dead(self) -> float:
        """Share of units dead at the end: they never fire and get no gradient."""
        return self.silent() if self.lost or self.activation.can_die else 0.0

    @property
    def born_dead(self) -> float:
        """Share of units dead before the first update."""
        return self.silent(0) if self.lost or self.activation.can_die else 0.0

    @property
    def stuck_negative(self) -> float:
        """Share of units that never fire at the end but still get a gradient."""
        return self.silent() if self.lost or not self.activation.can_die else 0.0


def candidates(
    settings: Settings, trials: Sequence[Trial], score_step: float = 0.0, rope: float = 0.0
) -> list[Candidate]:
    """Choose each activation's learning rate and compare it with the reference.

    Each is judged at the last look for which it has all trials.

    Parameters
    ----------
    settings : Settings
    trials : sequence of Trial
        All that are finished.
    score_step : float, default 0.0
        `Task.score_step`.
    rope : float, default 0.0
        The smallest difference that matters, in the unit of the score.

    Returns
    -------
    list of Candidate
        In the order of ``settings.activations``.

    Raises
    ------
    InputError
        If the first round is not finished.
    """
    score_step = coarseness(settings, trials, score_step)
    stored = {trial.key: trial for trial in trials}

    def at(look: int, spec: Activation) -> list[Trial]:
        # At the learning rate of that look: a claim stays what it was when it was made.
        keys = at_look(settings, stored, spec, look)
        return [stored[key] for key in keys if stored[key].is_scored]

    last = {spec: _last_look(settings, stored, spec) for spec in settings.activations}
    judged = {spec: at(look, spec) for spec, look in last.items()}
    racing = {spec: last[spec] for spec, own in judged.items() if own}
    firsts = _first_places(racing, at, score_step)
    comparisons = len(settings.activations) - 1
    nothing = Estimate(math.nan, math.nan, math.nan)
    found = []
    for spec, own in judged.items():
        scores = [trial.test_score for trial in own]
        difference, word, probability, needed = None, None, None, None
        dropped = 0 < len(own) < max(map(len, judged.values()))
        if spec != settings.reference:
            difference = nothing
            if own and judged[settings.reference]:
                look = min(last[spec], last[settings.reference])
                both = zip(at(look, spec), at(look, settings.reference), strict=True)
                differences = [one.test_score - other.test_score for one, other in both]
                confidence = confidence_at(look, len(settings.seeds), comparisons)
                difference = corrected_interval(differences, confidence=confidence, step=score_step)
                probability = probability_above(differences, step=score_step)
                word = difference.verdict(rope)
                if word == "undecided" and len(differences) > 1 and not dropped:
                    needed = seeds_to_decide(differences, comparisons, rope, score_step)
        found.append(
            Candidate(
                activation=spec,
                learning_rate=own[0].learning_rate if own else math.nan,
                trials=own,
                score=corrected_interval(scores, step=score_step) if scores else nothing,
                difference=difference,
                seconds=sum(trial.seconds for trial in trials if trial.activation == spec),
                verdict=word,
                probability=probability,
                seeds_to_decide=needed,
                probability_best=firsts.get(spec),
                dropped=dropped,
                undefined=not own and _is_undefined(settings, trials, spec),
            )
        )
    return found


def _last_look(settings: Settings, stored: Mapping[Key, Trial], spec: Activation) -> int:
    """Return the last look up to which all trials of an activation are there."""
    last = 0
    for look in looks(len(settings.seeds)):
        if any(key not in stored for key in at_look(settings, stored, spec, look)):
            break
        last = look
    if not last:
        found = sum(key[0] == spec for key in stored)
        raise InputError(
            f"the experiment has {found} trials of {spec}, fewer than its first round; run it "
            "again, it resumes where it stopped"
        )
    return last


def _is_undefined(settings: Settings, trials: Sequence[Trial], spec: Activation) -> bool:
    """Whether there is a learning rate at which no network has diverged."""
    lost = {trial.learning_rate for trial in trials if trial.activation == spec and trial.diverged}
    return lost != set(settings.learning_rates)


def _first_places(
    last: Mapping[Activation, int], at: Callable[[int, Activation], list[Trial]], step: float
) -> dict[Activation, float]:
    """Return the probability of each to be the best; who was dropped keeps what it had then."""
    racing = list(last)
    found: dict[Activation, float] = {}
    left = 1.0
    while racing:
        look = min(last[spec] for spec in racing)
        scores = np.transpose([[trial.test_score for trial in at(look, spec)] for spec in racing])
        if len(scores) < 2:
            return {}
        now = dict(zip(racing, left * probability_best(scores, step=step), strict=True))
        racing = [spec for spec in racing if last[spec] > look]
        found |= {spec: float(share) for spec, share in now.items() if spec not in racing}
        left = sum(now[spec] for spec in racing)
    return found
