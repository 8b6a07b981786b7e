"""How strongly directions are violated: the mean square of L_A f beside what it would be of unrelated directions.

For A and B of the basis Q_AB = mean over points of L_A f . L_B f is quadratic in f, and N_AB, what it would be if the
gradient of f had no direction in common with A x: |J|^2 (A_in x) . (B_in x) / d_in + (A_out f) . (B_out f). The
strength of a direction v is sqrt(v Q v / v N v): 0 where f is equivariant, about 1 where A has nothing to do with f.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayes_rpp.symmetry.discovery.constrained import factor, rbf, solve

if TYPE_CHECKING:
    from bayes_rpp.symmetry.discovery.softly import Softly

Array = NDArray[np.float64]


def mean_square(mean: Array, covariance: Array) -> Array:
    """(K, K) posterior mean of Q, of L f with mean (p, K, m) and covariance (p K m, p K m)."""
    p, k, m = mean.shape
    spread = np.einsum("zkazla->kl", covariance.reshape(p, k, m, p, k, m))
    return np.asarray((np.einsum("zka,zla->kl", mean, mean) + spread) / p)


def squares_of(draws: Array, weights: Array) -> Array:
    """(s, K, K) Q of draws (s, p, K, m) of L f, with weights (s, p) of the points that add up to one."""
    scaled = draws * np.sqrt(weights)[..., None, None]
    return np.einsum("szka,szla->skl", scaled, scaled, optimize=True)


def normal_square(model: Softly, directions: Array, points: NDArray[np.int_]) -> Array:
    """(K, K) N of directions, at the posterior mean of f and of its gradient."""
    return normals(model, directions, points).mean(axis=0)


def normals(model: Softly, directions: Array, points: NDArray[np.int_]) -> Array:
    """(p, K, K) N of each point."""
    jacobian, f = gradients(model, points)
    inputs = np.tensordot(directions, model.actions.inputs, 1)
    return normal_of(jacobian, f, model.x[points], inputs, np.tensordot(directions, model.actions.outputs, 1))


def normal_of(jacobian: Array, f: Array, x: Array, inputs: Array, outputs: Array) -> Array:
    """(p, K, K) N by (p, m, d) Jacobians, (p, m) values and (p, d) points."""
    moved, turned = np.einsum("kij,zj->zki", inputs, x), np.einsum("kab,zb->zka", outputs, f)
    slopes = (jacobian**2).sum((1, 2)) / x.shape[1]
    return slopes[:, None, None] * (moved @ moved.swapaxes(1, 2)) + turned @ turned.swapaxes(1, 2)


def gradients(model: Softly, points: NDArray[np.int_]) -> tuple[Array, Array]:
    """Posterior means of the Jacobian (p, m, d) and of f (p, m), as of a free function with the same fit."""
    scales = model.scales(model.numbers)
    a, b, noise = model.sigmas
    k = model.kernel(model.numbers)
    alpha = solve(factor((a * a + b * b) * k + noise**2 * np.eye(len(k))), model.y) * (a * a + b * b)
    x, z = model.x / scales, model.x[points] / scales
    near = rbf(z, x)
    apart = (x[None] - z[:, None]) / scales
    return np.einsum("zn,zni,na->zai", near, apart, alpha, optimize=True), k[points] @ alpha
