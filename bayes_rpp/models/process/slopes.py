"""Derivatives by the numbers of a GaussianProcess, from those by its covariance: the chain rule.

What a pathway is divided by with scale="data", its mean variance over the training inputs, depends on numbers as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bayes_rpp.models.process.covariance import FLOOR, Array, Covariance, Latents, Prepared, number_of, reduced
from bayes_rpp.priors.kernels.averaged import Blocks, Slopes


class ChainRule:
    """Of a function of the covariance, which is given piece by piece.

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
        for part, k, sizes, inner in zip(
            self._covariance.parts, kernels, self._prepared.variances, self._inner, strict=True
        ):
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

    def by_site(self) -> dict[str, float]:
        """By the logarithm of each site of the covariance."""
        gp, found = self._covariance.gp, dict[str, float]()
        for part, sizes, inner in zip(self._covariance.parts, self._prepared.variances, self._inner, strict=True):
            square = number_of(part.sigma, self._latents) ** 2
            if isinstance(part.sigma, str):
                found[part.sigma] = 2 * square * sum(inner[t] / sizes[t] for t in inner)
            if part.fixed or not square:
                continue
            weights = {t: w * square / sizes[t] for t, w in self._traces.items()}
            if gp.scale is not None:
                through = {t: square * inner[t] / sizes[t] ** 2 for t in inner}  # what they are divided by
                for t in weights:
                    floor = FLOOR * self._covariance.shares[t] * sum(through.values())
                    weights[t] -= (through[t] + floor) / self._count(t)
            if any(weights.values()):
                kernel: Any = part.kernel
                # A block of size 1 stands for all outputs of its part.
                by_trace = {t: w * self._covariance.places[t].shape[1] / kernel.sizes[t] for t, w in weights.items()}
                self._plus(kernel.diagonal_slopes(self._covariance.x, self._prepared.values, by_trace))
        return self._covariance.by_site(found, self._slopes)

    def _count(self, t: int) -> int:
        return len(self._covariance.x) * self._covariance.places[t].shape[1]

    def _plus(self, slopes: Slopes) -> None:
        self._slopes = slopes if self._slopes is None else self._slopes + slopes
