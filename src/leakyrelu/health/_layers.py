"""What is known of the units of one layer."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from leakyrelu._errors import InputError
from leakyrelu._trace.flow import Flow, Runs
from leakyrelu.health._counts import FiringCounts

__all__ = [
    "HealthWarning",
    "LayerHealth",
    "names_of",
    "passes_none",
    "total",
    "warn_of_compiled_parts",
    "without_gradient",
]

NEXT_TO_ZERO = 1e-8  # the share of a gradient that counts as none: training would not see it
DORMANT = 0.025  # tau: units this dormant are counted in tables


class HealthWarning(UserWarning):
    """Many units of a layer died, or a part of a model can't be looked at."""


def warn_of_compiled_parts(model: nn.Module) -> None:
    """Name the modules of TorchScript, in which no calls can be seen; refuse a whole model."""
    compiled: list[str] = []
    for path, module in model.named_modules():
        is_inner = any(path.startswith(f"{outer}.") for outer in compiled)
        if isinstance(module, torch.jit.ScriptModule) and not is_inner:
            compiled.append(path)
    if "" in compiled:
        raise InputError(
            "no calls can be seen in a model of TorchScript; give the one from before "
            "torch.jit.script or torch.jit.trace"
        )
    if compiled:
        warnings.warn(
            f"not seen, as TorchScript runs them: {', '.join(compiled)}; give the model from "
            "before torch.jit.script or torch.jit.trace",
            HealthWarning,
            stacklevel=3,
        )


@dataclass(frozen=True)
class LayerHealth:
    """The units of one layer: of one activation call.

    Attributes
    ----------
    layer : str
        Path of the module that makes the call; a second call of the same function in the
        same module is another layer, with ``#2`` after its name.
    function : str
        The function called, such as ``relu``.
    feeding : str
        Path of the last layer with weights before it that has the same units; empty if none has.
    blocks_gradient : bool
        Whether a unit that never fires gets no gradient, whatever its input: it is *dead*.
        Otherwise it is *stuck negative*, if a gradient was measured.
    never_fired : torch.Tensor of bool, shape (units,)
        Whether the unit fired for no example of the window.
    counts : FiringCounts
        How often each unit fired, and its mean activation: over the whole window from
        `examine`, over its first batch from `watch`.
    gradient : float or None
        The root mean square of the gradient that reaches the units.
    zero_gradient : torch.Tensor of bool, shape (units,), or None
        Whether all weights that feed the unit have a gradient of 0, where that is known.
    examples : int
        The number of examples of the window that reached the layer: 0, for example, for an
        expert that got none.
    no_gradient : torch.Tensor of bool, shape (units,), or None
        Whether the activation passed no gradient to the unit when that was measured, as a GELU
        does not far below 0; None if it was not.
    after : str
        The layers that make the units, in words: ``"conv2 + downsample"`` for a sum. ``"unknown"``
        if that can't be told: then the units are those of the axis where they usually lie.
    runs : Runs
        Where units flowed while the model ran, for `leakyrelu.revive`.
    """

    layer: str
    function: str
    feeding: str
    blocks_gradient: bool
    never_fired: Tensor
    counts: FiringCounts
    gradient: float | None = None
    zero_gradient: Tensor | None = None
    examples: int = 0
    no_gradient: Tensor | None = None
    after: str = ""
    runs: Runs = field(default_factory=Runs, repr=False, compare=False)

    @property
    def flow(self) -> Flow:
        """What makes the units and what uses them, for `leakyrelu.revive`."""
        return self.runs.flow(self.key)

    @property
    def key(self) -> str:
        """What distinguishes the layer from all others in the model."""
        return f"{self.layer} {self.function}"

    @property
    def units(self) -> int:
        """Number of units: output channels or features."""
        return self.never_fired.numel()

    @property
    def dead(self) -> Tensor:
        """Bool of shape (units,): never fired, and no gradient passes."""
        if self.blocks_gradient:
            return self.never_fired
        if self.no_gradient is None:
            return torch.zeros_like(self.never_fired, dtype=torch.bool)
        return self.never_fired & self.no_gradient.to(self.never_fired.device)

    @property
    def stuck_negative(self) -> Tensor:
        """Bool of shape (units,): never fired, but gradient passes."""
        return self.never_fired & ~self.dead

    def dormant(self, tau: float = DORMANT) -> Tensor:
        r"""Return which units are dormant.

        Parameters
        ----------
        tau : float, default 0.025
            The score at or below which a unit is dormant.

        Returns
        -------
        torch.Tensor of bool, shape (units,)

        Notes
        -----
        The score of unit :math:`i` of :math:`H` with activation :math:`h` is

        .. math:: s_i = \frac{E|h_i|}{\frac{1}{H} \sum_k E|h_k|}

        References
        ----------
        .. [1] G. Sokar, R. Agarwal, P. S. Castro and U. Evci, "The dormant neuron phenomenon
           in deep reinforcement learning", ICML 2023, arXiv:2302.12902.
        """
        return (self.counts.dormancy <= tau) & ~self.counts.has_nan & (self.counts.examples > 0)

    def row(self) -> dict[str, Any]:
        """Return the layer's line of a table."""
        rates: list[float | None] = [None, None, None]
        if self.counts.examples and self.units:
            rates = self.counts.rate.cpu().quantile(_QUANTILES).tolist()
        low, median, high = rates
        return {
            "layer": self.layer,
            "function": self.function,
            "after": self.after,
            "units": self.units,
            "dead %": _percent(self.dead),
            "stuck negative %": _percent(self.stuck_negative),
            "dormant %": _percent(self.dormant()),
            "always on %": _percent(self.counts.always_on),
            "NaN %": _percent(self.counts.has_nan),
            "10% rate": low,
            "median rate": median,
            "90% rate": high,
            "gradient": self.gradient,
        }


