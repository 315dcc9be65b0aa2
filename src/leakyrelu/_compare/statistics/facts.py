"""What a careful reader should know beside the verdict, as data; `_report` puts it in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from leakyrelu._compare.data.task import TaskInfo
from leakyrelu._compare.settings import Settings
from leakyrelu._compare.statistics.candidates import Candidate
from leakyrelu._compare.trial import Trial
from leakyrelu.activations import Activation

__all__ = [
    "AtEdgeOfGrid",
    "Diverged",
    "Dropped",
    "EarlierVersion",
    "EveryActivationDiverged",
    "Fact",
    "Limit",
    "RopeWouldSettle",
    "RunsOfOthers",
    "SeedsOnly",
    "Undecided",
    "UndefinedForNetworks",
    "UndefinedForParts",
    "facts",
    "limit",
]

CEILING = 0.9995  # of the highest score there is: all that is reached by all
MOST_ROPE = 0.051  # that is suggested: larger differences matter to anybody


@dataclass(frozen=True)
class Limit:
    """The task can't tell activations apart: nobody beats a guess, or all are perfect."""

    kind: Literal["no better than a guess", "not detectably better than a guess", "all perfect"]
    score: float


@dataclass(frozen=True)
class UndefinedForParts:
    """No network has a score for some part of the data, so these seeds are left out."""

    seeds: Mapping[str, Sequence[int]]  # by part


@dataclass(frozen=True)
class UndefinedForNetworks:
    """Networks have no score where others of the seed have one, so their rates are out."""

    seeds: Mapping[tuple[Activation, float], Sequence[int]]  # by activation and learning rate


@dataclass(frozen=True)
class EveryActivationDiverged:
    """At this learning rate."""

    learning_rate: float


@dataclass(frozen=True)
class Diverged:
    """Activations with a seed that diverged at each learning rate of the grid."""

    activations: Sequence[Activation]
    lowest: float


@dataclass(frozen=True)
class AtEdgeOfGrid:
    """Activations whose best learning rate is the first or last of the grid."""

    which: Literal["lowest", "highest"]
    learning_rate: float
    activations: Sequence[Activation]


@dataclass(frozen=True)
class Undecided:
    """Activations by the number of seeds that would settle it, None for no number."""

    by_seeds: Mapping[int | None, Sequence[Activation]]
    takes_more_data: bool


@dataclass(frozen=True)
class RopeWouldSettle:
    """Activations that would be equivalent to the reference if small differences don't matter."""

    rope: float
    activations: Sequence[Activation]


@dataclass(frozen=True)
class EarlierVersion:
    """The experiment was made by an earlier version, which kept scores of seeds only."""


@dataclass(frozen=True)
class SeedsOnly:
    """Activations of which some results of test examples are not known."""

    activations: Sequence[Activation]


@dataclass(frozen=True)
class Dropped:
    """Activations that got fewer seeds, and how many."""

    seeds: Mapping[Activation, int]


@dataclass(frozen=True)
class RunsOfOthers:
    """The runs are of others: what is known of them decides what can be claimed."""

    known: Literal["results of examples", "scores of splits", "scores of seeds"]
    has_fixed_test: bool
    test_to_train: float
    chosen_by_test: bool


Fact = (
    UndefinedForParts
    | UndefinedForNetworks
    | EveryActivationDiverged
    | Diverged
    | AtEdgeOfGrid
    | Undecided
    | RopeWouldSettle
    | EarlierVersion
    | SeedsOnly
    | Dropped
    | RunsOfOthers
)


def limit(task: TaskInfo, trained: Sequence[Candidate]) -> Limit | None:
    """Say if nobody is better than a guess that takes no network, or if nobody can be better."""
    if task.baseline is None or not task.metric.guess or not trained:
        return None
    scores = [c.score for c in trained]
    if not any(task.metric.exceeds(score.mean, task.baseline) for score in scores):
        return Limit("no better than a guess", task.baseline)
    if all(score.low <= task.baseline for score in scores):  # not of one seed, whose is NaN
        return Limit("not detectably better than a guess", task.baseline)
    if min(score.mean for score in scores) >= CEILING * task.metric.high:
        return Limit("all perfect", task.metric.high)
    return None


