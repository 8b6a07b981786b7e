"""Sums of subspaces in any position, such as the maps equivariant under one group and those under another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bayes_rpp._arrays import Array, frozen
from bayes_rpp._types import Shaped
from bayes_rpp.priors.subspaces.base import DenseSubspace, EquivariantSubspace, FullSubspace, Subspace, ZeroSubspace
from bayes_rpp.priors.subspaces.nested import WithinSubspace

LARGEST = 2000  # numbers along a side of a dense matrix, for levels that share no layout
TOLERANCE = 1e-6  # of singular values of bases side by side: the sines of the angles between subspaces


class Block(NamedTuple):
    """`copies` pieces, one after the other, of the sum's coordinates, which all levels see alike.

    Attributes:
        projectors: (levels, size, size), those of the levels in the coordinates of one piece.
    """

    copies: int
    projectors: NDArray

    @property
    def size(self) -> int:
        return self.projectors.shape[-1]


class SumSubspace(Subspace):
    """S_1 + S_2 + ..., of which none need lie in another: the maps equivariant under SO(2) and those under S(3), say.
    As a subspace it is all sums of their weights.

    Args:
        levels: of one shape. Equivariant maps between the same representations of several groups are taken apart into
            pairs of terms, at any size; of others rank and levels make dense matrices.

    Attributes:
        levels: as given. The prior N(0, sigma_1^2 P_1 + sigma_2^2 P_2 + ... + sigma_b^2 I), a `MixedPathway`, has a
            sigma_a for each.
        blocks: the levels' projectors in the coordinates here, which are block diagonal.

    Raises:
        TypeError, ValueError: if one is no subspace, shapes differ, or there are too many numbers for dense matrices.
    """

    is_nested = False

    def __init__(self, levels: Sequence[Subspace]) -> None:
        levels = tuple(levels) if isinstance(levels, (list, tuple)) else ()
        if not levels or not all(isinstance(s, Subspace) for s in levels):
            raise TypeError(f"levels must be a list of subspaces, got {levels or 'no list'}")
        for k, level in enumerate(levels):
            if level.shape != levels[0].shape:
                raise ValueError(f"levels[{k}] must have the shape {levels[0].shape} of levels[0], got {level.shape}")
        self._set(levels, *_together(levels))

    def _set(self, levels: tuple[Subspace, ...], whole: Subspace, blocks: tuple[Block, ...]) -> None:
        self._levels, self._whole, self.blocks = levels, whole, blocks
        self.shape, self.rank = whole.shape, whole.rank
        self._parts: dict[tuple[int, ...], Subspace] = {}
        self._inner: SumSubspace | None = None

    @property
    def rows(self) -> int:
        return self._levels[0].rows

    @property
    def levels(self) -> tuple[Subspace, ...]:
        return self._levels

    def part(self, numbers: Sequence[int]) -> Subspace:
        """The sum of some of the levels."""
        key = tuple(numbers)
        if key == tuple(range(len(self._levels))):
            return self
        if key not in self._parts:
            some = [self._levels[k] for k in key]
            self._parts[key] = SumSubspace(some) if some else ZeroSubspace(self.shape)
        return self._parts[key]

    @property
    def inner(self) -> SumSubspace:
        """The same sum of the levels in its own coordinates, of shape (rank,)."""
        if self._inner is None:
            self._inner = object.__new__(SumSubspace)
            levels = tuple(WithinSubspace(self._whole, level) for level in self._levels)
            self._inner._set(levels, FullSubspace((self.rank,)), self.blocks)
        return self._inner

    def encode(self, w: Shaped[Array, "*w"]) -> Shaped[Array, "*batch {self.rank}"]:
        return self._whole.encode(w)

    def decode(self, beta: Shaped[Array, "*batch rank"]) -> Shaped[Array, "*w"]:
        return self._whole.decode(beta)

    def leverage(self) -> np.ndarray:
        return self._whole.leverage()

    def __repr__(self) -> str:
        return f"SumSubspace(shape={self.shape}, ranks={[s.rank for s in self.levels]})"


def _together(levels: Sequence[Subspace]) -> tuple[Subspace, tuple[Block, ...]]:
    """The sum with a basis of its own, and what the levels are in it."""
    like = [s for s in levels if isinstance(s, EquivariantSubspace)]
    if len(like) == len(levels) and len({(s.rep_in.rep, s.rep_out.rep) for s in like}) == 1:
        whole = like[0].with_bases({pair: _joint([s.bases[pair] for s in like]) for pair in like[0].bases})
        found = (
            Block(whole.copies(pair), _projectors(q, [s.bases[pair] for s in like])) for pair, q in whole.bases.items()
        )
        return whole, tuple(b for b in found if b.size)
    size, rank = levels[0].size, sum(s.rank for s in levels)
    if rank > LARGEST or size * rank > LARGEST**2:
        raise ValueError(
            f"levels must have ranks of up to {LARGEST} in all, got {', '.join(str(s.rank) for s in levels)} of "
            f"{size:,} weights; EquivariantSubspaces between the same representations would do"
        )
    bases = [s.basis() for s in levels]
    dense = DenseSubspace(levels[0].shape, _joint(bases))
    return dense, (Block(1, _projectors(dense.basis(), bases)),) if dense.rank else ()


def _joint(bases: list[NDArray]) -> NDArray:
    """Orthonormal (n, r) of the span of all."""
    u, s, _ = np.linalg.svd(np.concatenate(bases, axis=1), full_matrices=False)
    return frozen(u[:, s > TOLERANCE])


def _projectors(q: NDArray, bases: list[NDArray]) -> NDArray:
    """(levels, r, r), that of each in the coordinates of q."""
    inside = [q.T @ basis for basis in bases]
    return frozen(np.stack([c @ c.T for c in inside]))
