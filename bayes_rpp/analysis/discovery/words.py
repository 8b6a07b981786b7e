"""The verdict on a discovery, and when not to believe it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayes_rpp.symmetry.discovery.softly import Softly

if TYPE_CHECKING:
    from bayes_rpp.analysis.discovery.discover import Discovery

FEW = 5  # examples for each column of x
NOISY = 0.5  # of the size of y
NEAR = 3.0  # nats
WEAK = 0.15  # strength below which a direction that was not kept might be one


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
        how = f" It holds as far as the data can tell: violated by at most {s.upper[:k].max():.2g} of 1, none at all."
    else:
        how = (
            f" It nearly holds: violated by {kept:.2g} ({s.lower[:k].max():.2g} to {s.upper[:k].max():.2g}) of 1, none "
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
