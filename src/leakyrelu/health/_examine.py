"""Which units are dead, by one pass over data."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves
from torch.utils.data import DataLoader, Dataset, IterableDataset

from leakyrelu._errors import InputError
from leakyrelu._trace.calls import (
    Call,
    CallTracer,
    Owners,
    as_it_was,
    batch_size,
    coverage,
    no_activation,
    unwrapped,
)
from leakyrelu._trace.flow import Runs
from leakyrelu.health._counts import FiringCounts
from leakyrelu.health._layers import (
    LayerHealth,
    passes_none,
    total,
    warn_of_compiled_parts,
    without_gradient,
)
from leakyrelu.health._result import Result, table_of
from leakyrelu.nn._model import check_model

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Examination", "arguments_of", "batches_of", "evaluating", "examine"]


# So much memory may the way back take: it is gone with as many examples of the first batch as fit.
# For each pre-activation about so many tensors of its size are kept, such as the outputs of the
# activation and of the layer and the normalization before.
MOST_BYTES = 2**28
TENSORS_KEPT = 4
MOST_INPUT = 2**25  # bytes of a batch, if data come as a tensor or dataset


@dataclass(frozen=True)
class Examination(Result):
    """The result of `examine`: print it, or use `table`, `to_json` or `to_html`.

    Attributes
    ----------
    layers : list of LayerHealth
        In the order in which the model calls them.
    examples : int
        The window: the number of examples that the result is based on.
    unseen : dict of str to int
        How many activations of other kinds ran: nothing is known of their units.
    never_reached : list of str
        Modules that got no example though others of the same list did, such as experts.
    """

    layers: list[LayerHealth]
    examples: int
    unseen: dict[str, int] = field(default_factory=dict)
    never_reached: list[str] = field(default_factory=list)

    @property
    def coverage(self) -> str:
        """How many of the model's activations were seen, and which ones were not."""
        return coverage(len(self.layers), self.unseen)

    @property
    def summary(self) -> str:
        """How many units are dead, and where most of them are, in a sentence."""
        window = f"{self.examples:,} examples"
        silent = [layer.examples for layer in self.layers if layer.never_fired.any()]
        if silent:
            least = min(silent) or self.examples  # some layers may be reached by a part of them
            of = "all examples" if least == self.examples else "the examples that reach them"
            window += f"; silent units fire for less than {100 * min(3 / least, 1):.2g}% of {of}"
            window += ", at 95% confidence"
        text = total(self.layers)
        if self.never_reached:
            text += f"; no example reached {', '.join(self.never_reached)}"
        text = f"{text} (window: {window})."
        return f"{text} {self.coverage}." if self.unseen else text

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
        return {
            "summary": self.summary,
            "examples": self.examples,
            "coverage": self.coverage,
            "layers": layers,
            "never reached": self.never_reached,
        }

    def __str__(self) -> str:
        return f"{self._table_text()}\n{self.summary}"


