"""Many networks of the same shape, computed together as one stack."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple, Protocol

import numpy as np
import torch

from leakyrelu.activations import Activation
from leakyrelu.health._counts import FiringCounts
from leakyrelu.nn import _passes, functional

__all__ = ["Batches", "Look", "Networks", "Parameters", "StackedMLP", "generator_for"]

# Gradients are measured on the first so many examples.
GRADIENT_EXAMPLES = 128

# Inputs and targets, (networks, examples, ...) each.
Batches = Sequence[tuple[torch.Tensor, torch.Tensor]]
# Given outputs and targets of a batch, returns the mean loss of each network.
LossOfEach = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class Look(NamedTuple):
    """Measurements of one network; see `leakyrelu._compare.trial.Checkpoint`."""

    loss: float
    never_fired: list[float]
    gradient: list[float]
    slopes: list[float]
    layers: list[str]


class Parameters(NamedTuple):
    """What an optimizer updates; `slopes` are PReLU's, which get no weight decay."""

    weights: list[torch.Tensor]
    slopes: list[torch.Tensor]


class Networks(Protocol):
    """Networks that train together: `StackedMLP`, or those of `leakyrelu._compare.networks.models`.

    All inputs and outputs are stacked: the first axis is the network.
    """

    def parameters(self, own: slice) -> Parameters:
        """Return what an optimizer updates, for some of the networks."""

    def differentiate(self, x: torch.Tensor, y: torch.Tensor, loss_of: LossOfEach) -> None:
        """Compute the gradients of each network's own mean loss of a batch."""

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        """Compute outputs, in evaluation mode."""

    def look(self, batches: Batches, loss_of: LossOfEach) -> list[Look]:
        """Return loss, share of units that never fire, gradients and slopes of each."""


class _Piece:
    """Parameters of several networks in one block of memory, and their gradients in another.

    So the optimizer updates a few large tensors. They must be contiguous: fused Adam walks through
    parameter and gradient in memory order.
    """

    def __init__(self, networks: int, size: int) -> None:
        self.size = size
        self.gradients: list[torch.Tensor] = []  # of each part
        self._values = torch.zeros(networks, size)
        self._gradient = torch.zeros(networks, size)
        self._used = 0

    def part(self, *shape: int) -> torch.Tensor:
        """Return the next parameters of each network, as a tensor of this shape."""
        own = slice(self._used, self._used + math.prod(shape))
        self._used = own.stop
        self.gradients.append(self._gradient[:, own].view(-1, *shape))
        return self._values[:, own].view(-1, *shape).requires_grad_()

    def of(self, networks: slice) -> torch.Tensor:
        """Return all parameters of some networks, with their gradient."""
        values = self._values[networks]
        values.grad = self._gradient[networks]
        return values


