"""How far intervals reach, by the number of seeds.

python docs/seeds.py writes docs/seeds.svg and prints what docs/statistics.md quotes.
"""

from __future__ import annotations

import math
from pathlib import Path

import matplotlib
import numpy as np
from scipy import stats

from leakyrelu._compare.statistics.intervals import TEST_TO_TRAIN
from leakyrelu._compare.statistics.rounds import confidence_at
from leakyrelu._plot.figure import NotebookFigure

MOST = 100
SHOWN = (3, 5, 7, 10, 20, 40, 100)


def reach(seeds: int, comparisons: int, shared: float) -> float:
    """Half the interval at the last look, in standard deviations of the paired differences."""
    quantile = stats.t.ppf((1 + confidence_at(seeds, seeds, comparisons)) / 2, seeds - 1)
    return float(quantile * math.sqrt(1 / seeds + shared))


def main() -> None:
    """Print and draw."""
    print("| seeds |", " | ".join(map(str, SHOWN)), "|")
    for comparisons in (1, 7):
        row = [f"{reach(seeds, comparisons, TEST_TO_TRAIN):.1f}" for seeds in SHOWN]
        print(f"| {comparisons + 1} activations |", " | ".join(row), "|")
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "leakyrelu"}):
        figure = NotebookFigure(figsize=(6.4, 3.6))
        axes = figure.subplots()
        seeds = np.arange(3, MOST + 1)
        for comparisons, color in ((7, "#d9731a"), (1, "#1f86c8")):
            for shared, style in ((TEST_TO_TRAIN, "-"), (0.0, ":")):
                line = [reach(n, comparisons, shared) for n in seeds.tolist()]
                kind = "new data for each seed" if shared == 0 else "splits of the same data"
                axes.plot(seeds, line, style, color=color, label=f"{comparisons + 1}, {kind}")
            confidence = confidence_at(10**6, 10**6, comparisons)
            floor = stats.norm.ppf((1 + confidence) / 2) * math.sqrt(TEST_TO_TRAIN)
            axes.axhline(floor, color=color, linewidth=0.8, alpha=0.5)
        axes.set_xscale("log")
        axes.set_xticks(SHOWN, map(str, SHOWN), minor=False)
        axes.minorticks_off()
        axes.set_ylim(0, 5)
        axes.set_xlabel("seeds")
        axes.set_ylabel("a difference is seen from\n(standard deviations between seeds)")
        axes.legend(title="activations", frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(
            Path(__file__).with_suffix(".svg"), metadata={"Date": None}, facecolor="white"
        )


if __name__ == "__main__":
    main()
