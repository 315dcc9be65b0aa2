"""Activation calls, seen while the model runs: by modules and by functions alike."""

from __future__ import annotations

import copy
import sys
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - its usual name
from torch.nn.utils import parametrize
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from leakyrelu._errors import InputError
from leakyrelu._trace.known import function_name, known
from leakyrelu._trace.names import layer_name
from leakyrelu._trace.units import Layout, Mark, Node, UnitTracer
from leakyrelu._trace.weights import weight_at_hand
from leakyrelu._trace.written import WrittenOut
from leakyrelu.activations import KINDS

__all__ = [
    "Call",
    "CallTracer",
    "Owners",
    "as_it_was",
    "batch_size",
    "coverage",
    "no_activation",
    "unwrapped",
]


def no_activation(unseen: Mapping[str, int] | None = None) -> InputError:
    """Return the error to raise of a model in which nothing was seen, but for these."""
    known = ", ".join(name for name, kind in KINDS.items() if not kind.is_gate)
    others = f"; {coverage(0, unseen)}" if unseen else ""
    return InputError(f"the model calls none of the known activations: {known}{others}")


def coverage(seen: int, unseen: Mapping[str, int]) -> str:
    """Say how many activations were seen, and which ones were not."""
    text = f"{seen} of {seen + sum(unseen.values())} activations seen"
    listed = ", ".join(f"{label} x {number}" for label, number in unseen.items())
    return f"{text}; not: {listed}" if listed else text


def batch_size(args: Iterable[Any], kwargs: Mapping[str, Any]) -> int:
    """Return how many examples these arguments of a model have."""
    first = next(iter((*args, *kwargs.values())), None)
    if isinstance(first, torch.Tensor) and first.ndim > 0:
        return first.shape[0]
    if isinstance(first, list) and all(isinstance(x, torch.Tensor) for x in first):
        return len(first)  # images of several sizes
    if isinstance(graphs := getattr(first, "num_graphs", None), int):  # of PyTorch Geometric
        return graphs
    leaves = tree_leaves((tuple(args), dict(kwargs)))
    return next((len(x) for x in leaves if isinstance(x, torch.Tensor) and x.ndim > 0), 1)