def without_gradient(gradient: Tensor | None, units: int) -> Tensor | None:
    """Return which units have weights none of which gets a gradient, where that is known."""
    if gradient is None or len(gradient) != units:
        return None
    norms: Tensor = torch.linalg.vector_norm(gradient.reshape(units, -1), dim=1)
    return norms == 0


def passes_none(before: Tensor, after: Tensor, axis: int) -> Tensor:
    """Return to which units an activation passes no gradient.

    Parameters
    ----------
    before, after : torch.Tensor
        The gradients of its input and of its output.
    axis : int
        That of the units.

    Returns
    -------
    torch.Tensor of bool, shape (units,)
        Nothing is known of a unit whose output got no gradient either: for it, it is False.
    """
    before, after = (x.detach().abs().transpose(0, axis).flatten(1) for x in (before, after))
    return ~(before > NEXT_TO_ZERO * after).any(1) & after.any(1)


_QUANTILES = torch.tensor([0.1, 0.5, 0.9])


def _percent(units: Tensor) -> float:
    return 100 * int(units.sum()) / max(units.numel(), 1)


def names_of(layers: Sequence[LayerHealth]) -> list[str]:
    """Name the layers, with the function where a module calls several."""
    times = Counter(layer.layer for layer in layers)
    return [
        layer.layer if times[layer.layer] == 1 else f"{layer.layer} ({layer.function})"
        for layer in layers
    ]


def total(layers: Sequence[LayerHealth], born_dead: int = 0) -> str:
    """Say in one clause how many units are dead, where most of them are, and what else is wrong."""
    units = sum(layer.units for layer in layers)
    dead = sum(int(layer.dead.sum()) for layer in layers)
    text = f"{dead} of {units} units are dead"
    if dead:
        worst = max(layers, key=lambda layer: layer.dead.float().mean().item())
        text += f", most in {worst.layer} ({int(worst.dead.sum())} of {worst.units})"
        if born_dead:
            text += f", {born_dead} of them born dead"
    stuck = sum(int(layer.stuck_negative.sum()) for layer in layers)
    if stuck:
        text += f"; {stuck} are stuck negative but still learn"
    if unreached := [layer.layer for layer in layers if layer.examples == 0]:
        text += f"; no example reached {', '.join(unreached)}"
    nan = [layer.layer for layer in layers if layer.counts.has_nan.any()]
    if nan:
        text += f"; NaN reached {', '.join(nan)}"
    return text
