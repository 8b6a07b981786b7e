"""Single elements of groups: a choice that is spread over a group, and what each element is, in terms one can read."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag, expm

from bayes_rpp.symmetry.groups import Group

TOLERANCE = 1e-6
ANGLES = 48  # of a group with a single generator


@dataclass(frozen=True)
class Elements:
    """What k elements of a group are.

    Attributes:
        matrices: (k, d, d).
        kind: "permutation" (all are permutation matrices), "rotation" (orthogonal, d = 2 or 3), or "matrix".
        permutation: (k, d) of permutations: element j sends axis i to axis permutation[j, i].
        axis: (k, 3) unit vectors of rotations in space, on the half sphere z >= 0; NaN for the identity.
        angle: (k,) in radians of rotations, about the axis counter-clockwise, in (-pi, pi]; of "matrix", the norm of
            g - I as a share of its largest value among orthogonal matrices, 2 sqrt(d).
        reflects: (k,) whether det g < 0. In space g is then minus the rotation that axis and angle give; in the plane
            the rotation by `angle` after the reflection of the second coordinate.
    """

    matrices: NDArray
    kind: str
    permutation: NDArray | None
    axis: NDArray | None
    angle: NDArray
    reflects: NDArray

    @property
    def labels(self) -> list[str]:
        """A short name of each: "(1 2)(3 4)" of axes counted from 1, "90° about (0.00, 0.00, 1.00), reflected"."""
        if self.permutation is not None:
            return [cycles(p) for p in self.permutation]
        if self.kind == "matrix":
            return [f"element {k}" for k in range(len(self.matrices))]
        degrees = [f"{np.degrees(a):.0f}°" for a in self.angle]
        if self.axis is not None:
            about = ["" if np.isnan(n).any() else f" about ({', '.join(f'{v:.2f}' for v in n)})" for n in self.axis]
            degrees = [d + a for d, a in zip(degrees, about, strict=True)]
        return [d + (", reflected" if r else "") for d, r in zip(degrees, self.reflects, strict=True)]


def describe_elements(g: NDArray) -> Elements:
    """What elements (k, d, d) are."""
    g = np.asarray(g, dtype=np.float64)
    d = g.shape[-1]
    reflects = np.linalg.det(g) < 0
    ones = np.abs(g - 1) < TOLERANCE
    zeros = np.abs(g) < TOLERANCE
    if (ones | zeros).all() and (ones.sum(axis=1) == 1).all() and (ones.sum(axis=2) == 1).all():
        return Elements(g, "permutation", ones.argmax(axis=1), None, _distance(g), reflects)
    orthogonal = np.allclose(g @ g.transpose(0, 2, 1), np.eye(d), atol=TOLERANCE)
    if orthogonal and d == 2:
        return Elements(g, "rotation", None, None, np.arctan2(g[:, 1, 0], g[:, 0, 0]), reflects)
    if orthogonal and d == 3:
        axis, angle = _axis_angle(np.where(reflects, -1.0, 1.0)[:, None, None] * g)
        return Elements(g, "rotation", None, axis, angle, reflects)
    return Elements(g, "matrix", None, None, _distance(g), reflects)


def spread_elements(group: Group, n: int = 200, seed: int = 0) -> NDArray:
    """About n elements, spread so that a picture shows all kinds: (k, d, d), never the identity alone.

    All of a finite group with at most n elements. Of permutations the transpositions, then random ones. Of a continuous
    group exp(t A) for the generators A (in space: for axes spread over the half sphere, x, y and z among them) at
    several t, each also after each discrete generator. Of a product, elements of each factor alone and random ones.
    """
    rng = np.random.default_rng(seed)
    if group.factors:
        found = list(_of_factors(group, max(1, n // (len(group.factors) + 1)), seed))
        moving = [f for f in group.factors if not f.is_trivial]
        return np.concatenate([*found, *([group.sample(max(1, n - sum(map(len, found))), rng)] * (len(moving) > 1))])
    if group.is_discrete:
        return _of_discrete(group, n, rng)
    sides = [np.eye(group.dim), *group.discrete_generators]
    if group.classical and group.classical[0] == "O" and group.dim % 2:
        sides[1:] = [-np.eye(group.dim)]  # commutes with all: the same axes with and without it
    steps = _steps(group, max(1, n // len(sides)), rng)
    return np.concatenate([steps @ h for h in sides])


def cycles(permutation: NDArray) -> str:
    """Cycle notation, counted from 1; "identity" where nothing moves."""
    left, found = set(range(len(permutation))), []
    while left:
        current = min(left)
        cycle = []
        while current in left:
            left.remove(current)
            cycle.append(current + 1)
            current = int(permutation[current])
        if len(cycle) > 1:
            found.append("(" + " ".join(map(str, cycle)) + ")")
    return "".join(found) or "identity"


def _of_factors(group: Group, n: int, seed: int) -> Iterator[NDArray]:
    eyes = [np.eye(f.dim) for f in group.factors]
    for k, factor in enumerate(group.factors):
        if not factor.is_trivial:
            for_one = spread_elements(factor, n, seed)
            yield np.stack([block_diag(*eyes[:k], g, *eyes[k + 1 :]) for g in for_one])
    if group.is_trivial:
        yield np.eye(group.dim)[None]


def _of_discrete(group: Group, n: int, rng: np.random.Generator) -> NDArray:
    if group.classical and group.classical[0] == "S" and math.factorial(min(group.dim, 12)) > n:
        pairs = list(combinations(range(group.dim), 2))
        found = np.repeat(np.eye(group.dim)[None], len(pairs), axis=0)
        for g, (i, j) in zip(found, pairs, strict=True):
            g[[i, j]] = g[[j, i]]
        rest = n - len(pairs)
        return found if rest <= 0 else np.concatenate([found, group.sample(rest, rng)])
    try:
        if len(group.elements) <= n:
            return group.elements
    except ValueError:  # infinite, or too many to list
        pass
    return np.concatenate([group.discrete_generators, group.sample(n, rng)])[:n]


def _steps(group: Group, n: int, rng: np.random.Generator) -> NDArray:
    """exp(t A) for directions A of the Lie algebra, of spectral norm 1, and several t."""
    algebra = group.lie_algebra
    if len(algebra) == 1:
        directions, count = algebra, min(n, ANGLES)
    else:
        count = 4 if n >= 8 else 1
        extra = max(0, n // count - len(algebra))
        if group.classical and group.classical[0] in ("O", "SO") and group.dim == 3:
            mixed = np.einsum("nk,kij->nij", _half_sphere(extra), _ABOUT)
            algebra = _ABOUT
        else:
            mixed = np.tensordot(rng.normal(size=(extra, len(algebra))), algebra, 1)
        directions = np.concatenate([algebra, mixed])
    directions = directions / np.linalg.norm(directions, ord=2, axis=(1, 2))[:, None, None]
    if not group.is_orthogonal:
        times = np.arange(1, count + 1) / count
    else:  # the whole circle for one generator; else to half a turn, as the other half is about the opposite axis
        times = (2 * np.pi if len(algebra) == 1 else np.pi) * np.arange(1, count + 1) / (count + (len(algebra) == 1))
    return expm(times[:, None, None, None] * directions).reshape(-1, group.dim, group.dim)


# Generators of the rotations about x, y and z, counter-clockwise.
_ABOUT = np.array(
    [[[0, 0, 0], [0, 0, -1], [0, 1, 0]], [[0, 0, 1], [0, 0, 0], [-1, 0, 0]], [[0, -1, 0], [1, 0, 0], [0, 0, 0]]]
)


def _half_sphere(n: int) -> NDArray:
    """(n, 3) points spread evenly over the half sphere z > 0 (a Fibonacci spiral)."""
    k = np.arange(n) + 0.5
    z, turn = 1 - k / max(n, 1), np.pi * (1 + 5**0.5) * k
    r = np.sqrt(1 - z**2)
    return np.stack([r * np.cos(turn), r * np.sin(turn), z], axis=1)


def _axis_angle(r: NDArray) -> tuple[NDArray, NDArray]:
    """Of rotations (k, 3, 3), the axis on the half sphere z >= 0 and the angle about it in (-pi, pi]."""
    from scipy.spatial.transform import Rotation

    vector = Rotation.from_matrix(r).as_rotvec()
    angle = np.linalg.norm(vector, axis=1)
    axis = np.divide(vector, angle[:, None], out=np.full_like(vector, np.nan), where=angle[:, None] > TOLERANCE)
    axis = np.where(np.abs(axis) < TOLERANCE, 0.0, axis)
    x, y, z = axis.T
    below = (z < 0) | ((z == 0) & ((y < 0) | ((y == 0) & (x < 0))))
    angle = np.where(below & (angle < np.pi - TOLERANCE), -angle, angle)
    return np.where(below[:, None], -axis, axis) + 0.0, np.where(np.isnan(axis).any(axis=1), 0.0, angle)


def _distance(g: NDArray) -> NDArray:
    d = g.shape[-1]
    return np.linalg.norm(g - np.eye(d), axis=(1, 2)) / (2 * np.sqrt(d))
