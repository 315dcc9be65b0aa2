"""Why a unit died: what moved its pre-activation below zero.

The mean pre-activation of a unit is its bias plus its weights times the means of its inputs.
Between two looks each of the three may change, and their contributions add up to the whole
change. The one that pushed a unit down most is taken as the cause of its death: at once, or little
by little since the start. If none did, the unit fires rarely, and may fire again; if it is silent
for long, even a small push counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from leakyrelu._trace.calls import Call
from leakyrelu._trace.weights import PLAIN, effect, weight_at_hand

__all__ = ["BORN_DEAD", "CAUSES", "STARVED", "Look", "causes_of", "pushes"]

BORN_DEAD, STARVED = "born dead", "starved"

# In words; `causes_of` returns positions in this order.
CAUSES = {
    BORN_DEAD: "before the first update",
    STARVED: "all inputs zero, as the layer below died",
    "bias": "pushed below zero by the bias",
    "weights": "pushed below zero by the weights",
    "inputs": "pushed below zero by the inputs",
    "rare": "not pushed: they rarely fired before",
}
_RARE = list(CAUSES).index("rare")

_NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm)
# Standard deviations from 0 that a normalized input exceeds once in a thousand examples.
_REACH = 3.0
# A push of fewer standard deviations of the pre-activation than this is not taken as a cause: the
# mean of a batch of 16 moves by as much.
_LEAST_PUSH = 0.5


@dataclass(frozen=True)
class Look:
    """What makes up the pre-activations of a layer, on one batch; for each unit."""

    mean: Tensor  # of the pre-activation
    spread: Tensor  # its standard deviation
    bias: Tensor | None  # of the layer that feeds the units, or the shift of a normalization
    inputs: Tensor | None  # the mean of each input feature of a linear layer or convolution
    weighted: Tensor | None  # the weights times these; of a normalization, scale times large input
    starved: Tensor  # all inputs are zero

    @classmethod
    def at(cls, call: Call, feeding: nn.Module) -> Look:
        """Look at a call whose input comes from `feeding`."""
        z, x = call.by_unit.detach(), call.feeding_input
        mean = _mean(z, call.layout.axis)
        spread = (_mean(z.float().square(), call.layout.axis) - mean.square()).clamp(min=0).sqrt()
        bias = getattr(feeding, "bias", None)
        # A copy: the optimizer changes the parameter in place.
        bias = bias.detach().float().clone() if isinstance(bias, Tensor) else 0 * mean
        if bias.shape == mean.shape and isinstance(feeding, _NORMS):
            least, most = z.transpose(0, call.layout.axis).flatten(1).aminmax(dim=1)
            weighted = _REACH * feeding.weight.detach().float().abs()
            return cls(mean, spread, bias, None, weighted, (least == most) & (weighted != 0))
        is_linear = isinstance(feeding, PLAIN) and weight_at_hand(feeding) is not None
        if x is None or bias.shape != mean.shape or not is_linear:
            return cls(mean, spread, None, None, None, torch.zeros_like(mean, dtype=torch.bool))
        axis = -1 if isinstance(feeding, nn.Linear) else 1
        inputs = _mean(x.detach(), axis)
        comes_in = _by_unit(x.detach(), axis).any(1)
        groups = getattr(feeding, "groups", 1)
        starved = ~comes_in.view(groups, -1).any(1).repeat_interleave(len(mean) // groups)
        return cls(mean, spread, bias, inputs, effect(feeding, inputs).float(), starved)


def _by_unit(x: Tensor, axis: int) -> Tensor:
    return x.float().transpose(0, axis).flatten(1)


def _mean(x: Tensor, axis: int) -> Tensor:
    return _by_unit(x, axis).mean(1)


def pushes(before: Look, now: Look, feeding: nn.Module) -> Tensor:
    """Return how far bias, weights and inputs moved the mean of each unit, of shape (3, units).

    What is not due to the layer that feeds the units, such as the other branch of a residual
    connection, counts as inputs.
    """
    by_bias = by_weights = torch.zeros_like(now.mean)
    if now.bias is not None and before.bias is not None:
        by_bias = now.bias - before.bias
    if now.weighted is not None and before.weighted is not None:
        was = before.inputs  # the same inputs, so that the weights alone differ
        weighted = now.weighted if was is None else effect(feeding, was).float()
        by_weights = weighted - before.weighted
    scaled = by_weights if before.inputs is not None else 0.0  # a scale moves no mean
    by_inputs = now.mean - before.mean - by_bias - scaled
    return torch.stack([by_bias, by_weights, by_inputs])


def causes_of(moved: Tensor, since_start: Tensor, before: Look, now: Look) -> tuple[Tensor, Tensor]:
    """Return what each unit would have died of, as a position in `CAUSES`, in int8.

    First by what moved it since the look before or, if that was little, slowly since the start;
    then by what moved it down at all, for units that stay silent for long.

    Parameters
    ----------
    moved, since_start : torch.Tensor
        What `pushes` returned between two looks, and its sum over all looks.
    before, now : Look
        The last two looks.
    """
    least = _LEAST_PUSH * before.spread
    causes, slowly = _by_largest(moved, least), _by_largest(since_start, least)
    causes = torch.where(causes == _RARE, slowly, causes)
    in_the_end = _by_largest(since_start, torch.zeros_like(least))
    starved = list(CAUSES).index(STARVED)
    return (
        torch.where(now.starved, starved, causes).to(torch.int8),
        torch.where(now.starved, starved, in_the_end).to(torch.int8),
    )


def _by_largest(pushed: Tensor, least: Tensor) -> Tensor:
    push, cause = pushed.min(0)
    return torch.where(push < -least, cause + list(CAUSES).index("bias"), _RARE)
