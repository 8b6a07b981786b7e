"""A network's outputs at the data as a linear function of its weights, f(W) = f(W_0) + J (W - W_0), in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bayes_rpp.models.model import Model
from bayes_rpp.models.outputs import evaluate
from bayes_rpp.networks.network import Network
from bayes_rpp.priors.pathway import ResidualPathway
from bayes_rpp.priors.subspaces.base import Subspace

Params = Mapping[str, NDArray]
Jacobian = Callable[[Params, NDArray], dict[str, NDArray]]
JacobianOf = Callable[[Network, Sequence[str]], Jacobian]  # of the weights of these names
CHUNK = 2**25  # numbers of the Jacobian that an engine makes at a time


class Coordinates:
    """Some of a model's weights as one vector, and the maps between it and white noise eps, W = A eps.

    All arrays may have leading dimensions. A has no inverse where a prior is strict (sigma_b = 0); `whiten` is then the
    pseudo-inverse.

    Args:
        model: whose weights.
        names: of those in the vector, in order.
    """

    def __init__(self, model: Model, names: Sequence[str]) -> None:
        self.model, self.names = model, tuple(names)
        ends = np.cumsum([0, *(model.priors[k].subspace.size for k in names)])
        self.slices = {k: slice(a, b) for k, a, b in zip(names, ends[:-1], ends[1:], strict=True)}
        self.size = int(ends[-1])

    def terms(self, site: str) -> list[tuple[str, Subspace, float]]:
        """(weight, subspace, scale) of the covariance's terms whose sigma is inferred at a site."""
        return [
            (name, level, scale)
            for name in self.names
            for level, number, scale in self.model.covariance_terms(name)
            if number == site and level.rank
        ]

    def prior(self, name: str, numbers: Mapping[str, float]) -> ResidualPathway:
        """Of one weight at these values of the numbers to infer."""
        return self.model.prior(name, numbers)

    def flat(self, weights: Params) -> NDArray:
        """(..., size) from the weights by name."""
        parts = []
        for k in self.names:
            w = np.asarray(weights[k], dtype=np.float64)
            shape = self.model.priors[k].shape
            parts.append(w.reshape((*w.shape[: w.ndim - len(shape)], -1)))
        return np.concatenate(parts, axis=-1)

    def weights(self, flat: NDArray) -> dict[str, NDArray]:
        """Inverse of `flat`."""
        lead = flat.shape[:-1]
        return {k: flat[..., s].reshape(lead + self.model.priors[k].shape) for k, s in self.slices.items()}

    def color(self, eps: NDArray, numbers: Mapping[str, float]) -> NDArray:
        """A eps, (..., size), at these values of the numbers to infer. A is symmetric."""
        return self._each(eps, numbers, lambda prior, e: prior.color(e))

    def whiten(self, w: NDArray, numbers: Mapping[str, float]) -> NDArray:
        """The (pseudo-)inverse of `color`."""
        return self._each(w, numbers, _whiten)

    def _each(
        self, flat: NDArray, numbers: Mapping[str, float], apply: Callable[[ResidualPathway, NDArray], NDArray]
    ) -> NDArray:
        found = np.empty_like(flat)
        for k, part in self.weights(flat).items():
            found[..., self.slices[k]] = apply(self.prior(k, numbers), part).reshape((*flat.shape[:-1], -1))
        return found


def _whiten(prior: ResidualPathway, w: NDArray) -> NDArray:
    if not prior.is_strict:
        return prior.whiten(w)
    if not prior.support.rank:
        return np.zeros_like(w)
    return prior.support.decode(prior.strict().whiten(prior.support.encode(w)))


class Linearization:
    """Of a model's network at the training data.

    Args:
        model, x, y: n examples.
        weights: W_0, all of the network's.
        coordinates: those that the network is linear in; the others stay.
        jacobian: the engine's function, for these.

    Attributes:
        f: (n, d) outputs at W_0.
        at: W_0 in the coordinates.
    """

    def __init__(
        self, model: Model, x: NDArray, y: NDArray, weights: Params, coordinates: Coordinates, jacobian: Jacobian
    ) -> None:
        self.model, self.coordinates, self._jacobian = model, coordinates, jacobian
        self.x, self.y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
        self.weights = {k: np.asarray(weights[k], dtype=np.float64) for k in model.net.parameters}
        self.at = coordinates.flat(self.weights)
        self.f = self.outputs(self.at)

    def outputs(self, flat: NDArray) -> NDArray:
        """The network's outputs (n, d) at other weights."""
        weights = self.weights | self.coordinates.weights(flat)
        return evaluate(self.model, {k: w[None, None] for k, w in weights.items()}, self.x)[0, 0]

    def moved(self, flat: NDArray) -> Linearization:
        """The same at other weights."""
        weights = self.weights | self.coordinates.weights(flat)
        return Linearization(self.model, self.x, self.y, weights, self.coordinates, self._jacobian)

    def blocks(self) -> Iterator[tuple[slice, NDArray]]:
        """Rows of the data and df/dW there, (rows, d, size), a piece at a time."""
        n, d = self.f.shape
        rows = max(1, CHUNK // (d * self.coordinates.size))
        for start in range(0, n, rows):
            where = slice(start, min(start + rows, n))
            found = self._jacobian(self.weights, self.x[where])
            yield where, self.coordinates.flat({k: found[k] for k in self.coordinates.names})

    @cached_property
    def jacobian(self) -> NDArray:
        """(n, d, size)."""
        n, d = self.f.shape
        if n * d * self.coordinates.size <= CHUNK:
            return next(self.blocks())[1]
        found = np.empty((n, d, self.coordinates.size))
        for where, block in self.blocks():
            found[where] = block
        return found

    @cached_property
    def squares(self) -> dict[str, tuple[NDArray, ...]]:
        """Of each weight of W_0, what its prior's norm depends on."""
        return {k: self.model.priors[k].squares(self.weights[k]) for k in self.coordinates.names}

    def norm(self, numbers: Mapping[str, float]) -> float:
        """|eps_0|^2."""
        return sum(self.coordinates.prior(k, numbers).norm(self.squares[k]) for k in self.coordinates.names)

    def inside(self, site: str, numbers: Mapping[str, float]) -> float:
        """Sum of scale^2 |P C^+ W_0|^2 over the pathways of a sigma, with their projectors P and the covariance C."""
        total = 0.0
        for name, level, scale in self.coordinates.terms(site):
            prior = self.coordinates.prior(name, numbers)
            # The residual's level is all of the weight, and none of the prior's.
            known = next((s for s in prior.active if s is level), None)
            total += scale**2 * prior.inside(self.squares[name], known)
        return float(total)

    def log_joint(self, numbers: Mapping[str, float], flat: NDArray | None = None) -> float:
        """log p(y | W) - |eps|^2 / 2, at W_0 or at other weights."""
        if flat is None:
            f, norm = self.f, self.norm(numbers)
        else:
            eps = self.coordinates.whiten(flat, numbers)
            f, norm = self.outputs(flat), eps @ eps
        return float(self.model.likelihood.log_prob(f, self.y, numbers).sum() - 0.5 * norm)
