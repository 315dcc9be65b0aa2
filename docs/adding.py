"""False claims of who adds activations one after another, by what the table shows.

python docs/adding.py prints what docs/statistics.md quotes. All activations are equal; splits share
as much as the intervals assume. Seeds are added in the rounds of the default.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from leakyrelu._compare.statistics.intervals import TEST_TO_TRAIN
from leakyrelu._compare.statistics.rounds import confidence_at, looks

SEEDS, MOST, EXPERIMENTS = 20, 7, 10_000
SHARED = TEST_TO_TRAIN / (1 + TEST_TO_TRAIN)  # of the variance of a score, by all splits


def claims(differences: np.ndarray, comparisons: int) -> bool:
    """Whether any interval of a table with so many comparisons excludes 0, at any look."""
    for look in looks(SEEDS):
        own = differences[:comparisons, :look]
        quantile = stats.t.ppf((1 + confidence_at(look, SEEDS, comparisons)) / 2, look - 1)
        reach = quantile * np.sqrt((1 / look + TEST_TO_TRAIN) * own.var(axis=1, ddof=1))
        if (abs(own.mean(axis=1)) > reach).any():
            return True
    return False


def main() -> None:
    """Print the shares of experiments with a false claim."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(EXPERIMENTS):
        shared = math.sqrt(SHARED) * rng.standard_normal((MOST + 1, 1))
        scores = shared + math.sqrt(1 - SHARED) * rng.standard_normal((MOST + 1, SEEDS))
        each = [claims(scores[1:] - scores[0], n) for n in range(1, MOST + 1)]
        found.append((each[0], each[-1], any(each)))
    shares = np.mean(found, axis=0)
    names = ("2 activations", "8 activations at once", "2, then 6 more one by one, in any table")
    for name, share in zip(names, shares, strict=True):
        print(f"{name}: {share:.1%}")


if __name__ == "__main__":
    main()