def _modules_that_call_hooks(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield all modules but those in a compiled one, which calls them itself."""
    compiled: list[str] = []
    for name, module in model.named_modules():
        if not any(name.startswith(prefix) for prefix in compiled):
            if isinstance(module, torch.jit.ScriptModule):
                compiled.append(f"{name}.")
            else:
                yield name, module


def _has_weight(module: nn.Module) -> bool:
    return not isinstance(module, nn.PReLU) and (
        weight_at_hand(module) is not None or parametrize.is_parametrized(module, "weight")
    )


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model itself, in which layers have the names that the user gave them."""
    while True:
        if isinstance(model, nn.parallel.DistributedDataParallel):
            model = model.module
        elif isinstance(inner := getattr(model, "_orig_mod", None), nn.Module):  # torch.compile's
            model = inner
        else:
            return model


@contextmanager
def as_it_was(model: nn.Module) -> Iterator[None]:
    """Let a model run without hooks, and undo what its code does to its attributes and buffers."""
    attributes = {module: dict(vars(module)) for module in model.modules()}
    # What is changed in place is a copy, one for all modules that share it.
    values = {id(value): value for before in attributes.values() for value in before.values()}
    copies = {key: _copy_of(value) for key, value in values.items()}
    buffers = {id(x): x.detach().clone() for x in model.buffers()}
    for module, before in attributes.items():
        vars(module).update({name: copies[id(value)] for name, value in before.items()})
        # Hooks may look at data, of which there are none, or others than theirs.
        vars(module).update(_forward_hooks=OrderedDict(), _forward_pre_hooks=OrderedDict())
        module._buffers.update(
            {name: buffers.get(id(x), x) for name, x in module._buffers.items() if x is not None}
        )
    try:
        # What was compiled while modes are active would be compiled no more.
        with torch.compiler.set_stance("force_eager"):
            yield
    finally:
        for module, before in attributes.items():
            vars(module).clear()
            vars(module).update(before)


def _copy_of(value: Any) -> Any:
    if isinstance(value, (dict, list, set)):
        return copy.copy(value)
    return value.detach().clone() if isinstance(value, torch.Tensor) else value


@dataclass(frozen=True)
class Call:
    """An activation call that is about to be made."""

    layer: str  # its name, see `leakyrelu._trace.names`
    function: str  # such as "relu"
    pre_activation: torch.Tensor
    blocks_gradient: bool  # no gradient passes where the pre-activation is negative
    layout: Layout  # of the units in the pre-activation
    source: Source
    feeding_input: torch.Tensor | None
    mask: torch.Tensor | None  # False at padding; broadcasts against `by_unit`

    @property
    def key(self) -> str:
        """What distinguishes the call from all others in the model."""
        return f"{self.layer} {self.function}"

    @property
    def by_unit(self) -> torch.Tensor:
        """The pre-activation with its units on one axis, `layout.axis`."""
        return self.layout.arranged(self.pre_activation)


@dataclass(frozen=True)
class Source:
    """What makes the units of a call."""

    after: str  # the layers that make them, in words
    feeding: str = ""  # path of the one that has the same units, as the last before the call
    below_is_trainable: bool = False  # its input comes from weights that can change
    node: Node | None = None  # while it is followed
    layout: Layout | None = None  # None if unknown
    numbers: torch.Tensor | None = None  # of the units


# These make units themselves: those inside are not followed.
_MAKERS = {
    *(torch.lstm, torch.gru, torch.rnn_tanh, torch.rnn_relu, torch.lstm_cell, torch.gru_cell),
    *(torch.rnn_tanh_cell, torch.rnn_relu_cell, torch.bilinear, F.bilinear),
}
# What PyTorch computes of several operations, and the axis of the units.
_NORMS = {F.instance_norm: ("norm", 1), F.rms_norm: ("joint norm", -1)}
_RELUS = {torch.rnn_relu, torch.rnn_relu_cell}
# These may use a part of a weight, as fused experts do.
_PRODUCTS = {
    *(F.linear, torch.matmul, torch.mm, torch.bmm, torch.addmm),
    *(torch.Tensor.matmul, torch.Tensor.mm, torch.Tensor.__matmul__),
}
_MOST_NAMED = 3

# Of each function that a module calls, what each layer is: the weights that ran last before it, and
# which of the calls after them it is. So a call keeps its name where others are left out.
Owners = dict[tuple[str, str], list[tuple[str, int]]]


class CallTracer(TorchFunctionMode):
    """While it is active, passes every activation call to `on_call` before it is made.

    What `on_call` returns, if anything, is called with the result. Units are followed to where
    they are made, unless `follows` is False: then they lie as they did when they were followed
    last, and `wants_to_follow` becomes True if that can't be. `unit_axis` is told; `mask`, called
    with the arguments of the model, returns False at padding. `hooked` follows which modules run.
    `on_error`, if given, is called with the key of the layer and what went wrong in looking at it,
    so that the model runs on; without it, that is raised.
    """

    def __init__(
        self,
        model: nn.Module,
        on_call: Callable[[Call], Callable[[torch.Tensor], None] | None],
        unit_axis: int | None = None,
        mask: Callable[..., torch.Tensor] | None = None,
        on_error: Callable[[str, Exception], None] | None = None,
    ) -> None:
        super().__init__()
        self._known = known()
        self.model = model
        self.on_call = on_call
        self.unit_axis = unit_axis
        self.mask = mask
        self.on_error = on_error
        self.units = UnitTracer(model, lambda: self.path[-1])
        self.units.on_maxout = lambda: self._miss(self.path[-1], "maxout")
        self.follows, self.wants_to_follow = True, False
        self._sources: dict[str, Source] = {}
        self._written = WrittenOut()
        # Activations that were not seen: where, and as which one there of its kind.
        self._unseen: dict[tuple[str, str, int], None] = {}
        self.owners: Owners = {}
        self.ran: set[str] = set()  # paths of modules
        self.begin()

    def begin(self, args: Iterable[Any] = (), kwargs: Mapping[str, Any] | None = None) -> None:
        """Start over: the model is about to run with these arguments."""
        self.is_real: torch.Tensor | None = None
        self.mask_fits = False
        if self.mask is not None and (args or kwargs):
            self.is_real = self.mask(*args, **(kwargs or {})).bool()
        self.path = [""]  # the modules being run, outermost first
        self.last_ran = ""  # path of the module with weights that ran last, or a part of a weight
        self.calls: Counter[tuple[str, str, str]] = Counter()
        self._others: Counter[tuple[str, str]] = Counter()  # calls that are not seen
        self._key = ""  # of the call that is looked at
        if self.follows:
            self.units.begin()
            self.wants_to_follow = False

    def __enter__(self) -> CallTracer:
        super().__enter__()
        self._inner = ExitStack()
        if self.follows:
            self._inner.enter_context(self.units)
        return self

    def __exit__(self, *error: Any) -> None:
        self._inner.close()
        super().__exit__(*error)

    @contextmanager
    def hooked(self) -> Iterator[None]:
        """Follow which module is being run."""
        with ExitStack() as stack:
            for name, module in _modules_that_call_hooks(self.model):
                enter = module.register_forward_pre_hook(
                    lambda _module, _args, name=name: self.path.append(name)
                )
                leave = module.register_forward_hook(
                    lambda module, *_: self._leave(module), always_call=True
                )
                stack.callback(enter.remove)
                stack.callback(leave.remove)
            yield

    def _leave(self, module: nn.Module) -> None:
        if len(self.path) == 1:  # an error came before the module was entered
            return
        path = self.path.pop()
        self.ran.add(path)
        if _has_weight(module):
            self.last_ran = path
        if path in self.units.run.bent and self.follows:
            self.units.run.bent.discard(path)
            try:
                self._miss_module(path, module)
            except Exception as error:
                self._fail(error)

    def _miss_module(self, path: str, module: nn.Module) -> None:
        """Note a module that computes an activation of its own."""
        is_plain = not any(True for _ in (*module.children(), *module.parameters()))
        label = _kind_of(module)
        if label is not None and is_plain and not any(of == path for of, *_ in self.calls):
            for key in [key for key in self._unseen if key[0] == path]:
                del self._unseen[key]  # what it is made of
            self._miss(path, label)

    def _miss(self, path: str, label: str) -> None:
        self._others[path, label] += 1
        self._unseen[path, label, self._others[path, label]] = None

    @property
    def unseen(self) -> dict[str, int]:
        """How many activations of each kind ran and were not seen."""
        counts = Counter(label for _, label, _ in self._unseen)
        counts += Counter(_kinds_of_compiled(self.model))
        return dict(counts)

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if function in _PRODUCTS:
            self._see_part_of_weight(args)
        if function in self._known.calls:
            return self._activate(function, args, kwargs)
        if (function in _MAKERS and function not in _RELUS) or function in _NORMS:
            return self._make(function, args, kwargs)
        if function in _RELUS:
            return self._recur(function, args, kwargs)
        if WrittenOut.may_be(function) and not kwargs:
            return self._maybe_written(function, args)
        if self.follows and function in self._known.other_names:
            x = args[0] if args else kwargs.get("input")
            if isinstance(x, torch.Tensor) and x.ndim > 1 and self.units.mark(x).units is not None:
                self._miss(self.path[-1], self._known.other_names[function])
        return function(*args, **kwargs)

    def _maybe_written(self, function: Any, args: Any) -> Any:
        """Call a function that may be a part of a rectifier that is written out."""
        x = None
        with self.units.paused():
            try:
                x = self._written.rectified(function, args)
            except Exception as error:
                self._fail(error)
        if x is not None and x.ndim > 1 and x.is_floating_point():
            name = function_name(function).strip("_")
            return self._activate(
                function, args, {}, lambda: self._call(x, name, True, is_clamp=True)
            )
        result = function(*args)
        with self.units.paused():
            try:
                self._written.note(function, args, result)
            except Exception as error:
                self._fail(error)
        return result

    def _recur(self, function: Any, args: Any, kwargs: Any) -> Any:
        """Call a recurrent layer of ReLUs: a unit fired where its output is above 0."""
        result = self._make(function, args, kwargs)
        x = result if isinstance(result, torch.Tensor) else result[0]
        after = None
        with self.units.paused():
            try:
                found = self._call(x, "relu", True, is_clamp=False)
                after = None if found is None else self.on_call(found)
                if after is not None:
                    after(x)
            except Exception as error:
                self._fail(error)
        layers = next((a for a in args[3:] if type(a) is int), 1)
        for _ in range(layers - 1 if self.follows else 0):
            self._miss(self.path[-1], "relu inside nn.RNN")
        return result

    def _activate(
        self,
        function: Any,
        args: Any,
        kwargs: Any,
        look: Callable[[], Call | None] | None = None,
    ) -> Any:
        look = look or (lambda: self._look(function, args, kwargs))
        self._key = f"{self.path[-1] or '(model)'} {function_name(function)}"
        after = None
        with self.units.paused():
            try:
                found = look()
                after = None if found is None else self.on_call(found)
            except Exception as error:
                found = None
                self._fail(error)
        if found is None:
            return function(*args, **kwargs)
        source, mark = found.source, self.units.mark(found.pre_activation)
        with self.units.paused():
            result = function(*args, **kwargs)
            activation = args[0] if result is None else result  # x[x < 0] = 0
            try:
                if self.follows:
                    self._note(source, mark, activation, found)
                if after is not None:
                    after(activation)
            except Exception as error:
                self._fail(error)
        return result

    def _note(self, source: Source, mark: Mark, result: torch.Tensor, call: Call) -> None:
        """Follow units through a call."""
        keeps_zero = self._known.keeps_zero(call.function)
        self.units.called(mark, source.numbers, result, call.key, keeps_zero)

    def _make(self, function: Any, args: Any, kwargs: Any) -> Any:
        """Call what makes units of its own."""
        if not self.follows or self.units.is_paused:
            return function(*args, **kwargs)
        with self.units.paused():
            result = function(*args, **kwargs)
        try:
            if function in _MAKERS:
                data = [x for x in tree_leaves(args[:2]) if isinstance(x, torch.Tensor)]
                self.units.made(data, result, self.path[-1])
            else:
                kind, axis = _NORMS[function]
                weight = kwargs.get("weight")
                self.units.normalized(args[0], weight, result, kind, axis)
        except Exception as error:
            self._fail(error)
        return result

    def _fail(self, error: Exception) -> None:
        if self.on_error is None:
            raise error
        self.on_error(self._key, error)

    def _look(self, function: Any, args: Any, kwargs: Any) -> Call | None:
        x = args[0] if args else kwargs["input"]
        blocks_gradient = self._known.blocks_gradient(function, args, kwargs)
        # Clamps are used for other things too, such as lengths and rates.
        has_units = x.ndim > 1 and x.is_floating_point()
        if blocks_gradient is None or not has_units:
            return None
        name = self._known.name(function, args, kwargs)
        return self._call(x, name, blocks_gradient, function in self._known.clamps)

    def _call(
        self, x: torch.Tensor, name: str, blocks_gradient: bool, is_clamp: bool
    ) -> Call | None:
        """Describe a call; None if it is none of an activation, or not known how units lie."""
        path = self.path[-1]
        owner = self.last_ran, self.calls[path, name, self.last_ran] + 1
        owners = self.owners.setdefault((path, name), [])
        place = owners.index(owner) if owner in owners else len(owners)
        layer = layer_name(path, place + 1)
        self._key = f"{layer} {name}"
        source = self._source(x, is_clamp)
        if source is None:
            return None
        self.calls[path, name, self.last_ran] += 1
        owners[place:] = owners[place:] or [owner]
        layout = source.layout or self._guessed(x)
        mask = self.mask_for(layout.arranged(x), layout.axis) if self.mask is not None else None
        node = source.node
        return Call(
            layer,
            name,
            x,
            blocks_gradient,
            layout,
            source,
            None if node is None else node.input,
            mask,
        )

    def _see_part_of_weight(self, args: Any) -> None:
        """Note which part of a parameter is used, such as that of one of several experts."""
        for x in args[:2]:
            base = x._base if isinstance(x, torch.Tensor) and x._is_view() else None
            if isinstance(base, nn.Parameter) and x.numel() < base.numel():
                self.last_ran = f"{self.path[-1]} {tuple(base.shape)} from {x.storage_offset()}"

    # --- Where units come from -------------------------------------------------------------

    def _source(self, x: torch.Tensor, is_clamp: bool) -> Source | None:
        """Return what makes the units of a tensor that is about to be rectified."""
        if not self.follows:
            source = self._sources.get(self._key)
            if source is not None and source.layout is not None and not source.layout.fits(x):
                source = None
            self.wants_to_follow |= source is None
            return source
        found = self.units.layout(x)
        layout: Layout | None
        if self.unit_axis is not None:
            layout = Layout(self.unit_axis % x.ndim, x.shape[self.unit_axis], x.ndim)
        else:
            layout = None if found is None else found[0]
        numbers = None if found is None else found[1]
        if is_clamp and (numbers is None or not self._is_natural(x, layout, numbers)):
            return None  # such as boxes: they are no units
        node = None if numbers is None else self._feeding(numbers)
        source = Source(
            "unknown" if numbers is None else self._after(numbers),
            "" if node is None else node.path,
            node is not None and node.below_is_learned,
            node,
            layout,
            numbers,
        )
        self._sources[self._key] = source
        return source

    def _is_natural(self, x: torch.Tensor, layout: Layout | None, numbers: torch.Tensor) -> bool:
        """Whether the units lie as the layer that makes them gave them."""
        node = self._feeding(numbers)
        if node is None or layout is None or layout.order is not None:
            return False
        return layout.axis == (x.ndim - 1 if node.is_last else 1)

    def _guessed(self, x: torch.Tensor) -> Layout:
        axis = 2 if x.ndim == 3 else 1  # a sequence of features, or an image
        return Layout(axis, x.shape[axis], x.ndim)

    def _feeding(self, numbers: torch.Tensor) -> Node | None:
        """Return the last node with weights that has these units, in this order."""
        nodes = self.units.run.nodes_of(numbers)
        if len(nodes) != 1 or not torch.equal(numbers, nodes[0].numbers):
            return None
        (node,) = nodes
        if node.kind == "weights" or node.weight:
            return node
        found = [self._feeding(numbers) for numbers in node.sources]
        of_layers = [each for each in found if each is not None and not each.is_called]
        return max(of_layers or filter(None, found), key=lambda each: each.start, default=None)

    def _after(self, numbers: torch.Tensor) -> str:
        """Name the layers that make units, and how many of them where not all are here."""
        names = []
        for node in self.units.run.nodes_of(numbers):
            if node.kind in ("sum", "product") or (node.kind.endswith("norm") and node.sources):
                inner = [self._after(source) for source in node.sources if (source > 0).any()]
                sign = " + " if node.kind == "sum" else " * "
                names.append(sign.join(dict.fromkeys(inner)) or node.path)
                continue
            here = int(((numbers >= node.start) & (numbers < node.start + node.count)).sum())
            name = (node.key.rpartition(" ")[0] if node.kind == "call" else node.path) or "(model)"
            names.append(name if here == node.count else f"{name} ({here} of {node.count} units)")
        return _listed(names)

    def mask_for(self, pre_activation: torch.Tensor, axis: int) -> torch.Tensor | None:
        """Return the mask so that it broadcasts against a pre-activation, if it fits."""
        if self.is_real is None:
            return None
        shape = list(pre_activation.shape)
        shape[axis] = 1
        # A pre-activation of another shape, such as one value a sequence, has no padding.
        if self.is_real.numel() != torch.Size(shape).numel():
            return None
        self.mask_fits = True
        return self.is_real.reshape(shape)

    def raise_if_mask_fits_nothing(self) -> None:
        """Refuse, after a run, a mask that fitted no pre-activation."""
        if self.is_real is not None and not self.mask_fits:
            raise InputError(
                f"the mask that mask= returned, of shape {tuple(self.is_real.shape)}, fits no "
                "activation; it must have the shape of a pre-activation without its unit axis"
            )


def _kind_of(module: nn.Module) -> str | None:
    """Name an activation module that PyTorch does not have, as transformers does."""
    cls = type(module)
    if cls.__module__.startswith("torch.nn"):
        return None  # such as a sigmoid: a gate, or an output
    named = getattr(sys.modules.get("transformers.activations"), "ACT2CLS", {})
    own = (name for name, kind in named.items() if kind is cls)
    return next(own, cls.__name__)


def _kinds_of_compiled(model: nn.Module) -> list[str]:
    """Return a name for each part of a model that TorchScript runs."""
    found: dict[str, str] = {}
    for path, module in model.named_modules():
        is_inner = any(f"{path}.".startswith(f"{outer}.") for outer in found)
        if isinstance(module, torch.jit.ScriptModule) and not is_inner:
            is_traced = "Traced" in type(module).__name__
            found[path] = "traced submodule" if is_traced else "scripted submodule"
    return list(found.values())


def _listed(names: list[str]) -> str:
    names = list(dict.fromkeys(names))
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more
