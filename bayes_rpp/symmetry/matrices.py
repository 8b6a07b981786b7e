"""Matrices from users: real, finite and of the right shape, or an error that names the argument."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayes_rpp._given import float64_array

Array = NDArray[np.float64]


def real_matrices(value: Any, name: str) -> Array:
    """`float64_array`, with the advice for complex matrices: those of a group of C^d act on R^(2d).

    Raises:
        ValueError: naming the argument.
    """
    return float64_array(
        value,
        name,
        "a group acts on real vectors, and complex d x d matrices m act on R^(2d), the real parts before the imaginary "
        "ones, as np.block([[m.real, -m.imag], [m.imag, m.real]]), which would do",
    )


def square_matrices(value: ArrayLike, dim: int, name: str) -> Array:
    """(count, dim, dim) from one matrix or several; an empty list is none.

    Raises:
        ValueError: naming the argument.
    """
    a = real_matrices(value, name)
    if a.size == 0:
        return np.zeros((0, dim, dim))
    if a.ndim == 2:
        a = a[None]
    if a.shape[1:] != (dim, dim):
        raise ValueError(f"{name} must be matrices of shape (count, {dim}, {dim}), got shape {a.shape} (dim={dim})")
    if not np.isfinite(a).all():
        raise ValueError(f"{name} must be finite, got NaN or infinite values")
    return a


def is_whole(value: Any) -> bool:
    if isinstance(value, (float, np.floating)):
        return float(value).is_integer()
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)
