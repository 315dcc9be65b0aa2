"""Small corrective gradients for units that hardly fire, while a model trains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Unpack

import torch
from torch import Tensor, nn

from leakyrelu._errors import InputError
from leakyrelu.health._tracked import TrackedLayer
from leakyrelu.health._watch import Watch, WatchOptions

__all__ = ["SelfRepair"]

# Units that fire at fewer, or at more, of the positions are corrected: the limits of Kaldi and
# icefall.
LEAST_RATE, MOST_RATE = 0.05, 0.95


class SelfRepair(Watch):
    """Correct units that hardly ever or almost always fire, while a model trains.

    Units that fire at less than 5% of the positions get a small gradient that raises their
    pre-activation, those that fire at more than 95% one that lowers it.

    Parameters
    ----------
    model : torch.nn.Module
        The model that is trained.
    strength : float
        The size of these gradients, relative to the mean absolute gradient of the layer's
        pre-activations. 0.01 helped in our experiments, 0.1 ruined the training.
    on_window, **options
        As in `leakyrelu.watch`: the training is watched, too.

    Raises
    ------
    TypeError
        If `model` is not a module.
    InputError
        If `strength` is negative, or as `leakyrelu.watch` does.

    Notes
    -----
    Follows the speech toolkits Kaldi (self-repair [1]_) and icefall (its balancers), which keep
    the mean derivative of each ReLU within these limits. The rates are those of the first batch
    of each window.

    References
    ----------
    .. [1] D. Povey et al., Kaldi, ``nnet3``: "self-repair" of nonlinearities,
       https://kaldi-asr.org/doc/dnn3.html

    Examples
    --------
    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> model = nn.Sequential(nn.Linear(2, 4), nn.ReLU())
    >>> _ = model[0].bias.data[:2].copy_(torch.tensor([-100.0, 100.0]))  # dead, always on
    >>> with SelfRepair(model, 0.25):
    ...     model(torch.randn(64, 2)).sum().backward()
    >>> model[0].bias.grad[:2]  # would be 0 and 64
    tensor([-16.,  80.])
    """

    def __init__(
        self,
        model: nn.Module,
        strength: float,
        *,
        on_window: Callable[[Watch], None] | None = None,
        **options: Unpack[WatchOptions],
    ) -> None:
        if strength < 0:
            raise InputError(f"strength must be 0 or more, but is {strength}")
        super().__init__(model, on_window=on_window, **options)
        self.strength = strength
        # By layer and unit: -1 pushes up, 1 down, as descent goes against the gradient.
        self._push: dict[TrackedLayer, Tensor] = {}

    def _visit(self, layer: TrackedLayer, pre_activation: Tensor) -> None:
        if self._looks_closer:
            rate = layer.counts.positive_rate
            push = (rate > MOST_RATE).float() - (rate < LEAST_RATE).float()
            self._push.pop(layer, None)
            if push.any():
                self._push[layer] = push
        is_plain = layer.layout.order is None  # else the gradient has its units elsewhere
        if layer in self._push and pre_activation.requires_grad and is_plain:
            push = self._push[layer]
            pre_activation.register_hook(  # type: ignore[no-untyped-call]
                lambda gradient: self._corrected(gradient, push, layer)
            )

    def _corrected(self, gradient: Tensor, push: Tensor, layer: TrackedLayer) -> Tensor:
        shape = [1] * gradient.ndim
        shape[layer.axis] = -1
        # As strong as the gradient of those that get one; if none does, as that of a mean.
        passing = gradient.count_nonzero()
        size = gradient.abs().sum() / passing.clamp(min=1)
        size = torch.where(passing > 0, size, 1 / gradient.numel())
        return gradient + self.strength * size * push.view(shape).to(gradient.dtype)

    def _is_done(self, layer: TrackedLayer) -> bool:
        return super()._is_done(layer) and layer not in self._push