def examine(
    model: nn.Module,
    data: Tensor | Dataset[Any] | Iterable[Any],
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
    data : tensor, dataset, or iterable of batches
        A tensor of examples, shape (N, ...), a `torch.utils.data.Dataset`, or batches as from a
        DataLoader: a tensor, a tuple or list with the model's input first, or a dict of the
        model's arguments. The first axis of an input is taken as that of the examples, or of a
        list of tensors its length; that a model takes positions first can't be known.
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
    passes no gradient there. *Stuck negative*: it never fired, but a gradient still reaches it: the
    activation is leaky. For GELU, SiLU, ELU, whose gradient fades away below 0, that is measured:
    less than 1e-8 of it counts as none. A unit that fired for none of :math:`N` independent
    examples fires with a probability below :math:`3 / N`, with 95% confidence: more data tell dead
    units from those that fire rarely. Gradients are those of the first batch, or of as many of its
    examples as fit in about 256 MiB.

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
    model = unwrapped(model)
    warn_of_compiled_parts(model)
    layers: dict[str, LayerHealth] = {}
    examples, first = 0, None
    runs = Runs()
    size = 0  # of the pre-activations of the first batch, in bytes

    def count(call: Call) -> Callable[[Tensor], None]:
        if call.key not in layers:
            layers[call.key] = LayerHealth(
                call.layer,
                call.function,
                call.source.feeding,
                call.blocks_gradient,
                torch.zeros(0),
                FiringCounts(call.layout.axis),
                after=call.source.after,
                runs=runs,
            )
        nonlocal size
        if first is None:
            size += call.pre_activation.numel() * call.pre_activation.element_size()
        counts = layers[call.key].counts
        counts.update(call.by_unit, call.mask)
        return lambda activation: counts.update_activation(
            call.layout.arranged(activation), call.mask
        )

    tracer = CallTracer(model, count, unit_axis, mask)
    with evaluating(model), tracer.hooked():
        with torch.no_grad():
            for batch in batches_of(data):
                number = _run(model, batch, tracer)
                runs.add(tracer.units.run)
                examples += number
                if first is None:
                    most = max(MOST_BYTES * number // max(TENSORS_KEPT * size, 1), 1)
                    first = _few(batch, most, number)
        if examples == 0:
            raise InputError(
                "data has no examples; give a tensor of shape (N, ...) or batches of them"
            )
        if not layers and not tracer.unseen:
            _refuse_single_examples(first)
            raise no_activation()
        with _without_graphs(model):
            found = _gradients(model, first, loss, unit_axis, tracer.owners)
    _run_in_training(model, first, unit_axis, runs, tracer.owners)
    for key, layer in layers.items():
        layers[key] = replace(
            layer,
            never_fired=layer.counts.never_fired,
            examples=min(layer.counts.examples, examples),
            gradient=found.sizes.get(key),
            zero_gradient=without_gradient(
                found.of_weights.get(layer.feeding), layer.counts.fired.numel()
            ),
            no_gradient=found.passes_none.get(key),
        )
    return Examination(
        list(layers.values()), examples, tracer.unseen, _never_reached(model, tracer.ran)
    )


def _never_reached(model: nn.Module, ran: set[str]) -> list[str]:
    """Name the parts of lists of modules that did not run, in lists of which others did."""
    found: list[str] = []
    for path, parts in model.named_modules():
        if isinstance(parts, (nn.ModuleList, nn.ModuleDict)):
            names = {f"{path}.{name}": part for name, part in parts.named_children()}
            runs = {
                name: any(one == name or one.startswith(f"{name}.") for one in ran)
                for name in names
            }
            if any(runs.values()):
                found += [
                    name
                    for name, part in names.items()
                    if not runs[name] and any(True for _ in part.parameters())
                ]
    return found


def batches_of(data: Tensor | Dataset[Any] | Iterable[Any]) -> Iterable[Any]:
    """Return data, as `examine` takes them, in batches."""
    if isinstance(data, Tensor):
        return torch.split(data, _at_most(1024, data[:1]))
    if isinstance(data, IterableDataset):
        return DataLoader(data, batch_size=256)
    if isinstance(data, Dataset):
        return DataLoader(data, batch_size=_at_most(256, next(iter(data), None)))
    return data


def _at_most(number: int, example: Any) -> int:
    """Return how many examples to take at once: fewer of large ones, such as images."""
    leaves = [leaf for leaf in tree_leaves(example) if isinstance(leaf, Tensor)]
    size = sum(leaf.numel() * leaf.element_size() for leaf in leaves)
    return min(max(MOST_INPUT // max(size, 1), 1), number)


def _few(batch: Any, most: int, number: int) -> Any:
    """Return at most so many examples of a batch, which has this number."""
    if number <= most:
        return batch

    def cut(part: Any) -> Any:
        has_all = isinstance(part, (Tensor, list)) and len(part) == number
        return part[:most] if has_all else part

    if isinstance(batch, Mapping):
        return {name: cut(part) for name, part in batch.items()}
    return tuple(map(cut, batch)) if isinstance(batch, (tuple, list)) else cut(batch)


def _refuse_single_examples(batch: Any) -> None:
    args, kwargs = arguments_of(batch)
    first = next(iter((*args, *kwargs.values())), None)
    if isinstance(first, Tensor) and first.ndim == 1:
        raise InputError(
            f"no layer is given batches: a batch of data is of shape {tuple(first.shape)}, as one "
            "example is; give batches of shape (N, ...), for example by a DataLoader"
        )


@contextmanager
def _without_graphs(model: nn.Module) -> Iterator[None]:
    """Afterwards undo what the model keeps of a graph, with which it could not be copied."""

    def kept() -> Iterator[dict[str, Any]]:
        for module in model.modules():
            yield from (vars(module), module._buffers)

    before = [{name: _copied(value) for name, value in of.items()} for of in kept()]
    yield
    for was, now in zip(before, kept(), strict=True):
        for name in [name for name, value in now.items() if _has_graph(value)]:
            if name not in was:
                del now[name]
            elif not _has_graph(was[name]):
                now[name] = was[name]


def _copied(value: Any) -> Any:
    return copy.copy(value) if isinstance(value, (list, dict, set, deque)) else value


def _has_graph(value: Any) -> bool:
    leaves = tree_leaves(value)
    return any(isinstance(x, Tensor) and x.grad_fn is not None for x in leaves)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Let the model be in evaluation mode, and run without compiled code, which shows no calls."""
    was_training = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.compiler.set_stance("force_eager"):
            yield
    finally:
        for module, training in was_training.items():
            module.training = training


def arguments_of(batch: Any) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
    """Return the arguments of the model that a batch stands for."""
    if isinstance(batch, Mapping):
        return (), batch
    return (batch[0] if isinstance(batch, (tuple, list)) else batch,), {}


def _run(model: nn.Module, batch: Any, tracer: CallTracer) -> int:
    """Run one batch under the tracer, and return how many examples it has."""
    args, kwargs = arguments_of(batch)
    tracer.begin(args, kwargs)
    try:
        with tracer:
            output = model(*args, **kwargs)
    except (RuntimeError, TypeError, IndexError):
        _check_fits(model, args, kwargs)
        raise
    tracer.units.returned(output)
    tracer.raise_if_mask_fits_nothing()
    return batch_size(args, kwargs)


def _run_in_training(
    model: nn.Module, batch: Any, unit_axis: int | None, runs: Runs, owners: Owners
) -> None:
    """See where units flow in training, on a few examples; the model is left as it was."""
    args, kwargs = arguments_of(_few(batch, 4, batch_size(*arguments_of(batch))))
    tracer = CallTracer(model, lambda call: None, unit_axis)
    tracer.owners = owners  # layers have the same names
    tracer.units.protects = True
    try:
        with as_it_was(model), torch.random.fork_rng(), torch.no_grad():
            model.train()
            with tracer.hooked(), tracer:
                output = model(*args, **kwargs)
    except Exception:  # it may need more examples, or targets: then evaluation is all that is known
        return
    tracer.units.returned(output)
    runs.add(tracer.units.run)


def _check_fits(model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Refuse data that the model can't run on, traced or not."""
    try:
        model(*args, **kwargs)
    except (RuntimeError, TypeError, IndexError) as error:
        leaves = tree_leaves((args, dict(kwargs)))
        shapes = ", ".join(str(tuple(x.shape)) for x in leaves if isinstance(x, Tensor))
        raise InputError(f"the model can't be run on this data, shape {shapes}: {error}") from error


def _gradients(
    model: nn.Module,
    batch: Any,
    loss: Callable[[Any, Any], Tensor] | None,
    unit_axis: int | None,
    owners: Owners,
) -> _Gradients:
    """Return what gradients reach the layers and the weights.

    No parameter's ``grad`` is touched.
    """
    squares: dict[str, Tensor] = {}
    after: dict[str, Tensor] = {}
    none: dict[str, Tensor] = {}

    def watch_gradient(call: Call) -> Callable[[Tensor], None]:
        def take(gradient: Tensor) -> None:
            squares[call.key] = gradient.detach().square().mean()
            if not call.blocks_gradient and gradient.numel():
                after[call.key] = gradient

        def take_before(gradient: Tensor) -> None:
            if call.key in after:
                before, then = map(call.layout.arranged, (gradient, after.pop(call.key)))
                none[call.key] = passes_none(before, then, call.layout.axis)

        x = call.pre_activation
        if x.requires_grad and not call.blocks_gradient:
            x.register_hook(take_before)

        def watch_result(result: Tensor) -> None:
            if result.requires_grad:
                result.register_hook(take)

        return watch_result

    args, kwargs = arguments_of(batch)
    tracer = CallTracer(model, watch_gradient, unit_axis)
    tracer.owners = owners  # layers have the same names
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
        return _Gradients({}, {}, {})
    found = torch.autograd.grad(scalar, list(weights.values()), allow_unused=True)
    named = zip(weights, found, strict=True)
    of_weights = {name: gradient for name, gradient in named if gradient is not None}
    sizes = {key: square.sqrt().item() for key, square in squares.items()}
    return _Gradients(sizes, of_weights, none)


@dataclass(frozen=True)
class _Gradients:
    """What gradients reach the layers, by their keys, and the weights, by the path of theirs."""

    sizes: dict[str, float]
    of_weights: dict[str, Tensor]
    passes_none: dict[str, Tensor]
