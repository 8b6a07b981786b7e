"""What was found, in words, and when not to believe it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayes_rpp.analysis.discovery.actions import Actions
from bayes_rpp.analysis.discovery.names import name_algebra, name_joint
from bayes_rpp.analysis.discovery.softly import Softly
from bayes_rpp.symmetry.groups import Group, Trivial
from bayes_rpp.symmetry.representations import Rep, Scalar

if TYPE_CHECKING:
    from bayes_rpp.analysis.discovery.discover import Discovery

Array = NDArray[np.float64]
SNAP = 0.12  # root mean square sine of the angles to an algebra of standard form that may be meant
FEW = 5  # examples for each column of x
NOISY = 0.5  # of the size of y
NEAR = 3.0  # nats
WEAK = 0.15  # strength below which a direction that was not kept might be one


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
    draws: Array,
    actions: Actions,
    rep_in: Rep | None,
    rep_out: Rep | None,
    columns: Sequence[str] | None,
    targets: Sequence[str] | None,
    *,
    snap: bool = True,
) -> Named:
    """The algebra of standard form near a basis (k, n, n) with posterior draws (s, k, n, n); as it is without `snap`."""
    tolerance = SNAP if snap else 1e-6
    d_in, d_out = actions.inputs.shape[1], actions.outputs.shape[1]
    if not len(basis):
        plain = rep_in if rep_in is not None else d_in * Scalar
        n = basis.shape[-1] if rep_in is not None else 1
        return Named(basis, Trivial(n), plain, rep_out if rep_out is not None else d_out * Scalar, [])
    if rep_in is not None and rep_out is not None:
        own = list(columns) if columns is not None and basis.shape[-1] == d_in else None
        found = name_algebra(basis, draws=draws, columns=own, tolerance=tolerance)
        return Named(found.generators, found.group, rep_in, rep_out, [*found.parts] or [found.words])
    joint = name_joint(
        basis[:, :d_in, :d_in],
        basis[:, d_in:, d_in:],
        draws=(draws[..., :d_in, :d_in], draws[..., d_in:, d_in:]),
        columns=columns,
        targets=targets,
        tolerance=tolerance,
    )
    return Named(joint.generators, joint.group, joint.rep_in, joint.rep_out, [joint.words])


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
    rivals = [t for t in found.tried if t[1] not in (found.dimension, 0) and t[2] > own - NEAR]
    doubts += [f"{name} ({k} dimensions) is as likely, to {abs(score - own):.1f} nats" for name, k, score in rivals]
    return doubts
