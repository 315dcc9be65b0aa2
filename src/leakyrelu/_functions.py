"""The Leaky ReLU family and its derivatives, for scalars, lists and every kind of array."""

from __future__ import annotations

import functools
import math
import operator
from typing import Any

import numpy as np

import leakyrelu._arrays.frames
import leakyrelu._arrays.tensors  # noqa: F401 (`apply` finds what is there)
from leakyrelu._arrays.containers import has_names
from leakyrelu._arrays.dispatch import (
    apply,
    as_array,
    check_options,
    check_real,
    foreign_dtype,
    is_of,
    library_of,
    must_be_real,
)
from leakyrelu._arrays.draws import generator, uniform
from leakyrelu._arrays.sparse import is_sparse, on_stored
from leakyrelu._errors import InputError
from leakyrelu._kernels import ufuncs

__all__ = [
    "leaky_relu",
    "leaky_relu_backward",
    "leaky_relu_derivative",
    "prelu",
    "prelu_derivative",
    "relu",
    "relu_derivative",
    "rrelu",
    "rrelu_derivative",
]

_ndarray = np.ndarray  # a global is found faster than an attribute
_PLAIN_SCALARS = frozenset({float, int, np.float16, np.float32, np.float64, np.longdouble})


def _is_plain(value: Any) -> bool:
    """Whether `value` is for the ufunc as it is; for small arrays a further look would be felt."""
    if type(value) is _ndarray:
        return value.dtype.kind == "f"  # type: ignore[no-any-return]
    return type(value) in _PLAIN_SCALARS


def relu(x: Any, out: Any = None, **ufunc_options: Any) -> Any:
    r"""ReLU, the rectifier: ``x`` where it is positive, 0 elsewhere.

    .. math:: f(x) = \max(0, x)

    Parameters
    ----------
    x : array_like or array of another library, any shape
        Real numbers, of any dtype that `leaky_relu` takes.
    out : array, optional
        Where to write the result; ``out=x`` works in place.
    **ufunc_options
        ``where=``, ``dtype=``, ``casting=``, ``order=``, ``subok=``, as for `leaky_relu`.

    Returns
    -------
    scalar, array, or array of the library of `x`
        As `leaky_relu` returns them.

    Raises
    ------
    TypeError
        If `x` is complex or not a number, or an option does not exist for the library of `x`.

    See Also
    --------
    leaky_relu : Keeps a slope on the negative side, so that no unit dies.

    Notes
    -----
    NaN stays NaN. Unlike ``leaky_relu(x, 0)``, which computes ``0 * x``, it gives 0 for
    ``-inf`` and never -0.0; of tensors it is PyTorch's, which leaves -0.0 as it is.

    References
    ----------
    .. [1] V. Nair and G. E. Hinton, "Rectified linear units improve restricted Boltzmann
       machines", ICML 2010.

    Examples
    --------
    >>> from leakyrelu import relu
    >>> relu([-2.0, 0.0, 5.0])
    array([0., 0., 5.])
    """
    if _is_plain(x) and (out is None or type(out) is _ndarray):
        return ufuncs.relu(x, out=out, **ufunc_options)
    return apply(ufuncs.relu, (x,), out, ufunc_options)


def relu_derivative(x: Any, out: Any = None, **ufunc_options: Any) -> Any:
    r"""Return the derivative of ReLU: 1 where ``x > 0``, 0 elsewhere, NaN and 0 included.

    .. math:: f'(x) = \begin{cases} 1 & x > 0 \\ 0 & x \le 0 \end{cases}

    Parameters
    ----------
    x, out, **ufunc_options
        As for `relu`.

    Returns
    -------
    scalar, array, or array of the library of `x`
        Shape and dtype as `relu` returns them.

    Raises
    ------
    TypeError
        As for `relu`.

    Examples
    --------
    >>> from leakyrelu import relu_derivative
    >>> relu_derivative([-2.0, 0.0, 5.0])
    array([0., 0., 1.])
    """
    if ufunc_options:
        check_options("relu_derivative", ufunc_options)
    return leaky_relu_derivative(x, 0.0, out, **ufunc_options)


