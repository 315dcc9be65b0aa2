"""Activation calls in the source of the methods of a class, and those that can't be reached."""

from __future__ import annotations

import ast
import functools
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from types import FunctionType
from typing import Any, NamedTuple, TypeGuard

from torch import Tensor, nn

from leakyrelu._trace.known import CAPS, Known, function_name, is_among, known
from leakyrelu._trace.source import Source
from leakyrelu.activations import parse

__all__ = ["Site", "activation_in", "methods_of", "others_of", "sites_of"]

_LOOPS = (ast.For, ast.While, ast.ListComp, ast.GeneratorExp, ast.SetComp, ast.DictComp)
_LIBRARIES = {"torch", "numpy", "leakyrelu"}  # what is in there is known, or no part of a model


@dataclass(frozen=True)
class Site:
    """A call that can be given a module of its own."""

    method: str  # that makes the call
    index: int  # among the calls of the method, as `ast.walk` goes
    function: str  # the name of what is called, such as "relu"
    is_module: bool  # it is an attribute of the object, as in self.relu(x)
    in_place: bool  # it overwrites its argument
    repeats: bool  # it is in a loop
    cap: float | None = None  # the upper bound of what it returns
    is_rectifier: bool = False  # it returns 0 for negative inputs, as far as the source tells


class _Activation(NamedTuple):
    """What a call of an activation in the source is."""

    name: str
    argument: ast.expr
    cap: float | None
    is_rectifier: bool


def sites_of(module: nn.Module) -> tuple[list[Site], list[str]]:
    """Find the activation calls, and the calls of own attributes, in the methods of a module.

    They come in the order of the source, the inner of two nested calls first; and, in words,
    the activation calls that can't be given a module.
    """
    cls: Any = type(module)
    return _sites_of(getattr(cls, "_leakyrelu_base", cls), known())


@functools.cache
def _sites_of(cls: Any, has: Known) -> tuple[list[Site], list[str]]:
    sites: list[Site] = []
    out_of_reach: list[str] = []
    methods = methods_of(cls)
    used = _used_by_forward(cls, methods)
    for name, method in methods.items():
        source = _source_of(method)
        if name not in used:  # it may compute a loss
            out_of_reach += [f"{text}, which forward does not use" for text in _named_in(method)]
        elif source is None:
            out_of_reach += _named_in(method)
        else:
            sites += _sites_in(source, name)
            out_of_reach += _hidden_in(source, cls, {method}, has)
    return sites, list(dict.fromkeys(out_of_reach))


def others_of(module: nn.Module) -> list[str]:
    """Name the functions that a module uses as activations and that aren't replaceable."""
    cls: Any = type(module)
    has = known()
    found = [value for value in vars(module).values() if is_among(value, has.other_calls)]
    return [*(f.__name__ for f in found), *_others_of(getattr(cls, "_leakyrelu_base", cls), has)]


@functools.cache
def _others_of(cls: Any, has: Known) -> list[str]:
    found = []
    methods = methods_of(cls)
    for name in sorted(_used_by_forward(cls, methods) & set(methods)):
        source = Source.of(_function_of(methods[name]))
        for call in source.calls if source else ():
            function: Any = call.func
            meaning: Any = source and source.meaning(function)
            is_replaced = source is not None and activation_in(call, source) is not None
            if is_among(meaning, has.other_calls) and not is_replaced:
                found.append(function_name(meaning))
            elif meaning is None and isinstance(function, ast.Attribute):  # x.tanh()
                method: Any = getattr(Tensor, function.attr, None)
                if is_among(method, has.other_calls) and not (call.args or call.keywords):
                    found.append(function_name(method))
    return list(dict.fromkeys(found))


# --- Finding calls -------------------------------------------------------------------------


def methods_of(cls: type) -> dict[str, Any]:
    """Return the methods of a class, with what it inherits but from PyTorch's own classes."""
    methods: dict[str, Any] = {}
    for owner in cls.__mro__:
        for name, value in vars(owner).items():
            methods.setdefault(name, value)
    return {
        name: value
        for name, value in methods.items()
        if isinstance(function := _function_of(value), FunctionType)
        and not _is_of_library(function)
        and not name.startswith("__")
    }


def _function_of(method: Any) -> Any:
    """Return the function that a static method, class method, property or decorator wraps."""
    return inspect.unwrap(getattr(method, "__func__", getattr(method, "fget", method)))


def _source_of(method: Any) -> Source | None:
    """Return the source of a method that can be rewritten: of a plain function."""
    return Source.of(method) if _function_of(method) is method else None


def _used_by_forward(cls: type, methods: dict[str, Any]) -> set[str]:
    """Return the names of the methods that forward uses, directly or not, and its own."""
    used, names = set(), {"forward"}
    while names:
        name = names.pop()
        used.add(name)
        for owner in cls.__mro__:  # by super() it may use any of them
            function = _function_of(vars(owner).get(name))
            is_own = isinstance(function, FunctionType) and not _is_of_library(function)
            source = Source.of(function) if is_own else None
            if source is not None:
                nodes = ast.walk(source.tree)
                mentioned = {node.attr for node in nodes if _is_of_self(node, source)}
                names |= (mentioned & set(methods)) - used
    return used


