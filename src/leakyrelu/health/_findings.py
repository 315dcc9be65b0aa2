"""What watching a model has found: deaths, tables, and how they are drawn and kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from leakyrelu.health._causes import BORN_DEAD, CAUSES, STARVED
from leakyrelu.health._layers import LayerHealth, page_of, table_of, total
from leakyrelu.health._tracked import TrackedLayer

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["Deaths", "Findings"]


@dataclass(frozen=True)
class Deaths:
    """Units of a layer that were found dead at the end of one window.

    Attributes
    ----------
    layer : str
        The rectifier call.
    units : list of int
        Their numbers.
    of : int
        How many units the layer has.
    first, last : int
        They fired before step `first`, and in no step from `last` on; of those born dead
        both are 0.
    cause : str
        What most of them died of, one of `leakyrelu.health._causes.CAUSES`.
    learning_rate : float or None
        That of the layer that feeds them, at step `first`, where an optimizer of PyTorch trains
        it. If it changes between `first` and `last`, this is what it was before.
    gradient_norm : float or None
        Of that layer's weight, at step `first`.
    update_size : float or None
        The norm of what the optimizer changed that weight by in that step, over the norm of the
        weight.
    """

    layer: str
    units: list[int]
    of: int
    first: int
    last: int
    cause: str
    learning_rate: float | None = None
    gradient_norm: float | None = None
    update_size: float | None = None

    def __str__(self) -> str:
        count = f"{self.layer}: {len(self.units)} of {self.of} units"
        if self.cause == BORN_DEAD:
            return f"{count} were born dead: they fired for no example before the first update"
        text = f"{count} died between step {self.first} and {self.last}, {CAUSES[self.cause]}"
        if self.cause in ("bias", "weights") and self.learning_rate is not None:
            text += f"; learning rate {self.learning_rate:g} is the likely cause"
            if self.update_size is not None:
                text += f" (an update changed the weights by {self.update_size:.2%} of their norm)"
        return text


# Of more windows than that, each two are merged; of more deaths, the latest are kept.
MOST_WINDOWS = 500
MOST_DEATHS = 1000


def _merged(earlier: list[dict[str, Any]], later: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return how things stood after the later window, and what happened in both."""
    before = {(row["layer"], row["function"]): row for row in earlier}
    merged = []
    for row in later:
        first = before.get((row["layer"], row["function"]), {})
        merged.append(row | {name: row[name] + first.get(name, 0) for name in ("died", "revived")})
    return merged