def leaky_relu(x: Any, negative_slope: Any = 0.01, out: Any = None, **ufunc_options: Any) -> Any:
    r"""Leaky ReLU: ``x`` where it is positive, ``negative_slope * x`` elsewhere.

    .. math:: f(x) = \begin{cases} x & x > 0 \\ a\,x & x \le 0 \end{cases}

    Parameters
    ----------
    x : array_like or array of another library, any shape
        Real numbers. float16, float32, float64, longdouble and the bfloat16 of `ml_dtypes`
        keep their dtype; integers and booleans are promoted as by `numpy.sin` (PyTorch,
        JAX and CuPy: to the library's default float). Arrays of different dtypes are promoted
        together, as the library does it.
    negative_slope : float or array_like, default 0.01
        The slope `a` for ``x <= 0``. It broadcasts against `x`, so that PReLU is the same
        function. 0 gives ReLU, 1 the identity, -1 the absolute value.
    out : array, optional
        Where to write the result; ``out=x`` works in place. For NumPy arrays by the rules of
        NumPy's ufuncs, for tensors by those of ``out=`` in PyTorch (it is resized, and takes
        every dtype to which the result can be cast); JAX, sparse and labelled arrays cannot
        be written to.
    **ufunc_options
        ``where=``, ``dtype=``, ``casting=``, ``order=``, ``subok=``: as for every
        NumPy ufunc. Only where `x` is handled by NumPy.

    Returns
    -------
    scalar, array, or array of the library of `x`
        Shape of `x` and `negative_slope` broadcast. Scalar in, scalar out; list in,
        array out. Quantities (astropy, pint) keep their unit, sparse arrays (SciPy, PyTorch)
        their layout.

    Raises
    ------
    TypeError
        If `x` or the slope is complex or not a number, an option does not exist for the
        library of `x`, `out` is of another library, or the unit of `x` does not start at zero
        (degrees Celsius, decibel).
    InputError
        If shapes do not broadcast, or a slope for a sparse array is not finite.

    See Also
    --------
    leaky_relu_derivative : Its slope at each element.
    leaky_relu_backward : A gradient times that slope, for backpropagation.
    prelu : With a slope for each channel.

    Notes
    -----
    For ``0 <= negative_slope <= 1`` this equals ``max(a * x, x)``. For ``a > 1`` the two
    forms part, and this one keeps to the case distinction above.

    NaN stays NaN, -0.0 stays -0.0 (for ``a >= 0``) and ``-inf`` becomes ``a * -inf``. The
    default slope is that of PyTorch, JAX and ONNX; Keras 3 uses 0.3 in its layer and 0.2
    in its function. As in NumPy's own arithmetic, the slope is rounded to the dtype of `x`.

    Large arrays are computed by several threads, as many as OMP_NUM_THREADS and
    `threadpoolctl` allow, and by one in a child process made by ``os.fork``.

    References
    ----------
    .. [1] A. L. Maas, A. Y. Hannun and A. Y. Ng, "Rectifier nonlinearities improve neural
       network acoustic models", ICML 2013.

    Examples
    --------
    >>> import numpy as np
    >>> from leakyrelu import leaky_relu
    >>> leaky_relu(-3.0)
    np.float64(-0.03)
    >>> leaky_relu([-2, 0, 5], 0.1)
    array([-0.2,  0. ,  5. ])
    >>> x = np.array([-1.0, 2.0], dtype=np.float32)
    >>> leaky_relu(x, out=x)
    array([-0.01,  2.  ], dtype=float32)

    A slope per column, as PReLU has it:

    >>> leaky_relu([[-1.0, -1.0]], negative_slope=[0.25, 0.5])
    array([[-0.25, -0.5 ]])
    """
    if _is_plain(x) and _is_plain(negative_slope) and (out is None or type(out) is _ndarray):
        return ufuncs.leaky_relu(x, negative_slope, out=out, **ufunc_options)
    return apply(ufuncs.leaky_relu, (x, negative_slope), out, ufunc_options)


