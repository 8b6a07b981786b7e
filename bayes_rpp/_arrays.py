"""Small helpers over the array API standard: one code for numpy, torch and JAX arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_torch_array

Array = Any  # an array of any supported library

__all__ = ["Array", "array_namespace", "constant", "frozen", "indices", "sigmoid", "swish", "whole_number", "zeros"]


def constant(value: np.ndarray, like: Array) -> Array:
    """A numpy constant as an array of the same library, dtype and device as `like`."""
    xp = array_namespace(like)
    if is_torch_array(like):
        return xp.asarray(np.array(value), dtype=like.dtype, device=like.device)
    return xp.asarray(value, dtype=like.dtype)


def whole_number(value: Any, name: str, least: int = 1) -> int:
    """Check a whole number >= least; raises ValueError naming the argument."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{name} must be a whole number >= {least}, got {value!r}")
    return int(value)


def frozen(value: np.ndarray) -> np.ndarray:
    """The same array, read-only from now on: what was computed from it stays right."""
    value.setflags(write=False)
    return value


def indices(value: np.ndarray, like: Array) -> Array:
    """Whole numbers to take entries by, as an array of the library and device of `like`."""
    xp = array_namespace(like)
    return xp.asarray(np.array(value), device=like.device) if is_torch_array(like) else xp.asarray(value)


def zeros(shape: tuple[int, ...], like: Array) -> Array:
    """Zeros of the library, dtype and device of `like`."""
    xp = array_namespace(like)
    device = {"device": like.device} if is_torch_array(like) else {}
    return xp.zeros(shape, dtype=like.dtype, **device)


def sigmoid(x: Array) -> Array:
    # tanh does not overflow for large |x|, as exp(-x) would.
    return 0.5 * (array_namespace(x).tanh(0.5 * x) + 1.0)


def swish(x: Array) -> Array:
    return x * sigmoid(x)
