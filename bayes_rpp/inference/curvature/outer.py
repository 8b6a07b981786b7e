"""Jacobians of a weight that each example meets once, as in a dense layer: there df_o/dW of an example is the outer
product of a gradient and of what enters the layer, and J J^T is an entrywise product of two small ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ROUNDING = 1e-13  # of the largest entry
COLUMNS = 16  # of a weight: with fewer J J^T is as cheap by itself
PIECES = 8


def add_gram(total: NDArray, jacobian: NDArray, factor: float) -> bool:
    """Add factor^2 J J^T to (n d, n d), for a Jacobian (n, d, rows, columns); False, and nothing is added, unless it
    is of outer products, and large enough."""
    n, d, rows, columns = jacobian.shape
    if columns < COLUMNS:
        return False
    size = max(1, n // PIECES)
    gradients, entering = np.empty((n, d, rows)), np.empty((n, columns))
    for start in range(0, n, size):  # where it is none, the first piece tells
        some = slice(start, start + size)
        piece = jacobian[some]
        squares = np.einsum("ndrc,ndrc->ndr", piece, piece).reshape(len(piece), -1)
        output, row = np.divmod(squares.argmax(axis=1), rows)
        longest = piece[np.arange(len(piece)), output, row]
        norms = np.linalg.norm(longest, axis=1, keepdims=True)
        entering[some] = longest / np.where(norms > 0, norms, 1.0)
        gradients[some] = np.matmul(piece, entering[some, None, :, None])[..., 0]
        off = gradients[some, ..., None] * entering[some, None, None]
        off -= piece
        if np.abs(off, out=off).max() > ROUNDING * max(norms.max(), 1e-300):
            return False
    gradients *= factor
    flat = gradients.reshape(n * d, rows)
    found = flat @ flat.T
    by_example = found.reshape(n, d, n, d)
    by_example *= (entering @ entering.T)[:, None, :, None]
    total += found
    return True
