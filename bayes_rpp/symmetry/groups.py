"""Matrix groups by their usual names: O(3), SO(2, axis=(0, 0, 1)), Lorentz(), S(5)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayes_rpp.symmetry.group import Group as Group
from bayes_rpp.symmetry.group import product_group as product_group
from bayes_rpp.symmetry.matrices import is_whole

Array = NDArray[np.float64]


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
    a, b, c = v / np.linalg.norm(v) + 0.0  # no -0
    return Group(3, [rotation_about(v)], name=f"SO(2, axis=({a:.3g}, {b:.3g}, {c:.3g}))")


def rotation_about(axis: Array) -> Array:
    """(3, 3) generator of rotations about an axis (3,), of which exp(angle A) is the one by an angle."""
    a, b, c = axis / np.linalg.norm(axis)
    return np.array([[0, -c, b], [c, 0, -a], [-b, a, 0]])


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
