"""The activations that can be plotted and compared, by name: ``"leaky_relu:0.2"``.

A spec is a name and, after colons, its parameters; those left out take their defaults.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from leakyrelu._errors import InputError
from leakyrelu._functions import (
    leaky_relu,
    leaky_relu_derivative,
    relu,
    relu_derivative,
    rrelu,
    rrelu_derivative,
)

if TYPE_CHECKING:
    import torch

__all__ = ["KINDS", "Activation", "Kind", "parse"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Kind:
    """What all activations of one name share.

    Attributes
    ----------
    parameters : dict of str to float
        Each parameter of the spec, in order, with its default.
    value, derivative : callable
        ``f(x, *parameters)`` and ``f'(x, *parameters)`` for a float64 array.
    torch_class : str
        The class of `torch.nn`, called with the parameters.
    """

    parameters: dict[str, float]
    value: Callable[..., Array]
    derivative: Callable[..., Array]
    torch_class: str


def _normal_density(x: Array) -> Array:
    x = np.minimum(np.abs(x), 40)  # it is 0 beyond, where the square would overflow
    return np.asarray(np.exp(-x * x / 2) / math.sqrt(2 * math.pi))


def _normal_probability(x: Array) -> Array:
    probability = np.vectorize(lambda z: math.erfc(-z / math.sqrt(2)) / 2, otypes=[float])
    return np.asarray(probability(x), dtype=np.float64)


def _sigmoid(x: Array) -> Array:
    return 0.5 * (1 + np.tanh(x / 2))


KINDS: dict[str, Kind] = {
    "relu": Kind({}, relu, relu_derivative, "ReLU"),
    "leaky_relu": Kind({"negative_slope": 0.01}, leaky_relu, leaky_relu_derivative, "LeakyReLU"),
    "prelu": Kind({"init": 0.25}, leaky_relu, leaky_relu_derivative, "PReLU"),
    "rrelu": Kind({"lower": 1 / 8, "upper": 1 / 3}, rrelu, rrelu_derivative, "RReLU"),
    "elu": Kind(
        {"alpha": 1.0},
        lambda x, alpha: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))),
        lambda x, alpha: np.where(x > 0, 1.0, alpha * np.exp(np.minimum(x, 0))),
        "ELU",
    ),
    "gelu": Kind(
        {},
        lambda x: x * _normal_probability(x),
        lambda x: _normal_probability(x) + x * _normal_density(x),
        "GELU",
    ),
    "silu": Kind(
        {},
        lambda x: x * _sigmoid(x),
        lambda x: _sigmoid(x) * (1 + x * (1 - _sigmoid(x))),
        "SiLU",
    ),
}


class Activation(str):
    """One activation with its parameters; make it with `parse`.

    As text it is its spec, with the parameters that are defaults left out.

    Attributes
    ----------
    name : str
        A key of `KINDS`.
    parameters : tuple of float
        The parameters of the spec, in the order of ``KINDS[name].parameters``.

    Examples
    --------
    >>> ", ".join(map(parse, ["leaky_relu", "relu", "prelu:0.25"]))
    'leaky_relu:0.01, relu, prelu'
    """

    name: str
    parameters: tuple[float, ...]

    def __new__(cls, name: str, parameters: tuple[float, ...] = ()) -> Activation:
        """Make the activation of a name of `KINDS`, with all of its parameters."""
        is_default = parameters == tuple(KINDS[name].parameters.values())
        if is_default and name != "leaky_relu":  # its slope is what people ask about
            spec = name
        else:
            spec = ":".join([name, *(repr(value).removesuffix(".0") for value in parameters)])
        self = super().__new__(cls, spec)
        self.name, self.parameters = name, parameters
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return Activation, (self.name, self.parameters)

    def __repr__(self) -> str:
        return f"Activation(name={self.name!r}, parameters={self.parameters!r})"

    @property
    def spec(self) -> str:
        """Its text, which `parse` turns into this activation."""
        return str(self)

    def value(self, x: npt.ArrayLike) -> Array:
        """Return the activation of each element of `x`, in float64."""
        return KINDS[self.name].value(np.asarray(x, dtype=np.float64), *self.parameters)

    def derivative(self, x: npt.ArrayLike) -> Array:
        """Return the derivative at each element of `x`, in float64."""
        return KINDS[self.name].derivative(np.asarray(x, dtype=np.float64), *self.parameters)

    @cached_property
    def gain(self) -> float:
        r"""The factor on initial weights that keeps the scale of activations from layer to layer.

        .. math:: g = 1 / \sqrt{E[f(z)^2]}, \quad z \sim N(0, 1)

        For the Leaky ReLU family this is :math:`\sqrt{2 / (1 + a^2)}`, He et al. 2015; the
        others follow from the same requirement. For RReLU the expectation is over its
        random slope too.

        Examples
        --------
        >>> round(parse("relu").gain**2, 6), round(parse("elu").gain, 3)
        (2.0, 1.245)
        """
        if self.name == "rrelu":
            lower, upper = self.parameters
            mean_square_slope = (lower * lower + lower * upper + upper * upper) / 3
            return math.sqrt(2 / (1 + mean_square_slope))
        z = np.linspace(-12, 12, 24001)
        second_moment = np.trapezoid(self.value(z) ** 2 * _normal_density(z), z)
        return float(1 / math.sqrt(second_moment))

    @property
    def can_die(self) -> bool:
        """Whether a unit whose inputs are all negative gets no gradient, as with ReLU."""
        return self.name == "relu" or (self.name == "leaky_relu" and self.parameters == (0.0,))

    def module(self) -> torch.nn.Module:
        """Return a new `torch.nn` module that computes this activation."""
        import torch

        kind = KINDS[self.name]
        if self.name == "prelu":
            return torch.nn.PReLU(init=self.parameters[0])
        module: torch.nn.Module = getattr(torch.nn, kind.torch_class)(*self.parameters)
        return module

    @property
    def code(self) -> str:
        """The Python expression that makes the `torch.nn` module.

        Examples
        --------
        >>> parse("leaky_relu:0.2").code
        'torch.nn.LeakyReLU(negative_slope=0.2)'
        """
        kind = KINDS[self.name]
        arguments = (
            f"{name}={value!r}"
            for name, value in zip(kind.parameters, self.parameters, strict=True)
        )
        return f"torch.nn.{kind.torch_class}({', '.join(arguments)})"


def parse(spec: str | Activation) -> Activation:
    """Turn a spec such as ``"leaky_relu:0.2"`` into an `Activation`.

    Parameters
    ----------
    spec : str or Activation
        A name of `KINDS`, then its parameters after colons. An `Activation` is returned
        as it is.

    Returns
    -------
    Activation

    Raises
    ------
    InputError
        If the name is unknown, there are too many parameters, or one is not a number.

    Examples
    --------
    >>> parse("rrelu:0.1:0.3")
    Activation(name='rrelu', parameters=(0.1, 0.3))
    >>> parse("leaky_rely:0.2")
    Traceback (most recent call last):
    ...
    leakyrelu.InputError: unknown activation 'leaky_rely': did you mean 'leaky_relu'? ...silu
    """
    if isinstance(spec, Activation):
        return spec
    name, *given = str(spec).strip().split(":")
    if name not in KINDS:
        nearest = difflib.get_close_matches(name.lower().replace("-", "_"), KINDS, n=1, cutoff=0.4)
        hint = f": did you mean {nearest[0]!r}?" if nearest else "."
        raise InputError(f"unknown activation {name!r}{hint} Known are {', '.join(KINDS)}")
    defaults = KINDS[name].parameters
    if len(given) > len(defaults):
        takes = ":".join([name, *defaults]) if defaults else f"{name} alone"
        raise InputError(f"{spec!r} has {len(given)} parameters, but the form is {takes}")
    try:
        values = [float(text) for text in given]
    except ValueError:
        values = [math.nan]
    if not all(map(math.isfinite, values)):
        raise InputError(f"the parameters of {spec!r} must be finite numbers, as in leaky_relu:0.2")
    parameters = (*values, *list(defaults.values())[len(values) :])
    if name == "rrelu" and parameters[0] > parameters[1]:
        raise InputError(f"{spec!r}: lower must not be above upper, as in rrelu:0.125:0.333")
    return Activation(name, parameters)
