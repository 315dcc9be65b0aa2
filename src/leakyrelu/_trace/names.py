"""The names of layers: the module that makes a call, and which of its calls it is."""

from __future__ import annotations

__all__ = ["layer_name", "path_and_number", "path_of"]


def layer_name(path: str, number: int = 1) -> str:
    """Name the layer that is this call, counted from 1, in the module of this path."""
    return (path or "(model)") + (f" #{number}" if number > 1 else "")


def path_and_number(layer: str) -> tuple[str, int]:
    """Return what `layer_name` was given; the model itself stays ``(model)``."""
    path, _, number = layer.partition(" #")
    return path, int(number or 1)


def path_of(layer: str) -> str:
    """Return the path of the module that makes the call."""
    return path_and_number(layer)[0]
