"""The result of a comparison."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch

from leakyrelu.compare import verdict
from leakyrelu.compare.plan import Settings
from leakyrelu.compare.task import TaskInfo
from leakyrelu.compare.trial import Trial
from leakyrelu.compare.verdict import Candidate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Comparison", "environment"]


def environment() -> dict[str, str]:
    """Return the versions and the machine that numbers depend on."""
    packages = ("leakyrelu", "torch", "numpy", "scipy", "scikit-learn")
    return {
        **{package: importlib.metadata.version(package) for package in packages},
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, "
        f"{torch.get_num_threads()} threads",
    }


class Comparison:
    """What `leakyrelu.compare` found.

    Attributes
    ----------
    verdict : str
        One sentence that claims no more than the intervals allow.
    candidates : list of Candidate
        Each activation at its chosen learning rate, the best mean test score first.
    task : TaskInfo
    settings : Settings
    environment : dict of str to str
        Versions and machine.
    directory : Path
        Where the trials are stored.
    rope : float
        The smallest difference that matters, in the unit of the score.
    """

    def __init__(
        self,
        task: TaskInfo,
        settings: Settings,
        trials: Sequence[Trial],
        environment: dict[str, str],
        directory: Path,
        rope: float = 0.0,
    ) -> None:
        self.task = task
        self.settings = settings
        self.environment = environment
        self.directory = directory
        self.rope = rope
        self._trials = list(trials)
        found = verdict.candidates(settings, trials, task.score_step, rope)
        self.verdict = verdict.sentence(settings, found, task.metric, rope)
        self.candidates: list[Candidate] = sorted(
            found, key=lambda c: -c.score.mean if not c.diverged else float("inf")
        )

    @property
    def recommended(self) -> Candidate | None:
        """The best of those better than the reference; else the best on validation data."""
        better = [c for c in self.candidates if c.verdict == "better"]
        trained = [c for c in self.candidates if not c.diverged]
        if better or not trained:
            return better[0] if better else None

        def mean_validation_score(candidate: Candidate) -> float:
            return sum(trial.validation_score for trial in candidate.trials)

        return max(trained, key=mean_validation_score)

    @property
    def notes(self) -> list[str]:
        """What a careful reader should know beside the verdict, in sentences."""
        notes = list(self.task.notes)
        grid = self.settings.learning_rates
        for edge, which in ((grid[0], "lowest"), (grid[-1], "highest")):
            at_edge = [c.activation for c in self.candidates if c.learning_rate == edge]
            if at_edge and len(grid) > 1:
                notes.append(
                    f"The {which} learning rate of the grid, {edge:g}, was best for "
                    f"{', '.join(at_edge)}; one beyond the grid might do better still."
                )
        undecided = [c for c in self.candidates if c.verdict == "undecided"]
        if undecided and len(self.settings.seeds) > 1:
            by_need: dict[int | None, list[str]] = {}
            for c in undecided:
                by_need.setdefault(c.seeds_to_decide, []).append(c.activation)
            needs = [
                f"{', '.join(names)}: {seeds:,} seeds in all would decide"
                if seeds
                else f"{', '.join(names)}: no number of seeds would, it takes more data"
                for seeds, names in sorted(by_need.items(), key=lambda item: item[0] or 10**9)
            ]
            notes.append(f"Undecided, if the differences go on as they are: {'; '.join(needs)}.")
        return notes

    def table(self) -> pd.DataFrame:
        """Return one row an activation, best mean test score first.

        Scores and differences are in the metric's unit (accuracy: 0 to 1). ``low`` and
        ``high`` bound a 95% interval; those of the differences hold for all activations
        together. ``probability better`` is that of any difference in its favour.
        """
        rows = []
        for c in self.candidates:
            difference = c.difference
            rows.append(
                {
                    "activation": c.activation,
                    self.task.metric: c.score.mean,
                    "low": c.score.low,
                    "high": c.score.high,
                    f"difference to {self.settings.reference}": difference and difference.mean,
                    "difference low": difference and difference.low,
                    "difference high": difference and difference.high,
                    "verdict": c.verdict,
                    "probability better": c.probability,
                    "dead %": 100 * c.dead,
                    "stuck negative %": 100 * c.stuck_negative,
                    "learning rate": c.learning_rate,
                    "seconds": c.seconds,
                }
            )
        numbers = [name for name in rows[0] if name not in ("activation", "verdict")]
        return pd.DataFrame(rows).astype(dict.fromkeys(numbers, float))

    def trials(self) -> pd.DataFrame:
        """Return one row a trial: activation, learning rate, seed, scores, seconds."""
        columns = (
            "activation",
            "learning_rate",
            "seed",
            "validation_score",
            "test_score",
            "seconds",
        )
        return pd.DataFrame([{name: getattr(t, name) for name in columns} for t in self._trials])

    def plot(self) -> Figure:
        """Draw scores with their intervals, learning curves and dead units.

        Returns
        -------
        matplotlib.figure.Figure
        """
        from leakyrelu.report.figures import overview

        return overview(self)

    def to_html(self, path: str | Path) -> None:
        """Write the report: one HTML file that needs no network.

        Raises
        ------
        OSError
            If the file can't be written.
        """
        from leakyrelu.report.html import comparison_page

        Path(path).write_text(comparison_page(self), encoding="utf-8")

    def __repr__(self) -> str:
        return f"<Comparison on {self.task.name}: {self.verdict}>"
