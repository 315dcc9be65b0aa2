"""The result of a comparison."""

from __future__ import annotations

import functools
import importlib.metadata
import math
import os
import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch

from leakyrelu._compare.data.task import Task, TaskInfo, name_of
from leakyrelu._compare.networks.recipe import Recipe, default_optimizer, default_schedule
from leakyrelu._compare.settings import Settings, check_rope
from leakyrelu._compare.statistics import verdict
from leakyrelu._compare.statistics.condition import END, START, median_reach, reach, silent
from leakyrelu._compare.statistics.relations import Relation, relations
from leakyrelu._compare.statistics.rounds import wanted
from leakyrelu._compare.statistics.verdict import Candidate
from leakyrelu._compare.store import reading
from leakyrelu._compare.trial import RANGES, ROUNDING, Trial
from leakyrelu._errors import InputError
from leakyrelu._report.words import damage, score_in_words

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["OPTIMIZER", "SCHEDULE", "Comparison", "environment"]

OPTIMIZER, SCHEDULE = "Adam", "cosine decay to 0"  # if the user gives none
# Who looks at no features: see `TaskInfo.baseline`.
GUESSES = {"accuracy": "the majority class", "R²": "the mean"}
CEILING = 0.9995  # mean scores that are shown as the best possible
MOST_ROPE = 0.051  # that is told of: larger differences matter to anybody
LOSSES = {"classification": "cross-entropy", "regression": "mean square error"}


def environment(task: Task, recipe: Recipe) -> dict[str, str]:
    """Return how it is trained, in words, and the versions and machine that numbers depend on."""
    packages = ("leakyrelu", "torch", "numpy", "scipy", "scikit-learn")
    is_default = recipe.optimizer is default_optimizer, recipe.schedule is default_schedule
    return {
        "optimizer": OPTIMIZER if is_default[0] else _in_words(recipe.optimizer),
        "schedule": SCHEDULE if is_default[1] else _in_words(recipe.schedule),
        "loss": _in_words(task.loss) if task.loss else LOSSES[task.kind],
        "metric": _in_words(task.metric) if task.metric else task.score,
        **{package: importlib.metadata.version(package) for package in packages},
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, "
        f"{torch.get_num_threads()} threads",
    }


def _in_words(function: Callable[..., Any]) -> str:
    """Name a function, and what a partial of it fills in: ``SGD(momentum=0.9)``."""
    inner = getattr(function, "func", function)
    module = str(getattr(inner, "__module__", None) or "__main__")
    name = name_of(function)
    if not module.startswith(("torch.", "__main__")):  # others may have that name, too
        name = f"{module}.{name}"
    if isinstance(function, functools.partial):
        given = [*map(repr, function.args), *(f"{k}={v!r}" for k, v in function.keywords.items())]
        name += f"({', '.join(given)})"
    return " ".join(name.split())


