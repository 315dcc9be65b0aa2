"""Where the weights of a unit are: those that make it, and those that use it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

__all__ = [
    "PLAIN",
    "TRANSPOSED",
    "WEIGHTED",
    "by_group",
    "effect",
    "made_by",
    "units_of",
    "used_by",
    "weight_at_hand",
]

TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
PLAIN = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)  # units lie on the weight's first axis
WEIGHTED = (*PLAIN, *TRANSPOSED)


def units_of(layer: Any) -> int:
    """Return how many units a linear layer or convolution makes."""
    units: int = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
    return units


def weight_at_hand(module: nn.Module) -> Tensor | None:
    """Return the weight of a module, if it has one that need not be computed first.

    To compute it may change it: a spectral norm iterates whenever it is looked at.
    """
    weight = module._parameters.get("weight", vars(module).get("weight"))
    return weight if isinstance(weight, Tensor) else None


def by_group(layer: Any, weight: Tensor) -> Tensor:
    """Return a view of the weight of shape (groups, out, in, ...), out and in those of a group."""
    groups = 1 if isinstance(layer, nn.Linear) else layer.groups
    view: Tensor = weight.unflatten(0, (groups, -1))
    return view.transpose(1, 2) if isinstance(layer, TRANSPOSED) else view


def _mask(layer: Any, made: Tensor | None, used: Tensor | None) -> Tensor:
    """Return which weights are of the outputs `made`, or of the inputs `used`."""
    weight: Tensor = layer.weight
    mask = torch.zeros(weight.shape, dtype=torch.bool, device=weight.device)
    view = by_group(layer, mask)
    shape = view.shape[:3] + (1,) * (view.ndim - 3)
    if made is not None:
        view |= made.to(mask.device).reshape(shape[0], shape[1], 1, *shape[3:])
    if used is not None:
        view |= used.to(mask.device).reshape(shape[0], 1, shape[2], *shape[3:])
    return mask


def made_by(layer: nn.Module, units: Tensor) -> Tensor:
    """Return a mask of the weights that make the units; `units` is a mask of all units."""
    return _mask(layer, units, None)


def used_by(layer: nn.Module, inputs: Tensor) -> Tensor:
    """Return a mask of the weights that use the inputs; `inputs` is a mask of all inputs."""
    return _mask(layer, None, inputs)


def effect(layer: Any, inputs: Tensor) -> Tensor:
    """Return what a layer adds to each output if each input is constant, without padding."""
    weight = layer.weight.detach()
    weight = by_group(layer, weight.to(torch.promote_types(weight.dtype, torch.float32)))
    weight = weight.flatten(3).sum(3) if weight.ndim > 3 else weight
    of_inputs = weight * inputs.to(weight).reshape(weight.shape[0], 1, weight.shape[2])
    return of_inputs.sum(2).flatten()
