"""The command line: ``leakyrelu compare``, ``report``, ``examine`` and ``plot``."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

try:
    import typer
except ImportError:
    sys.exit("leakyrelu: the command line needs typer; pip install 'leakyrelu[all]'")

import leakyrelu
from leakyrelu._compare.settings import DEFAULT_ACTIVATIONS
from leakyrelu._errors import InputError
from leakyrelu._plot.plot import FIGURE_SIZE, NEEDS_MATPLOTLIB
from leakyrelu.activations import KINDS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Keep every neuron learning: the Leaky ReLU family, measured.",
)


@contextmanager
def _clear_errors() -> Iterator[None]:
    """Say what is wrong with the input in one sentence, exit code 2, in place of a traceback."""
    try:
        yield
    except (ImportError, InputError, OSError) as error:
        typer.echo(f"leakyrelu: {error}", err=True)
        raise typer.Exit(2) from error


@contextmanager
def _ending_in_order() -> Iterator[None]:
    """End with one sentence and the usual exit code when asked to, in place of a traceback."""
    asked: list[int] = []

    def end(number: int, frame: Any) -> None:
        signal.signal(number, signal.SIG_DFL)  # who asks twice can't wait
        asked.append(number)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except (KeyboardInterrupt, Exception) as error:
        # Who is interrupted may raise something of its own: Ray does.
        if not asked and not isinstance(error, KeyboardInterrupt):
            raise
        number = asked[0] if asked else signal.SIGINT
        word = "ended" if number == signal.SIGTERM else "stopped"
        typer.echo(f"{word}; finished trials are kept, and the same command resumes", err=True)
        raise typer.Exit(128 + number) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _listed(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _numbers(text: str) -> list[float]:
    try:
        return [float(item) for item in _listed(text)]
    except ValueError as error:
        raise InputError(f"{text!r} should be numbers with commas between: 0.001,0.01") from error


def _is_name(data: str) -> bool:
    """Whether data is ``module:name``, and no path or address."""
    return ":" in data and "://" not in data and not Path(data).exists()


def _named(spec: str | None) -> Any:
    """Return what ``module:name`` names."""
    if spec is None:
        return None
    try:
        with _status(f"importing {spec}"):
            from leakyrelu._data.loading import load_object

            return load_object(spec)
    except ImportError as error:
        raise ImportError(f"this needs {error.name}: pip install 'leakyrelu[all]'") from error


def _status(text: str) -> AbstractContextManager[Any]:
    """Show, if this is a terminal, what takes its time."""
    from rich.console import Console

    return Console(stderr=True).status(text)


def _drawn(text: str) -> Any:
    """Return a spec as it is, and the module or function that ``module:name`` names."""
    name, _, rest = text.strip().partition(":")
    if name in KINDS or not all(part.isidentifier() for part in rest.split(".")):
        return text
    found = _named(text.strip())
    if not callable(found):
        raise InputError(
            f"{text} is a {type(found).__name__}, but should be a torch module or a function"
        )
    return found


def _window() -> tuple[Figure, Callable[[], None]]:
    """Return an empty figure in a window of its own, and what opens the window."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(NEEDS_MATPLOTLIB) from error
    figure = plt.figure(figsize=FIGURE_SIZE, layout="constrained")
    if figure.canvas.required_interactive_framework is None:  # as with the backend agg
        raise InputError("no window can be opened here; name a file: --output picture.png")
    return figure, plt.show


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(leakyrelu.__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show it.")
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
            ".npz, also as .gz, .bz2, .xz or .zip; a folder with a sub-folder of images for each "
            "class; or module:name of (X, y), a data set, a data frame, or a function that returns "
            "one of these. \\[default: handwritten digits]"
        ),
    ] = None,
    target: Annotated[str | None, typer.Option(help="The column of the table to predict.")] = None,
    drop: Annotated[
        str, typer.Option(help="Columns of the table to leave out, with commas between.")
    ] = "",
    kind: Annotated[
        str | None,
        typer.Option(help="classification or regression. \\[default: found from the target]"),
    ] = None,
    loss: Annotated[
        str | None, typer.Option(help="module:function of outputs and targets, the mean loss.")
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            help="A metric of scikit-learn by name, such as f1_macro, balanced_accuracy, roc_auc, "
            "log_loss, mae or rmse; or module:function of outputs and targets. Higher is better."
        ),
    ] = None,
    optimizer: Annotated[
        str | None,
        typer.Option(help="module:function of parameters and lr=, such as torch.optim:AdamW."),
    ] = None,
    schedule: Annotated[
        str | None, typer.Option(help="module:function of the optimizer and the number of steps.")
    ] = None,
    activations: Annotated[
        str, typer.Option(help=f"Two or more, with commas between; of {', '.join(KINDS)}.")
    ] = ",".join(DEFAULT_ACTIVATIONS),
    seeds: Annotated[
        int,
        typer.Option(
            help="The most paired seeds; they are added in rounds. With more of them the same "
            "command goes on."
        ),
    ] = 10,
    depth: Annotated[
        int | None, typer.Option(help="Hidden layers, without a model. \\[default: 24]")
    ] = None,
    width: Annotated[
        int | None, typer.Option(help="Units in each, without a model. \\[default: 32]")
    ] = None,
    epochs: Annotated[int, typer.Option(help="Passes over the training part.")] = 30,
    batch_size: Annotated[int, typer.Option(help="Examples in a step.")] = 64,
    lr: Annotated[
        str, typer.Option(help="Learning rates to choose from, with commas between.")
    ] = "0.001,0.003,0.01",
    rope: Annotated[
        float, typer.Option(help="The smallest difference that matters; of accuracy, 0.01 is 1%.")
    ] = 0.0,
    pairs: Annotated[
        bool, typer.Option("--pairs", help="Compare all with all, too, not with relu only.")
    ] = False,
    engine: Annotated[str, typer.Option(help="local, or ray: on a Ray cluster.")] = "local",
    address: Annotated[
        str | None,
        typer.Option(
            help="Of the Ray cluster. \\[default: RAY_ADDRESS, one that runs here, or a new one]"
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Directory for trials and report; the same command resumes there.  "
            " \\[default: leakyrelu-runs/ and a name made of the settings]"
        ),
    ] = None,
) -> None:
    """Find which activation is best on your task, and whether units died."""
    with _ending_in_order(), _clear_errors():
        from rich.console import Console

        from leakyrelu._report.terminal import print_comparison, print_pairs

        result = leakyrelu.compare(
            _named(model),
            _named(data) if data and _is_name(data) else data,
            target,
            kind=kind,  # type: ignore[arg-type]  # checked, with a clear message, by compare
            drop=_listed(drop),
            loss=_named(loss),
            metric=_named(metric) if metric and ":" in metric else metric,
            optimizer=_named(optimizer),
            schedule=_named(schedule),
            activations=_listed(activations),
            seeds=seeds,
            depth=depth,
            width=width,
            epochs=epochs,
            batch_size=batch_size,
            lr=_numbers(lr),
            rope=rope,
            engine=engine,  # type: ignore[arg-type]  # as is this
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
                f"{error}; the trials are kept, and a page elsewhere is made by: leakyrelu "
                f"report {result.directory} --html page.html"
            ) from error
        typer.echo(f"\nreport: {report}")