def leaky_relu_derivative(
    x: Any, negative_slope: Any = 0.01, out: Any = None, **ufunc_options: Any
) -> Any:
    r"""Return the derivative of Leaky ReLU: 1 where ``x > 0``, ``negative_slope`` elsewhere.

    .. math:: f'(x) = \begin{cases} 1 & x > 0 \\ a & x \le 0 \end{cases}

    Parameters
    ----------
    x : array_like or array of another library, any shape
        As for `leaky_relu`.
    negative_slope : float or array_like, default 0.01
        The slope `a` for ``x <= 0``; broadcasts against `x`.
    out : array, optional
        Where to write the result.
    **ufunc_options
        ``where=``, ``dtype=``, ``casting=``, ``order=``, ``subok=``, as for `leaky_relu`.

    Returns
    -------
    scalar, array, or array of the library of `x`
        Shape and dtype as `leaky_relu` returns them; without a unit.

    Raises
    ------
    TypeError
        As for `leaky_relu`, and if `x` is sparse and the slope not 0: the derivative is dense.

    See Also
    --------
    leaky_relu : The function itself.

    Notes
    -----
    At 0 the function has no derivative; the value given there is `a`, the one PyTorch and
    TensorFlow use in backpropagation. It is `a` for NaN too, which is not positive.

    Examples
    --------
    >>> from leakyrelu import leaky_relu_derivative
    >>> leaky_relu_derivative([-2.0, 0.0, 5.0], 0.1)
    array([0.1, 0.1, 1. ])
    """
    if _is_plain(x) and _is_plain(negative_slope) and (out is None or type(out) is _ndarray):
        return ufuncs.leaky_relu_derivative(x, negative_slope, out=out, **ufunc_options)
    return apply(ufuncs.leaky_relu_derivative, (x, negative_slope), out, ufunc_options)


def leaky_relu_backward(
    gradient: Any, x: Any, negative_slope: Any = 0.01, out: Any = None, **ufunc_options: Any
) -> Any:
    r"""Carry a gradient back through Leaky ReLU, in one pass over the memory.

    .. math:: \frac{\partial L}{\partial x} =
        \frac{\partial L}{\partial y} \begin{cases} 1 & x > 0 \\ a & x \le 0 \end{cases}

    Parameters
    ----------
    gradient : array_like or array of another library
        The gradient of a loss with respect to ``leaky_relu(x, negative_slope)``.
    x : array_like or array of another library
        What went into the function. For a positive slope its output will do as well, as it
        has the same signs.
    negative_slope : float or array_like, default 0.01
        The slope `a` for ``x <= 0``; broadcasts against `x`.
    out : array, optional
        Where to write the result; ``out=gradient`` works in place.
    **ufunc_options
        ``where=``, ``dtype=``, ``casting=``, ``order=``, ``subok=``, as for `leaky_relu`.

    Returns
    -------
    scalar, array, or array of the library of the arguments
        ``gradient * leaky_relu_derivative(x, negative_slope)``.

    Raises
    ------
    TypeError
        As for `leaky_relu`.

    Examples
    --------
    >>> from leakyrelu import leaky_relu_backward
    >>> leaky_relu_backward([10.0, 10.0, 10.0], [-2.0, 0.0, 5.0], 0.1)
    array([ 1.,  1., 10.])
    """
    if (
        _is_plain(gradient)
        and _is_plain(x)
        and _is_plain(negative_slope)
        and (out is None or type(out) is _ndarray)
    ):
        return ufuncs.leaky_relu_backward(gradient, x, negative_slope, out=out, **ufunc_options)
    return apply(ufuncs.leaky_relu_backward, (gradient, x, negative_slope), out, ufunc_options)


def prelu(x: Any, weight: Any, axis: int = 1, out: Any = None, **ufunc_options: Any) -> Any:
    r"""Parametric ReLU: Leaky ReLU with a slope of its own, to be learned, for each channel.

    .. math:: f(x_c) = \begin{cases} x_c & x_c > 0 \\ w_c\,x_c & x_c \le 0 \end{cases}

    Parameters
    ----------
    x : array_like or array of another library, any shape
        Real numbers, of any dtype that `leaky_relu` takes.
    weight : float or array_like
        The slopes: a single one, or one for each position along `axis`, or (with two or
        more dimensions) any shape that broadcasts to that of `x`. Slopes of xarray find the
        dimensions of `x` by name, a pandas Series the columns of a frame by label.
    axis : int, default 1
        Where the channels are, as PyTorch has it: dimension 1 of ``(N, C)`` and of
        ``(N, C, H, W)``. Use -1 for channels last, and for ONNX's way with a
        one-dimensional slope.
    out : array, optional
        Where to write the result; ``out=x`` works in place.
    **ufunc_options
        ``where=``, ``dtype=``, ``casting=``, ``order=``, ``subok=``, as for `leaky_relu`.

    Returns
    -------
    scalar, array, or array of the library of `x`
        Of the shape of `x`.

    Raises
    ------
    InputError
        If `weight` has neither one slope nor one for each channel, or `x` has no such axis or
        dimension.
    TypeError
        As for `leaky_relu`.

    See Also
    --------
    prelu_derivative : With respect to `x`.

    Notes
    -----
    The derivative with respect to the weight is ``x`` where ``x <= 0`` and 0 elsewhere, that
    is ``-relu(-x)``, to be summed over all that share the weight. PyTorch and JAX find it
    by themselves.

    References
    ----------
    .. [1] K. He, X. Zhang, S. Ren and J. Sun, "Delving deep into rectifiers: Surpassing
       human-level performance on ImageNet classification", ICCV 2015.

    Examples
    --------
    >>> from leakyrelu import prelu
    >>> prelu([[-1.0, -1.0], [2.0, -2.0]], weight=[0.25, 0.5])
    array([[-0.25, -0.5 ],
           [ 2.  , -1.  ]])
    """
    if type(weight) is float and not ufunc_options:
        return leaky_relu(x, weight, out)
    return _with_weight(leaky_relu, ufuncs.prelu, x, weight, axis, out, ufunc_options)


