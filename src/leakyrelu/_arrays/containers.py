"""Arrays with names or units: these are kept, and the arrays inside are computed."""

from __future__ import annotations

from typing import Any

import numpy as np

from leakyrelu._arrays.dispatch import (
    SQUARED,
    Arguments,
    Options,
    apply,
    computes,
    is_of,
    refuse_out,
)
from leakyrelu._kernels import ufuncs

__all__ = ["has_names"]


# --- Names ---------------------------------------------------------------------------------


def has_names(value: Any) -> bool:
    """Whether the dimensions of `value` have names, by which slopes are matched to them."""
    named = "DataArray", "Dataset", "Variable"
    return type(value) is not np.ndarray and is_of(value, "xarray", *named)


@computes("xarray", "DataArray", "Dataset", "Variable")
def _with_xarray(ufunc: np.ufunc, arguments: Arguments, out: Any, options: Options) -> Any:
    import xarray

    refuse_out("xarray", out)
    if has_names(options.get("where")):
        raise TypeError("where= goes by position, not by name; give its .values, or use x.where()")
    set_options = xarray.get_options()
    return xarray.apply_ufunc(
        lambda *arrays: apply(ufunc, arrays, None, options),
        *arguments,
        dask="allowed",
        join=set_options["arithmetic_join"],
        keep_attrs=set_options["keep_attrs"] is not False,
    )


# --- Units ---------------------------------------------------------------------------------
#
# Scaling x scales the value alike, so the value has the unit of x. Derivatives are plain numbers,
# and slopes have to be.


@computes("astropy.units", "Quantity")
@computes("pint", "Quantity")
def _with_units(ufunc: np.ufunc, arguments: Arguments, out: Any, options: Options) -> Any:
    for position, value in enumerate(arguments):
        if unit := _unit(value):
            if position > 0 and position == len(arguments) - 1:
                arguments = [*arguments[:-1], _plain_slope(value)]
            elif not _has_absolute_zero(value):
                raise TypeError(
                    f"{ufunc.__name__} keeps 0 at 0, but 0 {unit} is an offset or a logarithm; "
                    "convert to a unit with an absolute zero first"
                )
    unit = None if ufunc is ufuncs.leaky_relu_derivative else _unit(arguments[0])
    if unit is not None and ufunc in SQUARED:
        unit = unit**2
    if out is not None and _unit(out) != unit:
        raise TypeError(f"the result has unit {unit}, but out has {_unit(out)}; give them the same")
    magnitudes = [_magnitude(value) for value in arguments]
    result = apply(ufunc, magnitudes, None if out is None else _magnitude(out), options)
    if out is not None:
        return out
    if unit is None:
        return result
    return result << unit if hasattr(arguments[0], "unit") else type(arguments[0])(result, unit)


def _unit(value: Any) -> Any:
    if is_of(value, "pint", "Quantity"):
        return value.units
    return value.unit if is_of(value, "astropy.units", "Quantity") else None


def _magnitude(value: Any) -> Any:
    if is_of(value, "pint", "Quantity"):
        return value.magnitude
    return value.value if is_of(value, "astropy.units", "Quantity") else value


def _plain_slope(slope: Any) -> Any:
    try:
        return slope.to_value("") if hasattr(slope, "unit") else slope.m_as("")
    except Exception as error:  # each library raises its own
        if type(error).__name__ not in ("UnitConversionError", "DimensionalityError"):
            raise
        raise TypeError(
            f"a slope must be a plain number, but has unit {_unit(slope)}; give it without a unit"
        ) from error


def _has_absolute_zero(value: Any) -> bool:
    if hasattr(value, "unit"):
        if hasattr(value.unit, "physical_unit"):  # as logarithmic units have
            return False
        return not {"deg_C", "deg_F", "dex"} & {base.name for base in value.unit.decompose().bases}
    return bool(type(value)(0.0, value.units).to_base_units().magnitude == 0)
