"""One pass over data that tells, layer by layer, which units are dead."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - its usual name
from torch.overrides import TorchFunctionMode

from leakyrelu.health.counts import FiringCounts

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Examination", "LayerHealth", "examine"]


def _blocks_gradient(*args: Any, **kwargs: Any) -> bool:
    return True


def _passes_gradient(*args: Any, **kwargs: Any) -> bool:
    return False


def _has_slope_zero(x: Any, negative_slope: Any = 0.01, *args: Any, **kwargs: Any) -> bool:
    return bool(torch.as_tensor(kwargs.get("weight", negative_slope)).eq(0).all())


def _clips_at_zero(x: Any, min_val: float = -1.0, *args: Any, **kwargs: Any) -> bool | None:
    return True if min_val == 0 else None  # hardtanh is a rectifier as ReLU6 calls it


# Every call that rectifies, and whether its negative side blocks the gradient (None: it is
# no rectifier with these arguments). The modules (nn.ReLU ...) call these too, so that
# modules and functional calls are seen alike.
RECTIFIERS: dict[Callable[..., Any], Callable[..., bool | None]] = {
    **dict.fromkeys(
        (F.relu, torch.relu, torch.Tensor.relu, torch.relu_, torch.Tensor.relu_, F.relu6),
        _blocks_gradient,
    ),
    **dict.fromkeys(
        (F.leaky_relu, F.leaky_relu_, torch.prelu, torch.Tensor.prelu), _has_slope_zero
    ),
    F.hardtanh: _clips_at_zero,
    **dict.fromkeys((F.rrelu, F.rrelu_, F.elu, F.elu_, F.gelu, F.silu), _passes_gradient),
}


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


class _Watcher(TorchFunctionMode):
    """Counts at every rectifier call made while it is active."""

    def __init__(self, model: nn.Module, unit_axis: int | None) -> None:
        super().__init__()
        self.model = model
        self.unit_axis = unit_axis
        self.path = [""]  # the modules being run, outermost first
        self.feeding: nn.Module | None = None  # the layer with weights that ran last
        self.calls: Counter[tuple[str, str]] = Counter()
        self.layers: dict[str, LayerHealth] = {}

    @contextmanager
    def hooked(self) -> Iterator[None]:
        """Follow which module is being run."""
        with ExitStack() as stack:
            for name, module in self.model.named_modules():
                enter = module.register_forward_pre_hook(
                    lambda _module, _args, name=name: self.path.append(name)
                )
                leave = module.register_forward_hook(
                    lambda module, _args, _output: self._leave(module), always_call=True
                )
                stack.callback(enter.remove)
                stack.callback(leave.remove)
            yield

    def _leave(self, module: nn.Module) -> None:
        self.path.pop()
        if getattr(module, "weight", None) is not None and not isinstance(module, nn.PReLU):
            self.feeding = module

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if function in RECTIFIERS:
            positional = args or (kwargs["input"],)
            named = {name: value for name, value in kwargs.items() if name != "input"}
            blocks_gradient = RECTIFIERS[function](*positional, **named)
            if blocks_gradient is not None:
                self._count(function.__name__.rstrip("_"), positional[0], blocks_gradient)
        return function(*args, **kwargs)

    def _count(self, name: str, pre_activation: torch.Tensor, blocks_gradient: bool) -> None:
        call = (self.path[-1], name)
        self.calls[call] += 1
        layer = self.path[-1] or "(model)"
        if self.calls[call] > 1:
            layer += f" #{self.calls[call]}"
        key = f"{layer} {name}"
        if key not in self.layers:
            counts = FiringCounts(unit_axes=self._axis_of_units(pre_activation))
            self.layers[key] = LayerHealth(layer, name, counts, blocks_gradient)
        self.layers[key].counts.update(pre_activation)

    def _axis_of_units(self, pre_activation: torch.Tensor) -> int:
        if self.unit_axis is not None:
            return self.unit_axis
        if isinstance(self.feeding, (nn.modules.conv._ConvNd, nn.modules.batchnorm._BatchNorm)):
            return 1
        if isinstance(self.feeding, (nn.Linear, nn.LayerNorm)):
            return pre_activation.ndim - 1
        return 2 if pre_activation.ndim == 3 else 1  # a sequence of features, or an image


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
    watcher = _Watcher(model, unit_axis)
    examples = 0
    model.eval()
    try:
        with torch.no_grad(), watcher.hooked():
            for batch in batches:
                inputs = batch[0] if isinstance(batch, (tuple, list)) else batch
                watcher.calls.clear()
                with watcher:
                    model(inputs)
                examples += len(inputs)
    finally:
        for module, training in was_training.items():
            module.training = training
    if examples == 0:
        raise ValueError("data has no examples; give a tensor of shape (N, ...) or batches of them")
    if not watcher.layers:
        known = ", ".join(sorted({function.__name__.rstrip("_") for function in RECTIFIERS}))
        raise ValueError(f"the model calls no rectifier, so no unit can die; known are {known}")
    return Examination(list(watcher.layers.values()), examples)
