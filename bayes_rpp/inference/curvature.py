"""The Gaussian of Laplace's method in whitened coordinates eps, W = A eps: H = I + A J^T L J A, where J is the Jacobian
of the outputs and L = R R^T the likelihood's curvature, block-diagonal over examples.

Each class factorises H in its own way; evidence, its gradient and Gauss-Newton steps are the same for all.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, cholesky, solve_triangular

from bayes_rpp.inference.linearisation import Coordinates, Linearisation

Numbers = Mapping[str, float]
STEP = 1e-5  # of the logarithm of a number, in differences of the likelihood


@dataclass(frozen=True)
class Evidence:
    """The evidence of the linearised model.

    Attributes:
        value: log p(y | x), up to no constant.
        gain: g^T H^-1 g / 2, how much higher the density is at the linearised model's mode than at W_0.
        step: (size,) from W_0 to that mode.
        gradient: site -> d value / d log number.
    """

    value: float
    gain: float
    step: NDArray
    gradient: dict[str, float] = field(default_factory=dict)


class Factorised(ABC):
    """H at some values of the numbers."""

    logdet: float

    @abstractmethod
    def solve(self, v: NDArray) -> NDArray:
        """H^-1 v for one vector (size,)."""

    @abstractmethod
    def draw(self, rng: np.random.Generator, count: int) -> NDArray:
        """(count, size) from N(0, H^-1)."""

    @abstractmethod
    def information(self, site: str) -> float:
        """Sum of scale^2 tr(P J^T (L^-1 + J A A J^T)^-1 J) over the pathways of a sigma, P their projectors: how
        log|H| grows with its square."""

    @abstractmethod
    def output_covariance(self) -> NDArray:
        """J A H^-1 A J^T of each example, (n, d, d)."""


class Curvature(ABC):
    """Of a model at one linearisation, for any values of its numbers.

    Args:
        at: the linearisation.

    Attributes:
        is_full: whether H is that of the linearised model, and so the step leads to its mode.
    """

    is_full = True

    def __init__(self, at: Linearisation) -> None:
        self.at, self.coordinates = at, at.coordinates

    @abstractmethod
    def factorise(self, numbers: Numbers, r: NDArray) -> Factorised:
        """H, given R, (n, d, d)."""

    def pull(self, v: NDArray) -> NDArray:
        """J^T v, for v (n, d)."""
        return np.einsum("ndp,nd->p", self.at.jacobian, v)

    def at_numbers(self, numbers: Numbers) -> tuple[Factorised, Evidence]:
        """H and the evidence at these numbers, without its gradient."""
        factorised, evidence, _ = self._evidence(numbers)
        return factorised, evidence

    def _evidence(self, numbers: Numbers) -> tuple[Factorised, Evidence, NDArray]:
        likelihood, c = self.at.model.likelihood, self.coordinates
        eps = c.whiten(self.at.at, numbers)
        slope, bend = likelihood.expansion(self.at.f, self.at.y, numbers)
        h = self.factorise(numbers, square_root(bend))
        g = c.color(self.pull(slope), numbers) - eps
        step = h.solve(g)
        gain = 0.5 * float(g @ step)
        value = self.at.log_joint(numbers) + (gain if self.is_full else 0.0) - 0.5 * h.logdet
        return h, Evidence(value, gain, c.color(step, numbers)), eps + step

    def gradient(self, numbers: Numbers, sites: Iterable[str]) -> Evidence:
        """The evidence with its gradient in the logarithm of some numbers.

        As the linearised posterior is a Gaussian N(m, Sigma), the gradient is the mean under it of that of the log
        joint density: in sigma^2 of a pathway, (|P C^+ m|^2 - information) / 2 with C = A A, and in a number of the
        likelihood, that of its quadratic expansion.
        """
        sites, model, c = tuple(sites), self.at.model, self.coordinates
        h, found, mean = self._evidence(numbers)
        u = c.weights(c.whiten(mean, numbers))
        gradient = {}
        for site in sites:
            found_there = sum(
                scale**2 * float((level.encode(u[name]) ** 2).sum()) for name, level, scale in c.pathways(site)
            )
            gradient[site] = numbers[site] ** 2 * (found_there - h.information(site)) if c.pathways(site) else 0.0
        if any(s in model.likelihood.latents for s in sites):
            moved = np.einsum("ndp,p->nd", self.at.jacobian, found.step)
            second = h.output_covariance() + moved[:, :, None] * moved[:, None, :]
            for site in set(sites) & set(model.likelihood.latents):
                gradient[site] += self._of_likelihood(site, numbers, moved, second)
        return Evidence(found.value, found.gain, found.step, gradient)

    def _of_likelihood(self, site: str, numbers: Numbers, first: NDArray, second: NDArray) -> float:
        """d/d log number of E[log p(y | f)], with its expansion's mean and second moment around f_0."""
        ends = []
        for sign in (1, -1):
            there = {**numbers, site: numbers[site] * np.exp(sign * STEP)}
            slope, bend = self.at.model.likelihood.expansion(self.at.f, self.at.y, there)
            here = self.at.model.likelihood.log_prob(self.at.f, self.at.y, there).sum()
            ends.append(here + (slope * first).sum() - 0.5 * (bend * second).sum())
        return float(ends[0] - ends[1]) / (2 * STEP)


