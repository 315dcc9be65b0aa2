"""Giving the rectifier calls of a class modules of their own: ``F.relu(x)``, ``self.relu1(x)``.

The source of the methods is rewritten, and compiled under its old file and lines. A trace of
`torch.fx` would fix what Python decides while it is taken (training mode, optional arguments,
random depth) and would leave alone what forward does not call, such as a ``decode``; here all
of that goes on working, in models that can't be traced too.
"""

from __future__ import annotations

import ast
import copy
import functools
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from leakyrelu import functions
from leakyrelu.activations import KINDS
from leakyrelu.health.calls import RECTIFIERS
from leakyrelu.treatment.source import Source, calls_in

__all__ = [
    "FUNCTIONS",
    "MODULES",
    "Names",
    "Site",
    "call_modules",
    "is_among",
    "names_of",
    "sites_of",
]

MODULES = (nn.ReLU6, *(getattr(nn, kind.torch_class) for kind in KINDS.values()))

_CLAMPS = {function for function in RECTIFIERS if function.__name__.startswith("clamp")}
# A prelu that is called has slopes of its own already, and a hardtanh two ends.
_OTHERS = {F.hardtanh, torch.prelu, torch.Tensor.prelu}
_OURS = {functions.relu, functions.leaky_relu, functions.rrelu}
FUNCTIONS = (set(RECTIFIERS) | _OURS) - _CLAMPS - _OTHERS

_METHODS = {"relu", "relu_", *(clamp.__name__ for clamp in _CLAMPS)}
_LOOPS = (ast.For, ast.While, ast.ListComp, ast.GeneratorExp, ast.SetComp, ast.DictComp)
_LIBRARIES = {"torch", "numpy", "leakyrelu"}  # what is in there is known, or no part of a model

# Of a method, the number of a call as `ast.walk` goes, and the module that it is given.
Names = frozenset[tuple[str, int, str]]


@dataclass(frozen=True)
class Site:
    """A call that can be given a module of its own.

    Attributes
    ----------
    method : str
        The method that makes the call.
    index : int
        Which of the method's calls it is, as `ast.walk` goes.
    function : str
        The name of what is called, such as ``relu``.
    is_module : bool
        Whether that is an attribute of the object, as in ``self.relu(x)``.
    in_place : bool
        Whether it overwrites its argument.
    repeats : bool
        Whether it stands in a loop.
    """

    method: str
    index: int
    function: str
    is_module: bool
    in_place: bool
    repeats: bool


def sites_of(module: nn.Module) -> tuple[list[Site], list[str]]:
    """Find the rectifier calls, and the calls of own attributes, in the methods of a module.

    Returns
    -------
    list of Site
        As they stand in the source, the inner of two nested calls first.
    list of str
        The rectifier calls that can't be given a module, in words.
    """
    cls: Any = type(module)
    return _sites_of(getattr(cls, "_base", cls))


@functools.cache
def _sites_of(cls: Any) -> tuple[list[Site], list[str]]:
    sites: list[Site] = []
    out_of_reach: list[str] = []
    for name, method in _methods_of(cls).items():
        source = Source.of(method) if isinstance(method, FunctionType) else None
        if source is not None and not hasattr(method, "__wrapped__"):
            sites += _sites_in(source, name)
            out_of_reach += _hidden_in(source, cls, seen={method})
        else:
            out_of_reach += _named_in(method)
    return sites, list(dict.fromkeys(out_of_reach))


def names_of(module: nn.Module) -> Names:
    """Return what `call_modules` was given for this module."""
    names: Names = getattr(type(module), "_names", frozenset())
    return names


def call_modules(module: nn.Module, names: Names) -> None:
    """Let the calls in `names` call the module's attributes of those names.

    The module becomes one of a subclass of its class, of the same name, for as long as there
    is a call in `names`.
    """
    cls: Any = type(module)
    base = getattr(cls, "_base", cls)
    module.__class__ = _subclass(base, names) if names else base


