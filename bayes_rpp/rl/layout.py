"""The weights of a perceptron with an equivariant pathway as one vector, W = s Q beta, s = sqrt(n / r) for each layer.

Of signed permutations Q has a basis that shares weights: each weight is plus or minus one number of beta, so that all
weights of a network are gathered by one operation, in any array library.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from bayes_rpp.priors.subspaces.base import EquivariantSubspace
from bayes_rpp.symmetry.representations import Rep, Representation, Scalar, Term


class Layout:
    """Where the weights and biases of a perceptron lie in one vector, and which numbers of beta they are.

    Args:
        reps: of the input, of each hidden layer and of the output.

    Attributes:
        shapes: of weight and bias of each layer in turn.
        sizes: how many numbers each of them has.
        index, values: (n, k); weight w is the sum over k of values[w] beta[index[w]]. k is 1 for signed permutations.
        rank: length of beta.
        norms: (rank,), of the columns of the matrix that these are.
    """

    def __init__(self, reps: Sequence[Representation]) -> None:
        self.shapes: list[tuple[int, ...]] = []
        tables = []
        for rep_in, rep_out in pairwise(reps):
            self.shapes += [(rep_out.size, rep_in.size), (rep_out.size,)]
            tables += [orbits(rep_in, rep_out), orbits(None, rep_out)]
        self.sizes = [math.prod(shape) for shape in self.shapes]
        self.index, self.values, self.rank = _joined(tables)
        # The rows of s Q have the sum of squares n / r over the orbit: (s Q)^T w / s is the projection's coordinates,
        # shorter than w by sqrt(r / n), so that dividing by another s gives weights of w's size.
        squares = np.zeros(self.rank)
        np.add.at(squares, self.index, self.values**2)
        self.norms = np.sqrt(np.maximum(squares, 1e-12))

    def encoded(self, weights: NDArray) -> NDArray:
        """beta of the projection of weights (n,) to the subspace, scaled to their size."""
        beta = np.zeros(self.rank)
        np.add.at(beta, self.index, self.values * weights[:, None])
        return beta / self.norms


def _joined(tables: Sequence[tuple[NDArray, NDArray, int]]) -> tuple[NDArray, NDArray, int]:
    width = max(index.shape[1] for index, _, _ in tables)
    indices, values, start = [], [], 0
    for index, value, rank in tables:
        gap = ((0, 0), (0, width - index.shape[1]))
        # What a weight has no part in points anywhere, with the value 0.
        indices.append(np.pad(np.where(value == 0, 0, index + start), gap))
        values.append(np.pad(value, gap))
        start += rank
    return np.concatenate(indices), np.concatenate(values), start


def orbits(rep_in: Representation | None, rep_out: Representation) -> tuple[NDArray, NDArray, int]:
    """The equivariant maps in a basis that shares weights: row w of s Q has values[w] at index[w], and zeros elsewhere.

    Args:
        rep_in: None for biases.

    Returns:
        index and values of shape (n, k), and the rank. Of signed permutations k is 1: each weight is plus or minus one
        number that it shares with its orbit.
    """
    group, columns = rep_out.group, rep_in or Scalar(rep_out.group)
    found: dict[tuple[Term, Term], tuple[NDArray, NDArray, int]] = {}
    shape, rank, width = (rep_out.size, columns.size), 0, 1
    pieces = []
    for o in rep_out.blocks:
        for i in columns.blocks:
            key = (o.term, i.term)
            if key not in found:
                one = EquivariantSubspace(Rep(((i.term, 1),))(group), Rep(((o.term, 1),))(group))
                found[key] = _sparse(one.basis())
            index, values, r = found[key]
            copies = rank + r * np.arange(o.count * i.count).reshape(o.count, 1, i.count, 1, 1)
            local = index.reshape(1, o.size, 1, i.size, -1) + copies
            pieces.append((o, i, local, values.reshape(1, o.size, 1, i.size, -1)))
            rank, width = rank + r * o.count * i.count, max(width, index.shape[1])
    all_index, all_values = np.zeros((*shape, width), dtype=np.int64), np.zeros((*shape, width))
    for o, i, local, values in pieces:
        where = (slice(o.offset, o.stop), slice(i.offset, i.stop), slice(0, local.shape[-1]))
        size = (o.count * o.size, i.count * i.size, local.shape[-1])
        all_index[where] = local.reshape(size)
        all_values[where] = np.broadcast_to(values, local.shape).reshape(size)
    scale = math.sqrt(shape[0] * shape[1] / rank) if rank else 0.0
    return all_index.reshape(-1, width), scale * all_values.reshape(-1, width), rank


def _sparse(q: NDArray) -> tuple[NDArray, NDArray, int]:
    """An orthonormal basis (n, r) of the same span with few entries in each row, as indices and values (n, k)."""
    n, rank = q.shape
    projector = np.where(np.abs(q @ q.T) > 1e-9, q @ q.T, 0.0)
    count, labels = connected_components(projector != 0, directed=False)
    entries: list[list[tuple[int, float]]] = [[] for _ in range(n)]
    start = 0
    for label in range(count):
        rows = np.flatnonzero(labels == label)
        eigenvalues, vectors = np.linalg.eigh(projector[np.ix_(rows, rows)])
        for vector in vectors[:, eigenvalues > 0.5].T:
            for row, value in zip(rows, vector, strict=True):
                entries[row].append((start, float(value)))
            start += 1
    assert start == rank
    width = max(1, max(len(e) for e in entries))
    padded = [e + [(0, 0.0)] * (width - len(e)) for e in entries]
    return np.array([[i for i, _ in e] for e in padded]), np.array([[v for _, v in e] for e in padded]), rank