def facts(
    task: TaskInfo,
    settings: Settings,
    candidates: Sequence[Candidate],
    trials: Sequence[Trial],
    rope: float,
) -> list[Fact]:
    """Collect what should be known beside the verdict."""
    trained = [c for c in candidates if not c.lost]
    is_limited = limit(task, trained) is not None
    found: list[Fact] = [EarlierVersion()] if settings.is_of_earlier_version else []
    unknown = [c.activation for c in trained if not all(trial.results for trial in c.trials)]
    if unknown and not found:
        found.append(SeedsOnly(unknown))
    found += _undefined(trials)
    grid = settings.learning_rates
    lost = {trial.key[:2] for trial in trials if trial.diverged}
    found += [
        EveryActivationDiverged(rate)
        for rate in grid
        if trained and all((activation, rate) in lost for activation in settings.activations)
    ]
    if diverged := [c.activation for c in candidates if c.lost == "diverged"]:
        found.append(Diverged(diverged, grid[0]))
    edges: dict[Literal["lowest", "highest"], float] = {"lowest": grid[0], "highest": grid[-1]}
    for which, edge in edges.items():
        at_edge = [c.activation for c in candidates if c.learning_rate == edge]
        if at_edge and len(grid) > 1:
            found.append(AtEdgeOfGrid(which, edge, at_edge))
    undecided = [c for c in candidates if c.verdict == "undecided" and not c.dropped]
    if settings.is_of_earlier_version:  # which gets no more seeds
        undecided = []
    if any(len(c.trials) > 1 for c in undecided):
        needs = sorted({c.seeds_to_decide for c in undecided}, key=lambda seeds: seeds or math.inf)
        by_seeds = {
            seeds: [c.activation for c in undecided if c.seeds_to_decide == seeds]
            for seeds in needs
        }
        # Where nothing is learned, or nothing is left to learn, more of the same won't help.
        found.append(Undecided(by_seeds, takes_more_data=not is_limited))
    if not is_limited and (hint := _rope_that_would_settle(task, settings, trained, rope)):
        found.append(hint)
    dropped = {
        c.activation: len(c.trials)
        for c in candidates
        if c.dropped and c.verdict not in (None, "undecided")
    }
    if dropped:
        found.append(Dropped(dropped))
    return found


def _undefined(trials: Sequence[Trial]) -> list[Fact]:
    """Tell which scores are not defined though the network has trained."""
    found: list[Fact] = []
    undefined = [trial for trial in trials if trial.undefined]
    scored = {trial.seed for trial in trials if trial.is_scored}
    of_parts = {
        part: sorted(
            {t.seed for t in undefined if math.isnan(getattr(t, f"{part}_score"))} - scored
        )
        for part in ("validation", "test")
    }
    if any(of_parts.values()):
        found.append(UndefinedForParts({part: seeds for part, seeds in of_parts.items() if seeds}))
    of_networks: dict[tuple[Activation, float], list[int]] = {}
    for trial in undefined:
        if trial.seed in scored:
            of_networks.setdefault((trial.activation, trial.learning_rate), []).append(trial.seed)
    if of_networks:
        found.append(UndefinedForNetworks(of_networks))
    return found


def _rope_that_would_settle(
    task: TaskInfo, settings: Settings, trained: Sequence[Candidate], rope: float
) -> RopeWouldSettle | None:
    """Find which undecided differences would count as none if small ones did.

    None if none would, or if others were no longer decided.
    """
    compared = {c.activation: c.difference for c in trained if c.difference}
    now = {c.activation: c.verdict for c in trained}
    mean = next((c.score.mean for c in trained if c.activation == settings.reference), math.nan)
    most = MOST_ROPE * (1 if math.isfinite(task.metric.high) else abs(mean))
    for name, word in now.items():
        if word in ("better", "worse"):  # and it is to stay so
            most = min(most, abs(compared[name].low), abs(compared[name].high))
    enough = {
        name: _rounded_up(max(-compared[name].low, compared[name].high))
        for name, word in now.items()
        if word == "undecided" and math.isfinite(compared[name].reach)
    }
    ropes = sorted(needed for needed in enough.values() if 0 < needed < most)
    if not ropes:
        return None
    chosen = ropes[(len(ropes) - 1) // 2]  # settles half of what can be settled, or more
    return RopeWouldSettle(chosen, [name for name in enough if enough[name] <= chosen])


def _rounded_up(rope: float) -> float:
    """Round up to one digit: 0.0132 to 0.02."""
    unit = 10.0 ** math.floor(math.log10(rope)) if rope > 0 else 1.0
    return float(f"{math.ceil(rope / unit * (1 + 1e-9)) * unit:.1g}")
