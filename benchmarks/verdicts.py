"""How often the verdicts of `compare` are wrong, how often right, and what they cost.

python benchmarks/verdicts.py [--quick] [trained] [drawn] [intervals]

Experiments are run by the very functions of `leakyrelu._compare.statistics`: on networks that are
trained, each experiment with a data set of its own, and on scores that are drawn.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import harness
import numpy as np
from joblib import Parallel, delayed
from scipy import stats
from verdict_scores import SOURCES, Array, Scores, drawn, trained

from leakyrelu._compare.settings import DEFAULT_ACTIVATIONS, Settings, make_settings
from leakyrelu._compare.statistics.candidates import candidates
from leakyrelu._compare.statistics.intervals import TEST_TO_TRAIN
from leakyrelu._compare.statistics.rounds import wanted
from leakyrelu._compare.trial import Key, Trial

SIX = ("relu", "leaky_relu:0.01", "leaky_relu:0.2", "elu", "gelu", "silu")


@dataclass(frozen=True)
class Outcome:
    """What came of one experiment, or the mean over many.

    `false`: something is called better or worse that is not, or equivalent that is not.
    `missed`: some interval of a difference misses the true one. `right`: of the candidates that
    differ from the reference, how many are called so, the right way. `best`: who is recommended
    is the best in truth. `short`: how far the recommended is below the best.
    """

    false: float
    missed: float
    right: float
    best: float
    short: float
    networks: float
    seeds: float


def in_rounds(settings: Settings, scores: Scores, number: int, rope: float = 0.0) -> Outcome:
    """Run one experiment as `compare` does."""
    specs, rates = settings.activations, settings.learning_rates

    def trial_of(key: Key) -> Trial:
        place = (number, specs.index(key[0]), rates.index(key[1]), key[2])
        return Trial(*key, scores.validation[place], scores.test[place], 1.0, [], [])

    trials: list[Trial] = []
    while keys := wanted(settings, trials, scores.step, rope):
        trials += [trial_of(key) for key in keys]
    found = candidates(settings, trials, scores.step, rope)
    chosen = [rates.index(c.learning_rate) for c in found]
    differences = [c.difference for c in found if c.difference]
    return _judge(
        scores.truth[np.arange(len(specs)), chosen],
        np.array([d.low for d in differences]),
        np.array([d.high for d in differences]),
        int(np.argmax([c.probability_best or 0.0 for c in found])),
        len(trials),
        float(np.mean([len(c.trials) for c in found])),
        rope,
    )


def at_once(settings: Settings, scores: Scores, number: int, rope: float = 0.0) -> Outcome:
    """Run one experiment with all seeds at all rates, and look once, at the end."""
    validation, test = scores.validation[number], scores.test[number]
    count, rates, seeds = test.shape
    chosen = validation.mean(axis=2).argmax(axis=1)
    own = test[np.arange(count), chosen]
    differences = own[1:] - own[0]
    variance = np.maximum(differences.var(axis=1, ddof=1), scores.step**2 / 6)
    quantile = stats.t.isf(0.05 / 2 / (count - 1), seeds - 1)
    reach = quantile * np.sqrt((1 / seeds + TEST_TO_TRAIN) * variance)
    mean = differences.mean(axis=1)
    truth = scores.truth[np.arange(count), chosen]
    best = int(own.mean(axis=1).argmax())
    return _judge(truth, mean - reach, mean + reach, best, count * rates * seeds, seeds, rope)


def _judge(
    truth: Array, low: Array, high: Array, best: int, networks: float, seeds: float, rope: float
) -> Outcome:
    true = truth[1:] - truth[0]
    true[np.abs(true) < 1e-12] = 0.0
    false = ((low > rope) & (true <= 0)) | ((high < -rope) & (true >= 0))
    false |= (low > -rope) & (high < rope) & (np.abs(true) >= rope)
    differ = np.abs(true) > rope
    found = np.where(true > 0, low > rope, high < -rope)[differ]
    return Outcome(
        bool(false.any()),
        bool(((low > true) | (high < true)).any()),
        float(found.mean()) if differ.any() else np.nan,
        truth[best] == truth.max(),
        truth.max() - truth[best],
        networks,
        seeds,
    )


def mean_outcome(
    run: Callable[..., Outcome], settings: Settings, scores: Scores, rope: float = 0.0
) -> Outcome:
    """Run every experiment of a table of scores, on all cores."""
    count = len(scores.test)

    def some(part: Sequence[int]) -> list[Outcome]:
        return [run(settings, scores, number, rope) for number in part]

    parts = np.array_split(np.arange(count), 8)
    each = [
        one
        for several in Parallel(n_jobs=-1)(delayed(some)(part.tolist()) for part in parts)
        for one in several
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of no candidate that differs
        return Outcome(
            *(np.nanmean([getattr(one, field.name) for one in each]) for field in fields(Outcome))
        )


def settings_for(candidates: int, rates: int, seeds: int) -> Settings:
    """Return settings; only how many there are of each thing matters here."""
    specs = [*DEFAULT_ACTIVATIONS, *(f"leaky_relu:{10 + i}" for i in range(candidates))]
    grid = [0.001 * 3**i for i in range(rates)]
    return make_settings("simulated", specs[:candidates], seeds, 1, grid, depth=1, width=1)


def compared(name: str, scores: Scores, unit: float = 1.0, rope: float = 0.0) -> list[list[str]]:
    """Return the rows of both designs: all at once, and in rounds."""
    experiments, count, rates, seeds = scores.test.shape
    settings = settings_for(count, rates, seeds)
    equal = np.ptp(scores.truth, axis=0).max() < 1e-9
    rows = []
    for design, run in (("all at once", at_once), ("rounds", in_rounds)):
        o = mean_outcome(run, settings, scores, rope)
        sure = stats.binomtest(round(o.false * experiments), experiments).proportion_ci().high
        rows.append(
            [
                name if run is at_once else "",
                design,
                f"{o.false:.1%} (< {sure:.1%})",
                f"{o.missed:.1%}",
                "" if np.isnan(o.right) else f"{o.right:.0%}",
                "" if equal else f"{o.best:.0%}",
                "" if equal else f"{unit * o.short:.2f}",
                f"{o.seeds:.1f}",
                f"{o.networks:.0f}",
            ]
        )
    return rows


COLUMNS = (
    "experiments",
    "design",
    "any false claim",
    "interval misses",
    "right claims",
    "best is recommended",
    "short of best",
    "seeds a candidate",
    "networks",
)


def on_trained(quick: bool) -> dict[str, Scores]:
    """Print the table of trained networks; return scores of which no candidate is better."""
    experiments = 40 if quick else 400
    rows, null = [], {}
    same = trained(SOURCES[0], ["leaky_relu:0.2"] * 6, experiments, 10)
    rows += compared(f"{SOURCES[0].name}, six times leaky_relu:0.2", same)
    shared = []
    for source in SOURCES:
        scores = trained(source, SIX, experiments, 10)
        null[source.name] = scores.made_equal()
        rows += compared(f"{source.name}, made equal", null[source.name])
        rows += compared(f"{source.name}, as they are", scores, unit=100)
        shared.append([source.name, *_shared(scores)])
    print(f"{experiments} experiments a row, 6 candidates, 2 learning rates, 10 seeds at most:\n")
    print(harness.table(COLUMNS, rows))
    print("Variance that splits of one data set share, over that between its seeds:\n")
    print(harness.table(("networks", "scores", "paired differences"), shared))
    return null


def _shared(scores: Scores) -> tuple[str, str]:
    found = []
    for values in (scores.test[:, 1:, 1], (scores.test[:, 1:] - scores.test[:, :1])[:, :, 1]):
        within = values.var(axis=2, ddof=1).mean(axis=0)
        of_means = values.mean(axis=2).var(axis=0, ddof=1)
        ratio = of_means / within - 1 / values.shape[2]
        found.append(f"{ratio.min():.2f} to {ratio.max():.2f}")
    return found[0], found[1]


def on_drawn(quick: bool) -> None:
    """Print the tables of scores that are drawn."""
    experiments = 50 if quick else 600
    equal = [0.0] * 8
    one = [0.0] * 7 + [2.0]
    steps = [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5]
    dead = [0.0, 0.5, 4.5, 5.0, 5.0, 5.2, 5.5, 6.0]
    losers = [0.0] * 4 + [-3.0] * 4
    spreads = [1.0, 0.3, 0.5, 1.0, 1.0, 2.0, 3.0, 3.0]
    grid = (-1.0, 0.0, -0.3)
    cases: dict[str, tuple[Scores, float]] = {
        f"equal, {seeds} seeds": (drawn(equal, experiments, seeds), 0.0)
        for seeds in (2, 3, 5, 10, 20, 40)
    }
    cases |= {
        "equal, 5% shared": (drawn(equal, experiments, 10, shared=0.05), 0.0),
        "equal, heavy tails": (drawn(equal, experiments, 10, noise="heavy tails"), 0.0),
        "equal, heavy tails, 5% shared": (
            drawn(equal, experiments, 10, noise="heavy tails", shared=0.05),
            0.0,
        ),
        "equal, skewed": (drawn(equal, experiments, 10, noise="skewed"), 0.0),
        "equal, skewed, 5% shared": (
            drawn(equal, experiments, 10, noise="skewed", shared=0.05),
            0.0,
        ),
        "equal, spreads 0.3 to 3": (drawn(equal, experiments, 10, spreads=spreads), 0.0),
        "equal, in steps of 1": (drawn(equal, experiments, 10, step=1.0), 0.0),
        "equal, in steps of 3": (drawn(equal, experiments, 10, step=3.0), 0.0),
        "2 equal candidates": (drawn(equal[:2], experiments, 10), 0.0),
        "20 equal candidates": (drawn([0.0] * 20, experiments, 10), 0.0),
    }
    for seeds in (10, 20, 40):
        cases[f"one is better by 2, {seeds} seeds"] = drawn(one, experiments, seeds), 0.0
        cases[f"half are worse by 3, {seeds} seeds"] = drawn(losers, experiments, seeds), 0.0
        cases[f"0, 0.5, ... 3.5, {seeds} seeds"] = drawn(steps, experiments, seeds, rates=grid), 0.0
        cases[f"the reference fails, {seeds} seeds"] = (
            drawn(dead, experiments, seeds, rates=grid),
            0.0,
        )
    cases |= {
        "0, 0.5, ... 3.5, 20 seeds, rope 1": (drawn(steps, experiments, 20, rates=grid), 1.0),
        "equal, 20 seeds, rope 2": (drawn(equal, experiments, 20), 2.0),
    }
    rows = [
        row for name, (scores, rope) in cases.items() for row in compared(name, scores, 1, rope)
    ]
    print(f"{experiments} experiments a row, 8 candidates, 3 learning rates, 10 seeds at most")
    print("where nothing else is said; splits share 25% of the variance, as Nadeau and Bengio have")
    print("it; in standard deviations of a paired difference:\n")
    print(harness.table(COLUMNS, rows))


METHODS = ("t", "percentile bootstrap", "BCa bootstrap", "studentized bootstrap")
RESAMPLES = 2000


def on_intervals(quick: bool, null: dict[str, Scores]) -> None:
    """Print how often some interval of an experiment misses the truth, by method."""
    experiments = 60 if quick else 1000
    tables = {}
    for noise in ("normal", "skewed"):
        for seeds in (5, 10, 20):
            scores = drawn([0.0] * 8, experiments, seeds, noise=noise, rates=[0.0])
            tables[f"drawn, {noise}, {seeds} seeds"] = scores, 0, seeds
    for name, scores in null.items():
        for seeds in (5, 10):
            tables[f"{name}, {seeds} seeds"] = scores, 1, seeds
    calls = [delayed(_errors)(*table) for table in tables.values()]
    rows = [
        [name, *(f"{error:.1%}" for error in errors)]
        for name, errors in zip(tables, Parallel(n_jobs=-1)(calls), strict=True)
    ]
    print("How often some interval of an experiment misses the truth, where 5% may:\n")
    print(harness.table(("differences", *METHODS, *(f"{m}, widened" for m in METHODS)), rows))


def _errors(scores: Scores, rate: int, seeds: int) -> list[float]:
    """Return the error of each method, and of each widened as Nadeau and Bengio widen t."""
    own = scores.test[:, :, rate, :seeds]
    experiments, count, _ = own.shape
    differences = own[:, 1:] - own[:, :1]
    confidence = 1 - 0.05 / (count - 1)
    wide = np.sqrt(1 + TEST_TO_TRAIN * seeds)
    missed = []
    for part in np.array_split(differences, max(1, experiments // 50)):
        values = part.reshape(-1, seeds)
        mean = values.mean(axis=1)
        plain = _intervals(values, confidence, scores.step)
        widened = [(mean - wide * (mean - low), mean + wide * (high - mean)) for low, high in plain]
        outside = [(low > 0) | (high < 0) for low, high in plain + widened]
        missed.append(np.reshape(outside, (2 * len(METHODS), -1, count - 1)).any(axis=2))
    return [float(error) for error in np.concatenate(missed, axis=1).mean(axis=1)]


def _intervals(values: Array, confidence: float, step: float) -> list[tuple[Array, Array]]:
    """Return the interval of each row's mean by each method, none of them widened."""
    seeds = values.shape[1]
    mean = values.mean(axis=1)
    error = np.sqrt(np.maximum(values.var(axis=1, ddof=1), step**2 / 6) / seeds)
    reach = stats.t.ppf((1 + confidence) / 2, seeds - 1) * error
    found = [(mean - reach, mean + reach)]
    before = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # BCa has no interval where all values are equal
        for method in ("percentile", "BCa"):
            before = stats.bootstrap(
                (values,),
                np.mean,
                axis=1,
                confidence_level=confidence,
                method=method,
                n_resamples=0 if before else RESAMPLES,
                bootstrap_result=before,
                random_state=0,
            )
            found.append(tuple(before.confidence_interval))
        again = values[:, np.random.default_rng(0).integers(0, seeds, (RESAMPLES, seeds))]
        spread = np.sqrt(np.maximum(again.var(axis=2, ddof=1), step**2 / 6) / seeds)
        ratios = np.nan_to_num((again.mean(axis=2) - mean[:, None]) / spread)
        tail = (1 - confidence) / 2
        low, high = np.quantile(ratios, (tail, 1 - tail), axis=1, method="nearest")
        found.append((mean - high * error, mean - low * error))
    return found


def main() -> None:
    """Print all tables, or those that are asked for."""
    quick = "--quick" in sys.argv
    parts = [part for part in ("trained", "drawn", "intervals") if part in sys.argv]
    parts = parts or ["trained", "drawn", "intervals"]
    print(harness.header(("leakyrelu", "numpy", "scipy", "torch")))
    null = on_trained(quick) if {"trained", "intervals"} & set(parts) else {}
    if "drawn" in parts:
        on_drawn(quick)
    if "intervals" in parts:
        on_intervals(quick, null)


if __name__ == "__main__":
    main()
