"""A hash of code and values, which ties results to the code that gave them.

Hashing pickles won't do: `joblib.hash` takes functions by name and does not look into them, and
cloudpickle includes line numbers, file names and memory addresses.
"""

from __future__ import annotations

import copyreg
import dis
import hashlib
import importlib.metadata
import importlib.util
import random
import sys
import sysconfig
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cache, cached_property
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["hash_in_use", "hash_of", "learn_changes"]

_PLAIN = {type(None), bool, int, float, complex, str, bytes}
# Their state is arbitrary, or changes in use.
_GENERATORS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)
_LOADS = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
_LIBRARIES = {"torch", "numpy", "leakyrelu"}
# Large libraries, hashed by name and version.
_WELL_KNOWN = {
    *("PIL", "cv2", "datasets", "h5py", "joblib", "matplotlib", "pandas", "polars", "pyarrow"),
    *("scipy", "sklearn", "tokenizers", "torchaudio", "torchvision", "transformers", "xarray"),
}
_STANDARD = Path(sysconfig.get_path("stdlib"))
_TAKES_OR_IS = 0x4 | 0x8 | 0x20 | 0x80 | 0x200  # flags of code: *args, **kwargs, generators
# What Python keeps of the source text of classes and modules.
_REMARKS = {"__annotations__", "__doc__", "__file__", "__firstlineno__", "__static_attributes__"}
# Bytes. Of larger arrays, only STRETCHES stretches are hashed: a hash takes a second per gigabyte.
LARGE, STRETCHES, STRETCH = 1 << 28, 256, 1 << 20

# A place in a state: the owner's name, and a name in the state.
_Place = tuple[str, str]
# Places seen to change in this process: a cache that is full no longer changes, but still is one.
_changing: set[_Place] = set()


def hash_of(thing: Any) -> str:
    """Hash what a thing is made of; the hash is the same in every process.

    For functions and classes that is their bytecode, not their source text, with all it refers to:
    defaults, closures, globals. Installed code is hashed without what it refers to, for which its
    version stands; large libraries by name and version; PyTorch, NumPy, this package and the
    standard library by name alone. Opaque objects are hashed by the name of their type.

    Examples
    --------
    >>> def scaled(factor):
    ...     return lambda x: factor * x
    >>> hash_of(scaled(2)) == hash_of(scaled(2)), hash_of(scaled(2)) == hash_of(scaled(3))
    (True, False)
    """
    return _hash(thing, lambda part: _parts(part, ()))


def hash_in_use(thing: Any, use: Callable[[], object]) -> str:
    """Hash those parts of a thing that do not change when `use` uses it.

    This excludes counters, caches and lazily opened files, whether they are attributes, globals or
    closure variables.

    Examples
    --------
    >>> class Numbers:
    ...     def __init__(self, factor):
    ...         self.factor, self.reads = factor, 0
    ...     def __getitem__(self, row):
    ...         self.reads += 1
    ...         return self.factor * row
    >>> one, other, read = Numbers(2), Numbers(3), Numbers(2)
    >>> read[5]
    10
    >>> hashes = [hash_in_use(each, lambda: each[0]) for each in (one, other, read)]
    >>> hashes[0] == hashes[1], hashes[0] == hashes[2]
    (False, True)
    """
    learn_changes(thing, use)
    return _hash(thing, lambda part: _parts(part, _changing))


def learn_changes(thing: Any, use: Callable[[], object]) -> None:
    """Find out which parts of a thing change in use; later hashes exclude them."""
    before = _states(thing)
    use()
    after = _states(thing)
    _changing.update(place for place in before | after if before.get(place) != after.get(place))


