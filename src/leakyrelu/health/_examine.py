"""One pass over data that tells, layer by layer, which units are dead."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from leakyrelu._errors import InputError
from leakyrelu.health._calls import NO_RECTIFIER, Call, CallTracer, batch_size
from leakyrelu.health._counts import FiringCounts
from leakyrelu.health._layers import LayerHealth, page_of, table_of, total, without_gradient

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Examination", "examine"]


@dataclass(frozen=True)
class Examination:
    """What `examine` found; print it, or take `table`, `to_json` or `to_html`.

    Attributes
    ----------
    layers : list of LayerHealth
        In the order in which the model calls them.
    examples : int
        The window: how many examples the verdict rests on.
    """

    layers: list[LayerHealth]
    examples: int

    @property
    def summary(self) -> str:
        """One sentence: how many units are dead, and where most of them are."""
        window = f"{self.examples:,} examples"
        if any(layer.never_fired.any() for layer in self.layers):
            window += f"; a silent unit fires for less than {3 / self.examples:.2g} of them at 95%"
        return f"{total(self.layers)} (window: {window})."

    def table(self) -> pd.DataFrame:
        """Return one row a layer.

        Returns
        -------
        pandas.DataFrame
            Columns layer, function, units; the per cent of units that are dead, stuck negative,
            dormant (tau 0.025), always on, or met NaN; quantiles of the units' firing rates;
            gradient, the root mean square of what reaches the layer.
        """
        return table_of([layer.row() for layer in self.layers])

    def to_json(self) -> dict[str, Any]:
        """Return all that was found, of plain types, with the numbers of the dead units."""
        layers = [
            {
                **layer.row(),
                "dead units": layer.dead.nonzero().squeeze(1).tolist(),
                "stuck negative units": layer.stuck_negative.nonzero().squeeze(1).tolist(),
            }
            for layer in self.layers
        ]
        return {"summary": self.summary, "examples": self.examples, "layers": layers}

    def to_html(self, path: str | Path | None = None) -> str:
        """Return a page with the table, and write it to `path` if that is given."""
        return page_of(self.table(), self.summary, path)

    def _repr_html_(self) -> str:
        return self.to_html()

    def __str__(self) -> str:
        table = self.table().to_string(index=False, float_format=lambda value: f"{value:.3g}")
        return f"{table}\n{self.summary}"


def examine(
    model: nn.Module,
    data: Tensor | Iterable[Any],
    *,
    loss: Callable[[Any, Any], Tensor] | None = None,
    mask: Callable[..., Tensor] | None = None,
    unit_axis: int | None = None,
) -> Examination:
    """Run `model` over `data` once and tell which units are dead.

    The model is run in evaluation mode and left as it was: parameters, their ``grad``,
    BatchNorm statistics, training mode and hooks do not change.

    Parameters
    ----------
    model : torch.nn.Module
        Rectifiers are found as modules (`torch.nn.ReLU`) and as calls
        (``torch.relu(x)``, ``x.relu()``, `torch.nn.functional.leaky_relu`) alike.
    data : tensor, or iterable of batches
        A tensor of examples, shape (N, ...), or batches such as a DataLoader gives: a
        tensor, a tuple or list with the model's input first, or a dict of the arguments of the
        model.
    loss : callable, optional
        Given the output of the model and the batch, returns the loss, for the column gradient.
        By default that is of a random combination of the outputs: it tells how much of a
        gradient survives from the output down to each layer.
    mask : callable, optional
        Called as the model is, returns a bool tensor that is False for padding, such as the
        attention mask of shape (N, positions). Padding counts neither as fired nor as silent.
    unit_axis : int, optional
        The axis that numbers the units. By default the last after a Linear or LayerNorm
        and the second after a convolution or BatchNorm.

    Returns
    -------
    Examination
        Print it, or take its ``table()``, ``summary`` and ``layers``.

    Raises
    ------
    TypeError
        If `model` is not a module.
    InputError
        If `data` is empty or not what the model takes, or the model calls no rectifier.

    Notes
    -----
    *Dead*: fired (pre-activation > 0) for no example of the window, and the activation
    passes no gradient there. *Stuck negative*: never fired, but leaky, so it still learns.
    A unit that fired for none of :math:`N` independent examples fires with a probability of
    less than :math:`3 / N`, with 95% confidence: whether it is dead or merely rare is a matter
    of how much data is given. Gradients are taken from the first batch.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU())
    >>> _ = model[0].bias.data.copy_(torch.tensor([-100.0, 0.0, 100.0]))
    >>> found = examine(model, torch.randn(100, 2))
    >>> found.layers[0].dead
    tensor([ True, False, False])
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, but is {type(model).__name__}")
    batches: Iterable[Any] = torch.split(data, 1024) if isinstance(data, Tensor) else data
    layers: dict[str, LayerHealth] = {}

    def count(call: Call) -> Callable[[Tensor], None]:
        if call.key not in layers:
            layers[call.key] = LayerHealth(
                call.layer,
                call.function,
                call.feeding,
                call.blocks_gradient,
                torch.zeros(0),
                FiringCounts(call.unit_axis),
            )
        counts = layers[call.key].counts
        counts.update(call.pre_activation, call.mask)
        return lambda activation: counts.update_activation(activation, call.mask)

    tracer = CallTracer(model, count, unit_axis, mask)
    examples, first = 0, None
    with _evaluating(model), tracer.hooked():
        with torch.no_grad():
            for batch in batches:
                examples += _run(model, batch, tracer)
                first = batch if first is None else first
        if examples == 0:
            raise InputError(
                "data has no examples; give a tensor of shape (N, ...) or batches of them"
            )
        if not layers:
            raise InputError(NO_RECTIFIER)
        gradients = _gradients(model, first, loss, tracer)
    for key, layer in layers.items():
        layers[key] = replace(
            layer,
            never_fired=layer.counts.never_fired,
            gradient=gradients.of_layers.get(key),
            zero_gradient=without_gradient(
                gradients.of_weights.get(layer.feeding), layer.counts.fired.numel()
            ),
        )
    return Examination(list(layers.values()), examples)


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    was_training = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in was_training.items():
            module.training = training