class StackedMLP:
    """Multilayer perceptrons of the same shape, one per trial, computed together.

    `ModelStack` could train them as well, but batched by hand, a backward pass of the default
    network takes about half the time: ``python benchmarks/training.py stacks``.

    Parameters
    ----------
    activation : Activation
        After every hidden layer.
    sizes : list of int
        Features, hidden widths, outputs.
    seeds : tuple of int
        One per network. A seed's initial weights are the same draw for every activation, times
        the activation's gain.

    Attributes
    ----------
    weights, biases, slopes : list of Tensor
        One per layer, for all networks; slopes are PReLU's.
    """

    def __init__(self, activation: Activation, sizes: list[int], seeds: tuple[int, ...]) -> None:
        self.activation = activation
        self.module = activation.module().eval()
        self.training = False
        self.noise = [generator_for(seed, "noise") for seed in seeds]
        shapes = list(pairwise(sizes))
        hidden = len(shapes) - 1
        self._matrices = _Piece(
            len(seeds), sum(inputs * outputs + outputs for inputs, outputs in shapes)
        )
        self._slopes = _Piece(len(seeds), hidden if activation.name == "prelu" else 0)
        self.weights = [self._matrices.part(inputs, outputs) for inputs, outputs in shapes]
        self.biases = [self._matrices.part(1, outputs) for _, outputs in shapes]
        self.slopes = [self._slopes.part(1) for _ in range(self._slopes.size)]
        draws = [generator_for(seed, "weights") for seed in seeds]
        with torch.no_grad():
            for layer, weight in enumerate(self.weights):
                gain = activation.gain if layer < hidden else 1.0
                for network, generator in zip(weight, draws, strict=True):
                    network.normal_(generator=generator).mul_(gain / len(network) ** 0.5)
            for slope in self.slopes:
                slope.fill_(activation.parameters[0])

    def parameters(self, own: slice) -> Parameters:
        slopes = [self._slopes.of(own)] if self.slopes else []
        return Parameters([self._matrices.of(own)], slopes)

    def differentiate(self, x: torch.Tensor, y: torch.Tensor, loss_of: LossOfEach) -> None:
        self.training = True
        if self.activation.name == "rrelu":
            self.draw_slopes()
        loss = loss_of(self(x), y).sum()
        parts = [*self.weights, *self.biases, *self.slopes]
        own = [*self._matrices.gradients, *self._slopes.gradients]
        for gradient, found in zip(own, torch.autograd.grad(loss, parts), strict=True):
            gradient.copy_(found)

    def draw_slopes(self) -> None:
        """Draw RReLU's slopes for the next batch: one seed per layer and network."""
        hidden = len(self.weights) - 1
        seeds = [torch.empty(hidden, dtype=torch.int64).random_(generator=g) for g in self.noise]
        self._seeds = torch.stack(seeds, dim=1).tolist()

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        self.training = False
        return self(x)

    def look(self, batches: Batches, loss_of: LossOfEach) -> list[Look]:
        self.training = False
        hidden = len(self.weights) - 1
        counts = [FiringCounts(unit_axes=(0, 2), example_axis=1) for _ in range(hidden)]
        examples, total = 0, torch.zeros(())
        for x, y in batches:
            total = total + x.shape[1] * loss_of(self(x, lambda i, x: counts[i].update(x)), y)
            examples += x.shape[1]
        x, y = (part[:, :GRADIENT_EXAMPLES] for part in batches[0])
        with torch.enable_grad():
            loss = loss_of(self(x), y).sum()
        gradients = torch.autograd.grad(loss, self.weights)
        never_fired = torch.stack([c.never_fired.float().mean(1) for c in counts], dim=1)
        size = torch.stack([g.square().mean((1, 2)).sqrt() for g in gradients], dim=1)
        slopes = torch.cat([*(s.detach() for s in self.slopes), torch.zeros(len(size), 0)], dim=1)
        layers = [str(layer + 1) for layer in range(hidden)]
        found = [each.tolist() for each in (total / examples, never_fired, size, slopes)]
        return [Look._make((*of_one, layers)) for of_one in zip(*found, strict=True)]

    def __call__(
        self, x: torch.Tensor, observe: Callable[[int, torch.Tensor], None] | None = None
    ) -> torch.Tensor:
        """Map (networks, examples, features) to (networks, examples, outputs).

        `observe` is called with each hidden layer's number and pre-activation.
        """
        last = len(self.weights) - 1
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias, x, weight)
            if layer < last:
                if observe is not None:
                    observe(layer, x)
                x = self._activate(layer, x)
        return x

    def _activate(self, layer: int, x: torch.Tensor) -> torch.Tensor:
        if self.activation.name == "prelu":  # one slope per network: they are torch's channels
            flat = x.reshape(1, len(x), -1)
            return functional.prelu(flat, self.slopes[layer].flatten()).view_as(x)
        if self.activation.name == "rrelu" and self.training:
            lower, upper = self.activation.parameters
            return _passes.rrelu_of_seeds(x, lower, upper, self._seeds[layer])
        result: torch.Tensor = self.module(x)
        return result


def generator_for(seed: int, purpose: str) -> torch.Generator:
    """Return a random generator determined by a seed and a purpose."""
    words = np.random.SeedSequence([seed, *purpose.encode()]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(words[0] >> np.uint64(1)))
