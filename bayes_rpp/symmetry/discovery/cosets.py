"""Reflections and half turns beside a group of rotations: what normalises it, and what is inside."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import expm, null_space
from scipy.optimize import least_squares

from bayes_rpp.symmetry.finite import list_elements
from bayes_rpp.symmetry.groups import Group, O

Array = NDArray[np.float64]
FLIPPED = 6  # coordinates at most, whose flips are tried where there are no rotations
EXACTLY = 1e-12
STARTS = 12  # of the search for an element of a connected group
ORDER = 400  # elements of the discrete part, of which one is asked whether an element is among them


def extensions(group: Group) -> list[tuple[str, Array]]:
    """(name, h): reflections and half turns that normalise it, none in it, and none in another's coset."""
    one = np.eye(group.dim)
    fixed = left_fixed(group)
    kept, plane = fixed @ fixed.T, "plane" if group.dim == 3 else "hyperplane"
    moved = one - kept
    found = [("-1", -one)]
    if group.is_discrete:
        flips = [(f"a flip of coordinate {i + 1}", one - 2 * np.outer(e, e)) for i, e in enumerate(one)]
        found += flips if 1 < group.dim <= FLIPPED else []
        return [(name, h) for name, h in found if normalizes(h, group) and not is_inside(h, group)]
    v = moved[np.diag(moved).argmax()]  # the coordinate that is moved most
    v = v / np.linalg.norm(v)
    mirror, flip = one - 2 * np.outer(v, v), one - 2 * kept
    if fixed.shape[1] == 1:
        axis = vector_words(fixed[:, 0])
        found = [
            (f"the reflection across the {plane} orthogonal to {axis}", flip),
            (f"the reflection across a {plane} that contains {axis}", mirror),
            (f"a half turn about an axis orthogonal to {axis}", flip @ mirror),
            *found,
        ]
    elif fixed.shape[1]:
        found += [
            ("-1 of what the rotations leave fixed", flip),
            ("a reflection of what the rotations move", mirror),
            ("both, -1 of what is fixed and a reflection of what is moved", flip @ mirror),
        ]
    else:
        found.append(("a reflection", mirror))
    kept_ones: list[tuple[str, Array]] = []
    for name, h in found:
        if normalizes(h, group) and not any(is_inside(h @ k, group) for k in (one, *(k for _, k in kept_ones))):
            kept_ones.append((name, h))
    return kept_ones


def vector_words(v: Array) -> str:
    """ "(0, 0, 1)", the first large entry positive."""
    v = v * np.sign(v[np.abs(v).argmax()])
    return f"({', '.join(f'{c + 0.0:.2g}' for c in np.round(v, 2))})"


def larger(group: Group, hs: Sequence[Array]) -> Group:
    """The group with further generators, by its usual name where it has one."""
    if not len(hs):
        return group
    d = group.dim
    algebra = group.lie_algebra.reshape(-1, d * d)
    if d > 1 and np.linalg.matrix_rank(algebra) == d * (d - 1) // 2 and any(np.linalg.det(h) < 0 for h in hs):
        return O(d)
    name = f"{group.name} and {len(hs)} of its reflections and half turns"
    if not len(group.lie_algebra) and not len(group.discrete_generators):
        name = f"{len(hs)} reflections and half turns" if len(hs) > 1 else f"Z(2) by {_kind(hs[0])}"
    if d == 3 and np.linalg.matrix_rank(algebra) == 1 and not len(group.discrete_generators):
        axis = left_fixed(group)[:, 0]
        turned, reflected = (abs(hs[0] @ axis @ axis + 1) < 1e-6, np.linalg.det(hs[0]) < 0)
        kind = ["O(2)", "SO(2) x Z(2)", "O(2) by half turns", "O(2) x Z(2)"]
        which = 3 if len(hs) > 1 else 0 if not turned else 1 if reflected else 2
        name = f"{kind[which]} about {vector_words(axis)}"
    return Group(d, group.lie_algebra, [*group.discrete_generators, *hs], name=name)


def _kind(h: Array) -> str:
    """Of an orthogonal matrix that is its own inverse, by how many directions it turns round."""
    count = round((len(h) - np.trace(h)) / 2)
    return {len(h): "inversion", 2: "half turn", 1: "reflection"}.get(count, f"{count} flips")


def normalizes(h: Array, group: Group) -> bool:
    a = group.lie_algebra.reshape(-1, group.dim**2)
    b = (h @ group.lie_algebra @ h.T).reshape(a.shape)
    inside = np.abs(b - b @ np.linalg.pinv(a) @ a).max(initial=0.0) < 1e-8
    return bool(inside) and all(is_inside(h @ g @ h.T, group) for g in group.discrete_generators)


def is_inside(h: Array, group: Group, within: float = EXACTLY) -> bool:
    """Whether h is exp(A) g, of the algebra and the discrete generators, to half of a sum of squares of entries."""
    listed = list_elements(group.discrete_generators, ORDER) if len(group.discrete_generators) else None
    cosets = listed.matrices if listed else np.stack([np.eye(group.dim), *group.discrete_generators])
    return any(_is_connected(h @ g.T, group.lie_algebra, within) for g in cosets)


def _is_connected(h: Array, algebra: Array, within: float) -> bool:
    """Whether h is exp(A) for an A in the algebra."""
    d, one = len(h), np.eye(len(h))
    if np.linalg.det(h) < 0 or np.abs(h - one).max() < 1e-8:
        return bool(np.linalg.det(h) > 0)
    is_compact = np.array_equal(algebra, -algebra.swapaxes(1, 2))
    if not len(algebra) or (is_compact and np.linalg.matrix_rank(algebra.reshape(-1, d * d)) == d * (d - 1) // 2):
        return bool(len(algebra))
    return element_at(algebra, lambda g: (g - h).ravel(), within) is not None


def element_at(algebra: Array, gap: Callable[[Array], Array], within: float = EXACTLY) -> Array | None:
    """The g = exp(A) at which gap(g) is 0, if there is one."""
    for start in np.random.default_rng(0).normal(scale=np.pi, size=(STARTS, len(algebra))):
        found = least_squares(lambda t: gap(expm(np.tensordot(t, algebra, 1))), start, xtol=1e-12, ftol=1e-12)
        if found.cost < within:
            return np.asarray(expm(np.tensordot(found.x, algebra, 1)))
    return None


def left_fixed(group: Group) -> Array:
    """(d, k) orthonormal basis of what its algebra leaves as it is."""
    if group.is_discrete:
        return np.eye(group.dim)
    return np.asarray(null_space(group.lie_algebra.reshape(-1, group.dim)))
