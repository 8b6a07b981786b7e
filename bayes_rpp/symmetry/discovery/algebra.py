"""Lie algebras near a span of matrices that is known with noise only.

The spans of k matrices form a Grassmannian, the algebras among them a variety on it: those whose brackets stay inside.
In the chart E + T P of a span with orthonormal basis E, P that of its complement, the part of the brackets outside is
F(T) = F + J T + O(T^2), and the nearest algebra is found by Gauss-Newton steps on |F|^2 + lambda |T - T_0|^2, T_0 the
given span, while lambda goes to zero.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import cho_factor, cho_solve

from bayes_rpp.symmetry.discovery.ideals import structure_constants

Array = NDArray[np.float64]
CLOSED = 1e-9  # a defect that is none
FAR = 0.6  # sine of the largest angle to an algebra that is near
STEPS = 60
LARGEST = 2500  # unknowns of a search


def bracket_defect(generators: ArrayLike) -> float:
    """How far a span of matrices is from a Lie algebra.

    Args:
        generators: (k, n, n), whose span is looked at.

    Returns:
        The root mean square, over pairs of an orthonormal basis (in the Frobenius norm), of the part of the bracket
        [A, B] that lies outside the span; it depends on the span alone. 0 for a Lie algebra.
    """
    e = orthonormal(generators)
    if len(e) < 2:
        return 0.0
    flat, (i, j) = e.reshape(len(e), -1), np.triu_indices(len(e), 1)
    b = (e[i] @ e[j] - e[j] @ e[i]).reshape(len(i), -1)
    return float(np.linalg.norm(b - (b @ flat.T) @ flat) / np.sqrt(len(i)))


def orthonormal(generators: ArrayLike, rtol: float = 1e-9) -> Array:
    """Orthonormal basis (r, n, n), in the Frobenius norm, of the span of (k, n, n).

    As near to the generators as one can be (the polar factor), where they are independent.
    """
    a = np.asarray(generators, dtype=np.float64)
    u, s, vt = np.linalg.svd(a.reshape(len(a), a.shape[-1] ** 2), full_matrices=False)
    keep = s > rtol * s.max(initial=0.0)
    basis = u @ vt if keep.all() and len(s) == len(a) else vt[keep]
    return np.asarray(basis).reshape(-1, *a.shape[1:])


def span_distance(a: ArrayLike, b: ArrayLike) -> float:
    """Root mean square sine of the principal angles between two spans (k, n, n); 1 where their dimensions differ."""
    p, q = (orthonormal(x).reshape(len(np.asarray(x)), -1) if len(np.asarray(x)) else None for x in (a, b))
    if p is None or q is None or len(p) != len(q):
        return float(p is not q)
    return float(np.linalg.norm(p - (p @ q.T) @ q) / np.sqrt(len(p)))


def nearest_algebra(
    generators: ArrayLike, weights: ArrayLike | None = None, *, within: ArrayLike | None = None
) -> Array | None:
    """The Lie algebra nearest to a span of matrices.

    Args:
        generators: (k, n, n), independent.
        weights: (k,) how well each generator is known: its deviation counts so many times. None: all alike.
        within: (m, n, n) basis of a Lie algebra in which the answer lies, and onto which the generators are projected.
            None: so(n) if all generators are antisymmetric, sl(n) if all are traceless, else gl(n).

    Returns:
        (k, n, n) orthonormal basis of a Lie algebra of the same dimension, with a defect below 1e-9; None where none
        is near: the search ended at brackets that do not close, or at a largest angle to the span above 37 degrees.
    """
    given = np.asarray(generators, dtype=np.float64)
    k, n = len(given), given.shape[-1]
    if k == 0:
        return given.reshape(0, n, n)
    ambient = _ambient(given) if within is None else orthonormal(within)
    flat = ambient.reshape(len(ambient), -1)
    start = given.reshape(k, -1) @ flat.T
    lengths = np.linalg.norm(given.reshape(k, -1), axis=1, keepdims=True)
    if k > len(flat) or np.linalg.svd(start / lengths)[1].min() < 1e-6:
        return None
    start = _polar(start / lengths)
    w = np.ones(k) if weights is None else np.array(weights, dtype=np.float64)
    w = w / w.mean()
    found = start if k in (1, len(flat)) else _search(start, structure_constants(ambient), w)
    if found is None or np.linalg.svd(found @ start.T)[1].min() < np.sqrt(1 - FAR**2):
        return None
    basis = np.asarray((found @ flat).reshape(k, n, n))
    return basis if bracket_defect(basis) < CLOSED else None


def _ambient(a: Array) -> Array:
    """Orthonormal basis of the smallest of so(n), sl(n), gl(n) that holds all of a."""
    n, size = a.shape[-1], np.abs(a).max()
    units = np.eye(n * n).reshape(-1, n, n)
    if np.abs(a + a.swapaxes(1, 2)).max() <= 1e-10 * size:
        return antisymmetric(n)
    if np.abs(np.trace(a, axis1=1, axis2=2)).max() <= 1e-10 * size:
        return orthonormal(units - np.trace(units, axis1=1, axis2=2)[:, None, None] * np.eye(n) / n)
    return units


def antisymmetric(n: int) -> Array:
    """Orthonormal basis of so(n)."""
    a = np.zeros((n * (n - 1) // 2, n, n))
    for one, (i, j) in zip(a, combinations(range(n), 2), strict=True):
        one[j, i], one[i, j] = np.sqrt(0.5), -np.sqrt(0.5)
    return a


def _polar(a: Array) -> Array:
    u, _, vt = np.linalg.svd(a, full_matrices=False)
    return np.asarray(u @ vt)


def _search(start: Array, f: Array, weights: Array) -> Array | None:
    """Coordinates (k, m) of an algebra near those of a span, orthonormal."""
    k, m = start.shape
    if k * (m - k) > LARGEST:
        return None
    pairs = np.array(list(combinations(range(k), 2)))
    e, penalty = start, 0.1
    scale = np.repeat(weights, m - k)
    for _ in range(STEPS):
        p = np.linalg.svd(e)[2][k:]
        moving = np.einsum("abc,jb->jac", f, e)  # [., e_j]
        brackets = np.einsum("ia,jac->ijc", e, moving)
        inside, outside = brackets @ e.T, brackets @ p.T
        residual = outside[pairs[:, 0], pairs[:, 1]]
        if np.linalg.norm(residual) < 1e-13 * len(pairs):
            break
        jacobian = _jacobian(pairs, np.einsum("pa,jac,qc->jqp", p, moving, p), inside)
        target = np.linalg.solve(start @ e.T, start @ p.T).ravel()
        normal = jacobian.T @ jacobian + penalty * np.diag(scale)
        t = cho_solve(cho_factor(normal), penalty * scale * target - jacobian.T @ residual.ravel())
        t *= min(1.0, 0.5 / max(float(np.linalg.norm(t)), 1e-300) * np.sqrt(k))
        e = _polar(e + t.reshape(k, -1) @ p)
        if np.linalg.svd(start @ e.T)[1].min() < 0.1:
            return None
        penalty = max(0.4 * penalty, 1e-12)
    return e


def _jacobian(pairs: NDArray[np.int_], moved: Array, inside: Array) -> Array:
    """d F[pair, q] / d T[l, p]; moved[j, q, p] is the part along p_q of [p_p, e_j]."""
    k, free = len(moved), moved.shape[1]
    j = np.zeros((len(pairs), free, k, free))
    for row, (a, b) in zip(j, pairs, strict=True):
        row[:, a] += moved[b]
        row[:, b] -= moved[a]
        row[np.arange(free), :, np.arange(free)] -= inside[a, b]
    return j.reshape(len(pairs) * free, k * free)
