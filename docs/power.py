"""How many of the true differences are claimed, by the number of trainings, formerly and now.

python docs/power.py writes docs/power.svg. The numbers are those of benchmarks/verdicts.py, "laws".
"""

from __future__ import annotations

from pathlib import Path

import matplotlib

from leakyrelu._plot.figure import NotebookFigure

SEEDS = (5, 10, 20, 40)
# Percent of five differences to relu: the corrected t test, and both claims of now.
CLAIMED = {
    "10 layers of 16, 1,200 examples": ((3, 7, 13, 17), (10, 32, 41, 43), (9, 29, 39, 40)),
    "16 layers of 8, 300 examples": ((0, 0, 0, 0), (2, 12, 30, 41), (1, 8, 22, 33)),
    "2 layers of 12, 120 examples": ((0, 0, 0, 0), (2, 11, 30, 40), (2, 9, 24, 36)),
    "regression, 4 layers of 16, 300": ((3, 5, 6, 5), (14, 56, 78, 80), (12, 49, 75, 80)),
    "24 layers of 6 that mostly do not learn, 200": ((0, 0, 0, 0), (1, 4, 11, 21), (1, 3, 6, 10)),
    "classes of 80, 15 and 5%, 3 of 16, 400": ((0, 0, 0, 0), (0, 1, 2, 4), (0, 0, 1, 1)),
}
LINES = (
    ("formerly: corrected t test", "#888888", "-"),
    ("now: on these data", "#d9731a", "-"),
    ("now: for the source", "#1f86c8", "--"),
)


def main() -> None:
    """Draw."""
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "leakyrelu"}):
        figure = NotebookFigure(figsize=(9.0, 5.0))
        panels = figure.subplots(2, 3, sharex=True, sharey=True)
        for axes, (law, each) in zip(panels.flat, CLAIMED.items(), strict=True):
            for values, (label, color, style) in zip(each, LINES, strict=True):
                axes.plot(SEEDS, values, style, marker="o", markersize=4, color=color, label=label)
            axes.set_title(law, fontsize=8)
            axes.set_xscale("log")
            axes.set_xticks(SEEDS, map(str, SEEDS), minor=False)
            axes.minorticks_off()
            axes.set_ylim(-3, 100)
            axes.spines[["top", "right"]].set_visible(False)
        for axes in panels[1]:
            axes.set_xlabel("seeds")
        for axes in panels[:, 0]:
            axes.set_ylabel("right claims (%)")
        panels[0, 0].legend(frameon=False, fontsize=8)
        figure.savefig(
            Path(__file__).with_suffix(".svg"), metadata={"Date": None}, facecolor="white"
        )


if __name__ == "__main__":
    main()
