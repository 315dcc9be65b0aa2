"""What is known of the units of one layer while a model trains."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from leakyrelu._trace.calls import Call
from leakyrelu._trace.flow import Runs
from leakyrelu._trace.units import Layout
from leakyrelu.health._causes import BORN_DEAD, CAUSES, Look, causes_of, pushes
from leakyrelu.health._counts import FiringCounts
from leakyrelu.health._layers import LayerHealth

__all__ = ["NEVER", "TrackedLayer"]

NEVER = -1  # in place of a step
PATIENCE = 10  # windows of silence after which a unit does not just fire rarely


class TrackedLayer:
    """The units of one layer, window by window; a few bytes for each."""

    # What a checkpoint keeps; the counts besides.
    _KEPT = (
        *("layer", "function", "blocks_gradient", "feeding", "after", "below_is_trainable"),
        *("units", "last_fired", "silent_since", "revived", "cause", "examples"),
        *("cause_in_the_end", "pushed"),
        *("born_dead", "died", "updates", "updates_before", "no_gradient", "dead"),
    )

    def __init__(self, call: Call) -> None:
        x = call.pre_activation
        self.layer, self.function = call.layer, call.function
        self.blocks_gradient, self.layout = call.blocks_gradient, call.layout
        self.feeding, self.after = call.source.feeding, call.source.after
        self.below_is_trainable = call.source.below_is_trainable
        self.units = call.layout.units
        # Steps: the end of the last window in which a unit fired; since when it has not; the end
        # of the window in which it fired again after a silent one.
        self.last_fired = torch.full((self.units,), NEVER, dtype=torch.int32, device=x.device)
        self.silent_since, self.revived = self.last_fired.clone(), self.last_fired.clone()
        # Positions in `CAUSES`.
        self.cause = torch.zeros(self.units, dtype=torch.int8, device=x.device)
        self.cause_in_the_end = self.cause.clone()  # for those that seem to fire rarely
        # How far bias, weights and inputs moved the units since the start.
        self.pushed = torch.zeros(3, self.units, device=x.device)
        # No gradient passes the activation, at the last closer look.
        self.no_gradient = torch.full_like(self.last_fired, self.blocks_gradient, dtype=torch.bool)
        self.dead = torch.zeros_like(self.no_gradient)  # at the end of the window that ended last
        self.examples = 0  # of the window that ended last
        self.born_dead = self.died = 0  # units, since the start
        # Learning rate, gradient norm and update size of the weights that feed the units, at the
        # last closer look; and at the one before, as units found dead at the end of a window died
        # before its start.
        self.updates: dict[str, float] = {}
        self.updates_before: dict[str, float] = {}
        self.counts = FiringCounts(self.axis)  # of the first batch of the window
        self._begin()

    def _begin(self) -> None:
        self.device = self.last_fired.device
        self.runs = Runs()
        self.gradient: Tensor | None = None  # root mean square, at the last closer look
        self.zero_gradient: Tensor | None = None
        self.gradient_after: Tensor | None = (
            None  # the gradient of the output, until that of the input
        )
        self.look: Look | None = None
        # Of a death since the look before: the cause, and that in the end.
        self.causes: tuple[Tensor, Tensor] | None = None
        self.begin_window()

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps: tensors, numbers and strings."""
        return {
            **{name: getattr(self, name) for name in self._KEPT},
            "layout": vars(self.layout),
            "counts": vars(self.counts),
            "look": None if self.look is None else vars(self.look),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any], device: torch.device) -> TrackedLayer:
        """Return a layer as it was when `state_dict` was called."""

        def placed(value: Any) -> Any:
            return value.to(device) if isinstance(value, Tensor) else value

        layer = cls.__new__(cls)
        for name in cls._KEPT:
            setattr(layer, name, placed(state[name]))
        layer.layout = Layout(**state["layout"])
        layer.counts = FiringCounts(layer.axis)
        for name, value in state["counts"].items():
            setattr(layer.counts, name, placed(value))
        layer._begin()
        if state["look"] is not None:  # without it a death after resuming would have no cause
            layer.look = Look(**{name: placed(value) for name, value in state["look"].items()})
        return layer

    @property
    def axis(self) -> int:
        """That of the units, once they are arranged."""
        return self.layout.axis

    # --- One window ------------------------------------------------------------------------

    def begin_window(self) -> None:
        """Forget which units fired."""
        self.seen = 0  # examples, while it was looked at
        self.was_reached_by_all = False  # until it was looked at no more
        self.fired = torch.zeros(self.units, dtype=torch.bool, device=self.device)
        self.has_nan = torch.zeros_like(self.fired)
        self.missing: Tensor | None = None  # units that have not fired yet, where known
        self.greatest: Tensor | None = None  # pre-activation of these, since that was found out
        self.looks = 0

    @property
    def is_settled(self) -> bool:
        """Whether every unit has fired in this window, so that there is nothing to find out."""
        return self.missing is not None and len(self.missing) == 0

    def count(self, pre_activation: Tensor, mask: Tensor | None, examples: int) -> None:
        """Look for units that have not fired in this window yet."""
        if not self._reached(pre_activation, examples):
            return
        if self.is_settled:
            return
        x = self.layout.arranged(pre_activation.detach())
        if mask is not None:
            x = x.masked_fill(~mask, -torch.inf)
        if self.missing is not None and len(self.missing) < self.units:
            x = x.index_select(self.axis, self.missing)
        greatest = x.amax([axis for axis in range(x.ndim) if axis != self.axis % x.ndim])
        if self.greatest is not None:
            greatest = torch.maximum(greatest, self.greatest)
        self.greatest = greatest
        self.looks += 1
        # Asking which units these were is expensive, above all on a GPU: ask ever less often.
        if self.looks & (self.looks - 1) == 0:
            self.settle()

    def look_closer(self, call: Call, feeding: nn.Module, examples: int) -> None:
        """Take firing rates, and what makes up the pre-activations, from one batch."""
        self.counts = FiringCounts(self.axis)
        self.counts.update(call.by_unit, call.mask)
        if not self._reached(call.pre_activation, examples):
            return
        self.fired |= self.counts.fired > 0
        self.has_nan |= self.counts.has_nan
        self.settle()
        self.updates_before, self.updates = self.updates, {}
        before, self.look = self.look, Look.at(call, feeding)
        if before is not None:
            moved = pushes(before, self.look, feeding)
            self.pushed = self.pushed + moved
            self.causes = causes_of(moved, self.pushed, before, self.look)

    def place(self, layout: Layout) -> None:
        """Take up where the units lie now."""
        if layout.units != self.units:
            raise ValueError(f"it had {self.units} units, but now it has {layout.units}")
        self.layout = layout

    def _reached(self, pre_activation: Tensor, examples: int) -> bool:
        """Add the examples that reached the layer; whether there are any."""
        if pre_activation.numel() == 0:
            return False
        self.seen += min(examples, len(pre_activation))  # an expert may be given a part of them
        return True

    def settle(self) -> None:
        """Find out which units have not fired yet."""
        if self.greatest is not None:
            among: Any = slice(None) if self.missing is None else self.missing
            self.fired[among] |= self.greatest > 0
            self.has_nan[among] |= self.greatest.isnan()
            self.greatest = None
        self.missing = (~self.fired).nonzero().squeeze(1)

    def end_window(self, first: int, last: int) -> tuple[Tensor, Tensor]:
        """Return which units died and which revived between the two steps."""
        was_dead, was_silent = self.dead, self.is_silent
        silent = ~self.fired & ~self.has_nan & ~was_silent
        self.silent_since[silent] = first
        self.silent_since[self.fired] = NEVER
        self.dead = self.is_silent & self.no_gradient
        died, revived = self.dead & ~was_dead, self.fired & was_silent
        self.revived[revived] = last
        self.last_fired[self.fired] = last
        born = torch.full_like(self.cause, list(CAUSES).index(BORN_DEAD))
        causes = (born, born) if first == 0 or self.causes is None else self.causes
        self.cause[died], self.cause_in_the_end[died] = (of[died] for of in causes)
        is_rare = self.dead & (self.cause == list(CAUSES).index("rare"))
        waited = is_rare & (last - self.silent_since >= PATIENCE * (last - first))
        self.cause[waited] = self.cause_in_the_end[waited]
        if first == 0:
            self.born_dead += int(died.sum())
        else:
            self.died += int(died.sum())
        return died, revived & was_dead

    def row(self, step: int, died: Tensor, revived: Tensor) -> dict[str, Any]:
        """Return the layer's line of the history, for the window that ended at this step."""
        dead = int(self.dead.sum())
        return {
            "step": step,
            "layer": self.layer,
            "function": self.function,
            "units": self.units,
            "dead": dead,
            "stuck negative": int(self.is_silent.sum()) - dead,
            "died": int(died.sum()),
            "revived": int(revived.sum()),
            "median rate": self.counts.rate.quantile(0.5).item() if self.counts.examples else None,
            "gradient": None if self.gradient is None else self.gradient.item(),
            "examples": self.examples,
        }

    # --- What was found --------------------------------------------------------------------

    @property
    def is_silent(self) -> Tensor:
        """Bool of shape (units,): did not fire in the window that ended last."""
        return self.silent_since != NEVER

    def health(self) -> LayerHealth:
        """Return what is known of the window that ended last."""
        return LayerHealth(
            self.layer,
            self.function,
            self.feeding,
            self.blocks_gradient,
            self.is_silent,
            self.counts,
            None if self.gradient is None else self.gradient.item(),
            self.zero_gradient,
            self.examples,
            self.no_gradient,
            self.after,
            self.runs,
        )
