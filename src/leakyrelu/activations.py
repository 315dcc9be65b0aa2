"""The activations by name, as in ``"leaky_relu:0.2"``.

A spec is a name and, after colons, its parameters; those left out take their defaults. One
table, `KINDS`, has all that is known of each. What is in it can be plotted, compared, seen by
`leakyrelu.examine` and replaced by `leakyrelu.replace`: a new activation is a new entry.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from leakyrelu._errors import InputError
from leakyrelu._functions import (
    leaky_relu,
    leaky_relu2,
    leaky_relu_derivative,
    relu,
    relu2,
    relu_derivative,
    rrelu,
    rrelu_derivative,
)

if TYPE_CHECKING:
    import torch

__all__ = ["KINDS", "OTHERS", "Activation", "Kind", "parse"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Kind:
    """What all activations of one name share: an entry of `KINDS`.

    Modules and functions are given by their names in PyTorch, which need not be installed. The
    functions of ``"relu"`` are `torch.nn.functional.relu`, `torch.relu`, `torch.Tensor.relu` and
    those with ``_`` at the end.

    Attributes
    ----------
    module : str or callable
        The class of `torch.nn` that computes it, called with the parameters; of a user's own, the
        class or function itself.
    value, derivative : callable
        ``f(x, *parameters)`` and ``f'(x, *parameters)`` for a float64 array.
    parameters : dict of str to float
        Each parameter of the spec, in order, with its default.
    gain : callable, optional
        ``gain(*parameters)``; see `Activation.gain`, which integrates if there is none.
    complaint : callable, optional
        ``complaint(*parameters)``: what is wrong with the parameters, empty if nothing is.
    is_learned : bool
        Whether training changes the parameters. Then its functions are called with parameters
        that the model owns, and `leakyrelu.replace` leaves these calls as they are.
    is_ours : bool
        Whether that class is one of `leakyrelu.nn`, as PyTorch has none.
    is_gate : bool
        Whether models use it for other ends too: as a gate, for an output, in arithmetic. Then
        `leakyrelu.examine` does not look for it, and `leakyrelu.replace` leaves a module of it
        unless `where` has its very name.
    options : dict of str to str
        Further arguments of the class.
    other_modules : tuple of str
        Classes that are treated alike: `leakyrelu.examine` sees them, `leakyrelu.replace`
        replaces them.
    other_calls : tuple of str
        Functions that are treated alike, besides those of its own name.
    modules_if_min_is_0, calls_if_min_is_0 : tuple of str
        Classes and functions that are treated alike if their lower bound is 0.
    """

    module: str | Callable[..., Any]
    value: Callable[..., Array]
    derivative: Callable[..., Array]
    parameters: dict[str, float] = field(default_factory=dict)
    gain: Callable[..., float] | None = None
    complaint: Callable[..., str] | None = None
    is_learned: bool = False
    is_ours: bool = False
    is_gate: bool = False
    options: dict[str, str] = field(default_factory=dict)
    other_modules: tuple[str, ...] = ()
    other_calls: tuple[str, ...] = ()
    modules_if_min_is_0: tuple[str, ...] = ()
    calls_if_min_is_0: tuple[str, ...] = ()


def _normal_density(x: Array) -> Array:
    x = np.minimum(np.abs(x), 40)  # it is 0 beyond, where the square would overflow
    return np.asarray(np.exp(-x * x / 2) / math.sqrt(2 * math.pi))


def _normal_probability(x: Array) -> Array:
    probability = np.vectorize(lambda z: math.erfc(-z / math.sqrt(2)) / 2, otypes=[float])
    return np.asarray(probability(x), dtype=np.float64)


def _sigmoid(x: Array) -> Array:
    return 0.5 * (1 + np.tanh(x / 2))


def _gelu_tanh(x: Array) -> tuple[Array, Array]:
    """Return the tanh in it, and the derivative of its argument."""
    x = np.clip(x, -40, 40)  # it is -1 or 1 beyond, where the cube would overflow
    scale = math.sqrt(2 / math.pi)
    return np.tanh(scale * (x + 0.044715 * x**3)), scale * (1 + 3 * 0.044715 * x**2)


def _gelu_tanh_derivative(x: Array) -> Array:
    tanh, inner = _gelu_tanh(x)
    return np.asarray(0.5 * (1 + tanh) + 0.5 * np.clip(x, -40, 40) * (1 - tanh**2) * inner)


def _mish_derivative(x: Array) -> Array:
    tanh = np.tanh(np.logaddexp(0, x))
    return np.asarray(tanh + x * (1 - tanh**2) * _sigmoid(x))


def _elu(x: Array, alpha: float, decay: float = 1.0) -> Array:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0) / decay))


def _is_between(x: Array, lower: float, upper: float) -> Array:
    return np.where((x > lower) & (x < upper), 1.0, 0.0)


# Klambauer et al. 2017: with these, unit variance is a fixed point.
_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


KINDS: dict[str, Kind] = {
    "relu": Kind(
        "ReLU",
        relu,
        relu_derivative,
        modules_if_min_is_0=("Hardtanh",),
        calls_if_min_is_0=("hardtanh", "hardtanh_", "clamp", "clamp_", "clamp_min", "clamp_min_"),
    ),
    "leaky_relu": Kind("LeakyReLU", leaky_relu, leaky_relu_derivative, {"negative_slope": 0.01}),
    "prelu": Kind("PReLU", leaky_relu, leaky_relu_derivative, {"init": 0.25}, is_learned=True),
    "rrelu": Kind(
        "RReLU",
        rrelu,
        rrelu_derivative,
        {"lower": 1 / 8, "upper": 1 / 3},
        gain=lambda lower, upper: math.sqrt(2 / (1 + (lower**2 + lower * upper + upper**2) / 3)),
        complaint=lambda lower, upper: (
            "lower must not be above upper, as in rrelu:0.125:0.333" if lower > upper else ""
        ),
    ),
    "elu": Kind(
        "ELU",
        _elu,
        lambda x, alpha: np.where(x > 0, 1.0, alpha * np.exp(np.minimum(x, 0))),
        {"alpha": 1.0},
    ),
    "gelu": Kind(
        "GELU",
        lambda x: x * _normal_probability(x),
        lambda x: _normal_probability(x) + x * _normal_density(x),
    ),
    "silu": Kind(
        "SiLU", lambda x: x * _sigmoid(x), lambda x: _sigmoid(x) * (1 + x * (1 - _sigmoid(x)))
    ),
    "relu6": Kind("ReLU6", lambda x: np.clip(x, 0, 6), lambda x: _is_between(x, 0, 6)),
    # So et al. 2021, "Primer".
    "relu2": Kind("ReLU2", relu2, lambda x: np.asarray(2 * relu(x)), is_ours=True),
    "leaky_relu2": Kind(
        "LeakyReLU2",
        leaky_relu2,
        lambda x, slope: 2 * leaky_relu(x, slope * slope),
        {"negative_slope": 0.5},
        is_ours=True,
    ),
    "gelu_tanh": Kind(
        "GELU",
        lambda x: 0.5 * x * (1 + _gelu_tanh(x)[0]),
        _gelu_tanh_derivative,
        options={"approximate": "tanh"},
    ),
    "selu": Kind(
        "SELU",
        lambda x: _SELU_SCALE * _elu(x, _SELU_ALPHA),
        lambda x: _SELU_SCALE * np.where(x > 0, 1.0, _SELU_ALPHA * np.exp(np.minimum(x, 0))),
    ),
    "celu": Kind(
        "CELU",
        lambda x, alpha: _elu(x, alpha, alpha),
        lambda x, alpha: np.where(x > 0, 1.0, np.exp(np.minimum(x, 0) / alpha)),
        {"alpha": 1.0},
        complaint=lambda alpha: "alpha must be above 0" if alpha <= 0 else "",
    ),
    "mish": Kind("Mish", lambda x: x * np.tanh(np.logaddexp(0, x)), _mish_derivative),
    "hardswish": Kind(
        "Hardswish",
        lambda x: x * ((np.clip(x, -3, 3) + 3) / 6),
        lambda x: np.where(x >= 3, 1.0, np.where(x > -3, np.clip(x, -3, 3) / 3 + 0.5, 0.0)),
    ),
    "threshold": Kind(
        "Threshold",
        lambda x, threshold, value: np.asarray(np.where(x > threshold, x, value), dtype=float),
        lambda x, threshold, value: np.where(x > threshold, 1.0, 0.0),
        {"threshold": 0.0, "value": 0.0},
    ),
    "softplus": Kind(
        "Softplus",
        lambda x, beta, threshold: np.where(
            x > threshold / beta, x, np.logaddexp(0, np.minimum(x, threshold / beta) * beta) / beta
        ),
        lambda x, beta, threshold: np.where(
            x > threshold / beta, 1.0, _sigmoid(np.minimum(x, threshold / beta) * beta)
        ),
        {"beta": 1.0, "threshold": 20.0},
        complaint=lambda beta, _: "beta must be above 0" if beta <= 0 else "",
        is_gate=True,
    ),
    "hardtanh": Kind(
        "Hardtanh",
        np.clip,
        _is_between,
        {"min_val": -1.0, "max_val": 1.0},
        complaint=lambda lower, upper: (
            "min_val must be below max_val, as in hardtanh:-1:1" if lower >= upper else ""
        ),
        is_gate=True,
    ),
    "tanh": Kind("Tanh", np.tanh, lambda x: 1 - np.tanh(x) ** 2, is_gate=True),
    "sigmoid": Kind("Sigmoid", _sigmoid, lambda x: _sigmoid(x) * _sigmoid(-x), is_gate=True),
    "hardsigmoid": Kind(
        "Hardsigmoid",
        lambda x: (np.clip(x, -3, 3) + 3) / 6,
        lambda x: _is_between(x, -3, 3) / 6,
        is_gate=True,
    ),
    "softsign": Kind(
        "Softsign",
        lambda x: x / (1 + np.abs(x)),
        lambda x: (1 / (1 + np.abs(x))) ** 2,
        is_gate=True,
    ),
    "abs": Kind("Abs", np.abs, np.sign, is_ours=True, is_gate=True),
    "identity": Kind("Identity", np.array, np.ones_like, is_gate=True),
}

# Other activations of torch.nn: `leakyrelu.replace` names them as left as they are. An entry in
# `KINDS` that is no gate takes a name off this list. A sigmoid or softmax is a gate or an output.
OTHERS = (
    *("GLU", "Hardshrink", "Hardtanh", "LogSigmoid", "Softplus", "Softshrink", "Softsign"),
    *("Tanh", "Tanhshrink"),
)

_NEGATIVE = -np.linspace(0.01, 30, 1000)


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
        return parse, (str(self),)

    def __repr__(self) -> str:
        return f"Activation(name={self.name!r}, parameters={self.parameters!r})"

    @property
    def spec(self) -> str:
        """Its text, which `parse` turns into this activation."""
        return str(self)

    def value(self, x: npt.ArrayLike) -> Array:
        """Return the activation of each element of `x`, in float64."""
        with np.errstate(over="ignore"):  # of a square
            return KINDS[self.name].value(np.asarray(x, dtype=np.float64), *self.parameters)

    def derivative(self, x: npt.ArrayLike) -> Array:
        """Return the derivative at each element of `x`, in float64."""
        with np.errstate(over="ignore"):
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
        if (gain := KINDS[self.name].gain) is not None:
            return gain(*self.parameters)
        z = np.linspace(-12, 12, 24001)
        second_moment = np.trapezoid(self.value(z) ** 2 * _normal_density(z), z)
        if not second_moment > 0:
            raise InputError(f"{self} is 0 for nearly every input, so no network learns with it")
        return float(1 / math.sqrt(second_moment))

    @cached_property
    def blocks_gradient(self) -> bool:
        """Whether no gradient passes where the input is negative, as with ReLU."""
        return not self.derivative(_NEGATIVE).any()

    @cached_property
    def is_leaky(self) -> bool:
        """Whether it is linear for positive inputs and for negative ones, as the Leaky ReLU is.

        Examples
        --------
        >>> [parse(spec).is_leaky for spec in ("relu", "leaky_relu", "prelu", "rrelu", "elu")]
        [True, True, True, True, False]
        """
        x = np.array([-100.0, -1.0, 1.0, 100.0])
        return bool((self.value(2 * x) == 2 * self.value(x)).all())

    @property
    def can_die(self) -> bool:
        """Whether a unit whose inputs are all negative stays so: it gets no gradient.

        A slope that is learned can leave 0 again.

        Examples
        --------
        >>> [parse(spec).can_die for spec in ("relu", "leaky_relu:0", "prelu:0", "leaky_relu")]
        [True, True, False, False]
        """
        return self.blocks_gradient and not KINDS[self.name].is_learned

    @cached_property
    def is_rectifier(self) -> bool:
        """Whether it is 0 for negative inputs and the identity for small positive ones.

        Examples
        --------
        >>> [parse(spec).is_rectifier for spec in ("relu", "relu6", "leaky_relu:0", "relu2")]
        [True, True, True, False]
        """
        x = np.array([0.01, 0.5, 1.0])
        return not self.value(_NEGATIVE).any() and bool((self.value(x) == x).all())

    @property
    def can_saturate(self) -> bool:
        """Whether hardly any gradient passes where the input is large, of either sign.

        Examples
        --------
        >>> [parse(spec).can_saturate for spec in ("tanh", "relu6", "relu", "elu")]
        [True, True, False, False]
        """
        return bool((np.abs(self.derivative([-100.0, 100.0])) < 1e-3).all())

    def module(self) -> torch.nn.Module:
        """Return a new module that computes this activation, of `torch.nn` if that has one."""
        import torch

        from leakyrelu import nn

        kind = KINDS[self.name]
        if not isinstance(kind.module, str):
            return _module_of(kind.module)
        owner: Any = nn if kind.is_ours else torch.nn
        module: torch.nn.Module = getattr(owner, kind.module)(**self._arguments)
        return module

    @property
    def code(self) -> str:
        """The Python expression that makes the module.

        Examples
        --------
        >>> parse("leaky_relu:0.2").code
        'torch.nn.LeakyReLU(negative_slope=0.2)'
        """
        kind = KINDS[self.name]
        if not isinstance(kind.module, str):
            return self.name.replace(":", ".") + ("()" if isinstance(kind.module, type) else "")
        owner = "leakyrelu.nn" if kind.is_ours else "torch.nn"
        arguments = (f"{name}={value!r}" for name, value in self._arguments.items())
        return f"{owner}.{kind.module}({', '.join(arguments)})"

    @property
    def _arguments(self) -> dict[str, float | str]:
        kind = KINDS[self.name]
        return dict(zip(kind.parameters, self.parameters, strict=True)) | kind.options


# --- A user's own --------------------------------------------------------------------------


def _module_of(given: Callable[..., Any]) -> torch.nn.Module:
    from leakyrelu.nn._own import Calls

    module: torch.nn.Module = given() if isinstance(given, type) else Calls(given)
    return module


def _value_of(given: Callable[..., Any], x: Array) -> Array:
    import torch

    with torch.no_grad():
        y = _module_of(given).double().eval()(torch.tensor(x))
    return np.asarray(y.numpy(), dtype=np.float64)


def _derivative_of(given: Callable[..., Any], x: Array) -> Array:
    import torch

    with torch.inference_mode(False), torch.enable_grad():
        leaf = torch.tensor(x, requires_grad=True)
        y = _module_of(given).double().eval()(leaf)
        if not y.requires_grad:
            return np.zeros_like(x)
        return np.asarray(torch.autograd.grad(y.sum(), leaf)[0].numpy(), dtype=np.float64)


def _own(given: Callable[..., Any]) -> Activation:
    """Enter a user's own function, or class of modules, in the table."""
    import torch

    if isinstance(given, torch.nn.Module):
        raise InputError(
            f"an activation is a class of modules, not a module: give {type(given).__name__}, or a "
            "function that makes and calls one"
        )
    if isinstance(given, type) and not issubclass(given, torch.nn.Module):
        raise InputError(f"{given.__name__} is no torch.nn.Module; give one, or a function")
    for known, kind in KINDS.items():
        of_torch = getattr(torch.nn, kind.module, None) if isinstance(kind.module, str) else None
        if given is of_torch and not kind.options:
            return parse(known)
    short = getattr(given, "__qualname__", "<lambda>").removeprefix("_VariableFunctionsClass.")
    if "<lambda>" in short:
        raise InputError("an activation needs a name: write def my_act(x): ..., and give my_act")
    name = f"{getattr(given, '__module__', None) or 'torch'}:{short}"
    x = np.linspace(-3, 3, 7)
    try:
        is_learned = any(True for _ in _module_of(given).parameters())
        y, part, _ = _value_of(given, x), _value_of(given, x[:3]), _derivative_of(given, x)
    except Exception as error:  # whatever the user's own code raises
        told = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"{name} can't be called with a tensor of float64: {told}") from error
    if y.shape != x.shape or not np.array_equal(y[:3], part, equal_nan=True):
        raise InputError(f"{name} is no activation: it doesn't compute each element by itself")
    KINDS[name] = Kind(
        given,
        functools.partial(_value_of, given),
        functools.partial(_derivative_of, given),
        is_learned=is_learned,
        is_gate=True,
    )
    return Activation(name)


