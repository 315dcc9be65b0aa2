"""Which trials an experiment still needs: seeds are added in rounds, for those that need them.

In the first round every activation trains at every learning rate; later rounds double the seeds,
without the rates whose validation scores are clearly worse. After each round an activation goes on
as long as more seeds may change what is said of it: it may still be the best, or its difference to
the reference is undecided.

A seed whose examples give no network a score, as R² of targets that are all equal, is left out. A
score that is missing where other networks of the seed have one is the network's own failure: as
with one that diverges, to leave it out would flatter the activation, so its learning rate is out.

Looking several times gives chance several tries. So the looks divide the 5% of false claims
among them: the interval at a look is wide enough that it is wrong in no more than its share of
experiments. Whatever makes an activation stop, and at which look, all claims together are then
wrong in 5% of experiments at most (the union bound; shares after Lan and DeMets).

References
----------
K. K. G. Lan and D. L. DeMets, "Discrete sequential boundaries for clinical trials", Biometrika
70, 1983.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

from leakyrelu._compare.settings import Settings
from leakyrelu._compare.statistics.intervals import (
    CONFIDENCE,
    TEST_TO_TRAIN,
    corrected_interval,
    mean_and_variance,
    probability_above,
)
from leakyrelu._compare.trial import Key, Trial
from leakyrelu.activations import Activation

__all__ = ["at_look", "confidence_at", "looks", "seeds_to_decide", "tried", "wanted"]

FEWEST_SEEDS = 4  # in a round; fewer choose no learning rate and decide nothing
MOST_SEEDS = 1000  # that anybody would run
# Who will be ahead of some rival with all seeds with less than this probability, given those so
# far, is out of the race. No claim rests on it: it costs the chance to have missed the best.
HARDLY = 0.01
# As is a learning rate that is better than the best with less than this probability.
HARDLY_A_RATE = 0.1


def looks(most: int) -> list[int]:
    """Return how many seeds there are after each round, if there are `most` in the end.

    Examples
    --------
    >>> looks(10)
    [5, 10]
    >>> looks(40)
    [5, 10, 20, 40]
    >>> looks(6)
    [6]
    """
    found = [most]
    while (half := math.ceil(found[0] / 2)) >= FEWEST_SEEDS:
        found.insert(0, half)
    return found


def confidence_at(seeds: int, most: int, comparisons: int) -> float:
    """Return the confidence of each of the intervals at a look, so that all hold at all looks.

    A look has its share of the 5%, the later the more: all shares up to ``seeds`` seeds add up
    to ``(seeds / most)**2``. The comparisons divide it equally (Bonferroni).

    Examples
    --------
    >>> [round(confidence_at(seeds, 10, comparisons=1), 4) for seeds in looks(10)]
    [0.9875, 0.9625]
    """
    before = max((look for look in looks(most) if look < seeds), default=0)
    return 1 - (1 - CONFIDENCE) * (seeds**2 - before**2) / most**2 / comparisons


def tried(
    settings: Settings, stored: Mapping[Key, Trial], spec: Activation, seeds: int
) -> list[Key]:
    """Return the trials of an activation up to a look, whether stored or not.

    After the first round, these are at the learning rates that may be the best by the validation
    scores of that round, and at which no network so far has diverged or failed to get a score.
    """
    first = settings.seeds[: looks(len(settings.seeds))[0]]
    rates = list(settings.learning_rates)
    keys = {rate: [(spec, rate, seed) for seed in settings.seeds[:seeds]] for rate in rates}
    in_first_round = {rate: [(spec, rate, seed) for seed in first] for rate in rates}
    if all(key in stored for each in in_first_round.values() for key in each):
        scores = {
            r: np.array(_validation_scores(stored, in_first_round[r]))
            for r in rates
            if all(_is_sound(stored, k) for k in keys[r] if k in stored)
        }
        rates = [rate for rate in scores if scores[rate].size]
        best = max(rates, key=lambda rate: scores[rate].mean(), default=0.0)
        rates = [
            rate
            for rate in rates
            if rate == best or probability_above(scores[rate] - scores[best]) >= HARDLY_A_RATE
        ]
    return [key for rate in rates for key in keys[rate]]


def at_look(
    settings: Settings, stored: Mapping[Key, Trial], spec: Activation, seeds: int
) -> list[Key]:
    """Return the trials that an activation is judged by at a look, whether stored or not.

    They are those `tried` until all of these are there. Then its learning rate is the one with the
    best mean validation score; there is no trial if no rate is left.
    """
    keys = tried(settings, stored, spec, seeds)
    if not keys or any(key not in stored for key in keys):
        return keys
    by_rate: dict[float, list[Key]] = {}
    for key in keys:
        by_rate.setdefault(key[1], []).append(key)
    sound = [each for each in by_rate.values() if all(_is_sound(stored, key) for key in each)]

    def validation_score(each: list[Key]) -> float:
        return float(np.mean(_validation_scores(stored, each)))

    return max(sound, key=validation_score, default=[])


def _validation_scores(stored: Mapping[Key, Trial], keys: Sequence[Key]) -> list[float]:
    return [stored[key].validation_score for key in keys if stored[key].is_scored]


def _is_sound(stored: Mapping[Key, Trial], key: Key) -> bool:
    """Whether a trial has scores, or lacks them as all others of its seed do."""
    trial = stored[key]
    return trial.is_scored or not (
        trial.diverged
        or any(other.is_scored for other in stored.values() if other.seed == trial.seed)
    )


def coarseness(settings: Settings, trials: Sequence[Trial], score_step: float) -> float:
    """Return the steps in which scores come, if need be as the first round shows them.

    A metric of the user's own may be a share of few examples, so that scores repeat. That two
    differences are the same then does not show that there is no noise.

    Parameters
    ----------
    settings, trials
        See `wanted`.
    score_step : float
        What is known, 0 for nothing.
    """
    first = settings.seeds[: looks(len(settings.seeds))[0]]
    scores = [t.test_score for t in trials if t.seed in first and math.isfinite(t.test_score)]
    each = np.unique(scores)
    if score_step or not 1 < len(each) < len(scores):
        return score_step
    return float(np.diff(each).min())


def wanted(
    settings: Settings, trials: Sequence[Trial], score_step: float, rope: float = 0.0
) -> list[Key]:
    """Return the trials to run next, none if the experiment is complete.

    Only what is stored decides, so an experiment that was stopped anywhere goes on as it would
    have.

    Parameters
    ----------
    settings : Settings
        Its seeds are the most that are run.
    trials : sequence of Trial
        Those that are finished.
    score_step : float
        As in `leakyrelu._compare.data.task.TaskInfo`.
    rope : float, default 0.0
        The smallest difference that matters, in the unit of the score.
    """
    score_step = coarseness(settings, trials, score_step)
    stored = {trial.key: trial for trial in trials}
    racing = list(settings.activations)
    for look in looks(len(settings.seeds)):
        keys = [key for spec in racing for key in tried(settings, stored, spec, look)]
        missing = [key for key in keys if key not in stored]
        if missing:
            return missing
        judged = {spec: at_look(settings, stored, spec, look) for spec in racing}
        scores = {
            spec: np.array([stored[key].test_score for key in each if stored[key].is_scored])
            for spec, each in judged.items()
            if each
        }
        racing = _going_on(settings, scores, look, score_step, rope)
    return []


def _going_on(
    settings: Settings,
    scores: Mapping[Activation, npt.NDArray[np.float64]],
    look: int,
    step: float,
    rope: float,
) -> list[Activation]:
    """Return who gets the seeds of the next round, nobody if none of them needs any."""
    reference, most = settings.reference, len(settings.seeds)
    comparisons = len(settings.activations) - 1
    if look == most or not scores:
        return []
    if min(each.size for each in scores.values()) < 2:  # the others of the seeds are left out
        return list(scores)

    def may_be_best(spec: Activation) -> bool:
        return all(
            _probability_above(rope, scores[spec] - scores[rival], most, step) >= HARDLY
            for rival in scores
            if rival != spec
        )

    def is_undecided(spec: Activation) -> bool:
        if reference not in scores:
            return False
        confidence = confidence_at(look, most, comparisons)
        differences = scores[spec] - scores[reference]
        interval = corrected_interval(differences, confidence=confidence, step=step)
        return interval.verdict(rope) == "undecided"

    contenders = [spec for spec in scores if may_be_best(spec)]
    open_race = contenders if len(contenders) > 1 else []
    needy = {
        spec for spec in scores if spec != reference and (spec in open_race or is_undecided(spec))
    }
    # Who is ahead stays, as the others are measured by it, and so does the reference.
    leader = max(scores, key=lambda spec: scores[spec].mean())
    return [spec for spec in scores if needy and spec in {*needy, leader, reference}]


def _probability_above(
    threshold: float, values: npt.NDArray[np.float64], most: int, step: float
) -> float:
    """Predict whether the mean over all seeds will be above a threshold.

    More seeds divide the same examples again, so the spread between seeds is all that matters.
    """
    mean, variance = mean_and_variance(values, step)
    error = math.sqrt((1 / len(values) - 1 / most) * variance)
    if error == 0:
        return float(mean >= threshold)
    return float(special.stdtr(len(values) - 1, (mean - threshold) / error))


def seeds_to_decide(
    values: npt.ArrayLike,
    comparisons: int = 1,
    rope: float = 0.0,
    step: float = 0.0,
    test_to_train: float = TEST_TO_TRAIN,
) -> int | None:
    """How many seeds in all would decide, if differences go on as they are; None for over 1,000.

    It is that of an experiment of so many seeds, in rounds, at its last look. Splits of the same
    examples overlap, so that the interval does not shrink to nothing: some differences no number
    of seeds on this data can decide.

    Examples
    --------
    >>> differences = [0.01, -0.01, 0.02, 0.0]
    >>> seeds_to_decide(differences, test_to_train=0.0)
    32
    >>> seeds_to_decide(differences) is None
    True
    """
    mean, variance = mean_and_variance(values, step)
    seeds = np.arange(np.size(values) + 1, MOST_SEEDS + 1)
    reach = _reach(variance, seeds, comparisons, test_to_train)
    decided = (abs(mean) - reach > rope) | (abs(mean) + reach < rope)
    return int(seeds[decided.argmax()]) if decided.any() else None


def _reach(
    variance: float, seeds: Any, comparisons: int, test_to_train: float = TEST_TO_TRAIN
) -> Any:
    """Return how far the interval reaches at the last look of so many seeds, one or several."""
    quantiles = _last_quantiles(comparisons)[np.minimum(seeds, MOST_SEEDS) - 1]
    return quantiles * np.sqrt((1 / seeds + test_to_train) * variance)


@functools.cache
def _last_quantiles(comparisons: int) -> npt.NDArray[np.float64]:
    """Student's quantiles at the last look of experiments of 1, 2, ... `MOST_SEEDS` seeds."""
    seeds = np.arange(1, MOST_SEEDS + 1)
    confidence = np.array([confidence_at(n, n, comparisons) for n in seeds.tolist()])
    return np.asarray(special.stdtrit(np.maximum(seeds - 1, 1), (1 + confidence) / 2))
