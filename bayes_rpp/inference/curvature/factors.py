"""Factors of matrices as LAPACK keeps them: of S by Cholesky, of I + f^2 K for many f at once, and of J = Q B."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, eigvalsh_tridiagonal
from scipy.linalg.lapack import dgeqrf, dormqr, dpotri, dptsv, dsytrd, dtrtri

BLOCK = 64  # columns at a time


class Cholesky:
    """Of a positive definite matrix (m, m), which is overwritten."""

    def __init__(self, s: NDArray) -> None:
        self.lower = cholesky(s.T, lower=True, overwrite_a=True)  # the transpose lies as LAPACK wants it
        self.logdet = 2 * float(np.log(self.lower.diagonal()).sum())

    def solve(self, v: NDArray) -> NDArray:
        """S^-1 v, for v (m, ...)."""
        return cho_solve((self.lower, True), v, check_finite=False)

    @cached_property
    def half(self) -> NDArray:
        """The lower triangle of S^-1, at a third of the price of solving for each column."""
        return _checked(*dpotri(self.lower, lower=1))

    @cached_property
    def trace(self) -> float:
        """tr S^-1."""
        if "half" in vars(self):
            return float(np.trace(self.half))
        return float((_checked(*dtrtri(self.lower, lower=1)) ** 2).sum())


class Tridiagonal:
    """K = Q T Q^T with a tridiagonal T, for symmetric K (m, m): for the price of some Cholesky factors, any I + f^2 K
    costs a few products with a vector."""

    def __init__(self, k: NDArray) -> None:
        self._k = k
        found, self._diagonal, self._beside, self._tau, failed = dsytrd(k, lower=1, lwork=BLOCK * len(k))
        _checked(found, failed)
        self._reflectors = np.asfortranarray(found[1:, :-1])
        self._values = np.maximum(eigvalsh_tridiagonal(self._diagonal, self._beside), 0.0)

    def shifted(self, factor: float) -> Shifted:
        """I + f^2 K."""
        return Shifted(self, factor)


class Shifted:
    """S = I + f^2 K, with what `Cholesky` has."""

    def __init__(self, of: Tridiagonal, factor: float) -> None:
        self._of, self._square = of, factor**2
        values = self._square * of._values
        self.logdet, self.trace = float(np.log1p(values).sum()), float((1 / (1 + values)).sum())

    def solve(self, v: NDArray) -> NDArray:
        of = self._of
        w = np.array(v.reshape(len(v), -1), order="F")
        w[1:] = _rotated(of._reflectors, of._tau, w[1:], "T")
        w = _checked(*dptsv(1 + self._square * of._diagonal, self._square * of._beside, w)[2:])
        w[1:] = _rotated(of._reflectors, of._tau, w[1:], "N")
        return w.reshape(v.shape)

    @cached_property
    def half(self) -> NDArray:
        s = self._square * self._of._k
        s[np.diag_indices_from(s)] += 1.0
        return Cholesky(s).half


class Orthogonal:
    """J = Q B for J (n, p) with p < n: Q has orthonormal columns, and is not formed.

    Attributes:
        triangle: B, (p, p).
    """

    def __init__(self, matrix: NDArray) -> None:
        self._size = matrix.shape[1]
        self._reflectors, self._tau, _, failed = dgeqrf(matrix, lwork=BLOCK * self._size)
        self.triangle = np.triu(_checked(self._reflectors, failed)[: self._size])

    def into(self, v: NDArray) -> NDArray:
        """Q^T v, for v (n, ...)."""
        found = _rotated(self._reflectors, self._tau, v.reshape(len(v), -1), "T")[: self._size]
        return found.reshape((self._size, *v.shape[1:]))

    def out(self, v: NDArray) -> NDArray:
        """Q v, for v (p, ...)."""
        padded = np.zeros((len(self._reflectors), v[:1].size))
        padded[: self._size] = v.reshape(self._size, -1)
        return _rotated(self._reflectors, self._tau, padded, "N").reshape((-1, *v.shape[1:]))


def _rotated(reflectors: NDArray, tau: NDArray, v: NDArray, transposed: str) -> NDArray:
    found, _, failed = dormqr("L", transposed, reflectors, tau, v, max(1, BLOCK * v.shape[1]))
    return _checked(found, failed)


def _checked(found: NDArray, failed: int) -> NDArray:
    if failed:
        raise np.linalg.LinAlgError("the covariance of the outputs cannot be factorised")
    return found
