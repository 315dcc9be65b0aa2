"""The graph of a model, as `torch.fx` traces it without data."""

from __future__ import annotations

import copy
import inspect
import operator
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx import proxy

from leakyrelu._trace.known import known
from leakyrelu._trace.names import layer_name, path_and_number
from leakyrelu._trace.weights import WEIGHTED

__all__ = ["Graph", "RefusedError"]


# These of torch.nn are traced into, as other modules of interest are in them.
_CONTAINERS = (
    nn.ModuleList,
    nn.ModuleDict,
    nn.Transformer,
    nn.TransformerEncoder,
    nn.TransformerDecoder,
    nn.TransformerEncoderLayer,
    nn.TransformerDecoderLayer,
)


class RefusedError(Exception):
    """Why a layer can't be treated."""


class Graph:
    """The graph of a model in one mode, or of those parts of it that `torch.fx` can trace."""

    def __init__(self, model: nn.Module, training: bool = True) -> None:
        self.modules = dict(model.named_modules())
        self._known = known()
        self.why_not = ""  # the model as a whole can't be traced
        self.path: dict[fx.Node, str] = {}
        self._calls = defaultdict[tuple[str, str], list[fx.Node]](list)
        self._times = Counter[str]()  # that a module is called
        self._shared = Counter(
            id(parameter)
            for module in self.modules.values()
            for parameter in module._parameters.values()
            if parameter is not None
        )
        with _in_mode(model, training):
            for prefix, graph in self._graphs("", model):
                self._read(prefix, graph)

    def _graphs(self, path: str, module: nn.Module) -> Iterator[tuple[str, fx.Graph]]:
        """Trace a module or, where it can't be traced, those of its children that can."""
        tracer = _Tracer()
        parameters = inspect.signature(module.forward).parameters.items()
        defaults = {name: p.default for name, p in parameters if p.default is not p.empty}
        try:
            graph = tracer.trace(module, concrete_args=defaults)
        except Exception as error:  # whatever the model's own code raises when given a proxy
            self.why_not = self.why_not or str(error).partition("\n")[0]
            for name, child in module.named_children():
                if not tracer.is_leaf_module(child, name):
                    yield from self._graphs(f"{path}.{name}".strip("."), child)
        else:
            yield path, graph

    def _read(self, prefix: str, graph: fx.Graph) -> None:
        for node in graph.nodes:
            stack = list(node.meta.get("nn_module_stack", {}).values())
            inner = str(node.target) if node.op == "call_module" else stack[-1][0] if stack else ""
            path = self.path[node] = f"{prefix}.{inner}".strip(".")
            if node.op == "call_module":
                self._times[path] += 1
            elif node.op == "get_attr":
                found = operator.attrgetter(str(node.target))(self.modules[prefix])
                self._shared[id(found)] += 1
            function = self._activation(node)
            if function is not None:
                self._calls[layer_name(path), function].append(node)

    def _activation(self, node: fx.Node) -> str | None:
        """Return the name of the function if it is an activation, "" if it is a module."""
        if node.op == "call_module":
            module = self.modules[self.path[node]]
            is_one = self._known.is_module(module) or self._known.is_gate(module)
            return "" if is_one else None
        function: Any = node.target
        if node.op == "call_method":
            function = getattr(Tensor, str(node.target), None)
        if node.op not in ("call_function", "call_method") or function not in self._known.calls:
            return None
        is_clamp = function in self._known.clamps
        if is_clamp and not self._known.blocks_gradient(function, node.args, node.kwargs):
            return None
        return self._known.name(function, node.args, node.kwargs)

    # --- Asking ----------------------------------------------------------------------------

    def call(self, layer: str, function: str, calls: int) -> fx.Node:
        """Return the node of a layer, by its names in `examine`.

        Refused if its module does not make as many `calls` of the function in the trace.
        """
        path, number = path_and_number(layer)
        nodes = self._calls.get((path, "")) or self._calls.get((path, function)) or []
        if not nodes:
            reason = f" ({self.why_not})" if self.why_not else ""
            raise RefusedError(f"it is in no part of the model that torch.fx can trace{reason}")
        if len(nodes) != calls:
            raise RefusedError(f"it is called {calls} times, but {len(nodes)} when it is traced")
        return nodes[number - 1]

    def calls(self, path: str) -> list[fx.Node]:
        """Return the nodes that call the activation module of this path."""
        return self._calls.get((path, ""), [])

    def module(self, node: fx.Node) -> Any:
        return self.modules[self.path[node]] if node.op == "call_module" else None

    def name(self, node: fx.Node) -> str:
        if node.op == "call_module":
            return f"{self.path[node]} ({type(self.module(node)).__name__})"
        if node.op == "output":
            return "the output of the model"
        if node.op == "placeholder":
            return "the input of the model"
        name = getattr(node.target, "__name__", str(node.target))
        return f"{name} in {layer_name(self.path[node])}"

    def check_own(self, path: str) -> None:
        """Refuse a layer whose weights are not its own, or don't learn."""
        module = self.modules[path]
        parameters = [p for p in module._parameters.values() if p is not None]
        if self._times[path] > 1:
            raise RefusedError(f"{path} is called more than once")
        if any(self._shared[id(parameter)] > 1 for parameter in parameters):
            raise RefusedError(f"{path} shares its weights with something else")
        if isinstance(module, WEIGHTED) and "weight" not in module._parameters:
            raise RefusedError(f"the weight of {path} is computed, by a parametrization")
        if not all(parameter.requires_grad for parameter in parameters):
            raise RefusedError(f"{path} is frozen")


class _Tracer(fx.Tracer):  # type: ignore[misc, unused-ignore]
    proxy_buffer_attributes = True  # else it would run what changes a buffer

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        is_leaf: bool = super().is_leaf_module(m, module_qualified_name)
        return (
            known().is_module(m)
            or known().is_gate(m)
            or (is_leaf and not isinstance(m, _CONTAINERS))
        )

    def to_bool(self, obj: fx.Proxy) -> bool:
        if isinstance(obj, proxy.Attribute) and obj.attr == "is_nested":
            return False  # what nn.MultiheadAttention and the like ask of every input
        is_true: bool = super().to_bool(obj)
        return is_true


@contextmanager
def _in_mode(model: nn.Module, training: bool) -> Iterator[None]:
    """Set the mode of all modules, and undo that and what their code does to its attributes."""
    attributes = {module: dict(vars(module)) for module in model.modules()}
    # What is changed in place is a copy, one for all modules that share it.
    values = {id(value): value for before in attributes.values() for value in before.values()}
    copies = {key: _copied(value) for key, value in values.items()}
    for module, before in attributes.items():
        vars(module).update({name: copies[id(value)] for name, value in before.items()})
    had_fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # it would hide what is called
    try:
        for module in attributes:
            module.training = training
            # Hooks look at data, of which there is none.
            vars(module).update(_forward_hooks=OrderedDict(), _forward_pre_hooks=OrderedDict())
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(had_fast_path)
        for module, before in attributes.items():
            vars(module).clear()
            vars(module).update(before)


def _copied(value: Any) -> Any:
    if isinstance(value, (dict, list, set)):  # buffers are in a dict
        return copy.copy(value)
    return value.detach().clone() if isinstance(value, Tensor) else value
