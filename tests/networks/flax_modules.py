"""Flax modules to soften, nnx and linen."""

import jax
import jax.numpy as jnp
from flax import linen, nnx

SHAPE = (4, 6, 2)  # of the CNNs' images
module_list = getattr(nnx, "List", list)  # flax 0.10 has none


class Gain(nnx.Module):
    """A layer of one's own that is linear."""

    def __init__(self, n, rngs):
        self.gain = nnx.Param(jax.random.normal(rngs.params(), (n,)))

    def __call__(self, x):
        return x * self.gain[...]


class CNN(nnx.Module):
    def __init__(self, seed=0):
        rngs = nnx.Rngs(seed)
        self.layers = module_list([nnx.Conv(2, 3, (3, 3), rngs=rngs), nnx.Conv(3, 2, (3, 3), strides=2, rngs=rngs)])
        self.norm = nnx.BatchNorm(3, rngs=rngs)
        self.norm.mean[...] = jnp.asarray([0.1, -0.2, 0.3])
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.gain = Gain(2, rngs)
        self.out = nnx.Linear(12, 2, rngs=rngs)

    def __call__(self, x):
        x = self.dropout(nnx.relu(self.norm(self.layers[0](x))))
        x = self.gain(nnx.relu(self.layers[1](x)))
        return self.out(x.reshape((len(x), -1)))


class Block(linen.Module):
    @linen.compact
    def __call__(self, x, train: bool):
        x = linen.BatchNorm()(linen.Conv(3, (3, 3))(x), use_running_average=not train)
        return linen.Dropout(0.5, deterministic=not train)(linen.relu(x))


class LinenCNN(linen.Module):
    @linen.compact
    def __call__(self, x, train: bool = True):
        x = linen.Conv(2, (2, 2), strides=2, padding="VALID")(Block()(x, train))
        return linen.Dense(2)(x.reshape((len(x), -1)))


class One(nnx.Module):
    """A layer, then whatever makes rows of its output."""

    def __init__(self, layer):
        self.layer = layer

    def __call__(self, x):
        return self.layer(x).reshape((len(x), -1))
