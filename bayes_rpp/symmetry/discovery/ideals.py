"""How a Lie algebra of matrices is made up: its centre, and the simple ideals that commute."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
TOLERANCE = 1e-7
LARGEST = 30  # dimension of a semisimple algebra that is taken apart


@dataclass(frozen=True)
class Ideals:
    """Parts of a Lie algebra.

    Attributes:
        center: (c, n, n) basis of what commutes with all.
        simple: for each simple ideal a basis (k, n, n).
        derived: (r, n, n) basis of the span of all brackets.
        is_reductive: whether the algebra is the direct sum of `center` and `simple`; they are incomplete otherwise.
    """

    center: Array
    simple: tuple[Array, ...]
    derived: Array
    is_reductive: bool


def split_ideals(basis: Array) -> Ideals:
    """The ideals of a Lie algebra with an orthonormal basis (k, n, n), which must be closed."""
    k = len(basis)
    flat = basis.reshape(k, -1)
    f = structure_constants(basis)
    ad = f.transpose(0, 2, 1)  # ad[i] @ coordinates of x are those of [b_i, x]
    center = null_space(ad.reshape(-1, k)) if k else np.zeros((0, 0))
    derived = row_space(f.reshape(-1, k))
    killing = np.einsum("iab,jba->ij", ad, ad)
    inner = derived @ killing @ derived.T
    reductive = len(center) + len(derived) == k
    reductive = reductive and (not len(derived) or bool(np.abs(np.linalg.eigvalsh(inner)).min() > TOLERANCE))
    matrices = [(c @ flat).reshape(-1, *basis.shape[1:]) for c in (center, derived)]
    simple = _simple(matrices[1]) if reductive and len(derived) else ()
    return Ideals(matrices[0], simple, matrices[1], reductive)


def structure_constants(basis: Array) -> Array:
    """f (k, k, k) with [b_i, b_j] = sum_c f[i, j, c] b_c of an orthonormal basis (k, n, n)."""
    products = np.einsum("iab,jbc->ijac", basis, basis)
    return np.asarray(np.tensordot(products - products.swapaxes(0, 1), basis, ((2, 3), (1, 2))))


def null_space(a: Array, tolerance: float = TOLERANCE) -> Array:
    """Orthonormal rows that a (m, k) maps to zero."""
    _, s, vt = np.linalg.svd(a if len(a) else np.zeros((1, a.shape[1])))
    return np.asarray(vt[int((s > tolerance).sum()) :])


def row_space(a: Array, tolerance: float = TOLERANCE) -> Array:
    """Orthonormal basis of the rows of a (m, k)."""
    _, s, vt = np.linalg.svd(a, full_matrices=False)
    return np.asarray(vt[s > tolerance])


def commutant(a: Array) -> Array:
    """Orthonormal basis (r, n, n) of the matrices that commute with all of (k, n, n)."""
    n = a.shape[-1]
    eye = np.eye(n)
    rows = np.concatenate([np.kron(one, eye) - np.kron(eye, one.T) for one in a])
    return null_space(rows).reshape(-1, n, n)


def invariant_parts(a: Array, of: Array) -> list[Array]:
    """Orthonormal bases (d, n), as rows, of the spaces of equal eigenvalues, those of complex pairs together.

    Args:
        a: (n, n).
        of: (n, n) that says which eigenvalues are zero: its norm is the scale.
    """
    values, vectors = np.linalg.eig(a)
    left, found = list(range(len(values))), []
    scale = 1e-5 * max(float(np.linalg.norm(of)), 1e-300)
    while left:
        near = [
            i for i in left if min(abs(values[i] - values[left[0]]), abs(values[i] - values[left[0]].conj())) < scale
        ]
        left = [i for i in left if i not in near]
        both = np.concatenate([vectors[:, near].real, vectors[:, near].imag], axis=1)
        found.append(row_space(both.T, 1e-5))
    return found


def _simple(basis: Array) -> tuple[Array, ...]:
    """Simple ideals: the eigenspaces of a matrix that commutes with ad, as all are multiples of one on each."""
    k = len(basis)
    if k <= 5 or k > LARGEST:
        return (basis,)
    ad = structure_constants(basis).transpose(0, 2, 1)
    rng = np.random.default_rng(0)
    fields = commutant(np.tensordot(rng.normal(size=(2, k)), ad, 1))
    if len(fields) == 1:
        return (basis,)
    mixed = np.tensordot(rng.normal(size=len(fields)), fields, 1)
    flat = basis.reshape(k, -1)
    return tuple((part @ flat).reshape(-1, *basis.shape[1:]) for part in invariant_parts(mixed, mixed))
