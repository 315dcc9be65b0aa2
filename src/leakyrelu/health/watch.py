"""Watching a model while it trains: which units die, since when, and why."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from leakyrelu.health.calls import NO_RECTIFIER, Call, CallTracer
from leakyrelu.health.causes import BORN_DEAD, CAUSES, STARVED, Look, causes_of
from leakyrelu.health.counts import FiringCounts

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["Deaths", "HealthWarning", "Watch", "watch"]

NEVER = -1  # in place of a step


class HealthWarning(UserWarning):
    """Many units of a layer died."""


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
        What most of them died of, one of `leakyrelu.health.causes.CAUSES`.
    learning_rate : float or None
        That of the layer that feeds them, where an optimizer of PyTorch trains it.
    gradient_norm : float or None
        Of that layer's weight, at the start of the window.
    """

    layer: str
    units: list[int]
    of: int
    first: int
    last: int
    cause: str
    learning_rate: float | None
    gradient_norm: float | None

    def __str__(self) -> str:
        count = f"{self.layer}: {len(self.units)} of {self.of} units"
        if self.cause == BORN_DEAD:
            return f"{count} were born dead: they fired for no example before the first update"
        text = f"{count} died between step {self.first} and {self.last}, {CAUSES[self.cause]}"
        if self.cause in ("bias", "weights") and self.learning_rate is not None:
            text += f"; learning rate {self.learning_rate:g} is the likely cause"
        return text


class _Layer:
    """What is known of the units of one rectifier call."""

    def __init__(self, call: Call) -> None:
        x = call.pre_activation
        self.layer, self.function = call.layer, call.function
        self.blocks_gradient, self.axis = call.blocks_gradient, call.unit_axis
        self.feeding, self.below_is_trainable = call.feeding, call.below_is_trainable
        self.units, self.device = x.shape[call.unit_axis], x.device
        never = torch.full((self.units,), NEVER, dtype=torch.int32, device=self.device)
        # By unit, the step at the start (silent) or end (the others) of a window.
        self.last_fired, self.silent_since, self.revived = never, never.clone(), never.clone()
        self.cause = torch.zeros(self.units, dtype=torch.int8, device=self.device)
        self.rate = torch.zeros(self.units, device=self.device)
        self.gradient: Tensor | None = None  # mean absolute value, at the last closer look
        self.look: Look | None = None
        self.causes: Tensor | None = None  # of a death since the look before
        self.learning_rate: float | None = None
        self.gradient_norm: float | None = None
        self.examples = 0  # of the window that ended last
        self.begin_window()

    _KEPT = (
        "layer",
        "function",
        "blocks_gradient",
        "axis",
        "feeding",
        "below_is_trainable",
        "units",
        "last_fired",
        "silent_since",
        "revived",
        "cause",
        "rate",
        "examples",
        "learning_rate",
        "gradient_norm",
    )

    def state_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._KEPT}

    @classmethod
    def from_state(cls, state: dict[str, Any], device: torch.device) -> _Layer:
        layer = cls.__new__(cls)
        for name, value in state.items():
            setattr(layer, name, value.to(device) if isinstance(value, Tensor) else value)
        layer.device = device
        layer.gradient = layer.look = layer.causes = None
        layer.begin_window()
        return layer

    def begin_window(self) -> None:
        self.seen = 0
        self.fired = torch.zeros(self.units, dtype=torch.bool, device=self.device)
        self.has_nan = torch.zeros_like(self.fired)
        self.missing: Tensor | None = None  # units that have not fired yet, where known

    @property
    def is_settled(self) -> bool:
        """Whether every unit has fired in this window, so that there is nothing to find out."""
        return self.missing is not None and len(self.missing) == 0

    def count(self, x: Tensor) -> None:
        """Look for units that have not fired in this window yet."""
        self.seen += x.shape[0]
        if self.is_settled:
            return
        x, among = x.detach(), slice(None)
        if self.missing is not None and len(self.missing) * 4 < self.units:
            among = self.missing  # type: ignore[assignment]
            x = x.index_select(self.axis, self.missing)
        others = [axis for axis in range(x.ndim) if axis != self.axis % x.ndim]
        greatest = x.amax(others)
        self.fired[among] |= greatest > 0
        self.has_nan[among] |= greatest.isnan()
        self._find_missing()

    def look_closer(self, call: Call, feeding: nn.Module) -> None:
        """Take firing rates, and what the pre-activations are made of, from one batch."""
        counts = FiringCounts(unit_axes=self.axis)
        counts.update(call.pre_activation)
        self.seen += counts.examples
        self.rate = counts.rate
        self.fired |= counts.fired > 0
        self.has_nan |= counts.has_nan
        self._find_missing()
        before, self.look = self.look, Look.at(call, feeding)
        if before is not None:
            self.causes = causes_of(before, self.look, feeding)

    def _find_missing(self) -> None:
        if self.device.type == "cpu":  # to ask another device would be to wait for it
            self.missing = (~self.fired).nonzero().squeeze(1)

    @property
    def is_silent(self) -> Tensor:
        """Bool of shape (units,): did not fire in the window that ended last."""
        return self.silent_since != NEVER

    def end_window(self, first: int, last: int) -> tuple[Tensor, Tensor]:
        """Return which units fell silent and which revived between the two steps."""
        was_silent = self.is_silent
        died = ~self.fired & ~self.has_nan & ~was_silent
        revived = self.fired & was_silent
        self.silent_since[died] = first
        self.silent_since[self.fired] = NEVER
        self.revived[revived] = last
        self.last_fired[self.fired] = last
        born = torch.full_like(self.cause, list(CAUSES).index(BORN_DEAD))
        causes = born if first == 0 or self.causes is None else self.causes
        self.cause[died] = causes[died]
        self.examples = self.seen
        return died, revived