def _imported(spec: str) -> Any:
    module, _, path = spec.partition(":")
    try:
        return functools.reduce(getattr, path.split("."), importlib.import_module(module))
    except (ImportError, AttributeError) as error:
        nearest = difflib.get_close_matches(module, KINDS, n=1, cutoff=0.4)
        hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
        raise InputError(f"{spec!r} names no activation: {error}{hint}") from error


def parse(spec: str | Activation | Callable[..., Any]) -> Activation:
    """Turn a spec such as ``"leaky_relu:0.2"`` into an `Activation`.

    Parameters
    ----------
    spec : str, Activation or callable
        A name of `KINDS`, then its parameters after colons. An `Activation` is returned
        as it is. Your own: a function of a tensor or a class of `torch.nn.Module`, or
        ``"my_module:my_act"``, which is imported. It gets an entry in `KINDS`; its gain, and
        whether its units can die, are found numerically.

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
    leakyrelu.InputError: unknown activation 'leaky_rely': did you mean 'leaky_relu'? ...identity
    """
    if isinstance(spec, Activation):
        return spec
    if not isinstance(spec, str) and callable(spec):
        return _own(spec)
    text = str(spec).strip()
    if text in KINDS:
        return Activation(text, tuple(KINDS[text].parameters.values()))
    if text.partition(":")[0] not in KINDS and re.fullmatch(r"[\w.]+:[A-Za-z_][\w.]*", text):
        return _own(_imported(text))
    name, *given = str(spec).strip().split(":")
    if name not in KINDS:
        nearest = difflib.get_close_matches(name.lower().replace("-", "_"), KINDS, n=1, cutoff=0.4)
        hint = f": did you mean {nearest[0]!r}?" if nearest else "."
        raise InputError(f"unknown activation {name!r}{hint} Known are {', '.join(KINDS)}")
    kind = KINDS[name]
    defaults = kind.parameters
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
    if kind.complaint is not None and (complaint := kind.complaint(*parameters)):
        raise InputError(f"{spec!r}: {complaint}")
    return Activation(name, parameters)
