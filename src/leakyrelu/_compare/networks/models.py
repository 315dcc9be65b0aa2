"""The user's own networks: one, trained as the user would, or several as one stack."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from leakyrelu._compare.networks.mlp import (
    GRADIENT_EXAMPLES,
    Batches,
    Look,
    LossOfEach,
    Parameters,
    generator_for,
)
from leakyrelu._compare.networks.noise import OwnNoise, seed_generators
from leakyrelu._compare.networks.recipe import Recipe
from leakyrelu._errors import InputError
from leakyrelu._trace.calls import Call, CallTracer
from leakyrelu.activations import Activation
from leakyrelu.health._counts import FiringCounts

__all__ = ["ModelStack", "SingleModel"]


def _noise_seed(seed: int) -> int:
    """Return the seed of what is random in training, such as dropout."""
    return generator_for(seed, "noise").initial_seed()


def _slopes_of(model: nn.Module) -> list[str]:
    """Names of PReLU's slopes, which weight decay would pull towards ReLU's."""
    return [
        f"{path}.weight".removeprefix(".")
        for path, module in model.named_modules()
        if isinstance(module, nn.PReLU)
    ]


def _look_at(model: nn.Module, batches: Batches, network: int, loss_of: LossOfEach) -> Look:
    """Measure one network of a stack, by itself and in evaluation mode."""
    model.eval()
    counts: dict[str, FiringCounts] = {}
    layers: dict[str, str] = {}  # their names; two functions called in one module share it

    def count(call: Call) -> None:
        layers.setdefault(call.key, call.layer)
        counts.setdefault(call.key, FiringCounts(call.layout.axis)).update(call.by_unit)

    examples, total = 0, 0.0
    tracer = CallTracer(model, count)
    with torch.no_grad(), tracer.hooked():
        for x, y in batches:
            tracer.begin()
            with tracer:
                output = model(x[network])
            loss = loss_of(output.unsqueeze(0), y[network].unsqueeze(0))
            total += len(x[network]) * loss.item()
            examples += len(x[network])
    weights = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    x, y = (part[network, :GRADIENT_EXAMPLES] for part in batches[0])
    with torch.enable_grad():
        loss = loss_of(model(x).unsqueeze(0), y.unsqueeze(0)).sum()
    gradients = torch.autograd.grad(loss, weights, allow_unused=True)
    named = dict(model.named_parameters())
    slopes = [named[name] for name in _slopes_of(model)]
    return Look(
        total / examples,
        [float(own.never_fired.float().mean()) for own in counts.values()],
        [0.0 if g is None else float(g.square().mean().sqrt()) for g in gradients],
        [float(slope.detach().mean()) for slope in slopes],
        list(layers.values()),
    )


class SingleModel:
    """A stack of one network: the user's own module, trained by itself."""

    def __init__(self, recipe: Recipe, activation: Activation, seed: int) -> None:
        self.model = recipe.build(activation, seed)
        seed_generators(_noise_seed(seed))

    def parameters(self, own: slice) -> Parameters:
        slopes = set(_slopes_of(self.model))
        named = [(name, p) for name, p in self.model.named_parameters() if p.requires_grad]
        return Parameters(
            [p for name, p in named if name not in slopes],
            [p for name, p in named if name in slopes],
        )

    def differentiate(self, x: Tensor, y: Tensor, loss_of: LossOfEach) -> None:
        self.model.train()
        self.model.zero_grad()
        loss_of(self._compute(x), y).sum().backward()  # type: ignore[no-untyped-call]

    def predict(self, x: Tensor) -> Tensor:
        self.model.eval()
        return self._compute(x)

    def _compute(self, x: Tensor) -> Tensor:
        output = self.model(x[0])
        if not isinstance(output, Tensor):
            raise InputError(
                f"it returns a {type(output).__name__}, but should return one tensor; wrap it in a "
                "module that does"
            )
        return output.unsqueeze(0)

    def look(self, batches: Batches, loss_of: LossOfEach) -> list[Look]:
        return [_look_at(self.model, batches, 0, loss_of)]


class ModelStack:
    """Networks of the same shape, one per seed, with parameters stacked and computed together.

    Each has its own BatchNorm statistics, and draws dropout and RReLU's slopes as it would alone.
    Other randomness, or what can't be computed for several networks at once, makes
    `torch.func.vmap` raise a RuntimeError or ValueError.
    """

    def __init__(self, recipe: Recipe, activation: Activation, seeds: Iterable[int]) -> None:
        models = [recipe.build(activation, seed) for seed in seeds]
        self._model = copy.deepcopy(models[0])  # for its code; its values are not used
        self._noise = [torch.Generator().manual_seed(_noise_seed(seed)) for seed in seeds]
        is_trained = {name: p.requires_grad for name, p in models[0].named_parameters()}
        states = [dict(model.named_parameters()) | dict(model.named_buffers()) for model in models]
        stacked = {
            name: torch.stack([state[name].detach() for state in states]) for name in states[0]
        }
        self._parameters = {n: v.requires_grad_() for n, v in stacked.items() if is_trained.get(n)}
        self._rest = {n: v for n, v in stacked.items() if n not in self._parameters}
        self._stepped_on: list[tuple[str, slice, Tensor]] = []

    def parameters(self, own: slice) -> Parameters:
        slopes = _slopes_of(self._model)
        found = Parameters([], [])
        for name, parameter in self._parameters.items():
            part = parameter.detach()[own]
            (found.slopes if name in slopes else found.weights).append(part)
            self._stepped_on.append((name, own, part))
        return found

    def _compute(self, x: Tensor) -> Tensor:
        def one(
            parameters: dict[str, Tensor], rest: dict[str, Tensor], x: Tensor
        ) -> tuple[Tensor, dict[str, Tensor]]:
            state = parameters | rest
            output = functional_call(self._model, state, (x,))
            # `state` now holds the buffers that the model has reassigned.
            return output, {name: state[name].detach() for name in rest}

        with OwnNoise(self._noise), _without_fast_path():
            output, self._rest = vmap(one)(self._parameters, self._rest, x)
        return output

    def differentiate(self, x: Tensor, y: Tensor, loss_of: LossOfEach) -> None:
        self._model.train()
        loss = loss_of(self._compute(x), y).sum()
        found = torch.autograd.grad(loss, list(self._parameters.values()), allow_unused=True)
        gradients = dict(zip(self._parameters, found, strict=True))
        for name, own, part in self._stepped_on:
            gradient = gradients[name]
            # Contiguous like the parameter: fused Adam walks through both in memory order.
            part.grad = None if gradient is None else gradient[own].contiguous()

    def predict(self, x: Tensor) -> Tensor:
        self._model.eval()
        return self._compute(x)

    def look(self, batches: Batches, loss_of: LossOfEach) -> list[Look]:
        looks = []
        for network in range(len(self._noise)):
            stacked = self._parameters | self._rest
            with torch.no_grad():
                for tensors in (self._model.named_parameters(), self._model.named_buffers()):
                    for name, own in tensors:
                        own.copy_(stacked[name][network])
            looks.append(_look_at(self._model, batches, network, loss_of))
        return looks


@contextmanager
def _without_fast_path() -> Iterator[None]:
    """Keep PyTorch's transformers from using a kernel that can't be stacked."""
    was_enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(was_enabled)