def prelu_derivative(
    x: Any, weight: Any, axis: int = 1, out: Any = None, **ufunc_options: Any
) -> Any:
    r"""Return the derivative of `prelu` with respect to `x`: 1 where ``x > 0``, else its slope.

    Parameters
    ----------
    x, weight, axis, out, **ufunc_options
        As for `prelu`.

    Returns
    -------
    scalar, array, or array of the library of `x`
        Of the shape of `x`.

    Raises
    ------
    InputError, TypeError
        As for `prelu`.

    Examples
    --------
    >>> from leakyrelu import prelu_derivative
    >>> prelu_derivative([[-1.0, -1.0], [2.0, -2.0]], weight=[0.25, 0.5])
    array([[0.25, 0.5 ],
           [1.  , 0.5 ]])
    """
    if type(weight) is float and not ufunc_options:
        return leaky_relu_derivative(x, weight, out)
    by_channel = ufuncs.prelu_derivative
    return _with_weight(leaky_relu_derivative, by_channel, x, weight, axis, out, ufunc_options)


def _with_weight(
    function: Any, by_channel: np.ufunc, x: Any, weight: Any, axis: int, out: Any, options: Any
) -> Any:
    if options:
        check_options(by_channel.__name__, options)
    if has_names(x) and is_of(x, "xarray", "Dataset"):

        def of_variable(part: Any) -> Any:
            of_part = weight[part.name] if is_of(weight, "xarray", "Dataset") else weight
            return _with_weight(function, by_channel, part, of_part, axis, out, options)

        return x.map(of_variable, keep_attrs=True)
    slopes = _along(axis, weight, x)
    if options or not _has_rows(x, slopes, out):
        return function(x, slopes, out, **options)
    return _by_rows(by_channel, x, slopes, out)


def _along(axis: int, weight: Any, x: Any) -> Any:
    """Shape the weights so that they broadcast along an axis of `x`."""
    if isinstance(weight, (float, int)):
        return weight
    if has_names(weight) and has_names(x):
        _check_names(weight, x)
        return weight
    if not _is_plain(weight):
        weight = _as_weight(weight)
    shape, x_shape = weight.shape, _shape(x)
    if len(shape) != 1:
        _check_broadcast(shape, x_shape)
        return weight
    if shape == (1,):
        return _reshape(weight, ())
    dimensions = len(x_shape)
    if not hasattr(axis, "__index__"):
        raise TypeError(f"axis must be an integer, but is {axis!r}")
    axis = operator.index(axis)
    if not -dimensions <= axis < dimensions:
        raise InputError(
            f"x of shape {tuple(x_shape)} has no axis {axis} for the {shape[0]} slopes of weight; "
            "name the axis of the channels, such as axis=-1"
        )
    if x_shape[axis] not in (shape[0], None):
        raise InputError(
            f"weight has {shape[0]} slopes, but x of shape {tuple(x_shape)} has {x_shape[axis]} "
            f"channels along axis {axis}; give one slope a channel, or name another axis"
        )
    after = dimensions - 1 - axis if axis >= 0 else -1 - axis
    return _reshape(weight, (shape[0],) + (1,) * after) if after else weight


