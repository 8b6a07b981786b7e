"""What was found in words, and as a group with representations that models take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayes_rpp.symmetry.discovery.actions import Actions
from bayes_rpp.symmetry.discovery.names import NamedAlgebra, name_algebra
from bayes_rpp.symmetry.discovery.parts import Part
from bayes_rpp.symmetry.groups import Group, Trivial
from bayes_rpp.symmetry.representations import Rep, Scalar

Array = NDArray[np.float64]
AS_IT_IS, NEAR = 1e-6, 0.03  # sine of the angle to an algebra in standard form that is taken for the same


@dataclass(frozen=True)
class Columns:
    """The representation that is a diagonal block of the group's matrices, for `Rep.custom`."""

    start: int
    stop: int

    def __call__(self, g: Array) -> Array:
        return g[self.start : self.stop, self.start : self.stop]


@dataclass(frozen=True, eq=False)
class Named:
    """An algebra with its words.

    Attributes:
        generators: (k, n, n) its basis on the space of the group.
        group: with this algebra, for EMLP, GaussianProcess and compare_symmetries; Trivial without one.
        rep_in, rep_out: with which to use it: those given, or those found.
        parts: what it is made of, with axes and how well they are known.
    """

    generators: Array
    group: Group
    rep_in: Rep
    rep_out: Rep
    parts: tuple[Part, ...]

    @property
    def fields(self) -> tuple[Array, Group, Rep, Rep, tuple[Part, ...]]:
        """In the order of the attributes."""
        return self.generators, self.group, self.rep_in, self.rep_out, self.parts

    @property
    def names(self) -> list[str]:
        """Of the parts, in words."""
        return [p.words for p in self.parts]


def describe(
    basis: Array,
    draws: Array | None,
    actions: Actions,
    columns: Sequence[str] | None = None,
    targets: Sequence[str] | None = None,
    *,
    snap: bool = True,
) -> Named:
    """The algebra of standard form near a basis (k, n, n) with draws (s, k, n, n); without `snap` as it is."""
    d_in, d_out = actions.inputs.shape[1], actions.outputs.shape[1]
    rep_in, rep_out = actions.rep_in, actions.rep_out
    tolerance = AS_IT_IS if not snap else None if draws is not None else NEAR
    if not len(basis):
        n = basis.shape[-1] if rep_in is not None else 1
        return Named(basis, Trivial(n), rep_in or d_in * Scalar, rep_out or d_out * Scalar, ())
    if rep_in is not None and rep_out is not None:
        own = columns if basis.shape[-1] == d_in else None
        return _named(name_algebra(basis, draws=draws, columns=own, tolerance=tolerance), basis, rep_in, rep_out)
    names = [*(columns or [f"x{i + 1}" for i in range(d_in)]), *(targets or [f"y{i + 1}" for i in range(d_out)])]
    found = name_algebra(basis, draws=draws, columns=names, tolerance=tolerance)
    whole = d_in + d_out
    cut_in, cut_out = Rep.custom(Columns(0, d_in), "inputs"), Rep.custom(Columns(d_in, whole), "outputs")
    return _named(found, basis, cut_in, cut_out)


def _named(found: NamedAlgebra | None, basis: Array, rep_in: Rep, rep_out: Rep) -> Named:
    if found is not None:
        return Named(found.generators, found.group, rep_in, rep_out, found.parts)
    words = f"{len(basis)} directions whose brackets do not close"
    group = Group(basis.shape[-1], basis, name=words, exact=True)
    return Named(basis, group, rep_in, rep_out, (Part(words, words, basis),))
