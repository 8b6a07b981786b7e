"""(K + W^-1)^-1, for the covariance K of f at all examples and the curvature W of the log-likelihood.

Rasmussen and Williams 2006, Equation 3.27 and Algorithm 3.3. Where the prior knows of no difference between classes, K
has the same n x n matrix k for each of C classes, and W = D - D R (R^T D R)^-1 R^T D has a diagonal D, (n C, n C), and
R that stacks C identities: C factorisations of n x n then do what one of n C x n C does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_solve, cholesky, solve_triangular

from bayes_rpp.models.likelihoods import Categorical
from bayes_rpp.models.process.conditional import assemble
from bayes_rpp.models.process.covariance import Array, Covariance
from bayes_rpp.models.process.evidence import inverse_of
from bayes_rpp.priors.kernels.averaged import Blocks


class Reduction(Protocol):
    """(K + W^-1)^-1, (n d, n d).

    Attributes:
        half_log_det: of I + K W.
    """

    half_log_det: float

    def __call__(self, v: Array) -> Array:
        """Times v (n, d)."""

    def half(self, k: Array) -> Array:
        """v (r, m) with v^T v = k^T (K + W^-1)^-1 k, for k (n d, m)."""

    def own(self) -> Array:
        """(n, d, d), of (K^-1 + W)^-1 what each example has with itself."""

    def by_part(self, a: Array, v: Array) -> Blocks:
        """(a a^T - this + v a^T + a v^T) / 2, for a and v (n, d), summed over the copies of each part."""


class PriorCovariance(Protocol):
    """The covariance K of f."""

    def times(self, a: Array) -> Array:
        """K a, for a (n, d)."""

    def reduction(self, f: Array, curvature: Array) -> Reduction:
        """With the curvature (n, d, d) at outputs f (n, d)."""


def prior_of(covariance: Covariance, total: Blocks) -> PriorCovariance:
    """As the likelihood and the parts of the outputs allow."""
    likelihood: Any = covariance.gp.likelihood
    if are_alike(likelihood, covariance.places):
        return Classes(total[0][:, 0, :, 0], likelihood)
    return Whole(covariance, total)


def are_alike(likelihood: Any, places: Mapping[int, NDArray]) -> bool:
    """Whether outputs are classes, and copies of one part that is a number each, in places (copies, d)."""
    return type(likelihood) is Categorical and likelihood.is_plain and [p.shape[1] for p in places.values()] == [1]


class Whole:
    """Of outputs of any kind."""

    def __init__(self, covariance: Covariance, total: Blocks) -> None:
        k = assemble(covariance, total)
        self.covariance = covariance
        self.matrix = k.reshape(k.shape[0] * k.shape[1], -1)

    def times(self, a: Array) -> Array:
        return np.asarray(self.matrix @ a.ravel()).reshape(a.shape)

    def reduction(self, f: Array, curvature: Array) -> WholeReduction:
        return WholeReduction(self, curvature)


class WholeReduction:
    """See `Reduction`; lower is the factor of root^T K root + I, with root root^T = W."""

    def __init__(self, prior: Whole, curvature: Array) -> None:
        self.prior, self.root, n, d = prior, _root(curvature), *curvature.shape[:2]
        k = prior.matrix
        _check_finite(k, self.root)
        left = np.einsum("nba,nbm->nam", self.root, k.reshape(n, d, n * d)).reshape(n * d, n, d)
        b = np.einsum("knb,nba->kna", left, self.root).reshape(n * d, n * d)
        b[np.diag_indices(n * d)] += 1.0
        self.lower = np.asarray(cholesky(b, lower=True, overwrite_a=True, check_finite=False))
        self.half_log_det = float(np.log(np.diag(self.lower)).sum())

    def __call__(self, v: Array) -> Array:
        inner = np.einsum("nba,nb->na", self.root, v).ravel()
        return np.einsum("nab,nb->na", self.root, cho_solve((self.lower, True), inner).reshape(v.shape))

    def half(self, k: Array) -> Array:
        n, d = self.root.shape[:2]
        inner = np.einsum("nba,nbm->nam", self.root, k.reshape(n, d, -1)).reshape(n * d, -1)
        return np.asarray(solve_triangular(self.lower, inner, lower=True))

    def own(self) -> Array:
        n, d = self.root.shape[:2]
        v = self.half(self.prior.matrix).reshape(-1, n, d)
        prior = np.einsum("iaib->iab", self.prior.matrix.reshape(n, d, n, d))
        return prior - np.einsum("kia,kib->iab", v, v)

    def by_part(self, a: Array, v: Array) -> Blocks:
        covariance = self.prior.covariance
        r = self.half(np.eye(a.size))
        found = np.outer(0.5 * a + v, a)
        found = 0.5 * (found + found.T - r.T @ r)
        basis = covariance.outputs.basis
        found = np.einsum("ba,mbnd,dc->manc", basis, found.reshape(*a.shape, *a.shape), basis, optimize=True)
        return {
            t: np.sum([found[:, p[:, None], :, p].transpose(2, 0, 3, 1) for p in places], axis=0)
            for t, places in covariance.places.items()
        }


class Classes:
    """Of classes that are all alike: k (n, n) for each."""

    def __init__(self, k: Array, likelihood: Categorical) -> None:
        self.k, self._likelihood = np.asfortranarray(k), likelihood

    def times(self, a: Array) -> Array:
        return np.asarray(self.k @ a)

    def reduction(self, f: Array, curvature: Array) -> ClassReduction:
        return ClassReduction(self.k, self._likelihood.mean(f) / self._likelihood.temperature**2)


class ClassReduction:
    """See `Reduction`. Of the diagonal D (n, C): lower has the factor of each class's I + D^1/2 k D^1/2, each its
    E = D^1/2 (I + D^1/2 k D^1/2)^-1 D^1/2, and joint the factor of the sum of these."""

    def __init__(self, k: Array, diagonal: Array) -> None:
        self.k, self.roots = k, np.sqrt(diagonal).T
        _check_finite(k, diagonal)
        self.lower, self.each = [], []
        for root in self.roots:
            b = root[:, None] * k * root
            b[np.diag_indices(len(k))] += 1.0
            self.lower.append(np.asarray(cholesky(b, lower=True, overwrite_a=True, check_finite=False)))
            self.each.append(root[:, None] * inverse_of(self.lower[-1].copy(order="F")) * root)
        self.joint = np.asarray(cholesky(sum(self.each), lower=True, check_finite=False))
        logs = sum(float(np.log(np.diag(lower)).sum()) for lower in (*self.lower, self.joint))
        self.half_log_det = logs - 0.5 * float(np.log(diagonal.sum(axis=1)).sum())

    def __call__(self, v: Array) -> Array:
        shared = self._shared(v.T)
        return np.stack([e @ (one - shared) for e, one in zip(self.each, v.T, strict=True)], axis=1)

    def _shared(self, v: Array) -> Array:
        """(R^T E R)^-1 R^T E v, (n, ...), for v (C, n, ...)."""
        total = sum(e @ one for e, one in zip(self.each, v, strict=True))
        return np.asarray(cho_solve((self.joint, True), total))

    def half(self, k: Array) -> Array:
        v = k.reshape(len(self.k), len(self.each), -1).swapaxes(0, 1)
        shared = self._shared(v)
        found = [
            solve_triangular(lower, root[:, None] * (one - shared), lower=True)
            for lower, root, one in zip(self.lower, self.roots, v, strict=True)
        ]
        return np.concatenate(found)

    def own(self) -> Array:
        alone = np.stack([np.diag(self.k) - np.einsum("ji,ji->i", self.k, e @ self.k) for e in self.each])
        between = np.stack([solve_triangular(self.joint, e, lower=True) @ self.k for e in self.each], axis=-1)
        found = np.einsum("mic,mid->icd", between, between)
        found[:, range(len(alone)), range(len(alone))] += alone.T
        return found

    def by_part(self, a: Array, v: Array) -> Blocks:
        found = a @ (0.5 * a + v).T
        found = found + found.T
        for e in self.each:
            inner = solve_triangular(self.joint, e, lower=True)
            found += inner.T @ inner - e
        return {0: 0.5 * found[:, None, :, None]}


def _check_finite(k: Array, other: Array) -> None:
    if not (np.isfinite(k).all() and np.isfinite(other).all()):
        raise LinAlgError("the covariance of f is not finite")


def _root(curvature: Array) -> Array:
    """(n, d, d) square roots of positive semidefinite matrices."""
    values, vectors = np.linalg.eigh(curvature)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0))[:, None])
