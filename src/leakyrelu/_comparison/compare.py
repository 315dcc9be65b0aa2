"""Compare activations on a task: `compare`, the main job of this package."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from leakyrelu._compare.settings import DEFAULT_ACTIVATIONS
from leakyrelu._errors import InputError, needed_for
from leakyrelu.activations import Activation

if TYPE_CHECKING:
    from leakyrelu._comparison.comparison import Comparison

__all__ = ["compare"]

LONGEST_NAME = 100  # characters of the data's name in a directory's name


def compare(
    model: Callable[[], Any] | None = None,
    data: Any = None,
    target: str | None = None,
    *,
    kind: Literal["classification", "regression"] | None = None,
    drop: str | Sequence[str] = (),
    loss: Callable[[Any, Any], Any] | None = None,
    metric: str | Callable[[Any, Any], Any] | None = None,
    optimizer: Callable[..., Any] | None = None,
    schedule: Callable[[Any, int], Any] | None = None,
    activations: Iterable[str | Activation | Callable[..., Any]] = DEFAULT_ACTIVATIONS,
    seeds: int | Sequence[int] = 10,
    depth: int | None = None,
    width: int | None = None,
    epochs: int = 30,
    batch_size: int = 64,
    lr: float | Sequence[float] = (0.001, 0.003, 0.01),
    rope: float = 0.0,
    engine: Literal["local", "ray"] = "local",
    address: str | None = None,
    output: str | Path | None = None,
    progress: bool = True,
) -> Comparison:
    """Find the best activation for a task, by a paired experiment over several seeds.

    Every activation trains the same networks: with the same seed they get the same split, the
    same batches and the same initial weights, up to the activation's gain. Each chooses its
    learning rate from the same grid on validation data, and is scored on test data.

    Parameters
    ----------
    model : callable, optional
        Returns a new `torch.nn.Module` each time. Its activations are replaced by each of
        `activations`, as by `leakyrelu.replace`, and the weights that feed them are scaled by the
        ratio of the new gain to the old. By default multilayer perceptrons of `depth` and `width`.
    data : None, path, data frame, (X, y) or data set
        A table: the path of a .csv, .tsv, .xlsx, .json, .jsonl, .parquet, .feather, .arrow, .npy or
        .npz file, text also compressed; or a data frame of pandas, Polars, PyArrow or any library
        that speaks Arrow, a dict of columns, a Hugging Face Dataset or a scikit-learn Bunch. Text
        columns with up to 50 distinct values are one-hot encoded, dates become numbers; missing
        values get the training mean and an indicator column; all are scaled. Or a folder of images,
        one sub-folder per class, in any format that Pillow reads: a `model` gets them as float32
        from 0 to 255, of shape (examples, 1 or 3 channels, height, width). With a `model`, (X, y)
        are tensors or arrays of shape (examples, ...), passed on unchanged (float64 and uint8 as
        float32), or a map-style data set has items (x, y). None, without a model, means
        scikit-learn's handwritten digits (1,797 images). Or a function that returns any of these.
    target : str, optional
        The column to predict; required with a table, except with (X, y).
    kind : {"classification", "regression"}, optional
        Decides the score, accuracy or R², and the loss, cross-entropy or mean squared error. With
        several values per example, R² is taken over all of them, each about its own mean
        (scikit-learn's ``variance_weighted``). Inferred from the target by default; with your own
        `loss`, the score is minus that loss.
    drop : str or sequence of str, optional
        Columns of the table to leave out.
    loss : callable, optional
        Given outputs and targets of a batch, returns the mean loss. Both have the same shape where
        they differ only by axes of size 1: (examples,) for (examples, 1) and (examples,). A table's
        regression targets are scaled to mean 0 and standard deviation 1.
    metric : str or callable, optional
        The name of a scikit-learn metric, such as ``"f1_macro"``, ``"roc_auc"`` or ``"mae"``
        (errors are negated); for classes, outputs are logits. Or a function that, given outputs
        and targets of all examples of a part, in the data's unit and shaped as for a loss, returns
        the score, where higher is better.
    optimizer : callable, optional
        Called with parameter groups and ``lr=``, such as ``torch.optim.AdamW`` or
        ``functools.partial(torch.optim.SGD, momentum=0.9)``. By default Adam. PReLU's slopes are a
        group without weight decay.
    schedule : callable, optional
        Given the optimizer and the number of steps, returns a scheduler that is stepped after each
        of them, such as ``torch.optim.lr_scheduler.CosineAnnealingLR``, the default.
    activations : iterable of specs
        Two or more, as `leakyrelu.activations.parse` takes them. All are compared with
        ``relu``, or with the first where relu is not among them.
    seeds : int or sequence of int, default 10
        How many seeds (0, 1, 2, ...), or which, at the most; multiples of 5 use the data best. They
        are added in rounds: learning rates that are clearly worse by validation data after 2 or 5
        seeds get no more of them, nor do activations that can't be the best and are decided after
        half of them. Ask for more later, and the experiment goes on from there; that is provided
        for, and makes no false claims. Seeds that were begun count, also where fewer are asked for.
    depth : int, default 24
        Number of hidden layers, without a `model`. Deep and narrow is where ReLU units die; give
        the depth of the network you have in mind.
    width : int, default 32
        Units per hidden layer.
    epochs : int, default 30
        Passes over the training part.
    batch_size : int, default 64
        Examples per step; an incomplete last batch is dropped, and each epoch reshuffles.
    lr : float or sequence of float, default (0.001, 0.003, 0.01)
        The grid of initial learning rates.
    rope : float, default 0
        The smallest difference that matters to you, in the unit of the score (accuracy: 0 to 1).
        An activation whose whole interval is smaller is *equivalent* to the reference; one is
        better only if its whole interval is larger.
    engine : {"local", "ray"}, default "local"
        Where trials are trained: on this machine, or on a Ray cluster.
    address : str, optional
        Address of the Ray cluster; by default the one in ``RAY_ADDRESS`` or one running here, else
        one is started.
    output : path, optional
        Directory that keeps every finished trial; the same call resumes there, and one with more
        seeds, other activations or learning rates trains only what is new. By default
        ``leakyrelu-runs/`` and a name made of data and settings.
    progress : bool, default True
        Show a progress bar on standard error.

    Returns
    -------
    Comparison
        With ``verdict``, ``table()``, ``plot()`` and ``to_html(path)``.

    Raises
    ------
    InputError
        If model, data or settings can't be used, or `output` holds something else.
    FileNotFoundError
        If the data's file does not exist.
    OSError
        If `output` can't be written to.
    MissingDependencyError
        If what ``leakyrelu[compare]`` installs is missing, or Ray for its engine.

    See Also
    --------
    leakyrelu.examine : Dead units of your own model.

    Notes
    -----
    Trials train as stacks of networks, one at a time or in several processes: a short measurement
    at the start finds what is fastest on this machine. The numbers are the same in each case up to
    rounding, which training magnifies.

    Examples
    --------
    >>> result = compare(
    ...     activations=["relu", "leaky_relu:0.2"], seeds=2, depth=2, epochs=2, progress=False
    ... )
    >>> sorted(result.table()["activation"])
    ['leaky_relu:0.2', 'relu']
    """
    with needed_for("compare", "compare"):
        from rich.console import Console

        with Console(stderr=True, quiet=not progress).status("loading PyTorch"):
            from leakyrelu._compare.data.tensor_task import make_task
            from leakyrelu._compare.engines.run import run
            from leakyrelu._compare.environment import environment
            from leakyrelu._compare.networks.recipe import fingerprint, make_recipe
            from leakyrelu._compare.settings import check_rope, make_settings
            from leakyrelu._compare.store.reading import ASKED_FOR
            from leakyrelu._compare.store.writing import Store
            from leakyrelu._compare.training.train import Experiment
            from leakyrelu._comparison.comparison import Comparison
            from leakyrelu._report.progress import LiveProgress

    recipe = make_recipe(model, optimizer, schedule)
    task = make_task(data, target, kind, loss, metric, model is None, drop, progress)
    asked = make_settings(
        task.fingerprint,
        activations,
        seeds,
        epochs,
        lr,
        batch_size=batch_size,
        depth=depth,
        width=width,
        model=recipe.name,
        recipe=fingerprint(task, recipe),
        is_stacked=model is None,
    )
    check_rope(rope)
    if engine not in ("local", "ray"):
        raise InputError(f"engine must be 'local' or 'ray', but is {engine!r}")
    if output is None:
        name = task.slug[:LONGEST_NAME].rstrip("-")  # the rest of it is in the fingerprint
        output = Path("leakyrelu-runs") / f"{name}-{asked.fingerprint}"
    directory = Path(output)
    task.notes.extend(recipe.notes)
    task = dataclasses.replace(task, source=None)  # no worker needs it, and it may not be picklable
    with Store(directory, asked, task.info, environment(task, recipe)) as store:
        settings = store.settings
        with LiveProgress(settings, task.score, shown=progress) as listener:
            try:
                run(Experiment(task, settings, recipe), store, listener, engine, address, rope)
            except KeyboardInterrupt:
                listener.stopped()
                raise
            noted = store.environment
            if len(settings.seeds) > len(asked.seeds):
                noted[ASKED_FOR] = str(len(asked.seeds))
            return Comparison(store.task, settings, store.trials(), noted, directory, rope)
