"""The functions as a type checker sees them: what goes in decides what comes out.

Each decorator leaves the function as it is, and gives it a type with overloads: a float gives a
float64, an array of floats one of its dtype, other arrays and lists an array, and what belongs to
another library stays what it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar, overload

import numpy as np
import numpy.typing as npt

__all__ = ["of_array", "of_bounds", "of_gradient", "of_slope", "of_weight"]

F = TypeVar("F", bound=np.floating[Any])
T = TypeVar("T")
Floats = npt.NDArray[np.floating[Any]]
Array = Sequence[Any] | npt.NDArray[Any]


class OfArray(Protocol):
    @overload
    def __call__(self, x: float, out: None = None, **options: Any) -> np.float64: ...
    @overload
    def __call__(self, x: npt.NDArray[F], out: Any = None, **options: Any) -> npt.NDArray[F]: ...
    @overload
    def __call__(self, x: Array, out: Any = None, **options: Any) -> Floats: ...
    @overload
    def __call__(self, x: T, out: Any = None, **options: Any) -> T: ...


class OfSlope(Protocol):
    @overload
    def __call__(
        self, x: float, negative_slope: float = 0.01, out: None = None, **options: Any
    ) -> np.float64: ...
    @overload
    def __call__(
        self, x: npt.NDArray[F], negative_slope: float = 0.01, out: Any = None, **options: Any
    ) -> npt.NDArray[F]: ...
    @overload
    def __call__(
        self,
        x: float | Array,
        negative_slope: float | Array = 0.01,
        out: Any = None,
        **options: Any,
    ) -> Floats: ...
    @overload
    def __call__(self, x: T, negative_slope: Any = 0.01, out: Any = None, **options: Any) -> T: ...


class OfGradient(Protocol):
    @overload
    def __call__(
        self,
        gradient: float,
        x: float,
        negative_slope: float = 0.01,
        out: None = None,
        **options: Any,
    ) -> np.float64: ...
    @overload
    def __call__(
        self,
        gradient: npt.NDArray[F],
        x: npt.NDArray[F],
        negative_slope: float = 0.01,
        out: Any = None,
        **options: Any,
    ) -> npt.NDArray[F]: ...
    @overload
    def __call__(
        self,
        gradient: float | Array,
        x: float | Array,
        negative_slope: float | Array = 0.01,
        out: Any = None,
        **options: Any,
    ) -> Floats: ...
    @overload
    def __call__(
        self,
        gradient: T,
        x: T,
        negative_slope: Any = 0.01,
        out: Any = None,
        **options: Any,
    ) -> T: ...


class OfWeight(Protocol):
    @overload
    def __call__(
        self, x: float, weight: float, axis: int = 1, out: None = None, **options: Any
    ) -> np.float64: ...
    @overload
    def __call__(
        self, x: npt.NDArray[F], weight: float, axis: int = 1, out: Any = None, **options: Any
    ) -> npt.NDArray[F]: ...
    @overload
    def __call__(
        self, x: Array, weight: float | Array, axis: int = 1, out: Any = None, **options: Any
    ) -> Floats: ...
    @overload
    def __call__(self, x: T, weight: Any, axis: int = 1, out: Any = None, **options: Any) -> T: ...


class OfBounds(Protocol):
    @overload
    def __call__(
        self,
        x: float,
        lower: float = 1 / 8,
        upper: float = 1 / 3,
        training: bool = False,
        rng: Any = None,
        out: None = None,
        **options: Any,
    ) -> np.float64: ...
    @overload
    def __call__(
        self,
        x: npt.NDArray[F],
        lower: float = 1 / 8,
        upper: float = 1 / 3,
        training: bool = False,
        rng: Any = None,
        out: Any = None,
        **options: Any,
    ) -> npt.NDArray[F]: ...
    @overload
    def __call__(
        self,
        x: Array,
        lower: float = 1 / 8,
        upper: float = 1 / 3,
        training: bool = False,
        rng: Any = None,
        out: Any = None,
        **options: Any,
    ) -> Floats: ...
    @overload
    def __call__(
        self,
        x: T,
        lower: float = 1 / 8,
        upper: float = 1 / 3,
        training: bool = False,
        rng: Any = None,
        out: Any = None,
        **options: Any,
    ) -> T: ...


def _unchanged(function: Any) -> Any:
    return function


of_array: Callable[[Any], OfArray] = _unchanged
of_slope: Callable[[Any], OfSlope] = _unchanged
of_gradient: Callable[[Any], OfGradient] = _unchanged
of_weight: Callable[[Any], OfWeight] = _unchanged
of_bounds: Callable[[Any], OfBounds] = _unchanged
