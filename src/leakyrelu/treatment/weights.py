"""Where the weights of a unit lie: those it is made by, and those it is used by."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

__all__ = [
    "CONVOLUTIONS",
    "TRANSPOSED",
    "WEIGHTED",
    "drawn",
    "effect",
    "made_by",
    "units_of",
    "used_by",
]

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
WEIGHTED = (nn.Linear, *CONVOLUTIONS, *TRANSPOSED)


def units_of(layer: Any) -> int:
    """Return how many units a linear layer or convolution makes."""
    units: int = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
    return units


def _by_group(layer: Any, weight: Tensor) -> Tensor:
    """Return a view of the weight of shape (groups, out, in, ...), out and in those of a group."""
    groups = 1 if isinstance(layer, nn.Linear) else layer.groups
    view: Tensor = weight.unflatten(0, (groups, -1))  # type: ignore[no-untyped-call]
    return view.transpose(1, 2) if isinstance(layer, TRANSPOSED) else view


def _mask(layer: Any, made: Tensor | None, used: Tensor | None) -> Tensor:
    """Return which weights are of the outputs `made`, or of the inputs `used`."""
    weight: Tensor = layer.weight
    mask = torch.zeros(weight.shape, dtype=torch.bool, device=weight.device)
    view = _by_group(layer, mask)
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
    """Return what a layer adds to each output where each input is constant, without padding."""
    weight = _by_group(layer, layer.weight)
    weight = weight.flatten(3).sum(3) if weight.ndim > 3 else weight
    by_group = weight * inputs.to(weight).reshape(weight.shape[0], 1, weight.shape[2])
    return by_group.sum(2).flatten()


def drawn(layer: Any, gain: float, generator: torch.Generator | None = None) -> Tensor:
    """Draw a weight that keeps the scale from layer to layer, after He et al. 2015.

    Always in float32 and on the device of the generator, the CPU by default, so that it is the
    same for all dtypes and devices.
    """
    weight: Tensor = layer.weight
    inputs = _by_group(layer, weight)[0, 0].numel()
    if isinstance(layer, TRANSPOSED):  # of all positions, a stride reaches one in so many
        inputs = max(inputs // math.prod(layer.stride), 1)
    device = generator.device if generator is not None else torch.device("cpu")
    normal = torch.randn(weight.shape, generator=generator, device=device)
    return (normal * (gain / math.sqrt(inputs))).to(weight)
