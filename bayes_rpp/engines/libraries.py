"""Derivatives, loops and constants of torch and JAX, for what is written once for arrays of either."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np
from array_api_compat import is_jax_array, is_torch_array
from numpy.typing import NDArray

from bayes_rpp._arrays import Array, constant, indices
from bayes_rpp._imports import load_module
from bayes_rpp._types import EngineName
from bayes_rpp.engines.base import ENGINES


class Derivatives(Protocol):
    """What `bayes_rpp.engines.torch` and `bayes_rpp.engines.jax` offer under the same names."""

    def gradient(self, function: Callable[[Any], Any], z: Any) -> Any: ...

    def loop(
        self, body: Callable[[Any, Any], tuple[Any, Any]], start: Any, values: Any, length: int | None = None
    ) -> Any: ...

    def on_numpy(self, function: Callable[..., Any], params: Mapping[str, Any], x: NDArray) -> NDArray: ...

    def sums_of_squares(self, split: Callable[..., Any], w: Any, dims: int) -> tuple[Any, ...]: ...


def library_of(x: Array, engines: Sequence[EngineName]) -> tuple[Derivatives, bool]:
    """The `Derivatives` that fit an array, and whether the array is one of its own; any other array goes to what is
    loaded already, or else installed, of these engines.

    Raises:
        ImportError: if neither is.
    """
    if is_torch_array(x) or is_jax_array(x):
        return _module("torch" if is_torch_array(x) else "jax"), True
    libraries = [ENGINES[e].arrays for e in engines]
    found = [name for name in libraries if name in sys.modules] or [name for name in libraries if find_spec(name)]
    if not found:
        raise ImportError(
            f"derivatives of numpy arrays need {' or '.join(libraries)}, which is not installed; the extra "
            f"{' or '.join(engines)} of bayes-rpp would do"
        )
    return _module(found[0]), False


def fixed(value: np.ndarray, like: Array) -> Array:
    """`constant` of an array that is never changed: torch has it converted once, for as long as it lives."""
    return _module("torch").converted(value, like) if is_torch_array(like) else constant(value, like)


def fixed_indices(value: np.ndarray, like: Array) -> Array:
    """`indices` likewise: on a GPU each call of `indices` is a transfer."""
    return _module("torch").converted_indices(value, like) if is_torch_array(like) else indices(value, like)


@cache
def _module(library: str) -> Any:
    return load_module(f"bayes_rpp.engines.{library}")
