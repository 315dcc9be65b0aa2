"""The Leaky ReLU family and its derivatives, for scalars, lists and every kind of array."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

import leakyrelu._arrays.frames
import leakyrelu._arrays.tensors  # noqa: F401 (`apply` finds what is there)
from leakyrelu._arrays.channels import with_weight
from leakyrelu._arrays.dispatch import apply, check_options, is_of, is_plain
from leakyrelu._arrays.draws import generator, slopes_between
from leakyrelu._arrays.sparse import is_sparse, on_stored
from leakyrelu._kernels import ufuncs
from leakyrelu._signatures import of_array, of_bounds, of_gradient, of_slope, of_weight

__all__ = [
    "leaky_relu",
    "leaky_relu2",
    "leaky_relu_backward",
    "leaky_relu_derivative",
    "prelu",
    "prelu_derivative",
    "relu",
    "relu2",
    "relu_derivative",
    "rrelu",
    "rrelu_derivative",
]

_ndarray = np.ndarray  # a global is found faster than an attribute


@of_array
def relu(x: Any, out: Any = None, **ufunc_options: Any) -> Any:
    r"""ReLU: ``x`` where it is positive, 0 elsewhere.

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
        If `x` is complex or not a number, or an option is not supported for the library of `x`.

    See Also
    --------
    leaky_relu : Keeps a slope on the negative side, so that no unit dies.

    Notes
    -----
    NaN stays NaN. Unlike ``leaky_relu(x, 0)``, which computes ``0 * x``, it gives 0 for
    ``-inf`` and never -0.0; for tensors it is PyTorch's, which keeps -0.0.

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
    if is_plain(x) and (out is None or type(out) is _ndarray):
        return ufuncs.relu(x, out=out, **ufunc_options)
    return apply(ufuncs.relu, (x,), out, ufunc_options)


@of_array
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


@of_array
def relu2(x: Any, out: Any = None, **ufunc_options: Any) -> Any:
    r"""Squared ReLU: the square of ``x`` where it is positive, 0 elsewhere.

    .. math:: f(x) = \max(0, x)^2

    Parameters
    ----------
    x, out, **ufunc_options
        As for `relu`.

    Returns
    -------
    scalar, array, or array of the library of `x`
        Shape and dtype as `relu` returns them; of a quantity, its unit squared.

    Raises
    ------
    TypeError
        As for `relu`.

    See Also
    --------
    leaky_relu2 : Keeps a gradient on the negative side.

    References
    ----------
    .. [1] D. R. So, W. Mańke, H. Liu, Z. Dai, N. Shazeer and Q. V. Le, "Primer: Searching for
       efficient transformers for language modeling", NeurIPS 2021.

    Examples
    --------
    >>> from leakyrelu import relu2
    >>> relu2([-2.0, 0.5, 3.0])
    array([0.  , 0.25, 9.  ])
    """
    if is_plain(x) and (out is None or type(out) is _ndarray):
        return ufuncs.relu2(x, out=out, **ufunc_options)
    return apply(ufuncs.relu2, (x,), out, ufunc_options)


@of_slope
def leaky_relu2(x: Any, negative_slope: Any = 0.5, out: Any = None, **ufunc_options: Any) -> Any:
    r"""Squared Leaky ReLU: ``leaky_relu(x, negative_slope)`` squared.

    .. math:: f(x) = \begin{cases} x^2 & x > 0 \\ a^2\,x^2 & x \le 0 \end{cases}

    Parameters
    ----------
    x : array_like or array of another library, any shape
        As for `leaky_relu`.
    negative_slope : float or array_like, default 0.5
        The slope `a` for ``x <= 0``, before it is squared; broadcasts against `x`.
    out, **ufunc_options
        As for `leaky_relu`.

    Returns
    -------
    scalar, array, or array of the library of `x`
        Shape and dtype as `leaky_relu` returns them; of a quantity, its unit squared. Never
        negative: the sign of `x` is not kept.

    Raises
    ------
    TypeError, InputError
        As for `leaky_relu`.

    Notes
    -----
    The form and the slope of 0.5 are those of small language models trained for speed [1]_.

    References
    ----------
    .. [1] "LeakyReLU(0.5)² MLP activation", https://github.com/KellerJordan/modded-nanogpt/pull/249.

    Examples
    --------
    >>> from leakyrelu import leaky_relu2
    >>> leaky_relu2([-2.0, 0.5, 3.0])
    array([1.  , 0.25, 9.  ])
    """
    if is_plain(x) and is_plain(negative_slope) and (out is None or type(out) is _ndarray):
        return ufuncs.leaky_relu2(x, negative_slope, out=out, **ufunc_options)
    return apply(ufuncs.leaky_relu2, (x, negative_slope), out, ufunc_options)


