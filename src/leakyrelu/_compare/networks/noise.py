"""Randomness: generators for a network alone, and dropout, attention and RReLU for a stack.

Each network of a stack draws what it would draw alone.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name
from torch.overrides import TorchFunctionMode

__all__ = ["OwnNoise", "kept_generators", "seed_generators", "where_others_stand"]


def seed_generators(seed: int) -> None:
    """Seed the global generators: PyTorch's, NumPy's and Python's."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


def where_others_stand() -> tuple[Any, ...]:
    """Return the states of NumPy's and Python's generators, for comparison."""
    state: Any = np.random.get_state()
    return state[1].tobytes(), state[2:], random.getstate()


@contextmanager
def kept_generators() -> Iterator[None]:
    """Restore all three generators at the end."""
    of_numpy, of_python = np.random.get_state(), random.getstate()
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            np.random.set_state(of_numpy)
            random.setstate(of_python)


class _Draw(torch.autograd.Function):
    """Calls ``draw(network, x)`` for each network of a stack and stacks what it returns."""

    @staticmethod
    def forward(x: Tensor, draw: Callable[[int, Tensor], Tensor]) -> Tensor:
        return draw(0, x)  # outside vmap there is only one network

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def vmap(info: Any, in_dims: Any, x: Tensor, draw: Callable[..., Tensor]) -> tuple[Tensor, int]:
        of_each = x.movedim(in_dims[0], 0)
        return torch.stack([draw(network, own) for network, own in enumerate(of_each)]), 0


class OwnNoise(TorchFunctionMode):
    """Makes random functions of `torch.nn.functional` draw from each network's own generator.

    A network alone draws from PyTorch's default generator; here it gets the same numbers from a
    generator in the same state. `torch.func.vmap` refuses all other randomness.
    """

    def __init__(self, generators: list[torch.Generator]) -> None:
        super().__init__()
        self._generators = generators
        of_channels = self._dropping(
            lambda x: x.flatten(2)[:, :, :1].reshape(*x.shape[:2], *[1] * (x.ndim - 2))
        )
        own: dict[str, Callable[..., Any]] = {
            "dropout": self._dropping(lambda x: x),
            **dict.fromkeys(("dropout1d", "dropout2d", "dropout3d"), of_channels),
            "rrelu": self._rrelu,
            "scaled_dot_product_attention": self._attend,
        }
        self._own: dict[Any, Any] = {getattr(F, name): each for name, each in own.items()}
        # Inside a function that a mode handles, PyTorch disables the mode. This one calls dropout
        # and attention, so it is replaced by a copy that calls those above.
        outer = F.multi_head_attention_forward
        copy = FunctionType(outer.__code__, {**vars(F), **own}, None, outer.__defaults__)
        copy.__kwdefaults__ = outer.__kwdefaults__
        self._own[outer] = copy

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call a function of PyTorch, or its replacement."""
        return self._own.get(func, func)(*args, **(kwargs or {}))

    def _dropping(self, like: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
        """Return a dropout whose noise has the shape of ``like(input)``."""

        def drop(
            input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
        ) -> Tensor:
            if not training or p == 0:
                return input

            def draw(network: int, x: Tensor) -> Tensor:
                noise = torch.empty_like(x).bernoulli_(1 - p, generator=self._generators[network])
                return noise.div_(1 - p)

            noise = _Draw.apply(like(input).detach(), draw)  # type: ignore[no-untyped-call]
            return input.mul_(noise) if inplace else input * noise

        return drop

    def _rrelu(
        self,
        input: Tensor,
        lower: float = 1 / 8,
        upper: float = 1 / 3,
        training: bool = False,
        inplace: bool = False,
    ) -> Any:
        if not training:
            return F.leaky_relu(input, (lower + upper) / 2)

        def draw(network: int, x: Tensor) -> Tensor:
            noise = torch.empty_like(x)
            generator = self._generators[network]
            torch.ops.aten.rrelu_with_noise(x, noise, lower, upper, True, generator)
            return noise

        return input * _Draw.apply(input.detach(), draw)  # type: ignore[no-untyped-call]

    def _attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Any:
        # Written out, as the fused kernels can't be stacked.
        if enable_gqa:
            raise NotImplementedError("grouped-query attention is not supported in a stack")
        scores = query @ key.transpose(-2, -1) * (scale or 1 / math.sqrt(query.shape[-1]))
        if is_causal:
            attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=query.device).tril()
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            scores = scores.masked_fill(~attn_mask, -torch.inf)
        elif attn_mask is not None:
            scores = scores + attn_mask
        return self._own[F.dropout](scores.softmax(-1), dropout_p) @ value