@functools.cache
def _subclass(base: Any, names: Names) -> type[nn.Module]:
    contents: dict[str, Any] = {
        "__module__": base.__module__,
        "__qualname__": base.__qualname__,
        "__doc__": base.__doc__,
        "__reduce_ex__": _reduce,
        "_base": base,
        "_names": names,
    }
    for name in {method for method, _, _ in names}:
        source = Source.of(_methods_of(base)[name])
        if source is None:
            raise RuntimeError(f"the source of {base.__qualname__}.{name} was changed, or is gone")
        modules = {index: module for method, index, module in names if method == name}
        contents[name] = source.compiled_as(_rewritten(source, modules))
    return type(base.__name__, (base,), contents)


def _reduce(self: nn.Module, protocol: Any) -> tuple[Any, ...]:
    # For copies and pickles: no import finds the subclass.
    cls: Any = type(self)
    state: Any = self.__getstate__()  # type: ignore[no-untyped-call]
    return _new, (cls._base, cls._names), state


def _new(base: Any, names: Names) -> nn.Module:
    cls = _subclass(base, names)
    return cls.__new__(cls)


def _rewritten(source: Source, modules: dict[int, str]) -> ast.FunctionDef:
    tree = copy.deepcopy(source.tree)
    for index, call in enumerate(calls_in(tree)):
        if index in modules:
            rectifier = _rectifier(call, source)
            if rectifier is not None:  # else it is a call of self.relu
                call.args, call.keywords = [rectifier[1]], []
            owner = ast.Name(source.first_argument or "", ast.Load())
            call.func = ast.copy_location(ast.Attribute(owner, modules[index], ast.Load()), call)
    return ast.fix_missing_locations(tree)


# --- Finding calls -------------------------------------------------------------------------


def _methods_of(cls: type) -> dict[str, Any]:
    """Return the methods of a class and those it inherits, up to PyTorch's own classes."""
    methods: dict[str, Any] = {}
    for owner in cls.__mro__:
        if _is_of_library(owner):
            break
        for name, value in vars(owner).items():
            function = getattr(value, "__func__", getattr(value, "fget", value))
            if isinstance(function, FunctionType) and not name.startswith("__"):
                # Static methods, class methods and properties stay what they are.
                methods.setdefault(name, value)
    return methods


def _sites_in(source: Source, method: str) -> Iterator[Site]:
    loops = [node for node in ast.walk(source.tree) if isinstance(node, _LOOPS)]
    repeated = {id(node) for loop in loops for node in ast.walk(loop)}
    in_order = sorted(
        enumerate(source.calls), key=lambda item: (item[1].end_lineno, item[1].end_col_offset)
    )
    for index, call in in_order:
        repeats = id(call) in repeated
        rectifier = _rectifier(call, source)
        if rectifier is not None and not _is_dropped(call, source):
            name = rectifier[0]
            yield Site(method, index, name.rstrip("_"), False, _is_in_place(name, call), repeats)
        elif isinstance(call.func, ast.Attribute) and _is_of_self(call.func, source):
            yield Site(method, index, call.func.attr, True, False, repeats)


def _rectifier(call: ast.Call, source: Source) -> tuple[str, ast.expr] | None:
    """Return the name of the rectifier that is called and its argument, if it is one."""
    function, arguments = call.func, call.args
    arguments = arguments + [word.value for word in call.keywords if word.arg in ("input", "x")]
    meaning = source.meaning(function)
    if isinstance(function, ast.Call):  # nn.ReLU()(x)
        made = source.meaning(function.func)
        if not is_among(made, MODULES):
            return None
        name = made.__name__.lower()
    elif meaning is not None:
        if not is_among(meaning, FUNCTIONS | _CLAMPS):
            return None
        name = meaning.__name__
    elif isinstance(function, ast.Attribute) and not _is_of_self(function, source):
        name, arguments = function.attr, [function.value, *arguments]
        is_plain = len(arguments) == 1 and not call.keywords
        if name not in _METHODS or (name.startswith("relu") and not is_plain):
            return None
    else:
        return None
    if not arguments or isinstance(arguments[0], ast.Starred):
        return None
    if name.startswith("clamp"):
        bounds = dict(zip(("min", "max"), arguments[1:], strict=False))
        bounds |= {word.arg: word.value for word in call.keywords if word.arg in ("min", "max")}
        if {bound: ast.unparse(value) for bound, value in bounds.items()} not in _FROM_ZERO:
            return None
    return name, arguments[0]


