"""A lower bound of the evidence of a GaussianProcess with Gaussian noise, by inducing points, and the posterior there.

Titsias 2009, Equation 9 (the collapsed bound), with a matrix of outputs for each example. Let u be f at m inducing
inputs z, and Q = Kfu Kuu^-1 Kuf: the bound is log N(y | 0, Q + s^2 I) - tr(K - Q) / (2 s^2), and its time grows with
n m^2. GPyTorch and GPJax have it for scalar kernels; here parts of the outputs stay apart, copies of a part share all,
and Kuf, an average over a group, is made some rows at a time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_solve, cholesky, solve_triangular

from bayes_rpp.models.process.conditional import Conditional
from bayes_rpp.models.process.covariance import Array, Latents, Prepared, number_of
from bayes_rpp.models.process.evidence import GaussianEvidence, inverse_of
from bayes_rpp.models.process.prior import FunctionPrior
from bayes_rpp.models.process.slopes import ChainRule
from bayes_rpp.priors.kernels.averaged import Blocks

JITTERS = (1e-10, 1e-8, 1e-6)  # of the mean variance of u; what a bound stays with, as it is that of u and noise
NUMBERS = 2**22  # of the covariance at once, 32 MB
KEPT = 2**27  # likewise, up to which it is kept for the derivatives, 1 GB

Piece = tuple[slice, list[Blocks]]


@dataclass(frozen=True)
class _Part:
    """Of a part of the outputs with N = n d numbers for each of its c copies, and M = m d of u.

    Attributes:
        lower: L L^T = Kuu, (M, M); jitter: in that, as a share of its mean variance.
        gram: A A^T, (M, M), for A = L^-1 Kuf / s; root: the Cholesky factor of I + A A^T.
        seen: A y, (M, c); solved: (I + A A^T)^-1 A y.
        weights: (M, c) the posterior mean of f is k^T weights, for k with u.
    """

    lower: Array
    jitter: float
    gram: Array
    root: Array
    seen: Array
    solved: Array
    weights: Array


class InducedEvidence(GaussianEvidence):
    """The bound of log p(y | x, numbers); as `GaussianEvidence`.

    Args:
        points: (m,) rows of x that are the inducing inputs.
    """

    def __init__(self, gp: FunctionPrior, x: NDArray, y: NDArray, level: int, points: NDArray) -> None:
        super().__init__(gp, x, y, level)
        self.points, self._at = points, self.covariance.at(points)
        self._numbers = len(points) * len(self.covariance.parts) * sum(p.shape[1] ** 2 for p in self._places.values())

    @property
    def _places(self) -> dict[int, NDArray[np.int_]]:
        return self.covariance.places

    def __call__(self, latents: Latents) -> tuple[float, dict[str, float]]:
        """The bound, and its derivative by the logarithm of each site."""
        variances, prepared = self._prepared(latents)
        square = number_of(self._noise[0][0], latents) ** 2
        kept = list(self._pieces(prepared)) if self._numbers * len(self.covariance.x) <= KEPT else None
        parts = self._parts(latents, prepared, kept or self._pieces(prepared))
        whole = self.covariance.total(variances, latents, prepared.variances)
        total, by_noise, by_own, by_cross = 0.0, 0.0, {}, {}
        for t, p in parts.items():
            y, m = self._y[t], len(p.lower)
            copies = y.shape[1]
            gap = len(y) * whole[t] - square * float(np.trace(p.gram))
            total -= 0.5 * (float(np.vdot(y, y)) - float(np.vdot(p.seen, p.solved)) + copies * gap) / square
            total -= copies * float(np.log(np.diag(p.root)).sum()) + 0.5 * y.size * math.log(2 * math.pi * square)
            inverse = inverse_of(p.root)
            by_noise += copies * (gap / square - (len(y) - m + float(np.trace(inverse))))
            by_cross[t] = (copies / square) * _between(p.lower, np.eye(m) - inverse)
            w = -0.5 * (p.weights @ p.weights.T + copies * _between(p.lower, p.gram - np.eye(m) + inverse))
            w[np.diag_indices(m)] += p.jitter * float(np.trace(w)) / m
            by_own[t] = w.reshape(prepared.total[t].shape)
        chain = ChainRule(self.covariance, latents, prepared)
        chain.add(prepared.kernels, by_own, self._at.x)
        chain.add_trace(variances, {t: -0.5 * y.shape[1] / square for t, y in self._y.items()})
        for some, kernels in kept or self._pieces(prepared):
            x, weights = self.covariance.x[some], {}
            for t, k in self.covariance.total(kernels, latents, prepared.variances).items():
                flat = k.reshape(k.shape[0] * k.shape[1], -1)
                alpha = (self._rows(t, some) - flat @ parts[t].weights) / square
                by_noise += square * float(np.vdot(alpha, alpha))
                weights[t] = (alpha @ parts[t].weights.T + flat @ by_cross[t]).reshape(k.shape)
            chain.add(kernels, weights, x, self._at.x)
        slopes = chain.by_site()
        if isinstance(entry := self._noise[0][0], str):
            slopes[entry] = by_noise
        return total, slopes

    def conditional(self, latents: Latents) -> Conditional:
        """The posterior of f, by the best Gaussian of u (Titsias 2009)."""
        _, prepared = self._prepared(latents)
        parts = self._parts(latents, prepared, self._pieces(prepared))
        weights: dict[Any, Array] = {t: p.weights for t, p in parts.items()}
        half: dict[Any, Any] = {}
        for t, p in parts.items():
            values, vectors = np.linalg.eigh(p.gram)
            values = np.maximum(values, 0.0)
            half[t] = partial(_half, p.lower, (vectors * np.sqrt(values / (1 + values))).T)
        return Conditional(self._at, latents, prepared, False, weights, half)

    def _without(self, latents: Latents) -> Iterator[tuple[slice, Array, Array]]:
        """By the posterior of u without an example, exactly, and f given u."""
        _, prepared = self._prepared(latents)
        square = number_of(self._noise[0][0], latents) ** 2
        parts = self._parts(latents, prepared, self._pieces(prepared))
        for some, kernels in self._pieces(prepared):
            x = self.covariance.x[some]
            alone = self.covariance.each("diagonal", prepared.values, x)
            variances = self.covariance.total(alone, latents, prepared.variances)
            for t, k in self.covariance.total(kernels, latents, prepared.variances).items():
                rows, d = k.shape[:2]
                p, flat = parts[t], k.reshape(rows * d, -1)
                a = solve_triangular(p.lower, flat.T, lower=True)
                b = solve_triangular(p.root, a, lower=True).reshape(-1, rows, d)
                a = a.reshape(-1, rows, d)
                precision = (np.eye(d) - np.einsum("mia,mib->iab", b, b) / square) / square
                alpha = ((self._rows(t, some) - flat @ p.weights) / square).reshape(rows, d, -1)
                spread = np.linalg.inv(precision) + variances[t] - np.einsum("mia,mib->iab", a, a)
                yield some, np.linalg.solve(precision, alpha), spread

    def _prepared(self, latents: Latents) -> tuple[list[dict[int, float]], Prepared]:
        """Each pathway's mean variances over all training inputs, and its covariance between the inducing inputs."""
        values = self.covariance.values(latents)
        variances = self.covariance.mean_variances(values)
        return variances, self._at.own(latents, self.covariance.sizes(variances, values))

    def _pieces(self, prepared: Prepared) -> Iterator[Piece]:
        """The covariance of each pathway between some training inputs at a time and the inducing ones."""
        z, rows = self._at.x, max(1, NUMBERS // self._numbers)
        for start in range(0, len(self.covariance.x), rows):
            some = slice(start, start + rows)
            x = self.covariance.x[some]
            yield some, self.covariance.each("cross", prepared.values, x, z)

    def _parts(self, latents: Latents, prepared: Prepared, pieces: Iterable[Piece]) -> dict[int, _Part]:
        noise = number_of(self._noise[0][0], latents)
        lower = {t: _factor(k.reshape(k.shape[0] * k.shape[1], -1)) for t, k in prepared.total.items()}
        gram = {t: np.zeros_like(root) for t, (root, _) in lower.items()}
        seen = {t: np.zeros((len(gram[t]), y.shape[1])) for t, y in self._y.items()}
        for some, kernels in pieces:
            for t, k in self.covariance.total(kernels, latents, prepared.variances).items():
                a = solve_triangular(lower[t][0], k.reshape(k.shape[0] * k.shape[1], -1).T, lower=True) / noise
                gram[t] += a @ a.T
                seen[t] += a @ self._rows(t, some)
        found = {}
        for t, (root, jitter) in lower.items():
            if not np.isfinite(gram[t]).all():
                raise LinAlgError("the covariance of f is not finite")
            b = cholesky(np.eye(len(root)) + gram[t], lower=True)
            solved = cho_solve((b, True), seen[t])
            weights = solve_triangular(root, solved, lower=True, trans=1) / noise
            found[t] = _Part(root, jitter, gram[t], b, seen[t], solved, weights)
        return found

    def _rows(self, t: int, some: slice) -> Array:
        d = self._places[t].shape[1]
        return self._y[t][some.start * d : some.stop * d]


def _factor(k: Array) -> tuple[Array, float]:
    """Lower Cholesky factor, and the jitter in it."""
    variance = float(np.trace(k)) / len(k)
    for jitter in JITTERS if np.isfinite(k).all() else ():
        c = k.copy()
        c[np.diag_indices(len(k))] += jitter * variance
        try:
            return np.asarray(cholesky(c, lower=True, overwrite_a=True, check_finite=False)), jitter
        except LinAlgError:
            continue
    raise LinAlgError("the covariance of the inducing points is not positive definite to rounding")


def _between(lower: Array, inner: Array) -> Array:
    """L^-T inner L^-1, symmetric."""
    left = solve_triangular(lower, inner, lower=True, trans=1)
    found = solve_triangular(lower, left.T, lower=True, trans=1)
    return 0.5 * (found + found.T)


def _half(lower: Array, scaled: Array, k: Array) -> Array:
    return np.asarray(scaled @ solve_triangular(lower, k, lower=True))
