"""The command line: ``leakyrelu compare``, ``report``, ``examine`` and ``plot``."""

from __future__ import annotations

import json
import signal
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Annotated, Any

try:
    import typer
except ImportError:
    sys.exit("leakyrelu: the command line needs typer; pip install 'leakyrelu[all]'")

import leakyrelu
from leakyrelu._compare.settings import DEFAULT_ACTIVATIONS
from leakyrelu._data.files import check_file, is_name, replacing
from leakyrelu._errors import InputError, MissingDependencyError, needed_for
from leakyrelu._plot.plot import FIGURE_SIZE
from leakyrelu.activations import KINDS

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Keep every neuron learning: the Leaky ReLU family, measured.",
)

A_LIST = "separated by commas, or repeat the option"
A_BUG = (
    "If neither your model nor your data caused this, it is a bug in leakyrelu: please report it, "
    "with the command and the traceback above."
)
Pairs = Annotated[bool, typer.Option("--pairs", help="Also compare all pairs, not only with relu.")]
Require = Annotated[
    list[str],
    typer.Option(
        metavar="VERDICT",
        help="Exit with code 1 if this is not the verdict, as 'elu better than relu', 'gelu not "
        "worse than relu', 'silu better or equivalent to relu'; repeat the option for more.",
    ),
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of every error.")]


@contextmanager
def _clear_errors(debug: bool) -> Iterator[None]:
    """Say in one sentence what the user can mend, with exit code 2; a bug shows its traceback."""
    try:
        yield
    except (BrokenPipeError, typer.Exit):  # whoever reads the output may have seen enough
        raise
    except (InputError, MissingDependencyError, OSError) as error:
        if debug:
            traceback.print_exc()
        typer.echo(f"leakyrelu: {error}", err=True)
        raise typer.Exit(2) from error
    except Exception as error:
        error.add_note(A_BUG)
        raise


def _check_requirements(requirements: Iterable[str]) -> None:
    """Refuse what can't be understood before anything takes time."""
    from leakyrelu._comparison.requirement import understood

    for requirement in requirements:
        understood(requirement)


def _require(requirements: Iterable[str], results: Iterable[Any]) -> None:
    """End with exit code 1 if a verdict is not as required in each of the results."""
    from leakyrelu._comparison.requirement import holds

    each = [(text, *holds(found, text)) for found in results for text in requirements]
    for requirement, is_so, told in each:
        if not is_so:
            typer.echo(f"required: {requirement}; but {told}", err=True)
    if not all(is_so for _, is_so, _ in each):
        raise typer.Exit(1)


@contextmanager
def _ending_in_order() -> Iterator[None]:
    """When interrupted or terminated, end with one sentence and the usual exit code."""
    asked: list[int] = []

    def end(number: int, frame: Any) -> None:
        signal.signal(number, signal.SIG_DFL)  # whoever asks twice can't wait
        asked.append(number)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except (KeyboardInterrupt, Exception) as error:
        # An interrupted library may raise an error of its own: Ray does.
        if not asked and not isinstance(error, KeyboardInterrupt):
            raise
        number = asked[0] if asked else signal.SIGINT
        word = "ended" if number == signal.SIGTERM else "stopped"
        typer.echo(f"{word}; finished trials are kept, and the same command resumes", err=True)
        raise typer.Exit(128 + number) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _listed(texts: Iterable[str]) -> list[str]:
    """Return the items of a list, given with commas, by repeating the option, or both."""
    return [item.strip() for text in texts for item in text.split(",") if item.strip()]


def _numbers(texts: Iterable[str]) -> list[float]:
    items = _listed(texts)
    try:
        return [float(item) for item in items]
    except ValueError as error:
        raise InputError(f"{','.join(items)!r} should be numbers, such as 0.001,0.01") from error


def _named(spec: str | None) -> Any:
    """Return what ``module:name`` names."""
    if spec is None:
        return None
    with needed_for(spec, "all"), _status(f"importing {spec}"):
        from leakyrelu._data.loading import load_object

        return load_object(spec)


def _status(text: str) -> AbstractContextManager[Any]:
    """Show what takes time, if this is a terminal."""
    from rich.console import Console

    return Console(stderr=True).status(text)


def _drawn(text: str) -> Any:
    """Return a spec as it is, or the module or function that ``module:name`` names."""
    if text.partition(":")[0] in KINDS or not is_name(text):
        return text
    found = _named(text)
    if not callable(found):
        raise InputError(
            f"{text} is a {type(found).__name__}, but should be a torch module or a function"
        )
    return found


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(leakyrelu.__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


@app.command()
def compare(
    model: Annotated[
        str | None,
        typer.Argument(
            help="module:factory, a function that returns your network. \\[default: multilayer "
            "perceptrons]"
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="A table: .csv, .tsv, .xlsx, .json, .jsonl, .parquet, .feather, .arrow, .npy or "
            ".npz, optionally compressed (.gz, .bz2, .xz, .zip); a folder with a sub-folder of "
            "images per class; or module:name of (X, y), a data set, a data frame, or a function "
            "that returns one. \\[default: handwritten digits]"
        ),
    ] = None,
    target: Annotated[str | None, typer.Option(help="The column of the table to predict.")] = None,
    drop: Annotated[
        list[str], typer.Option(help=f"Columns of the table to leave out; {A_LIST}.")
    ] = [],
    kind: Annotated[
        str | None,
        typer.Option(help="classification or regression. \\[default: inferred from the target]"),
    ] = None,
    loss: Annotated[
        str | None,
        typer.Option(help="module:function that returns the mean loss of outputs and targets."),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            help="A scikit-learn metric by name, such as f1_macro, balanced_accuracy, roc_auc, "
            "log_loss, mae or rmse; or module:function of outputs and targets. Higher is better."
        ),
    ] = None,
    optimizer: Annotated[
        str | None,
        typer.Option(
            help="module:function called with parameters and lr=, such as torch.optim:AdamW."
        ),
    ] = None,
    schedule: Annotated[
        str | None,
        typer.Option(help="module:function called with the optimizer and the number of steps."),
    ] = None,
    activations: Annotated[
        list[str],
        typer.Option(
            help=f"Two or more of {', '.join(KINDS)}, or module:name "
            f"of a PyTorch module or function; {A_LIST}."
        ),
    ] = list(DEFAULT_ACTIVATIONS),
    seeds: Annotated[
        int,
        typer.Option(
            help="The maximum number of paired seeds; they are added in rounds. Ask for more, and "
            "the same command continues."
        ),
    ] = 10,
    depth: Annotated[
        int | None, typer.Option(help="Hidden layers of the default network. \\[default: 24]")
    ] = None,
    width: Annotated[
        int | None, typer.Option(help="Units per hidden layer. \\[default: 32]")
    ] = None,
    epochs: Annotated[int, typer.Option(help="Passes over the training set.")] = 30,
    batch_size: Annotated[int, typer.Option(help="Examples per step.")] = 64,
    lr: Annotated[list[str], typer.Option(help=f"Learning rates to choose from; {A_LIST}.")] = [
        "0.001",
        "0.003",
        "0.01",
    ],
    rope: Annotated[
        float,
        typer.Option(help="The smallest difference that matters; for accuracy, 0.01 is 1%."),
    ] = 0.0,
    pairs: Pairs = False,
    engine: Annotated[str, typer.Option(help="local, or ray for a Ray cluster.")] = "local",
    address: Annotated[
        str | None,
        typer.Option(
            help="Address of the Ray cluster. \\[default: RAY_ADDRESS, one running here, or a new "
            "one]"
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Directory for trials and report; the same command resumes there. "
            "\\[default: leakyrelu-runs/ and a name made from the settings]",
        ),
    ] = None,
    require: Require = [],
    debug: Debug = False,
) -> None:
    """Find which activation is best on your task, and whether units died."""
    with _ending_in_order(), _clear_errors(debug):
        with needed_for("compare", "compare"):
            from rich.console import Console

            from leakyrelu._report.terminal import print_comparison, print_pairs

        _check_requirements(require)
        result = leakyrelu.compare(
            _named(model),
            _named(data) if data and is_name(data) else data,
            target,
            kind=kind,  # type: ignore[arg-type]  # compare checks it, with a clear message
            drop=_listed(drop),
            loss=_named(loss),
            metric=_named(metric) if metric and is_name(metric) else metric,
            optimizer=_named(optimizer),
            schedule=_named(schedule),
            activations=[_drawn(text) for text in _listed(activations)],
            seeds=seeds,
            depth=depth,
            width=width,
            epochs=epochs,
            batch_size=batch_size,
            lr=_numbers(lr),
            rope=rope,
            engine=engine,  # type: ignore[arg-type]  # likewise
            address=address,
            output=output,
        )
        print_comparison(result, Console())
        if pairs:
            print_pairs(result, Console())
        report = result.directory / "report.html"
        try:
            result.to_html(report)
        except OSError as error:
            raise OSError(
                f"{error}; the trials are kept, so write the page elsewhere with: leakyrelu report "
                f"{result.directory} --html page.html"
            ) from error
        typer.echo(f"\nreport: {report}")
        _require(require, [result])


@app.command()
def report(
    directories: Annotated[
        list[Path],
        typer.Argument(help="Output directories of compare; several are shown side by side."),
    ],
    html: Annotated[
        Path | None,
        typer.Option(
            help="The page to write. \\[default: report.html in the directory; for several "
            "directories, in the current one]"
        ),
    ] = None,
    rope: Annotated[
        float | None,
        typer.Option(help="The smallest difference that matters. \\[default: that of the run]"),
    ] = None,
    pairs: Pairs = False,
    export: Annotated[
        Path | None,
        typer.Option(help="Also write the trials to a .csv, .parquet or .json file."),
    ] = None,
    tensorboard: Annotated[
        Path | None, typer.Option(help="Also write the trials as TensorBoard runs here.")
    ] = None,
    require: Require = [],
    debug: Debug = False,
) -> None:
    """Show the results of experiments again: finished, stopped or still running."""
    with _clear_errors(debug):
        with needed_for("report", "compare"):
            from rich.console import Console

            from leakyrelu._comparison.comparison import Comparison
            from leakyrelu._report.export import ENDINGS, PAGES, to_tensorboard
            from leakyrelu._report.export import export as write
            from leakyrelu._report.html import comparison_page, experiments_page
            from leakyrelu._report.terminal import print_comparison, print_experiments, print_pairs

        for file, endings in ((html, PAGES), (export, ENDINGS)):
            if file is not None:
                check_file(file, endings)
        _check_requirements(require)
        places = [directory.resolve() for directory in directories]
        for directory, place in zip(directories, places, strict=True):
            if places.count(place) > 1:
                raise InputError(f"{directory} was given twice; name each directory once")
        found = [Comparison.read(directory, rope) for directory in directories]
        # Files come first: whoever reads what is printed may close the pipe early.
        wrote = []
        if tensorboard is not None:
            to_tensorboard(found, tensorboard)
            wrote.append(f"wrote {tensorboard}: tensorboard --logdir {tensorboard}")
        if export is not None:
            write(found, export)
            wrote.append(f"wrote {export}")
        one = found[0] if len(found) == 1 else None
        undecided = [each for each in found if not each.candidates]
        page = html or (one.directory / "report.html" if one else Path("report.html"))
        not_written = None
        try:
            if undecided and html is None:
                wrote.append("no page yet: it takes a verdict")
            elif undecided:
                told = "; ".join(f"{each.directory}: {each.verdict}" for each in undecided)
                not_written = f"leakyrelu: {html} was not written. {told}"
            else:
                text = comparison_page(one) if one else experiments_page(found)
                with replacing(page) as part:
                    part.write_text(text, encoding="utf-8")
                wrote.append(f"report: {page}")
        except OSError as error:
            not_written = f"leakyrelu: {error}; name another page with --html"
        if one:
            print_comparison(one, Console())
        else:
            print_experiments(found, Console())
        for each in found if pairs else []:
            if not one:
                typer.echo(f"\n{each.directory}:")
            print_pairs(each, Console())
        typer.echo("\n".join(["", *wrote]))
        if not_written:
            typer.echo(not_written, err=True)
            raise typer.Exit(2)
        _require(require, found)


@app.command()
def judge(
    runs: Annotated[
        str,
        typer.Argument(
            help="A table of runs: .csv, .tsv, .xlsx, .json, .jsonl, .parquet or another that "
            "compare reads, such as an export of Weights & Biases or MLflow; a folder of "
            "TensorBoard; or module:name of a data frame."
        ),
    ],
    activation: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="The column of the activations, by any name."),
    ] = None,
    seed: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Of the seeds: runs of one are a pair.")
    ] = None,
    score: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Of the test scores; empty: diverged.")
    ] = None,
    learning_rate: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Of the learning rates.")
    ] = None,
    validation: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Of the validation scores, which choose the rate."),
    ] = None,
    example: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Of the test examples, if each has a row."),
    ] = None,
    splits: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Each seed had a split of its own, which tested this share of its examples.",
        ),
    ] = None,
    lower_is_better: Annotated[
        bool, typer.Option("--lower-is-better", help="Scores are errors.")
    ] = False,
    reference: Annotated[
        str | None,
        typer.Option(help="What all others are compared with. \\[default: relu, else the first]"),
    ] = None,
    rope: Annotated[
        float, typer.Option(help="The smallest difference that matters, as scores are written.")
    ] = 0.0,
    pairs: Pairs = False,
    html: Annotated[Path | None, typer.Option(help="Also write the report as a page.")] = None,
    require: Require = [],
    debug: Debug = False,
) -> None:
    """Find the best activation from runs that are finished, whoever trained them."""
    with _clear_errors(debug):
        with needed_for("judge", "compare"):
            from rich.console import Console

            from leakyrelu._report.export import PAGES
            from leakyrelu._report.terminal import print_comparison, print_pairs
        if html is not None:
            check_file(html, PAGES)
        _check_requirements(require)
        found = leakyrelu.judge(
            _named(runs) if is_name(runs) else runs,
            activation=activation,
            seed=seed,
            score=score,
            learning_rate=learning_rate,
            validation=validation,
            example=example,
            splits=splits,
            lower_is_better=lower_is_better,
            reference=reference,
            rope=rope,
        )
        if html is not None:
            found.to_html(html)
        print_comparison(found, Console())
        if pairs:
            print_pairs(found, Console())
        if html is not None:
            typer.echo(f"\nreport: {html}")
        _require(require, [found])