_FROM_ZERO = ({"min": "0"}, {"min": "0.0"})


def _is_in_place(name: str, call: ast.Call) -> bool:
    words = call.keywords + (call.func.keywords if isinstance(call.func, ast.Call) else [])
    return name.endswith("_") or any(
        word.arg == "inplace" and ast.unparse(word.value) == "True" for word in words
    )


def _is_of_self(node: ast.Attribute, source: Source) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id == source.first_argument


def _is_dropped(call: ast.Call, source: Source) -> bool:
    return any(isinstance(node, ast.Expr) and node.value is call for node in ast.walk(source.tree))


# --- What is out of reach ------------------------------------------------------------------


def _hidden_in(source: Source, cls: type, seen: set[Any]) -> Iterator[str]:
    """Find the rectifiers of a method that are called elsewhere on its behalf."""
    where = f"{source.function.__qualname__}"
    called = {id(call.func) for call in source.calls}
    for node in ast.walk(source.tree):
        is_name = isinstance(node, ast.Name | ast.Attribute) and id(node) not in called
        if is_name and is_among(source.meaning(node), FUNCTIONS):
            yield f"{source.meaning(node).__name__}, which {where} passes on"
    for call in source.calls:
        rectifier = _rectifier(call, source)
        if rectifier is not None and _is_dropped(call, source):
            yield f"{rectifier[0]} in {where}, whose result is not used"
        helper = _inherited(call, cls, source) or source.meaning(call.func)
        if isinstance(helper, FunctionType) and helper not in seen and not _is_of_library(helper):
            seen.add(helper)
            yield from _named_in(helper)
            inner = Source.of(helper)
            if inner is not None:
                yield from _hidden_in(inner, cls, seen)


def _inherited(call: ast.Call, cls: type, source: Source) -> Any:
    """Return the method that a call of ``super().method`` calls."""
    function = call.func
    if not (isinstance(function, ast.Attribute) and ast.unparse(function.value) == "super()"):
        return None
    owners = [owner for owner in cls.__mro__ if source.function in vars(owner).values()]
    after = cls.__mro__[cls.__mro__.index(owners[0]) + 1 :] if owners else ()
    found = (vars(owner)[function.attr] for owner in after if function.attr in vars(owner))
    return next(found, None)


def _named_in(function: Any) -> list[str]:
    """Tell which rectifiers a function calls that can't be rewritten."""
    function = inspect.unwrap(getattr(function, "__func__", getattr(function, "fget", function)))
    if not isinstance(function, FunctionType):
        return []
    source = Source.of(function)
    if source is not None:
        found = [_rectifier(call, source) for call in source.calls]
        names = {rectifier[0].rstrip("_") for rectifier in found if rectifier is not None}
        return [f"{name} in {function.__qualname__}" for name in sorted(names)]
    known = {known.__name__ for known in FUNCTIONS}
    names = known.intersection(function.__code__.co_names)
    return [f"{name} in {function.__qualname__} (no source at hand)" for name in sorted(names)]


def is_among(thing: Any, group: Any) -> bool:
    """Tell whether it is in a set or tuple, of a thing that may have no hash."""
    try:
        return thing in group
    except TypeError:  # it has no hash
        return False


def _is_of_library(thing: Any) -> bool:
    return str(getattr(thing, "__module__", "")).split(".")[0] in _LIBRARIES
