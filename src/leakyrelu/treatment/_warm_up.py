"""A leak that grows while a model trains, so that a trained one is not disturbed."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from leakyrelu._errors import InputError

__all__ = ["WarmUpLeakyReLU"]


class WarmUpLeakyReLU(nn.LeakyReLU):
    r"""LeakyReLU whose slope rises from 0, which is ReLU, to `negative_slope`.

    In training forward number :math:`n = 0, 1, \dots` the slope is

    .. math:: a_n = a \min(n / N, 1)

    and in evaluation it is that of the last training forward.

    Parameters
    ----------
    negative_slope : float
        The slope :math:`a` in the end.
    warm_up : int
        The number of training forwards :math:`N` until then.

    Attributes
    ----------
    forwards : torch.Tensor of int64, shape ()
        A buffer, so that checkpoints have it: the training forwards so far. What gradient
        checkpointing computes a second time is not counted.

    Raises
    ------
    InputError
        If `warm_up` is less than 1.

    Examples
    --------
    >>> import torch
    >>> layer = WarmUpLeakyReLU(0.1, warm_up=2)
    >>> [layer(torch.tensor(-1.0)).item() for _ in range(4)]
    [-0.0, -0.05..., -0.10..., -0.10...]
    """

    forwards: Tensor

    def __init__(self, negative_slope: float, warm_up: int) -> None:
        super().__init__(negative_slope)
        if warm_up < 1:
            raise InputError(f"warm_up must be at least 1 training forward, but is {warm_up}")
        self.warm_up = warm_up
        self.register_buffer("forwards", torch.zeros((), dtype=torch.int64))

    def forward(self, input: Tensor) -> Tensor:
        if self.training and not _is_recomputed():
            self.forwards += 1
        # The slope stays a tensor: to read it would be to wait for a GPU. A prelu takes one.
        share = ((self.forwards - 1) / self.warm_up).clamp(0, 1)
        return torch.prelu(input, share.to(input.dtype) * self.negative_slope)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}, warm_up={self.warm_up}"


def _is_recomputed() -> bool:
    """Tell whether this is called by the way back, as gradient checkpointing does."""
    return not torch.compiler.is_compiling() and torch._C._current_graph_task_id() != -1
