"""The health of a model in TensorBoard: numbers over the steps, and the heat map."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from leakyrelu.health._watch import Watch
from leakyrelu.integrations._scalars import scalars

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

__all__ = ["log_to"]


def log_to(writer: SummaryWriter) -> Callable[[Watch], None]:
    """Return a function that writes the health of a model to TensorBoard after each window.

    Parameters
    ----------
    writer : torch.utils.tensorboard.SummaryWriter
        Close it yourself after the training.

    Returns
    -------
    callable
        For the argument ``on_window`` of `watch`.

    Notes
    -----
    The numbers are those of `leakyrelu.integrations.scalars`, at the step at which the window
    ended. The heat map, ``health/silent``, shows the whole run; it is redrawn when the run has
    become a tenth longer, so that drawing takes little time.

    Examples
    --------
    >>> import torch
    >>> from torch.utils.tensorboard import SummaryWriter
    >>> from leakyrelu.health import watch
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
    >>> with SummaryWriter("runs") as writer, watch(model, window=5, on_window=log_to(writer)):
    ...     for _ in range(10):
    ...         model(torch.randn(50, 2)).mean().backward()
    """
    drawn = 0

    def log(health: Watch) -> None:
        nonlocal drawn
        for name, value in scalars(health).items():
            writer.add_scalar(name, value, health.step)
        if health.step >= 1.1 * drawn:
            writer.add_figure("health/silent", health.plot(), health.step)
            drawn = health.step

    return log
