"""The evidence of a GaussianProcess whose likelihood is not Gaussian, by Laplace's approximation around the mode of f.

Rasmussen and Williams 2006, Section 3.4 and Algorithms 3.1, 3.3 and 5.1, with a matrix of curvatures for each example.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_solve, cholesky, solve_triangular

from bayes_rpp.models.normal import Normal
from bayes_rpp.models.process.conditional import Conditional, assemble
from bayes_rpp.models.process.covariance import Array, Covariance, Latents
from bayes_rpp.models.process.evidence import GaussianEvidence
from bayes_rpp.models.process.inducing import InducedEvidence
from bayes_rpp.models.process.inducing_points import inducing_count, inducing_points
from bayes_rpp.models.process.prior import FunctionPrior
from bayes_rpp.models.process.slopes import ChainRule

STEPS, ENOUGH = 100, 1e-12  # of Newton, and the gain at which they end
STEP = 1e-4  # of differences


def evidence_of(
    gp: FunctionPrior, x: NDArray, y: NDArray, level: int = 0, points: NDArray | None = None
) -> GaussianEvidence | LaplaceEvidence:
    """The exact evidence, its bound by inducing points, or Laplace's approximation, as the likelihood and the size ask
    for.

    Args:
        points: rows of x that are inducing points. None: where these are needed, as typical numbers tell.
    """
    if not isinstance(gp.likelihood, Normal):
        return LaplaceEvidence(gp, x, y, level)
    if points is None:
        if gp.forces is not None or (count := inducing_count(gp, len(x))) is None:
            return GaussianEvidence(gp, x, y, level)
        points = inducing_points(Covariance(gp, x, level), {k: p.start for k, p in gp.latents.items()}, count)
    return InducedEvidence(gp, x, y, level, points)


class LaplaceEvidence:
    """log p(y | x, numbers), approximately; as `GaussianEvidence`."""

    points: NDArray | None = None

    def __init__(self, gp: FunctionPrior, x: NDArray, y: NDArray, level: int = 0) -> None:
        self.gp, self.covariance, self._y = gp, Covariance(gp, x, level), y
        self._likelihood: Any = gp.likelihood

    def __call__(self, latents: Latents) -> tuple[float, dict[str, float]]:
        """The log evidence, and its derivative by the logarithm of each site."""
        prepared = self.covariance.own(latents)
        k = assemble(self.covariance, prepared.total)
        n, d = k.shape[:2]
        mode = self._mode(k.reshape(n * d, n * d), self._numbers(latents))
        weights = self._by_part(self._weights(mode, latents))
        slopes = ChainRule(self.covariance, latents, prepared).whole(weights)
        for name in self._likelihood.latents:
            slopes[name] = self._slope(mode, latents, name)
        return mode.evidence, slopes

    def conditional(self, latents: Latents) -> Conditional:
        """The posterior of f."""
        prepared = self.covariance.own(latents)
        k = assemble(self.covariance, prepared.total)
        n, d = k.shape[:2]
        mode = self._mode(k.reshape(n * d, n * d), self._numbers(latents))
        return Conditional(self.covariance, latents, prepared, True, {None: mode.gradient[:, None]}, {None: mode.half})

    def left_out(self, latents: Latents) -> Array:
        """log p(y_i | all others) of each example, (n,): from the mode's cavity, a Gaussian whose expectation is by 64
        draws for each example."""
        prepared = self.covariance.own(latents)
        k = assemble(self.covariance, prepared.total)
        n, d = k.shape[:2]
        mode = self._mode(k.reshape(n * d, n * d), self._numbers(latents))
        own = _own_blocks(mode.posterior, n, d)
        gain = np.linalg.solve(np.eye(d) - own @ mode.curvature, own)  # the cavity's covariance
        gradient = mode.gradient.reshape(n, d)
        mean = mode.f - np.einsum("nab,nb->na", gain, gradient)
        values, vectors = np.linalg.eigh(0.5 * (gain + gain.swapaxes(1, 2)))
        root = vectors * np.sqrt(np.maximum(values, 0.0))[:, None]
        noise = np.random.default_rng(0).normal(size=(64, n, d))
        f = mean + np.einsum("nab,snb->sna", root, np.concatenate([noise, -noise]))
        logp = self._likelihood.log_prob(f + self.gp.offset, self._y, self._numbers(latents))
        return np.asarray(np.logaddexp.reduce(logp, axis=0) - np.log(len(f)))

    def _numbers(self, latents: Latents) -> dict[str, Any]:
        return {name: np.asarray(latents[name]) for name in self._likelihood.latents}

    def _mode(self, k: Array, numbers: dict[str, Any], near: _Mode | None = None) -> _Mode:
        """By Newton's steps, halved until the density grows; from one nearby, where it is known."""
        n, d = len(self._y), self.gp.rep_out.size
        a = np.zeros(n * d) if near is None else near.gradient
        f = (k @ a).reshape(n, d)
        before = self._log_prob(f, numbers) - 0.5 * float(a @ f.ravel())
        for _ in range(STEPS):
            gradient, _ = self._likelihood.expansion(f + self.gp.offset, self._y, numbers)
            curvature = self._likelihood.steepness(f + self.gp.offset, self._y, numbers)
            root = _root(curvature)
            b = np.einsum("nab,nb->na", curvature, f) + gradient
            lower = _factor(k, root)
            moved = (k @ b.ravel()).reshape(n, d)
            inner = np.einsum("nba,nb->na", root, moved).ravel()
            new = b.ravel() - np.einsum("nab,nb->na", root, cho_solve((lower, True), inner).reshape(n, d)).ravel()
            step, size = new - a, 1.0
            while True:
                tried = a + size * step
                g = (k @ tried).reshape(n, d)
                with np.errstate(all="ignore"):  # a step may lead where rates overflow
                    now = float(self._log_prob(g, numbers) - 0.5 * tried @ g.ravel())
                if now >= before or size < 1e-6:
                    break
                size /= 2
            a, f, gained, before = tried, g, now - before, now
            if gained < ENOUGH * max(1.0, abs(now)):
                break
        gradient, curvature = self._likelihood.expansion(f + self.gp.offset, self._y, numbers)
        root = _root(curvature)
        lower = _factor(k, root)
        return _Mode(k, f, gradient.ravel(), curvature, root, lower, before - float(np.log(np.diag(lower)).sum()))

    def _log_prob(self, f: Array, numbers: dict[str, Any]) -> float:
        return float(self._likelihood.log_prob(f + self.gp.offset, self._y, numbers).sum())

    def _weights(self, mode: _Mode, latents: Latents) -> Array:
        """Derivative of the evidence by the covariance of f, (n d, n d): explicit, and through the mode."""
        n, d = mode.f.shape
        r = mode.reduction
        a = mode.gradient
        own = _own_blocks(mode.posterior, n, d)
        through = np.empty((n, d))
        for j in range(d):  # -1/2 d log|B| / df_j, from the derivative of the curvature
            ahead, behind = (
                self._likelihood.expansion(
                    mode.f + self.gp.offset + s * STEP * np.eye(d)[j], self._y, self._numbers(latents)
                )[1]
                for s in (1, -1)
            )
            through[:, j] = -0.5 * np.einsum("nab,nab->n", own, (ahead - behind) / (2 * STEP))
        v = through.ravel() - r @ (mode.k @ through.ravel())
        found = 0.5 * (np.outer(a, a) - r) + 0.5 * (np.outer(v, a) + np.outer(a, v))
        return found.reshape(n, d, n, d)

    def _by_part(self, weights: Array) -> dict[Any, Array]:
        """Sums over the copies of each part."""
        basis = self.covariance.outputs.basis
        weights = np.einsum("ba,mbnd,dc->manc", basis, weights, basis, optimize=True)
        return {
            t: np.sum([weights[:, p[:, None], :, p].transpose(2, 0, 3, 1) for p in places], axis=0)
            for t, places in self.covariance.places.items()
        }

    def _slope(self, mode: _Mode, latents: Latents, name: str) -> float:
        """By the logarithm of one of the likelihood's numbers, by differences."""
        ends = []
        for sign in (1, -1):
            changed = {**latents, name: float(latents[name]) * float(np.exp(sign * STEP))}
            ends.append(self._mode(mode.k, self._numbers(changed), mode).evidence)
        return (ends[0] - ends[1]) / (2 * STEP)


