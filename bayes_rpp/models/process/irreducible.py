"""Outputs in a basis in which the representation is a sum of irreducible ones: there, covariances of equivariant
functions are small blocks, those of equivalent parts the same.

A random symmetric matrix that commutes with the representation has its irreducible parts as eigenspaces (Schur).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import null_space

from bayes_rpp.symmetry.representations import Representation

Array = NDArray[np.float64]
LARGEST = 40  # d_out that is decomposed; beyond, the terms of the representation are the parts
GAP = 1e-6  # relative, between eigenvalues of different parts


@dataclass(frozen=True)
class Outputs:
    """A basis of the outputs.

    Attributes:
        basis: (d_out, d_out) orthogonal; y @ basis are the coordinates.
        places: part -> (copies, d) coordinates of its copies, all with the same covariance.
    """

    basis: Array
    places: dict[int, NDArray[np.int_]]

    def blocks(self, rho: Array) -> dict[int, Array]:
        """Of matrices (k, d_out, d_out) of a representation, what each part is multiplied by, (k, d, d)."""
        found = {}
        for part, places in self.places.items():
            basis = self.basis[:, places[0]]
            found[part] = basis.T @ rho @ basis
        return found


def undivided(size: int) -> Outputs:
    """All outputs as one part."""
    return Outputs(np.eye(size), {0: np.arange(size)[None]})


def irreducible(reps: Sequence[Representation]) -> Outputs:
    """Of rep_out, bound to each of the groups: parts that all groups keep."""
    size = reps[0].size
    if size > LARGEST:
        terms = list(reps[0].types.values())
        return Outputs(np.eye(size), dict(enumerate(terms)))
    commutant = _commutant(reps)
    rng = np.random.default_rng(0)
    first, second = (_symmetric(commutant, rng) for _ in range(2))
    values, vectors = np.linalg.eigh(first)
    ends = np.flatnonzero(np.diff(values) > GAP * max(1.0, np.abs(values).max())) + 1
    kinds: list[list[Array]] = []
    for basis in np.split(vectors, ends, axis=1):
        for kind in kinds:
            if kind[0].shape == basis.shape:
                between = basis.T @ second @ kind[0]  # a multiple of an orthogonal matrix, where they are equivalent
                u, s, v = np.linalg.svd(between)
                if s[-1] > GAP:
                    kind.append(basis @ (u @ v))
                    break
        else:
            kinds.append([basis])
    columns = np.concatenate([basis for kind in kinds for basis in kind], axis=1)
    places, start = {}, 0
    for part, kind in enumerate(kinds):
        d = kind[0].shape[1]
        places[part] = np.arange(start, start + d * len(kind)).reshape(len(kind), d)
        start += d * len(kind)
    return Outputs(columns, places)


def _commutant(reps: Sequence[Representation]) -> Array:
    """(count, d_out, d_out) basis of the matrices that commute with all of them."""
    size = reps[0].size
    one, conditions = np.eye(size), [np.zeros((1, size * size))]
    for rep in reps:
        moves = [*rep.rho(rep.group.discrete_generators)] if len(rep.group.discrete_generators) else []
        moves += [*rep.drho(rep.group.lie_algebra)] if len(rep.group.lie_algebra) else []
        conditions += [np.kron(m, one) - np.kron(one, m.T) for m in moves]
    gram = sum(c.T @ c for c in conditions)
    return np.asarray(null_space(gram, rcond=1e-10).T.reshape(-1, size, size))


def _symmetric(commutant: Array, rng: np.random.Generator) -> Array:
    found = np.tensordot(rng.normal(size=len(commutant)), commutant, 1)
    return np.asarray(found + found.T)
