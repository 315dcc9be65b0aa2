"""Which layers feed activation modules, as `torch.fx` traces a model that there are no data for."""

from __future__ import annotations

import inspect
import operator
from collections import defaultdict
from collections.abc import Collection, Iterator

import torch
from torch import fx, nn
from torch.fx import proxy
from torch.nn import functional as F  # noqa: N812 - its usual name

from leakyrelu._trace.calls import as_it_was
from leakyrelu._trace.known import known
from leakyrelu._trace.weights import WEIGHTED

__all__ = ["Graph"]


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

# What lies between a layer and the activation of its units.
_BETWEEN = (
    nn.modules.batchnorm._BatchNorm,
    nn.modules.instancenorm._InstanceNorm,
    *(nn.LayerNorm, nn.GroupNorm, nn.RMSNorm),
    *(nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d),
    nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AvgPoolNd,
    nn.modules.pooling._AdaptiveAvgPoolNd,
    nn.modules.pooling._AdaptiveMaxPoolNd,
    nn.Upsample,
)
_CALLS_BETWEEN = {
    *(operator.add, operator.iadd, torch.add, "add", "add_", "contiguous", "clone"),
    *(F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.interpolate),
    *(getattr(torch, f"max_pool{d}d") for d in (1, 2, 3)),
    *(
        getattr(F, f"{kind}_pool{d}d")
        for kind in ("max", "avg", "adaptive_max", "adaptive_avg")
        for d in (1, 2, 3)
    ),
}


class Graph:
    """The graph of a model, or of those parts of it that `torch.fx` can trace.

    What the `activations` do inside is not traced.
    """

    def __init__(self, model: nn.Module, activations: Collection[nn.Module]) -> None:
        self._activations = activations
        self.modules = dict(model.named_modules(remove_duplicate=False))
        self.why_not = ""  # the model as a whole can't be traced
        self._calls = defaultdict[str, list[fx.Node]](list)  # of modules, by path
        self._path: dict[fx.Node, str] = {}
        had_fast_path = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)  # it would hide what is called
        try:
            with as_it_was(model):
                for prefix, graph in self._graphs("", model):
                    for node in graph.nodes:
                        if node.op == "call_module":
                            path = self._path[node] = f"{prefix}.{node.target}".strip(".")
                            self._calls[path].append(node)
        finally:
            torch.backends.mha.set_fastpath_enabled(had_fast_path)

    def _graphs(self, path: str, module: nn.Module) -> Iterator[tuple[str, fx.Graph]]:
        """Trace a module or, where it can't be traced, those of its children that can."""
        tracer = _Tracer(self._activations)
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

    def feeders(self, path: str) -> Iterator[nn.Module]:
        """Yield the layers whose output, or sum of outputs, the activation of this path takes."""
        for node in self._calls[path]:
            yield from self._feeders(node)

    def _feeders(self, node: fx.Node) -> Iterator[nn.Module]:
        for source in node.all_input_nodes:
            module = self.modules[self._path[source]] if source in self._path else None
            if isinstance(module, WEIGHTED):
                yield module
            elif isinstance(module, _BETWEEN) or source.target in _CALLS_BETWEEN:
                yield from self._feeders(source)


class _Tracer(fx.Tracer):  # type: ignore[misc, unused-ignore]
    proxy_buffer_attributes = True  # else it would run what changes a buffer

    def __init__(self, activations: Collection[nn.Module]) -> None:
        super().__init__()
        self._activations = activations

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        is_leaf: bool = super().is_leaf_module(m, module_qualified_name)
        is_activation = m in self._activations or known().is_module(m)
        return is_activation or (is_leaf and not isinstance(m, _CONTAINERS))

    def to_bool(self, obj: fx.Proxy) -> bool:
        if isinstance(obj, proxy.Attribute) and obj.attr == "is_nested":
            return False  # what nn.MultiheadAttention and the like ask of every input
        is_true: bool = super().to_bool(obj)
        return is_true
