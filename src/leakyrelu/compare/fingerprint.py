"""A hash of code and values, by which results are known to be of this code and no other.

Pickles won't do: those of `joblib.hash` name functions and don't look into them, and those of
cloudpickle have line numbers, file names and memory addresses in them.
"""

from __future__ import annotations

import dis
import hashlib
import random
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["hash_of"]

_PLAIN = {type(None), bool, int, float, complex, str, bytes}
# Where these stand is chance, or changes while they are used.
_GENERATORS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)
_LOADS = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
_LIBRARIES = {"torch", "numpy", "leakyrelu"}
_STANDARD = Path(sysconfig.get_path("stdlib"))


def hash_of(thing: Any) -> str:
    """Hash what a thing is made of, the same in each process.

    Of functions and classes that is the code that runs, not its text, with what it refers to:
    defaults, variables around it, globals. Code that is installed is looked at, but not what it
    refers to; PyTorch, NumPy, this package and the standard library count by name alone. So does
    what can't be looked into, by the name of its type.

    Parameters
    ----------
    thing : any object

    Examples
    --------
    >>> def scaled(factor):
    ...     return lambda x: factor * x
    >>> hash_of(scaled(2)) == hash_of(scaled(2)), hash_of(scaled(2)) == hash_of(scaled(3))
    (True, False)
    """
    things, numbers = [thing], {id(thing): 0}

    def named(part: Any) -> str:
        """Write down a part in full if it is plain, else by the number that it is found under."""
        if type(part) in _PLAIN:
            return repr(part)
        if type(part) is tuple:  # equal ones may be one object or two, as the compiler likes
            return f"({','.join(map(named, part))})"
        if id(part) not in numbers:
            numbers[id(part)] = len(things)
            things.append(part)  # which keeps it alive, so that no other gets its id
        return f"#{numbers[id(part)]}"

    digest = hashlib.sha256()
    for each in things:  # more are added on the way; calls would go too deep
        digest.update(f"{_name(type(each))}{named(_parts(each))}\n".encode())
    return digest.hexdigest()


def _parts(thing: Any) -> tuple[Any, ...]:
    """Return what a thing is made of."""
    if type(thing) in _PLAIN:
        return (thing,)
    if type(thing) in (tuple, list):
        return tuple(thing)
    if type(thing) is dict:
        return tuple(thing.items())
    if type(thing) in (set, frozenset):
        return tuple(sorted(map(hash_of, thing)))
    if isinstance(thing, CodeType):
        return thing.co_code, thing.co_consts, thing.co_names
    if isinstance(thing, FunctionType):
        return _parts_of_function(thing)
    if isinstance(thing, type):
        return _parts_of_class(thing)
    if isinstance(thing, MethodType):
        return thing.__func__, thing.__self__
    if isinstance(thing, (staticmethod, classmethod)):
        return (thing.__func__,)
    if isinstance(thing, property):
        return thing.fget, thing.fset, thing.fdel
    if isinstance(thing, (ModuleType, *_GENERATORS)):
        return (getattr(thing, "__name__", ""),)
    try:
        if isinstance(thing, nn.Module):
            return type(thing), _state_of_module(thing)
        if isinstance(thing, Tensor):
            values = thing.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
            kind = str(thing.dtype), tuple(thing.shape), thing.requires_grad
            return *kind, hashlib.sha256(values.data).digest(), vars(thing)
        if isinstance(thing, np.ndarray) and not thing.dtype.hasobject:
            values = np.ascontiguousarray(thing).reshape(-1).view(np.uint8)
            return str(thing.dtype), thing.shape, hashlib.sha256(values.data).digest()
        if "__wrapped__" in getattr(thing, "__dict__", ()):  # as by functools.cache
            return type(thing), thing.__wrapped__
        reduced = thing.__reduce_ex__(2)  # as a pickle would have it
        return type(thing), *(reduced if isinstance(reduced, tuple) else (reduced,))
    except Exception:  # whatever an object raises that is not to be pickled
        return (type(thing),)


def _parts_of_function(function: FunctionType) -> tuple[Any, ...]:
    around = []
    for cell in function.__closure__ or ():
        try:
            around.append(cell.cell_contents)
        except ValueError:  # nothing is in it yet
            around.append(None)
    whose = _whose(function.__module__)
    if whose == "library":
        return _name(function), *around
    defaults = function.__defaults__, function.__kwdefaults__
    used = _used_by(function) if whose == "user" else {}
    return function.__code__, *defaults, *around, vars(function), used


def _parts_of_class(cls: type) -> tuple[Any, ...]:
    if _whose(cls.__module__) == "library":
        return _name(cls), cls.__bases__
    contents = {
        name: value
        for name, value in sorted(vars(cls).items())
        # Of other names with underscores most are Python's own remarks, such as line numbers.
        if not name.startswith("__") or isinstance(value, FunctionType)
    }
    return _name(cls), cls.__bases__, contents


def _state_of_module(module: nn.Module) -> dict[str, Any]:
    # Hooks are numbered by how many there were before in this process.
    return {
        name: list(value.values()) if "hook" in name and isinstance(value, Mapping) else value
        for name, value in vars(module).items()
    }


def _used_by(function: FunctionType) -> dict[str, Any]:
    """Return the global variables that a function uses; of the user's modules, what it uses."""
    codes = list(_codes_in(function.__code__))
    instructions = (each for code in codes for each in dis.get_instructions(code))
    loaded = {each.argval for each in instructions if each.opname.startswith(_LOADS)}
    attributes = {name for code in codes for name in code.co_names}
    return _found_in(function.__globals__, loaded, attributes)


def _codes_in(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes_in(constant)


def _found_in(variables: dict[str, Any], names: set[str], attributes: set[str]) -> dict[str, Any]:
    found = {}
    for name in sorted(names & variables.keys()):
        value = variables[name]
        if isinstance(value, ModuleType) and _whose(value.__name__) == "user":
            rest = attributes - {name}
            value = _found_in(vars(value), rest, rest)
        found[name] = value
    return found


def _name(thing: Any) -> str:
    return f"{thing.__module__}.{thing.__qualname__}"


def _whose(module: str | None) -> Literal["library", "installed", "user"]:
    """Tell whether a module is well known, or else installed: it may still be one's own."""
    top = str(module).partition(".")[0]
    if top in _LIBRARIES or top in sys.builtin_module_names:
        return "library"
    file = Path(getattr(sys.modules.get(str(module)), "__file__", None) or "")
    if {"site-packages", "dist-packages"} & set(file.parts):
        return "installed"
    return "library" if _STANDARD in file.parents else "user"
