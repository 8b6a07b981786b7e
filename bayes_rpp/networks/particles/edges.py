"""Pairs of particles: relative positions, distances in a smooth basis, which pairs count, and blocks of all pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from bayes_rpp._arrays import Array, array_namespace, frozen
from bayes_rpp.engines.libraries import fixed
from bayes_rpp.networks.emlp import Block

SOFTENED = 1e-10  # added to squared distances, whose root then has a derivative where particles overlap
REACH = 3.0  # lengths within a cutoff


@dataclass(frozen=True)
class Edges:
    """What a message from one particle to another sees of the space between them.

    The basis is of Gaussians of exp(-distance / length), evenly placed from far to near (Unke and Meuwly 2019); the
    envelope 1 - 28 u^6 + 48 u^7 - 21 u^8, u = distance / cutoff, ends with two derivatives (Gasteiger et al. 2020).

    Attributes:
        radial: functions of the distance.
        cutoff: distance from which on particles do not see each other, or None.
    """

    radial: int
    cutoff: float | None

    @property
    def length(self) -> float:
        return 1.0 if self.cutoff is None else self.cutoff / REACH

    @cached_property
    def _centers(self) -> NDArray:
        return frozen(np.linspace(0.0, 1.0, self.radial))

    def __call__(self, positions: Array, there: Array) -> tuple[Array, Array]:
        """For positions (n, N, d) and 1.0 or 0.0 of each particle (n, N): what is seen, (n, N, N, radial + d), by the
        first of the two of the second, and the weights of pairs, (n, N, N)."""
        xp, count = array_namespace(positions), positions.shape[1]
        r = (positions[:, None, :, :] - positions[:, :, None, :]) / self.length
        distance = (xp.sum(r * r, axis=-1) + SOFTENED) ** 0.5
        near = xp.exp(-distance)[..., None] - fixed(self._centers, r)
        basis = xp.exp(-0.5 * (self.radial * near) ** 2)
        weight = there[:, :, None] * there[:, None, :] * fixed(_others(count), r)
        if self.cutoff is not None:
            u = distance / REACH
            u = xp.where(u < 1.0, u, xp.ones_like(u))
            weight = weight * (1.0 + u**6 * (-28.0 + u * (48.0 - 21.0 * u)))
        return xp.concat([basis, r], axis=-1), weight


@cache
def _others(count: int) -> NDArray:
    """(count, count) 0 on the diagonal, else 1; the same array each time, as `fixed` knows it by its identity."""
    return frozen(1.0 - np.eye(count))


def of_pairs(block: Block, params: Mapping[str, Array], ends: Array, between: Array) -> Array:
    """The block of all pairs (n, N, N, out), whose linear layer is a sum over what it sees: of both ends (n, N, k) each
    particle once."""
    xp, k = array_namespace(ends), ends.shape[-1]
    w = xp.matrix_transpose(params[f"{block.name}.weight"])
    here, there = ends @ w[:k], ends @ w[k : 2 * k]
    lin = here[:, :, None, :] + there[:, None, :, :] + between @ w[2 * k :] + params[f"{block.name}.bias"]
    thetas = [params[name] for name in block.bilinear_names]
    return block.activate(lin, thetas, params[f"{block.name}.swish"] if block.mixes else None)
