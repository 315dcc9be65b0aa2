"""What the trials show: each activation at its learning rate, compared with the reference.

Of each candidate it is said whether it is better than the reference, worse, equivalent (the
difference is smaller than what matters to the user) or undecided: on these data, and for their
source. Of all together, which may be the best, which to use, and how much that may lose.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from leakyrelu._compare.statistics import crossed
from leakyrelu._compare.statistics.condition import silent
from leakyrelu._compare.statistics.crossed import (
    CONFIDENCE,
    SHARED,
    Choice,
    Claim,
    Difference,
    Verdict,
)
from leakyrelu._compare.statistics.evidence import Evidence
from leakyrelu._compare.statistics.rounds import seeds_to_decide
from leakyrelu._compare.trial import Trial
from leakyrelu.activations import Activation

__all__ = ["Candidate", "Estimate", "Pair", "all_pairs", "candidates", "chosen"]

FOR_THE_SOURCE = SHARED["the source"]


@dataclass(frozen=True)
class Estimate:
    """A mean and its 95% interval; `low` and `high` are NaN where one seed gives none."""

    mean: float
    low: float
    high: float

    @property
    def reach(self) -> float:
        """Half the width of the interval."""
        return (self.high - self.low) / 2


NOTHING = Estimate(math.nan, math.nan, math.nan)
NO_CLAIM = Claim(Difference(math.nan, math.nan, math.nan), math.nan, "undecided", 0)


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
    difference : Claim or None
        How much it is above the reference, claimed of these data. None for the reference.
    source : Claim or None
        The same, claimed for the source of the data. None also where nothing can be.
    seconds : float
        Training time of all trials of this activation, at all learning rates.
    probability : float or None
        That it is better than the reference by any amount on these data, 0 to 1.
    probability_best : float or None
        That it is the best of all on these data; those of all candidates add up to 1. None with
        one seed.
    seeds_to_decide : int or None
        If undecided on these data: how many seeds in all would decide if the differences go on as
        they are, which they do as likely as not; None if not even 1,000 would, or if it was
        dropped.
    dropped : bool
        It got fewer seeds than others: its difference to the reference was decided, and it is
        not the best.
    undefined : bool
        There are no trials as scores are not defined, though at some rate no network diverged.
    """

    activation: Activation
    learning_rate: float
    trials: list[Trial]
    score: Estimate
    difference: Claim | None
    source: Claim | None
    seconds: float
    probability: float | None = None
    probability_best: float | None = None
    seeds_to_decide: int | None = None
    dropped: bool = False
    undefined: bool = False

    @property
    def verdict(self) -> Verdict | None:
        """Than the reference, on these data; None for the reference, and where one is lost."""
        is_known = self.difference is not None and not math.isnan(self.difference.mean)
        return self.difference.verdict if self.difference and is_known else None

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


