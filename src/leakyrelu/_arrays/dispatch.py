"""Who computes: NumPy's ufunc, or the library that an array belongs to.

NumPy arrays, and whatever speaks NumPy's ufunc protocol (pandas, masked and awkward arrays), go to
a C++ ufunc. Arrays with an Array API namespace (JAX, CuPy) are computed by their own library, so
that ``jit`` and devices work. Other kinds of arrays are registered with `computes`, in `tensors`,
`frames`, `containers` and `sparse` beside this file.
"""

from __future__ import annotations

import difflib
import functools
import sys
import threading
from collections.abc import Callable, Sequence
from types import EllipsisType
from typing import Any

import numpy as np

from leakyrelu._errors import InputError
from leakyrelu._kernels import ufuncs

__all__ = [
    "SQUARED",
    "apply",
    "as_array",
    "check_options",
    "check_real",
    "computes",
    "float_dtype",
    "foreign_dtype",
    "is_number",
    "is_of",
    "is_plain",
    "library_of",
    "must_be_real",
    "not_real",
    "refuse_options",
    "refuse_out",
    "with_numpy",
    "wrong_out",
]

# Functions that are the square of another one.
SQUARED = {ufuncs.relu2: ufuncs.relu, ufuncs.leaky_relu2: ufuncs.leaky_relu}

_ndarray = np.ndarray  # a global is found faster than an attribute
_PLAIN_SCALARS = frozenset({float, int, np.float16, np.float32, np.float64, np.longdouble})

Arguments = Sequence[Any]
Options = dict[str, Any]
# Given a ufunc, its arguments, out= and its other options.
Compute = Callable[[np.ufunc, Arguments, Any, Options], Any]


def is_plain(value: Any) -> bool:
    """Whether the ufunc takes `value` as it is. Kept short: small arrays would feel more checks."""
    if type(value) is _ndarray:
        return value.dtype.kind == "f"  # type: ignore[no-any-return]
    return type(value) in _PLAIN_SCALARS


def apply(ufunc: np.ufunc, arguments: Arguments, out: Any, options: Options) -> Any:
    """Compute `ufunc`, or the same function in the library of one of its arguments."""
    if options:
        check_options(ufunc.__name__, options)
    for value in arguments:
        compute = _home(type(value))  # type: ignore[arg-type]  # a type can be hashed
        if compute is None and library_of(value) is not None:
            compute = _with_array_api
        if compute is not None:
            return compute(ufunc, arguments, out, options)
    compute = None if out is None or library_of(out) is not None else _home(type(out))  # type: ignore[arg-type]
    return (compute or with_numpy)(ufunc, arguments, out, options)


_homes: list[tuple[str, Sequence[str], Compute]] = []


def computes(module: str, *classes: str) -> Callable[[Compute], Compute]:
    """Register the decorated function to compute arrays of these classes."""

    def register(compute: Compute) -> Compute:
        _homes.append((module, classes, compute))
        return compute

    return register


@functools.lru_cache(maxsize=256)
def _home(kind: type) -> Compute | None:
    for name, classes, compute in _homes:
        module = sys.modules.get(name)  # until it is imported, none of its arrays exist
        if module and issubclass(kind, tuple(getattr(module, each, ()) for each in classes)):
            return compute
    return None


def library_of(value: Any) -> Any:
    """Return torch, an Array API namespace, or None for an array that NumPy's ufunc handles."""
    if isinstance(value, (np.ndarray, np.generic, float, int, list, tuple)):
        return None
    if is_of(value, "torch", "Tensor"):
        return sys.modules["torch"]
    if hasattr(value, "__array_namespace__"):
        return value.__array_namespace__()
    return None


def is_of(value: Any, module: str, *classes: str) -> bool:
    """Whether `value` is of one of these classes, without importing their module."""
    loaded = sys.modules.get(module)
    # A module that another thread is still importing may lack them.
    return loaded is not None and isinstance(value, tuple(getattr(loaded, c, ()) for c in classes))


def is_number(value: Any) -> bool:
    """Whether `value` is a Python number: unlike NumPy's, it has no say in the dtype."""
    return isinstance(value, (float, int)) and not isinstance(value, np.generic)


# --- What is refused -----------------------------------------------------------------------

