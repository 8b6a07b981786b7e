"""Averages over compact groups, as weighted sums over elements that keep a covariance positive.

A symmetric function is P f, P f(x) = int rho_out(g)^-1 f(rho_in(g) x) dg over the group (Haar). The integral is a sum
over a closed finite subgroup H where there is one that serves, thickened by further elements c_j: with
P f = mean over j and h of the function moved by h c_j, the covariance of P f is that of f averaged over c_i^-1 h c_j
for all i, j and h. A double sum of this kind is positive semidefinite whatever the elements are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache, reduce

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag, expm
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from bayes_rpp.symmetry.finite import list_elements
from bayes_rpp.symmetry.groups import Group
from bayes_rpp.symmetry.representations import Representation

Array = NDArray[np.float64]
ALL = 5040  # elements of a finite group that are summed over, one and all
ANGLES = 16  # of rotations about an axis, on the lowest level
LEVELS, MOST = 4, 32  # of accuracy; and elements that thicken, at most
ORTHOGONAL = 1e-8  # by how much a representation that keeps distances may be off
TOGETHER = 1e-9  # relative, by which two multiples of a frequency may differ


@dataclass(frozen=True, eq=False)
class Average:
    """An average over a group.

    Attributes:
        closed: (m, d, d) elements h of a finite subgroup, the identity first.
        cosets: (j, d, d) elements c that thicken it, the identity first; it alone where they are not needed.
        is_exact: whether it is the whole of a finite group.
        words: what it is, for messages.
    """

    closed: Array
    cosets: Array
    is_exact: bool
    words: str

    def __len__(self) -> int:
        return len(self.closed) * len(self.cosets) ** 2

    @property
    def is_closed(self) -> bool:
        """Whether it is over a subgroup alone."""
        return len(self.cosets) == 1

    @cached_property
    def whole(self) -> tuple[Array, Array]:
        """All elements c_i^-1 h c_j, (k, d, d), and their weights (k,), which add up to 1."""
        elements = np.concatenate([a.T @ self.closed @ b for a in self.cosets for b in self.cosets])
        return elements, np.full(len(elements), 1 / len(elements))

    @cached_property
    def half(self) -> tuple[Array, Array]:
        """One of each pair of an element and its inverse, with the weight of both: enough for a sum that is made
        symmetric afterwards."""
        inverses = _inverses(self.closed)
        first = np.flatnonzero(np.arange(len(self.closed)) <= inverses)
        once = np.where(inverses[first] == first, 1.0, 2.0)
        elements, weights = [], []
        for i, a in enumerate(self.cosets):
            elements.append(a.T @ self.closed[first] @ a)
            weights.append(once)
            for b in self.cosets[i + 1 :]:
                elements.append(a.T @ self.closed @ b)
                weights.append(np.full(len(self.closed), 2.0))
        return np.concatenate(elements), np.concatenate(weights) / len(self)


@lru_cache(maxsize=64)
def haar_average(group: Group, level: int = 0) -> Average:
    """The average over a group, on a level of accuracy from 0 to 3, each finer, and the same on all where it is exact.

    Raises:
        ValueError: if the group is not one of orthogonal matrices, and so may have no average.
    """
    check_compact(group)
    parts = [_part(f, level) for f in group.factors or (group,)]
    while math.prod(len(p.closed) for p in parts) > ALL:
        k = int(np.argmax([len(p.closed) if len(p.closed) < math.inf else 0 for p in parts]))
        factor = (group.factors or (group,))[k]
        parts[k] = _random(factor, np.eye(factor.dim)[None], level)
    closed, cosets = (_product([getattr(p, name) for p in parts]) for name in ("closed", "cosets"))
    if len(cosets) > MOST:  # independent draws of the factors, side by side
        rng = np.random.default_rng(0)
        chosen = [np.concatenate([p.cosets[:1], p.cosets[rng.integers(len(p.cosets), size=MOST - 1)]]) for p in parts]
        cosets = np.stack([block_diag(*together) for together in zip(*chosen, strict=True)])
    return Average(closed, cosets, all(p.is_exact for p in parts), " * ".join(p.words for p in parts))


def off_orthogonal(rep: Representation) -> float:
    """How far a representation is from acting by orthogonal matrices, at some elements of its group."""
    rho = rep.rho(rep.group.sample(4, 0))
    return float(np.abs(rho @ rho.swapaxes(1, 2) - np.eye(rep.size)).max(initial=0.0))


def check_compact(group: Group, name: str = "group") -> None:
    """Raise ValueError, naming the argument, unless each element is orthogonal."""
    if not group.is_orthogonal:
        raise ValueError(
            f"{name} must be a group of orthogonal matrices, over which functions have an average, got {group}; a "
            "network, Model(EMLP(rep_in, rep_out, group)), takes any group, and would do"
        )


def _part(group: Group, level: int) -> Average:
    """Of a group that is no product."""
    one = np.eye(group.dim)[None]
    if group.classical and group.classical[0] == "S" and group.dim > 5:
        return _random(group, np.stack([np.roll(one[0], k, axis=0) for k in range(group.dim)]), level)
    if group.is_discrete:
        if group.order <= ALL:
            return Average(group.elements, one, True, f"{group}")
        return _random(group, one, level)
    generators = np.linalg.matrix_rank(group.lie_algebra.reshape(-1, group.dim**2))  # some may be said twice
    if generators == 1 and (turns := _circle(group, ANGLES * 2**level)) is not None:
        return Average(turns, one, False, f"{len(turns)} elements of {group}")
    if group.dim == 3 and generators > 1:  # two rotations of space generate all of them
        rotations = np.asarray(Rotation.create_group("I").as_matrix())  # as all of SO(3) on polynomials of degree 5
        rotations = rotations[np.argsort(-rotations.trace(axis1=1, axis2=2), kind="stable")]
        if any(np.linalg.det(h) < 0 for h in group.discrete_generators):
            rotations = np.concatenate([rotations, -rotations])
        cosets = np.asarray(Rotation.from_rotvec(np.array(COSETS[min(level, len(COSETS) - 1)])).as_matrix())
        return Average(rotations, cosets, False, f"{len(rotations) * len(cosets) ** 2} elements of {group}")
    found = list_elements(group.discrete_generators, 200) if len(group.discrete_generators) else None
    return _random(group, one if found is None else found.matrices, level)


def _circle(group: Group, count: int) -> Array | None:
    """A closed set that has `count` rotations exp(tA) at least; None where exp(tA) never comes back, or the discrete
    generators lead out of every small set."""
    a = group.lie_algebra[0]
    frequencies = np.abs(np.linalg.eigvals(a).imag)
    frequencies = frequencies[frequencies > 1e-9]
    ratios = [Fraction(f / frequencies.min()).limit_denominator(64) for f in frequencies]
    if (
        np.abs([float(r) * frequencies.min() / f - 1 for r, f in zip(ratios, frequencies, strict=True)]).max()
        > TOGETHER
    ):
        return None
    slowest = frequencies.min() / math.lcm(*(r.denominator for r in ratios))
    step = expm(a * (2 * math.pi / slowest / count))
    found = list_elements(np.stack([step, *group.discrete_generators]), 16 * count)
    return None if found is None else found.matrices


def _random(group: Group, closed: Array, level: int) -> Average:
    """Thickened by elements drawn with a fixed seed."""
    cosets = np.concatenate([np.eye(group.dim)[None], group.sample(4 * 2**level - 1, seed=0)])
    return Average(closed, cosets, False, f"{len(closed) * len(cosets) ** 2} elements of {group}, drawn at random")


def _product(parts: list[Array]) -> Array:
    """All combinations of elements of factors, block by block."""
    return reduce(lambda found, part: np.stack([block_diag(a, b) for a in found for b in part]), parts)


def _inverses(closed: Array) -> NDArray[np.int_]:
    """(m,) places of the inverses in a closed set."""
    flat = closed.reshape(len(closed), -1)
    return np.asarray(cKDTree(flat).query(closed.swapaxes(1, 2).reshape(len(closed), -1))[1])


# Rotation vectors that thicken the icosahedron's rotations: those that leave least of the first invariants that its
# average does not remove, of degree 6, 10, 12, 16 and 18. Of degree 6 these leave 15 %, 0.2 % and 0.1 %.
COSETS: list[list[list[float]]] = [
    [[0.0, 0.0, 0.0]],
    [[0.0, 0.0, 0.0], [-0.0869, 0.0, -0.7235], [-0.1585, 0.6374, -0.3351]],
    [
        [0.0, 0.0, 0.0],
        [-0.414, 0.6739, 0.477],
        [2.7514, -2.4347, -1.0013],
        [0.0293, -0.9116, -0.1454],
        [0.5736, -0.8401, 0.6382],
    ],
    [
        [0.0, 0.0, 0.0],
        [-0.1236, -0.6253, -0.5727],
        [1.5358, -0.8243, -0.7258],
        [0.2994, -0.1844, -0.4942],
        [-0.3197, -0.1053, -0.4498],
        [0.5647, 0.2788, 0.6282],
        [-0.6347, 0.2116, 0.2949],
        [0.8571, 0.581, 0.0122],
    ],
]
