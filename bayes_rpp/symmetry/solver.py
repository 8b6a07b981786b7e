"""Equivariant maps: an orthonormal basis of {W : rho_out(g) W = W rho_in(g) for all g}.

Row-major, vec(W) = W.reshape(-1) is invariant under rho_out (x) rho_in^*, so everything reduces to invariant tensors of
a product of factors. Each case takes the cheapest exact way; every result is checked against all generators.
"""

from __future__ import annotations

import threading
from functools import reduce
from itertools import product as cartesian
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, issparse
from scipy.sparse.csgraph import connected_components

from bayes_rpp.symmetry.constraints import (
    Operator,
    SolverError,
    check_memory,
    constraints_of,
    kron_apply,
    null_space,
    random_range,
)
from bayes_rpp.symmetry.finite import is_permutation
from bayes_rpp.symmetry.groups import Group
from bayes_rpp.symmetry.invariants import classical_invariants
from bayes_rpp.symmetry.representations import Factor, Representation, Term, kronecker, term_name

Array = NDArray[np.float64]
TOLERANCE = 1e-10
_cache: dict[Any, Array] = {}
_lock = threading.Lock()


def equivariant_basis(rep_in: Representation, rep_out: Representation) -> Array:
    """Orthonormal basis Q of the equivariant linear maps, dense.

    Args:
        rep_in, rep_out: representations bound to the same group, `rep(G)`.

    Returns:
        Q, shape (n_out * n_in, r), float64, so that `(Q @ beta).reshape(n_out, n_in)` is equivariant for any beta.

    Raises:
        TypeError, ValueError: if a representation is not bound or the groups differ.
        SolverError: if the residual or the orthonormality is worse than 1e-10.
    """
    check_bound(rep_in=rep_in, rep_out=rep_out)
    n_out, n_in = rep_out.size, rep_in.size
    columns = []
    pairs = [(o, i, term_basis(rep_in.group, o, i)) for o in rep_out.types for i in rep_in.types]
    rank = sum(len(rep_out.types[o]) * len(rep_in.types[i]) * q.shape[1] for o, i, q in pairs)
    check_memory(n_out * n_in, rank)
    for o, i, q in pairs:
        rows, cols = rep_out.types[o], rep_in.types[i]
        for row in rows:
            for col in cols:
                block = np.zeros((n_out, n_in, q.shape[1]))
                block[np.ix_(row, col)] = q.reshape(len(row), len(col), -1)
                columns.append(block.reshape(n_out * n_in, -1))
    return np.concatenate(columns, axis=1) if columns else np.zeros((n_out * n_in, 0))


def check_bound(**reps: Representation) -> None:
    for name, rep in reps.items():
        if not isinstance(rep, Representation):
            raise TypeError(f"{name} must be a representation bound to a group, got {rep!r}; rep(G) would do")
    groups = {name: rep.group for name, rep in reps.items()}
    if len(set(groups.values())) > 1:
        raise ValueError(f"rep_in and rep_out must belong to one group, got {groups}")


def term_basis(group: Group, out: Term, into: Term) -> Array:
    """Basis of the equivariant maps between two single terms, shape (d_out * d_in, r); cached, read-only."""
    return invariants(group, out + tuple(f.dualised for f in into))


def invariants(group: Group, factors: Term) -> Array:
    """Orthonormal basis of the invariant tensors of a product of factors, shape (prod of sizes, r).

    Cached by the content of the group and of the factors' matrices.
    """
    key = (group.content, tuple(_factor_content(group, f) for f in factors))
    with _lock:
        if key in _cache:
            return _cache[key]
    q = _solve(group, factors)
    verify(group, factors, q)
    q.setflags(write=False)
    with _lock:
        return _cache.setdefault(key, q)


def _factor_content(group: Group, f: Factor) -> Any:
    if f.kind in ("vector", "det", "regular"):
        return (f.kind, f.dual, f.on)
    maps = [f.derivative(group, a).tobytes() for a in group.lie_algebra]
    return (f.kind, *maps, *[f.matrix(group, h).tobytes() for h in group.discrete_generators], f.size(group))


def _solve(group: Group, factors: Term) -> Array:
    sizes = [f.size(group) for f in factors]
    d = int(np.prod(sizes, dtype=np.int64))
    natural = all(f.kind in ("vector", "det") for f in factors)
    if group.factors and natural:
        return _product_invariants(group, factors)
    if group.is_discrete:
        generators = [[f.operator(group, h) for f in factors] for h in group.discrete_generators]
        if all(issparse(m) or is_permutation(np.abs(m)) for ms in generators for m in ms):  # sparse: Regular
            return _orbits(generators, sizes)
    if group.classical and natural and all(f.on is None for f in factors):
        vectors = [f.dual for f in factors if f.kind == "vector"]
        q = classical_invariants(*group.classical, vectors, sum(f.kind == "det" for f in factors))
        if q is not None:
            return q
    if group.is_discrete and group.order <= 1000:
        images = [[f.operator(group, g) for f in factors] for g in group.elements]
        return random_range(lambda x: np.mean([kron_apply(ms, x) for ms in images], axis=0), d)
    return null_space(constraints_of(group, factors), d)


