"""Subspaces of weights, each given by its orthogonal projector and never by a dense basis.

The contract: with Q an orthonormal basis of the subspace, `encode(w) = Q^T vec(w)`, `decode(beta) = Q beta` in the
shape of w, `project = decode o encode`. All take leading batch dimensions, and numpy, torch and JAX arrays alike.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from copy import copy
from itertools import product

import numpy as np

from bayes_rpp._arrays import Array, array_namespace, constant, frozen
from bayes_rpp._given import float64_array
from bayes_rpp._types import Shaped
from bayes_rpp.engines.libraries import fixed
from bayes_rpp.symmetry.representations import Block, Representation, Scalar, Term
from bayes_rpp.symmetry.solver import check_bound, term_basis

COMPLEX_COLUMNS = (
    "weights are real, and the real parts that complex multiples of columns can have are spanned by "
    "np.concatenate([columns.real, columns.imag], axis=1), which would do"
)


Bases = Mapping[tuple[Term, Term], np.ndarray]


class Subspace(ABC):
    """A linear subspace of the weights of one shape.

    Attributes:
        shape: of the weight.
        rank: dimension of the subspace.
        is_nested: whether each of `levels` lies in the next.
    """

    shape: tuple[int, ...]
    rank: int
    is_nested = True

    @property
    def size(self) -> int:
        """Number of weights, n."""
        return math.prod(self.shape)

    @property
    def rows(self) -> int:
        """Number of outputs of the weight, by which the fan-in scale goes: its first dimension, mostly."""
        return self.shape[0] if self.shape else 1

    @property
    def levels(self) -> tuple[Subspace, ...]:
        """The subspaces that the prior has a pathway for, mostly a chain; of a plain one, itself."""
        return (self,)

    @abstractmethod
    def encode(self, w: Shaped[Array, "*w"]) -> Shaped[Array, "*batch {self.rank}"]:
        """Coordinates Q^T vec(w): (..., *shape) -> (..., rank)."""

    @abstractmethod
    def decode(self, beta: Shaped[Array, "*batch rank"]) -> Shaped[Array, "*w"]:
        """Weight Q beta: (..., rank) -> (..., *shape)."""

    def project(self, w: Shaped[Array, "*w"]) -> Shaped[Array, "*w"]:
        """Orthogonal projection Q Q^T w: (..., *shape) -> (..., *shape)."""
        return self.decode(self.encode(w))

    def basis(self) -> np.ndarray:
        """Dense Q, (n, rank), float64. For small subspaces."""
        return self.decode(np.eye(self.rank)).reshape(self.rank, self.size).T

    def leverage(self) -> np.ndarray:
        """Diagonal of Q Q^T in the shape of the weight, float64: the share of each entry's variance inside."""
        total = np.zeros(self.shape)
        for start in range(0, self.rank, 256):
            rows = np.eye(min(256, self.rank - start), self.rank, start)
            total += (self.decode(rows) ** 2).sum(axis=0)
        return total

    def check_shape(self, value: Array, shape: tuple[int, ...], name: str) -> None:
        """Raise ValueError, naming the argument, unless an array ends in this shape."""
        if tuple(value.shape[len(value.shape) - len(shape) :]) != shape:
            raise ValueError(f"{name} must have shape (..., {', '.join(map(str, shape))}), got {tuple(value.shape)}")

    def __repr__(self) -> str:
        return f"{type(self).__name__}(shape={self.shape}, rank={self.rank})"


class FullSubspace(Subspace):
    """All weights of a shape: nothing is restricted.

    Args:
        shape: of the weight.
        rows: number of outputs, where that is not the first dimension (transposed convolutions).
    """

    def __init__(self, shape: tuple[int, ...], rows: int | None = None) -> None:
        self.shape, self._rows = tuple(shape), rows
        self.rank = self.size

    @property
    def rows(self) -> int:
        return super().rows if self._rows is None else self._rows

    def encode(self, w: Shaped[Array, "*w"]) -> Shaped[Array, "*batch {self.rank}"]:
        self.check_shape(w, self.shape, "w")
        return w.reshape((*w.shape[: w.ndim - len(self.shape)], self.rank))

    def decode(self, beta: Shaped[Array, "*batch rank"]) -> Shaped[Array, "*w"]:
        self.check_shape(beta, (self.rank,), "beta")
        return beta.reshape(beta.shape[:-1] + self.shape)

    def leverage(self) -> np.ndarray:
        return np.ones(self.shape)


