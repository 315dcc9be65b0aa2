"""Experiments that are drawn, of candidates of which none is better: every claim is false.

python benchmarks/verdict_drawn.py [experiments]
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import harness
import numpy as np
import numpy.typing as npt
from leakyrelu.compare import crossed
from scipy import stats
from verdict_claims import corrected, plain, the_source, these_data
from verdict_corpus import FOLDS, folds_of

Array = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator, int, int, int], Array]


def bits(rng: np.random.Generator, count: int, trainings: int, examples: int) -> Array:
    """Right or wrong: some examples are hard, some trainings bad, each a bit for all candidates."""
    hard = rng.standard_normal(examples) + 0.5 * rng.standard_normal((count, 1, examples))
    bad = 0.2 * rng.standard_normal((count, trainings, 1))
    own = 0.5 * rng.standard_normal((count, trainings, examples))
    return (0.8 + hard + bad + own > 0).astype(float)


def near(rng: np.random.Generator, count: int, trainings: int, examples: int) -> Array:
    """All but identical candidates: one test result in 200 differs."""
    common = (rng.standard_normal((1, trainings, examples)) > -0.8).astype(float)
    flipped = rng.random((count, trainings, examples)) < 0.005
    return np.where(flipped, 1 - common, common)


def failing(rng: np.random.Generator, count: int, trainings: int, examples: int) -> Array:
    """Of the trainings of each candidate one in ten learns nothing."""
    found = bits(rng, count, trainings, examples)
    failed = rng.random((count, trainings, 1)) < 0.1
    return np.where(failed, rng.random((1, 1, examples)) < 0.5, found)


def seldom(rng: np.random.Generator, count: int, trainings: int, examples: int) -> Array:
    """One training in a hundred learns nothing."""
    found = bits(rng, count, trainings, examples)
    failed = rng.random((count, trainings, 1)) < 0.01
    return np.where(failed, rng.random((1, 1, examples)) < 0.5, found)


def losses(noise: Callable[[np.random.Generator, tuple[int, ...]], Array]) -> Draw:
    """Return losses whose parts of examples, trainings and cells have some noise."""

    def draw(rng: np.random.Generator, count: int, trainings: int, examples: int) -> Array:
        of_examples = noise(rng, (count, 1, examples))
        of_trainings = 0.3 * noise(rng, (count, trainings, 1))
        return np.asarray(of_examples + of_trainings + noise(rng, (count, trainings, examples)))

    return draw


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Return normal numbers."""
    return rng.standard_normal(shape)


def heavy(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Return numbers of Student's t with three degrees of freedom."""
    return rng.standard_t(3, shape)


def skewed(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Return exponential numbers."""
    return rng.exponential(size=shape)


def lopsided(rng: np.random.Generator, count: int, trainings: int, examples: int) -> Array:
    """Return losses of which all candidates' but the first's are skewed by trainings that fail."""
    found = 0.5 * losses(normal)(rng, count, trainings, examples)
    failed = rng.random((count, trainings, 1)) < 0.1
    failed[0] = False
    mean = np.where(np.arange(count) > 0, 0.1, 0.0)[:, None, None]
    return np.asarray(found + 2.0 * (failed - mean))


def uneven(rng: np.random.Generator, count: int, trainings: int, examples: int) -> Array:
    """Return losses of which some candidates' vary ten times as much as others'."""
    found = losses(normal)(rng, count, trainings, examples)
    return np.asarray(found * np.geomspace(1, 10, count)[::-1, None, None])


LAWS: dict[str, tuple[Draw, float]] = {
    "bits": (bits, 1.0),
    "bits, all but identical": (near, 1.0),
    "bits, one training in 10 fails": (failing, 1.0),
    "bits, one in 100 fails": (seldom, 1.0),
    "normal losses": (losses(normal), 0.0),
    "uneven losses": (uneven, 0.0),
    "heavy tails": (losses(heavy), 0.0),
    "skewed": (losses(skewed), 0.0),
    "one in 10 of all but the reference fails": (lopsided, 0.0),
}


def one(law: str, count: int, trainings: int, examples: int, number: int) -> list[bool]:
    """Return whether an experiment makes a false claim, by each method."""
    draw, unit = LAWS[law]
    rng = np.random.default_rng([number, count, trainings, examples])
    most = 4 * trainings
    values = draw(rng, count, most, examples)
    nothing = np.zeros(examples, np.int64)
    folds = np.stack([folds_of(nothing, rng) for _ in range(-(-most // FOLDS))])
    tested = (folds[:, None] == np.arange(FOLDS)[:, None]).reshape(-1, examples)[:most]
    pairs = np.where(tested, values[1:] - values[:1], np.nan)
    step = unit * FOLDS / examples
    found = []
    names = [str(n) for n in range(count - 1)]
    for method in (plain, corrected):
        at = [method(pair[:trainings], step) for pair in pairs]
        found.append(any(d.verdict(0.05 / (count - 1)) != "undecided" for d in at))
    for method, last in ((these_data, trainings), (the_source, trainings), (these_data, most)):
        looks = [
            (n, {name: method(pair[:n], step) for name, pair in zip(names, pairs, strict=True)})
            for n in (trainings // 2, trainings, 2 * trainings, 4 * trainings)
            if 1 < n <= last
        ]
        claims = crossed.decide(looks, count - 1, trainings)
        found.append(any(claim.verdict != "undecided" for claim in claims.values()))
    return found


def main() -> None:
    """Print how often anything is claimed."""
    experiments = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    rows = []
    for law in LAWS:
        for count, trainings, examples in (
            *((2, 5, 120), (2, 10, 120), (2, 20, 120), (2, 40, 120), (2, 10, 25), (2, 10, 1000)),
            *((8, 5, 120), (8, 10, 120), (8, 20, 120), (15, 10, 120), (15, 20, 25)),
        ):
            each = np.array(
                [one(law, count, trainings, examples, number) for number in range(experiments)]
            )
            rows.append([law, str(count), str(trainings), str(examples)])
            for errors in each.T:
                sure = stats.binomtest(int(errors.sum()), len(errors)).proportion_ci(0.9).high
                rows[-1].append(f"{errors.mean():.1%} (< {sure:.1%})")
            print("|", " | ".join(rows[-1]), flush=True, file=sys.stderr)
    print(harness.header(("leakyrelu", "numpy", "scipy")))
    print(f"{experiments} experiments a row; any false claim, where 5% may be:\n")
    methods = ("plain t", "corrected t", "these data", "the source", "these data, added twice")
    print(harness.table(("law", "candidates", "trainings", "examples", *methods), rows))


if __name__ == "__main__":
    main()
