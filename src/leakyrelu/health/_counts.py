"""Counts for each unit: in how many examples of a window it fired, and its mean activation."""

from __future__ import annotations

import torch
from torch import Tensor

from leakyrelu._errors import InputError

__all__ = ["FiringCounts"]


def _listed(units: torch.Size) -> str:
    return " x ".join(map(str, units))


# "Near zero" in fastai's ActivationStats.
NEAR_ZERO = 0.05


class FiringCounts:
    """Per-unit counts over a window of examples.

    A unit *fired* for an example if its pre-activation was above 0 at some position of it
    (a pixel, a token; a table's row has one position). The window is all examples given to
    `update`.

    Parameters
    ----------
    unit_axes : int or tuple of int, default 1
        The axes of a pre-activation along which units lie; a batch of networks has two.
    example_axis : int, default 0
        The axis of the examples. All other axes are positions.

    Examples
    --------
    >>> counts = FiringCounts()
    >>> counts.update(torch.tensor([[-1.0, 2.0, 3.0], [-2.0, -1.0, 1.0]]))
    >>> counts.never_fired.tolist(), counts.always_on.tolist(), counts.examples
    ([True, False, False], [False, False, True], 2)
    """

    def __init__(self, unit_axes: int | tuple[int, ...] = 1, example_axis: int = 0) -> None:
        self.unit_axes = (unit_axes,) if isinstance(unit_axes, int) else unit_axes
        self.example_axis = example_axis
        self.examples = 0
        self.positions: int | Tensor = 0  # of all examples together
        self.fired = self.fired_everywhere = self.nan = torch.zeros(0, dtype=torch.int64)
        self.positive = self.fired  # at how many positions
        # Sums of activations over the positions, if `update_activation` is called.
        self.total = self.magnitude = torch.zeros(0, dtype=torch.float64)
        self.near_zero = self.fired

    def update(self, pre_activation: Tensor, mask: Tensor | None = None) -> None:
        """Add the examples of one batch to the window.

        Parameters
        ----------
        pre_activation : torch.Tensor
            The input of the activation.
        mask : torch.Tensor of bool, optional
            False where a position is padding; it broadcasts against `pre_activation`.
        """
        x = pre_activation.detach()
        if mask is not None:
            x = x.masked_fill(~mask, -torch.inf)
        by_unit, positions = self._by_unit(x)
        units = by_unit.shape[1 : 1 + len(self.unit_axes)]
        if self.examples and units != self.fired.shape:
            raise InputError(
                f"a layer has {_listed(units)} units in one batch, but {_listed(self.fired.shape)} "
                "in another; if its units lie on another axis, give unit_axis="
            )
        positive = fired = fired_everywhere = by_unit > 0
        at_positions = fired
        if positions:
            fired, fired_everywhere = positive.any(-1), positive.all(-1)
            if mask is not None:
                is_real = self._by_unit(mask.broadcast_to(x.shape))[0]
                fired_everywhere = (positive | ~is_real).all(-1) & is_real.any(-1)
            at_positions = positive.sum(-1)
        if self.examples == 0:
            self.fired = torch.zeros(units, dtype=torch.int64, device=x.device)
            self.fired_everywhere = self.nan = self.positive = self.fired
            self.total = self.magnitude = torch.zeros(units, dtype=torch.float64, device=x.device)
            self.near_zero = self.fired
        if by_unit.numel() == 0:  # nothing reached the layer
            return
        count = fired.sum(0)
        self.fired = self.fired + count
        self.fired_everywhere = self.fired_everywhere + (
            fired_everywhere.sum(0) if positions else count
        )
        self.positive = self.positive + (at_positions.sum(0) if positions else count)
        # A NaN makes the sum NaN, as do infinities: look closer only then.
        if mask is not None or not by_unit.sum().isfinite():
            is_nan = by_unit.isnan()
            is_nan = is_nan.any(-1) if positions else is_nan
            self.nan = self.nan + is_nan.sum(0)
        self.examples += by_unit.shape[0]
        self.positions = self.positions + (
            by_unit.numel() // max(units.numel(), 1) if mask is None else mask.sum()
        )

    def update_activation(self, activation: Tensor, mask: Tensor | None = None) -> None:
        """Add the output of the activation for the examples given to `update`."""
        out = activation.detach()
        if mask is not None:
            out = out.masked_fill(~mask, 0)
        by_unit, positions = self._by_unit(out)
        if by_unit.numel() == 0:
            return
        axes = (0, -1) if positions else (0,)
        magnitude = by_unit.abs()
        near_zero = (magnitude <= NEAR_ZERO).sum(axes)
        if mask is not None:
            near_zero = near_zero - (~mask).sum()
        self.total = self.total + by_unit.sum(axes, dtype=torch.float64)
        self.magnitude = self.magnitude + magnitude.sum(axes, dtype=torch.float64)
        self.near_zero = self.near_zero + near_zero

    def _by_unit(self, x: Tensor) -> tuple[Tensor, bool]:
        """Return x as (examples, units ..., positions), the last only if there are any."""
        kept = {axis % x.ndim for axis in (*self.unit_axes, self.example_axis)}
        positions = [axis for axis in range(x.ndim) if axis not in kept]
        example_axis = self.example_axis % x.ndim
        by_unit = x.permute([example_axis, *sorted(kept - {example_axis}), *positions])
        return (by_unit.flatten(len(kept)) if positions else by_unit), bool(positions)

    @property
    def has_nan(self) -> Tensor:
        """Units whose pre-activation was NaN somewhere; they have no other state."""
        return self.nan > 0

    @property
    def never_fired(self) -> Tensor:
        """Units that fired for no example: dead, or stuck negative if gradient passes."""
        return (self.fired == 0) & ~self.has_nan & (self.examples > 0)

    @property
    def always_on(self) -> Tensor:
        """Units that fired for every example at every position: they act as linear units."""
        return (self.fired_everywhere == self.examples) & ~self.has_nan & (self.examples > 0)

    @property
    def rate(self) -> Tensor:
        """Share of the examples for which each unit fired, 0 to 1."""
        return self.fired / self.examples

    @property
    def positive_rate(self) -> Tensor:
        """Share of the positions at which each unit fired, 0 to 1: a ReLU's mean derivative."""
        return self.positive / self.positions

    @property
    def near_zero_rate(self) -> Tensor:
        """Share of the positions at which the activation was within 0.05 of 0, 0 to 1."""
        return self.near_zero / self.positions

    @property
    def mean_activation(self) -> Tensor:
        """The mean activation of each unit."""
        return self.total / self.positions

    @property
    def dormancy(self) -> Tensor:
        """The mean absolute activation of each unit, over its mean in the layer.

        The score of Sokar et al. 2023: units at or below a tau such as 0.025 are *dormant*. It
        is 0 if the whole layer is silent.
        """
        return self.magnitude / self.magnitude.mean().clamp(min=torch.finfo(torch.float64).tiny)
