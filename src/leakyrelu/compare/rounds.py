"""Which trials an experiment still needs: seeds are added in rounds, for those that need them.

In the first round every activation trains at every learning rate, and then chooses one by its
validation scores; later rounds double the seeds and train at that one. After each round an
activation goes on only as long as more seeds may change what is said of it: it may still be the
best, or its difference to the reference is undecided and may yet be decided.

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

from leakyrelu.compare.intervals import (
    CONFIDENCE,
    TEST_TO_TRAIN,
    corrected_interval,
    mean_and_variance,
)
from leakyrelu.compare.plan import Settings
from leakyrelu.compare.trial import Key, Trial

__all__ = ["at_look", "confidence_at", "looks", "seeds_to_decide", "wanted"]

FEWEST_SEEDS = 4  # in a round; fewer choose no learning rate and decide nothing
MOST_SEEDS = 1000  # that anybody would run
# What all seeds would show with less than this probability, given those so far, is not waited
# for. No claim rests on it: it costs the chance to have missed something.
HARDLY = 0.01


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


def at_look(settings: Settings, stored: Mapping[Key, Trial], spec: str, seeds: int) -> list[Key]:
    """Return the trials that an activation is judged by at a look, whether stored or not.

    Until all trials of the first round are there, these are they. Then its learning rate is the
    one with the best mean validation score over the seeds of the first round, among those at
    which none of the seeds so far has diverged; there is no trial if there is no such rate.
    """
    all_seeds = settings.seeds
    first = all_seeds[: looks(len(all_seeds))[0]]
    tried = [(spec, rate, seed) for rate in settings.learning_rates for seed in first]
    if any(key not in stored for key in tried):
        return tried

    def keys(rate: float) -> list[Key]:
        return [(spec, rate, seed) for seed in all_seeds[:seeds]]

    def validation_score(rate: float) -> float:
        return float(np.mean([stored[spec, rate, seed].validation_score for seed in first]))

    sound = [
        rate
        for rate in settings.learning_rates
        if all(_is_sound(stored[key]) for key in keys(rate) if key in stored)
    ]
    return keys(max(sound, key=validation_score)) if sound else []


def _is_sound(trial: Trial) -> bool:
    return math.isfinite(trial.validation_score) and math.isfinite(trial.test_score)


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
        As in `leakyrelu.compare.task.TaskInfo`.
    rope : float, default 0.0
        The smallest difference that matters, in the unit of the score.
    """
    stored = {trial.key: trial for trial in trials}
    racing = list(settings.activations)
    for look in looks(len(settings.seeds)):
        keys = {spec: at_look(settings, stored, spec, look) for spec in racing}
        missing = [key for each in keys.values() for key in each if key not in stored]
        if missing:
            return missing
        scores = {
            spec: np.array([stored[key].test_score for key in each])
            for spec, each in keys.items()
            if each
        }
        racing = _going_on(settings, scores, look, score_step, rope)
    return []


def _going_on(
    settings: Settings,
    scores: Mapping[str, npt.NDArray[np.float64]],
    look: int,
    step: float,
    rope: float,
) -> list[str]:
    """Return who gets the seeds of the next round, nobody if none of them needs any."""
    reference, most = settings.reference, len(settings.seeds)
    comparisons = len(settings.activations) - 1
    if look == most or not scores:
        return []

    def may_be_best(spec: str) -> bool:
        return all(
            _probability_above(rope, scores[spec] - scores[rival], most, step) >= HARDLY
            for rival in scores
            if rival != spec
        )

    def may_be_decided(spec: str) -> bool:
        if reference not in scores:
            return False
        differences = scores[spec] - scores[reference]
        confidence = confidence_at(look, most, comparisons)
        now = corrected_interval(differences, confidence=confidence, step=step)
        if now.verdict(rope) != "undecided":
            return False
        _, variance = mean_and_variance(differences, step)
        reach = _reach(variance, most, comparisons)
        better, worse = (
            _probability_above(rope + reach, sign * differences, most, step) for sign in (1, -1)
        )
        within = 0.0
        if reach < rope:
            ends = (reach - rope, rope - reach)
            low, high = (_probability_above(end, differences, most, step) for end in ends)
            within = low - high
        return better + worse + within >= HARDLY

    contenders = [spec for spec in scores if may_be_best(spec)]
    open_race = contenders if len(contenders) > 1 else []
    needy = {
        spec for spec in scores if spec != reference and (spec in open_race or may_be_decided(spec))
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
