"""Which layer makes the units of an activation call, and which layers use them."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from leakyrelu._trace.graph import Graph, RefusedError
from leakyrelu._trace.weights import WEIGHTED, units_of

__all__ = ["JOINT_NORMS", "Consumer", "Surroundings", "feeders"]

# These normalize each unit by itself, or with others.
_BATCH_NORM = nn.modules.batchnorm._BatchNorm
_OWN_NORMS = (_BATCH_NORM, nn.modules.instancenorm._InstanceNorm)
JOINT_NORMS = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)

# These take each unit by itself, and zeros to zeros: everywhere, or at the positions of images.
_ELEMENTWISE = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
_ELEMENTWISE_CALLS = {F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, "contiguous", "clone"}
_SPATIAL = (
    nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AvgPoolNd,
    nn.modules.pooling._AdaptiveAvgPoolNd,
    nn.modules.pooling._AdaptiveMaxPoolNd,
    nn.Upsample,
)
_SPATIAL_CALLS = {
    F.interpolate,
    *(getattr(torch, f"max_pool{d}d") for d in (1, 2, 3)),
    *(
        getattr(F, f"{kind}_pool{d}d")
        for kind in ("max", "avg", "adaptive_max", "adaptive_avg")
        for d in (1, 2, 3)
    ),
}
_FLATTENING = {torch.flatten, torch.reshape, "flatten", "reshape", "view"}
_REDUCING = {torch.mean, torch.amax, "mean", "amax"}
_ADDING = {operator.add, operator.iadd, torch.add, "add", "add_"}

# How units lie in what flows: on axis 1 before positions, on the last axis, or on the last with
# the positions of each unit side by side.
_CHANNELS, _LAST, _FLAT = "channels", "last", "flat"


@dataclass(frozen=True)
class Consumer:
    """A linear layer or convolution that units flow into."""

    path: str
    layer: nn.Module
    inputs: Tensor  # of each of its input features or channels, the unit that it comes from
    norms: list[str]  # paths of the normalizations on the way
    norm_after: str | None  # path of the BatchNorm that is the only one to use its output


def feeders(graph: Graph, node: fx.Node) -> Iterator[nn.Module]:
    """Yield the layers with weights whose output, or sum of outputs, is the input of a node."""
    for source in node.all_input_nodes:
        module = graph.module(source)
        if isinstance(module, WEIGHTED):
            yield module
        elif (
            isinstance(module, (*_OWN_NORMS, *JOINT_NORMS))
            or source.target in _ADDING
            or _passes(graph, source, _CHANNELS)
        ):
            yield from feeders(graph, source)


@dataclass(frozen=True)
class Surroundings:
    """What makes the units of an activation call, and what uses them."""

    producer: str  # path of the layer that makes them
    norms: list[str]  # paths of the normalizations between it and the call, from there
    consumers: list[Consumer]

    @classmethod
    def of(cls, graph: Graph, call: fx.Node) -> Surroundings:
        """Find them; refuse units that flow through or into anything unknown."""
        producer, norms = _producer(graph, call)
        made_by = graph.modules[producer]
        layout = _LAST if isinstance(made_by, nn.Linear) else _CHANNELS
        consumers = list(_consumers(graph, call, made_by, layout, []))
        if not consumers:
            raise RefusedError("nothing uses its units")
        return cls(producer, norms, consumers)

    def are_those_of(self, other: Surroundings) -> bool:
        """Whether the same layers are on the same ways, in another graph."""
        ways = [
            (found.producer, found.norms, [(c.path, c.norms) for c in found.consumers])
            for found in (self, other)
        ]
        return ways[0] == ways[1]


def _producer(graph: Graph, node: fx.Node) -> tuple[str, list[str]]:
    norms: list[str] = []
    while True:
        node = node.all_input_nodes[0]
        path, module = graph.path[node], graph.module(node)
        if len(node.users) > 1:
            raise RefusedError(f"the output of {graph.name(node)} has other uses, too")
        if isinstance(module, (*WEIGHTED, *_OWN_NORMS, *JOINT_NORMS)):
            graph.check_own(path)
            if isinstance(module, WEIGHTED):
                return path, norms
            norms.append(path)
        elif not _passes(graph, node, _CHANNELS):
            raise RefusedError(f"its units come out of {graph.name(node)}")


def _consumers(
    graph: Graph, node: fx.Node, made_by: nn.Module, layout: str, norms: list[str]
) -> Iterator[Consumer]:
    for user in node.users:
        path, module = graph.path[user], graph.module(user)
        if isinstance(module, (*WEIGHTED, *_OWN_NORMS)):
            graph.check_own(path)
        if isinstance(module, WEIGHTED):
            inputs = _inputs(module, units_of(made_by), layout)
            if inputs is None:
                raise RefusedError(f"its units don't lie as {graph.name(user)} takes them")
            yield Consumer(path, module, inputs, norms, _norm_after(graph, user))
        elif isinstance(module, _OWN_NORMS) and module.num_features == units_of(made_by):
            yield from _consumers(graph, user, made_by, layout, [*norms, path])
        elif not _asks_shape(user):
            after = _layout_after(graph, user, made_by, layout)
            if after is None:
                raise RefusedError(f"its units flow into {graph.name(user)}")
            yield from _consumers(graph, user, made_by, after, norms)


def _norm_after(graph: Graph, node: fx.Node) -> str | None:
    users = list(node.users)
    is_norm = len(users) == 1 and isinstance(graph.module(users[0]), _BATCH_NORM)
    return graph.path[users[0]] if is_norm else None


def _layout_after(graph: Graph, node: fx.Node, made_by: nn.Module, layout: str) -> str | None:
    """Return how units lie in what a node gives, or None if it mixes them or is not known."""
    if _passes(graph, node, layout):
        return layout
    if _flattens(node, graph.module(node)):
        return _LAST if layout == _LAST else _FLAT
    if layout == _CHANNELS and _reduces(node, made_by):
        return _FLAT
    return None


def _passes(graph: Graph, node: fx.Node, layout: str) -> bool:
    """Tell whether a node takes each unit by itself, zeros to zeros, and leaves it in its place."""
    module = graph.module(node)
    if isinstance(module, _ELEMENTWISE) or node.target in _ELEMENTWISE_CALLS:
        return True
    return layout == _CHANNELS and (isinstance(module, _SPATIAL) or node.target in _SPATIAL_CALLS)


def _asks_shape(node: fx.Node) -> bool:
    names = ("shape", "ndim", "dtype", "device")
    is_attribute: bool = node.target is getattr and str(node.args[1]) in names
    return is_attribute or str(node.target) in ("size", "dim")


def _flattens(node: fx.Node, module: nn.Module | None) -> bool:
    """Tell whether a node makes all axes but the first one."""
    if isinstance(module, nn.Flatten):
        return (module.start_dim, module.end_dim) == (1, -1)
    if node.target not in _FLATTENING:
        return False
    sizes = (*node.args[1:], *node.kwargs.values())
    if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)):
        sizes = tuple(sizes[0])
    if node.target in (torch.flatten, "flatten"):
        return sizes in ((1,), (1, -1))
    if len(sizes) != 2 or -1 not in sizes:  # a view: (x.size(0), -1) or (-1, 320)
        return False
    return isinstance(sizes[0], int) or _is_batch_size(sizes[0])


def _is_batch_size(node: Any) -> bool:
    if not isinstance(node, fx.Node):
        return False
    if node.target is operator.getitem:
        return _asks_shape(node.all_input_nodes[0]) and str(node.args[1]) == "0"
    return str(node.target) == "size" and node.args[1:] == (0,)


def _reduces(node: fx.Node, made_by: Any) -> bool:
    """Tell whether a node takes the mean or maximum over all positions."""
    if node.target not in _REDUCING or len(node.args) > 2 or node.kwargs.get("keepdim"):
        return False
    axes: Any = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
    axes = (axes,) if isinstance(axes, int) else axes or ()
    ndim = 2 + len(made_by.kernel_size)
    return {axis % ndim for axis in axes} == set(range(2, ndim))


def _inputs(layer: Any, units: int, layout: str) -> Tensor | None:
    """Return the unit that each input of a layer comes from, if the layer takes this layout."""
    is_linear = isinstance(layer, nn.Linear)
    times, rest = divmod(layer.in_features if is_linear else layer.in_channels, units)
    if is_linear == (layout == _CHANNELS) or rest:
        return None
    numbers = torch.arange(units)
    return numbers.repeat_interleave(times) if layout == _FLAT else numbers.repeat(times)
