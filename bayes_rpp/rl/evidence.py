"""Does a residual explain anything? The evidence of sigma_b / sigma_a for targets of a critic.

Targets y of n points with features phi have the residual pathway prior over functions of features, f = f_G + f_res:

    y ~ N(m 1, s^2 (K_G + ratio^2 K + tau I)),
    K = mean_g k(phi(g x), phi(g x')),   K_G = mean_gh k(phi(g x), phi(h x')),   k = exp(-|d| / length).

Its evidence is maximised over s in closed form and over tau on a grid. The kernel on the features, rather than their
products, is for targets that the last layer does not fit yet: what an invariant linear function leaves over, a residual
one explains in part, whatever the symmetry. It is Matern's of smoothness 1/2, as smooth kernels reach far: where most
transitions lie on one side of a mirror, theirs takes an odd function, which is nearly linear there, for simpler than
the even one that says the same, without a single transition that contradicts the symmetry.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.spatial.distance import cdist

from bayes_rpp.rl.tables import Array

RATIOS = np.array([0.0, 0.03, 0.1, 0.3, 1.0])
NOISES = np.geomspace(1e-4, 10.0, 16)


def log_evidences(features: Array, targets: Array) -> Array:
    """Log evidence of each of `RATIOS`, up to a constant.

    Args:
        features: (order of the group, n, k), of g x for all g.
        targets: (n,).
    """
    order = len(features)
    length = math.sqrt(2) * float(np.median(cdist(features[0], features[0]))) or 1.0
    invariant, full = np.zeros((2, len(targets), len(targets)))
    for g in range(order):
        full += (own := np.exp(-cdist(features[g], features[g]) / length)) / order
        invariant += own / order**2
        for h in range(g):
            kernel = np.exp(-cdist(features[g], features[h]) / length)
            invariant += (kernel + kernel.T) / order**2
    n, y = len(targets), targets - targets.mean()
    found = []
    for ratio in RATIOS:
        values, vectors = np.linalg.eigh(invariant + 1.0 + ratio**2 * full)  # 1: an unknown mean
        total = np.maximum(values, 0.0) + NOISES[:, None]
        scale = ((vectors.T @ y) ** 2 / total).sum(axis=1) / n
        found.append(-0.5 * (n * np.log(np.maximum(scale, 1e-300)) + np.log(total).sum(axis=1)).min())
    return np.array(found)
