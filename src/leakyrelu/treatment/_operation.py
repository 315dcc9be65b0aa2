"""Reinitializing units of one layer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from leakyrelu._trace.flow import Consumer, Part, RefusedError, check_own
from leakyrelu._trace.weights import Weights, by_group, effect, made_by, used_by
from leakyrelu.treatment._initial import drawn

if TYPE_CHECKING:
    from leakyrelu.health._layers import LayerHealth

__all__ = ["Operation"]


class Operation:
    """The reinitialization of units of one layer: refused unless the model's function stays."""

    def __init__(
        self,
        model: nn.Module,
        layer: LayerHealth,
        units: Tensor,  # bool, of shape (units,)
    ) -> None:
        self.model, self.units = model, units
        flow = layer.flow
        if flow.why_not:
            raise RefusedError(flow.why_not)
        self.makers, self.norms, self.consumers = flow.makers, flow.norms, flow.consumers
        for part in (*self.makers, *self.norms, *self._parts_after()):
            check_own(model, part)
        for part in self.makers:
            weights = Weights.of(model, part)
            if (made := by_group(weights, weights.weight).shape[:2].numel()) != len(part.units):
                raise RefusedError(f"{part.path} makes {made} units, but health= has {layer.units}")
        for part in self.norms:
            if part.is_joint and not part.weight:
                raise RefusedError(f"{part.path} has no scale for each unit that could be reset")
        # New weights would change the normalization of the others, or what else uses them.
        self.keeps_weights = not self.makers or any(part.is_joint for part in self.norms)
        dead = layer.dead.cpu()
        mean = layer.counts.mean_activation.double().cpu()
        if layer.blocks_gradient:
            mean = torch.where(dead, 0.0, mean)
        self.constants = [self._after_norms(mean, consumer) for consumer in self.consumers]
        for consumer, constant in zip(self.consumers, self.constants, strict=True):
            self._check_moving(consumer, (constant != 0) & units, dead)

    def _parts_after(self) -> list[Part]:
        return [part for consumer in self.consumers for part in (consumer.part, *consumer.norms)]

    def _module(self, part: Part) -> Any:
        return self.model.get_submodule(part.path)

    def _after_norms(self, constant: Tensor, consumer: Consumer) -> Tensor:
        """Return what constant units become on their way to a consumer, in evaluation mode."""
        for part in consumer.norms:
            norm = self._module(part)
            has, index = part.units >= 0, part.units[part.units >= 0]
            mean, variance = norm.running_mean, norm.running_var
            after = constant.clone()
            if mean is None:  # a constant is its own mean
                after[index] = 0.0
            else:
                spread = (variance.cpu() + norm.eps).sqrt()
                after[index] = ((constant[index] - mean.cpu()[has]) / spread[has]).double()
            if norm.weight is not None:
                scaled = after[index] * norm.weight.cpu()[has] + norm.bias.cpu()[has]
                after[index] = scaled.double()
            constant = after
        return constant

    def _check_moving(self, consumer: Consumer, moved: Tensor, dead: Tensor) -> None:
        """Refuse units that give a constant, if nothing after them can take it over."""
        if not moved.any():
            return
        weights = Weights.of(self.model, consumer.part)
        if weights.transposed and weights.weight.ndim > 2:
            at_borders = True
        else:
            at_borders = consumer.is_padded and bool((moved & dead).any())
        if at_borders:
            raise RefusedError(
                f"they give {consumer.path} a constant, which its bias can't take over at borders"
            )
        if weights.bias is None:
            if consumer.norm_after is None:
                raise RefusedError(f"{consumer.path} has no bias to take over their mean output")
            check_own(self.model, Part(consumer.norm_after, consumer.part.units))

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
            weights = Weights.of(self.model, consumer.part)
            units = consumer.part.units
            constant = torch.where(self.units, constant, 0.0)
            inputs = torch.where(units >= 0, constant[units.clamp(min=0)], 0.0)
            self._move(consumer, weights, inputs)
            fill(weights.weight, used_by(weights, consumer.part.of(self.units)), 0.0)
        after = {norm.path: norm for consumer in self.consumers for norm in consumer.norms}
        for part in (*self.norms, *after.values()):
            norm, mask = self._module(part), part.of(self.units)
            shift = getattr(norm, "bias", None)
            stays = self.keeps_weights and part.path not in after
            fill(norm.weight, mask, _scale(norm.weight, shift) if stays else 1.0)
            fill(shift, mask, 0.0)
            if not stays:
                fill(getattr(norm, "running_mean", None), mask, 0.0)
                fill(getattr(norm, "running_var", None), mask, 1.0)
        if not self.keeps_weights:
            for part in self.makers:
                weights, mask = Weights.of(self.model, part), part.of(self.units)
                new = drawn(weights, math.sqrt(2), generator)
                fill(weights.weight, made_by(weights, mask), new)
                fill(weights.bias, mask, 0.0)
        return changed

    def _move(self, consumer: Consumer, weights: Weights, inputs: Tensor) -> None:
        """Let the bias of a layer, or the normalization after it, take over constant inputs."""
        if not inputs.any():
            return
        if weights.bias is not None:
            weights.bias.add_(effect(weights, inputs))
        else:
            norm: Any = self.model.get_submodule(consumer.norm_after or "")
            if norm.running_mean is not None:  # else it subtracts all constants by itself
                norm.running_mean -= effect(weights, inputs).to(norm.running_mean.dtype)


def _scale(scale: Tensor | None, shift: Tensor | None) -> Tensor | float:
    """Return the new scale of a normalization before which the weights stay.

    It is 1 or -1: with the opposite sign if the shift was not negative, so that what comes in
    kept the unit down.
    """
    if scale is None:
        return 1.0
    sign = torch.where(scale < 0, -1.0, 1.0)
    return sign if shift is None else torch.where(shift < 0, sign, -sign)
