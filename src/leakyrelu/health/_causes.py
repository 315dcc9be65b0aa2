"""Why a unit died: what moved its pre-activation below zero.

The mean pre-activation of a unit is the sum of its bias and of its weights times the means of
its inputs. Between two looks each of the three may change, and their shares add up to the
whole change. For a unit that died in between, what pushed it down most is taken for the cause; if
nothing did, it was one that fires seldom, and may yet fire again.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from leakyrelu.health._calls import Call

__all__ = ["BORN_DEAD", "CAUSES", "STARVED", "Look", "causes_of"]

BORN_DEAD, STARVED = "born dead", "starved"

# In words; `causes_of` returns positions in this order.
CAUSES = {
    BORN_DEAD: "before the first update",
    STARVED: "nothing but zeros comes in: the layer below died",
    "bias": "bias pushed below",
    "weights": "pushed below by the weights",
    "inputs": "pushed below by what comes in",
    "rare": "hardly pushed: they fired seldom before",
}

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm)
# So many standard deviations a normalised input is away from 0 once in a thousand examples.
_REACH = 3.0
# A push of fewer standard deviations of the pre-activation than this is no cause of death: the
# mean of a batch of 16 moves by as much.
_LEAST_PUSH = 0.5


@dataclass(frozen=True)
class Look:
    """What the pre-activations of a layer are made of, on one batch.

    Attributes
    ----------
    mean, spread : torch.Tensor, shape (units,)
        The mean pre-activation, and its standard deviation.
    bias : torch.Tensor, shape (units,), or None
        The bias of the layer that feeds the units, or the shift of a normalisation.
    inputs : torch.Tensor, shape (features,), or None
        The mean of each feature that a linear layer or convolution is given.
    weighted : torch.Tensor, shape (units,), or None
        The weights times these; for a normalisation, its scale times a large input.
    starved : torch.Tensor of bool, shape (units,)
        Whether nothing but zeros comes in.
    """

    mean: Tensor
    spread: Tensor
    bias: Tensor | None
    inputs: Tensor | None
    weighted: Tensor | None
    starved: Tensor

    @classmethod
    def at(cls, call: Call, feeding: nn.Module) -> Look:
        """Look at a call that `feeding` feeds."""
        z, x = call.pre_activation.detach(), call.feeding_input
        mean = _mean(z, call.unit_axis)
        spread = (_mean(z.float().square(), call.unit_axis) - mean.square()).clamp(min=0).sqrt()
        bias = getattr(feeding, "bias", None)
        # A copy: the optimizer changes the parameter in place.
        bias = bias.detach().float().clone() if isinstance(bias, Tensor) else 0 * mean
        if bias.shape == mean.shape and isinstance(feeding, _NORMS):
            least, most = z.transpose(0, call.unit_axis).flatten(1).aminmax(dim=1)
            weighted = _REACH * feeding.weight.detach().float().abs()
            return cls(mean, spread, bias, None, weighted, (least == most) & (weighted != 0))
        is_linear = isinstance(feeding, (nn.Linear, *_CONVOLUTIONS))
        if x is None or bias.shape != mean.shape or not is_linear:
            return cls(mean, spread, None, None, None, torch.zeros_like(mean, dtype=torch.bool))
        axis = -1 if isinstance(feeding, nn.Linear) else 1
        inputs = _mean(x.detach(), axis)
        comes_in = _by_unit(x.detach(), axis).any(1)
        groups = getattr(feeding, "groups", 1)
        starved = ~comes_in.view(groups, -1).any(1).repeat_interleave(len(mean) // groups)
        return cls(mean, spread, bias, inputs, _weighted(feeding, inputs), starved)


def _by_unit(x: Tensor, axis: int) -> Tensor:
    return x.float().transpose(0, axis).flatten(1)


def _mean(x: Tensor, axis: int) -> Tensor:
    return _by_unit(x, axis).mean(1)


def _weighted(feeding: nn.Module, inputs: Tensor) -> Tensor:
    """Return the sum over the features of their weights times `inputs`."""
    assert isinstance(feeding.weight, Tensor)
    weight = feeding.weight.detach().float()
    if isinstance(feeding, nn.Linear):
        return weight @ inputs
    # All positions of the kernel see the same means, if padding at the borders is left out.
    weight = weight.flatten(2).sum(2)
    groups: int = feeding.groups  # type: ignore[assignment]
    by_group: Tensor = weight.unflatten(0, (groups, -1)) * inputs.view(groups, 1, -1)
    return by_group.sum(2).flatten()


def causes_of(before: Look, now: Look, feeding: nn.Module) -> Tensor:
    """Return, as a position in `CAUSES`, what each unit would have died of.

    What the layer that feeds the units does not explain, such as the other branch of a
    residual connection, counts as inputs.

    Returns
    -------
    torch.Tensor of int8, shape (units,)
    """
    by_bias = by_weights = torch.zeros_like(now.mean)
    if now.bias is not None and before.bias is not None:
        by_bias = now.bias - before.bias
    if now.weighted is not None and before.weighted is not None:
        was = before.inputs  # the same inputs, so that the weights alone differ
        by_weights = (now.weighted if was is None else _weighted(feeding, was)) - before.weighted
    scaled = by_weights if before.inputs is not None else 0.0  # a scale moves no mean
    by_inputs = now.mean - before.mean - by_bias - scaled
    names = list(CAUSES)
    push, cause = torch.stack([by_bias, by_weights, by_inputs]).min(0)
    cause = cause + names.index("bias")
    cause[push > -_LEAST_PUSH * before.spread] = names.index("rare")
    return torch.where(now.starved, names.index(STARVED), cause).to(torch.int8)
