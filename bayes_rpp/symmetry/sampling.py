"""Random elements of groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag, expm

from bayes_rpp._imports import load_module

if TYPE_CHECKING:
    from bayes_rpp.symmetry.groups import Group

Array = NDArray[np.float64]


def sample_elements(group: Group, n: int, rng: np.random.Generator) -> Array:
    """n elements (n, d, d), by the laws that `Group.sample` names."""
    if group.factors:
        parts = [sample_elements(f, n, rng) for f in group.factors]
        return np.stack([block_diag(*gs) for gs in zip(*parts, strict=True)])
    if group.classical and group.classical[0] in _SAMPLERS:
        return _SAMPLERS[group.classical[0]](group.classical[1], n, rng)
    if group.is_discrete:
        if not group.is_finite or group.listing is None:
            return _random_words(group, n, rng, length=50)
        return group.listing.take(rng.integers(len(group.listing), size=n))
    steps = 12 if group.is_orthogonal else 1
    g = _random_words(group, n, rng, length=12)
    for _ in range(steps):
        scale = 2 * np.pi if group.is_orthogonal else 0.5
        a = np.tensordot(rng.normal(size=(n, len(group.lie_algebra))) * scale, group.lie_algebra, 1)
        g = expm(a) @ g
        if steps > 1 and len(group.discrete_generators):
            g = _random_words(group, n, rng, length=4) @ g
    return g


def _random_words(group: Group, n: int, rng: np.random.Generator, length: int) -> Array:
    g = np.broadcast_to(np.eye(group.dim), (n, group.dim, group.dim)).copy()
    if len(group.discrete_generators):
        letters = np.concatenate([np.eye(group.dim)[None], group.discrete_generators])
        for _ in range(length):
            g = letters[rng.integers(len(letters), size=n)] @ g
    return g


def _sample_permutations(n: int, count: int, rng: np.random.Generator) -> Array:
    found = np.zeros((count, n, n))
    for p in found:
        p[rng.permutation(n), np.arange(n)] = 1
    return found


def _sample_orthogonal(n: int, count: int, rng: np.random.Generator) -> Array:
    if n == 1:
        return rng.choice([-1.0, 1.0], size=(count, 1, 1))
    return _haar("ortho_group", n, count, rng)


def _sample_rotations(n: int, count: int, rng: np.random.Generator) -> Array:
    if n == 1:
        return np.ones((count, 1, 1))
    return _haar("special_ortho_group", n, count, rng)


def _haar(name: str, n: int, count: int, rng: np.random.Generator) -> Array:
    law = getattr(load_module("scipy.stats"), name)  # slow to import
    return np.asarray(law.rvs(n, size=count, random_state=rng).reshape(count, n, n))


_SAMPLERS: dict[str, Any] = {"O": _sample_orthogonal, "SO": _sample_rotations, "S": _sample_permutations}
