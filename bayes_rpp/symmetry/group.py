"""Matrix groups: what acts on R^d, by its Lie algebra and its discrete generators.

A group is given by matrices alone: a basis of its Lie algebra, shape (k, d, d), for the part connected to the
identity, and further generators, shape (m, d, d), for the rest (Finzi, Welling and Wilson 2021, Theorem 1: a linear
map is equivariant exactly if it commutes with these finitely many matrices).
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayes_rpp._arrays import frozen
from bayes_rpp.symmetry.exact import exact_generators, is_orthogonal, is_skew, is_traceless, is_unimodular
from bayes_rpp.symmetry.exact_algebra import check_normal, exact_algebra
from bayes_rpp.symmetry.finite import Listing, Permutations, list_elements
from bayes_rpp.symmetry.matrices import is_whole, square_matrices
from bayes_rpp.symmetry.sampling import sample_elements

Array = NDArray[np.float64]
MAX_ELEMENTS = 50_000


class Group:
    """A group of real d x d matrices.

    Args:
        dim: d, the size of the matrices.
        lie_algebra: (k, d, d) basis of the Lie algebra; empty for a discrete group. Each matrix is kept with a largest
            entry of 1, as only the span matters.
        discrete_generators: (m, d, d) invertible matrices that generate the rest.
        name: shown in tables; never used to decide anything.
        exact: take the matrices as they are. Otherwise those that are orthogonal, of finite order, of determinant one
            or closed to single precision are mended, and what is so nearly, as rounded numbers are, is an error.

    Raises:
        ValueError: if a shape does not fit `dim`, a value is complex or not finite, a discrete generator is singular,
            or a matrix looks rounded.
    """

    def __init__(
        self,
        dim: int,
        lie_algebra: ArrayLike = (),
        discrete_generators: ArrayLike = (),
        *,
        name: str | None = None,
        exact: bool = False,
    ) -> None:
        if not is_whole(dim) or dim < 1:
            raise ValueError(f"dim must be a whole number >= 1, as a group acts on R^dim, got {dim!r}")
        self.dim = int(dim)
        algebra = square_matrices(lie_algebra, self.dim, "lie_algebra")
        algebra = algebra[np.abs(algebra).max(axis=(1, 2), initial=0.0) > 0]
        h = square_matrices(discrete_generators, self.dim, "discrete_generators")
        for k, one in enumerate(h):
            if np.linalg.cond(one) > 1e12:
                raise ValueError(f"discrete_generators[{k}] is singular; generators of a group must be invertible")
        if not exact:
            algebra = exact_algebra(algebra)
            h = exact_generators(h, algebra)
            check_normal(algebra, h)
        self.lie_algebra, self.discrete_generators = frozen(_normalized(algebra)), frozen(np.array(h))  # not the user's
        self.name = name or f"Group(dim={self.dim})"
        # (family, n) of the classical groups, whose invariants are known in closed form; set only in groups.py.
        self.classical: tuple[str, int] | None = None
        self.factors: tuple[Group, ...] = ()
        # What a file says of is_orthogonal and is_unimodular, where it differs; set only by what reads it.
        self.stated: tuple[bool, bool] | None = None

    def __repr__(self) -> str:
        return self.name

    def __mul__(self, other: Group) -> Group:
        """The direct product G1 x G2, acting on R^(d1 + d2) block by block.

        `Vector.on(0)` and `Vector.on(1)` are the vectors of one factor alone.
        """
        if not isinstance(other, Group):
            return NotImplemented
        return product_group(*(self.factors or (self,)), *(other.factors or (other,)))

    @property
    def slices(self) -> tuple[slice, ...]:
        """Where each factor of a product acts inside R^dim."""
        ends = np.cumsum([f.dim for f in self.factors])
        return tuple(slice(int(e) - f.dim, int(e)) for e, f in zip(ends, self.factors, strict=True))

    @property
    def content(self) -> tuple[Any, ...]:
        """Hashable content; two groups with the same matrices have the same content, whatever their names."""
        if self.factors:
            return tuple(f.content for f in self.factors)
        return (self.dim, self.classical, self.lie_algebra.tobytes(), self.discrete_generators.tobytes(), self.stated)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Group) and self.content == other.content

    def __hash__(self) -> int:
        return hash(self.content)

    @property
    def is_discrete(self) -> bool:
        return len(self.lie_algebra) == 0

    @property
    def is_trivial(self) -> bool:
        """Whether it has no generators: only the identity."""
        return self.is_discrete and not len(self.discrete_generators)

    @property
    def is_orthogonal(self) -> bool:
        """Whether every element is an orthogonal matrix (then the group is compact or dense in a compact one)."""
        if self.factors:
            return all(f.is_orthogonal for f in self.factors)
        return self.stated[0] if self.stated else is_skew(self.lie_algebra) and is_orthogonal(self.discrete_generators)

    @property
    def is_unimodular(self) -> bool:
        """Whether every element has determinant 1 or -1."""
        if self.factors:
            return all(f.is_unimodular for f in self.factors)
        return (
            self.stated[1]
            if self.stated
            else is_traceless(self.lie_algebra) and is_unimodular(self.discrete_generators)
        )

    @property
    def is_finite(self) -> bool:
        """Whether it has no Lie algebra, and at most 50,000 elements."""
        return self.order <= MAX_ELEMENTS

    @cached_property
    def order(self) -> int | float:
        """Number of elements; infinity of a group that is infinite, or takes a list of more than 50,000 to tell."""
        if self.factors:
            return math.prod(f.order for f in self.factors)
        if self.classical and self.classical[0] == "S":
            return math.factorial(self.dim)
        return len(self.listing) if self.is_discrete and self.listing else math.inf

    @cached_property
    def listing(self) -> Listing | Permutations | None:
        """The elements of a finite group, by which they are found; None of others."""
        return list_elements(self.discrete_generators, MAX_ELEMENTS) if self.is_discrete else None

    @property
    def elements(self) -> Array:
        """All elements of a finite group, shape (order, d, d), the identity first.

        Raises:
            ValueError: if the group has a Lie algebra, or more than 50,000 elements.
        """
        if not self.is_discrete:
            raise ValueError(
                f"{self} has a Lie algebra, so its elements cannot be listed; Regular and elements need a finite "
                "group, such as Z(4)"
            )
        if not self.is_finite or self.listing is None:
            size = f"{self.order:,}" if self.order < math.inf else "infinitely many, or very many,"
            raise ValueError(
                f"{self} has {size} elements, too many to list; up to {MAX_ELEMENTS:,} would do, or what takes "
                "generators alone, such as Vector and T(p)"
            )
        return self.listing.matrices

    def sample(self, n: int, seed: int | np.random.Generator | None = None) -> Array:
        """Draw n elements, shape (n, d, d).

        Haar on O, SO and products of them; uniform on finite groups; for other groups of orthogonal matrices a long
        random walk, whose law tends to Haar; for groups that are not compact (SL, Sp, Lorentz), and those given in
        coordinates in which they are not orthogonal, exp of a normal element of the Lie algebra times a random word in
        the discrete generators.
        """
        if not is_whole(n) or n < 1:
            raise ValueError(f"n must be a whole number >= 1, the elements that sample() draws, got {n!r}")
        rng = np.random.default_rng(seed)
        return sample_elements(self, int(n), rng)


def _normalized(generators: Array) -> Array:
    return generators / np.abs(generators).max(axis=(1, 2), keepdims=True, initial=0.0)


def product_group(*factors: Group) -> Group:
    """Direct product of several groups, acting block by block on the sum of their spaces."""
    dim = sum(f.dim for f in factors)
    algebra, discrete = [], []
    start = 0
    for f in factors:
        inside = slice(start, start + f.dim)
        for a in f.lie_algebra:
            big = np.zeros((dim, dim))
            big[inside, inside] = a
            algebra.append(big)
        for h in f.discrete_generators:
            big = np.eye(dim)
            big[inside, inside] = h
            discrete.append(big)
        start += f.dim
    group = Group(dim, algebra, discrete, name=" * ".join(f.name for f in factors), exact=True)
    group.factors = factors
    return group