def square_root(bend: NDArray) -> NDArray:
    """R with R R^T = L, for positive semi-definite L (n, d, d)."""
    values, vectors = np.linalg.eigh(bend)
    return vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]


class Weights(Curvature):
    """H itself, (size, size)."""

    def __init__(self, at: Linearisation) -> None:
        super().__init__(at)
        self._root: NDArray | None = None
        self._product: NDArray

    def factorise(self, numbers: Numbers, r: NDArray) -> Factorised:
        return _OfWeights(self, numbers, self._gauss_newton(r))

    def _gauss_newton(self, r: NDArray) -> NDArray:
        """J^T L J. Noise only multiplies it."""
        if self._root is not None:
            big = np.argmax(np.abs(self._root))
            factor = r.flat[big] / self._root.flat[big]
            if np.allclose(r, factor * self._root, rtol=1e-12, atol=0.0):
                return factor**2 * self._product
        rooted = np.einsum("nab,nap->nbp", r, self.at.jacobian).reshape(-1, self.coordinates.size)
        self._root, self._product = r, rooted.T @ rooted
        return self._product


class _OfWeights(Factorised):
    def __init__(self, curvature: Weights, numbers: Numbers, gauss_newton: NDArray) -> None:
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
        for name, level, scale in self._c.pathways(site):
            where, alone = self._c.slices[name], Coordinates(self._c.model, [name])
            lost = -self._inverse[where, where]
            lost[np.diag_indices_from(lost)] += 1.0
            both = alone.whiten(alone.whiten(lost, self._numbers).T, self._numbers)
            half = level.encode(both.reshape(-1, *level.shape)).T
            total += scale**2 * float(np.trace(level.encode(half.reshape(-1, *level.shape))))
        return total

    def output_covariance(self) -> NDArray:
        found = np.empty((*self._jacobian.shape[:2], self._jacobian.shape[1]))
        for i, block in enumerate(self._jacobian):
            half = solve_triangular(self._lower, self._c.color(block, self._numbers).T, lower=True)
            found[i] = half.T @ half
        return found


class Data(Curvature):
    """H through S = I + R^T K R, K = J A A J^T the prior's covariance of the outputs: |H| = |S|.

    K is a sum over pathways of sigma^2 J P J^T; those that share a number to tune are kept as one matrix.

    Attributes:
        parts: site -> that sum without sigma^2; None -> the sum over pathways with a number.
    """

    def __init__(self, at: Linearisation) -> None:
        super().__init__(at)
        self.parts: dict[str | None, NDArray] = {}
        flat = at.jacobian.reshape(-1, self.coordinates.size)
        for name in self.coordinates.names:
            block = flat[:, self.coordinates.slices[name]].reshape(len(flat), *at.model.priors[name].shape)
            for level, number, scale in at.model.pathways(name):
                if level.rank and number != 0:
                    coded = level.encode(block) * scale
                    key = number if isinstance(number, str) else None
                    coded = coded if isinstance(number, str) else coded * number
                    product = coded @ coded.T
                    self.parts[key] = self.parts[key] + product if key in self.parts else product

    def factorise(self, numbers: Numbers, r: NDArray) -> Factorised:
        covariance = sum((k if s is None else k * numbers[s] ** 2) for s, k in self.parts.items())
        return _OfData(self, numbers, r, covariance)


