"""Derivatives and loops in JAX; the same names as in `bayes_rpp._autodiff.torch`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from importlib import import_module
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray


def gradient(function: Callable[[jax.Array], jax.Array], z: jax.Array) -> jax.Array:
    """Of a function that takes each row of z to one number: (..., d) to (..., d)."""
    # What the function's layers hold is made again in the backward pass: twice as fast as to keep it for a whole loop.
    return jax.checkpoint(jax.grad(lambda z: function(z).sum()), prevent_cse=False)(z)


def loop(body: Callable[[Any, Any], tuple[Any, Any]], start: Any, values: Any, length: int | None = None) -> Any:
    """(state, v) -> (state, y) over the rows v of `values`, or so often with None: the last state, all y stacked.

    The body is compiled once.
    """
    return jax.lax.scan(body, start, values, length=length)


def on_numpy(function: Callable[..., jax.Array], params: Mapping[str, Any], x: NDArray) -> NDArray:
    """The function of numpy arrays, compiled once for each shape; in float64 if the weights are."""
    dtype = np.result_type(*params.values())
    with x64() if dtype == np.float64 else nullcontext():
        arrays = {k: jnp.asarray(w, dtype=dtype) for k, w in params.items()}
        return np.array(_compiled(function)(arrays, jnp.asarray(x, dtype=dtype)))  # a copy, as JAX's own is read-only


@lru_cache(maxsize=16)
def _compiled(function: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    return jax.jit(function)


def x64() -> AbstractContextManager[Any]:
    """float64 within, without a change to the process."""
    # Since JAX 0.8 at home in jax itself.
    home = jax if hasattr(jax, "enable_x64") else import_module("jax.experimental")
    return home.enable_x64(True)
