"""Equivariance errors of posteriors: densities and intervals, and where in the weights the symmetry breaks."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bayes_rpp._given import real_array
from bayes_rpp._imports import load_module
from bayes_rpp.models.model import Model
from bayes_rpp.symmetry.equivariance import equivariance_error

if TYPE_CHECKING:
    from bayes_rpp.inference.posterior.posterior import Posterior

__all__ = [
    "Energy",
    "energy_by_layer",
    "energy_by_pathway",
    "equivariance_error",
    "equivariance_interval",
    "log_error_density",
]

FLOOR = 1e-16  # errors of exactly zero have no logarithm
SAME = 1e-9  # of log10 of errors


def log_error_density(errors: Any) -> tuple[NDArray, NDArray]:
    """Kernel density estimate of log10 of equivariance errors, by ArviZ's estimator with Scott's bandwidth.

    Args:
        errors: any number >= 2 of errors, of any shape, that are not all equal.

    Returns:
        grid: log10 of the error, and the density there.

    Raises:
        ValueError: if there are fewer than two different finite errors, or a negative one.
    """
    array_stats = load_module("arviz_stats.base").array_stats
    values = real_array(errors, "errors").astype(np.float64).ravel()
    if not np.isfinite(values).all() or (values < 0).any():
        raise ValueError("errors must hold finite numbers >= 0, got others")
    logs = np.log10(np.maximum(values, FLOOR))
    different = count_different(values)
    if different < 2:
        raise ValueError(f"errors must hold at least 2 different values for a density, got {different}")
    # Three bandwidths of room; the estimator's own correction at the ends draws humps there for few samples.
    room = 3 * 1.06 * logs.std() * len(logs) ** -0.2
    limits = (logs.min() - room, logs.max() + room)
    grid, density, _ = array_stats.kde(logs, bw="scott", bound_correction=False, custom_lims=limits)
    return grid, density


def count_different(errors: NDArray) -> int:
    """How many different errors there are; those that agree to nine digits are one, which has no density."""
    logs = np.log10(np.maximum(errors, FLOOR))
    return min(logs.size, 1) if not logs.size or np.ptp(logs) < SAME else len(np.unique(logs))


def equivariance_interval(errors: Any, prob: float = 0.9) -> tuple[float, float, float]:
    """Median and credible interval of a posterior's equivariance error, the mean over points of each draw.

    Args:
        errors: (chain, draw, point), from `Posterior.equivariance_error`.
        prob: of the equal-tailed interval.

    Returns:
        lower end, median, upper end.

    Raises:
        ValueError: if errors has another shape, or prob is not between 0 and 1.
    """
    values = real_array(errors, "errors").astype(np.float64)
    if values.ndim != 3:
        raise ValueError(f"errors must have shape (chain, draw, point), as of equivariance_error, got {values.shape}")
    low, median, high = equal_tailed(values.mean(axis=-1), prob)
    return float(low), float(median), float(high)


def equal_tailed(values: NDArray, prob: float, axis: int | None = None) -> tuple[NDArray, NDArray, NDArray]:
    """Lower end, median and upper end of the equal-tailed interval over an axis; over all numbers if not told."""
    if not 0 < prob < 1:
        raise ValueError(f"prob must be a number between 0 and 1, got {prob}; 0.9 would do")
    low, high = np.moveaxis(load_module("arviz_stats.base").array_stats.eti(values, prob, axis=axis), -1, 0)
    return low, np.median(values, axis=axis), high


class Energy(NamedTuple):
    """Squared norms of a layer's weights, (chain, draw), split by the subspaces: |P W|^2 and |W - P W|^2."""

    equivariant: NDArray
    residual: NDArray

    @property
    def share(self) -> NDArray:
        """The residual's share of the whole, 0 to 1; 0 of weights that are zero."""
        whole = self.equivariant + self.residual
        return np.divide(self.residual, whole, out=np.zeros_like(whole), where=whole > 0)


def energy_by_layer(post: Posterior) -> dict[str, Energy]:
    """How each draw's weights divide between the symmetry and what breaks it, by layer (paper, Section 4).

    A share says little on its own: a residual of many small directions has energy that the function hardly shows.
    Compare it with that of the prior, or between data sets. With several pathways the first, most symmetric one counts;
    `energy_by_pathway` has all of them.

    Raises:
        TypeError: of the posterior of a GaussianProcess, which has no weights.
    """
    _check_network(post)
    sums: dict[str, list[NDArray]] = {}
    for name, parameter in post.model.net.parameters.items():
        w = np.asarray(post.samples[name], dtype=np.float64)
        dims = tuple(range(2, w.ndim))
        inside = parameter.subspace.levels[0].project(w)
        parts = [(inside**2).sum(axis=dims), ((w - inside) ** 2).sum(axis=dims)]
        layer = post.model.net.layer_of(name)
        sums[layer] = [a + b for a, b in zip(sums.get(layer, [0.0, 0.0]), parts, strict=True)]
    return {layer: Energy(*parts) for layer, parts in sums.items()}


def energy_by_pathway(post: Posterior) -> dict[str, NDArray]:
    """What each pathway has of a layer's weights: E |W_k|^2 given W, (pathway, chain, draw), the residual last.

    Pathways overlap, so that a draw of W does not say what is whose; given it they are Gaussian, with the mean
    sigma_k^2 P_k C^-1 W and the covariance sigma_k^2 P_k - sigma_k^4 P_k C^-1 P_k, for the prior's covariance C. Where
    the prior alone speaks it is sigma_k^2 times the rank.

    Raises:
        TypeError: as `energy_by_layer`.
    """
    _check_network(post)
    model, sums = post.model, defaultdict[str, Any](float)
    numbers: dict[str, Any] = {k: np.asarray(post.samples[k], dtype=np.float64) for k in model.latents}
    for name in model.net.parameters:
        prior, terms = model.prior(name, numbers), list(model.covariance_terms(name))
        squares = prior.squares(np.asarray(post.samples[name], dtype=np.float64))
        found = np.zeros((len(terms), post.chains, post.draws))
        for k, (level, number, scale) in enumerate(terms):
            variance = (scale * (numbers[number] if isinstance(number, str) else number)) ** 2
            is_residual = k == len(terms) - 1
            if np.any(variance) and (is_residual or any(level is s for s in prior.active)):
                within = None if is_residual else level
                gain = prior.inside(squares, within) - prior.information(within)
                found[k] = variance * level.rank + variance**2 * gain
        sums[model.net.layer_of(name)] += found
    return dict(sums)


def _check_network(post: Posterior) -> None:
    if not isinstance(post.model, Model):
        raise TypeError(
            f"post must be of a network, whose weights have energies, got that of a {type(post.model).__name__}; "
            "post.asymmetry(), the sizes of the two parts of the function, would do"
        )