class Comparison:
    """What `leakyrelu.compare` found; `read` takes it from the directory where it is stored.

    Attributes
    ----------
    verdict : str
        One sentence that claims no more than the intervals allow.
    candidates : list of Candidate
        Each activation at its chosen learning rate, by the difference to the reference, the best
        first: over the same seeds, while mean scores may be of fewer.
    task : TaskInfo
    settings : Settings
    environment : dict of str to str
        Optimizer, schedule, loss and metric in words, versions and machine.
    directory : Path
        Where the trials are stored.
    rope : float
        The smallest difference that matters, in the unit of the score.
    is_finished : bool
        Whether no trial is missing. If one is, all the above is of the rounds that are complete.

    Raises
    ------
    InputError
        If there are too few trials to compare yet.
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
        self._others = [trial for trial in trials if not settings.cover(trial.key)]
        self._trials = trials = [trial for trial in trials if settings.cover(trial.key)]
        complete = _complete_rounds(settings, trials, task.score_step, rope)
        self.is_finished = not wanted(settings, complete, task.score_step, rope)
        if not complete:
            damaged = environment.get("damaged")
            raise InputError(
                f"{directory} holds {len(trials):,} of up to {settings.trials:,} trials, not yet "
                "all of the first round; the command that began it resumes"
                + (f" (damaged, and not counted: {damaged})" if damaged else "")
            )
        found = verdict.candidates(settings, complete, task.score_step, rope)
        self.candidates: list[Candidate] = sorted(found, key=_place)
        self.limits = _limits(task, self.trained)
        self.verdict = " ".join(
            [*self.limits, verdict.sentence(settings, found, task.metric, rope)]
        )

    @classmethod
    def read(cls, directory: str | Path, rope: float | None = None) -> Comparison:
        """Read a stored experiment, finished or still running; nothing is written.

        Parameters
        ----------
        directory : path
        rope : float, optional
            The smallest difference that matters; by default that with which it was run.

        Raises
        ------
        FileNotFoundError
            If the directory holds none.
        InputError
            If the file is of something else or damaged, or too few trials are finished.
        OSError
            If it can't be read.

        Examples
        --------
        >>> import leakyrelu
        >>> done = leakyrelu.compare(
        ...     activations=["relu", "elu"], seeds=2, depth=2, epochs=2, progress=False
        ... )
        >>> Comparison.read(done.directory).verdict == done.verdict
        True
        """
        directory = Path(directory)
        stored = reading.read(directory)
        if rope is None:
            rope = float(stored.environment.get("rope", 0))
        check_rope(rope)
        environment = stored.environment
        if stored.damaged:
            environment = {**environment, "damaged": damage(stored.damaged)}
        return cls(stored.task, stored.settings, stored.trials, environment, directory, rope)

    @property
    def trained(self) -> list[Candidate]:
        """The candidates that have trials to be judged by."""
        return [candidate for candidate in self.candidates if not candidate.lost]

    @functools.cached_property
    def relations(self) -> list[Relation]:
        """How the condition of the networks goes with their score, by rank correlation."""
        return relations(self.candidates)

    @property
    def why(self) -> list[str]:
        """What goes with the differences in score, in sentences; no proof of a cause."""
        from leakyrelu._report.why import explain

        return explain(self.candidates, self.settings.reference, self.relations)

    @property
    def progress(self) -> str:
        """How many trials there are, in words."""
        stored = f"{len(self._trials):,} trials"
        if self.is_finished:
            return stored
        return (
            f"not finished: {stored} of up to {self.settings.trials:,} are stored, and what is "
            "told is of the rounds that are complete"
        )

    @property
    def has_different_seeds(self) -> bool:
        """Whether some activations were given more seeds than others."""
        return len({len(c.trials) for c in self.trained}) > 1

    @property
    def seeds_in_words(self) -> str:
        """How many paired seeds there are: ``5 to 10 paired seeds``."""
        number = verdict.number_of_seeds(self.trained) if self.trained else len(self.settings.seeds)
        return f"{number} paired seed{'' if str(number) == '1' else 's'}"

    @property
    def recommended(self) -> Candidate | None:
        """Who is most probably the best: of those better than the reference, else of all."""
        better = [c for c in self.trained if c.verdict == "better"]

        def worth(candidate: Candidate) -> float:
            probability = candidate.probability_best  # None with one seed
            return candidate.score.mean if probability is None else probability

        return max(better or self.trained, key=worth, default=None)

    @property
    def notes(self) -> list[str]:
        """What a careful reader should know beside the verdict, in sentences."""
        notes = list(self.task.notes)
        if damaged := self.environment.get("damaged"):
            what = "trained again" if self.is_finished else "left out until they are trained again"
            file = self.directory / reading.FILE_NAME
            notes.append(f"Trials that were damaged in {file} were {what}: {damaged}.")
        for name in reading.VERSIONS:
            if reading.THEN in self.environment.get(name, ""):
                notes.append(
                    f"Trained with {name} {self.environment[name]}; numbers may differ a little."
                )
        notes.extend(self._on_candidates())
        grid = self.settings.learning_rates
        notes += verdict.undefined_scores(self._trials, self.task.metric)
        lost = {t.key[:2] for t in self._trials if t.diverged}
        for rate in grid:
            if self.trained and all(
                (activation, rate) in lost for activation in self.settings.activations
            ):
                notes.append(f"At the learning rate {rate:g} every activation diverged.")
        diverged = [c.activation for c in self.candidates if c.lost == "diverged"]
        if diverged:
            notes.append(
                f"{', '.join(diverged)} diverged with some seed at every learning rate of the "
                f"grid, the lowest of which was {grid[0]:g}; lower ones may do."
            )
        for edge, which in ((grid[0], "lowest"), (grid[-1], "highest")):
            at_edge = [c.activation for c in self.candidates if c.learning_rate == edge]
            if at_edge and len(grid) > 1:
                notes.append(
                    f"The {which} learning rate of the grid, {edge:g}, was best for "
                    f"{', '.join(at_edge)}; one beyond the grid might do better still."
                )
        undecided = [c for c in self.candidates if c.verdict == "undecided" and not c.dropped]
        if any(len(c.trials) > 1 for c in undecided):
            # Where nothing is learned, or nothing is left to learn, more of the same won't help.
            more_data = "" if self.limits else ", it takes more data"
            by_need: dict[int | None, list[str]] = {}
            for c in undecided:
                by_need.setdefault(c.seeds_to_decide, []).append(c.activation)
            needs = [
                f"{', '.join(names)}: {seeds:,} seeds in all would decide, as likely as not"
                if seeds
                else f"{', '.join(names)}: no number of seeds would{more_data}"
                for seeds, names in sorted(by_need.items(), key=lambda item: item[0] or 10**9)
            ]
            notes.append(f"Undecided, if the differences go on as they are: {'; '.join(needs)}.")
        if hint := self._what_a_rope_would_settle():
            notes.append(hint)
        dropped = [
            f"{c.activation} ({len(c.trials)} seeds)"
            for c in self.candidates
            if c.dropped and c.verdict not in (None, "undecided")
        ]
        if dropped:
            notes.append(
                f"No more seeds were given to {', '.join(dropped)}: they are decided, "
                "and more seeds would hardly have made one of them the best."
            )
        return notes

    def _on_candidates(self) -> list[str]:
        """Say which candidates came later, and which are not in the table."""
        notes = []
        began = self.environment.get(reading.BEGAN_WITH)
        if began and began != self.settings.candidates:
            notes.append(
                f"The experiment began with {began}. Intervals hold for the activations of this "
                "table; to choose what is in it by what was seen gives chance more tries."
            )
        others = {t.activation for t in self._others} - set(self.settings.activations)
        rates = {t.learning_rate for t in self._others} - set(self.settings.learning_rates)
        left_out = [*sorted(others), *(f"the learning rate {rate:g}" for rate in sorted(rates))]
        if left_out:
            notes.append(f"Trained as well, and not in this table: {', '.join(left_out)}.")
        return notes

    def _what_a_rope_would_settle(self) -> str:
        """Say which undecided differences would count as none if small ones did.

        Empty if none would, or if others were no longer decided.
        """
        compared = {c.activation: c.difference for c in self.trained if c.difference}
        now = {name: difference.verdict(self.rope) for name, difference in compared.items()}
        metric, reference = self.task.metric, self.settings.reference
        mean = next(c.score.mean for c in self.candidates if c.activation == reference)
        most = MOST_ROPE * (1 if metric in RANGES else abs(mean))
        for name, word in now.items():
            if word in ("better", "worse"):  # and it is to stay so
                most = min(most, abs(compared[name].low), abs(compared[name].high))
        enough = {
            name: _rounded_up(max(-compared[name].low, compared[name].high))
            for name, word in now.items()
            if word == "undecided" and math.isfinite(compared[name].reach)
        }
        ropes = sorted(rope for rope in enough.values() if rope < most)
        if not ropes or self.limits:
            return ""
        rope = ropes[(len(ropes) - 1) // 2]  # settles half of what can be settled, or more
        settled = ", ".join(name for name in enough if enough[name] <= rope)
        matter = f"{100 * rope:g} points" if metric == "accuracy" else f"{rope:g}"
        return (
            f"If differences up to {matter} did not matter to you (--rope {rope:g}), {settled} "
            f"would be equivalent to {reference}. A rope that is chosen after looking explores and "
            "proves nothing: choose it for the next experiment."
        )

    def table(self) -> pd.DataFrame:
        """Return one row an activation, in the order of `candidates`.

        Scores and differences are in the metric's unit (accuracy: 0 to 1). ``low`` and
        ``high`` bound a 95% interval; those of the differences hold for all activations
        together. ``probability better`` is that of any difference in its favour, ``probability
        best`` that of being the best of all. ``born dead %``
        and ``first gradient start`` are before training; the latter is the gradient of the first
        weights as a multiple of that of the last, the median over the seeds.
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
                    "probability best": c.probability_best,
                    "seeds": len(c.trials),
                    "dead %": 100 * c.dead,
                    "born dead %": 100 * c.born_dead,
                    "stuck negative %": 100 * c.stuck_negative,
                    "first gradient start": median_reach(c.trials, START),
                    "first gradient end": median_reach(c.trials, END),
                    "learning rate": c.learning_rate,
                    "seconds": c.seconds,
                }
            )
        numbers = [name for name in rows[0] if name not in ("activation", "verdict")]
        return pd.DataFrame(rows).astype(dict.fromkeys(numbers, float))

    def trials(self) -> pd.DataFrame:
        """Return one row a trial: what it is, its scores, and its condition before and after.

        ``chosen`` tells whether it is at the learning rate that its activation is judged by.
        ``diverged`` tells whether its loss was not finite; where scores are missing otherwise, they
        are not defined. ``silent`` is the share of units that never fire, ``first_gradient`` the
        gradient of the first weights as a multiple of that of the last.
        """
        chosen = {trial.key for candidate in self.candidates for trial in candidate.trials}
        rows = [
            {
                "activation": trial.activation,
                "learning_rate": trial.learning_rate,
                "seed": trial.seed,
                "validation_score": trial.validation_score,
                "test_score": trial.test_score,
                "diverged": trial.diverged,
                "seconds": trial.seconds,
                "chosen": trial.key in chosen,
                "silent_start": silent(trial, START),
                "silent_end": silent(trial, END),
                "first_gradient_start": reach(trial, START),
                "first_gradient_end": reach(trial, END),
            }
            for trial in self._trials
        ]
        return pd.DataFrame(rows)

    def histories(self) -> list[Trial]:
        """Return the trials with their histories, as they are stored."""
        return list(self._trials)

    def plot(self) -> Figure:
        """Draw scores with their intervals, learning curves and dead units.

        Returns
        -------
        matplotlib.figure.Figure
        """
        from leakyrelu._report.figures import overview

        return overview(self)

    def to_html(self, path: str | Path) -> None:
        """Write the report: one HTML file that needs no network.

        Parameters
        ----------
        path : path
            Ends in ``.html`` or ``.htm``.

        Raises
        ------
        InputError
            If the path ends otherwise.
        OSError
            If the file can't be written.
        """
        from leakyrelu._report.export import PAGES, check_file, replacing
        from leakyrelu._report.html import comparison_page

        check_file(Path(path), PAGES)
        with replacing(Path(path)) as part:
            part.write_text(comparison_page(self), encoding="utf-8")

    def export(self, path: str | Path) -> None:
        """Write the trials to a file that other programs read.

        Parameters
        ----------
        path : path
            Ends in ``.csv`` or ``.parquet``, for the rows of `trials`; or in ``.json``, for those
            with their histories, the settings, the environment and the verdict.

        Raises
        ------
        InputError
            If the path ends otherwise.
        OSError
            If the file can't be written.
        """
        from leakyrelu._report.export import export

        export([self], Path(path))

    def to_tensorboard(self, directory: str | Path) -> None:
        """Write each trial as a run of TensorBoard: its course, its scores, what it was.

        Raises
        ------
        ImportError
            If what ``leakyrelu[tensorboard]`` installs is missing.
        InputError
            If the directory has some of these runs.
        """
        from leakyrelu._report.export import to_tensorboard

        to_tensorboard([self], Path(directory))

    def __repr__(self) -> str:
        return f"<Comparison on {self.task.name}: {self.verdict}>"


