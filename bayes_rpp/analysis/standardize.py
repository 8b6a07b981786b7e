"""Columns brought to a size of about 1 without touching the symmetry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse.csgraph import connected_components

from bayes_rpp._deprecation import renamed_attribute
from bayes_rpp._numerics import ROUNDING, rms, rounding
from bayes_rpp._warnings import warn_user
from bayes_rpp.priors.subspaces.base import EquivariantSubspace
from bayes_rpp.symmetry.groups import Group
from bayes_rpp.symmetry.representations import Rep, Representation

FAR, LOST = 10.0, 1.5e5  # spreads between the mean and zero: a network learns little, and float32 loses them anyway
ZERO = 1e-9  # of entries of generators
ROUNDS = 100  # of alternating projections onto what each group leaves fixed

Together = Literal["block", "copy", "mixed"]


@dataclass(frozen=True)
class Standardization:
    """(value - center) / scale, by column.

    The centre is the part of the mean that every group leaves fixed, and columns that belong together (see `Coupling`)
    share a scale, so that f is equivariant before exactly if it is after.

    Attributes:
        center, scale: (columns,) in the units of the data; scale > 0.
    """

    center: NDArray
    scale: NDArray
    centre = renamed_attribute("centre", "center")

    def __call__(self, values: NDArray) -> NDArray:
        """Data (n, columns) in units of `scale`."""
        found = (np.asarray(values, dtype=np.float64) - self.center) / self.scale
        return found if np.asarray(values).dtype == np.float64 else found.astype(np.float32)

    def undo(self, values: NDArray) -> NDArray:
        """Back in the units of the data."""
        return values * self.scale + self.center

    def warn_of_offset(self, values: NDArray, name: str) -> None:
        """Warn of columns (n, columns) that stay far from zero beside their spread, as the group moves their mean."""
        left = np.asarray(values, dtype=np.float64) - self.center
        mean = left.mean(axis=0)
        spread = rms(left - mean, axis=0)
        away = np.abs(mean)
        far = np.flatnonzero((FAR * spread < away) & (away < LOST * spread) & (spread > ROUNDING * rounding(values)))
        if len(far):
            k = far[np.argmax(away[far] / spread[far])]
            warn_user(
                f"the mean of {name} is {away[k] / spread[k]:.2g} times its spread in column {k}, and cannot be "
                "subtracted, as the group moves it: the network has to learn what is left beside it. Positions "
                "relative to a centre, or a smaller group that leaves this direction as it is, would do"
            )

    @staticmethod
    def none(columns: int) -> Standardization:
        """That changes nothing, for outputs such as classes."""
        return Standardization(np.zeros(columns), np.ones(columns))

    @staticmethod
    def of(
        values: NDArray, rep: Rep, groups: Sequence[Group], *, together: Together = "block", centered: bool = True
    ) -> Standardization:
        """That of data (n, columns) on which each of the groups acts by rep.

        Columns that are constant up to the rounding of their own type (float32 or float64) keep the scale 1: dividing
        would blow the rounding up. A small spread on a large offset, such as a day of Unix seconds, is not of these.

        Args:
            together: see `Coupling`.
            centered: whether anything is subtracted.
        """
        coupling = Coupling([rep(g) for g in groups], together)
        limit = ROUNDING * rounding(values)
        values = np.asarray(values, dtype=np.float64)
        center = coupling.center(values.mean(axis=0)) if centered else np.zeros(values.shape[1])
        return Standardization(center, coupling.scale(rms(values - center, axis=0), limit))


class Coupling:
    """Which centres and scales commute with groups that act on columns.

    Args:
        reps: one representation bound to each of the groups.
        together: the columns that share a scale: "block", those of all copies of a term, such as the two vectors of
            2 * Vector (each scalar is for itself); "copy", those of each copy; "mixed", those that the groups mix.
    """

    def __init__(self, reps: Sequence[Representation], together: Together) -> None:
        self._fixed = [EquivariantSubspace(None, rep) for rep in reps]
        self._part = _mixed(reps) if together == "mixed" else _blocks(reps[0], by_copy=together == "copy")

    def center(self, mean: NDArray) -> NDArray:
        """The part of a mean (columns,) that every group leaves fixed."""
        for _ in range(ROUNDS if len(self._fixed) > 1 else 1):
            for subspace in self._fixed:
                mean = subspace.project(mean)
        return mean

    def scale(self, sizes: NDArray, least: ArrayLike = 0.0) -> NDArray:
        """(columns,) root mean square of sizes (columns,) over columns that belong together; 1 where it is not above
        the largest `least` of these."""
        part, largest = self._part, self._most(sizes)
        ratios = np.divide(sizes, largest, out=np.zeros_like(largest), where=largest > 0)  # whose squares are finite
        shared = largest * np.sqrt((np.bincount(part, ratios**2) / np.bincount(part))[part])
        return np.where(shared <= self._most(least), 1.0, shared)

    def _most(self, values: ArrayLike) -> NDArray:
        found = np.zeros(len(self._part))
        np.maximum.at(found, self._part, values)
        return found[self._part]


def _mixed(reps: Sequence[Representation]) -> NDArray[np.intp]:
    """(columns,) a number from 0 for each column, the same for those that the groups mix."""
    generators = [m for r in reps for m in map(r.drho, r.group.lie_algebra)]
    generators += [m for r in reps for m in map(r.rho, r.group.discrete_generators)]
    mixed = sum((np.abs(m) > ZERO for m in generators), np.eye(reps[0].size))
    return connected_components(mixed, directed=False)[1]


def _blocks(rep: Representation, *, by_copy: bool) -> NDArray[np.intp]:
    """Likewise for those of the same block, or of the same copy."""
    first = [
        b.offset + b.size * (copy if by_copy or not b.term else 0)
        for b in rep.blocks
        for copy in range(b.count)
        for _ in range(b.size)
    ]
    return np.unique(first, return_inverse=True)[1]
