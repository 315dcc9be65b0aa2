"""Statistics of normalizations for channels that were made new."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from leakyrelu.health._examine import arguments_of, batches_of, evaluating

__all__ = ["calibrate"]


class _Statistics:
    """The mean and variance of the inputs of a normalization, for some of its channels."""

    def __init__(self, norm: Any, channels: Tensor) -> None:
        self.norm, self.channels = norm, channels.to(norm.running_mean.device)
        self.number = 0
        self.sum = self.squares = torch.zeros((), dtype=torch.float64)

    def see(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Take the statistics of all inputs up to this one."""
        x: Tensor = args[0] if args else kwargs["input"]
        x = x.detach().transpose(0, 1)[self.channels].flatten(1).double()
        if not x.numel():
            return
        self.number += x.shape[1]
        if self.number == x.shape[1]:
            self.origin = x.mean(1)  # sums of what is far from 0 would lose the variance
        x = x - self.origin[:, None]
        self.sum = self.sum.to(x.device) + x.sum(1)
        self.squares = self.squares.to(x.device) + x.square().sum(1)
        mean = self.sum / self.number
        variance = (self.squares - self.number * mean.square()).clamp(min=0)
        variance /= max(self.number - 1, 1)
        norm = self.norm
        norm.running_mean[self.channels] = (self.origin + mean).to(norm.running_mean.dtype)
        norm.running_var[self.channels] = variance.to(norm.running_var.dtype)


@torch.no_grad()
def calibrate(
    model: nn.Module, data: Tensor | Iterable[Any], changed: list[tuple[Tensor, Tensor]]
) -> None:
    """Take the running statistics that were changed from data, in evaluation mode.

    Parameters
    ----------
    changed : list of pairs of tensors
        Parameters and buffers, each with a mask of the entries that changed.
    """
    with ExitStack() as hooks, evaluating(model):
        for norm in model.modules():
            mean = norm._buffers.get("running_mean")
            masks = [mask for tensor, mask in changed if tensor is mean]
            if mean is not None and masks:
                statistics = _Statistics(norm, torch.stack(masks).any(0))
                hook = norm.register_forward_pre_hook(statistics.see, with_kwargs=True)
                hooks.callback(hook.remove)
        for batch in batches_of(data):
            args, kwargs = arguments_of(batch)
            model(*args, **kwargs)