class Watch:
    """Counts which units fire while a model trains; made by `watch`."""

    def __init__(
        self,
        model: nn.Module,
        *,
        window: int = 100,
        warn_above: float = 0.5,
        unit_axis: int | None = None,
        on_death: Callable[[Deaths], None] | None = None,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(f"model must be a torch.nn.Module, but is {type(model).__name__}")
        if isinstance(model, nn.DataParallel):
            raise ValueError(
                "a DataParallel model runs on copies that are thrown away after each step, so "
                "they can't be watched; use DistributedDataParallel"
            )
        if window < 1:
            raise ValueError(f"window must be at least 1 step, but is {window}")
        self.model = model
        self.window = window
        self.warn_above = warn_above
        self.on_death = on_death
        self.step = 0  # training forwards so far
        self.deaths: list[Deaths] = []
        self._layers: dict[str, _Layer] = {}
        self._history: list[dict[str, Any]] = []
        self._tracer = CallTracer(model, self._on_call, unit_axis)
        self._hooks: ExitStack | None = None
        self._running = ExitStack()  # of one forward
        self._following = ExitStack()  # of a window, until all units have fired
        self._window_start = 0
        self._looks_closer = False
        self._warned: set[str] = set()

    # --- Starting and stopping -------------------------------------------------------------

    def start(self) -> Watch:
        """Begin to watch; the training loop needs no change."""
        if self._hooks is not None:
            raise RuntimeError("this watch has been started already; stop it first")
        self._hooks = ExitStack()
        enter = self.model.register_forward_pre_hook(lambda *_: self._before_forward())
        leave = self.model.register_forward_hook(lambda *_: self._after_forward(), always_call=True)
        update = register_optimizer_step_post_hook(
            lambda optimizer, *_: self._after_update(optimizer)
        )
        for hook in (enter, leave, update):
            self._hooks.callback(hook.remove)
        return self

    def stop(self) -> None:
        """Stop watching; what was found stays.

        If no window has ended yet, the one that was begun ends here.
        """
        if self._hooks is not None:
            self._running.close()
            self._following.close()
            is_complete = self.step - self._window_start == self.window
            if is_complete or (self.step > 0 and not self._history):
                self._end_window()
            self._hooks.close()
            self._hooks = None

    def __enter__(self) -> Watch:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # --- One forward -----------------------------------------------------------------------

    def _before_forward(self) -> None:
        is_recomputed = torch._C._current_graph_task_id() != -1  # by gradient checkpointing
        if not (self.model.training and torch.is_grad_enabled()) or is_recomputed:
            return
        if self.step > 0 and not self._layers:
            raise ValueError(NO_RECTIFIER)
        if self.step - self._window_start == self.window:
            self._end_window()
        self._looks_closer = self.step == self._window_start
        if self._looks_closer:
            self._following.enter_context(self._tracer.hooked())
        elif all(layer.is_settled for layer in self._layers.values()):
            self._following.close()
            self.step += 1
            return
        self._tracer.begin()
        self._running.enter_context(self._tracer)
        self._running.callback(self._count_step)

    def _count_step(self) -> None:
        self.step += 1

    def _after_forward(self) -> None:
        self._running.close()

    def _on_call(self, call: Call) -> Callable[[Tensor], None] | None:
        key = f"{call.layer} {call.function}"
        layer = self._layers.get(key)
        if layer is None:
            layer = self._layers[key] = _Layer(call)
        if not self._looks_closer:
            layer.count(call.pre_activation)
            return None
        layer.look_closer(call, self.model.get_submodule(call.feeding))

        def watch_gradient(result: Tensor) -> None:
            if result.requires_grad:
                result.register_hook(take_gradient)

        def take_gradient(gradient: Tensor) -> None:
            layer.gradient = gradient.detach().abs().mean()

        return watch_gradient

    # --- One window ------------------------------------------------------------------------

    def _end_window(self) -> None:
        first, last = self._window_start, self.step
        for key, layer in self._layers.items():
            self._agree_with_other_ranks(layer)
            died, revived = layer.end_window(first, last)
            if layer.blocks_gradient and bool(died.any()):
                self._report_deaths(key, layer, died, first, last)
            silent = int(layer.is_silent.sum())
            self._history.append(
                {
                    "step": last,
                    "layer": layer.layer,
                    "function": layer.function,
                    "units": layer.units,
                    "dead": silent if layer.blocks_gradient else 0,
                    "stuck negative": 0 if layer.blocks_gradient else silent,
                    "died": int(died.sum()),
                    "revived": int(revived.sum()),
                    "median firing rate": layer.rate.median().item(),
                    "gradient": None if layer.gradient is None else layer.gradient.item(),
                    "examples": layer.examples,
                }
            )
            layer.begin_window()
        self._window_start = last

    def _agree_with_other_ranks(self, layer: _Layer) -> None:
        """Count a unit as fired if it fired on any of the processes that share the training."""
        if not isinstance(self.model, nn.parallel.DistributedDataParallel):
            return
        group = self.model.process_group
        found = torch.stack([layer.fired, layer.has_nan]).to(torch.uint8)
        torch.distributed.all_reduce(found, torch.distributed.ReduceOp.MAX, group)
        layer.fired, layer.has_nan = found.bool()
        seen = torch.tensor(layer.seen, device=layer.device)
        torch.distributed.all_reduce(seen, torch.distributed.ReduceOp.SUM, group)
        layer.seen = int(seen)

    def _report_deaths(self, key: str, layer: _Layer, died: Tensor, first: int, last: int) -> None:
        names = list(CAUSES)
        for index in layer.cause[died].unique().tolist():
            units = (died & (layer.cause == index)).nonzero().squeeze(1).tolist()
            deaths = Deaths(
                layer.layer,
                units,
                layer.units,
                max(first - self.window, 0),
                first,
                names[index],
                layer.learning_rate,
                layer.gradient_norm,
            )
            self.deaths.append(deaths)
            if self.on_death is not None:
                self.on_death(deaths)
        dead = int(layer.is_silent.sum())
        if dead > self.warn_above * layer.units and key not in self._warned:
            self._warned.add(key)
            latest = [d for d in self.deaths if d.layer == layer.layer][-1]
            warnings.warn(
                f"{dead} of {layer.units} units of {layer.layer} are dead; {latest}",
                HealthWarning,
                stacklevel=2,
            )

    # --- Optimizers ------------------------------------------------------------------------

    def _after_update(self, optimizer: torch.optim.Optimizer) -> None:
        if not (self._looks_closer and self.step == self._window_start + 1):
            return
        ids = {id(p) for group in optimizer.param_groups for p in group["params"]}
        for layer in self._layers.values():
            weight = getattr(self.model.get_submodule(layer.feeding), "weight", None)
            if weight is None or id(weight) not in ids:
                continue
            if weight.grad is not None:
                layer.gradient_norm = float(weight.grad.norm())
            layer.learning_rate = next(
                float(group["lr"])
                for group in optimizer.param_groups
                if any(parameter is weight for parameter in group["params"])
            )

    # --- What was found --------------------------------------------------------------------

    def _need_a_window(self) -> None:
        if not self._history:
            raise RuntimeError(
                f"no window of {self.window} steps has ended yet, only {self.step} training "
                "forwards were seen; train on (is the model in training mode?), or choose a "
                "shorter window="
            )

    @property
    def summary(self) -> str:
        """One sentence on the window that ended last."""
        self._need_a_window()
        layers = list(self._layers.values())
        dead = sum(int(layer.is_silent.sum()) for layer in layers if layer.blocks_gradient)
        units = sum(layer.units for layer in layers)
        text = f"{dead} of {units} units are dead"
        born = sum(len(d.units) for d in self.deaths if d.cause == BORN_DEAD)
        if dead and born:
            text += f", {born} of them born dead"
        stuck = sum(int(layer.is_silent.sum()) for layer in layers if not layer.blocks_gradient)
        if stuck:
            text += f"; {stuck} are stuck negative but still learn"
        examples = max(layer.examples for layer in layers)
        start = self._window_start - self.window
        return (
            f"{text} (window: step {max(start, 0)} to {self._window_start}, {examples:,} examples)."
        )

    def report(self) -> pd.DataFrame:
        """Return one row a layer, of the window that ended last.

        Returns
        -------
        pandas.DataFrame
            Columns layer, function, units; "dead %" and "stuck negative %", of which the
            firing probability is at most "rate below" with 95% confidence, if examples are
            independent; "born dead", "died" and "revived", the numbers of units since the
            start; quantiles of the firing rate on one batch; "gradient", the mean absolute
            gradient that reaches the layer.
        """
        import pandas as pd

        self._need_a_window()
        rows = []
        for layer in self._layers.values():
            silent = 100 * layer.is_silent.float().mean().item()
            mine = [deaths for deaths in self.deaths if deaths.layer == layer.layer]
            born = [deaths for deaths in mine if deaths.cause == BORN_DEAD]
            low, median, high = layer.rate.quantile(torch.tensor([0.1, 0.5, 0.9])).tolist()
            rows.append(
                {
                    "layer": layer.layer,
                    "function": layer.function,
                    "units": layer.units,
                    "dead %": silent if layer.blocks_gradient else 0.0,
                    "stuck negative %": 0.0 if layer.blocks_gradient else silent,
                    "rate below": 3 / layer.examples if silent and layer.examples else None,
                    "born dead": sum(len(deaths.units) for deaths in born),
                    "died": sum(len(d.units) for d in mine) - sum(len(d.units) for d in born),
                    "revived": int((layer.revived != NEVER).sum()),
                    "NaN": int(layer.has_nan.sum()),
                    "10% rate": low,
                    "median rate": median,
                    "90% rate": high,
                    "gradient": None if layer.gradient is None else layer.gradient.item(),
                }
            )
        return pd.DataFrame(rows)

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
        import pandas as pd

        self._need_a_window()
        names = list(CAUSES)
        rows = []
        for layer in self._layers.values():
            if not layer.blocks_gradient:
                continue
            for unit in layer.is_silent.nonzero().squeeze(1).tolist():
                cause = names[int(layer.cause[unit])]
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
        return pd.DataFrame(rows, columns=columns)

    def history(self) -> pd.DataFrame:
        """Return one row for each window and layer.

        Returns
        -------
        pandas.DataFrame
            Columns step (at the end of the window), layer, function, units, dead, "stuck
            negative", died, revived, "median firing rate", gradient, examples.
        """
        import pandas as pd

        self._need_a_window()
        return pd.DataFrame(self._history)

    def plot(self) -> Figure:
        """Draw the share of silent units of each layer over the steps, as a heat map."""
        import matplotlib as mpl

        from leakyrelu._figure import NotebookFigure

        history = self.history()
        history["silent"] = (history["dead"] + history["stuck negative"]) / history["units"]
        names = list(dict.fromkeys(history["layer"]))
        steps = sorted(set(history["step"]))
        shares = history.pivot_table(index="layer", columns="step", values="silent", sort=False)
        shares = shares.reindex(index=names, columns=steps)
        with mpl.rc_context({"font.size": 9}):
            figure = NotebookFigure(figsize=(8, 0.9 + 0.3 * len(names)))
            axes = figure.subplots()
            edges = [0, *steps]
            mesh = axes.pcolormesh(
                edges, range(len(names) + 1), shares, cmap="magma_r", vmin=0, vmax=1
            )
            axes.set_yticks([row + 0.5 for row in range(len(names))], names)
            axes.invert_yaxis()
            axes.set_xlabel("step")
            figure.colorbar(mesh, label="silent units", format=lambda x, _: f"{x:.0%}")
        return figure

    def __str__(self) -> str:
        lines = [self.report().to_string(index=False, float_format=lambda x: f"{x:.3g}")]
        return "\n".join([*lines, *map(str, self.deaths[-10:]), self.summary])

    # --- Checkpoints -----------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return what was found up to the end of the last window, for a checkpoint."""
        return {
            "step": self._window_start,
            "layers": {key: layer.state_dict() for key, layer in self._layers.items()},
            "history": list(self._history),
            "deaths": [vars(deaths) for deaths in self.deaths],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was taken."""
        self.step = self._window_start = state["step"]
        self._history = list(state["history"])
        self.deaths = [Deaths(**deaths) for deaths in state["deaths"]]
        device = next((p.device for p in self.model.parameters()), torch.device("cpu"))
        self._layers = {
            key: _Layer.from_state(of_layer, device) for key, of_layer in state["layers"].items()
        }


def watch(
    model: nn.Module,
    *,
    window: int = 100,
    warn_above: float = 0.5,
    unit_axis: int | None = None,
    on_death: Callable[[Deaths], None] | None = None,
) -> Watch:
    """Watch which units of a model die while it trains.

    Parameters
    ----------
    model : torch.nn.Module
        Its training forwards are watched: those in training mode and with gradients.
        Rectifiers are found as `examine` finds them.
    window : int, default 100
        Steps (training forwards). A unit that fires in none of them is *dead*, or *stuck
        negative* if the activation is leaky.
    warn_above : float, default 0.5
        A layer of which more than this share is dead is warned of, once.
    unit_axis : int, optional
        The axis that numbers the units; see `examine`.
    on_death : callable, optional
        Called with `Deaths` when units died.

    Returns
    -------
    Watch
        Use it in a ``with`` statement, or call its ``start()`` and ``stop()``. Then see
        ``report()``, ``history()``, ``deaths``, ``deaths_table()`` and ``plot()``.

    Raises
    ------
    TypeError
        If `model` is not a module.
    ValueError
        If it is a `torch.nn.DataParallel`, or `window` is less than 1.

    Notes
    -----
    In each window every step is looked at until all units have fired, so that the verdict is
    exact for the window; firing rates are taken from its first step.

    Examples
    --------
    >>> import torch
    >>> from leakyrelu.health import watch
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 1))
    >>> _ = model[0].bias.data.copy_(torch.tensor([-100.0, 0.0, 100.0]))
    >>> with watch(model, window=5) as health:
    ...     for _ in range(5):
    ...         model(torch.randn(50, 2)).mean().backward()
    >>> print(health.summary)
    1 of 3 units are dead, 1 of them born dead (window: step 0 to 5, 250 examples).
    """
    options = {"window": window, "warn_above": warn_above, "unit_axis": unit_axis}
    return Watch(model, on_death=on_death, **options)  # type: ignore[arg-type]
