"""The exact evidence of a GaussianProcess with Gaussian noise, its derivatives, and the posterior given the numbers.

Rasmussen and Williams 2006, Equations 2.23 to 2.25 and 2.30 (posterior and evidence), 5.9 (its derivatives), and 5.10
to 5.12 (leave-one-out), with a matrix of outputs for each example; Bachoc 2013 (what leave-one-out says of variances).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, blas, cho_solve, cholesky, lapack, solve_triangular

from bayes_rpp.models.process.conditional import Conditional
from bayes_rpp.models.process.covariance import Array, Covariance, Latents, number_of
from bayes_rpp.models.process.prior import FunctionPrior
from bayes_rpp.models.process.slopes import ChainRule

JITTERS = (0.0, 1e-13, 1e-11, 1e-9, 1e-7)  # of the mean variance, where rounding has made the covariance indefinite


class GaussianEvidence:
    """log p(y | x, numbers).

    Args:
        gp: with a distribution or a number for all that it has, and a Gaussian likelihood.
        x, y: training data.
        level: of the averages over groups.
    """

    points: NDArray | None = None  # rows of x that are inducing points: none, as it is exact
    follows = False  # of no use, as nothing is looked for

    def __init__(self, gp: FunctionPrior, x: NDArray, y: NDArray, level: int = 0) -> None:
        self.gp, self.covariance = gp, Covariance(gp, x, level)
        y = (np.asarray(y, dtype=np.float64) - gp.offset) @ self.covariance.outputs.basis
        # Part -> (n d, copies).
        self._y = {t: y[:, p].transpose(0, 2, 1).reshape(-1, len(p)) for t, p in self.covariance.places.items()}
        likelihood: Any = gp.likelihood
        self._noise = list(likelihood.entries())

    def __call__(self, latents: Latents) -> tuple[float, dict[str, float]]:
        """The log evidence, and its derivative by the logarithm of each site."""
        prepared = self.covariance.own(latents)
        noise = self._variances(latents)
        total, by_noise, weights = 0.0, [0.0] * len(self._noise), {}
        for t, y in self._y.items():
            k = prepared.total[t]
            lower = self._factor(k, noise)
            alpha = cho_solve((lower, True), y)
            total += -0.5 * float(np.vdot(y, alpha)) - y.shape[1] * float(np.log(np.diag(lower)).sum())
            total -= 0.5 * y.size * math.log(2 * math.pi)
            w = blas.dgemm(0.5, alpha, alpha, -0.5 * y.shape[1], inverse_of(lower).T, trans_b=1, overwrite_c=1)
            own = np.diag(w).reshape(-1, k.shape[1])
            for i, (entry, columns) in enumerate(self._noise):
                by_noise[i] += 2 * number_of(entry, latents) ** 2 * float(own[:, columns].sum())
            weights[t] = w.reshape(k.shape)
        slopes = ChainRule(self.covariance, latents, prepared).whole(weights)
        slopes |= {entry: by_noise[i] for i, (entry, _) in enumerate(self._noise) if isinstance(entry, str)}
        return total, slopes

    def conditional(self, latents: Latents) -> Conditional:
        """The posterior of f."""
        prepared = self.covariance.own(latents)
        noise = self._variances(latents)
        weights: dict[Any, Array] = {}
        half: dict[Any, Any] = {}
        for t, y in self._y.items():
            lower = self._factor(prepared.total[t], noise)
            weights[t] = cho_solve((lower, True), y)
            half[t] = partial(solve_triangular, lower, lower=True)
        return Conditional(self.covariance, latents, prepared, False, weights, half)

    def left_out(self, latents: Latents) -> Array:
        """log p(y_i | all others) of each example, (n,)."""
        found = np.zeros(len(self.covariance.x))
        for some, gaps, spread in self._without(latents):
            squares = np.einsum("iac,iac->i", gaps, np.linalg.solve(spread, gaps))
            logs = np.linalg.slogdet(spread)[1] + spread.shape[1] * math.log(2 * math.pi)
            found[some] -= 0.5 * (squares + gaps.shape[2] * logs)
        return found

    def inflation(self, latents: Latents) -> float:
        """Root mean square of what y is off by from its prediction by all other examples, in standard deviations of
        that: what leave-one-out multiplies those by (Bachoc 2013), and 1 where the model is right."""
        total, count = 0.0, 0
        for _, gaps, spread in self._without(latents):
            total += float((gaps**2 / np.einsum("iaa->ia", spread)[..., None]).sum())
            count += gaps.size
        return math.sqrt(total / count)

    def _without(self, latents: Latents) -> Iterator[tuple[slice, Array, Array]]:
        """Of some examples of each part, what y is off by from its mean given all others, (n, d, copies), and the
        covariance of that, (n, d, d)."""
        prepared = self.covariance.own(latents)
        noise = self._variances(latents)
        for t, y in self._y.items():
            k = prepared.total[t]
            n, d = k.shape[:2]
            lower = self._factor(k, noise)
            alpha = cho_solve((lower, True), y).reshape(n, d, -1)
            precision = np.einsum("iaib->iab", inverse_of(lower).reshape(n, d, n, d))
            yield slice(None), np.linalg.solve(precision, alpha), np.linalg.inv(precision)

    def _variances(self, latents: Latents) -> Array:
        """(d_out,) variances of the noise. They differ only where outputs are one part, in their own coordinates."""
        found = np.empty(self.gp.rep_out.size)
        for entry, columns in self._noise:
            found[columns] = number_of(entry, latents) ** 2
        return found

    def _factor(self, k: Array, noise: Array) -> Array:
        """Lower Cholesky factor of the covariance of observations."""
        n, d = k.shape[:2]
        flat = k.reshape(n * d, n * d)
        variances = np.diag(flat).reshape(n, d).mean(axis=0)
        for jitter in JITTERS if np.isfinite(flat).all() and np.isfinite(noise).all() else ():
            c = flat.copy()
            c[np.diag_indices(n * d)] += np.tile(noise[:d] + jitter * variances, n)
            try:
                lower = np.asarray(cholesky(c, lower=True, overwrite_a=True, check_finite=False))
            except LinAlgError:
                continue
            if np.isfinite(lower.diagonal()).all():  # what overflows elsewhere ends there
                return lower
        raise LinAlgError(
            "the covariance of y is not positive definite to rounding; larger noise, or a shorter lengthscale, would do"
        )


def inverse_of(lower: Array) -> Array:
    """Of L L^T, symmetric."""
    found, _ = lapack.dpotri(lower, lower=1, overwrite_c=1)  # above the diagonal it has the factor's zeros
    found = found + found.T
    found[np.diag_indices(len(found))] /= 2
    return np.asarray(found)
