"""Counting, per unit, in how many examples of a window it fired."""

from __future__ import annotations

import torch

__all__ = ["FiringCounts"]


class FiringCounts:
    """Per-unit counts over a window of examples.

    A unit *fired* for an example if its pre-activation was above 0 at some position of it
    (a pixel, a token; a table's row has one position). The window is every example given
    to `update`.

    Parameters
    ----------
    unit_axes : int or tuple of int, default 1
        The axes of a pre-activation that number the units; a stack of networks has two.
    example_axis : int, default 0
        The axis that numbers the examples. All other axes are positions.

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
        self.fired = self.fired_everywhere = self.nan = torch.zeros(0, dtype=torch.int64)

    def update(self, pre_activation: torch.Tensor) -> None:
        """Add the examples of one batch to the window."""
        axes = range(pre_activation.ndim)
        kept = {axis % pre_activation.ndim for axis in (*self.unit_axes, self.example_axis)}
        positions = [axis for axis in axes if axis not in kept]
        # Examples first, positions last, units between in their order.
        order = [self.example_axis, *sorted(kept - {self.example_axis}), *positions]
        by_unit = pre_activation.detach().permute(order)
        positive = fired = fired_everywhere = by_unit > 0
        if positions:
            positive = positive.flatten(len(kept))
            fired, fired_everywhere = positive.any(-1), positive.all(-1)
        if self.examples == 0:
            zero = torch.zeros(by_unit.shape[1 : len(kept)], dtype=torch.int64)
            self.fired = self.fired_everywhere = self.nan = zero.to(by_unit.device)
        count = fired.sum(0)
        self.fired = self.fired + count
        self.fired_everywhere = self.fired_everywhere + (
            fired_everywhere.sum(0) if positions else count
        )
        if not by_unit.sum().isfinite():  # a NaN makes the sum NaN: without one, no closer look
            is_nan = by_unit.isnan()
            is_nan = is_nan.flatten(len(kept)).any(-1) if positions else is_nan
            self.nan = self.nan + is_nan.sum(0)
        self.examples += by_unit.shape[0]

    @property
    def has_nan(self) -> torch.Tensor:
        """Units whose pre-activation was NaN somewhere: nothing else is said of these."""
        return self.nan > 0

    @property
    def never_fired(self) -> torch.Tensor:
        """Units that fired for no example: dead, or stuck negative if gradient passes."""
        return (self.fired == 0) & ~self.has_nan

    @property
    def always_on(self) -> torch.Tensor:
        """Units that fired for every example at every position: they are linear."""
        return (self.fired_everywhere == self.examples) & ~self.has_nan

    @property
    def rate(self) -> torch.Tensor:
        """Share of the examples for which each unit fired, 0 to 1."""
        return self.fired / self.examples
