"""The weights that layers of a Flax module have of their own, W = C theta: their values, and norms for the prior."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from numpy.typing import NDArray
from scipy import sparse

from bayes_rpp.engines.flax import view
from bayes_rpp.networks.soften.flax.soften import FlaxNetwork
from bayes_rpp.networks.soften.options import joined
from bayes_rpp.priors.subspaces.convolution import ConvolutionSubspace
from bayes_rpp.priors.subspaces.flax import columns_of

Theta = Callable[[Mapping[str, Any]], jax.Array]


@dataclass(frozen=True, eq=False)
class Own:
    """One weight of a layer.

    Attributes:
        theta: of the module's parameters by name: the layer's own ones, (k,).
        value: of theta (k,), numpy: the weight W.
        gram: C^T C, (k, k) sparse; None: the identity.
    """

    theta: Theta
    value: Callable[[NDArray], NDArray]
    gram: sparse.coo_array | None = None

    def square(self, theta: jax.Array) -> jax.Array:
        """|C theta|^2."""
        if self.gram is None:
            return (theta * theta).sum()
        return (theta[self.gram.row] * theta[self.gram.col] * jnp.asarray(self.gram.data, theta.dtype)).sum()


def own_weights(net: FlaxNetwork, layer: Callable[[str], Any], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Own]:
    """By the network's names.

    Args:
        net: what `soften` made of the module.
        layer: path -> a layer of the module.
        shapes: path -> the shape of an example of its input, of those that are softened.
    """
    found: dict[str, Own] = {}
    for name, parameter in net.parameters.items():
        if name in found:
            continue
        path, shape = name.rpartition(".")[0], parameter.shape
        if name in net.turned:  # a kernel, with its last two axes first
            found[name] = Own(_turned(net.turned[name]), lambda t, shape=shape: t.reshape(shape))  # type: ignore[misc]
        elif path not in net.replaced:
            found[name] = Own(lambda v, name=name: v[name].reshape(-1), lambda t, shape=shape: t.reshape(shape))  # type: ignore[misc]
        elif isinstance(net.parameters[joined(path, "weight")].subspace, ConvolutionSubspace):
            found |= _of_convolution(path, net)
        else:
            found |= _read_off(path, net, layer(path), shapes[path])
    return {name: found[name] for name in net.parameters}


def _turned(name: str) -> Theta:
    return lambda values: jnp.moveaxis(values[name], (-1, -2), (0, 1)).reshape(-1)


def _of_convolution(path: str, net: FlaxNetwork) -> dict[str, Own]:
    conv: Any = net.parameters[joined(path, "weight")].subspace
    positions, pairs = math.prod(conv.output_size), conv.out_channels * (conv.in_channels // conv.groups)
    taps = sparse.coo_array(conv.tap_coordinates @ conv.tap_coordinates.T)
    gram = sparse.coo_array(sparse.kron(sparse.eye_array(pairs), taps))
    shape = (conv.out_channels, -1, *conv.kernel_size)
    weight = Own(_turned(joined(path, "kernel")), lambda t: np.asarray(conv.from_kernel(t.reshape(shape))), gram)
    found = {joined(path, "weight"): weight}
    if (name := joined(path, "bias")) in net.parameters:
        gram = sparse.coo_array(positions * sparse.eye_array(conv.out_channels))
        found[name] = Own(lambda v: v[name].reshape(-1), lambda t: np.repeat(t, positions), gram)
    return found


def _read_off(path: str, net: FlaxNetwork, layer: Any, shape: tuple[int, ...]) -> dict[str, Own]:
    """Any other layer that is linear."""
    prefix = joined(path, "")

    def theta(values: Mapping[str, Any]) -> jax.Array:
        found = {k.removeprefix(prefix): v for k, v in values.items() if k.startswith(prefix)}
        flat: jax.Array = ravel_pytree({k: found[k] for k in names})[0]
        return flat

    weight, bias, _ = columns_of(layer, shape)
    names = list(view(layer, shape).values)
    found = {}
    for what, columns in (("weight", weight), ("bias", bias)):
        if (name := joined(path, what)) in net.parameters:
            size = net.parameters[name].shape
            gram = sparse.coo_array(columns.T @ columns)
            found[name] = Own(theta, lambda t, c=columns, size=size: (c @ t).reshape(size), gram)  # type: ignore[misc]
    return found