def _as_weight(weight: Any) -> Any:
    """Return an array, or raise if it is none of real numbers."""
    if is_of(weight, "xarray", "Dataset"):
        raise TypeError("weight is a Dataset, but x has no variables; give one of its variables")
    if has_names(weight):
        weight = weight.data
    if is_of(weight, "polars", "Series"):
        weight = weight.to_numpy()
    array = weight if hasattr(weight, "shape") else as_array(weight)
    if foreign_dtype(array):
        raise TypeError(f"weight {must_be_real(weight)}")
    return array


def _check_names(weight: Any, x: Any) -> None:
    if missing := set(weight.dims) - set(x.dims):
        raise InputError(
            f"weight has a dimension {missing.pop()!r}, but those of x are {tuple(x.dims)}; "
            "name the dimension of x that the slopes are for"
        )
    for dimension in set(weight.indexes) & set(x.indexes):
        if not weight.indexes[dimension].symmetric_difference(x.indexes[dimension]).empty:
            raise InputError(
                f"weight has other labels than x along {dimension!r}; give a slope for each label"
            )


def _shape(x: Any) -> tuple[int | None, ...]:
    """Return the shape of `x`, None for what is not known before it is computed."""
    if type(x) is _ndarray:
        return x.shape  # type: ignore[no-any-return]
    try:
        if not hasattr(x, "shape"):
            check_real(ufuncs.prelu, (x,))
        shape = x.shape if hasattr(x, "shape") else np.shape(x)
    except ValueError as error:  # a ragged list, or an awkward array
        raise InputError(
            "x has rows of different lengths, and so no axis for several slopes; give one number"
        ) from error
    return tuple(n if isinstance(n, int) else None for n in shape)


def _check_broadcast(shape: Any, x_shape: Any) -> None:
    """Raise unless a weight of `shape` broadcasts to `x_shape` without making it larger."""
    lengths = zip(reversed(shape), reversed(x_shape), strict=False)
    if len(shape) > len(x_shape) or any(n not in (1, m) and m is not None for n, m in lengths):
        raise InputError(
            f"weight of shape {tuple(shape)} does not broadcast to x of shape {tuple(x_shape)}; "
            "give a number, or one slope for each channel"
        )


def _reshape(weight: Any, shape: tuple[int, ...]) -> Any:
    if type(weight) is _ndarray:
        return weight.reshape(shape)
    library = library_of(weight)
    return np.reshape(weight, shape) if library is None else library.reshape(weight, shape)


# Bytes of x from which on `_by_rows` is faster: where the channels are the last axis, and else.
_SMALLEST = {"last": 1 << 18, "not last": 1 << 16}


def _has_rows(x: Any, slopes: Any, out: Any) -> bool:
    """Whether `_by_rows` can compute it, and gains something."""
    return (
        type(slopes) is type(x) is _ndarray
        and x.nbytes >= _SMALLEST["not last"]
        and slopes.size == max(slopes.shape, default=0) > 1  # they lie along one axis
        and (slopes.shape[-1] == 1 or x.nbytes >= _SMALLEST["last"])
        and x.dtype.kind == slopes.dtype.kind == "f"
        and x.flags.c_contiguous
        and (
            out is None
            or (type(out) is _ndarray and out.shape == x.shape and out.flags.c_contiguous)
        )
        and out is not x
    )


def _by_rows(by_channel: np.ufunc, x: Any, slopes: Any, out: Any) -> Any:
    """Compute row by row of a channel, with threads; else NumPy would repeat the slopes first."""
    channels = slopes.size
    after = slopes.ndim - 1 - slopes.shape.index(channels)
    inner = math.prod(x.shape[x.ndim - after :])
    shape = (-1, channels, inner) if inner > 1 else (-1, 1, channels)
    slopes = slopes.reshape((channels, 1) if inner > 1 else (1, channels))
    result = by_channel(x.reshape(shape), slopes, out=None if out is None else out.reshape(shape))
    return result.reshape(x.shape) if out is None else out


