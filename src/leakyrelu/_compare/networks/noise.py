"""What is random: the generators of a network alone, and dropout and RReLU for a stack.

Each network of a stack draws what it would draw alone.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name

__all__ = ["kept_generators", "own_noise", "seed_generators", "where_others_stand"]


def seed_generators(seed: int) -> None:
    """Seed what people draw from unless they make a generator: that of PyTorch and two more."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


def where_others_stand() -> tuple[Any, ...]:
    """Return the states of NumPy's and Python's generator, to be compared."""
    state: Any = np.random.get_state()
    return state[1].tobytes(), state[2:], random.getstate()


@contextmanager
def kept_generators() -> Iterator[None]:
    """Leave all three generators as they were."""
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
        return draw(0, x)  # outside of a stack there is one network

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def vmap(info: Any, in_dims: Any, x: Tensor, draw: Callable[..., Tensor]) -> tuple[Tensor, int]:
        of_each = x.movedim(in_dims[0], 0)
        return torch.stack([draw(network, own) for network, own in enumerate(of_each)]), 0


@contextmanager
def own_noise(generators: list[torch.Generator]) -> Iterator[None]:
    """Let what is random in `torch.nn.functional` draw from a generator of each network.

    A network alone draws from PyTorch's default generator. With a generator in the same state,
    it gets the same numbers here. What else is random `torch.func.vmap` refuses to do.
    """

    def zero_or_more(x: Tensor, p: float) -> Tensor:
        def draw(network: int, like: Tensor) -> Tensor:
            noise = torch.empty_like(like).bernoulli_(1 - p, generator=generators[network])
            return noise.div_(1 - p)

        return _Draw.apply(x.detach(), draw)  # type: ignore[no-any-return, no-untyped-call]

    def dropping(like: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
        """Return a dropout whose noise is shaped like what `like` makes of the input."""

        def drop(
            input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
        ) -> Tensor:
            if not training or p == 0:
                return input
            noise = zero_or_more(like(input), p)
            return input.mul_(noise) if inplace else input * noise

        return drop

    dropout = dropping(lambda x: x)
    of_channels = dropping(
        lambda x: x.flatten(2)[:, :, :1].reshape(*x.shape[:2], *[1] * (x.ndim - 2))
    )

    def rrelu(
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
            torch.ops.aten.rrelu_with_noise(x, noise, lower, upper, True, generators[network])
            return noise

        return input * _Draw.apply(input.detach(), draw)  # type: ignore[no-untyped-call]

    def attend(
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Any:
        # Written out: the fused kernels take no stacks.
        if enable_gqa:
            raise NotImplementedError("attention with groups of queries is not stacked")
        scores = query @ key.transpose(-2, -1) * (scale or 1 / math.sqrt(query.shape[-1]))
        if is_causal:
            attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=query.device).tril()
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            scores = scores.masked_fill(~attn_mask, -torch.inf)
        elif attn_mask is not None:
            scores = scores + attn_mask
        return dropout(scores.softmax(-1), dropout_p) @ value

    with mock.patch.multiple(
        F,
        dropout=dropout,
        dropout1d=of_channels,
        dropout2d=of_channels,
        dropout3d=of_channels,
        rrelu=rrelu,
        scaled_dot_product_attention=attend,
    ):
        yield
