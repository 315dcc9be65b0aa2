"""Leaky ReLU and its derivative for scalars, lists and every kind of array.

NumPy arrays, and whatever speaks NumPy's ufunc protocol (pandas, Dask, xarray, masked
arrays), go to a C++ ufunc. PyTorch tensors and arrays with an Array API namespace (JAX,
CuPy) are computed by their own library, so that autograd, ``jit`` and devices work.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from leakyrelu import _kernels

__all__ = ["leaky_relu", "leaky_relu_derivative"]

_ndarray = np.ndarray  # a global is found faster than an attribute


def leaky_relu(x: Any, negative_slope: Any = 0.01, out: Any = None, **ufunc_options: Any) -> Any:
    r"""Leaky ReLU: ``x`` where it is positive, ``negative_slope * x`` elsewhere.

    .. math:: f(x) = \begin{cases} x & x > 0 \\ a\,x & x \le 0 \end{cases}

    Parameters
    ----------
    x : array_like or array of another library, any shape
        Real numbers. float16, float32, float64 and longdouble keep their dtype; integers
        and booleans are promoted as by `numpy.sin` (PyTorch, JAX and CuPy: to the
        library's default float).
    negative_slope : float or array_like, default 0.01
        The slope `a` for ``x <= 0``. It broadcasts against `x`, so that PReLU is the same
        function. 0 gives ReLU, 1 the identity, -1 the absolute value.
    out : array, optional
        Where to write the result; ``out=x`` works in place. For NumPy arrays and PyTorch
        tensors; JAX arrays cannot be written to.
    **ufunc_options
        ``where=``, ``dtype=``, ``casting=``, ``order=``, ``subok=``: as for every
        NumPy ufunc. Only where `x` is handled by NumPy.

    Returns
    -------
    scalar, array, or array of the library of `x`
        Shape of `x` and `negative_slope` broadcast. Scalar in, scalar out; list in,
        array out.

    Raises
    ------
    TypeError
        If `x` is complex or not a number, or an option does not exist for the library of `x`.

    See Also
    --------
    leaky_relu_derivative : Its slope at each element.

    Notes
    -----
    For ``0 <= negative_slope <= 1`` this equals ``max(a * x, x)``. For ``a > 1`` the two
    forms part, and this one keeps to the case distinction above.

    NaN stays NaN, -0.0 stays -0.0 (for ``a >= 0``) and ``-inf`` becomes ``a * -inf``. The
    default slope is that of PyTorch, JAX and ONNX; Keras 3 uses 0.3 in its layer and 0.2
    in its function.

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
    # The usual call needs no further look; for small arrays the look would be felt.
    is_usual = type(x) is float or (type(x) is _ndarray and x.dtype.kind == "f")
    if is_usual and type(negative_slope) is float:
        return _kernels.leaky_relu(x, negative_slope, out, **ufunc_options)
    return _dispatch(_kernels.leaky_relu, x, negative_slope, out, ufunc_options)


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
        Shape and dtype as `leaky_relu` returns them.

    Raises
    ------
    TypeError
        If `x` is complex or not a number, or an option does not exist for the library of `x`.

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
    is_usual = type(x) is float or (type(x) is _ndarray and x.dtype.kind == "f")
    if is_usual and type(negative_slope) is float:
        return _kernels.leaky_relu_derivative(x, negative_slope, out, **ufunc_options)
    return _dispatch(_kernels.leaky_relu_derivative, x, negative_slope, out, ufunc_options)


def _dispatch(
    ufunc: np.ufunc, x: Any, negative_slope: Any, out: Any, ufunc_options: dict[str, Any]
) -> Any:
    """Compute `ufunc`, or what it stands for in the library of `x` or of the slope."""
    library = _library_of(x) or _library_of(negative_slope)
    if library is None:
        return _with_numpy(ufunc, x, negative_slope, out, ufunc_options)
    if ufunc_options:
        raise TypeError(
            f"{', '.join(f'{option}=' for option in ufunc_options)} is an option for NumPy arrays, "
            f"but an argument is an array of {library.__name__}; leave the option out"
        )
    with_library = _with_torch if library.__name__ == "torch" else _with_array_api
    return with_library(library, ufunc is _kernels.leaky_relu, x, negative_slope, out)


def _library_of(value: Any) -> Any:
    """Return torch, an Array API namespace, or None for what NumPy's ufunc handles."""
    if isinstance(value, (np.ndarray, np.generic, float, int, list, tuple)):
        return None
    torch = sys.modules.get("torch")  # before torch is imported there are no tensors
    if torch is not None and isinstance(value, torch.Tensor):
        return torch
    if hasattr(value, "__array_namespace__"):
        return value.__array_namespace__()
    return None


def _with_numpy(
    ufunc: np.ufunc, x: Any, negative_slope: Any, out: Any, ufunc_options: dict[str, Any]
) -> Any:
    dtype = getattr(x, "dtype", None)
    if isinstance(dtype, np.dtype) and dtype.kind in "biu" and type(negative_slope) is float:
        # Beside integers NumPy takes a Python float for a float64, but numpy.sin turns
        # int8 into float16 and int16 into float32.
        negative_slope = np.result_type(dtype, np.float16).type(negative_slope)
    try:
        return ufunc(x, negative_slope, out, **ufunc_options)
    except TypeError as error:
        for value in (x, negative_slope):
            dtype = getattr(value, "dtype", None) or np.asarray(value).dtype
            if getattr(dtype, "kind", "f") not in "biuf":
                raise _not_real(dtype) from error
        raise


def _not_real(dtype: Any) -> TypeError:
    return TypeError(
        f"leaky_relu is defined for real numbers, but was given dtype {dtype}; "
        "convert to a float dtype first"
    )


# Both functions below use one formula, the slope at each element, times x for the value:
# in it a gradient never meets the product of the side that was not chosen (inf * 0).


def _with_torch(torch: Any, want_value: bool, x: Any, negative_slope: Any, out: Any) -> Any:
    if not isinstance(x, torch.Tensor):
        x = torch.as_tensor(x, dtype=negative_slope.dtype, device=negative_slope.device)
    if x.is_complex():
        raise _not_real(x.dtype)
    if not x.is_floating_point():
        x = x.to(torch.get_default_dtype())
    if want_value and isinstance(negative_slope, (float, int)):
        if out is None:
            return torch.nn.functional.leaky_relu(x, negative_slope)
        return torch.ops.aten.leaky_relu.out(x, negative_slope, out=out)
    one = torch.ones((), dtype=x.dtype, device=x.device)
    slope = torch.where(x > 0, one, torch.as_tensor(negative_slope).to(one))
    result = x * slope if want_value else slope
    return result if out is None else out.copy_(result)


def _with_array_api(xp: Any, want_value: bool, x: Any, negative_slope: Any, out: Any) -> Any:
    if out is not None:
        raise TypeError(f"{xp.__name__} arrays can't be written to with out=; use what is returned")
    x = xp.asarray(x)
    if xp.isdtype(x.dtype, "complex floating"):
        raise _not_real(x.dtype)
    if not xp.isdtype(x.dtype, "real floating"):
        x = xp.astype(x, xp.asarray(0.0).dtype)
    one, a = (xp.asarray(value, dtype=x.dtype) for value in (1.0, negative_slope))
    slope = xp.where(x > 0, one, a)
    return x * slope if want_value else slope
