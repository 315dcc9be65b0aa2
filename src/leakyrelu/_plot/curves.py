"""The points `plot` draws: value and derivative of a spec, a module or any function."""

from __future__ import annotations

import copy
import functools
import itertools
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from leakyrelu._errors import InputError
from leakyrelu.activations import Activation, parse

if TYPE_CHECKING:
    import torch

__all__ = ["LARGEST", "SMALLEST", "Curve", "curves"]

Array = npt.NDArray[np.float64]
Call = Callable[[Array], Any]

# Beyond these, matplotlib's transformations overflow, or it takes the axes for empty.
LARGEST, SMALLEST = 1e300, 1e-280
INTERVALS = 400  # on each side of 0, less than a pixel each


@dataclass(frozen=True)
class Curve:
    """The points of a function and of its derivative; NaN where the line breaks."""

    label: str
    value: tuple[Array, Array]
    derivative: tuple[Array, Array]


@dataclass(frozen=True)
class _Function:
    """A function of arrays; without a `derivative`, finite differences are used."""

    label: str
    value: Call
    derivative: Call | None
    precision: Any  # the numpy.finfo or torch.finfo of the numbers it computes with


def curves(activations: Any, limit: float) -> list[Curve]:
    """Return what `leakyrelu.plot` draws from ``-limit`` to `limit`."""
    half = np.linspace(0, limit, INTERVALS + 1)
    x = np.concatenate([-half[:0:-1], half])
    drawn, seen = [], Counter[str]()
    # Values that are not finite are not drawn, and what a function takes is found by trying.
    with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
        for label, given in _labelled(activations):
            for function in _functions(label, given, x):
                seen[function.label] += 1
                times = seen[function.label]
                unique = function.label if times == 1 else f"{function.label} {times}"
                drawn.append(Curve(unique, *_lines(function, x)))
    if not drawn:
        raise InputError("no activation given to plot; name at least one, such as leaky_relu:0.1")
    return drawn


def _labelled(activations: Any) -> list[tuple[str, Any]]:
    """Return each activation once, with the label the user gave, or an empty one."""
    if isinstance(activations, Mapping):
        return [(str(label), given) for label, given in activations.items()]
    alone = isinstance(activations, str) or callable(activations)  # though it may be iterable
    if alone or not isinstance(activations, Iterable):
        activations = [activations]
    chosen: list[Any] = []
    for given in activations:
        one = parse(given) if isinstance(given, str) else given
        if one not in chosen:
            chosen.append(one)
    return [("", given) for given in chosen]


def _functions(label: str, given: Any, x: Array) -> Iterator[_Function]:
    """Yield the function, or one for each slope of a PReLU."""
    if isinstance(given, str):
        given = parse(given)
    if isinstance(given, Activation):
        yield _Function(label or given.spec, given.value, given.derivative, np.finfo(float))
        return
    if not callable(given):
        raise TypeError(
            "plot takes specs such as leaky_relu:0.1, torch modules and functions, but was given "
            f"{_short(repr(given))}"
        )
    torch = _torch()
    if torch and isinstance(given, type) and issubclass(given, torch.nn.Module):
        try:
            given = given()
        except Exception as error:
            raise InputError(
                f"{given.__name__} can't be made without arguments; give a module, not its class"
            ) from error
    label = label or _name(given)
    if torch and isinstance(given, torch.nn.PReLU) and given.num_parameters > 1:
        for i, slope in enumerate(given.weight.tolist()):
            one = torch.nn.PReLU(init=slope).to(given.weight)
            yield _tried(f"{label}[{i}]", one, x)
    else:
        yield _tried(label, given, x)


def _torch() -> Any:
    """Return torch if it is imported; otherwise no input can be one of its objects."""
    return sys.modules.get("torch")


def _name(given: Any) -> str:
    if (torch := _torch()) and isinstance(given, torch.nn.Module):
        return _short(repr(given))
    if isinstance(given, functools.partial):
        arguments = [repr(value) for value in given.args]
        arguments += [f"{name}={value!r}" for name, value in given.keywords.items()]
        return _short(f"{_name(given.func)}({', '.join(arguments)})")
    name: str = getattr(given, "__name__", type(given).__name__)
    return name.replace("<lambda>", "lambda")


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def _tried(label: str, given: Any, x: Array) -> _Function:
    """Find out what the function takes: arrays, tensors or single numbers."""
    failures = []
    for call, gradient, precision in _ways(label, given):
        try:
            found = call(x)
        except Exception as error:  # the user's function may raise anything
            failures.append(error)
            continue
        value = functools.partial(_numbers, label, call)
        precision = precision or _precision(found)
        _check(label, value, precision, x)
        derivative = None
        if gradient is not None:
            with suppress(RuntimeError):  # autograd can't differentiate it
                gradient(x)
                derivative = functools.partial(_numbers, label, gradient)
        return _Function(label, value, derivative, precision)
    # An error about the type says the least: the function may take another one.
    of_type = TypeError, AttributeError
    telling = [e for e in failures if not isinstance(e, of_type) and "ambiguous" not in str(e)]
    raise _failed(label, (telling or failures)[0])


