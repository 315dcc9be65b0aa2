"""The result of watching a model: deaths, tables, a plot, and what a checkpoint keeps."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

from leakyrelu._errors import InputError
from leakyrelu._trace.calls import coverage
from leakyrelu.health._causes import BORN_DEAD, CAUSES, STARVED
from leakyrelu.health._layers import LayerHealth, total
from leakyrelu.health._result import Result, table_of
from leakyrelu.health._tracked import TrackedLayer

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["Deaths", "Findings"]


@dataclass(frozen=True)
class Deaths:
    """Units of a layer that were found dead, of one cause, at the end of a window.

    Attributes
    ----------
    layer : str
        The layer, named as by `examine`.
    units : list of int
        Their indices.
    of : int
        The number of units in the layer.
    first, last : int
        They fired before step `first`, and in no step from `last` on; both are 0 if they were
        born dead.
    cause : {"born dead", "starved", "bias", "weights", "inputs", "rare"}
        What they died of.
    learning_rate : float or None
        That of the layer that feeds them, at step `first`, if an optimizer of PyTorch trains
        it. If it changes between `first` and `last`, this is the value before.
    gradient_norm : float or None
        The norm of the gradient of that layer's weight, at step `first`.
    update_size : float or None
        The norm of the optimizer's update to that weight in that step, over the norm of the
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


# Beyond so many windows, neighbors are merged; beyond so many deaths, the latest are kept.
MOST_WINDOWS = 500
MOST_DEATHS = 1000


def _merged(earlier: list[dict[str, Any]], later: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the state after the later window, and the events of both."""
    before = {(row["layer"], row["function"]): row for row in earlier}
    merged = []
    for row in later:
        first = before.get((row["layer"], row["function"]), {})
        merged.append(row | {name: row[name] + first.get(name, 0) for name in ("died", "revived")})
    return merged


class Findings(Result):
    """The result up to the end of the last window.

    Attributes
    ----------
    step : int
        Training forwards so far.
    deaths : list of Deaths
        In the order in which they were found, the latest 1,000.
    failure : str or None
        Why watching ended before the training did, if it did.
    unseen : dict of str to int
        How many activations of other kinds ran: nothing is known of their units.
    """

    def __init__(self, window: int) -> None:
        self.window = window
        self.step = 0
        self.deaths: list[Deaths] = []
        self._tracked: dict[str, TrackedLayer] = {}
        self._history: list[list[dict[str, Any]]] = []  # a row for each layer, by window
        self._window_start = 0
        self.failure: str | None = None
        self.unseen: dict[str, int] = {}

    def _need_a_window(self) -> None:
        if not self._history and self.failure is not None:
            raise InputError(f"nothing was watched: {self.failure}")
        if not self._history:
            raise RuntimeError(
                f"no window of {self.window} steps has ended yet, only {self.step} training "
                "forwards were seen; train on (is the model in training mode, and not called "
                "from a compiled function, or by a method that methods= does not name?), or choose "
                "a shorter window="
            )

    def _remember(self, rows: list[dict[str, Any]], deaths: list[Deaths]) -> None:
        """Keep the events of a window, in memory that does not grow with the run."""
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
        """The last window in a sentence."""
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
            + (f" {self.coverage}." if self.unseen else "")
        )

    @property
    def coverage(self) -> str:
        """How many of the model's activations were seen, and which ones were not."""
        return coverage(len(self._tracked), self.unseen)

    def table(self) -> pd.DataFrame:
        """Return one row for each layer, for the last window.

        Returns
        -------
        pandas.DataFrame
            Columns layer, function, units; the percentage of units that are dead, stuck negative,
            dormant (tau 0.025), always on, or had a NaN; quantiles of the firing rate; gradient,
            the root mean square of the gradient that reaches the layer. "rate below": units that
            did not fire do so for less than this share of independent examples, with 95%
            confidence. "born dead", "died" and "revived": numbers of units since the start.
            Rates, dormant and always on are those of the first batch of the window.
        """
        return table_of(self._rows())

    def _rows(self) -> list[dict[str, Any]]:
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
        return rows

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain types: the layers, the dead units, and all deaths."""
        return {
            "summary": self.summary,
            "window": self.window,
            "step": self.step,
            "coverage": self.coverage,
            "layers": self._rows(),
            "dead units": self._dead_units(),
            "deaths": [asdict(deaths) for deaths in self.deaths],
        }

    def deaths_table(self) -> pd.DataFrame:
        """Return one row for each unit that is dead now.

        Returns
        -------
        pandas.DataFrame
            Columns layer, unit; "silent since", the step since which it has not fired;
            "last fired", the step at the end of the last window in which it did, or -1; cause;
            recoverable, whether a layer below can still move it: not in the first layer, and
            not if it is starved.
        """
        columns = ["layer", "unit", "silent since", "last fired", "cause", "recoverable"]
        return table_of(self._dead_units(), columns)

    def _dead_units(self) -> list[dict[str, Any]]:
        self._need_a_window()
        causes = list(CAUSES)
        rows = []
        for layer in self._tracked.values():
            for unit in layer.health().dead.nonzero().squeeze(1).tolist():
                cause = causes[int(layer.cause[unit])]
                rows.append(
                    {
                        "layer": layer.layer,
                        "function": layer.function,
                        "unit": unit,
                        "silent since": int(layer.silent_since[unit]),
                        "last fired": int(layer.last_fired[unit]),
                        "cause": cause,
                        "recoverable": layer.below_is_trainable and cause != STARVED,
                    }
                )
        return rows

    def history(self) -> pd.DataFrame:
        """Return one row for each window and layer.

        In long runs neighboring windows are merged, so that there are at most 500.

        Returns
        -------
        pandas.DataFrame
            Columns step (at the end of the window), layer, function, units, dead, "stuck
            negative", died, revived, "median rate", gradient, examples.
        """
        self._need_a_window()
        return table_of([row for window in self._history for row in window])

    def plot(self) -> Figure:
        """Plot the share of silent units by layer and step, as a heat map."""
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

    def __str__(self) -> str:
        return "\n".join([self._table_text(), *map(str, self.deaths[-10:]), self.summary])

    # --- Checkpoints -----------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return the result up to the end of the last window, for a checkpoint."""
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
