"""What a Lie algebra of matrices is, in words, and as a group that models take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayes_rpp.symmetry.discovery.abelian import has_eigenvectors, name_commuting
from bayes_rpp.symmetry.discovery.algebra import orthonormal, span_distance
from bayes_rpp.symmetry.discovery.ideals import Ideals, split_ideals, structure_constants
from bayes_rpp.symmetry.discovery.parts import Part, Reading, reading
from bayes_rpp.symmetry.discovery.simple import name_semisimple
from bayes_rpp.symmetry.discovery.snapping import snap_algebra
from bayes_rpp.symmetry.groups import SL, SO, Group, Sp

Array = NDArray[np.float64]
TOLERANCE = 0.1  # without draws: noise of 5 %, and some


@dataclass(frozen=True)
class NamedAlgebra:
    """A Lie algebra with its name.

    Attributes:
        name: short, such as "SO(3) x scaling"; "none" of dimension 0.
        words: what it does to which columns.
        group: the group that it generates, connected.
        generators: (k, n, n), closed, and in standard form where it is that within the tolerance.
        parts: what it is made of; they commute.
        distance: root mean square sine of the angles between the span that was given and `generators`.
    """

    name: str
    words: str
    group: Group
    generators: Array
    parts: tuple[Part, ...]
    distance: float


def name_algebra(
    generators: ArrayLike,
    *,
    draws: ArrayLike | None = None,
    columns: Sequence[str] | None = None,
    tolerance: float | None = None,
) -> NamedAlgebra | None:
    """Name the Lie algebra near a span of matrices.

    Args:
        generators: (k, n, n), independent; k = 0 is no symmetry.
        draws: (S, k, n, n) posterior draws of the span, for the uncertainty of axes, planes and exponents.
        columns: names of the n coordinates; numbers from 1 otherwise.
        tolerance: root mean square sine of the angles between the span and an algebra in standard form that counts as
            the same. None: twice that between the draws and the span; 0.1 without draws.

    Returns:
        The name, or None where no Lie algebra of this dimension is near.

    Raises:
        ValueError: if `columns` are not n names.
    """
    given = np.asarray(generators, dtype=np.float64)
    k, n, _ = given.shape
    drawn = None if draws is None else np.asarray(draws, dtype=np.float64)
    if tolerance is None:
        spread = [] if drawn is None or not k else [span_distance(given, d) for d in drawn]
        tolerance = float(np.clip(2 * np.sqrt(np.mean(np.square(spread))), 1e-4, 0.3)) if spread else TOLERANCE
    read = reading(n, columns, tolerance, drawn if k else None)
    if not k:
        return NamedAlgebra("none", "no continuous symmetry", Group(n, name="none"), given, (), 0.0)
    snapped = snap_algebra(given, tolerance)
    if snapped is None:
        return None
    parts = _parts(snapped.generators, read)
    exact = np.concatenate([p.generators for p in parts])
    name = " x ".join(p.name for p in parts)
    if parts[0].name.startswith("SL(") and [p.name for p in parts[1:]] == ["scaling"] and k == n * n:
        name = f"GL({n})"
    return NamedAlgebra(
        name, "; ".join(p.words for p in parts), _group(exact, name), exact, tuple(parts), span_distance(given, exact)
    )


def _parts(basis: Array, read: Reading) -> list[Part]:
    ideals = split_ideals(basis)
    if not ideals.is_reductive or (len(ideals.center) and not has_eigenvectors(ideals.center)):
        return [_solvable(basis, ideals, read)]
    central = name_commuting(ideals.center, read) if len(ideals.center) else []
    return [*name_semisimple(ideals.simple, read), *central]


def _solvable(basis: Array, ideals: Ideals, read: Reading) -> Part:
    """What has no semisimple and diagonalizable parts alone."""
    k = len(basis)
    size = np.abs(basis).max(axis=0)
    moved = read.columns(np.flatnonzero((size > 1e-7).any(axis=0) | (size > 1e-7).any(axis=1)))
    nilpotent = all(np.abs(np.linalg.matrix_power(a, len(a))).max() < 1e-9 for a in _generic(basis))
    if k == 1 and np.abs(basis[0] @ basis[0]).max() < 1e-9:
        into = read.columns(np.flatnonzero((size > 1e-7).any(axis=1)))
        by = read.columns(np.flatnonzero((size > 1e-7).any(axis=0)))
        return Part("shear", f"shear of {into} by {by} (a Galilean boost, if {by} is time)", basis)
    if not len(ideals.derived):
        kind = "commuting shears" if nilpotent else "commuting generators, some of them shears,"
        return Part(f"abelian algebra of dimension {k}", f"{k} {kind} of {moved}", basis)
    if nilpotent:
        name = "Heisenberg" if k == 3 else f"nilpotent algebra of dimension {k}"
        return Part(name, f"{name} on {moved}: shears whose commutators are shears", basis)
    if k == 2:
        return Part("affine", f"the affine group of a line, on {moved}: a scaling and a shear", basis)
    killing = np.einsum("iab,jba->ij", *[structure_constants(basis).transpose(0, 2, 1)] * 2)
    flat = basis.reshape(k, -1)
    inner = np.linalg.norm(killing @ (ideals.derived.reshape(len(ideals.derived), -1) @ flat.T).T)
    kind = "solvable" if inner < 1e-7 else "neither solvable nor reductive"  # Cartan's criterion
    return Part(f"{kind} algebra of dimension {k}", f"a {k}-dimensional algebra, {kind}, on {moved}", basis)


def _generic(basis: Array) -> Array:
    return np.tensordot(np.random.default_rng(0).normal(size=(3, len(basis))) / np.sqrt(len(basis)), basis, 1)


def _group(generators: Array, name: str) -> Group:
    n = generators.shape[-1]
    known = [SO(n), *([SL(n)] if n > 1 else []), *([Sp(n // 2)] if n % 2 == 0 else [])]
    for group in known:
        if len(group.lie_algebra) == len(generators) and span_distance(group.lie_algebra, generators) < 1e-10:
            return group
    if n == 3 and len(generators) == 1 and np.abs(generators[0] + generators[0].T).max() < 1e-10:
        turn = generators[0]
        return SO(2, axis=(turn[2, 1], turn[0, 2], turn[1, 0]))
    return Group(n, orthonormal(generators) if len(generators) > 1 else generators, name=name, exact=True)
