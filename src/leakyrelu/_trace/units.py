"""Which unit each element of a tensor belongs to, followed while the model runs.

Every unit has a number of its own. What makes units is a `Node`: weights, a normalization, an
activation call, a sum or a product. A tensor has for each element the number of its unit, 0 where
there is none, as in the input of the model, and -1 where several flowed together. An operation
that moves elements around moves their numbers in the same way: so it is run on them, too.
"""

from __future__ import annotations

import bisect
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.weak import WeakIdKeyDictionary

from leakyrelu._trace.names import layer_name

__all__ = ["SHARED", "Layout", "Mark", "Node", "Run", "UnitTracer", "Use"]

SHARED = -1  # of several units, or of unknown ones

# Operations by the name that they have in ATen. All views, and those that PyTorch calls
# pointwise, are known without a list.
_COPIES = {"clone", "_to_copy", "contiguous", "detach", "alias", "lift_fresh", "lift"}
_RESHAPES = {"view", "_unsafe_view", "reshape", "_reshape_alias"}
_MOVES = {
    *("cat", "stack", "index", "index_select", "gather", "take_along_dim", "roll", "flip", "rot90"),
    *("repeat", "constant_pad_nd", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle"),
    *("native_channel_shuffle", "im2col", "unfold_copy", "masked_select"),
}
_FACTORIES = ("_like", "new_")
_DROPOUTS = {"native_dropout", "_fused_dropout", "bernoulli"}
_PER_UNIT = {"gelu", "rrelu_with_noise", "_prelu_kernel", "masked_fill"}
_ALONG_POSITIONS = (
    *("max_pool", "avg_pool", "adaptive_", "_adaptive_", "upsample_", "_upsample_"),
    *("reflection_pad", "replication_pad", "grid_sampler", "fractional_max_pool"),
)
_REDUCTIONS = {
    *("mean", "sum", "amax", "amin", "max", "min", "var", "std", "prod", "norm", "nansum"),
    *("linalg_vector_norm", "median", "nanmedian", "logsumexp", "var_mean", "std_mean"),
}
_ALONG_AXIS = {"_softmax", "_log_softmax", "cumsum", "cumprod", "sort", "topk", "logcumsumexp"}
_PRODUCTS = {"mm", "bmm", "addmm", "baddbmm"}
_SCATTERS = {
    *("index_put", "_index_put_impl", "index_add", "index_copy", "index_reduce"),
    *("scatter", "scatter_add", "scatter_reduce"),
}
_SCALES = {"mul", "div"}
_BENDING = {
    *("tanh", "sigmoid", "erf", "exp", "softplus", "hardsigmoid", "hardtanh", "clamp", "clamp_min"),
    *("maximum", "where", "relu", "log1p", "expm1", "atan", "sin", "square", "threshold"),
}


class Mark(NamedTuple):
    """What is known of a tensor."""

    units: Tensor | None = None  # of its elements; an axis along which they don't differ has size 1
    weight: str | None = None  # the parameter or buffer that it is, or is computed from
    is_computed: bool = False  # from that weight: its rows may lie anywhere
    is_learned: bool = False  # it depends on parameters that are trained


class Use(NamedTuple):
    """Units flow into something."""

    units: Tensor  # their numbers
    into: Node | str  # in words if it can't be followed any further
    matters: bool = True  # to all units; False: only to those whose output is 0 and must stay so


@dataclass(eq=False)
class Node:
    """What makes units."""

    kind: str  # weights, norm, joint norm, call, sum, product
    path: str  # of the module that has the parameters or, without any, makes the call
    name: str  # in words
    start: int  # the number of its first unit
    count: int
    sources: list[Tensor] = field(default_factory=list)  # numbers of units by unit; see below
    uses: list[Use] = field(default_factory=list)
    # Of weights: `sources` has the numbers of units by input feature or channel.
    weight: str = ""  # name of the parameter
    caller: str = ""  # the path of the module that uses them
    why_not: str = ""  # why the weights of a unit can't be told or changed
    transposed: bool = False  # units lie on the second axis of the weight
    groups: int = 1
    stride: int = 1  # of a transposed convolution, over all axes
    is_padded: bool = False  # zeros come in beside the units
    is_last: bool = False  # its units lie on the last axis
    input: Tensor | None = None
    below_is_learned: bool = False  # what flows in depends on weights that are trained
    key: str = ""  # of a call
    keeps_zero: bool = False
    is_called: bool = False  # a call comes before

    @property
    def numbers(self) -> Tensor:
        """Those of its units."""
        return torch.arange(self.start, self.start + self.count)


@dataclass(frozen=True)
class Layout:
    """Where the units of a tensor lie."""

    axis: int  # of the tensor, or of what `arranged` returns
    units: int
    ndim: int
    axes: tuple[int, ...] = ()  # if the units lie along several, or at several places of one
    order: Tensor | None = None  # the places, unit by unit
    sizes: tuple[int, ...] = ()  # of these axes

    def fits(self, x: Tensor) -> bool:
        """Whether units can lie so in another tensor."""
        if x.ndim != self.ndim:
            return False
        if self.order is None:
            return x.shape[self.axis] == self.units
        return tuple(x.shape[axis] for axis in self.axes) == self.sizes

    def arranged(self, x: Tensor) -> Tensor:
        """Return the tensor with its units on one axis, `axis`, each at one place of it."""
        if self.order is None:
            return x
        rest = [axis for axis in range(x.ndim) if axis not in self.axes]
        x = x.permute(*rest, *self.axes).flatten(len(rest))
        x = x.index_select(-1, self.order.to(x.device)).unflatten(-1, (self.units, -1))
        return x.squeeze(-1) if x.shape[-1] == 1 else x


class Run:
    """What was followed while a model ran once."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.weight_uses = Counter[str]()
        self.bent: set[str] = set()  # paths of modules that compute a function that is not linear
        self._starts: list[int] = []

    def new(self, node: Node) -> Node:
        """Add a node, and number its units."""
        last = self.nodes[-1] if self.nodes else None
        node.start = 1 if last is None else last.start + max(last.count, 1)
        self._starts.append(node.start)
        self.nodes.append(node)
        return node

    def nodes_of(self, numbers: Tensor) -> list[Node]:
        """Return the nodes of units, the first made first."""
        which = {
            bisect.bisect_right(self._starts, number) - 1
            for number in numbers.unique().tolist()
            if number > 0
        }
        return [self.nodes[index] for index in sorted(which)]


class UnitTracer(TorchDispatchMode):
    """While it is active, follows units from tensor to tensor.

    With `protects` it raises an error of what would change parameters.
    """

    def __init__(
        self,
        model: nn.Module,
        path: Callable[[], str],  # of the module that is running
    ) -> None:
        super().__init__()
        self.model, self.path = model, path
        self.is_paused = self.protects = False
        self.on_maxout: Callable[[], None] = lambda: None  # the largest of several units is taken
        self.failures: list[tuple[str, Exception]] = []  # of ours; what follows is unknown then
        self.begin()

    def begin(self) -> None:
        """Forget all tensors and nodes."""
        self.run = Run()
        self._marks: Any = WeakIdKeyDictionary()

    def __enter__(self) -> UnitTracer:
        for name, buffer in self.model.named_buffers():
            self._marks[buffer] = Mark(weight=name, is_computed=True)
        for name, parameter in self.model.named_parameters():
            self._marks[parameter] = Mark(weight=name, is_learned=parameter.requires_grad)
        super().__enter__()
        return self

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Follow nothing in here."""
        before, self.is_paused = self.is_paused, True
        try:
            yield
        finally:
            self.is_paused = before

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.is_paused:
            return func(*args, **kwargs)
        if self.protects and func._schema.is_mutable and self._is_parameter(args[:1]):
            raise RuntimeError("the model changes its parameters while it runs")
        if torch.is_inference_mode_enabled():  # what consists of others comes as a whole there
            with self:
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        result = func(*args, **kwargs)
        try:
            self._follow(func, args, kwargs, result)
        except Exception as error:
            self.failures.append((str(func), error))
            self._forget(result)
        return result

    # --- Asking ----------------------------------------------------------------------------

    def mark(self, x: Tensor) -> Mark:
        """Return what is known of a tensor."""
        found: Mark = self._marks.get(x, _NOTHING)
        return found

    def layout(self, x: Tensor) -> tuple[Layout, Tensor] | None:
        """Return where the units of a tensor lie, and their numbers; None if that is unknown."""
        units = self.mark(x).units
        if units is None or (units < 0).any() or not (units > 0).any():
            return None
        axes = tuple(axis for axis in range(units.ndim) if units.shape[axis] > 1)
        axes = axes or tuple(axis for axis in range(1, x.ndim) if x.shape[axis] == 1)[:1]
        for axis in axes:
            along = _along(units.expand(_expanded(units, x, axis)), axis)
            if axis > 0 and along is not None and (along > 0).all() and _are_distinct(along):
                return Layout(axis, len(along), x.ndim), along
        if len(axes) in (0, x.ndim) or (units == 0).any():
            return None
        numbers, of, times = units.flatten().unique(return_inverse=True, return_counts=True)
        if (times != times[0]).any():
            return None
        rest = x.ndim - len(axes)
        order = of.argsort(stable=True)
        sizes = tuple(x.shape[axis] for axis in axes)
        return Layout(rest, len(numbers), x.ndim, axes, order, sizes), numbers

    # --- What others saw -------------------------------------------------------------------

    def called(
        self, x: Mark, numbers: Tensor | None, result: Tensor, key: str, keeps_zero: bool
    ) -> None:
        """Note an activation call, of a tensor that had this mark."""
        layer, _, function = key.rpartition(" ")
        name = f"{function} in {layer}"
        node = self._new("call", self.path(), name, 0 if numbers is None else len(numbers))
        node.key, node.is_called, node.keeps_zero = key, True, keeps_zero
        if numbers is None:
            self._merge(x.units, name)
            units = None if x.units is None else self._shared(result)
            self._marks[result] = Mark(units, is_learned=x.is_learned)
        else:
            node.sources = [numbers]
            self._use(numbers, node)
            self._marks[result] = x._replace(units=_renumbered(x.units, numbers, node))

    def made(self, data: Iterable[Tensor], result: Any, path: str) -> None:
        """Note that a module, such as an LSTM, makes units, on the last axis of its results."""
        self._unknown(data, (), self._name(path))
        for part in tree_leaves(result):
            if isinstance(part, Tensor) and part.ndim and part.is_floating_point():
                node = self._new("weights", path, path, part.shape[-1])
                node.why_not = f"its units come out of {self._name(path)}"
                node.is_last = True
                node.below_is_learned = any(self.mark(x).is_learned for x in data)
                shape = (1,) * (part.ndim - 1) + (-1,)
                self._marks[part] = Mark(node.numbers.reshape(shape), is_learned=True)

    def normalized(self, x: Tensor, weight: Any, result: Tensor, kind: str, axis: int) -> None:
        """Note a normalization, of as many units as the axis is long."""
        mark, weight_name = self.mark(x), None
        if isinstance(weight, Tensor):
            weight_name = self.mark(weight).weight
            self._count(weight_name)
        axis = axis % x.ndim
        units = self._shared(x) if mark.units is None else mark.units
        along = _along(units.expand(_expanded(units, x, axis)), axis)
        has_others = any(units.shape[d] > 1 for d in range(x.ndim) if d != axis)
        if mark.units is None:
            along = torch.zeros(x.shape[axis], dtype=torch.int64)
        elif along is None or has_others or not _are_distinct(along[along > 0]):
            if kind == "joint norm":
                self._merge(mark.units, f"norm in {layer_name(self.path())}")
            self._marks[result] = mark._replace(is_learned=True)
            return
        path = self.path() if weight_name is None else _path_of(weight_name)
        node = self._new(kind, path, self._name(path), x.shape[axis], [along])
        node.is_called = self._is_called(along)
        node.weight, node.is_last = weight_name or "", axis == x.ndim - 1 and kind != "norm"
        # A BatchNorm gives a unit nothing of the others: it counts as part of its layer.
        below = [each.below_is_learned for each in self.run.nodes_of(along)]
        node.below_is_learned = any(below) if kind == "norm" else mark.is_learned
        self._use(along, node)
        shape = [1] * x.ndim
        shape[axis] = -1
        self._marks[result] = Mark(node.numbers.reshape(shape), is_learned=True)

    def returned(self, outputs: Any) -> None:
        """Note what the model returns; then keep no tensor."""
        for x in tree_leaves(outputs):
            if isinstance(x, Tensor):
                self._merge(self.mark(x).units, "the output of the model")
        for node in self.run.nodes:
            node.input = None

    # --- Following -------------------------------------------------------------------------

    def _follow(self, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        name = _name_of(func)
        outputs = [x for x in tree_leaves(result) if isinstance(x, Tensor)]
        inputs = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        marks = [self.mark(x) for x in inputs]
        if all(mark is _NOTHING for mark in marks) or name.endswith(_FACTORIES[0]):
            return
        if name.startswith(_FACTORIES[1]):
            return
        is_learned = any(mark.is_learned for mark in marks)
        if self._by_weights(func, name, args, kwargs, result):
            return
        if all(mark.weight is not None for mark in marks):
            self._compute_weight(func, name, marks, inputs, outputs, is_learned)
            return
        if "norm" in name and "units" not in name and self._by_norm(func, name, args, result):
            return
        for mark in marks:
            self._count(mark.weight)
        if all(mark.units is None for mark in marks):
            for x in outputs:
                self._marks[x] = Mark(is_learned=is_learned)
            return
        units = self._moved(func, name, args, kwargs, inputs, outputs)
        if units is None:
            self._unknown(inputs, outputs, f"{name} in {layer_name(self.path())}")
            return
        for x, of in zip(outputs, units, strict=True):
            if of is not None:
                of = _compact(of)
            self._mark_written(func, x, of)
            self._marks[x] = Mark(of, is_learned=is_learned)

    def _mark_written(self, func: Any, x: Tensor, units: Tensor | None) -> None:
        """Forget the units of what a view is of, if others are written there."""
        if not (func._schema.is_mutable and x._is_view() and x._base is not None):
            return
        before = self.mark(x).units
        same = before is not None and units is not None and torch.equal(before, units)
        if not same and (before is not None or units is not None):
            self._merge(units, f"{_name_of(func)} in {layer_name(self.path())}")
            self._marks[x._base] = Mark(self._shared(x._base), is_learned=True)

    def _moved(
        self, func: Any, name: str, args: Any, kwargs: Any, inputs: list[Tensor], outputs: Any
    ) -> list[Tensor | None] | None:
        """Return the units of each output; None if that is not known."""
        if not outputs:
            return None
        first, bound = inputs[0], _bound(func, args, kwargs)
        units = self.mark(first).units
        if name in _COPIES:
            return [units]
        if name in _RESHAPES:
            return [None if units is None else _reshaped(units, first.shape, outputs[0].shape)]
        if name == "copy":
            source = inputs[1]
            of = self.mark(source).units
            return [of if of is None else _full(of, source).expand_as(outputs[0])]
        if name == "as_strided" or name.startswith("view_as_"):
            return None
        if getattr(func, "is_view", False) or name in _MOVES or name.startswith("transpose"):
            return self._run_on_units(func, args, kwargs)
        if name in _DROPOUTS:
            return [units] + [None] * (len(outputs) - 1)
        if name == "glu":
            dim = bound.get("dim", -1)
            assert units is not None
            halves = _full(units, first).chunk(2, dim)
            return [self._joined("product", "glu", *halves)]
        if torch.Tag.pointwise in func.tags or name in _PER_UNIT:
            return [self._pointwise(func, name, args, kwargs, inputs, outputs[0])]
        if name in _PRODUCTS:
            return self._of_two(name, inputs, outputs[0])
        if name in _SCATTERS:
            return [self._scattered(func, name, bound, outputs[0])]
        if name.startswith("_scaled_dot_product"):
            of = self.mark(bound["value"]).units
            for each in ("query", "key"):
                self._merge(self.mark(bound[each]).units, f"{name} in {layer_name(self.path())}")
            if of is None or of.shape[-2] != 1:
                return None
            return [of] + [None] * (len(outputs) - 1)
        if units is None:
            return None
        if name.startswith(_ALONG_POSITIONS):
            positions = next((int(c) for c in name if c.isdigit()), 2)
            return [_along_positions(units, positions, outputs[0])] * len(outputs)
        if name in _REDUCTIONS or name in _ALONG_AXIS:
            dims = bound.get("dim")
            dims = range(first.ndim) if dims is None or dims == [] else dims
            dims = [dims] if isinstance(dims, int) else list(dims)
            if any(units.shape[dim] > 1 for dim in dims):
                # Where an axis stays, it is subtracted, as for a softmax.
                if name in ("amax", "max") and 0 < outputs[0].ndim < first.ndim:
                    self.on_maxout()
                return None
            if name in _ALONG_AXIS:
                self._break_zero(units, name)
                return [units] * len(outputs)
            kept = outputs[0].ndim == first.ndim
            return [units if kept else units.squeeze(sorted({d % first.ndim for d in dims}))] * len(
                outputs
            )
        return None

    def _run_on_units(self, func: Any, args: Any, kwargs: Any) -> list[Tensor | None]:
        def units_for(x: Any) -> Any:
            if not isinstance(x, Tensor):
                return x
            units = self.mark(x).units
            if units is not None:
                return _full(units, x)
            if x.dtype in (torch.int64, torch.int32, torch.bool, torch.uint8):  # indices
                return x.detach().cpu()
            return torch.zeros((), dtype=torch.int64).expand(x.shape)

        if _name_of(func) == "constant_pad_nd":
            return [torch.constant_pad_nd(units_for(args[0]), args[1], 0)]
        if func._schema.is_mutable:  # transpose_ and the like
            func = getattr(torch.ops.aten, _name_of(func)).default
        moved = func(*tree_map(units_for, args), **tree_map(units_for, kwargs))
        return [x for x in tree_leaves(moved) if isinstance(x, Tensor)]

    def _scattered(self, func: Any, name: str, bound: Any, output: Tensor) -> Tensor | None:
        """Return the units of rows that are put or added into others."""
        into, rows = bound["self"], bound.get("src", bound.get("source", bound.get("values")))
        if not isinstance(rows, Tensor):  # a number
            return self._shared(output)
        if name == "index_put":
            full = [
                torch.zeros((), dtype=torch.int64).expand(x.shape) if u is None else _full(u, x)
                for x, u in ((x, self.mark(x).units) for x in (into, rows))
            ]
            indices = [None if i is None else i.cpu() for i in bound["indices"]]
            put: Tensor = torch.ops.aten.index_put(full[0], indices, full[1])
            return put
        dim = bound["dim"]
        found = [units for x in (into, rows) if (units := self.mark(x).units) is not None]
        if any(units.shape[dim] > 1 for units in found):
            for units in found:
                self._merge(units, f"{name} in {layer_name(self.path())}")
            return self._shared(output)
        return found[0] if len(found) == 1 else self._joined("sum", name, *found)

    def _pointwise(
        self, func: Any, name: str, args: Any, kwargs: Any, inputs: list[Tensor], output: Tensor
    ) -> Tensor | None:
        found: list[Tensor] = []
        factors = []  # one for each position, whatever it is made of
        for x in inputs:
            units = self.mark(x).units
            if units is None:
                continue
            units = units.reshape((1,) * (output.ndim - units.ndim) + units.shape)
            if (units < 0).all():
                factors.append((1,) * (output.ndim - x.ndim) + tuple(x.shape))
            elif not any(torch.equal(units, other) for other in found):
                found.append(units)
        is_scale = name in _SCALES
        if name in _BENDING:
            self.run.bent.add(self.path())
        if not found:
            return self._shared(output) if factors else None
        units = found[0]
        if name == "maximum" and len(found) > 1:
            self.on_maxout()
        if name in ("add", "sub"):
            self._shift(units, inputs)
        for other in found[1:]:
            units = self._joined("product" if is_scale else "sum", name, units, other)
        # A factor leaves a unit what it is.
        if name != "mul" and any(
            a > 1 and b > 1 for shape in factors for a, b in zip(units.shape, shape, strict=True)
        ):
            self._merge(units, f"{name} in {layer_name(self.path())}")
            return self._shared(output)
        if factors and not is_scale:
            self._break_zero(units, name)
        elif len(found) == 1 and not is_scale and self._is_called(units):
            zeros = tree_map(
                lambda x: (
                    torch.zeros_like(x)
                    if isinstance(x, Tensor) and self.mark(x).units is not None
                    else x
                ),
                (args, kwargs),
            )
            if func(*zeros[0], **zeros[1]).any():
                self._break_zero(units, name)
        return units

    def _shift(self, units: Tensor, inputs: list[Tensor]) -> None:
        """Note a parameter that is added to units: it is a part of them, beside their weights."""
        for weight in filter(None, (self.mark(x).weight for x in inputs)):
            for node in self.run.nodes_of(units):
                own_bias = node.weight.replace("weight", "bias")
                if node.kind != "call" and weight != own_bias and not node.why_not:
                    node.why_not = f"{weight} is added to the output of {node.name}"

    def _is_called(self, units: Tensor) -> bool:
        """Whether they come out of an activation call: they may be dead."""
        return any(node.is_called for node in self.run.nodes_of(units))

    def _break_zero(self, units: Tensor, name: str) -> None:
        self._merge(units, f"{name} in {layer_name(self.path())}", matters=False)

    def _joined(self, kind: str, name: str, one: Tensor, other: Tensor) -> Tensor:
        """Return the units of a sum or product of two tensors."""
        one, other = torch.broadcast_tensors(one, other)
        if torch.equal(one, other):
            return one
        if (one < 0).any() or (other < 0).any():
            for units in (one, other):
                self._merge(units, f"{name} in {layer_name(self.path())}")
            return torch.full((1,) * one.ndim, SHARED)
        both = (one > 0) & (other > 0) & (one != other)
        if not both.any():
            return torch.where(one > 0, one, other)
        pairs = torch.stack([one.flatten(), other.flatten()])
        unique, of = pairs.unique(dim=1, return_inverse=True)
        node = self._new(kind, self.path(), f"{name} in {layer_name(self.path())}", unique.shape[1])
        node.sources = [unique[0], unique[1]]
        node.is_called = self._is_called(unique)
        for numbers in node.sources:
            self._use(numbers, node)
        joined: Tensor = (node.start + of).reshape(one.shape)
        return joined

    def _of_two(self, name: str, inputs: list[Tensor], output: Tensor) -> list[Tensor | None]:
        """Follow a product of two matrices of data: what is weighed are the rows of the second."""
        one, other = (self.mark(x).units for x in inputs[-2:])
        place = f"{name} in {layer_name(self.path())}"
        self._merge(one, place)
        if len(inputs) == 3:
            self._merge(self.mark(inputs[0]).units, place)
        if other is not None and other.shape[-2] == 1 and (other >= 0).all():
            return [other]
        self._merge(other, place)
        return [self._shared(output)]

    def _compute_weight(
        self,
        func: Any,
        name: str,
        marks: list[Mark],
        inputs: list[Tensor],
        outputs: list[Tensor],
        is_learned: bool,
    ) -> None:
        """Follow an operation on weights alone."""
        is_same = getattr(func, "is_view", False) or (
            name in _COPIES and all(x.stride() == inputs[0].stride() for x in outputs)
        )
        named = [m for m in marks if not m.is_computed] or marks
        if not is_same:
            for mark in marks:
                self._count(mark.weight)
        is_computed = named[0].is_computed or not is_same
        for x in outputs:
            self._marks[x] = Mark(
                weight=named[0].weight, is_computed=is_computed, is_learned=is_learned
            )

    def _unknown(self, inputs: Iterable[Tensor], outputs: Sequence[Tensor], place: str) -> None:
        for x in inputs:
            self._merge(self.mark(x).units, place)
        self._forget(outputs)

    # --- Weights and normalizations --------------------------------------------------------

    def _by_weights(self, func: Any, name: str, args: Any, kwargs: Any, result: Any) -> bool:
        """Follow data into a layer with weights, if it is one."""
        if name in ("convolution", "_convolution", "cudnn_convolution", "mkldnn_convolution"):
            bound = _bound(func, args, kwargs)
            data, weight = args[:2]
            if not self._is_weight(weight):
                return False
            axis, inner = 1, 1
        elif name in ("embedding", "_embedding_bag", "_embedding_bag_forward_only"):
            weight, data = args[:2]
            axis, inner = -1, None
            result = result[0] if isinstance(result, tuple) else result
        elif name == "_trilinear":
            weight, data = args[1], args[0]
            axis, inner = -1, None
        elif name in _PRODUCTS:
            one, other = args[-2:]
            are = [self._is_weight(x) for x in (one, other)]
            if all(are) and not _is_named_weight(self.mark(one).weight):
                are[0] = False  # an input that is learned
            if are[0] == are[1]:
                return False
            data, weight, axis, inner = (one, other, -1, -1) if are[1] else (other, one, -2, -2)
        else:
            return False
        mark = self.mark(weight)
        assert mark.weight is not None
        path = _path_of(mark.weight)
        parameter = self._parameter(mark.weight)
        axes = [axis % result.ndim]
        if name in ("bmm", "baddbmm") and weight.shape[0] > 1 and weight.stride(0) > 0:
            if mark.is_computed:
                return False
            axes.insert(0, 0)  # a stack of weights, as of experts
        count = math.prod(result.shape[axis] for axis in axes)
        node = self._new("weights", path, self._name(path), count)
        node.weight, node.caller, node.is_last = mark.weight, self.path(), axis == -1
        if torch.is_grad_enabled():
            node.input = data
        node.below_is_learned = self.mark(data).is_learned
        self._count(mark.weight)
        is_whole = parameter is not None and parameter.numel() == weight.numel()
        if mark.is_computed or (is_whole and parameter.shape != weight.shape and weight.ndim > 2):
            node.why_not = f"the weight of {path or '(model)'} is computed"
        elif not is_whole or len(axes) > 1 or inner is None:
            node.why_not = f"its units come out of {self._name(path)}, part by part"
        elif name in ("convolution", "_convolution"):
            node.transposed, node.groups = bool(bound["transposed"]), bound["groups"]
            node.stride = math.prod(bound["stride"])
            node.is_padded = any(bound["padding"]) or node.transposed
        else:
            # (inputs, units) as the product takes it; of a Linear it is a transposed view.
            across, down = (-1, -2) if axis == -1 else (-2, -1)
            lies = (weight.stride(across), weight.stride(down))
            node.transposed = parameter.ndim == 2 and lies != parameter.stride()
            if parameter.ndim != 2:
                node.why_not = f"the weight of {path or '(model)'} is reshaped"
        self._take_inputs(node, data, inner)
        shape = [result.shape[axis] if axis in axes else 1 for axis in range(result.ndim)]
        units: Tensor = node.numbers.reshape(shape)
        if len(args) == 3 and name in ("addmm", "baddbmm"):
            shift = self.mark(args[0])
            if shift.units is not None:
                shape = [1] * (result.ndim - shift.units.ndim) + list(shift.units.shape)
                units = self._joined("sum", name, units, shift.units.reshape(shape))
        self._marks[result] = Mark(_compact(units), is_learned=True)
        return True

    def _take_inputs(self, node: Node, data: Tensor, inner: int | None) -> None:
        """Note which units flow into the inputs of weights."""
        units = self.mark(data).units
        if units is None or inner is None:
            return
        axis = inner % units.ndim
        full = units.expand(_expanded(units, data, axis))
        along = _along(full, axis)
        if along is None or (along < 0).any():
            self._merge(units, f"{node.name}, several into one of its inputs")
            return
        node.is_padded |= bool(((full == 0) & (along > 0).reshape(_shape(full, axis))).any())
        node.sources = [along]
        self._use(along, node)

    def _by_norm(self, func: Any, name: str, args: Any, result: Any) -> bool:
        bound = _bound(func, args, {})
        outputs = tree_leaves(result)
        if "batch_norm" in name or "group_norm" in name:
            kind, axis = ("norm" if "batch" in name else "joint norm"), 1
        elif "layer_norm" in name or "rms_norm" in name:
            kind, axis = "joint norm", -1
        else:
            return False
        if not outputs or outputs[0].ndim < 2:
            return False
        self.normalized(args[0], bound.get("weight"), outputs[0], kind, axis)
        return True

    # --- Small things ----------------------------------------------------------------------

    def _new(
        self, kind: str, path: str, name: str, count: int, sources: Sequence[Tensor] = ()
    ) -> Node:
        return self.run.new(Node(kind, path, name, 0, count, list(sources)))

    def _use(self, numbers: Tensor, into: Node | str, matters: bool = True) -> None:
        for node in self.run.nodes_of(numbers):
            own = numbers[(numbers >= node.start) & (numbers < node.start + node.count)]
            node.uses.append(Use(own.unique(), into, matters))

    def _merge(self, units: Tensor | None, place: str, matters: bool = True) -> None:
        """Note that units flow into something in which they can't be told apart any more."""
        if units is not None:
            self._use(units.flatten(), place, matters)

    def _forget(self, result: Any) -> None:
        for x in tree_leaves(result):
            if isinstance(x, Tensor):
                self._marks[x] = Mark(self._shared(x), is_learned=True)

    def _shared(self, x: Tensor) -> Tensor:
        return torch.full((1,) * x.ndim, SHARED)

    def _count(self, weight: str | None) -> None:
        if weight is not None:
            self.run.weight_uses[weight] += 1

    def _is_parameter(self, args: Any) -> bool:
        mark = self.mark(args[0]) if args and isinstance(args[0], Tensor) else _NOTHING
        return mark.weight is not None and not mark.is_computed

    def _is_weight(self, x: Any) -> bool:
        return isinstance(x, Tensor) and self.mark(x).weight is not None

    def _parameter(self, name: str) -> Any:
        path, _, own = name.rpartition(".")
        return self.model.get_submodule(path)._parameters.get(own)

    def _name(self, path: str) -> str:
        return f"{path or '(model)'} ({type(self.model.get_submodule(path)).__name__})"


_NOTHING = Mark()


def _name_of(func: Any) -> str:
    name: str = func.overloadpacket.__name__
    return name.rstrip("_")


def _bound(func: Any, args: Any, kwargs: Any) -> dict[str, Any]:
    """Return the arguments by the names in the schema."""
    schema = func._schema.arguments
    bound = {argument.name: value for argument, value in zip(schema, args, strict=False)}
    return bound | dict(kwargs or {})


def _path_of(parameter: str) -> str:
    """Return the path of the layer that a parameter is of."""
    path = parameter.rpartition(".")[0]
    return f".{path}".partition(".parametrizations")[0][1:]


def _is_named_weight(name: str | None) -> bool:
    return name is not None and "weight" in name.rpartition(".")[2]


def _full(units: Tensor, x: Tensor) -> Tensor:
    return units.expand(x.shape)


def _expanded(units: Tensor, x: Tensor, axis: int) -> list[int]:
    """Return a shape as that of `units`, but of full size along an axis."""
    return [x.shape[d] if d == axis % x.ndim else size for d, size in enumerate(units.shape)]


def _shape(x: Tensor, axis: int) -> list[int]:
    return [-1 if d == axis else 1 for d in range(x.ndim)]


def _along(units: Tensor, axis: int) -> Tensor | None:
    """Return the units by their place on an axis, if they, or none, are at all positions."""
    lines = units.movedim(axis, 0).flatten(1)
    most: Tensor = lines.amax(1)
    is_same = (lines == most[:, None]) | (lines == 0)
    return most if is_same.all() else None


def _along_positions(units: Tensor, positions: int, output: Tensor) -> Tensor | None:
    """Return the units of a tensor with other positions than before, on its last axes."""
    axes = range(units.ndim - positions, units.ndim)
    if all(units.shape[axis] == 1 for axis in axes):
        return units
    lines = units.flatten(-positions)
    most = lines.amax(-1, keepdim=True)
    if not ((lines == most) | (lines == 0)).all():
        return None
    most = most.unflatten(-1, (1,) * positions).expand(*most.shape[:-1], *output.shape[-positions:])
    # Zeros came in somewhere.
    filled: Tensor = most.masked_fill(torch.arange(output.shape[-1]) == 0, 0)
    return filled


def _are_distinct(numbers: Tensor) -> bool:
    return len(numbers.unique()) == len(numbers)


def _varies(units: Tensor, axis: int) -> bool:
    return units.shape[axis] > 1 and not bool((units == units.narrow(axis, 0, 1)).all())


def _compact(units: Tensor) -> Tensor:
    """Return the units with axes along which they don't differ of size 1."""
    for axis in range(units.ndim):
        if units.shape[axis] > 1 and (units.stride(axis) == 0 or not _varies(units, axis)):
            units = units.narrow(axis, 0, 1)
    return units


def _reshaped(units: Tensor, before: torch.Size, after: torch.Size) -> Tensor:
    is_batch = len(before) > 0 and len(after) > 0 and before[0] == after[0]
    if is_batch and units.shape[0] == 1:  # one example has the units of all
        before, after = torch.Size((1, *before[1:])), torch.Size((1, *after[1:]))
    return units.expand(before).reshape(after)


def _renumbered(units: Any, numbers: Tensor, node: Node) -> Tensor:
    """Return the same units, with numbers of a node that has one for each."""
    ordered, index = numbers.sort()
    place = torch.searchsorted(ordered, units.clamp(min=0)).clamp(max=len(ordered) - 1)
    return torch.where(units > 0, node.start + index[place], 0)
