"""The Gaussian of Laplace's method in whitened coordinates eps, W = A eps: H = I + A J^T L J A, where J is the Jacobian
of the outputs and L = R R^T the likelihood's curvature, block-diagonal over examples.

Each way to factorise H has a class (full.py, kronecker.py); evidence, gradient and Gauss-Newton steps are the same.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from bayes_rpp.inference.curvature.linearisation import Linearization

Numbers = Mapping[str, float]
GAIN = 1e-7  # in log density: what is left to the mode when steps to it end
STEP = 1e-5  # of the logarithm of a number, in differences of the likelihood


class Factorized(ABC):
    """H at some values of the numbers, and the mode of the linearised model there."""

    logdet: float

    @property
    @abstractmethod
    def gain(self) -> float:
        """g^T H^-1 g / 2, with g the gradient of the log density: how much higher it is at that mode."""

    @abstractmethod
    def step(self) -> NDArray:
        """From W_0 to that mode, (size,)."""

    @abstractmethod
    def draw(self, rng: np.random.Generator, count: int) -> NDArray:
        """(count, size) from N(0, H^-1)."""

    @abstractmethod
    def inside(self, site: str, moved: bool) -> float:
        """Sum of scale^2 |P C^+ m|^2 over the pathways of a sigma, P their projectors and C = A A, for m that mode
        (`moved`) or W_0."""

    @abstractmethod
    def information(self, site: str) -> float:
        """Sum of scale^2 tr(P J^T (L^-1 + J C J^T)^-1 J) over the pathways of a sigma: how log|H| grows with its
        square."""

    @abstractmethod
    def first(self, moved: bool) -> NDArray:
        """J (m - W_0), (n, d)."""

    @abstractmethod
    def spread(self, bend: NDArray) -> float:
        """Sum over examples of tr(bend J A H^-1 A J^T), for bend (n, d, d)."""


class Curvature(ABC):
    """Of a model at one linearisation, for any values of its numbers.

    Args:
        at: the linearisation.
    """

    def __init__(self, at: Linearization) -> None:
        self.at, self.coordinates = at, at.coordinates
        self._last: tuple[tuple[tuple[str, float], ...], Factorized] | None = None

    @abstractmethod
    def factorize(self, numbers: Numbers, slope: NDArray, r: NDArray) -> Factorized:
        """H, given the gradient of the likelihood in the outputs, (n, d), and R, (n, d, d)."""

    def at_numbers(self, numbers: Numbers) -> Factorized:
        """H at these numbers; the last one is kept."""
        key = tuple(sorted(numbers.items()))
        if self._last is None or self._last[0] != key:
            slope, bend = self.at.model.likelihood.expansion(self.at.f, self.at.y, numbers)
            self._last = key, self.factorize(numbers, slope, square_root(bend))
        return self._last[1]

    def evidence(self, numbers: Numbers) -> float:
        """Laplace's log p(y | x): log p(y | W_0) - |eps_0|^2 / 2 - log|H| / 2."""
        return self.at.log_joint(numbers) - 0.5 * self.at_numbers(numbers).logdet

    def newton(self, numbers: Numbers) -> tuple[NDArray, float]:
        """From W_0 to the mode of the linearised model, (size,), and how much higher its density is."""
        h = self.at_numbers(numbers)
        return h.step(), h.gain

    def gradient(self, numbers: Numbers, sites: Iterable[str], moved: bool = False) -> tuple[float, dict[str, float]]:
        """The evidence, and its gradient in the logarithm of some numbers.

        It is the mean of the log joint density's gradient under N(m, H^-1): in sigma^2 of a pathway, (|P C^+ m|^2 -
        information) / 2, and in a number of the likelihood, that of its quadratic expansion.

        Args:
            moved: whether m is the mode of the linearised model at these numbers, whose evidence has the gain of the
                step to it added (Antoran et al. 2022); else it is W_0 (Immer et al. 2021b). At the mode they are equal.
        """
        h, value = self.at_numbers(numbers), self.evidence(numbers)
        gradient = dict.fromkeys(sites, 0.0)
        for site in gradient:
            if self.coordinates.terms(site):
                gradient[site] = numbers[site] ** 2 * (h.inside(site, moved) - h.information(site))
        own = set(gradient) & set(self.at.model.likelihood.latents)
        found = gradient | (self._of_likelihood(h, numbers, own, moved) if own else {})
        return value + (h.gain if moved else 0.0), found

    def _of_likelihood(self, h: Factorized, numbers: Numbers, sites: set[str], moved: bool) -> dict[str, float]:
        """Of the mean of the likelihood's expansion around f_0."""
        likelihood, at, first = self.at.model.likelihood, self.at, h.first(moved)

        def mean(numbers: Numbers) -> float:
            slope, bend = likelihood.expansion(at.f, at.y, numbers)
            here = likelihood.log_prob(at.f, at.y, numbers).sum()
            second = np.einsum("nd,nde,ne", first, bend, first) + h.spread(bend)
            return float(here + (slope * first).sum() - 0.5 * second)

        return {site: difference(mean, numbers, site) for site in sites}


def difference(function: Callable[[Numbers], float], numbers: Numbers, site: str) -> float:
    """d function / d log number, by a central difference."""
    ahead, behind = (function({**numbers, site: numbers[site] * np.exp(sign * STEP)}) for sign in (1, -1))
    return (ahead - behind) / (2 * STEP)


def square_root(bend: NDArray) -> NDArray:
    """R with R R^T = L, for positive semi-definite L (n, d, d)."""
    factor = multiple(bend)
    if factor is not None:
        return np.sqrt(factor) * np.broadcast_to(np.eye(bend.shape[-1]), bend.shape)
    values, vectors = np.linalg.eigh(bend)
    return vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]


def multiple(matrices: NDArray) -> float | None:
    """The number that (n, d, d) are the identity times, if there is one: as with Gaussian noise."""
    factor = float(matrices.flat[0])
    return (
        factor
        if np.array_equal(matrices, factor * np.broadcast_to(np.eye(matrices.shape[-1]), matrices.shape))
        else None
    )


def proportion(r: NDArray, root: NDArray | None) -> float | None:
    """The number that makes r of root, if there is one: noise only multiplies a likelihood's curvature."""
    if root is None:
        return None
    big = np.argmax(np.abs(root))
    factor = float(r.flat[big] / root.flat[big])
    return factor if np.allclose(r, factor * root, rtol=1e-12, atol=0.0) else None


def search(at: Linearization, numbers: Numbers, step: NDArray) -> NDArray | None:
    """The first of ever shorter steps that makes the weights more probable; None if none does."""
    now = at.log_joint(numbers)
    for k in range(12):
        there = at.at + 0.5**k * step
        if at.log_joint(numbers, there) > now:
            return there
    return None
