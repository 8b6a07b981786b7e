"""Columns brought to a size of about 1 without touching the symmetry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayes_rpp._numerics import ROUNDING, rms, rounding
from bayes_rpp._warnings import warn_user
from bayes_rpp.priors.subspaces.base import EquivariantSubspace
from bayes_rpp.symmetry.groups import Group
from bayes_rpp.symmetry.representations import Rep

FAR, LOST = 10.0, 1.5e5  # spreads between the mean and zero: a network learns little, and float32 loses them anyway
ROUNDS = 100  # of alternating projections onto what each group leaves fixed


@dataclass(frozen=True)
class Standardisation:
    """(value - centre) / scale, by column.

    The centre is the part of the mean that every group leaves fixed, and the scale is one number for all columns of a
    block of a representation, or of each of its copies (each scalar has its own), so that f is equivariant before
    exactly if it is after.

    Attributes:
        centre, scale: (columns,) in the units of the data; scale > 0.
    """

    centre: NDArray
    scale: NDArray

    def __call__(self, values: NDArray) -> NDArray:
        """Data (n, columns) in units of `scale`."""
        found = (np.asarray(values, dtype=np.float64) - self.centre) / self.scale
        return found if np.asarray(values).dtype == np.float64 else found.astype(np.float32)

    def undo(self, values: NDArray) -> NDArray:
        """Back in the units of the data."""
        return values * self.scale + self.centre

    def warn_of_offset(self, values: NDArray, name: str) -> None:
        """Warn of columns (n, columns) that stay far from zero beside their spread, as the group moves their mean."""
        left = np.asarray(values, dtype=np.float64) - self.centre
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
    def none(columns: int) -> Standardisation:
        """That changes nothing, for outputs such as classes."""
        return Standardisation(np.zeros(columns), np.ones(columns))

    @staticmethod
    def of(values: NDArray, rep: Rep, groups: Sequence[Group], *, by_copy: bool = False) -> Standardisation:
        """That of data (n, columns) on which each of the groups acts by rep.

        Columns that are constant up to the rounding of their own type (float32 or float64) keep the scale 1: dividing
        would blow the rounding up. A small spread on a large offset, such as a day of Unix seconds, is not of these.

        Args:
            by_copy: whether each copy of a block, such as the two vectors of 2 * Vector, has a scale of its own.
        """
        limit = ROUNDING * rounding(values)
        values = np.asarray(values, dtype=np.float64)
        centre = values.mean(axis=0)
        fixed = [EquivariantSubspace(None, rep(g)) for g in groups]
        for _ in range(ROUNDS if len(fixed) > 1 else 1):
            for subspace in fixed:
                centre = subspace.project(centre)
        sizes = rms(values - centre, axis=0)
        scale = np.empty_like(centre)
        for block in rep(groups[0]).blocks:
            part = slice(block.offset, block.stop)
            shape, axis = (block.count, block.size), 1 if by_copy or not block.term else None
            shared = rms(sizes[part].reshape(shape), axis=axis)
            still = shared <= limit[part].reshape(shape).max(axis=axis)
            shared = np.where(still, 1.0, shared).reshape(-1, 1)
            scale[part] = np.broadcast_to(shared, shape).ravel()
        return Standardisation(centre, scale)
