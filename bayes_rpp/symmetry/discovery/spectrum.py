"""The spectrum of violations: orthonormal directions, from the least violated, with posterior intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, eigh, qr

from bayes_rpp.symmetry.discovery.actions import Actions
from bayes_rpp.symmetry.discovery.constrained import factor
from bayes_rpp.symmetry.discovery.softly import RANGES, Softly
from bayes_rpp.symmetry.discovery.strength import normal_of, normals, squares_of

Array = NDArray[np.float64]
INTERVAL = (0.05, 0.95)
NUMBERS = 1500  # of L_A f in a joint draw
EXCITED = 1e-3  # of the mean N, below which the data say nothing of a direction
INSIDE = 0.9  # cosine of the angle to what the data excite
AT_ONCE = 120  # inputs
GRID = 7  # values of log sigma_b, wide apart
AROUND = np.linspace(-2.4, 2.4, 5)  # and about its peak, in standard deviations, of 1 at most
HEAVY = 0.75  # concentration of the Dirichlet weights, below the 1 of Rubin
ROUNDING = 1e-8  # of variances


@dataclass(frozen=True, eq=False)
class Spectrum:
    """How strongly each direction is violated: sqrt of the mean of |L_A f|^2 beside that of unrelated directions.

    Attributes:
        directions: (K, n, n) matrices of the group's space, orthonormal: those found first, then from the least
            violated.
        strength, lower, upper: (K,) posterior median and 90 % interval, of means over all x such as these; 0
            is a symmetry, 1 what a direction that has nothing to do with f has.
        is_known: (K,) whether the data excite the direction; where they do not, they say nothing of it.
    """

    directions: Array
    strength: Array
    lower: Array
    upper: Array
    is_known: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.directions)


def spectrum_of_functions(
    model: Softly, first: Array, excited: Array, draws: int, rng: np.random.Generator
) -> Spectrum:
    """By joint draws of L_A f from the posterior, sigma_b included on a grid by its evidence.

    Args:
        model: the best there is of f, whether or not its symmetry was called one.
        first: (k, K) coordinates of the directions that were found, orthonormal.
        excited: (r, K) what the data excite.
    """
    count, m = len(model.actions), model.y.shape[1]
    points = model.points[: max(8, NUMBERS // (count * m))]
    models, shares = _residuals(model)
    whole = np.eye(count)
    found, weights = [], []
    for one, share in zip(models, rng.multinomial(draws, shares), strict=True):
        if share:
            mean, covariance = one.violations(whole, points)
            half = root(covariance)
            noise = rng.normal(size=(share, len(half))) @ half.T
            weights.append(bootstrap(share, len(points), rng))
            found.append(squares_of(mean[None] + noise.reshape(share, *mean.shape), weights[-1]))
    normal = np.einsum("sz,zkl->skl", np.concatenate(weights), normals(model, whole, points))
    return _spectrum(np.concatenate(found), normal, first, model.actions.base, excited)


def spectrum_of_draws(values: Array, jacobians: Array, x: Array, actions: Actions) -> tuple[Spectrum, Array]:
    """By draws of f (s, p, m) and of its Jacobian (s, p, m, d) at x (p, d).

    Returns:
        The spectrum, and (s, K) strengths of each draw's own directions, ascending.
    """
    moved = np.einsum("kij,zj->zki", actions.inputs, x)
    q, normal, rng = [], [], np.random.default_rng(0)
    for f, j in zip(values, jacobians, strict=True):
        weights = bootstrap(1, len(x), rng) if len(values) > 1 else np.full((1, len(x)), 1 / len(x))
        violation = np.einsum("zai,zki->zka", j, moved) - np.einsum("kab,zb->zka", actions.outputs, f)
        q.append(squares_of(violation[None], weights)[0])
        normal.append(np.tensordot(weights[0], normal_of(j, f, x, actions.inputs, actions.outputs), 1))
    mean = np.mean(normal, axis=0)
    floor = 1e-6 * np.trace(mean) / len(mean) * np.eye(len(mean))
    own = np.stack(
        [np.sqrt(np.maximum(eigh(a, n + floor, eigvals_only=True), 0.0)) for a, n in zip(q, normal, strict=True)]
    )
    excited = actions.excited(x, values.mean(axis=0))
    return _spectrum(np.stack(q), np.stack(normal), np.zeros((0, len(actions))), actions.base, excited), np.sqrt(
        np.maximum(own, 0.0)
    )


def derivatives(function: Callable[[Array], Array], x: Array) -> tuple[Array, Array]:
    """Values (s, p, m) and Jacobians (s, p, m, d) of draws of a function, by central differences."""
    d = x.shape[1]
    step = 0.02 * np.maximum(np.sqrt((x**2).mean(axis=0)), 1e-12)
    stencil = np.concatenate([np.zeros((1, d)), *np.stack([np.diag(step), -np.diag(step)], axis=1)])
    rows, found = max(1, AT_ONCE // len(stencil)), []
    for start in range(0, len(x), rows):  # draws of Gaussian processes are of one function for so many inputs alone
        some = x[start : start + rows, None] + stencil
        values = np.asarray(function(some.reshape(-1, d)), dtype=np.float64)
        found.append(values.reshape(len(values), *some.shape[:2], -1))
    f = np.concatenate(found, axis=1)
    return f[:, :, 0], ((f[:, :, 1::2] - f[:, :, 2::2]) / (2 * step)[:, None]).transpose(0, 1, 3, 2)


def _spectrum(q: Array, normal: Array, first: Array, base: Array, rows: Array) -> Spectrum:
    k, each, normal = q.shape[1], normal, normal.mean(axis=0)
    size = np.trace(normal) / k
    whole = qr(rows.T)[0].T  # what the data excite, then what they do not
    vectors = first
    for part in (whole[: len(rows)], whole[len(rows) :]):
        rest = part - part @ vectors.T @ vectors if len(vectors) else part
        _, s, vt = np.linalg.svd(rest, full_matrices=False)
        if len(rest := vt[s > 0.5][: k - len(vectors)]):
            form = rest @ normal @ rest.T + 1e-6 * size * np.eye(len(rest))
            rest = eigh(rest @ q.mean(axis=0) @ rest.T, form)[1].T @ rest
            vectors = _orthonormal(np.concatenate([vectors, rest]))
    excited = np.einsum("vk,kl,vl->v", vectors, normal, vectors)
    square = np.einsum("vk,skl,vl->sv", vectors, q, vectors, optimize=True)
    unrelated = np.einsum("vk,skl,vl->sv", vectors, each, vectors, optimize=True)
    strengths = np.sqrt(np.maximum(square, 0.0) / np.maximum(unrelated, 1e-12 * size))
    lower, middle, upper = np.quantile(strengths, [INTERVAL[0], 0.5, INTERVAL[1]], axis=0)
    known = (excited > EXCITED * size) & (np.linalg.norm(vectors @ rows.T, axis=1) > INSIDE)
    return Spectrum(np.tensordot(vectors, base, 1), middle, lower, upper, known)


def _orthonormal(rows: Array) -> Array:
    """By Gram and Schmidt, in the order given."""
    q, r = np.linalg.qr(rows.T)
    return (q * np.sign(np.where(np.diag(r) == 0, 1.0, np.diag(r)))).T


def _residuals(model: Softly) -> tuple[list[Softly], Array]:
    """The model with values of sigma_b, and their probabilities: of a grid that is fine about the peak, which few
    residuals or many make as wide as it is."""
    if not len(model.directions):
        return [model], np.ones(1)
    top, peak = model.numbers[-3:-1]
    least = RANGES[2][0]
    wide, fine = np.linspace(max(least, top - 7), top + 0.7, GRID), peak + _deviation(model) * AROUND
    outside = wide[(wide < fine[0]) | (wide > fine[-1])]
    grid = np.unique(np.maximum(np.concatenate([outside, fine]), least))
    found, widths = [], []
    for value, width in zip(grid, np.gradient(grid), strict=True):
        try:
            found.append(_with_residual(model, value))
            widths.append(width)
        except LinAlgError:
            continue
    logs = np.array([s.evidence for s in found])
    weights = np.exp(logs - logs.max()) * widths
    return found, weights / weights.sum()


def _with_residual(model: Softly, value: float) -> Softly:
    """With another log sigma_b, and the evidence of it; raises LinAlgError."""
    numbers = model.numbers.copy()
    numbers[-2] = value
    return replace(model, numbers=numbers, evidence=model.density(numbers))


def _deviation(model: Softly, step: float = 0.05) -> float:
    """Standard deviation of log sigma_b about its peak, by the curvature of the evidence; 1 at most."""
    try:
        above, at, below = (_with_residual(model, model.numbers[-2] + by).evidence for by in (step, 0.0, -step))
    except LinAlgError:
        return 1.0
    return float(1 / np.sqrt(max(1.0, (2 * at - above - below) / step**2)))


def bootstrap(draws: int, points: int, rng: np.random.Generator) -> Array:
    """(draws, points) by the Bayesian bootstrap (Rubin 1981): the points stand for all from which x is drawn. Few far
    ones carry much of a mean square, of which a sample has too few more often than too many, so that with his
    concentration intervals are too narrow."""
    return rng.dirichlet(np.full(points, HEAVY), size=draws)


def root(covariance: Array) -> Array:
    """R with R R^T = covariance, but for rounding."""
    try:
        return factor(covariance + ROUNDING * np.trace(covariance) / len(covariance) * np.eye(len(covariance)))
    except LinAlgError:
        pass
    w, v = np.linalg.eigh(0.5 * (covariance + covariance.T))
    return np.asarray(v * np.sqrt(np.maximum(w, 0.0)))