@of_slope
def leaky_relu(x: Any, negative_slope: Any = 0.01, out: Any = None, **ufunc_options: Any) -> Any:
    r"""Leaky ReLU: ``x`` where it is positive, ``negative_slope * x`` elsewhere.

    .. math:: f(x) = \begin{cases} x & x > 0 \\ a\,x & x \le 0 \end{cases}

    Parameters
    ----------
    x : array_like or array of another library, any shape
        Real numbers. float16, float32, float64, longdouble and the bfloat16 of `ml_dtypes`
        keep their dtype; integers and booleans are promoted as by `numpy.sin` (PyTorch,
        JAX and CuPy: to the library's default float). Arrays of different dtypes are promoted
        by the rules of the library.
    negative_slope : float or array_like, default 0.01
        The slope `a` for ``x <= 0``. It broadcasts against `x`, so PReLU is the same
        function. 0 gives ReLU, 1 the identity, -1 the absolute value.
    out : array, optional
        Where to write the result; ``out=x`` works in place. NumPy arrays follow the rules of
        NumPy's ufuncs, tensors those of ``out=`` in PyTorch (it is resized, and may have any
        dtype that the result can be cast to); JAX, sparse and labelled arrays can't be
        written to.
    **ufunc_options
        ``where=``, ``dtype=``, ``casting=``, ``order=``, ``subok=``: as for every
        NumPy ufunc. Only if NumPy handles `x`.

    Returns
    -------
    scalar, array, or array of the library of `x`
        Shape of `x` and `negative_slope` broadcast. Scalar in, scalar out; list in,
        array out. Quantities (astropy, pint) keep their unit, sparse arrays (SciPy, PyTorch)
        their layout.

    Raises
    ------
    TypeError
        If `x` or the slope is complex or not a number, an option is not supported for the
        library of `x`, `out` is of another library, or the unit of `x` has no absolute zero
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
    differ, and this function follows the definition above.

    NaN stays NaN, -0.0 stays -0.0 (for ``a >= 0``) and ``-inf`` becomes ``a * -inf``. The
    default slope is that of PyTorch, JAX and ONNX; Keras 3 uses 0.3 in its layer and 0.2
    in its function. As in NumPy's own arithmetic, the slope is rounded to the dtype of `x`.

    Large arrays are computed by several threads, as many as OMP_NUM_THREADS and
    `threadpoolctl` allow; a child process made by ``os.fork`` uses one.

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

    One slope per column, as in PReLU:

    >>> leaky_relu([[-1.0, -1.0]], negative_slope=[0.25, 0.5])
    array([[-0.25, -0.5 ]])
    """
    if is_plain(x) and is_plain(negative_slope) and (out is None or type(out) is _ndarray):
        return ufuncs.leaky_relu(x, negative_slope, out=out, **ufunc_options)
    return apply(ufuncs.leaky_relu, (x, negative_slope), out, ufunc_options)