_OPTIONS = ("where", "dtype", "casting", "order", "subok", "signature")
_KEYWORDS = (
    *_OPTIONS,
    "out",
    "negative_slope",
    "weight",
    "axis",
    "lower",
    "upper",
    "training",
    "rng",
)


def check_options(name: str, options: dict[str, Any]) -> None:
    """Raise if an option given to the function `name` is not one of a ufunc."""
    for option in options:
        if option not in _OPTIONS:
            others = [keyword for keyword in _KEYWORDS if keyword != option]
            nearest = difflib.get_close_matches(option, others, n=1)
            hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
            raise TypeError(f"{name}() got an unexpected keyword argument {option!r}{hint}")


def refuse_options(kind: str, options: dict[str, Any]) -> None:
    """Raise if there are ufunc options, for a kind of array that takes none."""
    if options:
        raise TypeError(
            f"{', '.join(f'{option}=' for option in options)} is an option for NumPy arrays, "
            f"but an argument is {kind}; leave the option out"
        )


def refuse_out(library: str, out: Any) -> None:
    """Raise if there is an `out`, for a library whose arrays can't be written to."""
    if out is not None:
        raise TypeError(f"{library} arrays can't be written to with out=; use the returned value")


def wrong_out(expected: str, out: Any) -> TypeError:
    """Return the error for an `out` that is not of the library of the arguments."""
    kind = type(out)
    return TypeError(
        f"out must be {expected}, as the arguments are, but is of type "
        f"{kind.__module__.partition('.')[0]}.{kind.__name__}".replace("builtins.", "")
    )


def foreign_dtype(value: Any) -> str | None:
    """Return the dtype of `value`, or of one of its columns, if it is not of real numbers."""
    if is_number(value):
        return None
    is_frame = hasattr(value, "columns")
    for dtype in list(value.dtypes) if is_frame else [getattr(value, "dtype", None)]:
        if dtype is None or isinstance(dtype, type):
            dtype = as_array(value).dtype
        kind = getattr(dtype, "kind", "f")  # only NumPy's have it; some have is_complex
        if kind == "O" and isinstance(dtype, np.dtype):
            first = next(iter(np.asarray(value).flat), None)
            return f"object ({type(first).__name__})"
        is_small_float = kind == "V" and not issubclass(dtype.type, np.void)  # of ml_dtypes
        if getattr(dtype, "is_complex", False) or not (kind in "biuf" or is_small_float):
            return str(dtype).removeprefix("torch.")
    return None


def not_real(ufunc: np.ufunc, position: int, value: Any) -> TypeError:
    """Return the error for an argument of `ufunc` that is not a real number or array of them."""
    if position > 0 and position == ufunc.nin - 1:
        return TypeError(f"the slope {must_be_real(value)}")
    return TypeError(
        f"{ufunc.__name__} is defined for real numbers, but was given dtype "
        f"{foreign_dtype(value) or value.dtype}; convert to a float dtype first"
    )


def check_real(ufunc: np.ufunc, arguments: Sequence[Any]) -> None:
    """Raise if an argument of `ufunc` is not a real number or array of them."""
    for position, value in enumerate(arguments):
        if foreign_dtype(value):
            raise not_real(ufunc, position, value)


def must_be_real(value: Any) -> str:
    """Say that a slope must be real, and what it is."""
    is_one = value is None or isinstance(value, (str, complex))
    what = f"is {value!r}" if is_one else f"has dtype {foreign_dtype(value)}"
    return f"must be a real number or an array of them, but {what}"


# --- NumPy ---------------------------------------------------------------------------------


def with_numpy(ufunc: np.ufunc, arguments: Arguments, out: Any, options: Options) -> Any:
    """Compute `ufunc` by NumPy's protocol, which arrays of other libraries may follow too."""
    arguments = [as_array(v) if isinstance(v, (list, tuple)) else v for v in arguments]
    for value in arguments:
        _learn(getattr(value, "dtype", None))
    if not (
        out is None or isinstance(out, (tuple, EllipsisType)) or hasattr(out, "__array_ufunc__")
    ):
        raise wrong_out("a NumPy array", out)
    floats = [v for v in arguments if type(v) is _ndarray and v.dtype.kind == "f"]
    if not floats or len(floats) + sum(map(is_number, arguments)) < len(arguments):
        ufunc, arguments, options = _of_arrays_alone(ufunc, arguments, options)
    try:
        return ufunc(*arguments, out=out, **options)
    except TypeError:
        check_real(ufunc, arguments)
        raise


