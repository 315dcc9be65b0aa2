"""What a model returns before and after a change, and undoing the change."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from leakyrelu._trace.calls import batch_size
from leakyrelu.health._examine import arguments_of, batches_of, evaluating

__all__ = ["Outputs", "Snapshot"]

MOST_BYTES = 2**28  # of examples and outputs, which are kept for the comparison


class Outputs:
    """What a model returns in evaluation mode, for as many examples as there is room for.

    The examples are kept, as another pass over data may give them in another order.
    """

    def __init__(self, model: nn.Module, data: Tensor | Iterable[Any]) -> None:
        self.model = model
        self.batches: list[Any] = []
        self.outputs: list[list[Tensor]] = []
        self.examples = size = 0
        for batch in batches_of(data):
            self.batches.append(batch)
            self.outputs.append(self._run(batch))
            self.examples += batch_size(*arguments_of(batch))
            kept = (x for x in tree_leaves((batch, self.outputs[-1])) if isinstance(x, Tensor))
            size += sum(x.numel() * x.element_size() for x in kept)
            if size > MOST_BYTES:
                break

    def _run(self, batch: Any) -> list[Tensor]:
        args, kwargs = arguments_of(batch)
        # A model may draw random numbers, in evaluation too: each time the same.
        with torch.random.fork_rng(), evaluating(self.model), torch.no_grad():
            torch.manual_seed(0)
            output = self.model(*args, **kwargs)
        return [x.detach().cpu().clone() for x in tree_leaves(output) if isinstance(x, Tensor)]

    def renew(self) -> None:
        """Compare with what the model returns now, from here on."""
        self.outputs = [self._run(batch) for batch in self.batches]

    def change(self) -> float:
        """Return the largest absolute change of an output; infinite if it has another shape."""
        return max((_change(*pair) for pair in self._pairs()), default=0.0)

    def are_kept(self) -> bool:
        """Whether outputs are the same but for rounding."""
        return all(_change(was, now) <= _rounding(was) for was, now in self._pairs())

    def _pairs(self) -> list[tuple[Tensor, Tensor]]:
        pairs = []
        for batch, before in zip(self.batches, self.outputs, strict=True):
            after = self._run(batch)
            if len(after) != len(before):
                return [(torch.zeros(1), torch.full((1,), math.inf))]
            pairs += list(zip(before, after, strict=True))
        return pairs


def _change(was: Tensor, now: Tensor) -> float:
    if was.shape != now.shape:
        return math.inf
    wide = torch.complex128 if was.is_complex() else torch.float64
    was, now = was.to(wide), now.to(wide)
    is_same = (was == now) | (was.isnan() & now.isnan())
    change = (now - was).abs().masked_fill(is_same, 0).nan_to_num(math.inf, math.inf)
    return float(change.amax()) if change.numel() else 0.0


def _rounding(outputs: Tensor) -> float:
    """Return by how much a sum in another order may change outputs."""
    if not (outputs.is_floating_point() or outputs.is_complex()) or not outputs.numel():
        return 0.0
    largest = float(outputs.abs().double().nan_to_num(0, 0, 0).amax())
    return float(torch.finfo(outputs.dtype).eps ** 0.5 * largest)


class Snapshot:
    """A model as it is now: its modules, and the values of its parameters and buffers."""

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> None:
        self.modules = [
            (module, type(module), dict(vars(module)), dict(module._modules))
            for module in model.modules()
        ]
        self.values = [
            (tensor, tensor.detach().clone()) for tensor in (*model.parameters(), *model.buffers())
        ]
        state = {} if optimizer is None else optimizer.state
        self.values += [
            (value, value.clone())
            for of_parameter in state.values()
            for value in of_parameter.values()
            if isinstance(value, Tensor)
        ]

    @torch.no_grad()
    def restore(self) -> None:
        """Make the model what it was."""
        for module, cls, attributes, children in self.modules:
            module.__class__ = cls
            vars(module).clear()
            vars(module).update(attributes)
            module._modules.clear()
            module._modules.update(children)
        for tensor, value in self.values:
            tensor.copy_(value)
