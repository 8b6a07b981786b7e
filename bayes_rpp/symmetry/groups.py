"""Matrix groups: what acts on R^d, by its Lie algebra and its discrete generators.

A group is given by matrices alone: a basis of its Lie algebra, shape (k, d, d), for the part connected to the
identity, and further generators, shape (m, d, d), for the rest (Finzi, Welling and Wilson 2021, Theorem 1: a linear
map is equivariant exactly if it commutes with these finitely many matrices).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from itertools import combinations
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
        # (family, n) of the classical groups, whose invariants are known in closed form; set only in this file.
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


def _permutation(images: Sequence[int] | NDArray[np.int_]) -> Array:
    n = len(images)
    p = np.zeros((n, n))
    p[np.asarray(images), np.arange(n)] = 1
    return p


def _rotations(n: int) -> Array:
    """Basis e_i e_j^T - e_j e_i^T (i < j) of so(n)."""
    pairs = list(combinations(range(n), 2))
    a = np.zeros((len(pairs), n, n))
    for k, (i, j) in enumerate(pairs):
        a[k, i, j], a[k, j, i] = 1, -1
    return a


def _classical(group: Group, family: str, n: int) -> Group:
    group.classical = (family, n)
    return group


def _positive(n: int, name: str, least: int = 1) -> int:
    if not is_whole(n) or n < least:
        raise ValueError(f"n of {name}(n) must be a whole number >= {least}, got {n!r}")
    return int(n)


def SO(n: int, *, axis: ArrayLike | None = None) -> Group:
    """Rotations of R^n; SO(2, axis=(0, 0, 1)) are those of R^3 about an axis (3,), of any length but zero."""
    n = _positive(n, "SO")
    if axis is not None:
        return _about(n, axis)
    return _classical(Group(n, _rotations(n), name=f"SO({n})"), "SO", n)


def O(n: int) -> Group:  # noqa: E743 (the group's own name)
    """Rotations and reflections of R^n."""
    n = _positive(n, "O")
    flip = np.diag([-1.0] + [1.0] * (n - 1))
    return _classical(Group(n, _rotations(n), [flip], name=f"O({n})"), "O", n)


def _about(n: int, axis: ArrayLike) -> Group:
    v = np.asarray(axis, dtype=np.float64)
    if n != 2 or v.shape != (3,) or not np.isfinite(v).all() or not v.any():
        raise ValueError(f"axis must be three numbers, of SO(2), got {axis!r} of SO({n}); axis=(0, 0, 1) would do")
    a, b, c = v / np.linalg.norm(v)
    return Group(3, [[[0, -c, b], [c, 0, -a], [-b, a, 0]]], name=f"SO(2, axis=({a:.3g}, {b:.3g}, {c:.3g}))")


def SL(n: int) -> Group:
    """Matrices of determinant 1 on R^n (not compact)."""
    n = _positive(n, "SL", 2)
    basis = []
    for i in range(n):
        for j in range(n):
            a = np.zeros((n, n))
            if i != j:
                a[i, j] = 1
            elif i > 0:
                a[0, 0], a[i, i] = 1, -1
            else:
                continue
            basis.append(a)
    return _classical(Group(n, basis, name=f"SL({n})"), "SL", n)


def symplectic_form(n: int) -> Array:
    """J on R^(2n), with order (q_1..q_n, p_1..p_n)."""
    z, i = np.zeros((n, n)), np.eye(n)
    return np.block([[z, i], [-i, z]])


def Sp(n: int) -> Group:
    """Symplectic matrices on R^(2n), coordinates ordered q_1..q_n, p_1..p_n (not compact)."""
    n = _positive(n, "Sp")
    basis = []
    j = symplectic_form(n)
    for a in range(2 * n):
        for b in range(a, 2 * n):
            s = np.zeros((2 * n, 2 * n))
            s[a, b] = s[b, a] = 1
            basis.append(j @ s)
    return _classical(Group(2 * n, basis, name=f"Sp({n})"), "Sp", n)


def minkowski_metric() -> Array:
    return np.diag([1.0, -1.0, -1.0, -1.0])


def Lorentz() -> Group:
    """O(1, 3) on R^4, coordinates (t, x, y, z), metric diag(1, -1, -1, -1) (not compact)."""
    spatial = np.zeros((3, 4, 4))
    spatial[:, 1:, 1:] = _rotations(3)
    boosts = np.zeros((3, 4, 4))
    for k in range(3):
        boosts[k, 0, k + 1] = boosts[k, k + 1, 0] = 1
    reversals = [np.diag([-1.0, 1, 1, 1]), np.diag([1.0, -1, -1, -1])]
    return _classical(Group(4, np.concatenate([spatial, boosts]), reversals, name="Lorentz()"), "Lorentz", 4)


def S(n: int) -> Group:
    """Permutations of the n axes of R^n."""
    n = _positive(n, "S")
    generators = []
    if n > 1:
        swap = list(range(n))
        swap[0], swap[1] = 1, 0
        generators = [_permutation(swap)]
    if n > 2:
        generators.append(_permutation(np.roll(np.arange(n), 1)))
    return _classical(Group(n, discrete_generators=generators, name=f"S({n})"), "S", n)


def Z(n: int) -> Group:
    """Cyclic shifts of the n axes of R^n."""
    n = _positive(n, "Z")
    return Group(n, discrete_generators=[_permutation(np.roll(np.arange(n), 1))] if n > 1 else (), name=f"Z({n})")


def D(n: int) -> Group:
    """The dihedral group of the regular n-gon, on R^2: rotations by 2 pi / n and a reflection."""
    n = _positive(n, "D")
    c, s = math.cos(2 * math.pi / n), math.sin(2 * math.pi / n)
    rotation, flip = np.array([[c, -s], [s, c]]), np.diag([1.0, -1.0])
    if n in (1, 2, 4):  # exact signed permutations
        rotation = np.round(rotation)
    return Group(2, discrete_generators=[rotation, flip] if n > 1 else [flip], name=f"D({n})")


def Trivial(d: int) -> Group:
    """Only the identity, on R^d: every linear map is equivariant."""
    return Group(_positive(d, "Trivial"), name=f"Trivial({d})")


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