def verify(group: Group, factors: Term, q: Array) -> None:
    """Raise SolverError unless every generator fixes q and its columns are orthonormal, to 1e-10."""
    if q.shape[1] == 0:
        return
    residual = max((float(np.abs(c(q)).max()) for c, _ in constraints_of(group, factors)), default=0.0)
    skew = float(np.abs(q.T @ q - np.eye(q.shape[1])).max())
    if not (residual < TOLERANCE and skew < TOLERANCE):
        raise SolverError(
            f"basis of rank {q.shape[1]} for {term_name(factors)} of {group}: residual {residual:.1e}, "
            f"|Q^T Q - I| {skew:.1e}; both must be below {TOLERANCE:.0e}"
        )


# --- signed permutations --------------------------------------------------------------------------------------------


def _images_and_signs(m: Operator) -> tuple[NDArray[np.int_], Array]:
    """Row and sign of the entry in each column of a signed permutation."""
    if issparse(m):
        column = m.tocsc()
        return column.indices, column.data
    images = np.argmax(np.abs(m), axis=0)
    return images, m[images, np.arange(len(images))]


def _orbits(generators: list[list[Operator]], sizes: list[int]) -> Array:
    """Invariants of signed permutations: one vector for each orbit of indices whose signs agree.

    Orbits of the double cover {(index, sign)}: an index that shares an orbit with its own negative drops out.
    """
    d = int(np.prod(sizes, dtype=np.int64))
    index = np.arange(d)
    edges_from, edges_to = [index[:0]], [index[:0]]
    for ms in generators:
        images, signs = zip(*map(_images_and_signs, ms), strict=True) if ms else ((), ())
        target = reduce(lambda a, b: (a[:, None] * len(b) + b).ravel(), images, np.zeros(1, dtype=np.int64))
        negative = reduce(lambda a, b: (a[:, None] * b).ravel(), signs, np.ones(1)) < 0
        edges_from += [index, index + d]
        edges_to += [target + d * negative, target + d * ~negative]
    i, j = np.concatenate(edges_from), np.concatenate(edges_to)
    graph = coo_array((np.ones(len(i), dtype=np.int8), (i, j)), shape=(2 * d, 2 * d))
    _, label = connected_components(graph, directed=False)
    plus, minus = label[:d], label[d:]
    consistent = plus != minus
    orbit = np.minimum(plus, minus)[consistent]
    names, column, counts = np.unique(orbit, return_inverse=True, return_counts=True)
    check_memory(d, len(names))
    q = np.zeros((d, len(names)))
    sign = np.where(plus < minus, 1.0, -1.0)[consistent]
    q[np.flatnonzero(consistent), column] = sign / np.sqrt(counts[column])
    return q


# --- products of groups ---------------------------------------------------------------------------------------------


def _product_invariants(group: Group, factors: Term) -> Array:
    """Each vector slot holds the vectors of one factor group; for each assignment the invariants are a product."""
    slots = [f for f in factors if f.kind == "vector"]
    dets = [f for f in factors if f.kind == "det"]
    choices = [range(len(group.factors)) if f.on is None else [f.on] for f in slots]
    shape = [f.size(group) for f in slots]
    starts = [[group.slices[a].start if f.on is None else 0 for a in range(len(group.factors))] for f in slots]
    found: list[tuple[NDArray[np.int_], Array]] = []
    for assignment in cartesian(*choices):
        parts, order, widths = [], [], []
        for a, part in enumerate(group.factors):
            mine = [k for k, b in enumerate(assignment) if b == a]
            sub = tuple(Factor("vector", slots[k].dual) for k in mine)
            sub += tuple(Factor("det", f.dual) for f in dets if f.on is None or f.on == a)
            parts.append(invariants(part, sub))
            order += mine
            widths += [part.dim] * len(mine)
        q = kronecker(parts)
        if q.shape[1] == 0:
            continue
        back = np.argsort(order)
        t = q.reshape(*widths, q.shape[1]).transpose(*back, len(order)).reshape(-1, q.shape[1])
        ranges = [np.arange(group.factors[a].dim) + starts[k][a] for k, a in enumerate(assignment)]
        where = np.ravel_multi_index(np.ix_(*ranges), shape).ravel() if ranges else np.zeros(1, dtype=np.int64)
        found.append((where, t))
    d, rank = int(np.prod(shape, dtype=np.int64)), sum(t.shape[1] for _, t in found)
    check_memory(d, rank)
    result = np.zeros((d, rank))
    column = 0
    for where, t in found:
        result[where, column : column + t.shape[1]] = t
        column += t.shape[1]
    return result
