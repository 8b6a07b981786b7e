"""The span of any layer that is linear in its parameters, vec(W) = T theta, by its orthonormal basis Q.

A prior on theta is not a prior on W: |W|^2 = theta^T G theta with the Gram matrix G = T^T T. So G is factorised, and
Q = T V L^(-1/2) with G = V L V^T. Columns of T that share no entry of W do not meet in G: it is factorised block by
block, and Q is kept and multiplied block by block.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from bayes_rpp._arrays import Array, array_namespace, frozen, whole_number
from bayes_rpp._given import float64_array, real_array
from bayes_rpp._types import Shaped
from bayes_rpp.engines.libraries import fixed, fixed_indices
from bayes_rpp.priors.subspaces.base import COMPLEX_COLUMNS, Subspace

RANK_TOLERANCE = 1e-6  # of the largest singular value of a block: columns read off float32 constants depend so nearly


class SpanSubspace(Subspace):
    """Weights in the span of given columns, most of whose entries are zero.

    `SpanSubspace.of(layer)` reads the columns off a layer of torch or Flax, `SpanSubspace.tied(labels)` makes entries
    equal, `SpanSubspace.masked(mask)` leaves only some free.

    Args:
        shape: of the weight.
        columns: (n, k) array or scipy sparse array, any spanning set, n = prod(shape) row-major. Dependent columns drop
            out.

    Attributes:
        bias: of `of(layer)`: the subspace of the layer's bias, shape (outputs,), or None if it has none.

    Raises:
        ValueError: if columns has another shape or values that are not finite.
    """

    bias: SpanSubspace | None = None

    def __init__(self, shape: Sequence[int], columns: Any) -> None:
        self.shape = tuple(int(n) for n in shape)
        if sparse.issparse(columns):  # checked where numbers are; whole, it may not fit the memory
            columns = sparse.csc_array(columns)
            columns.data = float64_array(columns.data, "columns", COMPLEX_COLUMNS)
        else:
            columns = float64_array(columns, "columns", COMPLEX_COLUMNS)
        t = sparse.csc_array(columns, dtype=np.float64, copy=True)
        if t.ndim != 2 or t.shape[0] != self.size:
            raise ValueError(f"columns must have shape ({self.size}, k) for weights {self.shape}, got {t.shape}")
        if not np.isfinite(t.data).all():
            raise ValueError("columns must be finite, got NaN or infinite values")
        largest = abs(t).max(axis=0).toarray().ravel() if t.nnz else np.zeros(t.shape[1])
        t.data[np.abs(t.data) <= 1e-12 * np.repeat(largest, np.diff(t.indptr))] = 0.0
        t.eliminate_zeros()
        self._groups = [(frozen(rows), frozen(q)) for rows, q in _group(_blocks(t))]
        used = np.concatenate([rows.reshape(-1) for rows, _ in self._groups] or [np.zeros(0, dtype=np.int64)])
        # Where each entry of W stands among the used ones; the others stand at a zero behind them.
        place = np.full(self.size, len(used))
        place[used] = np.arange(len(used))
        self._used, self._place = frozen(used), frozen(place)
        self.rank = sum(rows.shape[0] * q.shape[-1] for rows, q in self._groups)

    @staticmethod
    def of(layer: Any, input_shape: int | Sequence[int] | None = None) -> SpanSubspace:
        """The linear maps from inputs to outputs that a layer can be, as matrices (outputs, inputs).

        Args:
            layer: torch module, or Flax module (linen or nnx), that is linear in its parameters, and affine in its
                input: the constant part is its bias. It is read off in float64, and checked.
            input_shape: of one example, without the batch: (channels, height, width) of a torch convolution, (height,
                width, channels) of a Flax one. None: asked of the layer (in_features, irreps_in, in_type).

        Returns:
            SpanSubspace of shape (outputs, inputs), both flattened row-major; `.bias` is that of its bias, or None.

        Raises:
            TypeError: if layer is no module of either library.
            ValueError: if it is not linear in its parameters or not affine in its input, with the size of the error; if
                input_shape is needed or does not fit; or if the matrix would be too large to read off.
        """
        weight, bias, shape = columns_of(layer, input_shape)
        span = SpanSubspace(shape, weight)
        if bias is not None:
            span.bias = SpanSubspace(shape[:1], bias)
        return span

    @staticmethod
    def tied(labels: Any) -> SpanSubspace:
        """Weights in which entries of the same label are equal, and those of negative labels zero.

        Args:
            labels: whole numbers, in the shape of the weight.
        """
        labels = real_array(labels, "labels")
        if not np.issubdtype(labels.dtype, np.integer):
            raise TypeError(f"labels must be whole numbers, got dtype {labels.dtype}")
        free = np.flatnonzero(labels.ravel() >= 0)
        _, column = np.unique(labels.ravel()[free], return_inverse=True)
        count = int(column.max(initial=-1)) + 1
        entries = sparse.coo_array((np.ones(len(free)), (free, column)), shape=(labels.size, count))
        return SpanSubspace(labels.shape, entries)

    @staticmethod
    def masked(mask: Any) -> SpanSubspace:
        """Weights that are zero where mask is False: locality (bands), Markov structure (block patterns).

        Args:
            mask: booleans, in the shape of the weight; see `band` and `block_pattern`.
        """
        mask = real_array(mask, "mask")
        if mask.dtype != bool:
            raise TypeError(f"mask must be booleans, got dtype {mask.dtype}")
        return SpanSubspace.tied(np.where(mask, np.arange(mask.size).reshape(mask.shape), -1))

    def encode(self, w: Shaped[Array, "*w"]) -> Shaped[Array, "*batch {self.rank}"]:
        self.check_shape(w, self.shape, "w")
        xp, lead = array_namespace(w), tuple(w.shape[: w.ndim - len(self.shape)])
        w = xp.take(w.reshape((*lead, self.size)), fixed_indices(self._used, w), axis=-1)
        parts, start = [w[..., :0]], 0
        for rows, q in self._groups:
            part = w[..., start : start + rows.size].reshape((*lead, *rows.shape))
            start += rows.size
            parts.append(self._inner(part, q).reshape((*lead, rows.shape[0] * q.shape[-1])))
        return xp.concat(parts, axis=-1)

    def decode(self, beta: Shaped[Array, "*batch rank"]) -> Shaped[Array, "*w"]:
        self.check_shape(beta, (self.rank,), "beta")
        xp, lead = array_namespace(beta), tuple(beta.shape[:-1])
        zero, start, parts = xp.sum(beta * 0.0, axis=-1)[..., None], 0, []
        for rows, q in self._groups:
            part = beta[..., start : start + rows.shape[0] * q.shape[-1]].reshape((*lead, rows.shape[0], q.shape[-1]))
            start += rows.shape[0] * q.shape[-1]
            parts.append(self._outer(part, q).reshape((*lead, rows.size)))
        return xp.take(xp.concat([*parts, zero], axis=-1), fixed_indices(self._place, beta), axis=-1).reshape(
            lead + self.shape
        )

    @staticmethod
    def _inner(part: Array, q: NDArray) -> Array:
        """(..., blocks, n) to (..., blocks, r) by q (n, r) of all blocks, or (blocks, n, r)."""
        if q.ndim == 2:
            return part @ fixed(q, part)
        return (part[..., None, :] @ fixed(q, part))[..., 0, :]

    @staticmethod
    def _outer(part: Array, q: NDArray) -> Array:
        if q.ndim == 2:
            return part @ array_namespace(part).matrix_transpose(fixed(q, part))
        return (part[..., None, :] @ array_namespace(part).matrix_transpose(fixed(q, part)))[..., 0, :]


def columns_of(layer: Any, input_shape: Any) -> tuple[Any, Any, tuple[int, int]]:
    """T of a layer's matrix and of its bias (None if it has none), and (outputs, inputs)."""
    homes = {base.__module__.split(".")[0] for base in type(layer).__mro__}
    if "torch" in homes:
        from bayes_rpp.priors.subspaces.torch import columns_of as read
    elif "flax" in homes:
        from bayes_rpp.priors.subspaces.flax import columns_of as read
    else:
        raise TypeError(f"layer must be a torch.nn.Module or a Flax module, got a {type(layer).__name__}")
    if input_shape is not None:
        input_shape = (input_shape,) if isinstance(input_shape, (int, np.integer)) else tuple(input_shape)
    return read(layer, input_shape)


