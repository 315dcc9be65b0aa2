"""Which trials an experiment still needs: seeds are added in rounds, for those that need them.

In the first round every activation trains at every learning rate with two seeds; rates that are
clearly worse get no more. After each look an activation goes on as long as more seeds may change
what is said of it: it may still be the best, or its difference to the reference is undecided.
No claim rests on who goes on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from leakyrelu._compare.settings import Settings
from leakyrelu._compare.statistics import crossed
from leakyrelu._compare.statistics.crossed import CONFIDENCE, Claim, Difference
from leakyrelu._compare.statistics.evidence import Evidence
from leakyrelu._compare.trial import Key, Trial
from leakyrelu.activations import Activation

__all__ = ["seeds_to_decide", "wanted"]

MOST_SEEDS = 1000  # that anybody would run
# Who is above some rival, by more than matters, with less than this probability is not the best.
HARDLY = 0.01


def wanted(
    settings: Settings,
    trials: Sequence[Trial],
    score_step: float,
    rope: float = 0.0,
    clusters: npt.NDArray[np.int64] | None = None,
) -> list[Key]:
    """Return the trials to run next, none if the experiment is complete.

    Only what is stored decides, so an experiment that was stopped anywhere goes on as it would
    have. One of an earlier version does not go on after its first round.

    Parameters
    ----------
    settings : Settings
        Its seeds are the most that are run.
    trials : sequence of Trial
        Those that are finished.
    score_step, clusters
        As in `leakyrelu._compare.data.task.TaskInfo`.
    rope : float, default 0.0
        The smallest difference that matters, in the unit of the score.
    """
    known = Evidence(settings, trials, score_step, clusters)
    racing = list(settings.activations)
    for look in known.looks:
        keys = [key for spec in racing for key in known.tried(spec, look)]
        missing = [key for key in keys if key not in known.stored]
        if missing:
            return missing
        if settings.is_of_earlier_version:
            break
        racing = _going_on(known, racing, look, rope)
    return []


def _going_on(
    known: Evidence, racing: Sequence[Activation], look: int, rope: float
) -> list[Activation]:
    """Return who gets the seeds of the next round, nobody if none of them needs any."""
    trained = [spec for spec in racing if known.at(spec, look)]
    if look == known.looks[-1] or not trained:
        return []
    if min(len(known.at(spec, look)) for spec in trained) < 2:  # other seeds are left out
        return trained
    reference = known.settings.reference
    claims: dict[tuple[Activation, Activation], Claim] = {}
    if reference in trained:
        pairs = [(spec, reference) for spec in trained if spec != reference]
        count = len(known.settings.activations) - 1
        claims = known.claims(pairs, count, rope, until=look)

    def may_be_best(spec: Activation) -> bool:
        rivals = (rival for rival in trained if rival != spec)
        return all(
            known.difference(spec, rival, look).probability_above(rope) >= HARDLY
            for rival in rivals
        )

    contenders = list(filter(may_be_best, trained))
    open_race = contenders if len(contenders) > 1 else []
    needy = {
        spec
        for spec in trained
        if spec != reference
        and (
            spec in open_race
            or ((spec, reference) in claims and claims[spec, reference].verdict == "undecided")
        )
    }
    # Who is ahead stays, as the others are measured by it, and so does the reference.
    leader = max(trained, key=lambda spec: known.score(spec, look).mean)
    return [spec for spec in trained if needy and spec in {*needy, leader, reference}]


def seeds_to_decide(
    claim: Claim, open_claims: int, asked: Sequence[int], rope: float = 0.0
) -> int | None:
    """How many seeds in all would decide, if differences go on as they are; None for over 1,000.

    More trainings test the same examples again: what these differ by, no number of seeds averages
    out.

    Parameters
    ----------
    claim : Claim
        What is known now.
    open_claims : int
        How many differences are undecided.
    asked : sequence of int
        How many seeds were asked for, run by run.
    rope : float, default 0.0

    Examples
    --------
    >>> now = Claim(Difference(0.01, 0.008, 9.0), 0.04, "undecided", 10)
    >>> seeds_to_decide(now, 1, asked=[10])
    80
    """
    now, trainings = claim.difference, claim.trainings
    for seeds in range(trainings + 1, MOST_SEEDS + 1):
        looks = crossed.looks(seeds, [*asked, seeds])
        level = (1 - CONFIDENCE) * crossed.shares(looks, (*asked, seeds)[0])[-1] / open_claims
        falling = (now.error**2 - now.floor) * trainings / seeds
        error = float(np.sqrt(now.floor + falling))
        freedom = now.freedom * (seeds - 1) / (trainings - 1)
        if Difference(now.mean, error, freedom).verdict(level, rope) != "undecided":
            return seeds
    return None
