"""The Gaussian of Laplace's method in whitened coordinates eps, W = A eps: H = I + A J^T L J A, where J is the Jacobian
of the outputs and L = R R^T the likelihood's curvature, block-diagonal over examples.

Each way to factorise H has a class (full.py, kronecker.py); evidence, gradient and Gauss-Newton steps are the same.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bayes_rpp.inference.linearisation import Linearisation

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

    def evidence(self, numbers: Numbers) -> tuple[Factorised, Evidence]:
        """H and the evidence at these numbers, without its gradient."""
        c = self.coordinates
        slope, bend = self.at.model.likelihood.expansion(self.at.f, self.at.y, numbers)
        h = self.factorise(numbers, square_root(bend))
        g = c.color(self.pull(slope), numbers) - c.whiten(self.at.at, numbers)
        step = h.solve(g)
        gain = 0.5 * float(g @ step)
        value = self.at.log_joint(numbers) + (gain if self.is_full else 0.0) - 0.5 * h.logdet
        return h, Evidence(value, gain, c.color(step, numbers))

    def gradient(self, numbers: Numbers, sites: Iterable[str]) -> Evidence:
        """The evidence with its gradient in the logarithm of some numbers.

        As the linearised posterior is a Gaussian N(m, Sigma), the gradient is the mean under it of that of the log
        joint density: in sigma^2 of a pathway, (|P C^+ m|^2 - information) / 2 with C = A A, and in a number of the
        likelihood, that of its quadratic expansion.
        """
        h, found = self.evidence(numbers)
        gradient = self._of_sigmas(h, numbers, sites, self.at.at + found.step)
        own = set(sites) & set(self.at.model.likelihood.latents)
        if own:
            moved = np.einsum("ndp,p->nd", self.at.jacobian, found.step)
            second = h.output_covariance() + moved[:, :, None] * moved[:, None, :]
            gradient |= {site: self._of_likelihood(site, numbers, moved, second) for site in own}
        return Evidence(found.value, found.gain, found.step, gradient)

    def _of_sigmas(self, h: Factorised, numbers: Numbers, sites: Iterable[str], mean: NDArray) -> dict[str, float]:
        """For the posterior's mean W; 0 for other sites."""
        c = self.coordinates
        u = c.weights(c.whiten(c.whiten(mean, numbers), numbers))
        gradient = dict.fromkeys(sites, 0.0)
        for site in gradient:
            pathways = c.pathways(site)
            if pathways:
                inside = sum(scale**2 * float((level.encode(u[name]) ** 2).sum()) for name, level, scale in pathways)
                gradient[site] = numbers[site] ** 2 * (inside - h.information(site))
        return gradient

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


def proportion(r: NDArray, root: NDArray | None) -> float | None:
    """The number that makes r of root, if there is one: noise only multiplies a likelihood's curvature."""
    if root is None:
        return None
    big = np.argmax(np.abs(root))
    factor = float(r.flat[big] / root.flat[big])
    return factor if np.allclose(r, factor * root, rtol=1e-12, atol=0.0) else None
