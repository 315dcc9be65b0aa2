"""How often the claims of a comparison are right, how often wrong: on networks that were trained.

python benchmarks/verdict_corpus.py     (once, makes the networks)
python benchmarks/verdict_claims.py [LAW ...]

Of each law and number of trainings: of the differences there are, how many are claimed; in how
many experiments anything false is claimed, or some interval misses, of these data (means of further
trainings on the same data set, on fresh examples) and of the source (means over data sets); by the
plain paired t, by today's corrected t, and by examples and trainings crossed. What is known of the
truth is itself uncertain, as is allowed for.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import harness
import numpy as np
import numpy.typing as npt
from leakyrelu.compare import crossed
from scipy import special, stats
from verdict_corpus import CANDIDATES, FOLDS, LAWS

from leakyrelu._compare.statistics.crossed import Difference

Array = npt.NDArray[np.float64]
FOLDER = Path(__file__).parents[1] / "corpus"
LOOKS = (5, 10, 20, 40)


@dataclass(frozen=True)
class Experiments:
    """Experiments of one law, each candidate at one learning rate.

    Attributes
    ----------
    tables : ndarray, shape (experiments, candidates, trainings, examples)
        NaN where an example was not tested.
    truth, doubt : ndarray, shape (experiments, candidates, candidates)
        Differences on fresh examples, and the variance of what is known of them.
    step : float
    """

    tables: npt.NDArray[np.float32]
    truth: Array
    doubt: Array
    step: float

    @property
    def source(self) -> tuple[Array, Array]:
        """Differences to be expected of a data set of the source, and their doubt."""
        mean = self.truth.mean(0)
        return mean, self.truth.var(0, ddof=1) / len(self.truth) + self.doubt.mean(0) / 10


def table_of(results: Array, folds: npt.NDArray[np.int8]) -> npt.NDArray[np.float32]:
    """Return (candidates, trainings, examples) of (candidates, repeats, examples)."""
    tested = folds[:, None] == np.arange(FOLDS)[:, None]  # repeats, folds, examples
    table = np.where(tested, results[:, :, None], np.nan).astype(np.float32)
    return table.reshape(len(results), -1, results.shape[-1])


def load(name: str, rate: int | None = None) -> Experiments:
    """Read the experiments of a law; without a rate, each candidate chose its own."""
    file = np.load(FOLDER / f"{name}.npz")
    results, folds, validation = file["results"], file["folds"], file["validation"]
    shape = results.shape[:2]
    chosen = np.full(shape, rate or 0)
    if rate is None:  # by the first ten trainings
        chosen = validation[:, :, :, :2].mean((3, 4)).argmax(2)
    e, c = np.indices(shape)
    own = results[e, c, chosen].astype(np.float32)
    tables = np.stack([table_of(r, f) for r, f in zip(own, folds, strict=True)])
    by_training = file["fresh_trainings"][e, c, chosen].astype(float)
    by_example = file["fresh_examples"][e, c, chosen].astype(np.float32)
    means = by_training.mean(2)
    truth = means[:, :, None] - means[:, None]

    def doubt(values: Array) -> Array:
        return np.stack(
            [(each[:, None] - each[None]).var(2, ddof=1) / each.shape[1] for each in values]
        )

    step = FOLDS / results.shape[-1] if results.dtype == np.int8 else 0.0
    return Experiments(tables, truth, doubt(by_training) + doubt(by_example), step)


Method = Callable[[npt.NDArray[np.float32], float], Difference]


def plain(values: npt.NDArray[np.float32], step: float) -> Difference:
    """Return the mean over trainings with the plain t interval."""
    means = np.nanmean(values, axis=1)
    spread = max(float(means.var(ddof=1)), step**2 / 6)
    return Difference(float(means.mean()), np.sqrt(spread / len(means)), len(means) - 1)


def corrected(values: npt.NDArray[np.float32], step: float) -> Difference:
    """Return it with Nadeau and Bengio's correction."""
    found = plain(values, step)
    return Difference(found.mean, found.error * np.sqrt(1 + len(values) / 3), found.freedom)


def these_data(values: npt.NDArray[np.float32], step: float) -> Difference:
    """Return it as it is claimed of these data."""
    return crossed.compared(values, step=step, shared=crossed.SHARED["these data"])


def the_source(values: npt.NDArray[np.float32], step: float) -> Difference:
    """Return it as it is claimed for the source."""
    return crossed.compared(values, step=step, shared=crossed.SHARED["the source"])


def at_once(differences: dict[str, Difference], most: int) -> dict[str, crossed.Claim]:
    """Look once, and divide the 5% equally."""
    level = (1 - crossed.CONFIDENCE) / len(differences)
    return {
        name: crossed.Claim(d, level, d.verdict(level), most) for name, d in differences.items()
    }


def judged(
    claims: list[crossed.Claim], truth: Array, doubt: Array
) -> tuple[float, bool, list[bool]]:
    """Return the probability of a false claim, whether an interval misses, and what is right."""
    true_so_far, missed, right = 1.0, False, []
    for claim, true, variance in zip(claims, truth, doubt, strict=True):
        d = claim.difference
        reach = special.stdtrit(d.freedom, 1 - claim.level / 2) * np.hypot(d.error, variance**0.5)
        missed |= bool(abs(d.mean - true) > reach)
        sign = {"better": 1, "worse": -1}.get(claim.verdict, 0)
        right.append(bool(sign * true > 0))
        if sign:
            true_so_far *= special.ndtr(sign * true / variance**0.5)
    return 1 - true_so_far, missed, right


