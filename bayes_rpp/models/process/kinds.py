"""Kinds of columns of x: those that share a lengthscale."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import null_space

from bayes_rpp.symmetry.factors import term_name
from bayes_rpp.symmetry.representations import Representation

Kinds = dict[str, NDArray[np.int_]]


def block_kinds(reps: Sequence[Representation], ard: bool) -> Kinds:
    """Name of each kind of block -> its columns; with `ard` those that no group moves one by one, as "x0", "x3".

    Args:
        reps: rep_in, bound to each of the groups.
    """
    fixed = np.logical_and.reduce([unmoved(rep) for rep in reps])
    found: Kinds = {}
    for term, places in reps[0].types.items():
        columns = places.ravel()
        alone = columns[fixed[columns]] if ard else columns[:0]
        together = np.setdiff1d(columns, alone)
        found |= {f"x{c}": np.array([c]) for c in alone}
        if len(together):
            found[term_name(term)] = together
    return found


def unmoved(rep: Representation) -> NDArray[np.bool_]:
    """(size,) which columns the group leaves as they are."""
    group, one = rep.group, np.eye(rep.size)
    found = np.ones(rep.size, dtype=bool)
    for g in group.discrete_generators:
        found &= np.abs(rep.rho(g) - one).max(axis=1, initial=0.0) < 1e-12
    for a in group.lie_algebra:
        found &= np.abs(rep.drho(a)).max(axis=1, initial=0.0) < 1e-12
    return found


def fixed_part(rep: Representation) -> NDArray[np.float64]:
    """(size, size) the projector on what the group leaves fixed, from its generators."""
    group, one = rep.group, np.eye(rep.size)
    moves = [rep.rho(g) - one for g in group.discrete_generators] + [rep.drho(a) for a in group.lie_algebra]
    basis = null_space(sum((m.T @ m for m in moves), np.zeros_like(one)), rcond=1e-10)
    return np.asarray(basis @ basis.T)
