"""How far a symmetry is broken, in which layer and as a whole, with the posterior's uncertainty."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayes_rpp._types import ArrayLike
from bayes_rpp.analysis.equivariance import energy_by_layer, equal_tailed
from bayes_rpp.models.model import Model

if TYPE_CHECKING:
    from pandas import DataFrame

    from bayes_rpp.inference.posterior.posterior import Posterior


def degree_of_symmetry(post: Posterior, x: ArrayLike, *, prob: float = 0.9, seed: int = 0) -> DataFrame:
    """The posterior of the degree of symmetry: by layer, and of the function.

    Args:
        post: of a soft model.
        x: (n, d_in) points at which the function's error is measured.
        prob: of the equal-tailed credible intervals.
        seed: of the group elements.

    Returns:
        A row for each (layer, quantity) with its low, median and high: "sigma_b / sigma_a" (a single number where the
        evidence tuned it: then low = high) and "residual energy" (|W - P W|^2 / |W|^2) of each layer; and of
        ("function", "equivariance error") Eq. 2, mean over points. By group element: `group_error_map`. A
        GaussianProcess has one layer, "f", and no weights with an energy.

    Raises:
        TypeError, ValueError: if x does not fit, or prob is not between 0 and 1.
    """
    from pandas import DataFrame, MultiIndex

    errors = post.equivariance_error(x, seed=seed).mean(axis=-1)
    found = {(layer, "sigma_b / sigma_a"): ratio for layer, ratio in post.asymmetry().items()}
    if isinstance(post.model, Model):
        energies = energy_by_layer(post).items()
        found |= {(layer, "residual energy"): e.share for layer, e in energies if layer_has(post, layer)}
    order = {layer: k for k, (layer, _) in enumerate(found)}
    keys = sorted(found, key=lambda key: order[key[0]])
    found = {key: found[key] for key in keys} | {("function", "equivariance error"): errors}
    quantiles = [equal_tailed(v, prob) for v in found.values()]
    index = MultiIndex.from_tuples(list(found), names=["layer", "quantity"])
    return DataFrame(quantiles, index=index, columns=["low", "median", "high"])


def layer_has(post: Posterior, layer: str) -> bool:
    """Whether the layer has a weight that the symmetry restricts."""
    net = post.model.net
    subspaces = [p.subspace.levels[0] for n, p in net.parameters.items() if net.layer_of(n) == layer]
    return any(s.rank < s.size for s in subspaces)
