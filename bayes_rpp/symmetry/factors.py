"""Factors of the terms of a representation: vectors, determinants, the regular one, functions of the user's."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import expm, logm
from scipy.sparse import csr_array

from bayes_rpp.symmetry.finite import Listing, Permutations
from bayes_rpp.symmetry.groups import Group
from bayes_rpp.symmetry.homomorphism import check_homomorphism, custom_matrix

if TYPE_CHECKING:
    from bayes_rpp.symmetry.representations import Rep

Array = NDArray[np.float64]
MAX_REGULAR = 10_000  # its matrices have 100 million entries, 0.8 GB


@dataclass(frozen=True)
class Factor:
    """One factor of a tensor product. `on` names a factor of a product group; None is the whole group."""

    kind: str  # "vector" | "det" | "regular" | "custom" | "sum"
    dual: bool = False
    on: int | None = None
    rho: Callable[[Array], ArrayLike] | None = None
    name: str = ""
    rep: Rep | None = None

    @property
    def dualised(self) -> Factor:
        if self.kind == "regular":  # orthogonal: its own dual
            return self
        if self.rep is not None:
            return Factor("sum", rep=self.rep.dual)
        return Factor(self.kind, not self.dual, self.on, self.rho, self.name)

    def size(self, group: Group) -> int:
        if self.kind == "det":
            return 1
        if self.kind == "regular":
            return len(_regular_listing(self._part(group)))
        if self.kind == "vector":
            return self._part(group).dim
        return self._matrix(group, np.eye(group.dim)).shape[0]

    def matrix(self, group: Group, g: Array) -> Array:
        """rho(g) of this factor, for one matrix g."""
        m = self._matrix(group, g)
        return np.asarray(np.linalg.inv(m).T) if self.dual else m

    def operator(self, group: Group, g: Array) -> Array | csr_array:
        """rho(g), sparse where it is a large permutation."""
        return _regular(self._part(group), self._cut(group, g)) if self.kind == "regular" else self.matrix(group, g)

    def derivative(self, group: Group, a: Array) -> Array:
        """drho(A) of this factor, for one matrix A of the Lie algebra."""
        part = self._cut(group, a)
        if self.kind == "vector":
            m = part
        elif self.kind == "det":
            m = np.array([[np.trace(part)]])
        elif self.rep is not None:
            m = self.rep(group).drho(a)
        else:
            # rho(exp(tA)) = exp(t drho(A)); the logarithm keeps full precision, a finite difference would not. A first
            # tiny t finds one that is small enough for the logarithm's main branch.
            t = 1e-4 / max(1.0, float(np.abs(a).max()))
            rough = float(np.linalg.norm(logm(self._matrix(group, expm(t * a))))) / t
            t = min(1000 * t, 0.5 / max(rough, 1e-300))
            m = np.real(logm(self._matrix(group, expm(t * a)))) / t
        return -m.T if self.dual else m

    def _part(self, group: Group) -> Group:
        if self.on is None:
            return group
        if not self.on < len(group.factors):
            count = len(group.factors) or "no"
            raise ValueError(f"on must be one of the {count} factors of {group}, got {self.on}")
        return group.factors[self.on]

    def _cut(self, group: Group, g: Array) -> Array:
        self._part(group)
        if self.on is None:
            return g
        s = group.slices[self.on]
        return g[s, s]

    def _matrix(self, group: Group, g: Array) -> Array:
        part = self._cut(group, g)
        if self.kind == "vector":
            return part
        if self.kind == "det":
            return np.array([[np.linalg.det(part)]])
        if self.kind == "regular":
            return np.asarray(_regular(self._part(group), part).toarray())
        if self.rep is not None:
            return self.rep(group).rho(g)
        assert self.rho is not None
        return custom_matrix(self.rho, g, f"the custom representation {self.name!r}")


def _regular_listing(group: Group) -> Listing | Permutations:
    if group.order > MAX_REGULAR or group.listing is None:
        if not group.is_discrete:
            _ = group.elements  # says so
        size = f"{group.order:,}" if group.order < math.inf else "infinitely many, or very many,"
        raise ValueError(
            f"Regular must be of a group of up to {MAX_REGULAR:,} elements, as it has an entry for each, got {group}, "
            f"which has {size} of them; a smaller group, or Vector and T(p), which take its generators alone, would do"
        )
    return group.listing


def _regular(group: Group, g: Array) -> csr_array:
    """The permutation of the elements x by x -> g x."""
    images = _regular_listing(group).images(g)
    if (images < 0).any():
        raise ValueError(f"g must be an element of {group}, got another matrix")
    size = len(images)
    return csr_array((np.ones(size), (images, np.arange(size))), shape=(size, size))


@lru_cache(maxsize=256)
def check_custom(f: Factor, group: Group) -> None:
    """Once for each function and group: representations are bound often."""
    check_homomorphism(
        lambda g: f.matrix(group, g), lambda a: f.derivative(group, a), group, f"the custom representation {f.name!r}"
    )


Term = tuple[Factor, ...]


def kronecker(matrices: list[Array]) -> Array:
    """Kronecker product of any number of matrices."""
    total: Array = np.eye(1)
    for m in matrices:
        total = np.asarray(np.kron(total, m), dtype=np.float64)
    return total


def term_name(term: Term) -> str:
    """Readable name of a term, such as T(2, 1)."""
    if not term:
        return "Scalar"
    p, q = sum(not f.dual for f in term), sum(f.dual for f in term)
    if all(f.kind == "vector" and f.on == term[0].on for f in term) and term == tensor_term(p, q, term[0].on):
        body = {(1, 0): "Vector"}.get((p, q), f"T({p})" if q == 0 else f"T({p}, {q})")
        return body + (f".on({term[0].on})" if term[0].on is not None else "")
    parts = []
    for f in term:
        base = {"vector": "Vector", "det": "Pseudoscalar", "regular": "Regular"}.get(f.kind, f.name or f"({f.rep})")
        parts.append(base + (".dual" if f.dual else "") + (f".on({f.on})" if f.on is not None else ""))
    return " * ".join(parts)


def tensor_term(p: int, q: int, on: int | None = None) -> Term:
    return (Factor("vector", on=on),) * p + (Factor("vector", dual=True, on=on),) * q