class Findings:
    """What was found, up to the end of the last window.

    Attributes
    ----------
    step : int
        Training forwards so far.
    deaths : list of Deaths
        In the order in which they were found, the latest 1,000.
    """

    def __init__(self, window: int) -> None:
        self.window = window
        self.step = 0
        self.deaths: list[Deaths] = []
        self._tracked: dict[str, TrackedLayer] = {}
        self._history: list[list[dict[str, Any]]] = []  # a row for each layer, by window
        self._window_start = 0

    def _need_a_window(self) -> None:
        if not self._history:
            raise RuntimeError(
                f"no window of {self.window} steps has ended yet, only {self.step} training "
                "forwards were seen; train on (is the model in training mode, and not called "
                "from a compiled function?), or choose a shorter window="
            )

    def _remember(self, rows: list[dict[str, Any]], deaths: list[Deaths]) -> None:
        """Keep what a window has brought, in a memory that does not grow with the run."""
        self._history.append(rows)
        if len(self._history) > MOST_WINDOWS:
            pairs = zip(self._history[::2], self._history[1::2], strict=False)
            rest = self._history[-1:] if len(self._history) % 2 else []
            self._history = [_merged(earlier, later) for earlier, later in pairs] + rest
        self.deaths = [*self.deaths, *deaths][-MOST_DEATHS:]

    @property
    def layers(self) -> list[LayerHealth]:
        """The layers, in the order in which the model calls them."""
        self._need_a_window()
        return [layer.health() for layer in self._tracked.values()]

    @property
    def summary(self) -> str:
        """One sentence on the window that ended last."""
        self._need_a_window()
        born_dead = list(CAUSES).index(BORN_DEAD)
        born = sum(
            int((layer.health().dead & (layer.cause == born_dead)).sum())
            for layer in self._tracked.values()
        )
        examples = max(layer.examples for layer in self._tracked.values())
        start = max(self._window_start - self.window, 0)
        return (
            f"{total(self.layers, born)} "
            f"(window: step {start} to {self._window_start}, {examples:,} examples)."
        )

    def report(self) -> pd.DataFrame:
        """Return one row a layer, of the window that ended last.

        Returns
        -------
        pandas.DataFrame
            Columns layer, function, units; the per cent of units that are dead, stuck negative,
            dormant (tau 0.025), always on, or met NaN; quantiles of the firing rate; gradient,
            the root mean square of what reaches the layer. "rate below": units that did not
            fire do so for less than this share of independent examples, with 95% confidence.
            "born dead", "died" and "revived", the numbers of units since the start. Rates and
            the states that rest on them are those of the first batch of the window.
        """
        self._need_a_window()
        rows = []
        for layer in self._tracked.values():
            is_silent = bool(layer.is_silent.any())
            rows.append(
                {
                    **layer.health().row(),
                    "rate below": 3 / layer.examples if is_silent and layer.examples else None,
                    "born dead": layer.born_dead,
                    "died": layer.died,
                    "revived": int((layer.revived >= 0).sum()),
                }
            )
        return table_of(rows)

    def deaths_table(self) -> pd.DataFrame:
        """Return one row for each unit that is dead now.

        Returns
        -------
        pandas.DataFrame
            Columns layer, unit; "silent since", the step from which on it did not fire;
            "last fired", the step at the end of the last window in which it did, or -1; cause;
            recoverable, whether a layer below can still move it: not if it is of the first
            layer, or starved.
        """
        self._need_a_window()
        causes = list(CAUSES)
        rows = []
        for layer in self._tracked.values():
            for unit in layer.health().dead.nonzero().squeeze(1).tolist():
                cause = causes[int(layer.cause[unit])]
                rows.append(
                    {
                        "layer": layer.layer,
                        "unit": unit,
                        "silent since": int(layer.silent_since[unit]),
                        "last fired": int(layer.last_fired[unit]),
                        "cause": cause,
                        "recoverable": layer.below_is_trainable and cause != STARVED,
                    }
                )
        columns = ["layer", "unit", "silent since", "last fired", "cause", "recoverable"]
        return table_of(rows, columns)

    def causes(self) -> dict[str, list[str | None]]:
        """Return, by layer and unit, what those that are dead died of; None for the living."""
        self._need_a_window()
        names = list(CAUSES)
        return {
            layer.layer: [
                names[cause] if dead else None
                for cause, dead in zip(
                    layer.cause.tolist(), layer.health().dead.tolist(), strict=True
                )
            ]
            for layer in self._tracked.values()
        }

    def history(self) -> pd.DataFrame:
        """Return one row for each window and layer.

        Of a run of more than 500 windows each two are merged, as often as need be.

        Returns
        -------
        pandas.DataFrame
            Columns step (at the end of the window), layer, function, units, dead, "stuck
            negative", died, revived, "median rate", gradient, examples.
        """
        self._need_a_window()
        return table_of([row for window in self._history for row in window])

    def plot(self) -> Figure:
        """Draw the share of silent units of each layer over the steps, as a heat map."""
        import matplotlib as mpl

        from leakyrelu._plot.figure import NotebookFigure

        history = self.history()
        history["silent"] = (history["dead"] + history["stuck negative"]) / history["units"]
        names = list(dict.fromkeys(history["layer"]))
        steps = sorted(set(history["step"]))
        shares = history.pivot_table(index="layer", columns="step", values="silent", sort=False)
        shares = shares.reindex(index=names, columns=steps)
        with mpl.rc_context({"font.size": 9}):
            figure = NotebookFigure(figsize=(8, 0.9 + 0.3 * len(names)))
            axes = figure.subplots()
            edges = [max(steps[0] - self.window, 0), *steps]
            mesh = axes.pcolormesh(
                edges, range(len(names) + 1), shares, cmap="magma_r", vmin=0, vmax=1
            )
            axes.set_yticks([row + 0.5 for row in range(len(names))], names)
            axes.invert_yaxis()
            axes.set_xlabel("step")
            figure.colorbar(mesh, label="silent units", format=lambda x, _: f"{x:.0%}")
        return figure

    def to_html(self, path: str | Path | None = None) -> str:
        """Return a page with the report, and write it to `path` if that is given."""
        return page_of(self.report(), self.summary, path)

    def _repr_html_(self) -> str:
        return self.to_html()

    def __str__(self) -> str:
        lines = [self.report().to_string(index=False, float_format=lambda x: f"{x:.3g}")]
        return "\n".join([*lines, *map(str, self.deaths[-10:]), self.summary])

    # --- Checkpoints -----------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return what was found up to the end of the last window, for a checkpoint."""
        return {
            "step": self.step,
            "layers": {key: layer.state_dict() for key, layer in self._tracked.items()},
            "history": [list(rows) for rows in self._history],
            "deaths": [vars(deaths) for deaths in self.deaths],
        }

    def _load(self, state: dict[str, Any], device: torch.device) -> None:
        self.step = self._window_start = state["step"]
        self._history = list(state["history"])
        self.deaths = [Deaths(**deaths) for deaths in state["deaths"]]
        self._tracked = {
            key: TrackedLayer.from_state(of_layer, device)
            for key, of_layer in state["layers"].items()
        }
