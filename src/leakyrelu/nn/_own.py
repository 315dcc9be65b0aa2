"""A function of the user's as a layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

__all__ = ["Calls"]


class Calls(torch.nn.Module):
    """A layer that calls a function of a tensor."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, input: Tensor) -> Tensor:
        result: Tensor = self.function(input)
        return result

    def extra_repr(self) -> str:
        return str(getattr(self.function, "__name__", self.function))