def _share(text: str) -> float:
    number, is_percent = text.removesuffix("%"), text.endswith("%")
    try:
        share = float(number) / (100 if is_percent else 1)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise InputError(f"--fail-above {text!r} should be a share of the units, such as 5%")
    return share


@app.command()
def examine(
    model: Annotated[
        str,
        typer.Argument(help="module:factory, a function that returns the model, or module:model."),
    ],
    data: Annotated[
        str,
        typer.Option(
            help="Its inputs: a .npy, .npz or .pt file, a table of any kind that compare reads, or "
            "module:name of a tensor, of batches such as a DataLoader's, or of a function that "
            "returns either."
        ),
    ],
    checkpoint: Annotated[
        Path | None, typer.Option(help="A state_dict to load, as torch.save writes it.")
    ] = None,
    fail_above: Annotated[
        str | None,
        typer.Option(
            help="Exit with code 1 if more than this share of a layer is dead, such as 5%."
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON instead of the table.")
    ] = False,
    html: Annotated[Path | None, typer.Option(help="Also write the table as a page.")] = None,
    treat: Annotated[
        Path | None,
        typer.Option(
            help="Reinitialize dead units, keep the activations, and write the state_dict to this "
            ".pt file."
        ),
    ] = None,
    debug: Debug = False,
) -> None:
    """Find the dead units of your model, in one pass over some data."""
    with _clear_errors(debug):
        most = None if fail_above is None else _share(fail_above)
        for file, endings in ((html, (".html", ".htm")), (treat, (".pt", ".pth"))):
            if file is not None:
                check_file(file, endings)

        with needed_for("examine", "all"), _status("loading PyTorch"):
            import torch
            from rich.console import Console

            from leakyrelu._data.loading import load_batches, load_checkpoint, load_model
            from leakyrelu._report.terminal import print_examination
            from leakyrelu.health import examine

        with _status(f"importing {model}"):
            network = load_model(model)
        if checkpoint is not None:
            load_checkpoint(network, checkpoint)
        with _status(f"reading {data}"):
            batches = load_batches(data)
        if treat is not None and not isinstance(batches, torch.Tensor):
            batches = list(batches)  # iterated several times
        found = examine(network, batches)
        if html is not None:
            found.to_html(html)
        if treat is not None:
            treatment = leakyrelu.treat(network, batches, leak=None)
            with replacing(treat) as part:
                torch.save(network.state_dict(), part)
        if as_json:
            typer.echo(json.dumps(found.to_json(), indent=2))
        else:
            print_examination(found, Console())
        if treat is not None:
            typer.echo(f"\n{treatment}\n\nwrote {treat}", err=as_json)
            found = treatment.after
    if most is not None:
        over = [layer.layer for layer in found.layers if layer.dead.float().mean() > most]
        if over:
            layers = ", ".join(over)
            typer.echo(f"more than {fail_above} of the units are dead in {layers}", err=True)
            raise typer.Exit(1)


@app.command()
def plot(
    activations: Annotated[
        list[str],
        typer.Argument(
            help=f"What to draw, of {', '.join(KINDS)}; or module:name of a PyTorch module or a "
            "function, such as torch.nn:Mish."
        ),
    ] = ["relu", "leaky_relu:0.1"],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Write a .png, .svg, .pdf, .jpg, .webp or other picture instead of opening a "
            "window.",
        ),
    ] = None,
    limit: Annotated[float, typer.Option(help="Draw from -LIMIT to LIMIT, 1e-280 to 1e300.")] = 4.0,
    debug: Debug = False,
) -> None:
    """Draw activations and their derivatives, such as: leakyrelu plot relu leaky_relu:0.2."""
    with _clear_errors(debug):
        chosen = [_drawn(text) for text in _listed(activations)]
        if output is not None:
            leakyrelu.plot(chosen, output, limit=limit)
            typer.echo(f"wrote {output}")
        else:
            with needed_for("plot", "plot"):
                import matplotlib.pyplot as plt
            figure = plt.figure(figsize=FIGURE_SIZE, layout="constrained")
            if figure.canvas.required_interactive_framework is None:  # as with the agg backend
                raise InputError("no window can be opened here; name a file: --output picture.png")
            leakyrelu.plot(chosen, limit=limit, figure=figure)
            plt.show()


def main() -> None:
    """Run the command line."""
    app()
