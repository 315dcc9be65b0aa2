"""Where the weights of a unit lie: those it is made by, and those it is used by."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

__all__ = [
    "CONVOLUTIONS",
    "TRANSPOSED",
    "WEIGHTED",
    "change_weight",
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


def change_weight(layer: Any, changed: Callable[[Any], Tensor]) -> bool:
    """Give a layer the weight that `changed` returns of it, if it can have it.

    Returns
    -------
    bool
        False if something else computes the weight, which then stays.
    """
    if "weight" in layer._parameters:
        layer.weight.copy_(changed(layer))
        return True
    if not parametrize.is_parametrized(layer, "weight"):  # a hook, as of nn.utils.weight_norm
        return False
    parametrization = layer.parametrizations.weight
    before = copy.deepcopy(parametrization.state_dict())  # to look at the weight may change it
    wanted = changed(layer)
    try:
        layer.weight = wanted
        is_changed = torch.allclose(layer.weight, wanted, rtol=1e-3, atol=1e-6)
    except Exception:  # whatever it raises of a weight that it never gives
        is_changed = False
    if not is_changed:
        parametrization.load_state_dict(before)
    return is_changed
