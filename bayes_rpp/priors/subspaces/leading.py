"""The first of a weight's coordinates, and the others: where a weight is given by coordinates, as of factors."""

from __future__ import annotations

from bayes_rpp._arrays import Array, array_namespace, zeros
from bayes_rpp._types import Shaped
from bayes_rpp.priors.subspaces.base import Subspace


class LeadingSubspace(Subspace):
    """Weights (size,) whose coordinates are zero behind the first `rank`.

    Args:
        size: number of coordinates.
        rank: of those that may differ from zero.
        rows: number of outputs of the layer.
    """

    def __init__(self, size: int, rank: int, rows: int) -> None:
        self.shape, self.rank, self._rows = (size,), rank, rows

    @property
    def rows(self) -> int:
        return self._rows

    def encode(self, w: Shaped[Array, "*w"]) -> Shaped[Array, "*batch {self.rank}"]:
        self.check_shape(w, self.shape, "w")
        return w[..., : self.rank]

    def decode(self, beta: Shaped[Array, "*batch rank"]) -> Shaped[Array, "*w"]:
        self.check_shape(beta, (self.rank,), "beta")
        rest = zeros((*beta.shape[:-1], self.size - self.rank), beta)
        return array_namespace(beta).concat([beta, rest], axis=-1)

    @property
    def others(self) -> TrailingSubspace:
        """The orthogonal complement."""
        return TrailingSubspace(self.size, self.size - self.rank, self.rows)


class TrailingSubspace(LeadingSubspace):
    """Weights (size,) whose coordinates are zero before the last `rank`."""

    def encode(self, w: Shaped[Array, "*w"]) -> Shaped[Array, "*batch {self.rank}"]:
        self.check_shape(w, self.shape, "w")
        return w[..., self.size - self.rank :]

    def decode(self, beta: Shaped[Array, "*batch rank"]) -> Shaped[Array, "*w"]:
        self.check_shape(beta, (self.rank,), "beta")
        rest = zeros((*beta.shape[:-1], self.size - self.rank), beta)
        return array_namespace(beta).concat([rest, beta], axis=-1)
