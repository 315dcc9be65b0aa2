"""A picture of activations: each curve and its derivative, side by side."""

from __future__ import annotations

import gzip
import io
import os
import re
import reprlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from leakyrelu._data.files import check_file, replacing
from leakyrelu._errors import InputError, needed_for
from leakyrelu._plot.curves import LARGEST, SMALLEST, curves
from leakyrelu.activations import Activation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

__all__ = ["plot"]

# Okabe and Ito's palette, which colour-blind readers can tell apart, without yellow, which is too
# pale for a line on white. The dashes tell the curves apart without any colour.
COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00"]
DASHES = ["-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)), (0, (8, 3)), (0, (3, 1))]

FIGURE_SIZE = (9, 3.8)  # inches


def plot(
    activations: str
    | Activation
    | Callable[..., Any]
    | Iterable[str | Activation | Callable[..., Any]]
    | Mapping[str, str | Activation | Callable[..., Any]] = ("relu", "leaky_relu:0.1"),
    path: str | os.PathLike[str] | None = None,
    *,
    limit: float = 4.0,
    figure: Figure | None = None,
) -> Figure:
    """Draw activations and their derivatives.

    Parameters
    ----------
    activations : spec, module or function, or several; default ("relu", "leaky_relu:0.1")
        What to draw. A spec is what `leakyrelu.parse` takes: ``"prelu:0.3"``. A PyTorch module,
        or its class, is drawn in evaluation mode and left unchanged; a PReLU with several slopes
        gives one curve each. A function takes arrays, tensors or single numbers, element by
        element: ``np.tanh``, ``torch.nn.functional.gelu``,
        ``lambda x: x**3``. A dict names the curves: ``{"cube": lambda x: x**3}``.
    path : str or path-like, optional
        Write the picture there; the ending is the format, any that matplotlib writes: ``.png``,
        ``.svg``, ``.pdf``, ``.eps``, ``.jpg``, ``.webp``, ``.tif`` and more. The same picture gives
        the same file.
    limit : float, default 4.0
        The curves run from ``-limit`` to ``limit``, a number from 1e-280 to 1e300.
    figure : matplotlib.figure.Figure, optional
        Draw in this figure; by default in a new one outside pyplot.

    Returns
    -------
    matplotlib.figure.Figure
        Notebooks display it; it can be changed further.

    Raises
    ------
    TypeError
        If something to draw is neither a spec, a module nor a function, `path` is not a path, or
        `figure` is not a figure.
    InputError
        If an activation is unknown, fails, is not elementwise or has values that can't be
        drawn; none is given; `limit` is out of range; or matplotlib has no format for the ending
        of `path`.
    OSError
        If the file can't be written; an existing file is kept.
    MissingDependencyError
        If matplotlib is not installed.

    Notes
    -----
    Derivatives of modules and of functions of tensors come from PyTorch's autograd, those of
    other functions from finite differences. Where a function or its derivative jumps, the line
    breaks.

    Examples
    --------
    >>> figure = plot(["relu", "leaky_relu:0.2", np.tanh])
    >>> [axes.get_title() for axes in figure.axes]
    ['activation f(x)', "derivative f'(x)"]
    >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    ['relu', 'leaky_relu:0.2', 'tanh']
    """
    with needed_for("plot", "plot"):
        from matplotlib.figure import Figure

        from leakyrelu._plot.figure import NotebookFigure

    if is_new := figure is None:
        figure = NotebookFigure(figsize=FIGURE_SIZE)
    if not isinstance(figure, Figure):
        raise TypeError(
            f"figure must be a matplotlib.figure.Figure, but is a {type(figure).__name__}"
        )
    if path is not None:
        path = _checked_path(path, figure)
    drawn = curves(activations, _checked_limit(limit))
    curve, slope = figure.subplots(1, 2)
    for axes in (curve, slope):
        axes.set_xlabel("x (pre-activation)")
        axes.grid(color="0.6", linewidth=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.locator_params(axis="x", steps=[1, 2, 5, 10])
    curve.set_title("activation f(x)")
    slope.set_title("derivative f'(x)")
    colors = [*COLORS, curve.xaxis.label.get_color()]  # black, or white on a dark page
    for i, one in enumerate(drawn):
        style: dict[str, Any] = {
            "color": colors[i % len(colors)],
            "linestyle": DASHES[(i + i // len(colors)) % len(DASHES)],
            "linewidth": 2.2,
        }
        curve.plot(*one.value, **style)
        slope.plot(*one.derivative, **style)
    handles = list(curve.lines)
    for axes in (curve, slope):
        axes.axhline(0, color="0.6", linewidth=0.8, zorder=0)
        axes.axvline(0, color="0.6", linewidth=0.8, zorder=0)
    _add_legend(figure, curve, handles, [one.label for one in drawn], is_new)
    if path is not None:
        _write(figure, path)
    return figure


def _add_legend(
    figure: Figure, axes: Axes, lines: list[Line2D], labels: list[str], is_new: bool
) -> None:
    """Put the legend below both axes, where it covers no curve."""
    width, height = figure.get_size_inches()
    column = 0.8 + 0.09 * max(map(len, labels))  # inches for a line, a label and a gap
    columns = min(len(labels), max(1, int(width / column)))
    needed = 0.1 + 0.22 * -(-len(labels) // columns)
    if is_new:
        height += needed
        figure.set_size_inches(width, height)
    share = min(needed / height, 0.5)
    figure.set_layout_engine("constrained", rect=(0, share, 1, 1 - share))
    legend = axes.legend(
        lines,
        ["-"] * len(lines),
        loc="lower center",
        bbox_to_anchor=(0.5, 0),
        bbox_transform=figure.transFigure,
        ncols=columns,
        handlelength=3.2,  # the longest dash and its gap
        frameon=False,
    )
    legend.set_in_layout(False)
    for line, text, label in zip(lines, legend.get_texts(), labels, strict=True):
        # Set afterwards: matplotlib skips labels such as _swish, and takes $ for a formula.
        line.set_label(label)
        text.set_text(label)
        text.set_parse_math(False)


def _checked_limit(limit: Any) -> float:
    try:
        number = np.nan if isinstance(limit, (str, bytes)) else float(limit)
    except (TypeError, ValueError, OverflowError):
        number = np.nan
    if not SMALLEST <= number <= LARGEST:
        raise InputError(
            f"limit must be a positive number from {SMALLEST:g} to {LARGEST:g}, but is "
            f"{reprlib.repr(limit)}"
        )
    return number


def _checked_path(path: Any, figure: Figure) -> Path:
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path must be a str or a path, but is a {type(path).__name__}")
    file = Path(path)
    endings = [f".{ending}" for ending in sorted(figure.canvas.get_supported_filetypes())]
    if file.suffix.lower() not in endings:
        raise InputError(f"{path} should end in one of {', '.join(endings)}")
    check_file(file, endings)
    return file


def _write(figure: Figure, path: Path) -> None:
    """Write the picture, the same bytes every time: without a date, with fixed ids."""
    import matplotlib

    ending = path.suffix.lstrip(".").lower()
    kind = ending.removesuffix("z")  # gzip's header has a date too
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
    buffer = io.BytesIO()
    try:
        with matplotlib.rc_context({"svg.hashsalt": "leakyrelu", "svg.fonttype": "none"}):
            figure.savefig(buffer, format=kind, dpi=150, metadata=metadata)
    except Exception as error:  # a program or a part of Pillow is missing
        told = " ".join(f"{type(error).__name__}: {error}".split())
        raise OSError(f"{path} can't be written as .{ending}: {told}") from error
    picture = buffer.getvalue()
    if kind in ("eps", "ps"):
        picture = re.sub(rb"(?m)^%%CreationDate: .*\n", b"", picture, count=1)
    if ending != kind:
        picture = gzip.compress(picture, mtime=0)
    with replacing(path) as part:
        part.write_bytes(picture)