def _states(thing: Any) -> dict[_Place, str]:
    """Hash each named value in everything that a thing reaches, one by one."""

    def without_contents(part: Any) -> tuple[Any, ...]:
        if isinstance(part, (Tensor, np.ndarray)):
            return ()
        return tuple(inner for inner in _parts(part, ()) if not _is_plain(inner))

    found: dict[_Place, list[str]] = {}
    for part, _ in _lines(thing, without_contents):
        if isinstance(part, (Tensor, np.ndarray)):
            continue
        for name, value in (_head_and_state(part)[1] or {}).items():
            is_plain = type(value) in _PLAIN
            own = repr(value) if is_plain else _hash(value, lambda x: _head_and_state(x)[0])
            found.setdefault((_owner(part), name), []).append(own)
    return {place: hash_of(each) for place, each in found.items()}


def _hash(thing: Any, parts: Callable[[Any], tuple[Any, ...]]) -> str:
    digest = hashlib.sha256()
    for _, line in _lines(thing, parts):
        digest.update(line.encode(errors="surrogatepass"))
    return digest.hexdigest()


def _lines(thing: Any, parts: Callable[[Any], tuple[Any, ...]]) -> Iterator[tuple[Any, str]]:
    """Yield everything that a thing reaches, each with a text of what it is made of."""
    things, numbers = [thing], {id(thing): 0}

    def named(part: Any) -> str:
        """Return a part's text in full if it is plain, else a reference by number."""
        if type(part) in _PLAIN:
            return repr(part)
        if type(part) is tuple:  # the compiler may make equal ones one object or two
            if _is_plain(part):
                return repr(part)  # there may be millions
            return f"({','.join(map(named, part))})"
        if id(part) not in numbers:
            numbers[id(part)] = len(things)
            things.append(part)  # kept alive, so that no other object gets its id
        return f"#{numbers[id(part)]}"

    for each in things:  # grows on the way; recursion would go too deep
        yield each, f"{_name(type(each))}{named(parts(each))}\n"


def _is_plain(part: Any) -> bool:
    return type(part) in _PLAIN or (type(part) is tuple and _PLAIN.issuperset(map(type, part)))


def _parts(thing: Any, left_out: Collection[_Place]) -> tuple[Any, ...]:
    """Return what a thing is made of."""
    head, state = _head_and_state(thing)
    if not state:
        return head
    owner = _owner(thing)
    return *head, {name: v for name, v in state.items() if (owner, name) not in left_out}


def _head_and_state(thing: Any) -> tuple[tuple[Any, ...], dict[str, Any] | None]:
    """Return what a thing is made of and, separately, its named state if it has one."""
    if type(thing) in _PLAIN:
        return (thing,), None
    if type(thing) in (tuple, list):
        return tuple(thing), None
    if type(thing) is dict:
        items = list(thing.items())
        if all(type(key) in _PLAIN for key in thing):  # equal dicts may differ in order
            items.sort(key=lambda item: (type(item[0]).__name__, repr(item[0])))
        return tuple(items), None
    if type(thing) in (set, frozenset):
        return tuple(sorted(map(hash_of, thing))), None
    if isinstance(thing, CodeType):
        return _parts_of_code(thing), None
    if isinstance(thing, FunctionType):
        return _parts_of_function(thing)
    if isinstance(thing, type):
        return _parts_of_class(thing)
    if isinstance(thing, MethodType):
        return (thing.__func__, thing.__self__), None
    if isinstance(thing, BuiltinFunctionType):
        own = None if isinstance(thing.__self__, ModuleType) else thing.__self__
        return (_name(thing), _origin(thing.__module__), own), None
    if isinstance(thing, (staticmethod, classmethod)):
        return (thing.__func__,), None
    if isinstance(thing, property):
        return (thing.fget, thing.fset, thing.fdel), None
    if isinstance(thing, (ModuleType, *_GENERATORS)):
        return (getattr(thing, "__name__", ""),), None
    if isinstance(thing, (Tensor, np.ndarray)) and (values := _values(thing)) is not None:
        return values, None
    if isinstance(thing, torch.jit.ScriptFunction):
        return (type(thing), thing.code), None
    if isinstance(thing, torch.jit.ScriptModule):
        codes = [part.code for part in thing.modules() if hasattr(part, "forward")]
        return (type(thing), codes, thing.state_dict(keep_vars=True)), None
    if isinstance(thing, nn.Module):
        # Hooks are numbered by how many this process has made so far.
        return (type(thing),), {
            name: list(value.values()) if "hook" in name and isinstance(value, Mapping) else value
            for name, value in vars(thing).items()
        }
    if "__wrapped__" in getattr(thing, "__dict__", ()):  # such as by functools.cache
        return (type(thing), thing.__wrapped__), None
    return _reduced(thing)


