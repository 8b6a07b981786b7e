"""Representations: how a group acts on features.

A representation is an ordered sum of terms, each term a tensor product of factors (vectors, their duals,
determinants, ...). `Rep` is the recipe, free of any group; `rep(G)` binds it and gives matrices.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import block_diag

from bayes_rpp._arrays import frozen
from bayes_rpp.symmetry.factors import Factor, Term, check_custom, kronecker, tensor_term, term_name
from bayes_rpp.symmetry.groups import Group
from bayes_rpp.symmetry.matrices import real_matrices

__all__ = [
    "Block",
    "Factor",
    "Pseudoscalar",
    "Regular",
    "Rep",
    "Representation",
    "Scalar",
    "T",
    "Term",
    "Vector",
    "bind_rep",
    "kronecker",
    "tensor_term",
    "term_name",
]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Rep:
    """An ordered sum of (term, count); build it from Scalar, Vector, T(p, q), Regular ... with +, *, ** and .dual.

    `3 * a` is a + a + a, `a * b` the tensor product (row-major: index of a first), `a ** k` the k-th power.
    `Vector.on(i)` is the vector of factor i of a product group.
    """

    terms: tuple[tuple[Term, int], ...]

    def __call__(self, group: Group) -> Representation:
        """Bind to a group; raises ValueError if the group does not fit."""
        if not isinstance(group, Group):
            raise TypeError(f"group must be a Group, got a {type(group).__name__}")
        return Representation(self, group)

    def __add__(self, other: Rep) -> Rep:
        if not isinstance(other, Rep):
            return NotImplemented
        terms = list(self.terms)
        for term, count in other.terms:
            if terms and terms[-1][0] == term:
                terms[-1] = (term, terms[-1][1] + count)
            else:
                terms.append((term, count))
        return Rep(tuple(terms))

    def __mul__(self, other: Rep) -> Rep:
        if isinstance(other, (int, np.integer)):
            return other * self
        if not isinstance(other, Rep):
            return NotImplemented
        if self._one_dimensional:
            return Rep(tuple((self.terms[0][0] + t, n) for t, n in other.terms))
        right = other.terms[0][0] if other._single else (Factor("sum", rep=other),)
        return Rep(tuple((t + right, n) for t, n in self.terms))

    def __rmul__(self, count: int) -> Rep:
        if not isinstance(count, (int, np.integer)) or count < 1:
            raise ValueError(f"count of count * representation must be a whole number >= 1, got {count!r}")
        if len(self.terms) == 1:
            return Rep(((self.terms[0][0], self.terms[0][1] * int(count)),))
        return reduce(lambda a, b: a + b, [self] * int(count))

    def __pow__(self, k: int) -> Rep:
        if int(k) != k or k < 0:
            raise ValueError(f"k of representation ** k must be a whole number >= 0, got {k!r}")
        return reduce(lambda a, b: a * b, [self] * int(k), Scalar)

    @property
    def dual(self) -> Rep:
        return Rep(tuple((tuple(f.dualised for f in t), n) for t, n in self.terms))

    def on(self, index: int) -> Rep:
        """The same representation of factor `index` of a product group."""
        if int(index) != index or index < 0:
            raise ValueError(f"index of on(index) must be a whole number >= 0, got {index!r}")
        return Rep(tuple((tuple(_on(f, int(index)) for f in t), n) for t, n in self.terms))

    @staticmethod
    def custom(rho: Callable[[Array], ArrayLike], name: str = "") -> Rep:
        """A representation of your own: rho maps a (d, d) group matrix to a square matrix.

        Its derivative is taken numerically. `name` is what a saved file refers to it by.
        """
        if not callable(rho):
            raise TypeError(f"rho must be a function of a (d, d) matrix, got a {type(rho).__name__}")
        return Rep((((Factor("custom", rho=rho, name=name or getattr(rho, "__name__", "custom")),), 1),))

    @property
    def _single(self) -> bool:
        return len(self.terms) == 1 and self.terms[0][1] == 1

    @property
    def _one_dimensional(self) -> bool:
        return self._single and all(f.kind == "det" for f in self.terms[0][0])

    def __repr__(self) -> str:
        return " + ".join((f"{n} * " if n > 1 else "") + term_name(t) for t, n in self.terms)


def _on(f: Factor, index: int) -> Factor:
    if f.kind not in ("vector", "det", "regular"):
        raise ValueError(f"on({index}) must be of Vector, T(p, q), Pseudoscalar or Regular, got {f.name or f.kind}")
    return Factor(f.kind, f.dual, index)


def T(p: int, q: int = 0) -> Rep:
    """Tensors with p vector and q dual indices, size d^(p+q)."""
    if int(p) != p or int(q) != q or p < 0 or q < 0:
        raise ValueError(f"p and q of T(p, q) must be whole numbers >= 0, got {p!r} and {q!r}")
    return Rep(((tensor_term(int(p), int(q)), 1),))


Scalar = T(0)
Vector = T(1)
Pseudoscalar = Rep((((Factor("det"),), 1),))
Regular = Rep((((Factor("regular"),), 1),))


@dataclass(frozen=True)
class Block:
    """`count` consecutive copies of one term, starting at `offset`, each of size `size`."""

    term: Term
    count: int
    offset: int
    size: int

    @property
    def stop(self) -> int:
        return self.offset + self.count * self.size


def bind_rep(rep: Any, group: Group, name: str) -> Representation:
    """Bind an argument called `name`.

    Raises:
        TypeError, ValueError: naming the argument, if it is no representation or does not fit the group.
    """
    if not isinstance(rep, Rep):
        wanted = f"groups.parse_rep({rep!r})" if isinstance(rep, str) else "5 * Scalar + 5 * Vector"
        raise TypeError(f"{name} must be a representation, got {rep!r}; {wanted} would do")
    try:
        return rep(group)
    except ValueError as error:
        raise ValueError(f"{name} must fit the group {group}, got {rep}: {error}") from error


class Representation:
    """A representation bound to a group.

    Attributes:
        rep, group: what was bound.
        size: dimension of the space.
        blocks: the summands in the user's order.
    """

    def __init__(self, rep: Rep, group: Group) -> None:
        self.rep, self.group = rep, group
        blocks, offset = [], 0
        for term, count in rep.terms:
            d = int(np.prod([f.size(group) for f in term], dtype=np.int64))
            blocks.append(Block(term, count, offset, d))
            offset = blocks[-1].stop
        self.blocks: tuple[Block, ...] = tuple(blocks)
        self.size = offset
        for f in {f for term, _ in rep.terms for f in term if f.kind == "custom"}:
            check_custom(Factor("custom", rho=f.rho, name=f.name), group)

    def advice(self, columns: int) -> str:
        """How an error about so many columns ends, where they may have an index of each factor of a product."""
        sizes = [f.dim for f in self.group.factors]
        if len(sizes) < 2 or min(sizes) < 2 or columns % math.prod(sizes):
            return ""
        copies = columns // math.prod(sizes)
        product = " * ".join(f"Vector.on({k})" for k in range(len(sizes)))
        return f"; {f'{copies} * ' if copies > 1 else ''}{product}, with an index of each factor, would do"

    def __repr__(self) -> str:
        return f"({self.rep})({self.group})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Representation) and self.rep == other.rep and self.group == other.group

    def __hash__(self) -> int:
        return hash((self.rep, self.group))

    def rho(self, g: ArrayLike) -> Array:
        """Matrix of a group element: (d, d) -> (size, size), or (n, d, d) -> (n, size, size)."""
        g = self._checked(g, "g")
        many = g if g.ndim == 3 else g[None]
        found = np.zeros((len(many), self.size, self.size))
        for term, places in self.types.items():
            product = np.ones((len(many), 1, 1))
            for f in term:
                m = np.stack([f.matrix(self.group, one) for one in many])
                size = product.shape[1] * m.shape[1]
                product = np.einsum("nab,ncd->nacbd", product, m).reshape(-1, size, size)
            found[:, places[:, :, None], places[:, None, :]] = product[:, None]
        return found if g.ndim == 3 else found[0]

    def drho(self, a: ArrayLike) -> Array:
        """Matrix of a Lie algebra element: (d, d) -> (size, size), or (n, d, d) -> (n, size, size)."""
        a = self._checked(a, "A")
        if a.ndim == 3:
            return np.stack([self.drho(one) for one in a])

        def kronecker_sum(term: Term) -> Array:
            total = np.zeros((1, 1))
            for f in term:
                m = f.derivative(self.group, a)
                total = np.kron(total, np.eye(len(m))) + np.kron(np.eye(len(total)), m)
            return total

        if not self.blocks:
            return np.zeros((0, 0))
        return block_diag(*[m for b in self.blocks for m in [kronecker_sum(b.term)] * b.count])

    def _checked(self, g: ArrayLike, name: str) -> Array:
        g = real_matrices(g, name)
        d = self.group.dim
        if g.ndim not in (2, 3) or g.shape[-2:] != (d, d):
            raise ValueError(f"{name} must have shape ({d}, {d}) or (n, {d}, {d}) for {self.group}, got {g.shape}")
        return g

    @cached_property
    def types(self) -> dict[Term, NDArray[np.int_]]:
        """For each distinct term the positions of its copies, shape (copies, size of the term)."""
        found: dict[Term, list[Any]] = {}
        for b in self.blocks:
            found.setdefault(b.term, []).append(np.arange(b.offset, b.stop).reshape(b.count, b.size))
        return {term: frozen(np.concatenate(parts)) for term, parts in found.items()}