def _limits(task: TaskInfo, trained: Sequence[Candidate]) -> list[str]:
    """Say if nobody is better than a guess that takes no network, or if nobody can be better."""
    if task.baseline is None or task.metric not in GUESSES or not trained:
        return []
    guess = f"always guessing {GUESSES[task.metric]} ({score_in_words(task.baseline, task.metric)})"
    if max(c.score.mean for c in trained) <= task.baseline + ROUNDING:
        return [f"No activation beats {guess}."]
    if all(c.score.low <= task.baseline for c in trained):  # not of one seed, whose is NaN
        return [f"No activation is detectably better than {guess}."]
    if min(c.score.mean for c in trained) >= CEILING:
        return [
            f"Every activation reaches {score_in_words(1.0, task.metric)}, so this task can't tell "
            "which is best."
        ]
    return []


def _rounded_up(rope: float) -> float:
    """Round up to one digit: 0.0132 to 0.02."""
    unit = 10.0 ** math.floor(math.log10(rope)) if rope > 0 else 1.0
    return float(f"{math.ceil(rope / unit * (1 + 1e-9)) * unit:.1g}")


def _place(candidate: Candidate) -> float:
    """Order by the difference to the reference; by score where that has none."""
    if candidate.lost:
        return math.inf
    if candidate.difference is None:
        return 0.0
    mean = candidate.difference.mean
    return -(candidate.score.mean if math.isnan(mean) else mean)


def _complete_rounds(
    settings: Settings, trials: Sequence[Trial], score_step: float, rope: float
) -> Sequence[Trial]:
    """Return the trials up to the last round that is complete; all, if that is the last of all."""
    known = {trial.key: trial for trial in trials}
    complete: list[Trial] = []
    while keys := wanted(settings, complete, score_step, rope):
        if any(key not in known for key in keys):
            return complete
        complete += [known[key] for key in keys]
    return trials
