"""Laplace's Gaussian with its full covariance, through the outputs at the data, as in a Gaussian process: with
K = J A A J^T the prior's covariance of the outputs and S = I + R^T K R it is |H| = |S|, and the mode of the linearised
model is A A J^T a with a = slope - R S^-1 R^T (K slope - J W_0) = R S^-1 (R^-1 slope + R^T J W_0).

Where the weights have fewer directions than there are outputs, J = Q B with orthonormal columns Q, and B takes J's
place: no matrix is larger than the smaller of the two. Numbers change what is found there; only steps and draws look at
the weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, qr, solve_triangular

from bayes_rpp.inference.curvature.curvature import Curvature, Factorized, Numbers, multiple
from bayes_rpp.inference.curvature.factors import Cholesky, Orthogonal, Shifted, Tridiagonal
from bayes_rpp.inference.curvature.linearisation import Linearization
from bayes_rpp.inference.curvature.outer import add_gram
from bayes_rpp.priors.subspaces.base import Subspace

Roots = tuple[Callable[[NDArray], NDArray], Callable[[NDArray], NDArray], float | None]
Pattern = tuple[tuple[str | None, float], ...]  # (site, its share) of sites that change the same weights


class Full(Curvature):
    """With all the covariances of the weights.

    Attributes:
        rows: J (m, size), or B.
        frame: Q; None where rows is J.
        parts: (m, m) for each of `sites`: the sum of J P J^T over its pathways without sigma^2; of site None, the sum
            over pathways with a number, with it.
    """

    def __init__(self, at: Linearization) -> None:
        super().__init__(at)
        self.frame, self.rows = self._reduced(at.jacobian.reshape(-1, self.coordinates.size))
        found = self._parts()
        self.sites, self.parts = tuple(found), np.array(list(found.values()))
        self.diagonals = self.parts.diagonal(axis1=1, axis2=2)
        self.start = self.rows @ at.at
        self._weights, self._k = np.zeros(0), np.zeros((0, 0))
        self._tridiagonal: Tridiagonal | None = None

    def _reduced(self, jacobian: NDArray) -> tuple[Orthogonal | None, NDArray]:
        priors, slices = self.at.model.priors, self.coordinates.slices
        strict = {k for k in slices if priors[k].is_strict}
        sizes = {k: priors[k].support.rank if k in strict else s.stop - s.start for k, s in slices.items()}
        if sum(sizes.values()) >= len(jacobian):
            return None, jacobian
        blocks = {k: jacobian[:, s].reshape(-1, *priors[k].shape) for k, s in slices.items()}
        held = [priors[k].support.encode(b) if k in strict else b.reshape(len(b), -1) for k, b in blocks.items()]
        frame = Orthogonal(np.concatenate(held, axis=1))
        ends = np.cumsum(list(sizes.values()))[:-1]
        parts = dict(zip(slices, np.split(frame.triangle, ends, axis=1), strict=True))
        return frame, self.coordinates.flat({
            k: priors[k].support.decode(b) if k in strict else b.reshape(-1, *priors[k].shape) for k, b in parts.items()
        })  # fmt: skip

    def _parts(self) -> dict[str | None, NDArray]:
        """Columns whose products belong to the same sites are multiplied as one."""
        columns: dict[Pattern, list[tuple[str, Subspace | None, float]]] = {}
        for name in self.coordinates.names:
            whole: dict[str | None, float] = {}
            for level, number, scale in self.at.model.covariance_terms(name):
                site, share = (number, scale**2) if isinstance(number, str) else (None, (scale * number) ** 2)
                if level.rank == level.size:
                    whole[site] = whole.get(site, 0.0) + share
                elif level.rank and share:
                    columns.setdefault(((site, 1.0),), []).append((name, level, math.sqrt(share)))
            if largest := max(whole.values(), default=0.0):
                pattern = tuple((site, share / largest) for site, share in whole.items() if share)
                columns.setdefault(pattern, []).append((name, None, math.sqrt(largest)))
        found: dict[str | None, NDArray] = {}
        for pattern, pieces in columns.items():
            product = self._product(pieces)
            for site, share in pattern:
                found[site] = found[site] + share * product if site in found else share * product
        return found

    def _product(self, pieces: list[tuple[str, Subspace | None, float]]) -> NDArray:
        """Sum of factor^2 B P B^T over (weight, subspace or None for all, factor)."""
        total = np.zeros((len(self.rows), len(self.rows)))
        left = [p for p in pieces if p[1] is not None or not self._add_outer(total, p[0], p[2])]
        return total + self._dense(left) if left else total

    def _add_outer(self, total: NDArray, name: str, factor: float) -> bool:
        """Of a whole weight that is a matrix, if that is cheap."""
        shape = self.at.model.priors[name].shape
        if self.frame is not None or len(shape) != 2:
            return False
        rows = self.rows[:, self.coordinates.slices[name]]
        return add_gram(total, rows.reshape(*self.at.f.shape, *shape), factor)

    def _dense(self, pieces: list[tuple[str, Subspace | None, float]]) -> NDArray:
        """`_product` by the columns themselves."""
        ranks = [self.at.model.priors[name].subspace.size if level is None else level.rank for name, level, _ in pieces]
        columns, start = np.empty((len(self.rows), sum(ranks))), 0
        for (name, level, factor), rank in zip(pieces, ranks, strict=True):
            block = self.rows[:, self.coordinates.slices[name]]
            if level is not None:
                block = level.encode(block.reshape(-1, *level.shape))
            np.multiply(block, factor, out=columns[:, start : start + rank])
            start += rank
        return columns @ columns.T

    def factorize(self, numbers: Numbers, slope: NDArray, r: NDArray) -> Factorized:
        weights = np.array([1.0 if site is None else numbers[site] ** 2 for site in self.sites])
        is_known = np.array_equal(weights, self._weights)
        if not is_known:
            self._weights, self._tridiagonal = weights, None
            self._k = (weights @ self.parts.reshape(len(weights), -1)).reshape(self.parts.shape[1:])
        there, _, factor = roots = self.rooted(r)
        if factor is not None and is_known and len(self._k) > 1:  # the second in a row of which the noise alone differs
            self._tridiagonal = self._tridiagonal or Tridiagonal(self._k)
            return _Full(self, numbers, slope, self._k, self._tridiagonal.shifted(factor), roots)
        s = factor**2 * self._k if factor is not None else there(there(self._k).T)
        s[np.diag_indices_from(s)] += 1.0
        return _Full(self, numbers, slope, self._k, Cholesky(s), roots)

    def rooted(self, r: NDArray) -> Roots:
        """a -> R^T a and a -> R a for a (m, ...), with Q^T R for R where there is a frame; and f where R is f I."""
        n, d = self.at.f.shape
        factor = multiple(r)

        def blocks(r: NDArray, a: NDArray) -> NDArray:
            return (r @ a.reshape(n, d, -1)).reshape(a.shape)

        if factor is not None:
            return lambda a: factor * a, lambda a: factor * a, factor
        if self.frame is None:
            return lambda a: blocks(r.swapaxes(1, 2), a), lambda a: blocks(r, a), None
        frame = self.frame.out(np.eye(len(self.rows)))
        (root,) = qr(blocks(r.swapaxes(1, 2), frame), mode="r", check_finite=False)
        root = root[: len(self.rows)]
        return lambda a: root @ a, lambda a: root.T @ a, None


class WeightSpace(Full):
    """Draws by the Cholesky factor of H, (size, size)."""

    def draw(self, h: _Full, rng: np.random.Generator, count: int) -> NDArray:
        white = rng.normal(size=(self.coordinates.size, count))
        colored = self.coordinates.color(h.there(self.rows), h.numbers)
        lower = colored.T @ colored
        lower[np.diag_indices_from(lower)] += 1.0
        return solve_triangular(cholesky(lower, lower=True, overwrite_a=True), white, lower=True, trans=1).T


class DataSpace(Full):
    """Draws by Matheron's rule: a draw from the prior, less what noisy data say of it."""

    def draw(self, h: _Full, rng: np.random.Generator, count: int) -> NDArray:
        white = rng.normal(size=(count, self.coordinates.size))
        noise = rng.normal(size=(self.at.f.size, count))
        if self.frame is not None:
            noise = self.frame.into(noise)
        noisy = h.there(self.rows @ self.coordinates.color(white, h.numbers).T) + noise
        return white - self.coordinates.color((self.rows.T @ h.back(h.s.solve(noisy))).T, h.numbers)