def band(rows: int, columns: int, width: int) -> NDArray[np.bool_]:
    """Mask of a local layer: output i sees the inputs at most `width` from its place, both spread over one line."""
    whole_number(width, "width", 0)
    last = max(whole_number(rows, "rows"), whole_number(columns, "columns")) - 1
    distance = np.linspace(0, last, rows)[:, None] - np.linspace(0, last, columns)
    return np.abs(distance) <= width + 1e-9


def block_pattern(pattern: Any, rows: Sequence[int], columns: Sequence[int]) -> NDArray[np.bool_]:
    """Mask of a block structure: block (i, j), of rows[i] by columns[j] entries, is free where pattern[i, j] is True.

    Example: the Markov structure of a chain of states of size d, in which each depends on itself and the one before:
    `block_pattern(np.tril(np.triu(np.ones((T, T)), -1)), [d] * T, [d] * T)`.
    """
    free = real_array(pattern, "pattern").astype(bool)
    if free.shape != (len(rows), len(columns)):
        raise ValueError(
            f"pattern must have shape ({len(rows)}, {len(columns)}), a row for each of rows and a column for each of "
            f"columns, got {free.shape}"
        )
    return np.repeat(np.repeat(free, rows, axis=0), columns, axis=1)


def _blocks(t: sparse.csc_array) -> list[tuple[NDArray, NDArray]]:
    """(rows, Q) of each set of columns that share no row with the others."""
    meets = sparse.csr_array((np.ones(t.nnz), t.indices, t.indptr), shape=(t.shape[1], t.shape[0]))
    count, label = sparse.csgraph.connected_components(meets @ meets.T, directed=False)
    order = np.argsort(label, kind="stable")
    starts = np.searchsorted(label[order], np.arange(count + 1))
    found = []
    for a, b in itertools.pairwise(starts):
        members = order[a:b]
        if b - a == 1:  # most often: a column of its own
            where = slice(t.indptr[members[0]], t.indptr[members[0] + 1])
            rows, values = t.indices[where], t.data[where]
            if len(rows):
                found.append((rows, (values / np.linalg.norm(values))[:, None]))
            continue
        part = t[:, members]
        rows = np.unique(part.indices)
        found.append((rows, _orthonormal(part[rows].toarray())))
    return found


def _orthonormal(t: NDArray) -> NDArray:
    """Orthonormal basis of the columns' span, by the Gram matrix; the second pass takes its rounding out."""
    for limit in (RANK_TOLERANCE**2, 0.5):
        values, vectors = np.linalg.eigh(t.T @ t)
        kept = values > limit * values[-1]
        t = t @ (vectors[:, kept] / np.sqrt(values[kept]))
    return t


def _group(blocks: list[tuple[NDArray, NDArray]]) -> list[tuple[NDArray, NDArray]]:
    """Blocks of one size together: rows (blocks, n), and Q (n, r) where all share it, else (blocks, n, r)."""
    by_size: dict[tuple[int, ...], list[tuple[NDArray, NDArray]]] = {}
    for rows, q in blocks:
        by_size.setdefault(q.shape, []).append((rows, q))
    found = []
    for same in by_size.values():
        rows, q = np.stack([r for r, _ in same]), np.stack([q for _, q in same])
        found.append((rows, q[0] if (np.abs(q - q[0]) < 1e-14).all() else q))
    return found
