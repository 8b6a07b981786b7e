"""`to_torch` and `to_flax`: a network with its weights as a plain module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_rpp._arrays import Array
from bayes_rpp._given import described
from bayes_rpp.networks.network import Network
from bayes_rpp.networks.soften.module import ModuleNetwork

if TYPE_CHECKING:
    import torch
    from flax import nnx


def to_torch(net: Network, params: Mapping[str, Array]) -> torch.nn.Module:
    """A plain torch module that computes net(params, x): trainable, with a state_dict, in evaluation mode.

    An MLP becomes nn.Sequential, a ConvNet too, an EMLP nn.Linear layers with its gates and bilinear layers between
    them, and a softened module is itself again, with its inputs and outputs, and its layers' weights merged: a
    convolution whose weight is one is nn.Conv, any other linear map nn.Linear, or, of local weights, a kernel for each
    position.

    Args:
        net: EMLP, MLP, ConvNet, or what `soften` makes of a torch module.
        params: weights by parameter name, (*shape) each, such as one draw of a posterior.

    Raises:
        TypeError: for other networks.
        ValueError: if a weight is missing or of another shape.
    """
    _check(net, params)
    from bayes_rpp.networks.export.torch import plain

    return plain(net, params)


def to_flax(net: Network, params: Mapping[str, Array]) -> nnx.Module:
    """A plain nnx module that computes net(params, x): the module that was softened, with these weights, in evaluation
    mode. A convolution whose weight is one stays nnx.Conv; any other softened layer is a linear map of this package.

    Args:
        net: what `soften` makes of an nnx module.
        params: weights by parameter name, (*shape) each, such as one draw of a posterior.

    Raises:
        TypeError: for other networks, linen's among them.
        ValueError: if a weight is missing or of another shape.
    """
    _check(net, params)
    if "numpyro" not in net.engines or not isinstance(net, ModuleNetwork):
        raise TypeError(
            f"net must be what soften makes of an nnx module, got a {type(net).__name__}; to_torch would do"
        )
    from bayes_rpp.networks.export.flax import plain

    return plain(net, params)  # type: ignore[arg-type]


def _check(net: Any, params: Mapping[str, Array]) -> None:
    if not isinstance(net, Network):
        raise TypeError(f"net must be a Network, got {described(net)}")
    for name, parameter in net.parameters.items():
        shape: Any = np.shape(params[name]) if name in params else None
        if shape != parameter.shape:
            found = "is missing" if shape is None else f"has shape {shape}"
            raise ValueError(f"params[{name!r}] must have shape {parameter.shape}, got one that {found}")
