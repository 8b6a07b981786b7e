"""The direction that a function violates least, among a family, and how well it is known.

Of a symmetry that nearly holds the evidence says little about where its axis is, as the residual takes up what another
axis leaves. The least violated direction is a property of the function, so that the posterior of f has one.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from bayes_rpp.symmetry.discovery.softly import Softly
from bayes_rpp.symmetry.discovery.spectrum import bootstrap, root
from bayes_rpp.symmetry.discovery.strength import mean_square, normal_square, normals, squares_of

Array = NDArray[np.float64]
POINTS = 12  # at which L_A f is looked at, at least
NUMBERS = 1500  # of L_A f at once
DRAWS = 100


def least_violated(model: Softly, rest: Array) -> tuple[Array, Array]:
    """(r, K) coordinates within a family (r, K), from the least violated, and how strongly they are."""
    points = model.points[: _few(model, rest)]
    return _ordered(mean_square(*model.violations(rest, points)), normal_square(model, rest, points), rest)


def nearest_direction(model: Softly, family: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """(1, K) the least violated direction of a family (r, K), by all points, and its (K, K) covariance, by draws of f
    with the Bayesian bootstrap of the points."""
    points = model.points
    shares = [(len(p), mean_square(*model.violations(family, p))) for p in _parts(model, family)]
    square = sum(count * q for count, q in shares) / len(points)
    best = _ordered(np.asarray(square), normal_square(model, family, points), family)[0][:1]
    some = points[: _few(model, family)]
    mean, covariance = model.violations(family, some)
    noise = rng.normal(size=(DRAWS, mean.size)) @ root(covariance).T
    weights = bootstrap(DRAWS, len(some), rng)
    squares = squares_of(mean[None] + noise.reshape(DRAWS, *mean.shape), weights)
    normal = np.einsum("sz,zkl->skl", weights, normals(model, family, some))
    drawn = np.concatenate([_ordered(q, n, family)[0][:1] for q, n in zip(squares, normal, strict=True)])
    apart = drawn * np.sign(drawn @ best.T) - best
    return best, apart.T @ apart / DRAWS * len(some) / len(points)


def _ordered(square: Array, normal: Array, family: Array) -> tuple[Array, Array]:
    floor = 1e-6 * np.trace(normal) / len(normal) * np.eye(len(normal))
    values, vectors = eigh(square, normal + floor)
    rows = vectors.T @ family
    return rows / np.linalg.norm(rows, axis=1, keepdims=True), np.sqrt(np.maximum(values, 0.0))


def _few(model: Softly, family: Array) -> int:
    return max(POINTS, NUMBERS // (len(family) * model.y.shape[1]))


def _parts(model: Softly, family: Array) -> Iterator[NDArray[np.int_]]:
    size = _few(model, family)
    return (model.points[i : i + size] for i in range(0, len(model.points), size))