class ZeroSubspace(Subspace):
    """Only the zero weight: all of it is residual."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = tuple(shape)
        self.rank = 0

    def encode(self, w: Shaped[Array, "*w"]) -> Shaped[Array, "*batch {self.rank}"]:
        self.check_shape(w, self.shape, "w")
        return (w * 0.0).reshape((*w.shape[: w.ndim - len(self.shape)], self.size))[..., :0]

    def decode(self, beta: Shaped[Array, "*batch rank"]) -> Shaped[Array, "*w"]:
        self.check_shape(beta, (0,), "beta")
        zero = array_namespace(beta).sum(beta, axis=-1)
        return zero.reshape(zero.shape + (1,) * len(self.shape)) + constant(np.zeros(self.shape), beta)


class DenseSubspace(Subspace):
    """A subspace given by your own matrix, whose columns span it.

    Args:
        shape: of the weight.
        columns: (n, k), any spanning set, n = prod(shape) row-major; it is orthonormalised, dependent columns drop out.
    """

    def __init__(self, shape: tuple[int, ...], columns: np.ndarray) -> None:
        self.shape = tuple(shape)
        columns = float64_array(columns, "columns", COMPLEX_COLUMNS)
        if columns.ndim != 2 or columns.shape[0] != self.size:
            raise ValueError(f"columns must have shape ({self.size}, k) for weights {self.shape}, got {columns.shape}")
        if not np.isfinite(columns).all():
            raise ValueError("columns must be finite, got NaN or infinite values")
        u, s, _ = np.linalg.svd(columns, full_matrices=False)
        self._q = frozen(u[:, s > 1e-10 * max(1.0, float(s.max(initial=0.0)))])
        self.rank = self._q.shape[1]

    def encode(self, w: Shaped[Array, "*w"]) -> Shaped[Array, "*batch {self.rank}"]:
        self.check_shape(w, self.shape, "w")
        return w.reshape((*w.shape[: w.ndim - len(self.shape)], self.size)) @ fixed(self._q, w)

    def decode(self, beta: Shaped[Array, "*batch rank"]) -> Shaped[Array, "*w"]:
        self.check_shape(beta, (self.rank,), "beta")
        q = fixed(self._q, beta)
        # The same matrix in both products: XLA keeps one of it, and reads that from the cache.
        w = q @ beta if beta.ndim == 1 else beta @ array_namespace(beta).matrix_transpose(q)
        return w.reshape(beta.shape[:-1] + self.shape)


class EquivariantSubspace(Subspace):
    """Equivariant linear maps between two representations of one group (paper, Section 3).

    The basis is kept only for each pair of distinct terms; multiplicities tile it:
    W_ij = sum_k beta_k (m_out x m_in) (x) Q_k (d_out x d_in).

    Args:
        rep_in: bound representation `rep(G)` of the input, or None for a bias: the invariant vectors of rep_out.
        rep_out: bound representation of the output.

    Attributes:
        shape: (rep_out.size, rep_in.size), or (rep_out.size,) for a bias.
        bases: (term of rep_out, term of rep_in) -> orthonormal Q_k, (d_out * d_in, k), in the order of the coordinates.

    Raises:
        TypeError, ValueError: if a representation is not bound or the groups differ.
    """

    def __init__(self, rep_in: Representation | None, rep_out: Representation) -> None:
        bias = rep_in is None
        if rep_in is None:
            check_bound(rep_out=rep_out)
            rep_in = Scalar(rep_out.group)
        check_bound(rep_in=rep_in, rep_out=rep_out)
        self.rep_in, self.rep_out = rep_in, rep_out
        self.shape = (rep_out.size,) if bias else (rep_out.size, rep_in.size)
        self._rows, self._columns = Layout(rep_out), Layout(rep_in)
        pairs = product(self._rows.copies, self._columns.copies)
        self._take({(o, i): term_basis(rep_out.group, o, i) for o, i in pairs})

    def _take(self, bases: Bases) -> None:
        self.bases = bases
        # Terms are found by their factors, which takes longer than a small product: not in each encode and decode.
        out, into = self._rows, self._columns
        self._pairs = [
            (out.copies[o], out.sizes[o], [(into.copies[i], into.sizes[i], bases[o, i]) for i in into.copies])
            for o in out.copies
        ]
        self.rank = sum(self.copies(pair) * q.shape[1] for pair, q in bases.items())

    def copies(self, pair: tuple[Term, Term]) -> int:
        """How often the basis of a pair of terms (out, in) is repeated."""
        return self._rows.copies[pair[0]] * self._columns.copies[pair[1]]

    def with_bases(self, bases: Bases) -> EquivariantSubspace:
        """The same with other maps for each pair of terms."""
        new = copy(self)
        new._take(bases)
        return new

    def encode(self, w: Shaped[Array, "*w"]) -> Shaped[Array, "*batch {self.rank}"]:
        self.check_shape(w, self.shape, "w")
        xp = array_namespace(w)
        lead = tuple(w.shape[: w.ndim - len(self.shape)])
        w = w.reshape((*lead, self._rows.size, self._columns.size))
        parts = []
        for (mo, do, columns), rows in zip(self._pairs, self._rows.split(w, -2).values(), strict=True):
            for (mi, di, q), block in zip(columns, self._columns.split(rows, -1).values(), strict=True):
                if q.shape[1] == 0:
                    continue
                block = xp.moveaxis(block.reshape((*lead, mo, do, mi, di)), -2, -3)
                beta = block.reshape((*lead, mo * mi, do * di)) @ fixed(q, w)
                parts.append(beta.reshape((*lead, mo * mi * q.shape[1])))
        if not parts:
            return (w * 0.0).reshape((*lead, self.size))[..., :0]
        return xp.concat(parts, axis=-1)

    def decode(self, beta: Shaped[Array, "*batch rank"]) -> Shaped[Array, "*w"]:
        self.check_shape(beta, (self.rank,), "beta")
        xp = array_namespace(beta)
        lead = tuple(beta.shape[:-1])
        start, rows = 0, []
        for mo, do, pairs in self._pairs:
            columns = []
            for mi, di, q in pairs:
                r = q.shape[1]
                part = beta[..., start : start + mo * mi * r].reshape((*lead, mo, mi, r))
                start += mo * mi * r
                block = (part @ xp.matrix_transpose(fixed(q, beta))).reshape((*lead, mo, mi, do, di))
                columns.append(xp.moveaxis(block, -2, -3).reshape((*lead, mo * do, mi * di)))
            rows.append(self._columns.merge(dict(zip(self._columns.copies, columns, strict=True)), -1))
        return self._rows.merge(dict(zip(self._rows.copies, rows, strict=True)), -2).reshape(lead + self.shape)

    def leverage(self) -> np.ndarray:
        rows = {}
        for o, mo in self._rows.copies.items():
            columns = {}
            for i, mi in self._columns.copies.items():
                block = (self.bases[o, i] ** 2).sum(axis=1).reshape(self._rows.sizes[o], self._columns.sizes[i])
                columns[i] = np.tile(block, (mo, mi))
            rows[o] = self._columns.merge(columns, -1)
        return self._rows.merge(rows, -2).reshape(self.shape)


class Layout:
    """Where the copies of each term stand along one axis; splits an axis by term and puts it together again."""

    def __init__(self, rep: Representation) -> None:
        self.blocks: tuple[Block, ...] = rep.blocks
        self.size = rep.size
        self.copies: dict[Term, int] = {}
        self.sizes: dict[Term, int] = {}
        where: dict[Term, list[slice]] = {}
        self._pieces: list[tuple[Term, slice]] = []  # of each block, where it stands among the copies of its term
        for b in rep.blocks:
            start = self.copies.get(b.term, 0)
            self._pieces.append((b.term, slice(start * b.size, (start + b.count) * b.size)))
            self.copies[b.term] = start + b.count
            self.sizes[b.term] = b.size
            where.setdefault(b.term, []).append(slice(b.offset, b.stop))
        self._where = list(where.items())

    def split(self, x: Array, axis: int) -> dict[Term, Array]:
        """The copies of each term, in the order of `copies`."""
        rest = (slice(None),) * (-axis - 1)
        parts = {term: [x[(..., place, *rest)] for place in places] for term, places in self._where}
        return {t: p[0] if len(p) == 1 else array_namespace(x).concat(p, axis=axis) for t, p in parts.items()}

    def merge(self, parts: dict[Term, Array], axis: int) -> Array:
        rest = (slice(None),) * (-axis - 1)
        if len(self._pieces) == len(parts):
            pieces = [parts[term] for term, _ in self._pieces]
        else:
            pieces = [parts[term][(..., place, *rest)] for term, place in self._pieces]
        return pieces[0] if len(pieces) == 1 else array_namespace(pieces[0]).concat(pieces, axis=axis)
