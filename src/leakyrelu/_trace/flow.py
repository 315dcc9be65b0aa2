"""Which layers make the units of an activation call, and which use them."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from leakyrelu._trace.units import Node, Run, Use

__all__ = ["Consumer", "Flow", "Part", "RefusedError", "Runs", "check_own"]


class RefusedError(Exception):
    """Why a layer can't be treated."""


@dataclass(frozen=True)
class Part:
    """Weights or a normalization: those of its rows, channels or inputs that are of the units."""

    path: str
    units: Tensor  # of each row, channel or input the index of its unit, or -1
    weight: str = ""  # the name of the parameter
    transposed: bool = False  # units lie on the second axis of the weight
    groups: int = 1
    stride: int = 1  # of a transposed convolution, over all axes
    is_joint: bool = False  # a normalization of several units together

    def is_like(self, other: Part) -> bool:
        """Whether it is the same in another run of the model."""
        return self.path == other.path and torch.equal(self.units, other.units)

    def of(self, wanted: Tensor) -> Tensor:
        """Return a mask of the rows, channels or inputs that are of the wanted units."""
        return wanted[self.units.clamp(min=0)] & (self.units >= 0)


@dataclass(frozen=True)
class Consumer:
    """Weights that units flow into."""

    part: Part
    norms: list[Part]  # on the way from the call
    is_padded: bool  # zeros come in beside the units
    norm_after: str | None  # path of the BatchNorm that is the only one to use what it makes

    @property
    def path(self) -> str:
        """The path of the layer that has the weights."""
        return self.part.path


@dataclass(frozen=True)
class Flow:
    """What makes the units of an activation call, and what uses them, in one run of the model."""

    makers: list[Part] = field(default_factory=list)  # empty if these weights must stay
    norms: list[Part] = field(default_factory=list)  # between them and the call, from the call
    consumers: list[Consumer] = field(default_factory=list)
    why_not: str = ""  # why the units can't be changed

    def joined(self, other: Flow) -> Flow:
        """Return the flow of a model that runs now so, now as in the other one."""
        if self.why_not or other.why_not:
            return Flow(why_not=self.why_not or other.why_not)
        pairs = ((self.makers, other.makers), (self.norms, other.norms))
        for one, two in pairs:
            same = len(one) == len(two) and all(map(Part.is_like, one, two))
            if not same:
                return Flow(why_not="its units come from elsewhere in training than in evaluation")
        known = {consumer.path: consumer for consumer in self.consumers}
        for consumer in other.consumers:
            twin = known.setdefault(consumer.path, consumer)
            ways = [[norm.path for norm in each.norms] for each in (twin, consumer)]
            if not twin.part.is_like(consumer.part) or ways[0] != ways[1]:
                return Flow(why_not="its units flow elsewhere in training than in evaluation")
        return Flow(self.makers, self.norms, list(known.values()))


MOST_RUNS = 16  # in which units flowed each time elsewhere


class Runs:
    """The runs of a model, in training and in evaluation: where units flowed in all of them."""

    def __init__(self) -> None:
        self._runs: dict[Any, Run] = {}
        self._flows: dict[str, Flow] = {}

    def add(self, run: Run) -> None:
        """Keep a run, if units flowed otherwise in those before."""
        kinds = tuple((n.kind, n.path, n.key, n.count, len(n.uses)) for n in run.nodes)
        if kinds not in self._runs and len(self._runs) < MOST_RUNS:
            self._runs[kinds] = run
            self._flows.clear()

    def flow(self, key: str) -> Flow:
        """Return how the units of a call flow."""
        if key not in self._flows:
            found = [
                _flow_of(run, node)
                for run in self._runs.values()
                for node in run.nodes
                if node.key == key
            ]
            unknown = Flow(why_not="it is not known where its units flow, until the model runs")
            self._flows[key] = functools.reduce(Flow.joined, found) if found else unknown
        return self._flows[key]

    def __getstate__(self) -> dict[str, Any]:
        keys = {node.key for run in self._runs.values() for node in run.nodes if node.key}
        return {"_runs": {}, "_flows": {key: self.flow(key) for key in keys | set(self._flows)}}


def _flow_of(run: Run, call: Node) -> Flow:
    try:
        return _flow(run, call)
    except RefusedError as reason:
        return Flow(why_not=str(reason))


def _flow(run: Run, call: Node) -> Flow:
    if not call.sources:
        raise RefusedError("what makes its units is not known")
    consumers = list(_consumers(run, [call], _index(call), []))
    if not consumers:
        raise RefusedError("nothing uses its units")
    (numbers,) = call.sources
    norms: list[Part] = []
    try:
        makers = list(_makers(run, numbers, call, norms))
    except RefusedError:
        # A normalization of its own can be made new, whatever comes before it.
        if not norms or not norms[0].weight or len(norms[0].units) != call.count:
            raise
        return Flow([], norms[:1], consumers)
    return Flow(makers, norms, consumers)


def _index(node: Node) -> dict[int, int]:
    return {number: index for index, number in enumerate(node.numbers.tolist())}


