"""Where the weights of a unit are: those that make it, and those that use it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from leakyrelu._trace.flow import Part

__all__ = [
    "PLAIN",
    "WEIGHTED",
    "Weights",
    "by_group",
    "effect",
    "is_transposed",
    "made_by",
    "units_of",
    "used_by",
    "weight_at_hand",
]

TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
PLAIN = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)  # units lie on the weight's first axis
WEIGHTED = (*PLAIN, *TRANSPOSED)


@dataclass(frozen=True)
class Weights:
    """Weights that make or use units, of whatever module."""

    weight: Tensor
    bias: Tensor | None
    transposed: bool
    groups: int
    stride: tuple[int, ...]

    @classmethod
    def of(cls, model: nn.Module, part: Part) -> Weights:
        """Look them up in a model."""
        own = model.get_submodule(part.path)._parameters
        name = part.weight.rpartition(".")[2]
        bias = own.get(name.replace("weight", "bias"))
        weight = own[name]
        assert weight is not None
        is_own = bias is not weight
        return cls(weight, bias if is_own else None, part.transposed, part.groups, (part.stride,))


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
    view: Tensor = weight.unflatten(0, (getattr(layer, "groups", 1), -1))
    return view.transpose(1, 2) if is_transposed(layer) else view


def is_transposed(layer: Any) -> bool:
    """Whether units lie on the second axis of the weight."""
    return isinstance(layer, TRANSPOSED) or getattr(layer, "transposed", False) is True


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


def made_by(layer: Any, units: Tensor) -> Tensor:
    """Return a mask of the weights that make the units; `units` is a mask of all units."""
    return _mask(layer, units, None)


def used_by(layer: Any, inputs: Tensor) -> Tensor:
    """Return a mask of the weights that use the inputs; `inputs` is a mask of all inputs."""
    return _mask(layer, None, inputs)


def effect(layer: Any, inputs: Tensor) -> Tensor:
    """Return what a layer adds to each output if each input is constant, without padding."""
    weight = layer.weight.detach()
    weight = by_group(layer, weight.to(torch.promote_types(weight.dtype, torch.float32)))
    weight = weight.flatten(3).sum(3) if weight.ndim > 3 else weight
    of_inputs = weight * inputs.to(weight).reshape(weight.shape[0], 1, weight.shape[2])
    return of_inputs.sum(2).flatten()
