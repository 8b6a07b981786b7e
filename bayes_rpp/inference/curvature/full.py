"""Laplace's Gaussian with its full covariance: by the weights, or by the outputs at the data, whichever are fewer."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, cholesky, solve_triangular
from scipy.linalg.lapack import dpotri

from bayes_rpp.inference.curvature.curvature import Curvature, Factorized, Numbers, proportion
from bayes_rpp.inference.curvature.linearisation import Coordinates, Linearization

INVERTIBLE = 1e-5  # a likelihood's root R whose smallest singular value is above this part of the largest


class WeightSpace(Curvature):
    """H itself, (size, size)."""

    def __init__(self, at: Linearization) -> None:
        super().__init__(at)
        self._root: NDArray | None = None
        self._product: NDArray

    def factorize(self, numbers: Numbers, r: NDArray) -> Factorized:
        return _OfWeights(self, numbers, self._gauss_newton(r))

    def _gauss_newton(self, r: NDArray) -> NDArray:
        """J^T L J."""
        factor = proportion(r, self._root)
        if factor is not None:
            return factor**2 * self._product
        rooted = (r.swapaxes(1, 2) @ self.at.jacobian).reshape(-1, self.coordinates.size)
        self._root, self._product = r, rooted.T @ rooted
        return self._product


class _OfWeights(Factorized):
    def __init__(self, curvature: WeightSpace, numbers: Numbers, gauss_newton: NDArray) -> None:
        self._c, self._jacobian, self._numbers = curvature.coordinates, curvature.at.jacobian, numbers
        h = self._c.color(self._c.color(gauss_newton, numbers).T, numbers)
        h[np.diag_indices_from(h)] += 1.0
        self._lower = cholesky(h, lower=True)
        self.logdet = 2 * float(np.log(self._lower.diagonal()).sum())
        self._inverse: NDArray | None = None

    def solve(self, v: NDArray) -> NDArray:
        return cho_solve((self._lower, True), v)

    def draw(self, rng: np.random.Generator, count: int) -> NDArray:
        white = rng.normal(size=(self._c.size, count))
        return solve_triangular(self._lower, white, lower=True, trans=1).T

    def information(self, site: str) -> float:
        # J^T (L^-1 + J C J^T)^-1 J = A^+ (I - H^-1) A^+ where the prior has mass.
        if self._inverse is None:
            self._inverse = cho_solve((self._lower, True), np.eye(self._c.size))
        total = 0.0
        for name, level, scale in self._c.terms(site):
            where, alone = self._c.slices[name], Coordinates(self._c.model, [name])
            lost = -self._inverse[where, where]
            lost[np.diag_indices_from(lost)] += 1.0
            both = alone.whiten(alone.whiten(lost, self._numbers).T, self._numbers)
            half = level.encode(both.reshape(-1, *level.shape)).T
            total += scale**2 * float(np.trace(level.encode(half.reshape(-1, *level.shape))))
        return total

    def output_covariance(self) -> NDArray:
        # One solve for the outputs of all examples: one for each reads the factor as often.
        n, d = self._jacobian.shape[:2]
        colored = self._c.color(self._jacobian.reshape(n * d, -1), self._numbers)
        half = solve_triangular(self._lower, colored.T, lower=True, check_finite=False).T.reshape(n, d, -1)
        return half @ half.swapaxes(1, 2)


class DataSpace(Curvature):
    """H through S = I + R^T K R, K = J A A J^T the prior's covariance of the outputs: |H| = |S|.

    K is a sum over pathways of sigma^2 J P J^T; those that share a number to tune are kept as one matrix.

    Attributes:
        parts: site -> that sum without sigma^2; None -> the sum over pathways with a number.
    """

    def __init__(self, at: Linearization) -> None:
        super().__init__(at)
        self.parts: dict[str | None, NDArray] = {}
        flat = at.jacobian.reshape(-1, self.coordinates.size)
        for name in self.coordinates.names:
            block = flat[:, self.coordinates.slices[name]].reshape(len(flat), *at.model.priors[name].shape)
            for level, number, scale in at.model.covariance_terms(name):
                if level.rank and number != 0:
                    coded = level.encode(block) * scale
                    key = number if isinstance(number, str) else None
                    coded = coded if isinstance(number, str) else coded * number
                    product = coded @ coded.T
                    self.parts[key] = self.parts[key] + product if key in self.parts else product

    def factorize(self, numbers: Numbers, r: NDArray) -> Factorized:
        covariance = sum((k if s is None else k * numbers[s] ** 2) for s, k in self.parts.items())
        return _OfData(self, numbers, r, covariance)


class _OfData(Factorized):
    def __init__(self, curvature: DataSpace, numbers: Numbers, r: NDArray, covariance: Any) -> None:
        self._c, self._numbers, self._r, self._k = curvature.coordinates, numbers, r, covariance
        self._shape, self._parts = curvature.at.f.shape, curvature.parts
        self._jacobian = curvature.at.jacobian.reshape(-1, self._c.size)
        s = self._rooted(self._rooted(covariance).T)
        s[np.diag_indices_from(s)] += 1.0
        self._s = cho_factor(s, lower=True)
        self.logdet = 2 * float(np.log(self._s[0].diagonal()).sum())
        self._inverse: NDArray | None = None
        self._t: NDArray | None = None

    @property
    def inverse(self) -> NDArray:
        """S^-1, (n d, n d): by LAPACK at a third of the price of solving for each column."""
        if self._inverse is None:
            lower, failed = dpotri(self._s[0], lower=1)
            if failed:
                raise np.linalg.LinAlgError("the covariance of the outputs cannot be inverted")
            lower = np.tril(lower)
            self._inverse = lower + np.tril(lower, -1).T
        return self._inverse

    def _rooted(self, a: NDArray, back: bool = False) -> NDArray:
        """R^T a, or R a, for a (n d, ...)."""
        r = self._r if back else self._r.swapaxes(1, 2)
        return (r @ a.reshape((*self._shape, -1))).reshape(a.shape)

    def _shrink(self, v: NDArray) -> NDArray:
        """A J^T R S^-1 R^T J v for v (size, ...) = A eps."""
        inner = self._rooted(cho_solve(self._s, self._rooted(self._jacobian @ v)), back=True)
        return self._c.color((self._jacobian.T @ inner).T, self._numbers).T

    def solve(self, v: NDArray) -> NDArray:
        return v - self._shrink(self._c.color(v, self._numbers))

    def draw(self, rng: np.random.Generator, count: int) -> NDArray:
        # Matheron's rule: a draw from the prior, less what noisy data say of it.
        white = rng.normal(size=(count, self._c.size))
        at_data = self._rooted(self._jacobian @ self._c.color(white, self._numbers).T)
        noisy = cho_solve(self._s, at_data + rng.normal(size=at_data.shape))
        return white - self._c.color((self._jacobian.T @ self._rooted(noisy, back=True)).T, self._numbers)

    def information(self, site: str) -> float:
        if self._t is None:
            self._t = self._rooted(self._rooted(self.inverse, back=True).T, back=True)
        return float(np.vdot(self._t, self._parts[site]))

    def output_covariance(self) -> NDArray:
        n, d = self._shape
        own = np.arange(n)
        sizes = np.linalg.svd(self._r, compute_uv=False)
        if sizes.min() > INVERTIBLE * sizes.max():  # K - K T K = R^-T (I - S^-1) R^-1
            rest = np.eye(d) - self.inverse.reshape(n, d, n, d)[own, :, own]
            back = np.linalg.inv(self._r)
            return back.swapaxes(1, 2) @ rest @ back
        half = solve_triangular(self._s[0], self._rooted(self._k), lower=True).reshape(n * d, n, d)
        prior = self._k.reshape(n, d, n, d)[own, :, own]
        half = np.moveaxis(half, 0, 1)
        return prior - half.swapaxes(1, 2) @ half