def _sites_in(source: Source, method: str) -> Iterator[Site]:
    loops = [node for node in ast.walk(source.tree) if isinstance(node, _LOOPS)]
    repeated = {id(node) for loop in loops for node in ast.walk(loop)}
    in_order = sorted(
        enumerate(source.calls), key=lambda item: (item[1].end_lineno, item[1].end_col_offset)
    )
    for index, call in in_order:
        repeats = id(call) in repeated
        activation = activation_in(call, source)
        if activation is not None and not _is_dropped(call, source):
            name = activation.name
            in_place = _is_in_place(name, call)
            yield Site(
                method,
                index,
                name.rstrip("_"),
                False,
                in_place,
                repeats,
                activation.cap,
                activation.is_rectifier,
            )
        elif _is_of_self(call.func, source):
            yield Site(method, index, call.func.attr, True, False, repeats)


def activation_in(call: ast.Call, source: Source) -> _Activation | None:
    """Return the activation that is called, if it is one."""
    has = known()
    function, arguments = call.func, call.args
    arguments = arguments + [word.value for word in call.keywords if word.arg in ("input", "x")]
    meaning = source.meaning(function)
    if isinstance(function, ast.Call):  # nn.ReLU()(x)
        made = source.meaning(function.func)
        if not is_among(made, has.modules):
            return None
        if not _is_plain(arguments):
            return None
        name, is_default = made.__name__.lower(), not (function.args or function.keywords)
        is_rectifier = is_default and parse(has.modules[made]).blocks_gradient
        return _Activation(name, arguments[0], CAPS.get(name), is_rectifier)
    if (
        meaning is None
        and isinstance(function, ast.Attribute)
        and not _is_of_self(function, source)
    ):
        meaning = getattr(Tensor, function.attr, None)  # x.relu()
        arguments = [function.value, *arguments]
        has_more = len(arguments) > 1 or bool(call.keywords)
        if has_more and not is_among(meaning, has.clamps):
            return None
    if not is_among(meaning, has.replaceable) or not _is_plain(arguments):
        return None
    try:
        given = [None, *map(ast.literal_eval, arguments[1:])]
        words = {word.arg or "": ast.literal_eval(word.value) for word in _options(call)}
        blocks_gradient = has.blocks_gradient(meaning, given, words)
    except (ValueError, TypeError):  # only running it could tell
        given, words, blocks_gradient = [], {}, None
    if is_among(meaning, has.clamps) and not blocks_gradient:
        return None
    name = has.name(meaning, given, words) + ("_" if meaning.__name__.endswith("_") else "")
    return _Activation(name, arguments[0], has.cap(meaning, given, words), bool(blocks_gradient))


def _options(call: ast.Call) -> list[ast.keyword]:
    return [word for word in call.keywords if word.arg not in ("input", "x")]


def _is_plain(arguments: list[ast.expr]) -> bool:
    return bool(arguments) and not isinstance(arguments[0], ast.Starred)


def _is_in_place(name: str, call: ast.Call) -> bool:
    words = call.keywords + (call.func.keywords if isinstance(call.func, ast.Call) else [])
    return name.endswith("_") or any(
        word.arg == "inplace" and ast.unparse(word.value) == "True" for word in words
    )


def _is_of_self(node: ast.AST, source: Source) -> TypeGuard[ast.Attribute]:
    return (
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == source.first_argument
    )


def _is_dropped(call: ast.Call, source: Source) -> bool:
    return any(isinstance(node, ast.Expr) and node.value is call for node in ast.walk(source.tree))


# --- What is out of reach ------------------------------------------------------------------


def _hidden_in(
    source: Source, cls: type, seen: set[Any], has: Known, is_method: bool = True
) -> Iterator[str]:
    """Find the activations of a method, or of its helpers, that are called elsewhere."""
    where = source.function.__qualname__
    called = {id(call.func) for call in source.calls}
    for node in ast.walk(source.tree):
        is_name = isinstance(node, ast.Name | ast.Attribute) and id(node) not in called
        if is_name and is_among(source.meaning(node), has.replaceable - has.clamps):
            yield f"{source.meaning(node).__name__}, which {where} passes on"
    for call in source.calls:
        activation = activation_in(call, source)
        if activation is not None and _is_dropped(call, source):
            yield f"{activation[0]} in {where}, whose result is not used"
        helper = _inherited(call, cls, source) or source.meaning(call.func)
        # What other packages do is looked at, but not all that they do it by.
        is_near = is_method or _package(helper) == _package(source.function)
        is_known = is_among(helper, seen) or _is_of_library(helper)
        if isinstance(helper, FunctionType) and is_near and not is_known:
            seen.add(helper)
            yield from _named_in(helper)
            inner = Source.of(helper)
            if inner is not None:
                yield from _hidden_in(inner, cls, seen, has, is_method=False)


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
    """Name the activations that a function calls which is not rewritten."""
    function = _function_of(function)
    source = Source.of(function)
    if source is not None:
        found = [activation_in(call, source) for call in source.calls]
        names = {activation[0].rstrip("_") for activation in found if activation is not None}
        return [f"{name} in {function.__qualname__}" for name in sorted(names)]
    has = known()
    by_name = {each.__name__ for each in has.replaceable - has.clamps}
    names = by_name.intersection(function.__code__.co_names)
    return [f"{name} in {function.__qualname__} (no source at hand)" for name in sorted(names)]


def _package(function: Any) -> str:
    return str(getattr(function, "__module__", "")).partition(".")[0]


def _is_of_library(function: Any) -> bool:
    return _package(function) in _LIBRARIES
