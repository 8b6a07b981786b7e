"""Columns that a group mixes, which must share a scale if scaling is to commute with it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from bayes_rpp.symmetry.representations import Representation


def mixed_columns(rep: Representation) -> NDArray[np.intp]:
    """(columns,) a number for each column, the same for those that the group mixes."""
    generators = [rep.drho(a) for a in rep.group.lie_algebra] + [rep.rho(h) for h in rep.group.discrete_generators]
    mixed = sum((np.abs(g) > 1e-9 for g in generators), np.eye(rep.size))
    return connected_components(mixed, directed=False)[1]


def shared_mean(values: NDArray, block: NDArray[np.intp]) -> NDArray:
    """(columns,) the mean of values (columns,) over each block."""
    return (np.bincount(block, values) / np.bincount(block))[block]
