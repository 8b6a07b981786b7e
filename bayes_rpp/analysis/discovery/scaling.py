"""Columns brought to a size of about 1 in a way that no action notices."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from bayes_rpp._numerics import rms
from bayes_rpp.analysis.standardize import Standardization
from bayes_rpp.symmetry.discovery.actions import Actions

Array = NDArray[np.float64]
ALIKE = 4.0  # columns of nearer sizes share one


def standardization(values: Array, actions: Actions, side: Literal["inputs", "outputs"]) -> Standardization:
    """That of data (n, d): the centre of columns that nothing moves, a scale for columns that are mixed."""
    matrices = actions.inputs if side == "inputs" else actions.outputs
    moved = np.asarray(np.abs(matrices).any(axis=(0, 2)) | np.abs(matrices).any(axis=(0, 1)))
    center = np.where(moved, 0.0, values.mean(axis=0))
    sizes = np.maximum(rms(values - center, axis=0), 1e-300)
    if actions.are_known:
        mixed = connected_components(np.abs(matrices).any(axis=0), directed=False)[1]
        if side == "inputs":
            mixed = connected_components((mixed[:, None] == mixed) | _same_kind(actions, moved), directed=False)[1]
    else:
        mixed = _alike(sizes)
    scale = np.ones(values.shape[1])
    for part in range(mixed.max() + 1):
        size = float(np.sqrt((sizes[mixed == part] ** 2).mean()))
        scale[mixed == part] = size if size > 1e-200 else 1.0
    return Standardization(center, scale)


def _same_kind(actions: Actions, moved: NDArray[np.bool_]) -> NDArray[np.bool_]:
    kinds = actions.kinds
    return (kinds[:, None] == kinds) & moved[:, None] & moved


def _alike(sizes: Array) -> NDArray[np.int_]:
    """Numbers from 0 of sets of columns, between whose sizes there are gaps."""
    order = np.argsort(sizes)
    steps = np.log(sizes[order][1:] / sizes[order][:-1]) > np.log(ALIKE)
    found = np.zeros(len(sizes), dtype=int)
    found[order] = np.concatenate([[0], np.cumsum(steps)])
    return found