def candidates(known: Evidence, rope: float = 0.0) -> list[Candidate]:
    """Choose each activation's learning rate and compare it with the reference.

    Each is judged at the last look for which it has all trials.

    Parameters
    ----------
    known : Evidence
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
    settings = known.settings
    reference = settings.reference
    last = {spec: known.last_look(spec) for spec in settings.activations}
    judged = {spec: list(known.at(spec, look)) for spec, look in last.items()}
    trained = [spec for spec in settings.activations if judged[spec]]
    others = [spec for spec in trained if spec != reference and reference in trained]
    pairs = [(spec, reference) for spec in others]
    count = len(settings.activations) - 1
    claims, for_source = (
        known.claims(pairs, count, rope, shared) for shared in (0.0, FOR_THE_SOURCE)
    )
    open_claims = count - sum(claim.verdict != "undecided" for claim in claims.values())
    between = _between(known, {spec: last[spec] for spec in trained})
    firsts: dict[Activation, float] = {}
    if trained and min(len(judged[spec]) for spec in trained) > 1:
        firsts = crossed.probability_best(trained, between)
    found = []
    for spec, own in judged.items():
        pair = spec, reference
        claim = claims.get(pair, NO_CLAIM)
        score = known.score(spec, last[spec]) if own else None
        dropped = 0 < last[spec] < max(last[each] for each in trained) if own else False
        probability, needed = None, None
        if pair in claims:
            probability = between(*pair).probability_above()
            if claim.verdict == "undecided" and len(own) > 1 and not dropped:
                needed = seeds_to_decide(claim, open_claims, settings.asked, rope)
        found.append(
            Candidate(
                activation=spec,
                learning_rate=own[0].learning_rate if own else math.nan,
                trials=own,
                score=Estimate(score.mean, *score.interval(1 - CONFIDENCE)) if score else NOTHING,
                difference=None if spec == reference else claim,
                source=for_source.get(pair, NO_CLAIM)
                if known.has_source and spec != reference
                else None,
                seconds=sum(t.seconds for t in known.stored.values() if t.activation == spec),
                probability=probability,
                probability_best=firsts.get(spec),
                seeds_to_decide=needed,
                dropped=dropped,
                undefined=not own and _is_undefined(known, spec),
            )
        )
    return found


def _between(
    known: Evidence, last: Mapping[Activation, int]
) -> Callable[[Activation, Activation], Difference]:
    """Return what tells how much one is above another at the last look that both have."""
    reference = known.settings.reference

    @functools.cache
    def least(look: int) -> float:
        """Return the least spread there, that of the claims beside which the differences stand."""
        there = [spec for spec in last if last[spec] >= look and known.at(spec, look)]
        pairs: Iterable[tuple[Activation, Activation]] = itertools.combinations(there, 2)
        if reference in there:
            pairs = ((spec, reference) for spec in there if spec != reference)
        return known.least_spread(pairs, look)

    def difference(one: Activation, other: Activation) -> Difference:
        look = min(last[one], last[other])
        return known.difference(one, other, look, least=least(look))

    return difference


def chosen(known: Evidence, found: Sequence[Candidate]) -> Choice[Activation] | None:
    """Say which to use on these data, and which may be the best; nothing of one seed."""
    trained = [each.activation for each in found if not each.lost]
    last = {spec: known.last_look(spec) for spec in trained}
    if not trained or min(len(known.at(spec, look)) for spec, look in last.items()) < 2:
        return None

    others = len(known.settings.activations) - 1  # the lost count, as in the claims

    def level(one: Activation, other: Activation) -> float:
        return known.level(min(last[one], last[other])) / others

    beaten = {each.activation for each in found if each.verdict == "worse"}
    if any(each.verdict == "better" for each in found):
        beaten.add(known.settings.reference)
    return crossed.choose(trained, _between(known, last), level, beaten)


@dataclass(frozen=True)
class Pair:
    """How much one activation is above another.

    Attributes
    ----------
    first, second : Activation
    difference, source : Claim
        On these data, and for their source, if that can be; those of all pairs together are right
        in 95%.
    probability : float
        That the first is better by any amount on these data.
    """

    first: Activation
    second: Activation
    difference: Claim
    source: Claim | None
    probability: float


def all_pairs(known: Evidence, trained: Sequence[Activation], rope: float = 0.0) -> list[Pair]:
    """Compare each two of the trained, all against all; the first is the earlier one."""
    last = {spec: known.last_look(spec) for spec in trained}
    pairs = list(itertools.combinations(trained, 2))
    count = math.comb(len(known.settings.activations), 2)
    claims, for_source = (
        known.claims(pairs, count, rope, shared) for shared in (0.0, FOR_THE_SOURCE)
    )
    between = _between(known, last)
    return [
        Pair(
            *pair,
            claims[pair],
            for_source[pair] if known.has_source else None,
            between(*pair).probability_above(),
        )
        for pair in pairs
    ]


def _is_undefined(known: Evidence, spec: Activation) -> bool:
    """Whether there is a learning rate at which no network has diverged."""
    trials = [trial for trial in known.stored.values() if trial.activation == spec]
    lost = {trial.learning_rate for trial in trials if trial.diverged}
    return lost != {trial.learning_rate for trial in trials}