def rows_of(name: str, experiments: Experiments) -> list[list[str]]:
    """Return the rows of one law, a number of trainings and a method each."""
    count = experiments.tables.shape[1]
    names = list(CANDIDATES[1:])
    source, source_doubt = (part[1:, 0] for part in experiments.source)
    differ = np.array(["0.011" not in name for name in names])  # a twin
    found: dict[tuple[int, str], list[tuple[float, bool, list[bool]]]] = {}
    for tables, truth, doubt in zip(
        experiments.tables, experiments.truth, experiments.doubt, strict=True
    ):
        pairs = tables[1:] - tables[:1]
        for method in (plain, corrected, these_data, the_source):
            found_at = {
                most: {
                    n: method(values[:most], experiments.step)
                    for n, values in zip(names, pairs, strict=True)
                }
                for most in LOOKS
            }
            for most in LOOKS:
                if method in (plain, corrected):
                    ways = {method.__name__: at_once(found_at[most], most)}
                else:
                    looks = [(n, found_at[n]) for n in (most // 2, most) if n in found_at]
                    before = [(n, found_at[n]) for n in LOOKS if n <= most]
                    ways = {
                        f"{method.__name__}, planned": crossed.decide(looks, count - 1, most),
                        f"{method.__name__}, added to 10": crossed.decide(before, count - 1, 10),
                    }
                for way, claims in ways.items():
                    own = [claims[n] for n in names]
                    found.setdefault((most, way), []).append(
                        (
                            *judged(own, truth[1:, 0], doubt[1:, 0])[:2],
                            *judged(own, source, source_doubt),
                        )
                    )
    rows = []
    for (most, method), each in found.items():
        false, missed, false_source, missed_source = (
            np.array([one[part] for one in each], float) for part in range(4)
        )
        right = np.array([one[4] for one in each])[:, differ]

        def share(values: Array) -> str:
            sure = stats.binomtest(round(values.sum()), len(values)).proportion_ci(0.9).high
            return f"{values.mean():.1%} (< {sure:.1%})"

        rows.append(
            [
                f"{name}, {most}",
                method,
                f"{right.mean():.0%}",
                share(false),
                share(missed),
                share(false_source),
                share(missed_source),
            ]
        )
    return sorted(rows, key=lambda row: int(row[0].split(", ")[1]))


COLUMNS = (
    *("law, trainings", "method", "right claims"),
    *("false of these data", "misses these data", "false of the source", "misses the source"),
)


def chosen(name: str, experiments: Experiments) -> list[list[str]]:
    """Return what is said of the best: whether it is possible, and the regret within its bound."""
    names = list(CANDIDATES)
    rows = []
    for most in LOOKS:
        covered, sizes, kept, bounds, regrets, sure, hits, loss = ([] for _ in range(8))
        for tables, truth, doubt in zip(
            experiments.tables, experiments.truth, experiments.doubt, strict=True
        ):
            known: dict[tuple[str, str], Difference] = {}

            def between(one: str, other: str, tables=tables, known=known, most=most) -> Difference:
                if (one, other) not in known:
                    a, b = names.index(one), names.index(other)
                    d = these_data(tables[a, :most] - tables[b, :most], experiments.step)
                    known[one, other] = d
                    known[other, one] = Difference(-d.mean, d.error, d.freedom)
                return known[one, other]

            choice = crossed.choose(names, between)
            odds = crossed.probability_best(names, between)
            best = int(truth[:, 0].argmax())
            own = names.index(choice.name)
            covered.append(names[best] in choice.possible)
            sizes.append(len(choice.possible))
            noise = float(np.sqrt(doubt[best, own]))
            kept.append(truth[best, own] <= choice.regret + 1.645 * noise)
            bounds.append(choice.regret)
            regrets.append(truth[best, own])
            likely = max(odds, key=lambda n: odds[n])
            sure.append(odds[likely])
            hits.append(likely == names[best])
            loss.append(truth[best, names.index(likely)])
        rows.append(
            [
                f"{name}, {most}",
                f"{np.mean(covered):.1%}",
                f"{np.mean(sizes):.1f}",
                f"{np.mean(kept):.1%}",
                f"{np.mean(bounds):.4f}",
                f"{np.mean(regrets):.4f}",
                f"{np.mean(sure):.0%}",
                f"{np.mean(hits):.0%}",
            ]
        )
    return rows


def main() -> None:
    """Print both tables."""
    laws = [law for law in sys.argv[1:] or LAWS if (FOLDER / f"{law}.npz").exists()]
    print(harness.header(("leakyrelu", "numpy", "scipy")))
    rows, best = [], []
    for law in laws:
        rates = len(LAWS[law].rates)
        for rate in [*range(rates), None] if rates > 1 else [0]:
            label = law if rates == 1 else f"{law} " + ("chosen" if rate is None else f"@{rate}")
            experiments = load(law, rate)
            label += f" ({len(experiments.tables)})"
            rows += rows_of(label, experiments)
            best += chosen(label, experiments)
    print(harness.table(COLUMNS, rows))
    print(
        harness.table(
            (
                *("law, trainings", "best is in the set", "size of the set", "regret within bound"),
                *("bound", "regret", "probability best, said", "was the best"),
            ),
            best,
        )
    )


if __name__ == "__main__":
    main()
