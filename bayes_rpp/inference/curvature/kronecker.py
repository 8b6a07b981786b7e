"""Laplace's Gaussian with Kronecker factors: the curvature G = J^T L J of each weight on its own, as A (x) B / tr A.

The prior's covariance C = V V^T + s^2 I is a multiple of the identity and what the subspace adds, of its rank r. With
T = G (1 + s^2 G)^-1, diagonal in the factors' eigenvectors,

    log|H| = log|I + s^2 G| + log|I + V^T T V|,    (G^-1 + C)^-1 = F = T - T V (I + V^T T V)^-1 V^T T,

so that, given the factors, nothing is approximate, and no matrix is larger than r x r or one side of a weight.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from bayes_rpp.inference.curvature.curvature import Curvature, Factorized, Numbers, difference, proportion
from bayes_rpp.inference.curvature.linearisation import Linearization
from bayes_rpp.priors.mixed import prior_of
from bayes_rpp.priors.pathway import ResidualPathway
from bayes_rpp.priors.subspaces.base import Subspace

TOGETHER = 2**22  # numbers of a subspace's basis at a time


class Factors:
    """A (x) B / tr A of one weight, by eigenvectors. A and B are the partial traces of G, so that a layer x W^T + b has
    those of K-FAC, weighted by the size of each example's other factor."""

    def __init__(self, left: NDArray, right: NDArray) -> None:
        (a, self.left), (b, self.right) = np.linalg.eigh(left), np.linalg.eigh(right)
        self.values = np.maximum(a, 0.0)[:, None] * np.maximum(b, 0.0) / max(float(np.trace(left)), 1e-300)

    def apply(self, values: NDArray, w: NDArray) -> NDArray:
        """The matrix with these eigenvalues, on weights (..., *shape)."""
        matrices = w.reshape((-1, *self.values.shape))
        return (self.left @ (values * (self.left.T @ matrices @ self.right)) @ self.right.T).reshape(w.shape)


class Kronecker(Curvature):
    """H with Kronecker factors for each weight. The Jacobian is made a piece at a time, and never kept."""

    def __init__(self, at: Linearization) -> None:
        super().__init__(at)
        self._root: NDArray | None = None
        self._factors: dict[str, Factors] = {}

    def factorize(self, numbers: Numbers, slope: NDArray, r: NDArray) -> Factorized:
        factor = proportion(r, self._root)
        if factor is None:
            self._root, factor = r, 1.0
            self._factors = {name: Factors(*sides) for name, sides in self._sides(r).items()}
        return _OfKronecker(self, self._factors, factor**2, numbers, slope)

    def _sides(self, r: NDArray) -> dict[str, tuple[NDArray, NDArray]]:
        """Partial traces of J^T L J of each weight, over its columns and over its rows."""
        shapes = {k: matrix_shape(self.at.model.priors[k].shape) for k in self.coordinates.names}
        sums = {k: (np.zeros((rows, rows)), np.zeros((columns, columns))) for k, (rows, columns) in shapes.items()}
        for rows, block in self.at.blocks():
            rooted = np.einsum("nab,nap->nbp", r[rows], block)
            for name, (left, right) in sums.items():
                each = rooted[..., self.coordinates.slices[name]].reshape(-1, *shapes[name])
                left += np.tensordot(each, each, axes=((0, 2), (0, 2)))
                right += np.tensordot(each, each, axes=((0, 1), (0, 1)))
        return sums

    def pull(self, v: NDArray) -> NDArray:
        """J^T v, for v (n, d)."""
        found = np.zeros(self.coordinates.size)
        for rows, block in self.at.blocks():
            found += np.einsum("ndp,nd->p", block, v[rows])
        return found

    def _of_likelihood(self, h: Factorized, numbers: Numbers, sites: set[str], moved: bool) -> dict[str, float]:
        # The covariance of the outputs would take the Jacobian again.
        return {site: difference(self.evidence, numbers, site) for site in sites}


