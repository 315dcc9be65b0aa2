"""Reinitializing units of one layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from leakyrelu._trace.flow import JOINT_NORMS, Consumer, Surroundings
from leakyrelu._trace.graph import Graph, RefusedError
from leakyrelu._trace.names import path_of
from leakyrelu._trace.weights import TRANSPOSED, effect, made_by, units_of, used_by
from leakyrelu.treatment._initial import drawn

if TYPE_CHECKING:
    from leakyrelu.health._layers import LayerHealth

__all__ = ["Operation"]


class Operation:
    """The reinitialization of units of one layer: refused unless the model's function stays."""

    def __init__(
        self,
        graphs: Sequence[Graph],  # of the model in training and in evaluation
        layers: Sequence[LayerHealth],  # all of the model
        layer: LayerHealth,
        units: Tensor,  # bool, of shape (units,)
    ) -> None:
        kinds = [(path_of(each.layer), each.function) for each in layers]
        calls = kinds.count((path_of(layer.layer), layer.function))
        found = [
            Surroundings.of(graph, graph.call(layer.layer, layer.function, calls))
            for graph in graphs
        ]
        if not all(others.are_those_of(found[0]) for others in found):
            raise RefusedError("its units flow elsewhere in training than in evaluation")
        self.graph, self.units = graphs[0], units
        self.norms, self.consumers = found[0].norms, found[0].consumers
        self.made_by: Any = self.graph.modules[found[0].producer]
        if units_of(self.made_by) != layer.units:
            raise RefusedError(
                f"{found[0].producer} makes {units_of(self.made_by)} units, but health= has "
                f"{layer.units}"
            )
        joint = [path for path in self.norms if isinstance(self.graph.modules[path], JOINT_NORMS)]
        for path in joint:
            if getattr(self.graph.modules[path].weight, "shape", None) != (layer.units,):
                raise RefusedError(f"{path} has no scale for each unit that could be reset")
        # New weights would change the normalization of the others.
        self.keeps_weights = bool(joint)
        dead = layer.dead.cpu()
        mean = layer.counts.mean_activation.float().cpu()
        if layer.blocks_gradient:
            mean = torch.where(dead, 0.0, mean)
        self.constants = [self._after_norms(mean, consumer) for consumer in self.consumers]
        for consumer, constant in zip(self.consumers, self.constants, strict=True):
            self._check_moving(consumer, (constant != 0) & units, dead)

    def _after_norms(self, constant: Tensor, consumer: Consumer) -> Tensor:
        """Return what constant units become on their way to a consumer, in evaluation mode."""
        for path in consumer.norms:
            norm: Any = self.graph.modules[path]
            mean, variance = norm.running_mean, norm.running_var
            if mean is None:  # a constant is its own mean
                constant = torch.zeros_like(constant)
            else:
                constant = (constant - mean.cpu()) / (variance.cpu() + norm.eps).sqrt()
            if norm.weight is not None:
                constant = constant * norm.weight.cpu() + norm.bias.cpu()
        return constant

    def _check_moving(self, consumer: Consumer, moved: Tensor, dead: Tensor) -> None:
        """Refuse units that give a constant, if nothing after them can take it over."""
        if not moved.any():
            return
        layer: Any = consumer.layer
        is_padded = getattr(layer, "padding_mode", "") == "zeros" and layer.padding not in (
            "valid",
            (0,) * len(layer.kernel_size),
        )
        if isinstance(layer, TRANSPOSED) or (is_padded and (moved & dead).any()):
            raise RefusedError(
                f"they give {consumer.path} a constant, which its bias can't take over at borders"
            )
        if layer.bias is None:
            if consumer.norm_after is None:
                raise RefusedError(f"{consumer.path} has no bias to take over their mean output")
            self.graph.check_own(consumer.norm_after)

    def perform(self, generator: torch.Generator | None) -> list[tuple[Tensor, Tensor]]:
        """Reinitialize; return the parameters changed, each with a mask of its entries."""
        changed: list[tuple[Tensor, Tensor]] = []

        def fill(parameter: Tensor | None, mask: Tensor, value: Tensor | float) -> None:
            if parameter is not None:
                mask = mask.to(parameter.device)
                new = torch.as_tensor(value, dtype=parameter.dtype, device=parameter.device)
                parameter.copy_(torch.where(mask, new, parameter))
                changed.append((parameter, mask))

        for consumer, constant in zip(self.consumers, self.constants, strict=True):
            layer: Any = consumer.layer
            self._move(consumer, torch.where(self.units, constant, 0.0)[consumer.inputs])
            fill(layer.weight, used_by(layer, self.units[consumer.inputs]), 0.0)
        after = [path for consumer in self.consumers for path in consumer.norms]
        for path in dict.fromkeys(self.norms + after):
            norm: Any = self.graph.modules[path]
            shift = getattr(norm, "bias", None)
            fill(norm.weight, self.units, self._scale(norm.weight, shift, path))
            fill(shift, self.units, 0.0)
            fill(getattr(norm, "running_mean", None), self.units, 0.0)
            fill(getattr(norm, "running_var", None), self.units, 1.0)
        if not self.keeps_weights:
            weight = drawn(self.made_by, math.sqrt(2), generator)
            fill(self.made_by.weight, made_by(self.made_by, self.units), weight)
            fill(self.made_by.bias, self.units, 0.0)
        return changed

    def _move(self, consumer: Consumer, inputs: Tensor) -> None:
        """Let the bias of a layer, or the normalization after it, take over constant inputs."""
        layer: Any = consumer.layer
        if not inputs.any():
            return
        if layer.bias is not None:
            layer.bias += effect(layer, inputs)
        else:
            norm: Any = self.graph.modules[consumer.norm_after or ""]
            if norm.running_mean is not None:  # else it subtracts all constants by itself
                norm.running_mean -= effect(layer, inputs).to(norm.running_mean.dtype)

    def _scale(self, scale: Tensor | None, shift: Tensor | None, path: str) -> Tensor | float:
        """Return the new scale of a normalization.

        If the incoming weights stay it is 1 or -1: with the opposite sign if the shift was not
        negative, so that the inputs kept the unit down.
        """
        if scale is None or not isinstance(self.graph.modules[path], JOINT_NORMS):
            return 1.0
        sign = torch.where(scale < 0, -1.0, 1.0)
        return sign if shift is None else torch.where(shift < 0, sign, -sign)