def rrelu(
    x: Any,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    rng: Any = None,
    out: Any = None,
    **ufunc_options: Any,
) -> Any:
    r"""Randomised Leaky ReLU: in training, each element's slope is drawn anew.

    .. math:: f(x_i) = \begin{cases} x_i & x_i > 0 \\ a_i\,x_i & x_i \le 0 \end{cases},
        \quad a_i \sim U(\text{lower}, \text{upper}) \text{ in training, else }
        a_i = (\text{lower} + \text{upper}) / 2

    Parameters
    ----------
    x : array_like or array of another library, any shape
        Real numbers, of any dtype that `leaky_relu` takes.
    lower, upper : float, default 1/8 and 1/3
        The interval the slopes are drawn from, the defaults those of PyTorch.
    training : bool, default False
        Whether to draw. Otherwise every slope is the middle of the interval.
    rng : optional
        What to draw with. For NumPy: a `numpy.random.Generator` or a seed, by default a
        fresh one; each block of a Dask array draws by itself, the same whenever it is
        computed. For tensors: a `torch.Generator` or a seed, by default PyTorch's own. For
        JAX: a key or a seed, which must be given.
    out : array, optional
        Where to write the result; ``out=x`` works in place.
    **ufunc_options
        ``where=``, ``dtype=``, ``casting=``, ``order=``, ``subok=``, as for `leaky_relu`.

    Returns
    -------
    scalar, array, or array of the library of `x`
        As `leaky_relu` returns them.

    Raises
    ------
    InputError
        If `lower` is above `upper`, or one of them is not finite.
    TypeError
        If a bound is not a number, or `rng` not for the library of `x`; otherwise as for
        `leaky_relu`.

    References
    ----------
    .. [1] B. Xu, N. Wang, T. Chen and M. Li, "Empirical evaluation of rectified activations
       in convolutional network", arXiv:1505.00853, 2015.

    Examples
    --------
    >>> from leakyrelu import rrelu
    >>> rrelu([-1.0, 2.0], lower=0.1, upper=0.3)
    array([-0.2,  2. ])
    >>> drawn = rrelu([-1.0, 2.0], lower=0.1, upper=0.3, training=True, rng=0)
    >>> bool(-0.3 <= drawn[0] <= -0.1), float(drawn[1])
    (True, 2.0)
    """
    if training and is_sparse(x):
        rng = rng if is_of(x, "torch", "Tensor") else generator(rng)
        drawn = functools.partial(rrelu, lower=lower, upper=upper, training=True, rng=rng)
        return on_stored(drawn, x)
    slope = _rrelu_slope(x, lower, upper, training, rng)
    if ufunc_options:
        check_options("rrelu", ufunc_options)
    return leaky_relu(x, slope, out, **ufunc_options)


def rrelu_derivative(
    x: Any,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    rng: Any = None,
    out: Any = None,
    **ufunc_options: Any,
) -> Any:
    r"""Return the derivative of `rrelu`: 1 where ``x > 0``, the slope drawn there elsewhere.

    Parameters
    ----------
    x, lower, upper, training, rng, out, **ufunc_options
        As for `rrelu`. The slopes are those of `rrelu` if `rng` is the same seed or key, or
        a generator in the same state.

    Returns
    -------
    scalar, array, or array of the library of `x`
        Shape and dtype as `rrelu` returns them.

    Raises
    ------
    InputError, TypeError
        As for `rrelu`.

    Examples
    --------
    >>> from leakyrelu import rrelu, rrelu_derivative
    >>> x = [-1.0, -1.0, 2.0]
    >>> slopes = rrelu_derivative(x, training=True, rng=0)
    >>> bool((rrelu(x, training=True, rng=0) == slopes * x).all())
    True
    """
    slope = _rrelu_slope(x, lower, upper, training, rng)
    if ufunc_options:
        check_options("rrelu_derivative", ufunc_options)
    return leaky_relu_derivative(x, slope, out, **ufunc_options)


def _rrelu_slope(x: Any, lower: float, upper: float, training: bool, rng: Any) -> Any:
    lower, upper = _bounds(lower, upper)
    if training:
        return uniform(x, lower, upper, rng)
    middle = (lower + upper) / 2
    return middle if math.isfinite(middle) else lower / 2 + upper / 2


def _bounds(lower: Any, upper: Any) -> tuple[float, float]:
    for name, bound in (("lower", lower), ("upper", upper)):
        is_number = isinstance(bound, (float, int))
        if not is_number and (np.ndim(bound) > 0 or not hasattr(bound, "__float__")):
            raise TypeError(f"{name} must be a number, but is {bound!r}")
    if not (math.isfinite(lower) and math.isfinite(upper) and lower <= upper):
        raise InputError(
            f"slopes are drawn between two finite numbers, but lower={lower} and upper={upper}; "
            "give a lower that is not above upper"
        )
    return float(lower), float(upper)