@app.command()
def report(
    directories: Annotated[
        list[Path], typer.Argument(help="Where compare keeps trials; several stand side by side.")
    ],
    html: Annotated[
        Path | None,
        typer.Option(
            help="The page to write. \\[default: report.html in the directory; of several, here]"
        ),
    ] = None,
    rope: Annotated[
        float | None,
        typer.Option(help="The smallest difference that matters. \\[default: as it was run]"),
    ] = None,
    pairs: Annotated[
        bool, typer.Option("--pairs", help="Compare all with all, too, not with relu only.")
    ] = False,
    export: Annotated[
        Path | None,
        typer.Option(help="Write the trials to a .csv, .parquet or .json file, too."),
    ] = None,
    tensorboard: Annotated[
        Path | None, typer.Option(help="Write the trials as runs of TensorBoard here, too.")
    ] = None,
) -> None:
    """Tell again what experiments found: finished, stopped or still running."""
    with _clear_errors():
        from rich.console import Console

        from leakyrelu._comparison.comparison import Comparison
        from leakyrelu._data.files import check_file, replacing
        from leakyrelu._report.export import ENDINGS, PAGES, to_tensorboard
        from leakyrelu._report.export import export as write
        from leakyrelu._report.html import comparison_page, experiments_page
        from leakyrelu._report.terminal import print_comparison, print_experiments, print_pairs

        for file, endings in ((html, PAGES), (export, ENDINGS)):
            if file is not None:
                check_file(file, endings)
        places = [directory.resolve() for directory in directories]
        for directory, place in zip(directories, places, strict=True):
            if places.count(place) > 1:
                raise InputError(f"{directory} was given twice; name each directory once")
        found = [Comparison.read(directory, rope) for directory in directories]
        # Files come first: who reads what is printed may close the pipe early.
        wrote = []
        if tensorboard is not None:
            to_tensorboard(found, tensorboard)
            wrote.append(f"wrote {tensorboard}: tensorboard --logdir {tensorboard}")
        if export is not None:
            write(found, export)
            wrote.append(f"wrote {export}")
        one = found[0] if len(found) == 1 else None
        undecided = not all(each.candidates for each in found)
        page = html or (one.directory / "report.html" if one else Path("report.html"))
        not_written = None
        try:
            if undecided and html is None:
                wrote.append("no page yet: it takes a verdict")
            elif undecided:
                told = "; ".join(
                    f"{each.directory}: {each.verdict}" for each in found if not each.candidates
                )
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
            help="Examples for it: a .npy, .npz or .pt file, a table as compare reads it, or "
            "module:name of a tensor, of batches such as a DataLoader's, or of a function that "
            "returns either."
        ),
    ],
    checkpoint: Annotated[
        Path | None, typer.Option(help="Weights, as torch.save wrote the state_dict.")
    ] = None,
    fail_above: Annotated[
        str | None,
        typer.Option(help="Exit with 1 if more than this share of a layer is dead, such as 5%."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON in place of the table.")
    ] = False,
    html: Annotated[Path | None, typer.Option(help="Write the table as a page, too.")] = None,
    treat: Annotated[
        Path | None,
        typer.Option(
            help="Make dead units new, rectifiers as they are, and write the state_dict to this "
            ".pt file."
        ),
    ] = None,
) -> None:
    """Tell which units of your model are dead, in one pass over some data."""
    with _clear_errors():
        most = None if fail_above is None else _share(fail_above)

        with _status("loading PyTorch"):
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
            batches = list(batches)  # they are gone through several times
        found = examine(network, batches)
        if html is not None:
            found.to_html(html)
        if treat is not None:
            treatment = leakyrelu.treat(network, batches, leak=None)
            torch.save(network.state_dict(), treat)
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
            typer.echo(
                f"more than {fail_above} of the units are dead in {', '.join(over)}", err=True
            )
            raise typer.Exit(1)


@app.command()
def plot(
    activations: Annotated[
        list[str] | None,
        typer.Argument(
            help=f"What to draw, of {', '.join(KINDS)}; or module:name of a torch module or of a "
            "function, such as torch.nn:Mish. \\[default: relu leaky_relu:0.1]"
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Write a .png, .svg, .pdf, .jpg, .webp or other picture in place of a window.",
        ),
    ] = None,
    limit: Annotated[float, typer.Option(help="Draw from -LIMIT to LIMIT, 1e-280 to 1e300.")] = 4.0,
) -> None:
    """Draw activations and their derivatives, such as: leakyrelu plot relu leaky_relu:0.2."""
    with _clear_errors():
        chosen = [_drawn(text) for text in activations or ("relu", "leaky_relu:0.1")]
        if output is not None:
            leakyrelu.plot(chosen, output, limit=limit)
            typer.echo(f"wrote {output}")
        else:
            figure, show = _window()
            leakyrelu.plot(chosen, limit=limit, figure=figure)
            show()


def main() -> None:
    """Run the command line."""
    app()
