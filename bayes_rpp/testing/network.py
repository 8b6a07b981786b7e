"""The contract of networks: pure functions of (parameters, inputs), the same for arrays of all libraries."""

from __future__ import annotations

from typing import Any

import numpy as np

from bayes_rpp._given import described
from bayes_rpp.engines.base import ENGINES, get_engine
from bayes_rpp.models.model import Model
from bayes_rpp.networks.network import Network, Parameter
from bayes_rpp.symmetry.equivariance import equivariance_error
from bayes_rpp.testing.arrays import libraries, pickled, same

ROUNDING = 1e-3  # of float32, through several layers, as a share of the largest output


def check_network(net: Network, *, equivariant: bool = True, seed: int = 0) -> None:
    """Check that a network does what models, methods and files ask of it.

    Outputs (n, rep_out.size), each from its own row of x, alike for numpy, torch and JAX arrays of the engines that
    `capabilities` names, and for many weights at once; frozen; built again by `replace()` unless it is code.

    Args:
        net: with weights that fit in memory some ten times.
        equivariant: whether weights in their subspaces make an equivariant function.
        seed: of the weights and inputs that are tried.

    Raises:
        AssertionError: naming what does not hold.
    """
    assert isinstance(net, Network), f"net must be a Network, got {described(net)}"
    rng = np.random.default_rng(seed)
    assert net.parameters, "parameters must have a weight"
    for name, p in net.parameters.items():
        assert isinstance(p, Parameter), f"parameters[{name!r}] must be a Parameter, got {p!r}"
    weights = drawn(net, rng)
    x = rng.normal(size=(5, net.rep_in.size)).astype(np.float32)
    f = np.asarray(net(weights, x))
    assert f.shape == (5, net.rep_out.size), f"outputs must have shape {(5, net.rep_out.size)}, got {f.shape}"
    assert np.isfinite(f).all(), "outputs must be finite"
    same(net(weights, x[2:3]), f[2:3], "the output of one row alone", ROUNDING)
    arrays = {name: make for name, make, _ in libraries()}
    for engine in net.engines:
        if (library := ENGINES[engine].arrays) in arrays:
            array = arrays[library]
            same(net({k: array(w) for k, w in weights.items()}, array(x)), f, f"outputs in {library}", ROUNDING)
            two = {k: array(np.stack([w, 0.5 * w])) for k, w in weights.items()}
            half = np.asarray(net({k: 0.5 * w for k, w in weights.items()}, x))
            many = get_engine(engine).vmap(net, (0, None))(two, array(x))
            same(many, np.stack([f, half]), f"outputs of two sets of weights in {engine}", ROUNDING)
    if equivariant:
        error = equivariance_error(lambda a: net(weights, a), x, net.rep_in, net.rep_out, net.group, seed=seed)
        assert error.max() < ROUNDING, f"weights in their subspaces must be equivariant, got error {error.max():.2g}"
    _check_made_again(net, weights, x, f)


def _check_made_again(net: Network, weights: dict[str, Any], x: np.ndarray, f: np.ndarray) -> None:
    try:
        net.parameters = {}
    except AttributeError:
        pass
    else:
        raise AssertionError("a network must be frozen, but parameters could be set")
    if net.capabilities.is_code:
        return
    for how, again in (("replace()", net.replace()), ("cloudpickle", pickled(net))):
        same(again(weights, x), f, f"outputs after {how}", ROUNDING)
        assert again.key == net.key, f"key must be that of the same network made again by {how}"


def drawn(net: Network, rng: np.random.Generator) -> dict[str, Any]:
    """Weights in their subspaces, a draw from the prior with sigma_b = 0, float32."""
    found = {}
    sigma_a: Any = 1.0 if net.pathways == 1 else [1.0] + [0.0] * (net.pathways - 1)
    for name, prior in Model(net, sigma_a=sigma_a, sigma_b=0.0).priors.items():
        inside = prior.support.decode(rng.normal(size=prior.support.rank))
        found[name] = (prior.sigma_inside * inside).astype(np.float32)
    return found