@of_slope
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
        As for `leaky_relu`, and if `x` is sparse and the slope is not 0: the derivative would be
        dense.

    See Also
    --------
    leaky_relu : The function itself.

    Notes
    -----
    At 0 the function has no derivative; the value returned there is `a`, as in PyTorch and
    TensorFlow. It is `a` for NaN too, which is not positive.

    Examples
    --------
    >>> from leakyrelu import leaky_relu_derivative
    >>> leaky_relu_derivative([-2.0, 0.0, 5.0], 0.1)
    array([0.1, 0.1, 1. ])
    """
    if is_plain(x) and is_plain(negative_slope) and (out is None or type(out) is _ndarray):
        return ufuncs.leaky_relu_derivative(x, negative_slope, out=out, **ufunc_options)
    return apply(ufuncs.leaky_relu_derivative, (x, negative_slope), out, ufunc_options)


@of_gradient
def leaky_relu_backward(
    gradient: Any, x: Any, negative_slope: Any = 0.01, out: Any = None, **ufunc_options: Any
) -> Any:
    r"""Backward pass of Leaky ReLU: a gradient times the derivative, in one pass over memory.

    .. math:: \frac{\partial L}{\partial x} =
        \frac{\partial L}{\partial y} \begin{cases} 1 & x > 0 \\ a & x \le 0 \end{cases}

    Parameters
    ----------
    gradient : array_like or array of another library
        The gradient of a loss with respect to ``leaky_relu(x, negative_slope)``.
    x : array_like or array of another library
        The input of the function. For a positive slope its output works as well, as it has the
        same signs.
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
        is_plain(gradient)
        and is_plain(x)
        and is_plain(negative_slope)
        and (out is None or type(out) is _ndarray)
    ):
        return ufuncs.leaky_relu_backward(gradient, x, negative_slope, out=out, **ufunc_options)
    return apply(ufuncs.leaky_relu_backward, (gradient, x, negative_slope), out, ufunc_options)


@of_weight
def prelu(x: Any, weight: Any, axis: int = 1, out: Any = None, **ufunc_options: Any) -> Any:
    r"""Parametric ReLU: Leaky ReLU with a learned slope for each channel.

    .. math:: f(x_c) = \begin{cases} x_c & x_c > 0 \\ w_c\,x_c & x_c \le 0 \end{cases}

    Parameters
    ----------
    x : array_like or array of another library, any shape
        Real numbers, of any dtype that `leaky_relu` takes.
    weight : float or array_like
        The slopes: a single one, or one for each position along `axis`, or (with two or
        more dimensions) any shape that broadcasts to that of `x`. Slopes in an xarray object are
        matched to the dimensions of `x` by name, those in a pandas Series to the columns of a
        frame by label.
    axis : int, default 1
        The axis of the channels, as in PyTorch: dimension 1 of ``(N, C)`` and of
        ``(N, C, H, W)``. Use -1 for channels last, and to match ONNX for a one-dimensional
        slope.
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
    prelu_derivative : The derivative with respect to `x`.

    Notes
    -----
    The derivative with respect to the weight is ``x`` where ``x <= 0`` and 0 elsewhere, that
    is ``-relu(-x)``, summed over all elements that share the weight. PyTorch and JAX compute it
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
    return with_weight(leaky_relu, ufuncs.prelu, x, weight, axis, out, ufunc_options)


@of_weight
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
    return with_weight(leaky_relu_derivative, by_channel, x, weight, axis, out, ufunc_options)


@of_bounds
def rrelu(
    x: Any,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    rng: Any = None,
    out: Any = None,
    **ufunc_options: Any,
) -> Any:
    r"""Randomised Leaky ReLU: in training, each element's slope is drawn at random.

    .. math:: f(x_i) = \begin{cases} x_i & x_i > 0 \\ a_i\,x_i & x_i \le 0 \end{cases},
        \quad a_i \sim U(\text{lower}, \text{upper}) \text{ in training, else }
        a_i = (\text{lower} + \text{upper}) / 2

    Parameters
    ----------
    x : array_like or array of another library, any shape
        Real numbers, of any dtype that `leaky_relu` takes.
    lower, upper : float, default 1/8 and 1/3
        The interval the slopes are drawn from; the defaults are those of PyTorch.
    training : bool, default False
        Draw the slopes. Otherwise every slope is the middle of the interval.
    rng : optional
        The source of randomness. For NumPy: a `numpy.random.Generator` or a seed, by default a
        fresh one; each block of a Dask array draws its own slopes, the same whenever it is
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
        If a bound is not a number, or `rng` does not fit the library of `x`; otherwise as for
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
    slope = slopes_between(x, lower, upper, training, rng)
    if ufunc_options:
        check_options("rrelu", ufunc_options)
    return leaky_relu(x, slope, out, **ufunc_options)


@of_bounds
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
    slope = slopes_between(x, lower, upper, training, rng)
    if ufunc_options:
        check_options("rrelu_derivative", ufunc_options)
    return leaky_relu_derivative(x, slope, out, **ufunc_options)