class _OfData(Factorised):
    def __init__(self, curvature: Data, numbers: Numbers, r: NDArray, covariance: Any) -> None:
        self._c, self._numbers, self._r, self._k = curvature.coordinates, numbers, r, covariance
        self._shape, self._parts = curvature.at.f.shape, curvature.parts
        self._jacobian = curvature.at.jacobian.reshape(-1, self._c.size)
        s = self._rooted(self._rooted(covariance).T)
        s[np.diag_indices_from(s)] += 1.0
        self._s = cho_factor(s, lower=True)
        self.logdet = 2 * float(np.log(self._s[0].diagonal()).sum())
        self._t: NDArray | None = None

    def _rooted(self, a: NDArray, back: bool = False) -> NDArray:
        """R^T a, or R a, for a (n d, ...)."""
        split = a.reshape((*self._shape, -1))
        return np.einsum("nba,nac->nbc" if back else "nab,nac->nbc", self._r, split).reshape(a.shape)

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
            inner = cho_solve(self._s, self._rooted(np.eye(len(self._k))))
            self._t = self._rooted(inner, back=True)
        return float((self._t * self._parts[site]).sum())

    def output_covariance(self) -> NDArray:
        n, d = self._shape
        half = solve_triangular(self._s[0], self._rooted(self._k), lower=True).reshape(n * d, n, d)
        prior = self._k.reshape(n, d, n, d)[np.arange(n), :, np.arange(n)]
        return prior - np.einsum("ina,inb->nab", half, half)


class Kronecker(Curvature):
    """H with J^T L J replaced by a Kronecker product for each weight; see `Laplace`."""

    is_full = False

    def factorise(self, numbers: Numbers, r: NDArray) -> Factorised:
        return _OfKronecker(self, numbers, r)

    def pull(self, v: NDArray) -> NDArray:
        return sum(
            (np.einsum("ndp,nd->p", j, v[rows]) for rows, j in self.at.blocks()), np.zeros(self.coordinates.size)
        )


class _OfKronecker(Factorised):
    def __init__(self, curvature: Kronecker, numbers: Numbers, r: NDArray) -> None:
        self._c, at = curvature.coordinates, curvature.at
        sums: dict[str, list[Any]] = {name: [0.0, 0.0] for name in self._c.names}
        for rows, block in at.blocks():
            rooted = np.einsum("nab,nap->nbp", r[rows], self._c.color(block, numbers))
            for name, where in self._c.slices.items():
                each = rooted[..., where].reshape(-1, *matrix_shape(at.model.priors[name].shape))
                sums[name][0] += np.einsum("nab,ncb->ac", each, each, optimize=True)
                sums[name][1] += np.einsum("nab,nac->bc", each, each, optimize=True)
        self._vectors: dict[str, tuple[NDArray, NDArray]] = {}
        self._values: dict[str, NDArray] = {}
        for name, (left, right) in sums.items():
            (a, u), (b, v) = np.linalg.eigh(left), np.linalg.eigh(right)
            total = max(float(np.trace(left)), 1e-300)
            self._values[name] = 1.0 + np.maximum(a, 0.0)[:, None] * np.maximum(b, 0.0) / total
            self._vectors[name] = u, v
        self.logdet = sum(float(np.log(v).sum()) for v in self._values.values())

    def solve(self, v: NDArray) -> NDArray:
        found = np.empty_like(v)
        for name, where in self._c.slices.items():
            (left, right), values = self._vectors[name], self._values[name]
            turned = left.T @ v[where].reshape(values.shape) @ right
            found[where] = (left @ (turned / values) @ right.T).reshape(-1)
        return found

    def draw(self, rng: np.random.Generator, count: int) -> NDArray:
        found = np.empty((count, self._c.size))
        for name, where in self._c.slices.items():
            (left, right), values = self._vectors[name], self._values[name]
            white = rng.normal(size=(count, *values.shape)) / np.sqrt(values)
            found[:, where] = (left @ white @ right.T).reshape(count, -1)
        return found

    def information(self, site: str) -> float:
        raise NotImplementedError("Kronecker factors hold for one value of the sigmas")

    def output_covariance(self) -> NDArray:
        raise NotImplementedError("Kronecker factors hold for one value of the noise")


def matrix_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns of a weight; a bias is one column."""
    rows = shape[0] if shape else 1
    return rows, int(np.prod(shape[1:])) if len(shape) > 1 else 1