def _of_arrays_alone(
    ufunc: np.ufunc, arguments: Arguments, options: Options
) -> tuple[np.ufunc, Arguments, Options]:
    """Return a call in which the arrays alone decide the dtype, as for numpy.sin."""
    dtypes = {v.dtype for v in arguments if isinstance(getattr(v, "dtype", None), np.dtype)}
    kinds = {dtype.kind for dtype in dtypes}
    if len(dtypes) > 1 and kinds & set("iu") and kinds <= set("biuf"):
        # NumPy takes the first loop that each can be cast to: for int8 with uint8, too, float16.
        options = {"dtype": float_dtype(*dtypes), **options}
    *arrays, last = arguments
    if arrays and is_number(last):
        # Beside integer arrays NumPy treats a Python number as a float64, and containers treat it
        # as an array.
        return ufuncs.with_slope(ufunc.__name__, last), arrays, options
    return ufunc, arguments, options


def as_array(rows: Any) -> Any:
    """Return a list as an array, or raise if it is ragged."""
    try:
        return np.asarray(rows)
    except ValueError as error:
        raise InputError(
            "the rows of a list must have equal lengths; otherwise call the function for each row"
        ) from error


def float_dtype(*dtypes: Any) -> np.dtype[Any]:
    """Return the dtype of a result for arrays of these dtypes, as for `numpy.sin`."""
    for dtype in dtypes:
        _learn(dtype)
    return ufuncs.relu.resolve_dtypes((np.result_type(*dtypes), None))[-1]


_knows_bfloat16 = threading.Event()
_learning = threading.Lock()


def _learn(dtype: Any) -> None:
    """Teach the ufuncs bfloat16 when it first occurs: another package adds it to NumPy."""
    if getattr(dtype, "kind", "") == "V" and dtype.name == "bfloat16":
        with _learning:
            if not _knows_bfloat16.is_set():
                ufuncs.add_bfloat16(dtype)
                _knows_bfloat16.set()


# --- Dask ----------------------------------------------------------------------------------


@computes("dask.array", "Array")
def _with_dask(ufunc: np.ufunc, arguments: Arguments, out: Any, options: Options) -> Any:
    check_real(ufunc, arguments)
    *arrays, last = arguments
    if arrays and is_number(last):
        # A number of the dtype of the result: the ufunc with a slope, which would leave the dtype
        # to the array, can't be pickled for the workers.
        dtypes = [value.dtype for value in arrays if hasattr(value, "dtype")]
        last = float_dtype(*dtypes).type(last)
    return ufunc(*arrays, last, out=out, **options)


# --- The Array API -------------------------------------------------------------------------
#
# The value is the slope at each element times x, so that a gradient never meets the product of
# the side that was not chosen (inf * 0). The dtype is what the library promotes the float arrays
# to, or else its default float; other arguments are converted to it.


def _with_array_api(ufunc: np.ufunc, arguments: Arguments, out: Any, options: Options) -> Any:
    if ufunc in SQUARED:
        y = _with_array_api(SQUARED[ufunc], arguments, out, options)
        return y * y
    ours = [value for value in arguments if library_of(value) is not None]
    xp = library_of(ours[0])
    refuse_options(f"an array of {xp.__name__}", options)
    refuse_out(xp.__name__, out)
    floats = [value for value in ours if xp.isdtype(value.dtype, "real floating")]
    dtype = xp.result_type(*floats) if floats else xp.asarray(0.0).dtype
    check_real(ufunc, arguments)
    arrays = []
    for position, value in enumerate(arguments):
        if library_of(value) is None:
            value = xp.asarray(value, dtype=dtype, device=getattr(ours[0], "device", None))
        if not xp.isdtype(value.dtype, ("real floating", "integral", "bool")):
            raise not_real(ufunc, position, value)
        arrays.append(xp.astype(value, dtype))
    if ufunc is ufuncs.relu:
        (x,) = arrays
        return xp.where(x <= 0, xp.zeros_like(x), x)
    *arrays, slope = arrays
    slope = xp.where(arrays[-1] > 0, xp.ones_like(slope), slope)
    return slope if ufunc is ufuncs.leaky_relu_derivative else arrays[0] * slope
