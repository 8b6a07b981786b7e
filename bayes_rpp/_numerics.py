"""Norms, spreads and constancy of numbers of any size: their squares neither overflow nor vanish."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Axis = int | tuple[int, ...] | None
ROUNDING = 2.0  # spacings of floating-point numbers: how far, root mean square, a constant that was computed strays


def exponent(a: NDArray, axis: Axis = None) -> NDArray[Any]:
    """k, with dimensions kept, such that the largest |entry| of a / 2^k is between 1/2 and 1; 0 where all are zero.

    `np.ldexp(a, -k)` is that quotient, exactly.
    """
    high, low = (limit(axis=axis, keepdims=True, initial=0.0) for limit in (a.max, a.min))
    return np.frexp(np.maximum(high, -low))[1]


def norm(a: NDArray, axis: Axis = -1) -> NDArray[Any]:
    """Euclidean norm over an axis, float64."""
    return _root(a, axis, np.add.reduce)


def rms(a: NDArray, axis: Axis = None) -> NDArray[Any]:
    """Root mean square over an axis, float64."""
    return _root(a, axis, np.mean)


def _root(a: NDArray, axis: Axis, together: Any) -> NDArray[Any]:
    a = np.asarray(a, dtype=np.float64)
    k = exponent(a, axis)
    scaled = np.ldexp(a, -k)
    squares = np.multiply(scaled, scaled, out=scaled)
    return np.ldexp(np.sqrt(together(squares, axis=axis)), np.squeeze(k, axis=axis))


def varies(a: NDArray) -> NDArray[np.bool_]:
    """Whether each column of a (n, columns) varies by more than the rounding of its own type, (columns,)."""
    return rms(a - np.mean(a, axis=0, dtype=np.float64), axis=0) > ROUNDING * rounding(a)


def rounding(a: NDArray) -> NDArray[np.float64]:
    """The spacing of numbers of its type at the largest entry of each column of a (n, columns); 0 of whole numbers."""
    a = np.asarray(a)
    eps = np.finfo(a.dtype).eps if a.dtype.kind == "f" else 0.0
    return float(eps) * np.abs(a.astype(np.float64)).max(axis=0)
