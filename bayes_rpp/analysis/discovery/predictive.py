"""What the functions that a discovery ends with predict: f = f_A + f_res with Gaussian noise, compact group or not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from bayes_rpp.symmetry.discovery.constrained import SLACK, factor
from bayes_rpp.symmetry.discovery.softly import JITTER, Softly

Array = NDArray[np.float64]
AT_ONCE = 200  # points


def predictive(model: Softly, x: Array) -> tuple[Array, Array]:
    """Mean and standard deviation (n, d_out) of new observations at x (n, d_in), columns of a size of about 1."""
    parts = [_predicted(model, x[start : start + AT_ONCE]) for start in range(0, len(x), AT_ONCE)]
    mean, variance = (np.concatenate(p) for p in zip(*parts, strict=True))
    return mean, np.sqrt(variance)


def _predicted(model: Softly, x: Array) -> tuple[Array, Array]:
    n, m = model.y.shape
    both = replace(model, x=np.concatenate([model.x, x]))  # `points` are rows of the first
    a, b, noise = model.sigmas
    k = (a * a + b * b) * np.kron(both.kernel(model.numbers), np.eye(m))
    if len(model.directions):
        constraint = both.constraint(model.numbers, model.directions)
        features = constraint.cross(both.x / model.scales(model.numbers))
        cross = np.einsum("kbja,jnz->nakbz", constraint.loadings, features, optimize=True).reshape(len(k), -1)
        own = constraint.joined(constraint.between(constraint), constraint)
        half = solve_triangular(factor(own + SLACK**2 * np.eye(len(own))), cross.T, lower=True)
        k -= a * a * half.T @ half
    seen = slice(0, n * m)
    lower = factor(k[seen, seen] + (noise**2 + JITTER * (a * a + b * b)) * np.eye(n * m))
    half = solve_triangular(lower, k[seen, n * m :], lower=True)
    mean = half.T @ solve_triangular(lower, model.y.ravel(), lower=True)
    variance = np.maximum(np.diag(k)[n * m :] - (half**2).sum(axis=0), 0.0) + noise**2
    return mean.reshape(-1, m), variance.reshape(-1, m)
