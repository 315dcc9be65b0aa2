"""Reading the source of a function: what its names stand for, and compiling it changed."""

from __future__ import annotations
import __future__

import ast
import builtins
import functools
import inspect
import itertools
import linecache
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType, FunctionType, ModuleType
from typing import Any

__all__ = ["Source"]

_NUMBERS = itertools.count(1)
_FUTURE = sum(getattr(__future__, name).compiler_flag for name in __future__.all_feature_names)


@dataclass(frozen=True)
class Source:
    """The source of a function.

    Attributes
    ----------
    function : function
        What it is the source of.
    tree : ast.FunctionDef
        Its syntax tree.
    """

    function: FunctionType
    tree: ast.FunctionDef

    @classmethod
    def of(cls, function: FunctionType) -> Source | None:
        """Read it, or return None if it is not at hand or not what the function was made of."""
        try:
            text = "".join(inspect.getsourcelines(function)[0])
            # With an "if" above, that of a method can stay indented.
            statement = ast.parse("if True:\n" + text if text[0].isspace() else text).body[0]
        except (OSError, TypeError, SyntaxError):
            return None
        tree = statement.body[0] if isinstance(statement, ast.If) else statement
        if not isinstance(tree, ast.FunctionDef) or tree.name != function.__code__.co_name:
            return None
        tree.decorator_list = []
        source = cls(function, tree)
        has_changed = _fingerprint(source._compile(tree)) != _fingerprint(function.__code__)
        return None if has_changed else source  # the file, since it was imported

    @functools.cached_property
    def calls(self) -> list[ast.Call]:
        """All calls, in the order of `ast.walk`."""
        return calls_in(self.tree)

    @property
    def first_argument(self) -> str | None:
        """The name of the first argument: ``self`` in a method."""
        arguments = self.tree.args.posonlyargs + self.tree.args.args
        return arguments[0].arg if arguments else None

    def meaning(self, node: ast.AST) -> Any:
        """Return the object that a dotted name refers to, or None if only running it could tell."""
        code = self.function.__code__
        if isinstance(node, ast.Attribute):
            owner = self.meaning(node.value)
            is_fixed = isinstance(owner, ModuleType | type)
            return getattr(owner, node.attr, None) if is_fixed else None
        if not isinstance(node, ast.Name) or node.id in code.co_varnames + code.co_cellvars:
            return None
        if node.id in code.co_freevars:
            cell = (self.function.__closure__ or ())[code.co_freevars.index(node.id)]
            try:
                return cell.cell_contents
            except ValueError:  # nothing is in it yet
                return None
        return self.function.__globals__.get(node.id, getattr(builtins, node.id, None))

    def compiled_as(self, tree: ast.FunctionDef) -> FunctionType:
        """Return the function as it would be with this tree for its source.

        The source is shown in tracebacks and by `inspect.getsource`, and TorchScript reads it.
        """
        was, text = self.function, ast.unparse(tree)
        file = f"<{was.__qualname__} with modules for calls, {next(_NUMBERS)}>"
        linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
        rewritten = ast.parse(text).body[0]
        assert isinstance(rewritten, ast.FunctionDef)
        code = self._compile(rewritten, file)
        cells = dict(zip(was.__code__.co_freevars, was.__closure__ or (), strict=True))
        closure = tuple(cells[name] for name in code.co_freevars)
        function = FunctionType(code, was.__globals__, was.__name__, was.__defaults__, closure)
        function.__kwdefaults__ = was.__kwdefaults__
        functools.update_wrapper(function, was)
        del function.__wrapped__  # type: ignore[attr-defined]  # it is no wrapper
        return function

    def _compile(self, tree: ast.FunctionDef, file: str = "") -> CodeType:
        """Compile it where it stood: in its class, for private names, and amid its variables."""
        was = self.function.__code__
        owner = [
            name for name in self.function.__qualname__.split(".")[-2:-1] if name != "<locals>"
        ]
        variables = ", ".join(name for name in was.co_freevars if name != "__class__")
        module = ast.parse(f"def around({variables}): pass")
        around = module.body[0]
        assert isinstance(around, ast.FunctionDef)
        around.body = [tree]
        if owner:
            scope = ast.parse(f"class {owner[0]}: pass").body[0]
            assert isinstance(scope, ast.ClassDef)
            scope.body = [tree]
            around.body = [scope]
        flags = was.co_flags & _FUTURE
        code: CodeType = compile(module, file, "exec", flags, dont_inherit=True)
        for name in ("around", *owner, was.co_name):
            code = next(inner for inner in _codes_in(code) if inner.co_name == name)
        return code


def _codes_in(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes_in(constant)


def _fingerprint(code: CodeType) -> object:
    # Not the instructions themselves, which differ by what else is in the file.
    constants = {
        repr(constant) for constant in code.co_consts if not isinstance(constant, CodeType)
    }
    return set(code.co_names), code.co_varnames, constants


def calls_in(tree: ast.AST) -> list[ast.Call]:
    """Return all calls, in the order of `ast.walk`."""
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
