"""Which trials speak for an activation at each look, and how much it differs from another then.

A learning rate is chosen by validation scores: rates race, and those that are clearly worse after 2
and 5 seeds get no more of them.

A seed whose examples give no network a score, as R² of targets that are all equal, is left out. A
score that is missing where other networks of the seed have one is the network's own failure: as
with one that diverges, to leave it out would flatter the activation, so its learning rate is out.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from leakyrelu._compare.settings import Settings
from leakyrelu._compare.statistics import crossed
from leakyrelu._compare.statistics.crossed import CONFIDENCE, Claim, Difference, Scope
from leakyrelu._compare.statistics.intervals import corrected, looks_before, shares_before
from leakyrelu._compare.trial import Key, Trial, unpacked
from leakyrelu._errors import InputError
from leakyrelu.activations import Activation

__all__ = ["Evidence"]

RACES = (2, 5)  # seeds after which learning rates are dropped
# A learning rate is out that is better than the best with less than this probability.
HARDLY_A_RATE = 0.1


class Evidence:
    """What the trials of an experiment show, look by look.

    Parameters
    ----------
    settings : Settings
    trials : sequence of Trial
        Those that are finished.
    score_step, clusters
        As in `leakyrelu._compare.data.task.TaskInfo`.

    Attributes
    ----------
    looks : list of int
        After how many seeds the experiment is looked at.
    shares : dict of int to float
        The share of the 5% that each look has.
    scope : {"these data", "these test examples"}
        What the first claim speaks of: networks trained on these data and new examples, or the
        examples that were tested alone.
    has_source : bool
        Whether anything can be said for the source of the data.
    """

    scope: Scope = "these data"
    has_source = True

    def __init__(
        self,
        settings: Settings,
        trials: Sequence[Trial],
        score_step: float = 0.0,
        clusters: npt.NDArray[np.int64] | None = None,
    ) -> None:
        self.settings = settings
        self.stored = {trial.key: trial for trial in trials}
        count = len(settings.seeds)
        if settings.is_of_earlier_version:
            self.looks = looks_before(count)
            shares = shares_before(count)
        else:
            self.looks = crossed.looks(count, settings.asked)
            shares = crossed.shares(self.looks, settings.planned)
        self.shares = dict(zip(self.looks, shares, strict=True))
        self._clusters = b"" if clusters is None else clusters.astype(np.int64).tobytes()
        self._scored_seeds = {trial.seed for trial in trials if trial.is_scored}
        self._race_step = self._coarseness(RACES[0], score_step)
        self._step = self._coarseness(self.looks[0], score_step)
        self._at: dict[tuple[Activation, int], tuple[Trial, ...]] = {}
        self._last: dict[Activation, int] = {}

    def _coarseness(self, seeds: int, score_step: float) -> float:
        """Return the steps in which scores come, if need be as the first seeds show them.

        A metric of the user's own may be a share of few examples, so that scores repeat. That two
        differences are the same then does not show that there is no noise.
        """
        first = self.settings.seeds[:seeds]
        trials = (trial for trial in self.stored.values() if trial.seed in first)
        scores = [trial.test_score for trial in trials if math.isfinite(trial.test_score)]
        each = np.unique(scores)
        if score_step or not 1 < len(each) < len(scores):
            return score_step
        return float(np.diff(each).min())

    # --- Learning rates --------------------------------------------------------------------------

    def tried(self, spec: Activation, look: int) -> list[Key]:
        """Return the trials that an activation needs up to a look, whether stored or not.

        If some are missing that are to choose among learning rates, they are these.
        """
        seeds = self.settings.seeds[:look]
        rates = list(self.settings.learning_rates)
        if self.settings.is_of_earlier_version:
            whole = [r for r in rates if self._are_stored((spec, r, seed) for seed in seeds)]
            return [(spec, rate, seed) for rate in whole or rates for seed in seeds]
        for race in (race for race in RACES if race < look):
            if len(rates) < 2:
                break
            keys = [(spec, rate, seed) for rate in rates for seed in seeds[:race]]
            if not self._are_stored(keys):
                return keys
            rates = self._left(spec, rates, seeds, race)
        return [(spec, rate, seed) for rate in rates for seed in seeds]

    def _left(
        self, spec: Activation, rates: Sequence[float], seeds: Sequence[int], race: int
    ) -> list[float]:
        """Return the rates that may be the best by validation scores.

        At them no network so far has diverged or failed to get a score.
        """
        scores: dict[float, npt.NDArray[np.float64]] = {}
        for rate in rates:
            known = [key for seed in seeds if (key := (spec, rate, seed)) in self.stored]
            if all(map(self._is_sound, known)):
                first = [(spec, rate, seed) for seed in seeds[:race]]
                scores[rate] = self._validation_scores(first)

        def may_be_best(rate: float) -> bool:
            if scores[rate].size < 2:  # other seeds give no network a score
                return True
            best = max(scores, key=lambda rate: float(scores[rate].mean()))
            # Of one value a training it is the plain paired t.
            differences = (scores[rate] - scores[best])[:, None]
            found = crossed.compared(differences, step=self._race_step)
            return found.probability_above() >= HARDLY_A_RATE

        return list(filter(may_be_best, scores))

    def judged(self, spec: Activation, look: int) -> list[Key]:
        """Return the trials that an activation is judged by at a look, whether stored or not.

        They are those `tried` until all of these are there. Then its learning rate is the one with
        the best mean validation score; there is no trial if no rate is left.
        """
        keys = self.tried(spec, look)
        if not keys or not self._are_stored(keys):
            return keys
        by_rate: dict[float, list[Key]] = {}
        for key in keys:
            by_rate.setdefault(key[1], []).append(key)
        sound = [each for each in by_rate.values() if all(map(self._is_sound, each))]
        return max(sound, key=lambda each: float(self._validation_mean(each)), default=[])

    def _are_stored(self, keys: Iterable[Key]) -> bool:
        return all(key in self.stored for key in keys)

    def _validation_scores(self, keys: Sequence[Key]) -> npt.NDArray[np.float64]:
        trials = (self.stored[key] for key in keys)
        return np.array([trial.validation_score for trial in trials if trial.is_scored])

    def _validation_mean(self, keys: Sequence[Key]) -> float:
        scores = self._validation_scores(keys)
        return float(scores.mean()) if scores.size else math.nan

    def _is_sound(self, key: Key) -> bool:
        """Whether a trial has scores, or lacks them as all others of its seed do."""
        trial = self.stored[key]
        return trial.is_scored or not (trial.diverged or trial.seed in self._scored_seeds)

    # --- Looks -----------------------------------------------------------------------------------

    def at(self, spec: Activation, look: int) -> tuple[Trial, ...]:
        """Return the trials that an activation is judged by at a look, of those with scores.

        At the learning rate of that look: a claim stays what it was when it was made.
        """
        if (spec, look) not in self._at:
            trials = (self.stored[key] for key in self.judged(spec, look))
            self._at[spec, look] = tuple(trial for trial in trials if trial.is_scored)
        return self._at[spec, look]

    @property
    def has_looked(self) -> bool:
        """Whether the trials of the first look are all there."""
        first = self.looks[0]
        each = (self.judged(spec, first) for spec in self.settings.activations)
        return all(map(self._are_stored, each))

    def last_look(self, spec: Activation) -> int:
        """Return the last look up to which all trials of an activation are there.

        Raises
        ------
        InputError
            If the first one is not complete.
        """
        if spec in self._last:
            return self._last[spec]
        last = 0
        for look in self.looks:
            if not self._are_stored(self.judged(spec, look)):
                break
            last = look
        if not last:
            found = sum(key[0] == spec for key in self.stored)
            raise InputError(
                f"the experiment has {found} trials of {spec}, fewer than its first round; run it "
                "again, it resumes where it stopped"
            )
        self._last[spec] = last
        return last

    def score(self, spec: Activation, look: int) -> Difference:
        """Return the mean test score."""
        return self._estimated(self.at(spec, look), (), 0.0)

    def difference(
        self,
        one: Activation,
        other: Activation,
        look: int,
        shared: float = 0.0,
        least: float = 0.0,
    ) -> Difference:
        """Return how much one is above the other at a look.

        `shared` and `least` as in `crossed.compared`.
        """
        return self._estimated(*self._paired(one, other, look), shared, least)

    def _paired(
        self, one: Activation, other: Activation, look: int
    ) -> tuple[Sequence[Trial], Sequence[Trial]]:
        """Return their trials, in pairs of the same seed."""
        return self.at(one, look), self.at(other, look)

    def _estimated(
        self, one: Sequence[Trial], other: Sequence[Trial], shared: float, least: float = 0.0
    ) -> Difference:
        if all(trial.results for trial in (*one, *other)):
            results = (tuple(trial.results for trial in each) for each in (one, other))
            return _compared(*results, self._step, shared, least, self._clusters)
        scores = np.array([trial.test_score for trial in one])
        if other:
            scores -= [trial.test_score for trial in other]
        return self._of_scores(scores, least)

    def _of_scores(self, scores: npt.NDArray[np.float64], least: float) -> Difference:
        return corrected(scores, self._step)

    def least_spread(self, pairs: Iterable[tuple[Activation, Activation]], look: int) -> float:
        """Return what the variance between trainings of these pairs is taken for at least."""
        both = (zip(*self._paired(*pair, look), strict=True) for pair in pairs)
        return crossed.least_spread([a.test_score - b.test_score for a, b in each] for each in both)

    def claims(
        self,
        pairs: Sequence[tuple[Activation, Activation]],
        count: int,
        rope: float,
        shared: float = 0.0,
        until: int | None = None,
    ) -> dict[tuple[Activation, Activation], Claim]:
        """Decide the differences of pairs at all looks so far.

        Parameters
        ----------
        pairs : sequence of (Activation, Activation)
        count : int
            How many differences there are in all, those of the lost included.
        rope, shared : float
        until : int, optional
            The last look.
        """
        each = []
        for look in self.looks:
            if until is not None and look > until:
                break
            own = [
                pair
                for pair in pairs
                if all(self.last_look(spec) >= look and self.at(spec, look) for spec in pair)
            ]
            least = self.least_spread(own, look)
            each.append((look, {p: self.difference(*p, look, shared, least) for p in own}))
        spent = [self.shares[look] for look, _ in each]
        return crossed.decide(each, count, self.settings.planned, rope, spent)

    def level(self, look: int) -> float:
        """Return what of the 5% a look has."""
        return (1 - CONFIDENCE) * self.shares[look]


@functools.lru_cache(maxsize=4096)
def _compared(
    one: tuple[bytes, ...],
    other: tuple[bytes, ...],
    step: float,
    shared: float,
    least: float,
    clusters: bytes,
) -> Difference:
    values = np.array(list(map(unpacked, one)), np.float64)
    if other:
        values -= list(map(unpacked, other))
    examples = np.frombuffer(clusters, np.int64) if clusters else None
    return crossed.compared(values, examples=examples, step=step, shared=shared, least=least)
