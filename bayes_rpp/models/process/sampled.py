"""A function drawn from a Gaussian process, which is asked for at some points now and at others later."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bayes_rpp.models.process.conditional import Array, Conditional, lower_root


@dataclass(repr=False)
class SampledFunction:
    """x (m, d_in) -> (m, d_out), exactly as if all points of all calls had been drawn together: what is drawn later is
    conditioned on what was drawn before. The cost grows with the cube of the number of points so far.

    Args:
        conditional: whose function it is.
        rng: of the draw.
    """

    conditional: Conditional
    rng: np.random.Generator
    _seen: NDArray | None = None
    _noise: dict = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"SampledFunction(points={0 if self._seen is None else len(self._seen)})"

    def __call__(self, x: NDArray) -> Array:
        x = np.asarray(x, dtype=np.float64)
        if not len(x):
            return np.empty((0, self.conditional.covariance.gp.rep_out.size))
        before = 0 if self._seen is None else len(self._seen)
        points = x if self._seen is None else np.concatenate([self._seen, x])
        mean, covariances = self.conditional.joint(points)
        gaps = np.zeros_like(mean)
        for key, places in self.conditional.places.items():
            copies, d = places.shape
            fresh = self.rng.normal(size=(copies, len(x) * d))
            old = self._noise.get(key, np.empty((copies, 0)))
            self._noise[key] = np.concatenate([old, fresh], axis=1)
            root = lower_root(covariances[key], d)  # its first rows are those of the points before
            for copy, p in enumerate(places):
                gaps[:, p] = (root @ self._noise[key][copy]).reshape(len(points), d)
        self._seen = points
        zero = np.zeros(mean.shape[1])
        return (mean + self.conditional.restored(gaps) - self.conditional.restored(zero))[before:]
