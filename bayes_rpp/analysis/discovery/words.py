"""What was found, in words, and when not to believe it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayes_rpp.analysis.discovery.actions import Actions
from bayes_rpp.analysis.discovery.names import NamedAlgebra, name_algebra
from bayes_rpp.analysis.discovery.softly import Softly
from bayes_rpp.symmetry.groups import Group, Trivial
from bayes_rpp.symmetry.representations import Rep, Scalar

if TYPE_CHECKING:
    from bayes_rpp.analysis.discovery.discover import Discovery

Array = NDArray[np.float64]
AS_IT_IS = 1e-6  # sine of the angle to an algebra in standard form
FEW = 5  # examples for each column of x
NOISY = 0.5  # of the size of y
NEAR = 3.0  # nats
WEAK = 0.15  # strength below which a direction that was not kept might be one


@dataclass(frozen=True)
class Columns:
    """The representation that is a diagonal block of the group's matrices, for `Rep.custom`."""

    start: int
    stop: int

    def __call__(self, g: Array) -> Array:
        return g[self.start : self.stop, self.start : self.stop]


@dataclass(frozen=True)
class Named:
    """An algebra with its words: generators (k, n, n), group, representations, and a name for each part."""

    generators: Array
    group: Group
    rep_in: Rep
    rep_out: Rep
    names: list[str]


def describe(
    basis: Array,
    draws: Array | None,
    actions: Actions,
    rep_in: Rep | None,
    rep_out: Rep | None,
    columns: Sequence[str] | None,
    targets: Sequence[str] | None,
    *,
    snap: bool = True,
) -> Named:
    """The algebra of standard form near a basis (k, n, n) with posterior draws (s, k, n, n); as it is without `snap`."""
    d_in, d_out = actions.inputs.shape[1], actions.outputs.shape[1]
    tolerance = None if snap else AS_IT_IS
    if not len(basis):
        n = basis.shape[-1] if rep_in is not None else 1
        return Named(basis, Trivial(n), rep_in or d_in * Scalar, rep_out or d_out * Scalar, [])
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
        return Named(found.generators, found.group, rep_in, rep_out, [p.words for p in found.parts])
    words = f"{len(basis)} directions whose brackets do not close"
    return Named(basis, Group(basis.shape[-1], basis, name=words, exact=True), rep_in, rep_out, [words])


def verdict_of(found: Discovery) -> str:
    """The answer in a few sentences."""
    s = found.spectrum
    if not found.dimension:
        least = f" The least violated direction has a strength of {s.strength[0]:.2g}, where 1 is none at all."
        return "No continuous symmetry was found." + (least if len(s) else "")
    names = "; ".join(found.names)
    k = found.dimension
    kept = s.strength[:k].max()
    what = f"{names} ({k} dimension{'s' * (k > 1)}, probability {found.probabilities.get(k, 0.0):.2g})."
    if found.is_exact:
        how = f" It holds as far as the data can tell: violated by at most {s.upper[:k].max():.2g}, where 1 is none at all."
    else:
        how = (
            f" It nearly holds: violated by {kept:.2g} ({s.lower[:k].max():.2g} to {s.upper[:k].max():.2g}), where 1 is none "
            f"at all; {found.residual**2:.1%} of the variance of f is outside of it."
        )
    return "The data have the symmetry " + what + how


def doubts_of(found: Discovery, model: Softly, examples: int, columns: int) -> list[str]:
    """Reasons not to believe it."""
    s, doubts = found.spectrum, []
    if examples < FEW * columns:
        doubts.append(f"{examples} examples are few for {columns} columns of x")
    if examples > len(model.x):
        doubts.append(f"{len(model.x)} of the {examples} examples, chosen at random, were looked at")
    noise = float(np.exp(model.numbers[-1]))
    if noise > NOISY:
        doubts.append(f"most of y is noise to this fit ({noise:.2g} of its size): a symmetry could hide in it")
    if unknown := int((~s.is_known).sum()):
        doubts.append(
            f"the data say nothing of {unknown} of {len(s)} directions, as x covers too little of the space, or y does "
            "not change with it; they are neither kept nor broken"
        )
    weak = (s.lower[found.dimension :] < WEAK) & s.is_known[found.dimension :]
    if weak.any():
        least = float(s.strength[found.dimension :][weak].min())
        doubts.append(
            f"{int(weak.sum())} more direction{'s are' if weak.sum() > 1 else ' is'} violated by little (down to "
            f"{least:.2g}): an approximate symmetry, or too few data to tell"
        )
    own = max(score for _, k, score in found.tried if k == found.dimension)
    rivals = [t for t in found.tried if t[1] not in (found.dimension, 0) and own - NEAR < t[2] < own + NEAR]
    doubts += [f"{name} ({k} dimensions) is as likely, to {abs(score - own):.1f} nats" for name, k, score in rivals]
    return doubts
