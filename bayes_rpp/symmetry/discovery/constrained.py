"""Gaussian processes of functions that a Lie algebra leaves as they are, compact or not.

f is equivariant under exp(t A) exactly if (L_A f)(x) = J(x) A_in x - A_out f(x) is zero for all x. It is linear in f,
so that a Gaussian process conditioned on L_A f(z) = 0 at points z is one again, with covariance

    K_A(x, x') = k(x, x') - k_L(x, z) k_LL(z, z)^-1 k_L(x', z)^T,

k_L = cov(f, L_A f), k_LL = cov(L_A f, L_A f) (virtual observations of derivatives: Solak et al. 2003; linear operators:
Jidling et al. 2017). For a compact group that moves k to itself K_A is its average, P_G k P_G^T, which is defined for
others as well. With f = f_A + f_res the residual pathway prior over functions is sigma_a^2 K_A + sigma_b^2 k.

Here k(x, x') = exp(-|x - x'|^2 / 2) + c, x in lengthscales, the same for each output, for z some of the x.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky

Array = NDArray[np.float64]
SLACK = 1e-3  # standard deviation of L_A f at z, in units of f: for rounding


@dataclass(frozen=True)
class Constraint:
    """Covariances with L_A f for k directions A.

    Attributes:
        x, z: (n, d), (p, d) points in lengthscales.
        moved: (p, k, d) A_in z in lengthscales; outputs: (k, m, m) A_out.
        between: (n, p, k) moved . (x - z); ahead, behind: (p, p, k) moved . (z - z') of the first and of the second.
        near, own: the kernel without its constant, (n, p) and (p, p).
        bend: (p, p, k, k) moved . moved' - ahead behind.
        constant: c.
    """

    x: Array
    z: Array
    moved: Array
    outputs: Array
    constant: float
    near: Array
    own: Array
    between: Array
    ahead: Array
    behind: Array
    bend: Array

    @staticmethod
    def of(x: Array, z: Array, moved: Array, outputs: Array, constant: float) -> Constraint:
        apart = z[:, None] - z[None]
        ahead = np.einsum("zwi,zki->zwk", apart, moved)
        behind = np.einsum("zwi,wli->zwl", apart, moved)
        return Constraint(
            x,
            z,
            moved,
            outputs,
            constant,
            rbf(x, z),
            rbf(z, z),
            along(moved, x, z),
            ahead,
            behind,
            np.einsum("zki,wli->zwkl", moved, moved) - ahead[..., :, None] * behind[..., None, :],
        )

    def cross(self) -> Array:
        """cov(f(x), L_A f(z)), (n, m, p, k, m)."""
        n, p, k = self.between.shape
        m = self.outputs.shape[1]
        found = np.zeros((n, m, p, k, m))
        found[:, range(m), :, :, range(m)] = self.near[..., None] * self.between
        return found - np.einsum("nz,kba->nazkb", self.near + self.constant, self.outputs)

    def own_covariance(self) -> Array:
        """cov(L_A f(z), L_A f(z')), (p, k, m, p, k, m)."""
        out, own = self.outputs, self.own[..., None]
        p, k, m = len(self.z), len(out), out.shape[1]
        found = np.einsum("zw,kac,lbc->zkawlb", self.own + self.constant, out, out)
        found += np.einsum("zwk,lba->zkawlb", own * self.ahead, out)
        found -= np.einsum("zwl,kab->zkawlb", own * self.behind, out)
        found[:, :, range(m), :, :, range(m)] += (own[..., None] * self.bend).transpose(0, 2, 1, 3)
        return found.reshape(p, k, m, p, k, m)

    def slopes(self, by_cross: Array, by_own: Array, kinds: NDArray[np.int_]) -> tuple[Array, Array, Array]:
        """Derivatives of sum(by_cross * cross) + sum(by_own * own_covariance), by_own symmetric.

        Returns:
            (kinds,) by the logarithms of the lengthscales; (p, k, d) by `moved`; (k, m, m) by `outputs`.
        """
        out, near, own = self.outputs, self.near, self.own
        trace, own_trace = np.einsum("nazka->nzk", by_cross), np.einsum("zkawla->zwkl", by_own)
        turned = np.einsum("zkawlb,lba->zwk", by_own, out)
        by_near = np.einsum("nzk,nzk->nz", trace, self.between) - np.einsum("nazkb,kba->nz", by_cross, out)
        by_k = np.einsum("zwkl,zwkl->zw", own_trace, self.bend) + 2 * np.einsum("zwk,zwk->zw", turned, self.ahead)
        by_k += np.einsum("zkawlb,kac,lbc->zw", by_own, out, out)
        weighted, own_weighted, turned = (
            trace * near[..., None],
            own_trace * own[..., None, None],
            turned * own[..., None],
        )
        by_scale = np.zeros(kinds.max() + 1)
        for kind in range(len(by_scale)):
            c = kinds == kind
            x, z, moved = self.x[:, c], self.z[:, c], self.moved[..., c]
            ahead = np.einsum("zwi,zki->zwk", z[:, None] - z[None], moved)
            by_scale[kind] = (by_near * near * squares(x, z)).sum() + (by_k * own * squares(z, z)).sum()
            by_scale[kind] -= 2 * (weighted * along(moved, x, z)).sum() + 4 * (turned * ahead).sum()
            by_scale[kind] -= 2 * np.einsum("zwkl,zki,wli->", own_weighted, moved, moved, optimize=True)
            by_scale[kind] += 4 * np.einsum("zwkl,zwk,zwl->", own_weighted, ahead, self.behind, optimize=True)
        apart = self.z[:, None] - self.z[None]
        by_moved = np.einsum("nzk,ni->zki", weighted, self.x) - weighted.sum(0)[..., None] * self.z[:, None]
        by_moved += 2 * np.einsum("zwkl,wli->zki", own_weighted, self.moved)
        by_moved += 2 * np.einsum("zwk,zwi->zki", turned - np.einsum("zwkl,zwl->zwk", own_weighted, self.behind), apart)
        by_out = -np.einsum("nazkb,nz->kba", by_cross, near + self.constant)
        by_out -= 2 * np.einsum("zkawlb,zw,zwl->kab", by_own, own, self.behind, optimize=True)
        by_out += 2 * np.einsum("zkawlb,zw,lbc->kac", by_own, own + self.constant, out, optimize=True)
        return by_scale, by_moved, by_out


def factor(matrix: Array) -> Array:
    """Lower Cholesky factor; raises LinAlgError."""
    return np.asarray(cholesky(matrix, lower=True, check_finite=False))


def solve(lower: Array, right: Array) -> Array:
    """(L L^T)^-1 times a matrix."""
    return np.asarray(cho_solve((lower, True), right, check_finite=False))


def along(moved: Array, x: Array, z: Array) -> Array:
    """moved . (x - z), (n, p, k)."""
    p, k, d = moved.shape
    at = np.einsum("zki,zi->zk", moved, z)
    return (x @ moved.reshape(p * k, d).T).reshape(-1, p, k) - at


def rbf(x: Array, z: Array) -> Array:
    return np.asarray(np.exp(-0.5 * squares(x, z)))


def squares(x: Array, z: Array) -> Array:
    """Squared distances (n, p)."""
    found = (x**2).sum(1)[:, None] + (z**2).sum(1) - 2 * x @ z.T
    return np.maximum(found, 0.0, out=found)
