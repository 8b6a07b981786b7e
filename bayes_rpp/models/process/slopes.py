"""Derivatives by the numbers of a GaussianProcess, from those by its covariance: the chain rule.

What a pathway is divided by with scale="data", its mean variance over the training inputs, depends on numbers as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bayes_rpp.models.process.covariance import FLOOR, Array, Covariance, Latents, Part, Prepared, number_of, reduced
from bayes_rpp.priors.kernels.averaged import Blocks, Slopes


class ChainRule:
    """Of a function of the covariance, which is given as a whole, or piece by piece.

    Args:
        covariance: at all training inputs.
        latents: the numbers.
        prepared: with what each pathway is divided by.
    """

    def __init__(self, covariance: Covariance, latents: Latents, prepared: Prepared) -> None:
        self._covariance, self._latents, self._prepared = covariance, latents, prepared
        self._inner = [dict.fromkeys(sizes, 0.0) for sizes in prepared.variances]
        self._traces = dict.fromkeys(covariance.places, 0.0)
        self._slopes: Slopes | None = None

    def add(self, kernels: Sequence[Blocks], weights: Blocks, x: Array, z: Array | None = None) -> None:
        """A piece of the covariance.

        Args:
            kernels: of each pathway, there.
            weights: the function's derivatives by that piece of the whole covariance.
            x, z: between which points it is; None: between all of x, and the weights are symmetric.
        """
        for part, k, inner, sizes in self._parts(kernels):
            of_part = {t: reduced(w, k[t].shape) for t, w in weights.items()}
            for t in k:
                inner[t] += float(np.vdot(of_part[t], k[t]))
            square = number_of(part.sigma, self._latents) ** 2
            if square and not part.fixed:
                scaled = {t: (square / sizes[t]) * w for t, w in of_part.items()}
                kernel: Any = part.kernel  # an average, as derivatives have no inducing points
                values = self._prepared.values
                if z is None:
                    self._plus(kernel.slopes(x, values, scaled))
                else:
                    self._plus(kernel.cross_slopes(x, z, values, scaled))

    def add_trace(self, variances: Sequence[Mapping[int, float]], weights: Mapping[int, float]) -> None:
        """The sum over the training inputs of variances, of which each pathway's mean is given."""
        self._traces = dict(weights)
        for inner, mean in zip(self._inner, variances, strict=True):
            for t, v in mean.items():
                inner[t] += weights[t] * self._count(t) * v

    def whole(self, weights: Blocks) -> dict[str, float]:
        """By the logarithm of each site, of a function of the covariance between all training inputs alone, whose
        derivatives by it are (n, d, n, d) and symmetric. What the pathways are divided by goes with their diagonals."""
        for part, k, inner, sizes in self._parts(self._prepared.kernels):
            of_part = {t: reduced(weights[t], k[t].shape) for t in k}
            for t in k:
                inner[t] += float(np.vdot(of_part[t], k[t]))
            square = number_of(part.sigma, self._latents) ** 2
            if part.fixed or not square:
                continue
            scaled = {t: (square / sizes[t]) * w for t, w in of_part.items()}
            for t, through in self._through(square, inner, sizes).items():
                diagonal = np.einsum("iaia->ia", scaled[t])[:, self._covariance.sized]  # a view
                diagonal -= through / diagonal.size
            self._plus(part.kernel.slopes(self._covariance.x, self._prepared.values, scaled))
        return self._found()

    def by_site(self) -> dict[str, float]:
        """By the logarithm of each site of the covariance, of the pieces that were added."""
        for part, _, inner, sizes in self._parts(self._inner):
            square = number_of(part.sigma, self._latents) ** 2
            if part.fixed or not square:
                continue
            weights = {t: w * square / sizes[t] for t, w in self._traces.items()}
            for t, through in self._through(square, inner, sizes).items():
                weights[t] -= through / self._count(t)
            if any(weights.values()):
                kernel: Any = part.kernel
                # A block of size 1 stands for all outputs of its part.
                by_trace = {t: w * self._covariance.places[t].shape[1] / kernel.sizes[t] for t, w in weights.items()}
                self._plus(kernel.diagonal_slopes(self._covariance.x, self._prepared.values, by_trace))
        return self._found()

    def _parts(self, given: Sequence[Any]) -> Iterator[tuple[Part, Any, dict[int, float], dict[int, float]]]:
        """Each pathway, what is given of it, the sums over its covariance, and what it is divided by."""
        return zip(self._covariance.parts, given, self._inner, self._prepared.variances, strict=True)

    def _through(self, square: float, inner: Mapping[int, float], sizes: Mapping[int, float]) -> dict[int, float]:
        """Less by the mean variance of each part, which it is divided by."""
        if self._covariance.gp.scale is None:
            return {}
        through = {t: square * inner[t] / sizes[t] ** 2 for t in inner}
        total = FLOOR * sum(through.values())
        return {t: v + self._covariance.shares[t] * total for t, v in through.items()}

    def _found(self) -> dict[str, float]:
        gp, found = self._covariance.gp, dict[str, float]()
        for part, _, inner, sizes in self._parts(self._inner):
            if isinstance(part.sigma, str):
                square = number_of(part.sigma, self._latents) ** 2
                found[part.sigma] = 2 * square * sum(inner[t] / sizes[t] for t in inner)
        if self._slopes is None:
            return found
        leaves = zip(gp.variances, gp.lengthscales, self._slopes.lengthscales, self._slopes.variances, strict=True)
        for variance, lengthscales, by_column, by_variance in leaves:
            if isinstance(variance, str):
                found[variance] = found.get(variance, 0.0) + by_variance
            for kind, columns in gp.kinds.items():
                if isinstance(site := lengthscales[kind], str):
                    found[site] = found.get(site, 0.0) + float(by_column[columns].sum())
        return found

    def _count(self, t: int) -> int:
        return len(self._covariance.x) * self._covariance.places[t].shape[1]

    def _plus(self, slopes: Slopes) -> None:
        self._slopes = slopes if self._slopes is None else self._slopes + slopes
