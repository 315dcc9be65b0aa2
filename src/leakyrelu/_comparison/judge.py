"""Judge runs that others have trained: `judge`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from leakyrelu._errors import needed_for

if TYPE_CHECKING:
    from leakyrelu._comparison.comparison import Comparison

__all__ = ["judge"]


def judge(
    runs: Any,
    *,
    activation: str | None = None,
    seed: str | None = None,
    score: str | None = None,
    learning_rate: str | None = None,
    validation: str | None = None,
    example: str | None = None,
    splits: float | None = None,
    lower_is_better: bool = False,
    reference: str | None = None,
    rope: float = 0.0,
) -> Comparison:
    """Find the best activation from runs that are finished, by the rules of `compare`.

    Parameters
    ----------
    runs : path, or data frame of any library
        A table as `compare` reads it, or a folder of TensorBoard. Either a row a run, with its
        activation, seed and test score, perhaps learning rate and validation score; or a row a run
        and test example; or a column an activation and a row a seed. An export of Weights & Biases
        or MLflow is such a table. Activations may have any names; an empty score has diverged.
    activation, seed, score, learning_rate, validation, example : str, optional
        Columns that their names don't tell: of the test scores, the validation scores, the test
        examples and so on. A column named ``split`` or ``fold`` tells the splits.
    splits : float, optional
        Each seed, or each value of a column ``split``, had a split of its own; the share of its
        examples, without those that validate, that tested.
    lower_is_better : bool, default False
        Scores are errors, and are negated.
    reference : str, optional
        The activation that all others are compared with; by default relu, else the first.
    rope : float, default 0
        The smallest difference that matters to you, in the unit of the score.

    Returns
    -------
    Comparison
        Without what is not known, as the health of the networks.

    Raises
    ------
    InputError
        If it is not clear what a column means, or there is nothing to compare.
    FileNotFoundError
        If there is no such file.
    MissingDependencyError
        If what ``leakyrelu[compare]`` installs is missing.

    See Also
    --------
    leakyrelu.compare : Train them here.

    Notes
    -----
    With a row for each test example the claims are those of `compare`. Where only scores are known,
    they speak of the same test examples, *on these test examples*, unless each seed had a split of
    its own.

    Examples
    --------
    >>> found = judge({
    ...     "activation": ["ReLU", "mish"] * 5,
    ...     "seed": [0, 0, 1, 1, 2, 2, 3, 3, 4, 4],
    ...     "test_accuracy": [0.91, 0.94, 0.90, 0.95, 0.92, 0.94, 0.90, 0.93, 0.91, 0.95],
    ... })
    >>> found.table()[["activation", "accuracy", "verdict on these test examples"]]
      activation  accuracy verdict on these test examples
    0       mish     0.942                         better
    1       relu     0.908                            NaN
    """
    with needed_for("judge", "compare"):
        from leakyrelu._compare.data.runs import read_runs
        from leakyrelu._compare.settings import check_rope
        from leakyrelu._comparison.judgement import Judgement

    check_rope(rope)
    told = {
        "activation": activation,
        "seed": seed,
        "score": score,
        "learning_rate": learning_rate,
        "validation": validation,
        "example": example,
    }
    found = read_runs(
        runs, told, lower_is_better=lower_is_better, reference=reference, splits=splits
    )
    place = Path(runs) if isinstance(runs, (str, Path)) else Path(found.task.name)
    return Judgement(found, place, rope)
