"""Softened Flax modules as plain nnx modules: their own layers where the weights allow it, else linear maps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from numpy.typing import NDArray

from bayes_rpp._arrays import Array
from bayes_rpp.engines.flax import at, parameters_of
from bayes_rpp.networks.soften.flax.layers import Apply, to_kernel
from bayes_rpp.networks.soften.flax.soften import FlaxNetwork
from bayes_rpp.networks.soften.options import joined
from bayes_rpp.priors.subspaces.convolution import ConvolutionSubspace

WITHIN = 1e-6  # relative distance from convolutions at which a weight counts as one


class LinearMap(nnx.Module):
    """The linear map that a softened layer has become.

    Args:
        apply: function of (weight, bias, x).
        weight, bias: matrices of all inputs, or of those that are near.
    """

    def __init__(self, apply: Apply, weight: Any, bias: Any) -> None:
        self.apply = apply
        self.weight = nnx.Param(jnp.asarray(weight))
        self.bias = None if bias is None else nnx.Param(jnp.asarray(bias))

    def __call__(self, x: Any) -> Any:
        return self.apply(self.weight[...], None if self.bias is None else self.bias[...], x)


def check_nnx(module: Any, name: str = "module") -> None:
    """Raise TypeError for a module of linen, which holds no layers that others could take the place of."""
    if not isinstance(module, nnx.Module):
        raise TypeError(
            f"{name} must be an nnx module, got one of linen ({type(module).__name__}); flax.nnx.bridge.ToNNX(module, "
            "rngs=...), initialised by lazy_init, would do"
        )


def plain(net: FlaxNetwork, params: Mapping[str, Array]) -> nnx.Module:
    """See `bayes_rpp.networks.to_flax`."""
    check_nnx(net.module, "net's module")
    module: Any = nnx.clone(net.module)
    values: dict[str, NDArray] = {}
    for name in net.parameters:
        w = np.asarray(params[name])
        values[name] = w + np.asarray(net.center[name], dtype=w.dtype) if name in net.center else w
    module = fill(net, module, values)
    module.eval()
    return module


def fill(net: FlaxNetwork, module: Any, values: Mapping[str, NDArray]) -> Any:
    """Give a module these weights, by the network's names; it is changed, and returned unless it is a single layer that
    another takes the place of."""
    own = parameters_of(module)
    for name, w in values.items():
        path = name.rpartition(".")[0]
        if name in net.turned:
            _set(own[net.turned[name]], to_kernel(w))
        elif path not in net.replaced:
            _set(own[name], w)
    for path, (apply, _) in net.replaced.items():
        weight, bias = values[joined(path, "weight")], values.get(joined(path, "bias"))
        if not _fill_convolution(net, path, own, weight, bias):
            like = next(v for k, v in own.items() if k.startswith(joined(path, "")))
            arrays = (None if w is None else jnp.asarray(w, like[...].dtype) for w in (weight, bias))
            module = _put(module, path, LinearMap(apply, *arrays))
    return module


def _fill_convolution(net: FlaxNetwork, path: str, own: Mapping[str, Any], weight: NDArray, bias: Any) -> bool:
    """Give a convolution its kernel, if its weights are one."""
    conv = net.parameters[joined(path, "weight")].subspace
    if not isinstance(conv, ConvolutionSubspace):
        return False
    each = None if bias is None else bias.reshape(conv.out_channels, -1)
    gaps = [(weight - conv.project(weight), weight)]
    gaps += [] if each is None else [(each - each.mean(1, keepdims=True), each)]
    if any(np.linalg.norm(gap) > WITHIN * np.linalg.norm(whole) for gap, whole in gaps):
        return False
    _set(own[joined(path, "kernel")], to_kernel(conv.kernel(weight)))
    if each is not None:
        _set(own[joined(path, "bias")], each.mean(1))
    return True


def _set(variable: Any, value: Any) -> None:
    new = jnp.asarray(value, dtype=variable[...].dtype)
    variable.copy_from(variable.replace(new))  # by [...] flax 0.10 would write into the array


def _put(module: Any, path: str, new: nnx.Module) -> Any:
    """The module with another one at a path."""
    if not path:
        return new
    above, _, name = path.rpartition(".")
    parent = at(module, above)
    if name.isdigit():
        parent[int(name)] = new
    elif hasattr(parent, "__setitem__"):
        parent[name] = new
    else:
        setattr(parent, name, new)
    return module
