"""T of any Flax layer that is linear in its parameters, vec(W) = T theta, by automatic differentiation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.flatten_util import ravel_pytree
from numpy.typing import NDArray
from scipy import sparse

from bayes_rpp.engines.flax import view
from bayes_rpp.engines.jax import x64

LARGEST = 2_000_000_000  # numbers to be read off a layer
CHUNK = 2**22  # of them at once


def columns_of(layer: Any, input_shape: Sequence[int] | None) -> tuple[Any, Any, tuple[int, int]]:
    """T of a layer's matrix (outputs * inputs, k) and of its bias (outputs, k), None if it has none; (outputs, inputs).

    Raises:
        ValueError: as `SpanSubspace.of` says.
    """
    f = _Function(layer, input_shape)
    numbers = f.count * f.inputs * f.outputs
    if numbers > LARGEST:
        raise ValueError(
            f"{f.kind} has {f.count:,} parameters, {f.inputs:,} inputs and {f.outputs:,} outputs: {numbers:.2g} "
            f"numbers to read off, more than {LARGEST:.0e}; a smaller input_shape would do"
        )
    with f.precision():
        f.check()
        points = jnp.asarray(np.eye(f.inputs + 1, f.inputs, -1), dtype=f.dtype)  # zero, and the unit vectors
        zero = jnp.zeros(f.count, dtype=f.dtype)
        derivative = jax.jit(jax.vmap(lambda d: jax.jvp(lambda theta: f(theta, points), (zero,), (d,))[1]))
        at_once = min(f.count, max(1, CHUNK // ((f.inputs + 1) * f.outputs)))
        weights, biases = [], []
        for start in range(0, f.count, at_once):
            rows = jnp.asarray(np.eye(at_once, f.count, start), dtype=f.dtype)
            found = np.asarray(derivative(rows), dtype=np.float64)[: f.count - start]
            w = np.swapaxes(found[:, 1:] - found[:, :1], 1, 2).reshape(len(found), -1)
            weights.append(sparse.csr_array(_cleaned(w, f.exact)))
            biases.append(sparse.csr_array(_cleaned(found[:, 0], f.exact)))
        weight, bias = sparse.vstack(weights).T.tocsc(), sparse.vstack(biases).T.tocsc()
        f.compare(weight, bias)
    return weight, bias if bias.nnz else None, (f.outputs, f.inputs)


def matrix_of(layer: Any, input_shape: Sequence[int]) -> tuple[NDArray, NDArray]:
    """W (outputs, inputs) and b (outputs,) of an affine layer as it is."""
    f = _Function(layer, input_shape)
    with f.precision():
        y = np.asarray(f(f.theta, jnp.asarray(np.eye(f.inputs + 1, f.inputs, -1), dtype=f.dtype)), dtype=np.float64)
    return (y[1:] - y[0]).T, y[0]


def check_linear(layer: Any, input_shape: Sequence[int]) -> None:
    """Raise ValueError unless the layer is linear in its parameters and affine in its input."""
    f = _Function(layer, input_shape)
    with f.precision():
        f.check()


class _Function:
    """A layer as a function of (theta (k,), x (n, inputs)), in float64 if it can be run so."""

    def __init__(self, layer: Any, input_shape: Sequence[int] | None) -> None:
        self.kind = type(layer).__name__
        if input_shape is None:
            if not isinstance(layer, nnx.Linear) or not isinstance(layer.in_features, int):
                raise ValueError(
                    f"input_shape must be given, as {self.kind} does not say it itself, got None; (height, width, "
                    "channels), or whatever one example is, would do"
                )
            input_shape = (layer.in_features,)
        self.shape, self.inputs = tuple(input_shape), math.prod(input_shape)
        try:
            self._view = view(layer, self.shape)
        except Exception as error:  # linen modules run here
            raise ValueError(f"input_shape must suit {self.kind}, got {self.shape}, where it fails: {error}") from error
        if not self._view.values:
            raise ValueError(f"layer must have parameters, got {self.kind} without")
        self.exact = True
        try:
            y = self._try()
        except Exception:  # its code insists on float32
            self.exact = False
            try:
                y = self._try()
            except Exception as error:
                raise ValueError(
                    f"input_shape must suit {self.kind}, got {self.shape}, where it fails: {error}"
                ) from error
        if not hasattr(y, "shape") or y.shape[:1] != (2,) or not jnp.issubdtype(y.dtype, jnp.floating):
            raise ValueError(f"layer must give one real array (2, ...) for two examples, got {y} of {self.kind}")
        self.exact = self.exact and y.dtype == np.float64
        self.outputs, self._tolerance = math.prod(y.shape[1:]), float(jnp.finfo(y.dtype).eps) ** 0.5

    def _try(self) -> Any:
        self.dtype: Any = np.float64 if self.exact else np.float32
        self._double = self.exact
        with self.precision():
            values = {k: jnp.asarray(v, dtype=self.dtype) for k, v in self._view.values.items()}
            self.theta, self._unravel = ravel_pytree(values)
            self.count = self.theta.size
            return jax.eval_shape(self._view, values, jnp.zeros((2, *self.shape), dtype=self.dtype))

    def precision(self) -> AbstractContextManager[Any]:
        return x64() if self._double else nullcontext()

    def __call__(self, theta: Any, x: Any) -> Any:
        y = self._view(self._unravel(theta), x.reshape((-1, *self.shape)))
        return y.reshape((x.shape[0], self.outputs))

    def check(self) -> None:
        a, b, x, z = self._random(2, self.count) + self._random(2, 8, self.inputs)
        f = jax.jit(self)
        wrongs = {
            "linear in its parameters": (f(2 * a - 3 * b, x), 2 * f(a, x) - 3 * f(b, x)),
            "affine in its input": (f(a, 1.5 * x - 0.5 * z), 1.5 * f(a, x) - 0.5 * f(a, z)),
        }
        for what, (found, wanted) in wrongs.items():
            self._equal(found, wanted, f"not {what}")

    def compare(self, weight: Any, bias: Any) -> None:
        """Whether the matrices read off give what the layer does to several examples at once."""
        (theta,), (x,) = self._random(1, self.count), self._random(1, 8, self.inputs)
        w = (weight @ np.asarray(theta, dtype=np.float64)).reshape(self.outputs, self.inputs)
        y = np.asarray(x, dtype=np.float64) @ w.T + bias @ np.asarray(theta, dtype=np.float64)
        self._equal(jax.jit(self)(theta, x), y, "no function of each example by itself")

    def _random(self, count: int, *shape: int) -> list[Any]:
        rng = np.random.default_rng(len(shape))
        return [jnp.asarray(rng.normal(size=shape), dtype=self.dtype) for _ in range(count)]

    def _equal(self, found: Any, wanted: Any, wrong: str) -> None:
        error, size = float(jnp.abs(found - wanted).max()), float(jnp.abs(wanted).max())
        if not error <= self._tolerance * size:
            raise ValueError(f"{self.kind} is {wrong}: outputs of a size of {size:.2g} are off by {error:.2g}")


def _cleaned(values: NDArray, exact: bool) -> NDArray:
    """Without what rounding leaves of zeros."""
    return np.where(np.abs(values) > (1e-12 if exact else 1e-6) * np.abs(values).max(initial=0.0), values, 0.0)
