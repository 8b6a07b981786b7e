"""Residuals attached to the layers of an nnx module: a softened layer gives what it gave, and its residual's output."""

from __future__ import annotations

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from bayes_rpp.networks.soften.flax.layers import Apply


class Coordinates(nnx.Module):
    """A weight that is sigma b.

    Args:
        shape: of the weight.
        dtype: of its layer.
        scale: of sigma.
        sigma: a number, or the logarithm of one that is learned.
    """

    def __init__(self, shape: tuple[int, ...], dtype: Any, scale: float, sigma: Any) -> None:
        self.b = nnx.Param(jnp.zeros(shape, dtype=dtype))
        self.scale = scale
        self.sigma = sigma

    def __call__(self) -> jax.Array:
        sigma = jnp.exp(self.sigma[...]) if isinstance(self.sigma, nnx.Param) else self.sigma
        return self.scale * sigma * self.b[...]

    def penalty(self) -> jax.Array:
        """-log density, up to a constant."""
        return 0.5 * jnp.square(self.b[...]).sum()


class Residual(nnx.Module):
    """What is added to a layer's output.

    Args:
        apply: how weights act, a function of (weight, bias, x).
        shape: of the weight.
        weight, bias: None: zero, and none.
    """

    def __init__(
        self, apply: Apply, shape: tuple[int, ...], weight: Coordinates | None, bias: Coordinates | None
    ) -> None:
        self.apply, self.shape = apply, shape
        self.weight, self.bias = weight, bias

    def __call__(self, x: Any) -> Any:
        bias = None if self.bias is None else self.bias()
        weight = jnp.zeros(self.shape, x.dtype) if self.weight is None else self.weight()
        return self.apply(weight, bias, x)


@cache
def with_residual(kind: Any) -> type:
    """A subclass whose layers add their `residual`, so that isinstance and attributes work."""

    def call(self: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
        return kind.__call__(self, x, *args, **kwargs) + self.residual(x)

    names = {
        "__call__": call,
        "__module__": kind.__module__,
        "__doc__": kind.__doc__,
        "__qualname__": kind.__qualname__,
    }
    return type(kind.__name__, (kind,), names)


def attach(layer: Any, residual: Residual) -> None:
    """Have a layer give what it gives and its residual's output."""
    kind: Any = type(layer)
    object.__setattr__(layer, "__class__", with_residual(kind))
    layer.residual = residual


def detach(layer: Any) -> Residual | None:
    """Undo `attach`; returns the residual."""
    found = getattr(layer, "residual", None)
    if not isinstance(found, Residual):
        return None
    del layer.residual
    object.__setattr__(layer, "__class__", type(layer).__mro__[1])
    return found