class _Mode:
    """The mode of f, and what follows.

    Attributes:
        f: (n, d); gradient: (n d,) of the log-likelihood there; curvature, root: (n, d, d), root root^T = curvature.
        lower: factor of B = I + root^T K root.
    """

    def __init__(
        self, k: Array, f: Array, gradient: Array, curvature: Array, root: Array, lower: Array, evidence: float
    ) -> None:
        self.k, self.f, self.gradient, self.curvature, self.root = k, f, gradient, curvature, root
        self.lower, self.evidence = lower, evidence

    @property
    def reduction(self) -> Array:
        """(K + curvature^-1)^-1 = root B^-1 root^T, (n d, n d)."""
        v = self.half(np.eye(self.f.size))
        return np.asarray(v.T @ v)

    @property
    def posterior(self) -> Array:
        """Covariance of f, (n d, n d)."""
        v = self.half(self.k)
        return np.asarray(self.k - v.T @ v)

    def half(self, k: Array) -> Array:
        """v (n d, m) with v^T v = k^T (K + curvature^-1)^-1 k, for k (n d, m)."""
        n, d = self.f.shape
        inner = np.einsum("nba,nbm->nam", self.root, k.reshape(n, d, -1)).reshape(n * d, -1)
        return np.asarray(solve_triangular(self.lower, inner, lower=True))


def _factor(k: Array, root: Array) -> Array:
    n, d, _ = root.shape
    if not (np.isfinite(k).all() and np.isfinite(root).all()):
        raise LinAlgError("the covariance of f is not finite")
    left = np.einsum("nba,nbm->nam", root, k.reshape(n, d, n * d)).reshape(n * d, n, d)
    b = np.einsum("knb,nba->kna", left, root).reshape(n * d, n * d)
    b[np.diag_indices(n * d)] += 1.0
    return np.asarray(cholesky(b, lower=True, overwrite_a=True, check_finite=False))


def _root(curvature: Array) -> Array:
    """(n, d, d) square roots of positive semidefinite matrices."""
    values, vectors = np.linalg.eigh(curvature)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0))[:, None])


def _own_blocks(covariance: Array, n: int, d: int) -> Array:
    """(n, d, d), of each example with itself."""
    return np.einsum("iaib->iab", covariance.reshape(n, d, n, d)).copy()
