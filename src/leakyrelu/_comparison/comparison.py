"""The result of a comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Any, overload

import pandas as pd
from matplotlib.figure import Figure

from leakyrelu._compare.results import Results
from leakyrelu._compare.settings import check_rope
from leakyrelu._compare.store import reading
from leakyrelu._comparison.requirement import holds
from leakyrelu._data.files import check_file, replacing
from leakyrelu._errors import InputError
from leakyrelu._report import sentences, tables
from leakyrelu._report.export import PAGES, as_json, export, to_tensorboard
from leakyrelu._report.figures import overview
from leakyrelu._report.html import comparison_page
from leakyrelu._report.why import explain

__all__ = ["Comparison"]


class Comparison(Results):
    """What `leakyrelu.compare` found; `read` takes it from the directory where it is stored.

    Attributes
    ----------
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
    recommended : Candidate or None
        Which to use, also where nothing is decided: the one ahead of all others.
    best : list of Candidate
        Those that can't be ruled out as the best on these data, at 95%.
    regret : float
        How far at worst the recommended one is below the best on these data, at 95%; NaN of one
        seed.
    is_finished : bool
        Whether no trial is missing. If one is, all the above is of the rounds that are complete. If
        that is none, there are no candidates, the verdict says what is missing, and `trials`,
        `histories` and exports are of what there is.

    Raises
    ------
    InputError
        If there is no trial yet.
    """

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
            If the file is of something else or damaged, or no trial is finished.
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
            environment = {**environment, "damaged": "; ".join(stored.damaged)}
        return cls(stored.task, stored.settings, stored.trials, environment, directory, rope)

    @property
    def verdict(self) -> str:
        """Which may be the best, what differs, which to use, and what holds for the source."""
        return sentences.verdict(self)

    @property
    def progress(self) -> str:
        """How many trials there are, in words."""
        return sentences.progress(self)

    @property
    def why(self) -> list[str]:
        """What goes with the differences in score, in sentences; no proof of a cause."""
        return explain(self)

    @property
    def notes(self) -> list[str]:
        """What a careful reader should know beside the verdict, in sentences."""
        return sentences.notes(self)

    def table(self) -> pd.DataFrame:
        """Return one row an activation, in the order of `candidates`.

        Scores and differences are in the metric's unit (accuracy: 0 to 1). ``low`` and ``high``
        bound a 95% interval of the score. Differences are claimed *on these data* (networks trained
        on this data set, on new examples) and *for the source* (networks trained on other samples
        of it, too); their intervals hold in 95% or more each by itself, all verdicts of a claim in
        95% together. ``probability better`` is that of any difference in its favour, ``probability
        best`` that of being the best of all, both on these data. ``born dead %`` and ``first
        gradient start`` are before training; the latter is the gradient of the first weights as a
        multiple of that of the last, the median over the seeds.

        Raises
        ------
        InputError
            If no round of seeds is complete; so do `plot` and `to_html`.
        """
        self._check_verdict()
        return tables.candidates_table(self)

    def pairs(self) -> pd.DataFrame:
        """Return one row a pair of trained activations, all against all, the best first.

        ``difference`` is how much the first is above the second. All verdicts of a claim, *on these
        data* or *for the source*, hold together in 95%; so there are more undecided than in
        `table`, which compares with the reference only.

        Raises
        ------
        InputError
            If no round of seeds is complete.
        """
        self._check_verdict()
        return tables.pairs_table(self)

    def trials(self) -> pd.DataFrame:
        """Return one row a trial: what it is, its scores, and its condition before and after.

        ``chosen`` tells whether it is at the learning rate that its activation is judged by.
        ``diverged`` tells whether its loss was not finite; where scores are missing otherwise, they
        are not defined. ``silent`` is the share of units that never fire, ``first_gradient`` the
        gradient of the first weights as a multiple of that of the last.
        """
        return tables.trials_table(self)

    def holds(self, requirement: str) -> bool:
        """Whether a verdict on these data is as required.

        Parameters
        ----------
        requirement : str
            As ``"elu better than relu"``. The verdict may be better, worse, equivalent or
            undecided, one of several as in ``"better or equivalent to"``, or any but one as in
            ``"not worse than"``, which also holds where nothing is decided. Of two that are not
            the reference, it is that of `pairs`.

        Raises
        ------
        InputError
            If it can't be understood, names others, or no round of seeds is complete.
        """
        self._check_verdict()
        return holds(self, requirement)[0]

    def plot(self) -> Figure:
        """Draw scores with their intervals, learning curves and dead units.

        Returns
        -------
        matplotlib.figure.Figure
        """
        self._check_verdict()
        return overview(self)

    @overload
    def to_html(self, path: None = None) -> str: ...
    @overload
    def to_html(self, path: str | Path) -> None: ...
    def to_html(self, path: str | Path | None = None) -> str | None:
        """Write the report, a page that needs no other file; return it, if there is no path.

        Parameters
        ----------
        path : path, optional
            Ends in ``.html`` or ``.htm``.

        Raises
        ------
        InputError
            If the path ends otherwise.
        OSError
            If the file can't be written.
        """
        self._check_verdict()
        if path is None:
            return comparison_page(self)
        check_file(Path(path), PAGES)
        with replacing(Path(path)) as part:
            part.write_text(comparison_page(self), encoding="utf-8")
        return None

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
        export([self], Path(path))

    def to_json(self) -> dict[str, Any]:
        """Return the whole result as plain types, for `json.dump`."""
        return as_json(self)

    def to_tensorboard(self, directory: str | Path) -> None:
        """Write each trial as a run of TensorBoard: its course, its scores, what it was.

        Raises
        ------
        ImportError
            If what ``leakyrelu[tensorboard]`` installs is missing.
        InputError
            If the directory has some of these runs.
        """
        to_tensorboard([self], Path(directory))

    def _check_verdict(self) -> None:
        if not self.candidates:
            raise InputError(f"{self.directory}: {self.verdict}")

    def __repr__(self) -> str:
        return f"<Comparison on {self.task.name}: {self.verdict}>"
