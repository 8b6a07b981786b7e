"""Gaussian processes of functions that a Lie algebra leaves as they are, compact or not.

f is equivariant under exp(t A) exactly if (L_A f)(x) = J(x) A_in x - A_out f(x) is zero for all x. It is linear in f,
so that a Gaussian process conditioned on L_A f(z) = 0 at points z is one again, with covariance

    K_A(x, x') = k(x, x') - k_L(x, z) k_LL(z, z)^-1 k_L(x', z)^T,

k_L = cov(f, L_A f), k_LL = cov(L_A f, L_A f) (virtual observations of derivatives: Solak et al. 2003; linear operators:
Jidling et al. 2017). For a compact group that moves k to itself K_A is its average, P_G k P_G^T, which is defined for
others as well. With f = f_A + f_res the residual pathway prior over functions is sigma_a^2 K_A + sigma_b^2 k.

Here k(x, x') = exp(-|x - x'|^2 / 2) + c, x in lengthscales, the same for each output. So all covariances come from
those of one output with its k slopes along A_in z and its value at z, k + 1 features of each point, for k directions:
L_A f = sum_j e_j feature_j, with e_j the unit matrix for the slope of A, and -A_out for the value.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky
from scipy.linalg.lapack import dpotri

Array = NDArray[np.float64]
SLACK = 1e-3  # standard deviation of L_A f at z, in units of f: for rounding


@dataclass(frozen=True, eq=False)
class Constraint:
    """L_A f at points z for k directions A.

    Attributes:
        z: (p, d) points in lengthscales.
        moved: (k, p, d) A_in z in lengthscales.
        outputs: (k, m, m) A_out.
        constant: c.
    """

    z: Array
    moved: Array
    outputs: Array
    constant: float

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """k, m, p, by which L_A f is ordered."""
        return len(self.outputs), self.outputs.shape[1], len(self.z)

    @cached_property
    def loadings(self) -> Array:
        """(k, m, k + 1, m) e: L_A f of output b from feature j of output c."""
        k, m, _ = self.shape
        found = np.zeros((k, m, k + 1, m))
        found[range(k), :, range(k)] = np.eye(m)
        found[:, :, k] = -self.outputs
        return found

    def cross(self, x: Array) -> Array:
        """cov(f(x), features), (k + 1, n, p), for x (n, d) in lengthscales."""
        near = rbf(x, self.z)
        return np.concatenate([near * along(self.moved, x, self.z), near[None] + self.constant])

    def between(self, other: Constraint) -> Array:
        """cov(features, features of another), (k + 1, l + 1, p, q)."""
        own, k = rbf(self.z, other.z), len(self.moved)
        behind, ahead = along(other.moved, self.z, other.z), -along(self.moved, other.z, self.z).swapaxes(1, 2)
        found = np.empty((k + 1, len(other.moved) + 1, *own.shape))
        found[:k, :-1] = own * (self.moved[:, None] @ other.moved.swapaxes(1, 2) - ahead[:, None] * behind)
        found[:k, -1], found[k, :-1], found[k, -1] = -own * ahead, own * behind, own + self.constant
        return found

    def joined(self, features: Array, other: Constraint) -> Array:
        """cov(L_A f, L_B f), (k m p, l m q), from that of the features."""
        p, q = features.shape[2:]
        k, m, _ = self.shape
        found = (self._pairs(other) @ features.reshape(-1, p * q)).reshape(k * m, -1, p, q)
        return np.ascontiguousarray(found.swapaxes(1, 2)).reshape(k * m * p, -1)

    def split(self, by: Array, features: Array) -> tuple[Array, Array]:
        """Derivatives of sum(by * joined(features)) by the features, (k + 1, k + 1, p, p), and by A_out, (k, m, m).

        Args:
            by: (k m p, k m p), symmetric.
        """
        k, m, p = self.shape
        flat = np.ascontiguousarray(by.reshape(k * m, p, k * m, p).swapaxes(1, 2)).reshape(-1, p * p)
        pairs = (flat @ features.reshape(-1, p * p).T).reshape(k, m, k, m, k + 1, k + 1)
        by_out = -2 * np.einsum("kblcJ,lcJd->kbd", pairs[..., k, :], self.loadings, optimize=True)
        return (self._pairs(self).T @ flat).reshape(features.shape), by_out

    def _pairs(self, other: Constraint) -> Array:
        """(k m l m, (k + 1) (l + 1)) products of loadings."""
        e, f = self.loadings, other.loadings
        found = np.einsum("kbjd,lcJd->kblcjJ", e, f)
        return found.reshape(-1, e.shape[2] * f.shape[2])

    def slopes(self, x: Array, by_cross: Array, by_own: Array) -> tuple[Array, Array]:
        """Derivatives of sum(by_cross * cross(x)) + sum(by_own * between(self)), by_own symmetric.

        Returns:
            (d,) by the logarithms of the lengthscales of columns; (k, p, d) by `moved`.
        """
        k, z, moved = len(self.moved), self.z, self.moved
        near, own = rbf(x, z), rbf(z, z)
        between, behind = along(moved, x, z), along(moved, z, z)
        ahead, slopes = -behind.swapaxes(1, 2), by_own[:k, :k]
        by_near = (by_cross[:k] * between).sum(0) + by_cross[k]
        tilted = (slopes * behind).sum(1)
        by_k = by_own[k, k] - ((tilted + 2 * by_own[:k, k]) * ahead).sum(0)
        by_k += (slopes * (moved[:, None] @ moved.swapaxes(1, 2))).sum((0, 1))
        weighted, forward = by_cross[:k] * near, -2 * (by_own[:k, k] + tilted) * own
        by_line = weighted.swapaxes(1, 2) @ x - weighted.sum(1)[..., None] * z
        by_line += forward.sum(2)[..., None] * z - forward @ z
        by_both = 2 * ((slopes * own) @ moved).sum(1)
        by_scale = by_squares(by_near * near, x, z) + by_squares(by_k * own, z, z)
        return by_scale - (moved * (2 * by_line + by_both)).sum((0, 1)), by_line + by_both


def factor(matrix: Array) -> Array:
    """Lower Cholesky factor; raises LinAlgError."""
    return np.asarray(cholesky(matrix, lower=True, check_finite=False))


def solve(lower: Array, right: Array) -> Array:
    """(L L^T)^-1 times a matrix."""
    return np.asarray(cho_solve((lower, True), right, check_finite=False))


def inverse(lower: Array) -> Array:
    """(L L^T)^-1."""
    found = dpotri(lower, lower=1)[0]  # zero above the diagonal, as `factor` is
    found = found + found.T
    found[np.diag_indices(len(found))] *= 0.5
    return np.asarray(found)


def half_log(lower: Array) -> float:
    """Half of the log determinant of L L^T."""
    return float(np.log(np.diag(lower)).sum())


def along(moved: Array, x: Array, z: Array) -> Array:
    """moved . (x - z), (k, n, p)."""
    return np.asarray(x @ moved.swapaxes(1, 2) - (moved * z).sum(2)[:, None])


def rbf(x: Array, z: Array) -> Array:
    found = (x**2).sum(1)[:, None] + (z**2).sum(1) - 2 * x @ z.T
    return np.asarray(np.exp(-0.5 * np.maximum(found, 0.0, out=found)))


def by_squares(weights: Array, x: Array, z: Array) -> Array:
    """Sums of weights (n, p) times (x - z)^2 of each column, (d,)."""
    return np.asarray(weights.sum(1) @ x**2 + weights.sum(0) @ z**2 - 2 * (x * (weights @ z)).sum(0))
