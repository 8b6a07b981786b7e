"""Terms of representations as a group sees them: which are alike, which it moves, which it only permutes."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from bayes_rpp.symmetry import finite
from bayes_rpp.symmetry.groups import Group
from bayes_rpp.symmetry.representations import Factor, Term


def signature(term: Term, group: Group) -> tuple[Factor, ...]:
    """Factors in order, without those that cancel: a determinant and its dual, pairs of determinants that are 1 or -1.
    Duals are dropped where V* = V."""
    kept = [f for f in term if f.kind != "det"]
    if group.is_orthogonal:
        kept = [Factor(f.kind, False, f.on, f.rho, f.name, f.rep) if f.kind == "vector" else f for f in kept]
    dets: list[Factor] = []
    for on in dict.fromkeys(f.on for f in term if f.kind == "det"):
        net = sum(-1 if f.dual else 1 for f in term if f.kind == "det" and f.on == on)
        net = net % 2 if group.is_unimodular else net
        dets += [Factor("det", net < 0, on)] * abs(net)
    return tuple(kept) + tuple(dets)


def alike(a: Term, b: Term, group: Group) -> bool:
    """Whether two terms are the same representation of the group, written in two ways, such as V and V* of O(n)."""
    return a == b or signature(a, group) == signature(b, group)


def is_moved(group: Group, term: Term) -> bool:
    """Whether any element acts on the term, other than as the identity."""
    # A Kronecker product is the identity only if its factors are multiples of it, c_i I with prod c_i = 1; a Kronecker
    # sum is zero only if sum c_i = 0.
    for a in group.lie_algebra:
        multiples = [_multiple(f.derivative(group, a)) for f in term]
        if any(c is None for c in multiples) or abs(sum(multiples)) > 1e-12:  # type: ignore[arg-type]
            return True
    for h in group.discrete_generators:
        multiples = [_multiple(f.matrix(group, h)) for f in term]
        if any(c is None for c in multiples) or abs(math.prod(multiples) - 1) > 1e-12:  # type: ignore[arg-type]
            return True
    return False


def _multiple(m: NDArray) -> float | None:
    """c of c I; None for other matrices."""
    return float(m[0, 0]) if np.allclose(m, m[0, 0] * np.eye(len(m)), rtol=0, atol=1e-12) else None


def is_permutation(group: Group, term: Term) -> bool:
    """Whether the group only permutes the entries of this term, so that any pointwise function is equivariant."""
    if not all((group if f.on is None else group.factors[f.on]).is_discrete for f in term):
        return False
    return all(finite.is_permutation(f.matrix(group, h)) for f in term for h in group.discrete_generators)