def _reduced(thing: Any) -> tuple[tuple[Any, ...], dict[str, Any] | None]:
    """Return what a pickle would hold of a thing, or else its attributes."""
    try:
        registered = copyreg.dispatch_table.get(type(thing))
        reduced = registered(thing) if registered else thing.__reduce_ex__(2)
        if isinstance(reduced, tuple):
            function, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
            by_key: Any = tuple(pairs or ())
            if not isinstance(thing, OrderedDict):
                by_key = dict(by_key)
            head = type(thing), function, arguments, tuple(items or ()), by_key
    except Exception:  # whatever an object that can't be pickled raises
        state = getattr(thing, "__dict__", None)
        return (type(thing),), dict(state) if isinstance(state, dict) else None
    if not isinstance(reduced, tuple):
        return (type(thing), reduced, _origin(getattr(thing, "__module__", None))), None
    if type(state) is dict and all(type(name) is str for name in state):
        cached = {n for n in state if isinstance(getattr(type(thing), n, None), cached_property)}
        return head, {n: v for n, v in state.items() if n not in _REMARKS | cached}
    return (*head, state), None


def _values(thing: Any) -> tuple[Any, ...] | None:
    """Return an array's type, shape and a hash of its values; None if it has no plain values."""
    try:
        if isinstance(thing, Tensor):
            kind = str(thing.dtype), tuple(thing.shape), thing.requires_grad
            values = thing.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
            return *kind, _hash_of_bytes(values.view(torch.uint8).numpy()), vars(thing)
        if type(thing) in (np.ndarray, np.memmap) and not thing.dtype.hasobject:
            array = np.ascontiguousarray(thing).reshape(-1).view(np.uint8)
            return str(thing.dtype), thing.shape, _hash_of_bytes(array)
    except Exception:  # sparse, quantized, on another device
        return None
    return None


def _hash_of_bytes(values: Any) -> bytes:
    if len(values) <= LARGE:
        return hashlib.sha256(values.data).digest()
    digest = hashlib.sha256()
    for start in np.linspace(0, len(values) - STRETCH, STRETCHES, dtype=int).tolist():
        digest.update(values[start : start + STRETCH].data)
    return digest.digest()


def _instructions(code: CodeType) -> list[dis.Instruction]:
    """Return a code's instructions, without bookkeeping ones."""
    without = ("CACHE", "EXTENDED_ARG", "NOP", "RESUME")
    return [each for each in dis.get_instructions(code) if each.opname not in without]


def _parts_of_code(code: CodeType) -> tuple[Any, ...]:
    """Return what code does, whatever the numbers of its variables and constants, or its docs."""
    does: list[tuple[str, Any]] = []
    for each in _instructions(code):
        if each.opname == "STORE_NAME" and each.argval in _REMARKS:
            does.pop()  # which loaded the remark
            continue
        is_variable = each.opcode in dis.haslocal or each.opcode in dis.hasfree
        does.append((each.opname, each.arg if is_variable else each.argval))
    takes = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount
    return *takes, code.co_flags & _TAKES_OR_IS, *does


def _parts_of_function(function: FunctionType) -> tuple[tuple[Any, ...], dict[str, Any]]:
    around = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            around[f"{name} around"] = cell.cell_contents
        except ValueError:  # the cell is still empty
            around[f"{name} around"] = None
    whose, origin = _whose(function.__module__), _origin(function.__module__)
    if whose == "library":
        return (_name(function), origin), around
    defaults = function.__defaults__, function.__kwdefaults__
    used = _used_by(function) if whose == "user" else {}
    return (function.__code__, *defaults, vars(function), origin), {**around, **used}


