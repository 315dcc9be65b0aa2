"""Giving the activation calls of a class modules: ``F.relu(x)`` becomes ``self.relu(x)``.

The source of the methods is rewritten and compiled; `inspect.getsource` shows it. A trace of
`torch.fx` would freeze what Python decides during it (training mode, optional arguments,
random depth), and leave other methods that users call, such as ``decode``, as they were. Here
all of that goes on working, also in models that can't be traced.
"""

from __future__ import annotations

import ast
import copy
import functools
from typing import Any

from torch import nn

from leakyrelu._trace.sites import activation_in, methods_of
from leakyrelu._trace.source import Source, calls_in

__all__ = ["Names", "call_modules", "names_of"]

# Of a method, the number of a call as `ast.walk` goes, and the module that it is given.
Names = frozenset[tuple[str, int, str]]


def names_of(module: nn.Module) -> Names:
    """Return what `call_modules` was given for this module."""
    names: Names = getattr(type(module), "_leakyrelu_names", frozenset())
    return names


def call_modules(module: nn.Module, names: Names) -> None:
    """Let the calls in `names` call the module's attributes of those names.

    The module becomes one of a subclass of its class, of the same name, for as long as there
    is a call in `names`.
    """
    cls: Any = type(module)
    base = getattr(cls, "_leakyrelu_base", cls)
    module.__class__ = _subclass(base, names) if names else base


@functools.cache
def _subclass(base: Any, names: Names) -> type[nn.Module]:
    contents: dict[str, Any] = {
        "__module__": base.__module__,
        "__qualname__": base.__qualname__,
        "__doc__": base.__doc__,
        "__reduce_ex__": _reduce,
        "_leakyrelu_base": base,
        "_leakyrelu_names": names,
    }
    for name in {method for method, _, _ in names}:
        source = Source.of(methods_of(base)[name])
        if source is None:
            raise RuntimeError(f"the source of {base.__qualname__}.{name} has changed or is gone")
        modules = {index: module for method, index, module in names if method == name}
        contents[name] = source.compiled_as(_rewritten(source, modules))
    return type(base.__name__, (base,), contents)


def _reduce(self: nn.Module, protocol: Any) -> tuple[Any, ...]:
    # For copies and pickles: no import finds the subclass.
    cls: Any = type(self)
    state: Any = self.__getstate__()  # type: ignore[no-untyped-call]
    return _new, (cls._leakyrelu_base, cls._leakyrelu_names), state


def _new(base: Any, names: Names) -> nn.Module:
    cls = _subclass(base, names)
    return cls.__new__(cls)


def _rewritten(source: Source, modules: dict[int, str]) -> ast.FunctionDef:
    tree = copy.deepcopy(source.tree)
    for index, call in enumerate(calls_in(tree)):
        if index in modules:
            activation = activation_in(call, source)
            if activation is not None:  # else it is a call of self.relu
                call.args, call.keywords = [activation[1]], []
            owner = ast.Name(source.first_argument or "", ast.Load())
            call.func = ast.copy_location(ast.Attribute(owner, modules[index], ast.Load()), call)
    return ast.fix_missing_locations(tree)
