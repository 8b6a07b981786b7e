"""Nested subspaces: a chain of restrictions, each within the next, that gets a pathway and a sigma for each."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from bayes_rpp._arrays import Array
from bayes_rpp._types import Shaped
from bayes_rpp.priors.subspaces.base import Subspace


class NestedSubspace(Subspace):
    """A chain S_1 < S_2 < ... of subspaces of one weight, such as the maps equivariant under SO(3) within those under
    SO(2). As a subspace it is the largest of them.

    Args:
        levels: from the smallest (most symmetric) to the largest.
        check: whether to look that each is within the next; leave it unless you know.

    Attributes:
        levels: as given. The prior N(0, sigma_1^2 P_1 + sigma_2^2 P_2 + ... + sigma_b^2 I) has a sigma_a for each.

    Raises:
        TypeError, ValueError: if one is no subspace, shapes differ, or one is not within the next.
    """

    def __init__(self, levels: Sequence[Subspace], *, check: bool = True) -> None:
        levels = tuple(levels) if isinstance(levels, (list, tuple)) else ()
        if not levels or not all(isinstance(s, Subspace) for s in levels):
            raise TypeError(f"levels must be a list of subspaces, the smallest first, got {levels or 'no list'}")
        for k, (inner, outer) in enumerate(itertools.pairwise(levels) if check else ()):
            if inner.shape != outer.shape:
                raise ValueError(f"levels[{k}] must have the shape {outer.shape} of levels[{k + 1}], got {inner.shape}")
            w = inner.decode(np.random.default_rng(k).normal(size=inner.rank))
            error = np.linalg.norm(w - outer.project(w))
            if error > 1e-6 * max(float(np.linalg.norm(w)), 1e-300):
                raise ValueError(
                    f"levels[{k}] must be within levels[{k + 1}], got {error / np.linalg.norm(w):.2g} of a weight of "
                    "it outside; the larger symmetry, whose maps are the fewer, goes first"
                )
        self._levels = levels
        self.shape, self.rank = levels[-1].shape, levels[-1].rank

    @property
    def levels(self) -> tuple[Subspace, ...]:
        return self._levels

    def encode(self, w: Shaped[Array, "*w"]) -> Shaped[Array, "*batch {self.rank}"]:
        return self.levels[-1].encode(w)

    def decode(self, beta: Shaped[Array, "*batch rank"]) -> Shaped[Array, "*w"]:
        return self.levels[-1].decode(beta)

    def leverage(self) -> np.ndarray:
        return self.levels[-1].leverage()

    def __repr__(self) -> str:
        return f"NestedSubspace(shape={self.shape}, ranks={[s.rank for s in self.levels]})"


class ComposedSubspace(Subspace):
    """A subspace of another's coordinates, as a subspace of the weight: such as steerable kernels within convolutions.

    Args:
        outer: subspace of the weight, of rank r.
        inner: subspace of the shape (r,).

    Raises:
        ValueError: if inner has another shape.
    """

    def __init__(self, outer: Subspace, inner: Subspace) -> None:
        if inner.shape != (outer.rank,):
            raise ValueError(f"inner must have shape ({outer.rank},), the rank of outer, got {inner.shape}")
        self.outer, self.inner = outer, inner
        self.shape, self.rank = outer.shape, inner.rank

    def encode(self, w: Shaped[Array, "*w"]) -> Shaped[Array, "*batch {self.rank}"]:
        return self.inner.encode(self.outer.encode(w))

    def decode(self, beta: Shaped[Array, "*batch rank"]) -> Shaped[Array, "*w"]:
        return self.outer.decode(self.inner.decode(beta))


class WithinSubspace(Subspace):
    """A subspace in the coordinates of a larger one that holds it: the inverse of `ComposedSubspace`.

    Args:
        outer: of rank r; the shape here is (r,).
        inner: of the same weight, within outer.
    """

    def __init__(self, outer: Subspace, inner: Subspace) -> None:
        self.outer, self.inner = outer, inner
        self.shape, self.rank = (outer.rank,), inner.rank

    def encode(self, w: Shaped[Array, "*w"]) -> Shaped[Array, "*batch {self.rank}"]:
        return self.inner.encode(self.outer.decode(w))

    def decode(self, beta: Shaped[Array, "*batch rank"]) -> Shaped[Array, "*w"]:
        return self.outer.encode(self.inner.decode(beta))