def _parts_of_class(cls: type) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if _whose(cls.__module__) == "library":
        return (_name(cls), _origin(cls.__module__), cls.__bases__), {}
    contents = {
        name: value
        for name, value in sorted(vars(cls).items())
        # Most other dunder names are Python's own remarks, such as line numbers.
        if not name.startswith("__") or (callable(value) and "annotate" not in name)
    }
    return (_name(cls), cls.__bases__, _origin(cls.__module__)), contents


def _used_by(function: FunctionType) -> dict[str, Any]:
    """Return the globals that a function uses; of the user's modules, what it uses of them."""
    codes = list(_codes_in(function.__code__))
    each_code = [_instructions(code) for code in codes]
    loaded = {i.argval for own in each_code for i in own if i.opname.startswith(_LOADS)}
    attributes = {name for code in codes for name in code.co_names}
    found = _found_in(function.__globals__, loaded, attributes)
    for own in each_code:
        for level, _, each in zip(own, own[1:], own[2:], strict=False):
            if each.opname == "IMPORT_NAME":
                name = "." * level.argval + each.argval
                if module := _imported(name, function.__globals__.get("__package__")):
                    found[f"import {name}"] = _found_in(vars(module), attributes, attributes)
    return found


def _imported(name: str, package: str | None) -> ModuleType | None:
    """Import a module that a function will import, if it is the user's own."""
    try:
        name = importlib.util.resolve_name(name, package)
        spec = importlib.util.find_spec(name)
        if spec is None or not spec.origin or _whose_file(Path(spec.origin)) != "user":
            return None
        return importlib.import_module(name)
    except Exception:  # the module may raise anything, or be missing
        return None


def _codes_in(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes_in(constant)


def _found_in(variables: dict[str, Any], names: set[str], attributes: set[str]) -> dict[str, Any]:
    found = {}
    for name in sorted((names & variables.keys()) - _REMARKS):
        value = variables[name]
        if isinstance(value, ModuleType) and _whose(value.__name__) == "user":
            rest = attributes - {name}
            value = _found_in(vars(value), rest, rest)
        found[name] = value
    return found


def _name(thing: Any) -> str:
    return f"{thing.__module__}.{thing.__qualname__}"


def _owner(thing: Any) -> str:
    return _name(thing if isinstance(thing, (type, FunctionType)) else type(thing))


def _origin(module: str | None) -> str:
    """Return what stands for code that is not hashed: its version, or a hash of its file."""
    whose, top = _whose(module), str(module).partition(".")[0]
    if whose == "installed" or top in _WELL_KNOWN:
        return _version(top)
    file = Path(getattr(sys.modules.get(str(module)), "__file__", None) or "")
    if whose == "user" and file.suffix in (".so", ".pyd") and file.is_file():
        return hashlib.sha256(file.read_bytes()).hexdigest()
    return ""


@cache
def _version(package: str) -> str:
    if version := getattr(sys.modules.get(package), "__version__", None):
        return str(version)
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _whose(module: str | None) -> Literal["library", "installed", "user"]:
    """Tell whether a module is a known library, another installed one, or the user's own."""
    if module == "__main__":  # such as a notebook, whatever runs it
        return "user"
    top = str(module).partition(".")[0]
    if top in _LIBRARIES | _WELL_KNOWN or top in sys.builtin_module_names:
        return "library"
    return _whose_file(Path(getattr(sys.modules.get(str(module)), "__file__", None) or ""))


def _whose_file(file: Path) -> Literal["library", "installed", "user"]:
    if {"site-packages", "dist-packages"} & set(file.parts):
        return "installed"
    return "library" if _STANDARD in file.parents else "user"