class _Full(Factorized):
    def __init__(
        self, curvature: Any, numbers: Numbers, slope: NDArray, k: NDArray, s: Cholesky | Shifted, roots: Roots
    ) -> None:
        self._at, self._c, self.numbers, self._k, self.s = curvature.at, curvature, numbers, k, s
        self.there, self.back, self._factor = roots
        self.logdet = s.logdet
        flat = slope.reshape(-1)
        self._slope = flat if curvature.frame is None else curvature.frame.into(flat)

    @cached_property
    def _mode(self) -> tuple[NDArray, float]:
        """a, and the gain."""
        slope, start, norm = self._slope, self._c.start, self._at.norm(self.numbers)
        if self._factor is not None:
            # With targets t, a = R S^-1 t: no large numbers cancel, whatever the scales of the weights.
            wanted = slope / self._factor
            t = wanted + self._factor * start
            solved = self.s.solve(t)
            return self._factor * solved, 0.5 * float(wanted @ wanted + norm - t @ solved)
        far = self._k @ slope
        found = self.back(self.s.solve(self.there(far - start)))
        return slope - found, 0.5 * float(slope @ (far - 2 * start) + norm - (far - start) @ found)

    @property
    def gain(self) -> float:
        return self._mode[1]

    def step(self) -> NDArray:
        c = self._at.coordinates
        return c.color(c.color(self._mode[0] @ self._c.rows, self.numbers), self.numbers) - self._at.at

    def draw(self, rng: np.random.Generator, count: int) -> NDArray:
        return self._c.draw(self, rng, count)

    def inside(self, site: str, moved: bool) -> float:
        if not moved:
            return self._at.inside(site, self.numbers)
        a = self._mode[0]
        return float(a @ self._c.parts[self._c.sites.index(site)] @ a)

    @cached_property
    def _information(self) -> NDArray:
        parts = self._c.parts.reshape(len(self._c.sites), -1)
        if self._factor is None:
            inverse = self.s.half + np.tril(self.s.half, -1).T
            return parts @ self.back(self.back(inverse).T).reshape(-1)
        # All are symmetric: the products of lower triangles count twice, but for the diagonals.
        twice = 2 * parts @ self.s.half.ravel(order="K")
        return self._factor**2 * (twice - self._c.diagonals @ self.s.half.diagonal())

    def information(self, site: str) -> float:
        return float(self._information[self._c.sites.index(site)])

    def first(self, moved: bool) -> NDArray:
        if not moved:
            return np.zeros(self._at.f.shape)
        found = self._k @ self._mode[0] - self._c.start
        return (found if self._c.frame is None else self._c.frame.out(found)).reshape(self._at.f.shape)

    def spread(self, bend: NDArray) -> float:
        factor = multiple(bend)
        if factor is None or self._factor is None:
            return float((bend * self._covariances).sum())
        return factor * (len(self._k) - self.s.trace) / self._factor**2  # K - K T K = R^-T (I - S^-1) R^-1

    @cached_property
    def _covariances(self) -> NDArray:
        """J A H^-1 A J^T = K - K T K of each example, (n, d, d)."""
        n, d = self._at.f.shape
        covariance = self._k - self._k @ self.back(self.s.solve(self.there(self._k)))
        if self._c.frame is not None:
            frame = self._c.frame.out(np.eye(len(covariance)))
            return (frame @ covariance).reshape(n, d, -1) @ frame.reshape(n, d, -1).swapaxes(1, 2)
        own = np.arange(n)
        return covariance.reshape(n, d, n, d)[own, :, own]
