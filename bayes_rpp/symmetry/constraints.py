"""What generators do to tensors, factor by factor, and the null spaces of such maps, without their matrices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from scipy.sparse.linalg import LinearOperator, cg

from bayes_rpp.symmetry.groups import Group
from bayes_rpp.symmetry.representations import Term

Array = NDArray[np.float64]
Operator = Any  # a matrix, or a sparse one
DENSE_LIMIT = 1000  # above, the null space is found without forming the constraint matrix
MAX_ENTRIES = 200_000_000  # 1.6 GB of float64


class SolverError(RuntimeError):
    """A basis could not be found to the required accuracy (1e-10)."""


def apply(m: Operator, t: Array, axis: int) -> Array:
    """One matrix on one axis of t, dense or sparse."""
    if not issparse(m):
        return np.moveaxis(np.tensordot(m, t, (1, axis)), 0, axis)
    moved = np.moveaxis(t, axis, 0)
    return np.moveaxis((m @ moved.reshape(len(moved), -1)).reshape(moved.shape), 0, axis)


def kron_apply(matrices: list[Operator], x: Array) -> Array:
    """(M_1 (x) ... (x) M_k) x for x of shape (D, b)."""
    shape = [m.shape[0] for m in matrices]
    t = x.reshape(*shape, -1)
    for axis, m in enumerate(matrices):
        t = apply(m, t, axis)
    return t.reshape(x.shape)


def kron_sum_apply(matrices: list[Array], x: Array) -> Array:
    shape = [len(m) for m in matrices]
    t = x.reshape(*shape, -1)
    total = np.zeros_like(t)
    for axis, m in enumerate(matrices):
        total += apply(m, t, axis)
    return total.reshape(x.shape)


Constraint = tuple[Callable[[Array], Array], Callable[[Array], Array]]


def constraints_of(group: Group, factors: Term) -> list[Constraint]:
    """For each generator the map C with C q = 0 on invariants, and its transpose."""

    def lie(ms: list[Array]) -> Constraint:
        transposed = [m.T for m in ms]
        return (lambda x: kron_sum_apply(ms, x)), (lambda x: kron_sum_apply(transposed, x))

    def discrete(ms: list[Operator]) -> Constraint:
        transposed = [m.T for m in ms]
        return (lambda x: kron_apply(ms, x) - x), (lambda x: kron_apply(transposed, x) - x)

    algebra = [lie([f.derivative(group, a) for f in factors]) for a in group.lie_algebra]
    return algebra + [discrete([f.operator(group, h) for f in factors]) for h in group.discrete_generators]


def null_space(constraints: list[Constraint], d: int) -> Array:
    if not constraints:
        check_memory(d, d)
        return np.eye(d)

    def normal(x: Array) -> Array:
        return sum(ct(c(x)) for c, ct in constraints)  # type: ignore[return-value]

    if d <= DENSE_LIMIT:
        values, vectors = np.linalg.eigh(normal(np.eye(d)))
        return np.ascontiguousarray(vectors[:, values < 1e-10 * max(1.0, values[-1])])

    operator = LinearOperator((d, d), matvec=lambda v: normal(v.reshape(d, 1)).ravel(), dtype=np.float64)

    def project(x: Array) -> Array:
        # x minus its part in the row space, which conjugate gradients finds on the consistent singular system.
        solved = [cg(operator, operator @ v, rtol=1e-14, atol=0.0, maxiter=2000)[0] for v in x.T]
        return x - np.stack(solved, axis=1)

    return random_range(project, d)


def random_range(project: Callable[[Array], Array], d: int) -> Array:
    """Orthonormal basis of the range of a projector, from a growing block of random vectors."""
    rng = np.random.default_rng(0)
    x = np.zeros((d, 0))
    block = 16
    while True:
        block = min(block, d)
        check_memory(d, block)
        x = np.concatenate([x, project(rng.normal(size=(d, block - x.shape[1])))], axis=1)
        u, s, _ = np.linalg.svd(x, full_matrices=False)
        rank = int((s > 1e-6 * np.sqrt(d)).sum())
        if rank < block or block == d:
            if rank == 0:
                return np.zeros((d, 0))
            return np.linalg.qr(project(u[:, :rank]))[0]
        block *= 2


def check_memory(d: int, rank: int) -> None:
    if d * rank > MAX_ENTRIES:
        raise SolverError(
            f"a dense basis of {d} x {rank} numbers would take {d * rank * 8 / 1e9:.0f} GB; "
            "smaller representations, or tensors of lower rank, would do"
        )