def _indices(numbers: Tensor, index: dict[int, int]) -> Tensor:
    return torch.tensor([index.get(number, -1) for number in numbers.tolist()], dtype=torch.int64)


def _makers(run: Run, numbers: Tensor, below: Node, norms: list[Part]) -> Iterator[Part]:
    """Yield the weights that make units; `numbers` has those of each unit of the call, or -1."""
    for node in run.nodes_of(numbers):
        place = {number: unit for unit, number in enumerate(numbers.tolist())}
        units = _indices(node.numbers, place)
        own = node.numbers[units >= 0]
        if any(use.into is not below and use.matters for use in _uses(node, own)):
            raise RefusedError(f"the output of {node.name} has other uses, too")
        part = _part(run, node, units)
        if node.kind == "weights":
            yield part
        elif node.kind.endswith("norm"):
            norms.append(part)
            deeper = torch.full_like(numbers, -1)
            deeper[units[units >= 0]] = node.sources[0][units >= 0]
            yield from _makers(run, deeper, node, norms)
        elif node.kind == "sum":
            yield from _branches(run, node, units, len(numbers), norms)
        else:
            raise RefusedError(f"its units come out of {node.name}")


def _branches(run: Run, node: Node, units: Tensor, count: int, norms: list[Part]) -> Iterator[Part]:
    """Yield the weights of those branches of a sum that nothing else uses; there must be one."""
    makers: list[Part] = []
    for source in node.sources:
        deeper, own = torch.full((count,), -1), list[Part]()
        deeper[units[units >= 0]] = source[units >= 0]
        try:
            found = list(_makers(run, deeper, node, own))
        except RefusedError:
            continue
        makers += found
        norms += own
    if not makers:
        raise RefusedError(f"its units come out of {node.name}")
    yield from makers


def _uses(node: Node, numbers: Tensor) -> Iterator[Use]:
    return (use for use in node.uses if torch.isin(use.units, numbers).any())


def _consumers(
    run: Run, nodes: Iterable[Node], index: dict[int, int], norms: list[Part]
) -> Iterator[Consumer]:
    """Yield the weights that units flow into; `index` has the unit of each number."""
    for node in nodes:
        numbers = torch.tensor([n for n in index if node.start <= n < node.start + node.count])
        for use in _uses(node, numbers):
            into = use.into
            if isinstance(into, str):
                raise RefusedError(f"its units flow into {into}")
            if into.kind == "weights":
                units = _indices(into.sources[0], index)
                part = _part(run, into, units)
                yield Consumer(part, norms, into.is_padded, _norm_after(into))
            elif into.kind == "norm":
                units = _indices(into.sources[0], index)
                then = _following(into, units)
                part = _part(run, into, units)
                yield from _consumers(run, [into], then, [*norms, part])
            elif (into.kind == "product" or into.kind == "call") and not norms:
                if into.kind == "call" and not into.keeps_zero:
                    raise RefusedError(f"its units flow into {into.name}")
                units = torch.full((into.count,), -1)
                for source in into.sources:
                    of = _indices(source, index)
                    units = torch.where(of >= 0, of, units)
                yield from _consumers(run, [into], _following(into, units), norms)
            else:
                raise RefusedError(f"its units flow into {into.name}")


def _following(node: Node, units: Tensor) -> dict[int, int]:
    """Return the numbers that units have in a node, with their index."""
    pairs = zip(node.numbers.tolist(), units.tolist(), strict=True)
    return {number: unit for number, unit in pairs if unit >= 0}


def _norm_after(node: Node) -> str | None:
    into = {id(use.into): use.into for use in node.uses}
    (only, *others) = into.values() or ("",)
    is_norm = isinstance(only, Node) and only.kind == "norm" and not others
    return only.path if is_norm and isinstance(only, Node) else None


def _part(run: Run, node: Node, units: Tensor) -> Part:
    """Describe weights or a normalization; refuse those that are not only there for the units."""
    if node.why_not:
        raise RefusedError(node.why_not)
    if node.weight and run.weight_uses[node.weight] > 1:
        callers = {n.caller for n in run.nodes if n.weight == node.weight}
        times = sum(n.weight == node.weight for n in run.nodes)
        is_called = times == run.weight_uses[node.weight] and callers == {node.path}
        why = "is called more than once" if is_called else "shares its weights with something else"
        raise RefusedError(f"{node.path or '(model)'} {why}")
    return Part(
        node.path,
        units,
        node.weight,
        node.transposed,
        node.groups,
        node.stride,
        node.kind == "joint norm",
    )


def check_own(model: nn.Module, part: Part) -> None:
    """Refuse weights that are tied to others, computed, or don't learn."""
    try:
        module = model.get_submodule(part.path)
    except AttributeError:
        raise RefusedError(f"model has no {part.path}, as that of health= has") from None
    parameters = [p for p in module._parameters.values() if p is not None]
    times = [id(p) for m in model.modules() for p in m._parameters.values() if p is not None]
    if any(times.count(id(parameter)) > 1 for parameter in parameters):
        raise RefusedError(f"{part.path} shares its weights with something else")
    if not all(parameter.requires_grad for parameter in parameters):
        raise RefusedError(f"{part.path} is frozen")
