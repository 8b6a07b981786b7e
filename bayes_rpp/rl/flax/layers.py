"""The perceptrons of `rl.torch.layers` in Flax: W = s Q beta + (sigma_b / sigma_a) V, all weights as one vector."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from bayes_rpp.rl.layout import Layout


class SoftMLP(nn.Module):
    """Perceptrons of two pathways: (n, d_in) to (members, n, d_out).

    Attributes:
        layout: of the weights.
        sigma_a, sigma_b: standard deviations of the pathways; 0 leaves one out.
        members: networks of their own, as SAC has two critics.
        dropout_rate, layer_norm: after each hidden layer, before its activation, as in DroQ. The norm has no scales or
            offsets of its own, so that it commutes with the group.

    The parameter `ratio` of two pathways is sigma_b / sigma_a; it has no gradient. The equivariant pathway starts at
    the projection of Flax's initial values, scaled to their size, and the residual at zero.
    """

    layout: Layout
    sigma_a: float
    sigma_b: float
    members: int = 1
    activation: Callable[[Any], Any] = nn.relu
    dropout_rate: float = 0.0
    layer_norm: bool = False

    def setup(self) -> None:
        a, b = self.sigma_a, self.sigma_b
        if a > 0:
            self.beta = self.param("beta", lambda key: self._encoded(self._start(key)))
        if b > 0:
            self.residual = self.param("residual", lambda key: (0 if a > 0 else 1) * self._start(key))
        if a > 0 and b > 0:
            self.ratio = self.param("ratio", lambda key: jnp.float32(b / a))

    def _start(self, key: Any) -> jax.Array:
        def one(key: Any) -> jax.Array:
            keys, weight = jax.random.split(key, len(self.layout.shapes)), nn.initializers.lecun_normal(1, 0)
            parts = [
                weight(k, shape) if len(shape) == 2 else jnp.zeros(shape)
                for k, shape in zip(keys, self.layout.shapes, strict=True)
            ]
            return jnp.concatenate([part.ravel() for part in parts])

        return jnp.stack([one(k) for k in jax.random.split(key, self.members)])

    def _encoded(self, weights: jax.Array) -> jax.Array:
        # `Layout.encoded`, which Flax traces.
        layout = self.layout
        beta = jnp.zeros((self.members, layout.rank)).at[:, layout.index].add(weights[:, :, None] * layout.values)
        return beta / layout.norms

    def weights(self) -> jax.Array:
        """The merged weights and biases, (members, number of weights)."""
        if self.sigma_a == 0:
            return self.residual
        index, values = self.layout.index, jnp.asarray(self.layout.values, jnp.float32)
        w = sum((self.beta[:, index[:, k]] * values[:, k] for k in range(index.shape[1])), jnp.float32(0))
        return w + jax.lax.stop_gradient(self.ratio) * self.residual if self.sigma_b > 0 else w

    def __call__(self, x: jax.Array) -> jax.Array:
        return jnp.stack([self._member(x, w, len(self.layout.shapes)) for w in self.weights()])

    def features(self, x: jax.Array) -> jax.Array:
        """What the last layer of the first member is given, (n, width)."""
        return self._hidden(self._member(x, self.weights()[0], len(self.layout.shapes) - 2))

    def _member(self, x: jax.Array, w: jax.Array, stop: int) -> jax.Array:
        start = 0
        for k in range(0, stop, 2):
            (rows, columns), size = self.layout.shapes[k], self.layout.sizes[k]
            if k:
                x = self._hidden(x)
            kernel, bias = w[start : start + size].reshape(rows, columns), w[start + size : start + size + rows]
            x, start = x @ kernel.T + bias, start + size + rows
        return x

    def _hidden(self, x: jax.Array) -> jax.Array:
        if self.dropout_rate > 0:
            keep = jax.random.bernoulli(self.make_rng("dropout"), 1 - self.dropout_rate, x.shape)
            x = jnp.where(keep, x / (1 - self.dropout_rate), 0.0)
        if self.layer_norm:
            x = (x - x.mean(-1, keepdims=True)) * jax.lax.rsqrt(x.var(-1, keepdims=True) + 1e-6)
        return self.activation(x)
