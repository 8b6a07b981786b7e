"""Derivatives and loops in JAX; the same names as in `bayes_rpp.engines.torch`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache, partial
from importlib import import_module
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

Split = Callable[[jax.Array], tuple[tuple[jax.Array, ...], tuple[jax.Array, ...]]]


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


def precise() -> AbstractContextManager[Any]:
    """Products within in the precision of their factors: on a GPU JAX rounds float32 to TF32, an error of 1e-3, which
    in a projection is a residual that is not there."""
    return jax.default_matmul_precision("float32") if jax.default_backend() == "gpu" else nullcontext()


@partial(jax.custom_jvp, nondiff_argnums=(0, 2))
def sums_of_squares(split: Split, w: jax.Array, dims: int) -> tuple[jax.Array, ...]:
    """|C_k w|^2 over the last dims of w, for orthogonal projectors C_k; split(w) gives all sums and all parts C_k w.

    The derivative 2 C_k w is at hand then, and takes no further projection.
    """
    return split(w)[0]


@sums_of_squares.defjvp
def _slopes(split: Split, dims: int, primals: Any, tangents: Any) -> Any:
    (w,), (dw,), over = primals, tangents, tuple(range(-dims, 0))
    sums, parts = split(w)
    return sums, tuple(2.0 * (c * dw).sum(over) for c in parts)


def external(function: Callable[[NDArray], tuple[float, NDArray]], z: jax.Array) -> jax.Array:
    """See `Engine.external`."""
    shapes = (jax.ShapeDtypeStruct((), z.dtype), jax.ShapeDtypeStruct(z.shape, z.dtype))

    def on_host(z: Any) -> tuple[NDArray, NDArray]:
        value, slope = function(np.asarray(z, dtype=np.float64))
        return np.asarray(value, dtype=shapes[0].dtype), np.asarray(slope, dtype=shapes[1].dtype)

    @jax.custom_vjp
    def number(z: jax.Array) -> jax.Array:
        return jax.pure_callback(on_host, shapes, z, vmap_method="sequential")[0]

    def forward(z: jax.Array) -> tuple[jax.Array, jax.Array]:
        return jax.pure_callback(on_host, shapes, z, vmap_method="sequential")

    number.defvjp(forward, lambda slope, g: (g * slope,))
    return number(z)