def _arguments(batch: Any) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
    if isinstance(batch, Mapping):
        return (), batch
    return (batch[0] if isinstance(batch, (tuple, list)) else batch,), {}


def _run(model: nn.Module, batch: Any, tracer: CallTracer) -> int:
    """Run one batch under the tracer, and return how many examples it has."""
    args, kwargs = _arguments(batch)
    tracer.begin(args, kwargs)
    try:
        with tracer:
            model(*args, **kwargs)
    except (RuntimeError, TypeError, IndexError) as error:
        shapes = [tuple(x.shape) for x in tree_leaves((args, dict(kwargs))) if _is_tensor(x)]
        raise InputError(
            f"the model can't be run on this data, shape {', '.join(map(str, shapes))}: {error}"
        ) from error
    tracer.raise_if_mask_fits_nothing()
    return batch_size(args, kwargs)


def _is_tensor(x: object) -> bool:
    return isinstance(x, Tensor)


@dataclass(frozen=True)
class _Gradients:
    of_layers: dict[str, float]
    of_weights: dict[str, Tensor]


def _gradients(
    model: nn.Module, batch: Any, loss: Callable[[Any, Any], Tensor] | None, counting: CallTracer
) -> _Gradients:
    """Send a gradient back through the model; no parameter's ``grad`` is touched."""
    squares: dict[str, Tensor] = {}

    def watch_gradient(call: Call) -> Callable[[Tensor], None]:
        def take(gradient: Tensor) -> None:
            squares[call.key] = gradient.detach().square().mean()

        def watch_result(result: Tensor) -> None:
            if result.requires_grad:
                result.register_hook(take)

        return watch_result

    args, kwargs = _arguments(batch)
    tracer = CallTracer(model, watch_gradient, counting.unit_axis)
    weights = {
        name: weight
        for name, module in model.named_modules()
        if isinstance(weight := getattr(module, "weight", None), nn.Parameter)
        and weight.requires_grad
    }
    with torch.enable_grad(), tracer.hooked(), tracer:
        output = model(*args, **kwargs)
    if loss is not None:
        scalar = loss(output, batch)
    else:
        scalar = torch.zeros(())
        generator = torch.Generator().manual_seed(0)
        for leaf in tree_leaves(output):
            if isinstance(leaf, Tensor) and leaf.requires_grad:
                signs = torch.randint(0, 2, leaf.shape, generator=generator) * 2 - 1
                scalar = scalar + (leaf * signs.to(leaf)).sum().to("cpu", torch.float32)
    if not scalar.requires_grad or not weights:
        return _Gradients({}, {})
    found = torch.autograd.grad(scalar, list(weights.values()), allow_unused=True)
    of_weights = {
        name: gradient
        for name, gradient in zip(weights, found, strict=True)
        if gradient is not None
    }
    return _Gradients({key: square.sqrt().item() for key, square in squares.items()}, of_weights)
