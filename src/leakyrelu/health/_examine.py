"""Which units are dead, by one pass over data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from leakyrelu._errors import InputError
from leakyrelu._trace.calls import Call, CallTracer, batch_size, no_activation
from leakyrelu.health._counts import FiringCounts
from leakyrelu.health._layers import LayerHealth, total, without_gradient
from leakyrelu.health._result import Result, table_of
from leakyrelu.nn._model import check_model

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Examination", "examine"]


@dataclass(frozen=True)
class Examination(Result):
    """The result of `examine`: print it, or use `table`, `to_json` or `to_html`.

    Attributes
    ----------
    layers : list of LayerHealth
        In the order in which the model calls them.
    examples : int
        The window: the number of examples that the result is based on.
    """

    layers: list[LayerHealth]
    examples: int

    @property
    def summary(self) -> str:
        """How many units are dead, and where most of them are, in a sentence."""
        window = f"{self.examples:,} examples"
        if any(layer.never_fired.any() for layer in self.layers):
            most = min(3 / self.examples, 1)
            window += f"; silent units fire for less than {100 * most:.2g}% of all examples"
            window += ", at 95% confidence"
        return f"{total(self.layers)} (window: {window})."

    def table(self) -> pd.DataFrame:
        """Return one row for each layer.

        Returns
        -------
        pandas.DataFrame
            Columns layer, function, units; the percentage of units that are dead, stuck negative,
            dormant (tau 0.025), always on, or had a NaN; quantiles of the units' firing rates;
            gradient, the root mean square of the gradient that reaches the layer.
        """
        return table_of([layer.row() for layer in self.layers])

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain types, with the indices of the dead units."""
        layers = [
            {
                **layer.row(),
                "dead units": layer.dead.nonzero().squeeze(1).tolist(),
                "stuck negative units": layer.stuck_negative.nonzero().squeeze(1).tolist(),
            }
            for layer in self.layers
        ]
        return {"summary": self.summary, "examples": self.examples, "layers": layers}

    def __str__(self) -> str:
        return f"{self._table_text()}\n{self.summary}"


def examine(
    model: nn.Module,
    data: Tensor | Iterable[Any],
    *,
    loss: Callable[[Any, Any], Tensor] | None = None,
    mask: Callable[..., Tensor] | None = None,
    unit_axis: int | None = None,
) -> Examination:
    """Find the dead units of a model by one pass over data.

    The model runs in evaluation mode and is left as it was: parameters, their ``grad``,
    BatchNorm statistics, training mode and hooks do not change.

    Parameters
    ----------
    model : torch.nn.Module
        Its activations are found whether they are modules (`torch.nn.ReLU`) or calls
        (``torch.relu(x)``, ``x.relu()``, `torch.nn.functional.leaky_relu`).
    data : tensor, or iterable of batches
        A tensor of examples, shape (N, ...), or batches as from a DataLoader: a tensor, a
        tuple or list with the model's input first, or a dict of the model's arguments.
    loss : callable, optional
        Called with the output of the model and the batch, returns the loss whose gradient is
        reported. The default is a random combination of the outputs: it shows how much of a
        gradient survives from the output down to each layer.
    mask : callable, optional
        Called with the model's arguments, returns a bool tensor that is False for padding, such
        as the attention mask of shape (N, positions). Padding counts neither as fired nor as
        silent.
    unit_axis : int, optional
        The axis along which the units lie. By default the last after a Linear or LayerNorm,
        the second after a convolution or BatchNorm.

    Returns
    -------
    Examination
        Print it, or use its ``table()``, ``summary`` and ``layers``.

    Raises
    ------
    TypeError
        If `model` is not a module.
    InputError
        If `data` is empty or does not fit the model, or the model calls no known activation.

    Notes
    -----
    *Dead*: the unit fired (pre-activation > 0) for no example of the window, and its activation
    passes no gradient there. *Stuck negative*: it never fired, but the activation is leaky, so
    it still learns. A unit that fired for none of :math:`N` independent examples fires with a
    probability below :math:`3 / N`, with 95% confidence: more data tell dead units from those
    that fire rarely. Gradients are those of the first batch.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU())
    >>> _ = model[0].bias.data.copy_(torch.tensor([-100.0, 0.0, 100.0]))
    >>> found = examine(model, torch.randn(100, 2))
    >>> found.layers[0].dead
    tensor([ True, False, False])
    """
    check_model(model)
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
            raise no_activation()
        of_layers, of_weights = _gradients(model, first, loss, unit_axis)
    for key, layer in layers.items():
        layers[key] = replace(
            layer,
            never_fired=layer.counts.never_fired,
            gradient=of_layers.get(key),
            zero_gradient=without_gradient(
                of_weights.get(layer.feeding), layer.counts.fired.numel()
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
    except (RuntimeError, TypeError, IndexError):
        _check_fits(model, args, kwargs)
        raise
    tracer.raise_if_mask_fits_nothing()
    return batch_size(args, kwargs)


def _check_fits(model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Refuse data that the model can't run on, traced or not."""
    try:
        model(*args, **kwargs)
    except (RuntimeError, TypeError, IndexError) as error:
        leaves = tree_leaves((args, dict(kwargs)))
        shapes = ", ".join(str(tuple(x.shape)) for x in leaves if isinstance(x, Tensor))
        raise InputError(f"the model can't be run on this data, shape {shapes}: {error}") from error


def _gradients(
    model: nn.Module, batch: Any, loss: Callable[[Any, Any], Tensor] | None, unit_axis: int | None
) -> tuple[dict[str, float], dict[str, Tensor]]:
    """Return the size of the gradient that reaches each layer, and the gradients of weights.

    No parameter's ``grad`` is touched.
    """
    squares: dict[str, Tensor] = {}

    def watch_gradient(call: Call) -> Callable[[Tensor], None]:
        def take(gradient: Tensor) -> None:
            squares[call.key] = gradient.detach().square().mean()

        def watch_result(result: Tensor) -> None:
            if result.requires_grad:
                result.register_hook(take)

        return watch_result

    args, kwargs = _arguments(batch)
    tracer = CallTracer(model, watch_gradient, unit_axis)
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
        return {}, {}
    found = torch.autograd.grad(scalar, list(weights.values()), allow_unused=True)
    named = zip(weights, found, strict=True)
    of_weights = {name: gradient for name, gradient in named if gradient is not None}
    return {key: square.sqrt().item() for key, square in squares.items()}, of_weights
