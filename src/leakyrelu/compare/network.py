"""Many networks of one shape, computed together as one stack."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch

from leakyrelu.activations import Activation

__all__ = ["StackedMLP", "generator_for"]


class StackedMLP:
    """Multilayer perceptrons of one shape, one a trial, computed together.

    Parameters
    ----------
    activation : Activation
        After every hidden layer.
    sizes : list of int
        Features, hidden widths, outputs.
    seeds : tuple of int
        One network each. A seed's initial weights are the same draw for every activation,
        times the activation's gain.

    Attributes
    ----------
    parameters, gradient : Tensor of shape (networks, parameters of one)
        All parameters in one piece, so that the optimizer steps on a few large tensors.
    weights, biases, slopes : list of Tensor
        Views of `parameters`, a layer each; slopes are those of PReLU.
    """

    def __init__(self, activation: Activation, sizes: list[int], seeds: tuple[int, ...]) -> None:
        self.activation = activation
        self.module = activation.module().eval()
        self.training = False
        self.noise = [generator_for(seed, "noise") for seed in seeds]
        shapes = list(pairwise(sizes))
        hidden = len(shapes) - 1
        learned_slopes = hidden if activation.name == "prelu" else 0
        total = sum(inputs * outputs + outputs for inputs, outputs in shapes) + learned_slopes
        self.parameters = torch.zeros(len(seeds), total)
        self.gradient = torch.zeros_like(self.parameters)
        self._gradients: list[torch.Tensor] = []
        self._used = 0
        self.weights = [self._part(inputs, outputs) for inputs, outputs in shapes]
        self.biases = [self._part(1, outputs) for _, outputs in shapes]
        self.slopes = [self._part(1) for _ in range(learned_slopes)]
        draws = [generator_for(seed, "weights") for seed in seeds]
        with torch.no_grad():
            for layer, weight in enumerate(self.weights):
                gain = activation.gain if layer < hidden else 1.0
                for network, generator in zip(weight, draws, strict=True):
                    network.normal_(generator=generator).mul_(gain / len(network) ** 0.5)
            for slope in self.slopes:
                slope.fill_(activation.parameters[0])

    def _part(self, *shape: int) -> torch.Tensor:
        """Return the next so many parameters of each network, as a tensor of its own."""
        size = math.prod(shape)
        own = slice(self._used, self._used + size)
        self._used += size
        self._gradients.append(self.gradient[:, own].view(-1, *shape))
        return self.parameters[:, own].view(-1, *shape).requires_grad_()

    def differentiate(self, loss: torch.Tensor) -> None:
        """Fill `gradient` with the gradient of `loss`."""
        parts = [*self.weights, *self.biases, *self.slopes]
        for own, gradient in zip(self._gradients, torch.autograd.grad(loss, parts), strict=True):
            own.copy_(gradient)

    def __call__(
        self, x: torch.Tensor, observe: Callable[[int, torch.Tensor], None] | None = None
    ) -> torch.Tensor:
        """Compute (networks, examples, features) to (networks, examples, outputs).

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
        if self.activation.name == "prelu":  # a slope per network: the channels of torch.prelu
            flat = x.reshape(1, len(x), -1)
            return torch.prelu(flat, self.slopes[layer].flatten()).view_as(x)
        if self.activation.name == "rrelu" and self.training:
            slopes = torch.empty_like(x)
            for network, generator in enumerate(self.noise):
                slopes[network].uniform_(*self.activation.parameters, generator=generator)
            return x * torch.where(x.detach() > 0, 1.0, slopes)
        result: torch.Tensor = self.module(x)
        return result


def generator_for(seed: int, purpose: str) -> torch.Generator:
    """Return a random generator that only a seed and a purpose decide."""
    words = np.random.SeedSequence([seed, *purpose.encode()]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(words[0] >> np.uint64(1)))
