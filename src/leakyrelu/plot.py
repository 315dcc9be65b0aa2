"""A picture of activations: each curve and its derivative, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from leakyrelu.activations import Activation, parse

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot"]

# Okabe and Ito's palette, told apart by colour-blind readers; yellow is left out, as it is
# too pale for a line on white. The dashes tell the curves apart without any colour.
COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000"]
DASHES = ["-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)), (0, (8, 3)), (0, (3, 1))]

FIGURE_SIZE = (9, 3.8)  # inches
NEEDS_MATPLOTLIB = "plot needs matplotlib: pip install 'leakyrelu[plot]'"


def plot(
    activations: str | Activation | Sequence[str | Activation] = ("relu", "leaky_relu:0.1"),
    path: str | Path | None = None,
    *,
    limit: float = 4.0,
    figure: Figure | None = None,
) -> Figure:
    """Draw activations and their derivatives.

    Parameters
    ----------
    activations : spec or sequence of specs, default ("relu", "leaky_relu:0.1")
        What to draw, as `leakyrelu.activations.parse` takes it: ``"prelu:0.3"``.
    path : str or Path, optional
        Write the picture there; its ending (``.png``, ``.svg``, ``.pdf``) is the format.
    limit : float, default 4.0
        The curves run from ``-limit`` to ``limit``.
    figure : matplotlib.figure.Figure, optional
        Draw in this one; by default in a new one outside pyplot.

    Returns
    -------
    matplotlib.figure.Figure
        To change further, or shown by a notebook.

    Raises
    ------
    ValueError
        If an activation is unknown, none is given, `limit` is not positive, or the ending
        of `path` is not a format of matplotlib.
    ImportError
        If matplotlib is not installed.

    Examples
    --------
    >>> figure = plot(["relu", "leaky_relu:0.2"])
    >>> [axes.get_title() for axes in figure.axes]
    ['activation f(x)', "derivative f'(x)"]
    """
    if isinstance(activations, (str, Activation)):
        activations = [activations]
    chosen = list(dict.fromkeys(parse(activation) for activation in activations))
    if not chosen:
        raise ValueError("no activation given to plot; name at least one, such as leaky_relu:0.1")
    if not (np.isfinite(limit) and limit > 0):
        raise ValueError(f"limit must be a positive number, but is {limit}")
    try:
        from leakyrelu._figure import NotebookFigure
    except ImportError as error:
        raise ImportError(NEEDS_MATPLOTLIB) from error

    if figure is None:
        figure = NotebookFigure(figsize=FIGURE_SIZE)
    curve, slope = figure.subplots(1, 2)
    negative, positive = np.linspace(-limit, 0, 400), np.linspace(0, limit, 400)[1:]
    x = np.concatenate([negative, positive])
    for i, activation in enumerate(chosen):
        style = {
            "color": COLORS[i % len(COLORS)],
            "linestyle": DASHES[i % len(DASHES)],
            "linewidth": 2.2,
        }
        curve.plot(x, activation.value(x), label=activation.spec, **style)
        derivative = activation.derivative(x)
        # A break at 0 where the derivative jumps: a vertical stroke there would be untrue.
        if abs(derivative[negative.size] - derivative[negative.size - 1]) > 0.05:
            derivative = np.insert(derivative, negative.size, np.nan)
            slope.plot(np.insert(x, negative.size, 0.0), derivative, **style)
        else:
            slope.plot(x, derivative, **style)
    curve.set_title("activation f(x)")
    slope.set_title("derivative f'(x)")
    for axes in (curve, slope):
        axes.set_xlabel("x (pre-activation)")
        axes.axhline(0, color="0.6", linewidth=0.8, zorder=0)
        axes.axvline(0, color="0.6", linewidth=0.8, zorder=0)
        axes.grid(color="0.9", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    curve.legend(frameon=False)
    if path is not None:
        formats = figure.canvas.get_supported_filetypes()
        ending = Path(path).suffix.lstrip(".").lower()
        if ending not in formats:
            raise ValueError(f"{path} should end in one of .{', .'.join(sorted(formats))}")
        # No date and fixed ids: the same picture gives the same file.
        metadata = {"Date": None} if ending == "svg" else {}
        import matplotlib

        with matplotlib.rc_context({"svg.hashsalt": "leakyrelu", "svg.fonttype": "none"}):
            figure.savefig(path, dpi=150, metadata=metadata)
    return figure