def _failed(label: str, error: Exception) -> InputError:
    told = " ".join(f"{type(error).__name__}: {error}".split())
    return InputError(f"{label} can't be drawn: for an array of numbers it raises {told}")


def _ways(label: str, given: Any) -> Iterator[tuple[Call, Call | None, Any]]:
    """Yield ways to call a function, each with its derivative and precision, if known."""
    torch = _torch()
    if torch and isinstance(given, torch.nn.Module):
        try:
            with torch.inference_mode(False):
                module = copy.deepcopy(given).eval()  # the user's stays unchanged
        except Exception as error:
            raise InputError(f"{label} can't be drawn, as it can't be copied: {error}") from error
        tensors = itertools.chain(module.parameters(), module.buffers())
        own = next((tensor for tensor in tensors if tensor.is_floating_point()), None)
        if own is not None:
            yield _of_tensors(module, own.dtype, own.device)
        else:
            yield _of_tensors(module, torch.float64)
            yield _of_tensors(module, torch.float32)
        return
    yield lambda x: given(x.copy()), None, None
    yield lambda x: [given(number) for number in x.tolist()], None, None
    if torch:
        yield _of_tensors(given, torch.float64)
        yield _of_tensors(given, torch.float32)


def _of_tensors(
    function: Callable[[torch.Tensor], Any],
    dtype: torch.dtype,
    device: torch.device | None = None,
) -> tuple[Call, Call, Any]:
    import torch

    def computed(x: Array, is_derivative: bool) -> Any:
        """Enable gradients whatever the caller's mode, and keep the state of the generators."""
        devices = [device] if device is not None and device.type == "cuda" else []
        with torch.inference_mode(False), torch.enable_grad(), torch.random.fork_rng(devices):
            leaf = torch.tensor(x, dtype=dtype, device=device, requires_grad=True)
            y = function(leaf.clone())  # a leaf can't be changed in place
            if not is_derivative:
                return y
            return torch.autograd.grad(y, leaf, torch.ones_like(y), materialize_grads=True)[0]

    value, derivative = (functools.partial(computed, is_derivative=d) for d in (False, True))
    return value, derivative, torch.finfo(dtype)


def _precision(found: Any) -> Any:
    dtype = getattr(found, "dtype", None)
    if (torch := _torch()) and isinstance(dtype, torch.dtype):
        return torch.finfo(dtype if dtype.is_floating_point else torch.float64)
    if isinstance(dtype, np.dtype) and dtype.kind == "V":  # of ml_dtypes, as bfloat16
        return np.finfo(np.float16)
    narrow = isinstance(dtype, np.dtype) and dtype.kind == "f" and dtype.itemsize < 8
    return np.finfo(dtype if narrow else np.float64)


def _numbers(label: str, call: Call, x: Array) -> Array:
    """Call the function; refuse a result that is not an array of numbers in the shape of `x`."""
    try:
        found = call(x)
    except Exception as error:
        raise _failed(label, error) from error
    kind = type(found).__name__
    try:
        if (torch := _torch()) and isinstance(found, torch.Tensor):
            found = found.detach().cpu()
            found = found if found.is_complex() else found.double()
        array = np.asarray(found)
        if array.dtype.kind == "c":
            kind = "complex numbers"
        if array.dtype.kind == "O":
            array = np.vectorize(float, otypes=[float])(array)
        if array.dtype.kind not in "biufV":  # V: 16-bit floats of ml_dtypes
            raise TypeError(f"dtype {array.dtype}")
        array = array.astype(np.float64)
    except Exception as error:
        raise InputError(f"{label} returns {kind}, but must return real numbers") from error
    if array.shape != x.shape:
        raise InputError(
            f"{label} is not elementwise: for {x.size} numbers it returns an array of shape "
            f"{array.shape}"
        )
    return array


def _check(label: str, value: Call, precision: Any, x: Array) -> None:
    """Refuse values that depend on other elements or on chance, and a limit out of range."""
    least, most = float(precision.tiny) * INTERVALS, float(precision.max)
    if not least <= x[-1] <= most:
        raise InputError(
            f"{label} computes in {precision.dtype}: limit must be from {least:.1e} to "
            f"{most:.1e}, but is {x[-1]:g}"
        )
    y = value(x)
    some = slice(-20, 50, -3)
    near = 8 * float(precision.eps) * np.abs(y[np.isfinite(y)]).max(initial=0)
    if not np.allclose(y[some], value(x[some].copy()), rtol=1e-6, atol=near, equal_nan=True):
        raise InputError(
            f"{label} is not elementwise: the value for a number depends on the other numbers, or "
            "on chance"
        )


