"""Compare activations on a task: `compare`, the main job of this package."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from leakyrelu.activations import Activation
from leakyrelu.compare.plan import DEFAULT_ACTIVATIONS

if TYPE_CHECKING:
    from leakyrelu.compare.comparison import Comparison

__all__ = ["compare"]


def compare(
    data: Any = None,
    target: str | None = None,
    *,
    kind: Literal["classification", "regression"] | None = None,
    activations: Iterable[str | Activation] = DEFAULT_ACTIVATIONS,
    seeds: int | Sequence[int] = 10,
    depth: int = 24,
    width: int = 32,
    epochs: int = 30,
    lr: float | Sequence[float] = (0.001, 0.003, 0.01),
    rope: float = 0.0,
    output: str | Path | None = None,
    progress: bool = True,
) -> Comparison:
    """Find which activation is best on a task, by a paired experiment over several seeds.

    Every activation trains the same multilayer perceptrons: with the same seed they get
    the same split, the same batches and the same initial weights up to the activation's
    gain. Each chooses its learning rate from the same grid by validation data and is
    judged on test data.

    Parameters
    ----------
    data : None, path, DataFrame or (X, y), default None
        None is scikit-learn's handwritten digits (1,797 images). A path ends in ``.csv``,
        ``.parquet`` or ``.npz``. Text columns of up to 50 different values become one
        column a value; missing values get the training mean and a column that says so.
    target : str, optional
        The column to predict; needed with a file or DataFrame.
    kind : {"classification", "regression"}, optional
        Found from the target by default.
    activations : iterable of specs
        Two or more, as `leakyrelu.activations.parse` takes them. All are compared with
        ``relu``, or with the first where relu is not among them.
    seeds : int or sequence of int, default 10
        How many seeds (0, 1, 2, ...), or which.
    depth, width : int, default 24, 32
        Hidden layers, and units in each. Deep and narrow is where ReLU units die; give
        those of the network you have in mind.
    epochs : int, default 30
        Passes over the training part.
    lr : float or sequence of float, default (0.001, 0.003, 0.01)
        The grid of initial learning rates (Adam; cosine decay to 0).
    rope : float, default 0
        The smallest difference that matters to you, in the unit of the score (accuracy: 0 to 1).
        An activation whose whole interval is smaller is *equivalent* to the reference; one is
        better only if its whole interval is larger.
    output : path, optional
        Directory that keeps every finished trial; the same call resumes there. By default
        ``leakyrelu-runs/`` and a name made of data and settings.
    progress : bool, default True
        Show a progress bar on standard error.

    Returns
    -------
    Comparison
        With ``verdict``, ``table()``, ``plot()`` and ``to_html(path)``.

    Raises
    ------
    ValueError
        If data or settings can't be used, or `output` holds something else.
    FileNotFoundError
        If there is no such file.
    OSError
        If `output` can't be written to.
    ImportError
        If what ``leakyrelu[compare]`` installs is missing.

    See Also
    --------
    leakyrelu.examine : Dead units of a model of your own.

    Examples
    --------
    >>> result = compare(
    ...     activations=["relu", "leaky_relu:0.2"], seeds=2, depth=2, epochs=2, progress=False
    ... )
    >>> sorted(result.table()["activation"])
    ['leaky_relu:0.2', 'relu']
    """
    try:
        from leakyrelu.compare.comparison import Comparison, environment
        from leakyrelu.compare.data import load_task
        from leakyrelu.compare.engine import run
        from leakyrelu.compare.plan import make_settings
        from leakyrelu.compare.store import Store
        from leakyrelu.report.terminal import LiveProgress
    except ImportError as error:
        message = f"compare needs {error.name}: pip install 'leakyrelu[compare]'"
        raise ImportError(message, name=error.name) from error

    task = load_task(data, target, kind)
    settings = make_settings(task.fingerprint, activations, seeds, depth, width, epochs, lr)
    if not 0 <= rope < float("inf"):
        raise ValueError(f"rope must be a difference of scores, 0 or more, but is {rope}")
    if output is None:
        output = Path("leakyrelu-runs") / f"{task.slug}-{settings.fingerprint}"
    directory = Path(output)
    with Store(directory, settings, task.info, environment()) as store:
        if progress:
            with LiveProgress(settings) as listener:
                run(task, settings, store, listener)
        else:
            run(task, settings, store)
        return Comparison(store.task, settings, store.trials(), store.environment, directory, rope)
