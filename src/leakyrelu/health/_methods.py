"""Models that are run by other methods than ``forward``."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from torch import nn

from leakyrelu._errors import InputError

__all__ = ["around", "check_methods", "method_running", "on_first_call"]


def check_methods(model: nn.Module, methods: Sequence[str]) -> None:
    """Refuse names that are no methods of the model."""
    if isinstance(methods, str):
        raise InputError(f"methods must be a list of names, such as [{methods!r}]")
    for name in methods:
        if not callable(_owner(model, name)[1]):
            raise InputError(f"model has no method {name!r}, as methods= says")


def _owner(model: nn.Module, name: str) -> tuple[Any, Any]:
    """Return what has the method of a dotted name, and the method."""
    *path, own = name.split(".")
    owner: Any = model
    for part in path:
        owner = getattr(owner, part, None)
    return owner, getattr(owner, own, None)


def around(
    model: nn.Module,
    name: str,
    before: Callable[[tuple[Any, ...], dict[str, Any]], None],
    after: Callable[[Any], None],
) -> Callable[[], None]:
    """Call functions before and after a method; return one that undoes it."""
    owner, method = _owner(model, name)
    own = name.rpartition(".")[2]
    had = vars(owner).get(own)

    @functools.wraps(method)
    def watched(*args: Any, **kwargs: Any) -> Any:
        before(args, kwargs)
        output = None
        try:
            output = method(*args, **kwargs)
            return output
        finally:
            after(output)

    def undo() -> None:
        if had is None:
            vars(owner).pop(own, None)
        else:
            vars(owner)[own] = had

    vars(owner)[own] = watched
    return undo


def on_first_call(model: nn.Module, call: Callable[[], None]) -> ExitStack:
    """Call a function whenever a part of the model runs, until the stack is closed."""
    hooks = ExitStack()
    for path, module in model.named_modules():
        # Compiled modules take no hooks.
        if path and not any(cls.__name__ == "ScriptModule" for cls in type(module).__mro__):
            hooks.callback(module.register_forward_pre_hook(lambda *_: call()).remove)
    return hooks


def method_running(model: nn.Module) -> str:
    """Return the name of the method of the model that runs its parts; empty if none does."""
    found: list[str] = []  # the innermost first
    frame: Any = sys._getframe(1)
    while frame is not None:
        names = frame.f_code.co_varnames[:1]
        if names and frame.f_locals.get(names[0]) is model:
            found.append(frame.f_code.co_name)
        frame = frame.f_back
    return "forward" if "forward" in found else next(iter(found), "")