def _lines(function: _Function, x: Array) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    label, limit = function.label, x[-1]
    value = _line(label, function.value, x, function.value(x), limit * 2.0**-30)
    if function.derivative is not None:
        slopes = function.derivative(x)
        slopes[np.isinf(slopes)] = np.nan
        return value, _line(label, function.derivative, x, slopes, limit * 2.0**-30)
    step = _step(function, limit, value[1])
    differences = functools.partial(_differences, function, step, limit)
    slopes = differences(x)
    size = np.pad(np.abs(slopes), 1)
    slopes[size[1:-1] > 100 * np.fmax(size[:-2], size[2:])] = np.nan  # vertical, like cbrt at 0
    return value, _line(label, differences, x, slopes, 8 * step)


def _step(function: _Function, limit: float, y: Array) -> float:
    """How far apart points must be for their difference to show the slope despite rounding."""
    if function.precision.bits < 32:
        raise InputError(
            f"{function.label} computes in 16 bits, too coarse to see its slope; draw it in "
            "float32 or float64"
        )
    eps = float(function.precision.eps)
    rounding = eps * np.nanmax(np.abs(y))
    range_of_y = np.nanmax(y) - np.nanmin(y)
    if range_of_y < 1e4 * rounding and limit < 1e-6:
        raise InputError(
            f"{function.label} hardly changes between {-limit:g} and {limit:g}; raise the limit"
        )
    told_from_rounding = 1e3 * rounding / range_of_y if range_of_y > 0 else 0
    least = max(eps**0.6, 2 * float(function.precision.tiny) / limit)
    return float(limit * np.clip(told_from_rounding, least, 0.1))


def _differences(function: _Function, step: float, limit: float, x: Array) -> Array:
    """Return one-sided slopes at each point, so that corners and jumps there don't count."""
    places = [np.clip(x + k * step, -limit, limit) for k in (-2, -1, 1, 2)]
    if function.precision.bits < 64:  # use points that it can represent
        places = [place.astype(np.float32).astype(np.float64) for place in places]
    y = [function.value(place) for place in places]
    before = (y[1] - y[0]) / (places[1] - places[0])
    after = (y[3] - y[2]) / (places[3] - places[2])
    flatter = np.where((np.abs(after) < np.abs(before)) | np.isnan(before), after, before)
    near = np.nanmax(np.abs(flatter), initial=0) / 100
    smooth = np.isclose(before, after, rtol=0.01, atol=near)
    slopes: Array = np.where(smooth, (before + after) / 2, flatter)
    slopes[np.isnan(y).any(axis=0)] = np.nan
    return slopes


def _line(label: str, function: Call, x: Array, y: Array, finest: float) -> tuple[Array, Array]:
    """Return the points to join, with NaN where the function jumps.

    It jumps between neighbours that differ visibly if most of the difference remains in a part of
    the interval no wider than `finest`.
    """
    if np.any(np.abs(y[[0, -1]]) > LARGEST):
        raise InputError(f"{label} exceeds {LARGEST:g}, which can't be drawn; lower the limit")
    y[~(np.abs(y) <= LARGEST)] = np.nan
    if np.isfinite(y).sum() < 2:
        raise InputError(f"{label} is finite nowhere between {-x[-1]:g} and {x[-1]:g}")
    height = np.nanmax(np.abs(y))
    if 0 < height < SMALLEST * 1e-5:
        raise InputError(f"{label} is below {height:g}, which can't be drawn; raise the limit")
    difference = np.abs(np.diff(y))
    at = np.flatnonzero(difference > height / 100)
    left, right, low, high = x[at], x[at + 1], y[at], y[at + 1]
    while at.size and np.max(right - left) > finest:
        middle = left + (right - left) / 2
        between = function(middle)
        is_left = np.abs(between - low) > np.abs(high - between)
        left, low = np.where(is_left, left, middle), np.where(is_left, low, between)
        right, high = np.where(is_left, middle, right), np.where(is_left, between, high)
    jumps = at[np.abs(high - low) > difference[at] / 2]
    if jumps.size > x.size / 10:  # too many to be seen as jumps
        return x, y
    y[np.intersect1d(jumps, jumps + 1)] = np.nan  # a point between two jumps, like sign(0)
    return np.insert(x, jumps + 1, x[jumps]), np.insert(y, jumps + 1, np.nan)
