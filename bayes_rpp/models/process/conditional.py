"""The posterior of a GaussianProcess given its numbers: a Gaussian process again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_rpp.models.process.covariance import Array, Covariance, Latents, Prepared
from bayes_rpp.priors.kernels.averaged import Blocks

ROWS = 256  # at a time
NUGGET = 1e-10  # of the mean variance
Parts = dict[Any, Array]


@dataclass(frozen=True)
class Marginal:
    """Of function values at m points, each by itself: mean (m, d_out) and covariance (m, d_out, d_out)."""

    mean: Array
    covariance: Array


@dataclass(frozen=True)
class Conditional:
    """f given numbers and data, with mean k^T w and covariance K - v^T v, v = half(k), for k with the training inputs.

    Attributes:
        merged: whether all outputs are one part, as a likelihood makes them depend on each other; else each part of
            rep_out is one, whose copies are independent.
        weights: of each part (n d, copies).
        half: of each part, from (n d, m d) to (r, m d).
        inflation: factor of standard deviations.
    """

    covariance: Covariance
    latents: Latents
    prepared: Prepared
    merged: bool
    weights: Mapping[Any, Array]
    half: Mapping[Any, Callable[[Array], Array]]
    inflation: float = 1.0

    @property
    def places(self) -> dict[Any, NDArray]:
        """Of each part (copies, d) columns of y."""
        whole = {None: np.arange(self.covariance.gp.rep_out.size)[None]}
        return whole if self.merged else dict(self.covariance.places)

    def mean(self, z: NDArray) -> Array:
        """At each of z (m, d_in): (m, d_out)."""
        pieces = [self.means(self.crosses(z[i : i + ROWS])) for i in range(0, len(z), ROWS)]
        return self.restored(np.concatenate(pieces) if pieces else np.empty((0, self.covariance.gp.rep_out.size)))

    def marginal(self, z: NDArray) -> Marginal:
        """At each of z (m, d_in)."""
        gp, d_out = self.covariance.gp, self.covariance.gp.rep_out.size
        mean, cov = np.empty((len(z), d_out)), np.zeros((len(z), d_out, d_out))
        for start in range(0, len(z), ROWS):
            some = slice(start, start + ROWS)
            cross = self.crosses(z[some])
            alone = self._alone(self.covariance.diagonal(z[some], self.latents, self.prepared))
            mean[some] = self.means(cross)
            for key, places in self.places.items():
                m, d = alone[key].shape[:2]
                v = self.half[key](cross[key].T).reshape(-1, m, d)
                c = alone[key] - np.einsum("kma,kmb->mab", v, v)
                diagonal = np.einsum("maa->ma", c)  # a view
                np.maximum(diagonal, 0.0, out=diagonal)  # where rounding is all that is left
                for p in places:
                    cov[some, p[:, None], p] = self.inflation**2 * c
        if self.merged:
            return Marginal(mean + gp.offset, cov)
        basis = self.covariance.outputs.basis
        return Marginal(mean @ basis.T + gp.offset, basis @ cov @ basis.T)

    def joint(self, z: NDArray) -> tuple[Array, dict[Any, Array]]:
        """Of all of z together: mean (m, d_out), and the covariance of each part, (m d, m d), in its coordinates."""
        cross, found = self.crosses(z), self.prior(z, z)
        for key, k in cross.items():
            v = self.half[key](k.T)
            found[key] = self.inflation**2 * (found[key] - v.T @ v)
        return self.restored(self.means(cross)), found

    def crosses(self, z: NDArray) -> Parts:
        """The prior covariance between z (m, d_in) and the training inputs, of each part (m d, n d)."""
        return self._flat(self.covariance.cross(z, self.latents, self.prepared))

    def prior(self, z: NDArray, x: NDArray) -> Parts:
        """That between z (m, d_in) and x (k, d_in), of each part (m d, k d)."""
        return self._flat(self.covariance.between(z, x, self.latents, self.prepared))

    def means(self, cross: Parts) -> Array:
        """The mean of f in its coordinates, (m, d_out), from covariances with the training inputs."""
        size = self.covariance.gp.rep_out.size
        found = np.empty((sum(len(k) * len(self.places[key]) for key, k in cross.items()) // size, size))
        for key, places in self.places.items():
            f = (cross[key] @ self.weights[key]).reshape(len(found), places.shape[1], len(places))
            for copy, p in enumerate(places):
                found[:, p] = f[:, :, copy]
        return found

    def restored(self, f: Array) -> Array:
        """Outputs (..., d_out) from their coordinates."""
        return (f if self.merged else f @ self.covariance.outputs.basis.T) + self.covariance.gp.offset

    def covariances(self, z: NDArray) -> Array:
        """The covariance of all outputs at all of z, (m, d_out, m, d_out)."""
        size = self.covariance.gp.rep_out.size
        found = np.zeros((len(z), size, len(z), size))
        for key, c in self.joint(z)[1].items():
            for p in self.places[key]:
                d = len(p)
                found[:, p[:, None], :, p] = c.reshape(len(z), d, len(z), d).transpose(1, 3, 0, 2)
        if self.merged:
            return found
        basis = self.covariance.outputs.basis
        return np.einsum("ab,mbnd,cd->manc", basis, found, basis, optimize=True)

    def draws(self, z: NDArray, count: int, rng: np.random.Generator) -> Array:
        """Functions drawn from it, at all of z together: (count, m, d_out)."""
        mean, covariances = self.joint(z)
        found = np.empty((count, *mean.shape))
        for key, places in self.places.items():
            m, d = len(z), places.shape[1]
            root = lower_root(covariances[key], d)
            for p in places:
                noise = rng.normal(size=(count, root.shape[1])) @ root.T
                found[:, :, p] = noise.reshape(count, m, d)
        return mean + self.restored(found) - self.covariance.gp.offset

    def _flat(self, blocks: Blocks) -> Parts:
        arranged = {None: assemble(self.covariance, blocks)} if self.merged else blocks
        return {t: k.reshape(k.shape[0] * k.shape[1], k.shape[2] * k.shape[3]) for t, k in arranged.items()}

    def _alone(self, blocks: Blocks) -> Parts:
        if not self.merged:
            return dict(blocks)
        size = self.covariance.gp.rep_out.size
        found = np.zeros((len(next(iter(blocks.values()))), size, size))
        for t, k in blocks.items():
            for p in self.covariance.places[t]:
                found[:, p[:, None], p] = k
        basis = self.covariance.outputs.basis
        return {None: basis @ found @ basis.T}


def assemble(covariance: Covariance, blocks: Blocks) -> Array:
    """Of all outputs, (m, d_out, n, d_out), from those of each part."""
    m, _, n, _ = next(iter(blocks.values())).shape
    size = covariance.gp.rep_out.size
    found = np.zeros((m, size, n, size))
    for t, k in blocks.items():
        for p in covariance.places[t]:
            found[:, p[:, None], :, p] = k.transpose(1, 3, 0, 2)
    basis = covariance.outputs.basis
    return np.einsum("ab,mbnd,cd->manc", basis, found, basis, optimize=True)


def lower_root(covariance: Array, d: int, variances: Array | None = None) -> Array:
    """Lower triangular R with R R^T = covariance (m d, m d), up to as small a nugget on its diagonal as rounding asks
    for, beside the variances of d outputs. None: their means."""
    if variances is None:
        variances = np.diag(covariance).reshape(-1, d).mean(axis=0)
    sizes, nugget = np.tile(np.maximum(variances, 1e-300), len(covariance) // d), NUGGET
    while True:
        try:
            return np.asarray(np.linalg.cholesky(covariance + np.diag(nugget * sizes)))
        except np.linalg.LinAlgError:
            nugget *= 10