class _OfKronecker(Factorized):
    def __init__(
        self, curvature: Kronecker, factors: dict[str, Factors], factor: float, numbers: Numbers, slope: NDArray
    ) -> None:
        self._curvature, self._c, self._numbers, self._slope = curvature, curvature.coordinates, numbers, slope
        self._parts = {k: _Weight(self._c.prior(k, numbers), factors[k], factor) for k in self._c.names}
        self.logdet = sum(part.logdet for part in self._parts.values())

    @cached_property
    def _newton(self) -> tuple[NDArray, float]:
        """The step in eps, and its gain."""
        c, numbers = self._c, self._numbers
        g = c.color(self._curvature.pull(self._slope), numbers) - c.whiten(self._curvature.at.at, numbers)
        step = self.solve(g)
        return step, 0.5 * float(g @ step)

    @property
    def gain(self) -> float:
        return self._newton[1]

    def step(self) -> NDArray:
        return self._c.color(self._newton[0], self._numbers)

    def draw(self, rng: np.random.Generator, count: int) -> NDArray:
        # Perturb and optimise (Papandreou and Yuille 2010): the mean given noisy data is a draw.
        white, noise = rng.normal(size=(2, count, self._c.size))
        data = self._each(noise, _Weight.root) - self._each(self._each(white, _Weight.color), _Weight.g)
        return white + self.solve(self._each(data, _Weight.color))

    def inside(self, site: str, moved: bool) -> float:
        at = self._curvature.at
        return (at.moved(at.at + self.step()) if moved else at).inside(site, self._numbers)

    def information(self, site: str) -> float:
        return sum(scale**2 * self._parts[name].trace(level) for name, level, scale in self._c.terms(site))

    def first(self, moved: bool) -> NDArray:
        raise NotImplementedError("it would take the Jacobian again")

    def spread(self, bend: NDArray) -> float:
        raise NotImplementedError("it would take the Jacobian again")

    def solve(self, v: NDArray) -> NDArray:
        """H^-1 v for v (..., size)."""
        return v - self._each(self._each(self._each(v, _Weight.color), _Weight.f), _Weight.color)

    def _each(self, v: NDArray, apply: Callable[[_Weight, NDArray], NDArray]) -> NDArray:
        return self._c.flat({k: apply(self._parts[k], w) for k, w in self._c.weights(v).items()})


class _Weight:
    """F and |H| of one weight; all functions take weights (..., *shape)."""

    def __init__(self, prior: ResidualPathway, factors: Factors, factor: float) -> None:
        self._prior, self._factors, self._values = prior, factors, factor * factors.values
        self._inner: ResidualPathway | None = None
        outside = prior.isotropic_sigma
        if outside is None:
            outside = prior.sigma_b
            self._inner = prior_of(prior.subspace, prior.sigma_a, 0.0).strict()
        self._t = self._values / (1.0 + outside**2 * self._values)
        self.logdet = float(np.log1p(outside**2 * self._values).sum())
        if self._inner is not None:
            small = self._sandwich(self._t)
            small[np.diag_indices_from(small)] += 1.0
            self._small: Any = cho_factor(small, lower=True)
            self.logdet += 2 * float(np.log(self._small[0].diagonal()).sum())

    def color(self, w: NDArray) -> NDArray:
        return self._prior.color(w)

    def g(self, w: NDArray) -> NDArray:
        return self._factors.apply(self._values, w)

    def root(self, w: NDArray) -> NDArray:
        return self._factors.apply(np.sqrt(self._values), w)

    def f(self, w: NDArray) -> NDArray:
        found = self._factors.apply(self._t, w)
        if self._inner is None:
            return found
        beta = self._v_transposed(found)
        beta = cho_solve(self._small, beta.reshape(-1, beta.shape[-1]).T).T.reshape(beta.shape)
        return found - self._factors.apply(self._t, self._v(beta))

    def trace(self, level: Subspace) -> float:
        """tr(P F)."""
        if level.rank == self._prior.subspace.size:
            total = float(self._t.sum())
            if self._inner is not None:
                total -= float(np.trace(cho_solve(self._small, self._sandwich(self._t**2))))
            return total
        total = 0.0
        for basis in _pieces(level.rank, self._prior.subspace.size):
            w = level.decode(basis)
            total += float((w * self.f(w)).sum())
        return total

    def _sandwich(self, values: NDArray) -> NDArray:
        """V^T X V, (r, r), of the X with these eigenvalues."""
        size = self._prior.support.rank
        pieces = _pieces(size, self._prior.subspace.size)
        return np.concatenate([self._v_transposed(self._factors.apply(values, self._v(b))) for b in pieces])

    def _v(self, beta: NDArray) -> NDArray:
        assert self._inner is not None
        return self._prior.support.decode(self._inner.color(beta))

    def _v_transposed(self, w: NDArray) -> NDArray:
        assert self._inner is not None
        return self._inner.color(self._prior.support.encode(w))


def _pieces(rank: int, size: int) -> Iterable[NDArray]:
    """The identity's rows, (..., rank), some at a time."""
    together = max(1, TOGETHER // size)
    for start in range(0, rank, together):
        yield np.eye(min(together, rank - start), rank, start)


def matrix_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns of a weight; a bias is one column."""
    rows = shape[0] if shape else 1
    return rows, int(np.prod(shape[1:])) if len(shape) > 1 else 1
