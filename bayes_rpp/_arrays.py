"""Small helpers over the array API standard: one code for numpy, torch and JAX arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_torch_array

Array = Any  # an array of any supported library

__all__ = [
    "Array",
    "array_namespace",
    "constant",
    "finite_array",
    "fixed",
    "indices",
    "real_array",
    "sigmoid",
    "swish",
    "whole_number",
]


def constant(value: np.ndarray, like: Array) -> Array:
    """A numpy constant as an array of the same library, dtype and device as `like`."""
    xp = array_namespace(like)
    if is_torch_array(like):
        return xp.asarray(np.array(value), dtype=like.dtype, device=like.device)
    return xp.asarray(value, dtype=like.dtype)


def fixed(value: np.ndarray, like: Array) -> Array:
    """`constant` of an array that is never changed: torch has it converted once, for as long as it lives."""
    if is_torch_array(like):
        from bayes_rpp._autodiff.torch import converted

        return converted(value, like)
    return constant(value, like)


def whole_number(value: Any, name: str) -> int:
    """Check a whole number >= 1; raises ValueError naming the argument."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{name} is {value!r}; a whole number >= 1 would do")
    return int(value)


def indices(value: np.ndarray, like: Array) -> Array:
    """Whole numbers to take entries by, as an array of the library and device of `like`."""
    xp = array_namespace(like)
    return xp.asarray(value, device=like.device) if is_torch_array(like) else xp.asarray(value)


def real_array(value: Any, name: str, advice: str) -> np.ndarray:
    """A user's array in float64; of complex dtypes only what has no imaginary part at all.

    Args:
        value: anything that numpy reads as numbers.
        name: of the argument, for errors.
        advice: how complex numbers are made real.

    Raises:
        ValueError: if it is complex, or no array of numbers.
    """
    try:
        a = np.asarray(value)
        if a.dtype == object:  # Python's numbers of several kinds
            a = np.array(a.tolist())
        if np.iscomplexobj(a) and not a.imag.any():
            a = a.real
        if not np.iscomplexobj(a):
            return np.asarray(a, dtype=np.float64)
    except (TypeError, ValueError, RuntimeError) as error:  # RuntimeError: torch's tensors that need a gradient
        raise ValueError(f"{name} cannot be read as an array of numbers: {error}") from error
    raise ValueError(f"{name} must be real, got complex numbers; {advice}")


def sigmoid(x: Array) -> Array:
    # tanh does not overflow for large |x|, as exp(-x) would.
    return 0.5 * (array_namespace(x).tanh(0.5 * x) + 1.0)


def swish(x: Array) -> Array:
    return x * sigmoid(x)


def finite_array(
    value: Any, name: str, *, columns: int | None = None, owner: str = "{} columns would do"
) -> np.ndarray:
    """Check a user's 2-d array: numbers, finite, as many columns as asked for.

    Raises:
        TypeError, ValueError: naming the argument, what was given and what would do.
    """
    try:
        a = np.asarray(value)
    except Exception as error:  # torch tensors that need a gradient, ragged lists
        raise TypeError(f"{name} cannot be read as an array: {error}") from error
    if a.dtype == object or not (np.issubdtype(a.dtype, np.number) or a.dtype == bool):
        raise TypeError(f"{name} has dtype {a.dtype}; numbers would do")
    if np.iscomplexobj(a):
        raise TypeError(f"{name} is complex; real numbers would do")
    if a.ndim != 2:
        hint = f"; {name}[:, None] makes it one column" if a.ndim == 1 else ""
        raise ValueError(f"{name} has shape {a.shape}; two dimensions (examples, columns) would do{hint}")
    if columns is not None and a.shape[1] != columns:
        raise ValueError(f"{owner.format(columns)} but {name} has {a.shape[1]} columns")
    if not np.isfinite(a).all():
        rows = np.flatnonzero(~np.isfinite(a).all(axis=1))
        raise ValueError(
            f"{name} has NaN or infinite values in {len(rows)} of {len(a)} rows (first: row {rows[0]}); "
            "drop or fill them"
        )
    return a
