"""One pass over data that tells, layer by layer, which units are dead."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from leakyrelu.health.calls import NO_RECTIFIER, Call, CallTracer
from leakyrelu.health.counts import FiringCounts

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Examination", "LayerHealth", "examine"]


@dataclass(frozen=True)
class LayerHealth:
    """The units of one rectifier call.

    Attributes
    ----------
    layer : str
        Path of the module that makes the call; a second call of the same function in the
        same module is another layer, with ``#2`` after its name.
    function : str
        The function called, such as ``relu``.
    counts : FiringCounts
        How often each unit fired; its tensors have one entry a unit.
    blocks_gradient : bool
        Whether a unit that never fires gets no gradient: it is *dead*. Else it is *stuck
        negative*.
    """

    layer: str
    function: str
    counts: FiringCounts
    blocks_gradient: bool

    @property
    def units(self) -> int:
        """Number of units: output channels or features."""
        return self.counts.fired.numel()

    @property
    def dead(self) -> torch.Tensor:
        """Bool of shape (units,): never fired, and no gradient passes."""
        return self.counts.never_fired & self.blocks_gradient

    @property
    def stuck_negative(self) -> torch.Tensor:
        """Bool of shape (units,): never fired, but gradient passes."""
        return self.counts.never_fired & (not self.blocks_gradient)


@dataclass(frozen=True)
class Examination:
    """What `examine` found; print it, or take `table`.

    Attributes
    ----------
    layers : list of LayerHealth
        In the order in which the model calls them.
    examples : int
        The window: how many examples the verdict rests on.
    """

    layers: list[LayerHealth]
    examples: int

    def table(self) -> pd.DataFrame:
        """Return one row a layer: units, and the per cent of them in each state."""
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError("a table needs pandas: pip install 'leakyrelu[compare]'") from error

        def percent(units: torch.Tensor) -> float:
            return 100 * units.float().mean().item()

        return pd.DataFrame(
            {
                "layer": [layer.layer for layer in self.layers],
                "function": [layer.function for layer in self.layers],
                "units": [layer.units for layer in self.layers],
                "dead %": [percent(layer.dead) for layer in self.layers],
                "stuck negative %": [percent(layer.stuck_negative) for layer in self.layers],
                "always on %": [percent(layer.counts.always_on) for layer in self.layers],
                "NaN %": [percent(layer.counts.has_nan) for layer in self.layers],
                "median firing rate": [layer.counts.rate.median().item() for layer in self.layers],
            }
        )

    @property
    def summary(self) -> str:
        """One sentence: how many units are dead, and where most of them are."""
        units = sum(layer.units for layer in self.layers)
        dead = sum(int(layer.dead.sum()) for layer in self.layers)
        text = f"{dead} of {units} units are dead"
        if dead:
            worst = max(self.layers, key=lambda layer: layer.dead.float().mean().item())
            text += f", most in {worst.layer} ({int(worst.dead.sum())} of {worst.units})"
        stuck = sum(int(layer.stuck_negative.sum()) for layer in self.layers)
        if stuck:
            text += f"; {stuck} are stuck negative but still learn"
        nan = [layer.layer for layer in self.layers if layer.counts.has_nan.any()]
        if nan:
            text += f"; NaN reached {', '.join(nan)}"
        return f"{text} (window: {self.examples:,} examples)."

    def __str__(self) -> str:
        table = self.table().to_string(index=False, float_format=lambda value: f"{value:.2f}")
        return f"{table}\n{self.summary}"


def examine(
    model: nn.Module, data: torch.Tensor | Iterable[Any], *, unit_axis: int | None = None
) -> Examination:
    """Run `model` over `data` once and tell which units are dead.

    The model is run in evaluation mode without gradients and left as it was: parameters,
    BatchNorm statistics and training mode do not change.

    Parameters
    ----------
    model : torch.nn.Module
        Rectifiers are found as modules (`torch.nn.ReLU`) and as calls
        (``torch.relu(x)``, ``x.relu()``, `torch.nn.functional.leaky_relu`) alike.
    data : tensor, or iterable of batches
        A tensor of examples, shape (N, ...), or batches such as a DataLoader gives: a
        tensor, or a tuple or list with the model's input first.
    unit_axis : int, optional
        The axis that numbers the units. By default the last after a Linear or LayerNorm
        and the second after a convolution or BatchNorm.

    Returns
    -------
    Examination
        Print it, or take its ``table()``, ``summary`` and ``layers``.

    Raises
    ------
    ValueError
        If `data` is empty, or the model calls no rectifier.

    Notes
    -----
    *Dead*: fired (pre-activation > 0) for no example of the window, and the activation
    passes no gradient there. *Stuck negative*: never fired, but leaky, so it still learns.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU())
    >>> _ = model[0].bias.data.copy_(torch.tensor([-100.0, 0.0, 100.0]))
    >>> examine(model, torch.randn(50, 2)).summary
    '1 of 3 units are dead, most in 1 (1 of 3) (window: 50 examples).'
    """
    batches: Iterable[Any] = torch.split(data, 1024) if isinstance(data, torch.Tensor) else data
    was_training = {module: module.training for module in model.modules()}
    layers: dict[str, LayerHealth] = {}

    def count(call: Call) -> None:
        layer = layers.setdefault(
            f"{call.layer} {call.function}",
            LayerHealth(
                call.layer, call.function, FiringCounts(call.unit_axis), call.blocks_gradient
            ),
        )
        layer.counts.update(call.pre_activation)

    tracer = CallTracer(model, count, unit_axis)
    examples = 0
    model.eval()
    try:
        with torch.no_grad(), tracer.hooked():
            for batch in batches:
                inputs = batch[0] if isinstance(batch, (tuple, list)) else batch
                tracer.begin()
                with tracer:
                    model(inputs)
                examples += len(inputs)
    finally:
        for module, training in was_training.items():
            module.training = training
    if examples == 0:
        raise ValueError("data has no examples; give a tensor of shape (N, ...) or batches of them")
    if not layers:
        raise ValueError(NO_RECTIFIER)
    return Examination(list(layers.values()), examples)
