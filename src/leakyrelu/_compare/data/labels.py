"""Activations by any name: those that are known, however spelled, and those that are not."""

from __future__ import annotations

import re
from typing import Any

from leakyrelu._errors import InputError
from leakyrelu.activations import KINDS, Activation, parse

__all__ = ["Label", "named"]

MODULES = {str(kind.module).lower(): name for name, kind in KINDS.items() if not kind.options} | {
    "swish": "silu"
}


class Label(Activation):
    """An activation that is known by its name alone."""

    def __new__(cls, text: str) -> Label:
        """Take the name as it is written."""
        self = str.__new__(cls, text)
        self.name, self.parameters = text, ()
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return Label, (str(self),)

    @property
    def can_die(self) -> bool:
        """Nobody knows."""
        return False

    @property
    def code(self) -> str:
        """None is known."""
        return ""


def named(text: str) -> Activation:
    """Return an activation that is known, however it is spelled, else its name.

    The slope of a leaky ReLU differs among libraries, so it has to be told.

    Examples
    --------
    >>> [str(named(text)) for text in ("ReLU", "nn.GELU()", "LeakyReLU(negative_slope=0.2)")]
    ['relu', 'gelu', 'leaky_relu:0.2']
    >>> [str(named(text)) for text in ("Swish", "LeakyReLU", "my act")]
    ['silu', 'LeakyReLU', 'my act']
    """
    if ":" in text and text.strip() in KINDS:  # one of a user's own
        return parse(text)
    plain = re.sub(r"^(torch\.)?nn\.", "", text.strip().lower())
    call = re.fullmatch(r"([\w. -]+?)\((.*)\)", plain)
    if call:
        parts = [part for part in call[2].split(",") if "inplace" not in part]
        given = [part.partition("=")[2] or part for part in parts]
        plain = ":".join([call[1], *filter(None, map(str.strip, given))])
    name, *parameters = plain.split(":")
    name = re.sub(r"[\s-]+", "_", name.strip())
    name = MODULES.get(name.replace("_", ""), name)
    if name not in KINDS:  # nothing that a table names is imported
        return Label(text.strip())
    try:
        found = parse(":".join([name, *parameters]))
    except InputError:
        return Label(text.strip())
    return Label(text.strip()) if name == "leaky_relu" and not parameters else found
