"""The verdict on a discovery, and when not to believe it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import expm
from scipy.spatial import cKDTree

from bayes_rpp.symmetry.discovery.softly import Softly

if TYPE_CHECKING:
    from bayes_rpp.analysis.discovery.discover import Discovery

FEW = 5  # examples for each column of x
NOISY = 0.5  # of the size of y
NEAR = 3.0  # nats
AWAY, TURNS = 2.0, 0.1  # distances beside those of x as they are; symmetric part of what counts as a rotation
SCALE = "on a scale from 0, kept, to 1, no symmetry at all"
WEAK = 0.15  # strength below which a direction that was not kept might be one


def verdict_of(found: Discovery, model: Softly, examples: int) -> str:
    """The answer in a few sentences."""
    return _continuous(found) + _discrete(found) + _how(found, model, examples)


def _discrete(found: Discovery) -> str:
    if not found.discrete:
        return ""
    how = "as every function of it has", "evidence +{:.1f} nats"
    words = "; ".join(f"{name} ({how[nats > 0].format(nats)})" for name, _, nats in found.discrete)
    return f" {'Beside it' if found.dimension else 'Of discrete ones'} there is: {words}. The group is {found.group}."


def _how(found: Discovery, model: Softly, examples: int) -> str:
    """What networks have to do with it."""
    if found.networks is None:
        return ""
    least = "; ".join(found.networks.names) or "none"
    return (
        f" All {examples:,} examples were looked at by networks, which keep to {found.networks.tolerance:g}: {least}. "
        f"What they suggest was judged, and turned, by functions of {len(model.x):,} examples, chosen at random."
    )


def _continuous(found: Discovery) -> str:
    s = found.spectrum
    if not found.dimension:
        least = f" The least violated direction has a strength of {s.strength[0]:.2g}, where 0 is kept, 1 no symmetry."
        return "No continuous symmetry was found." + (least if len(s) else "")
    names = "; ".join(p.words for p in found.parts)
    k = found.dimension
    kept = s.strength[:k].max()
    what = f"{names} ({k} dimension{'s' * (k > 1)}, probability {found.probabilities.get(k, 0.0):.2g})."
    if found.is_exact:
        how = f" It holds as far as the data can tell: violated by at most {s.upper[:k].max():.2g}, {SCALE}."
    else:
        how = (
            f" It nearly holds: violated by {kept:.2g} ({s.lower[:k].max():.2g} to {s.upper[:k].max():.2g}), {SCALE}; "
            f"{found.residual**2:.1%} of the variance of f is outside of it."
        )
    return "The data have the symmetry " + what + how


def doubts_of(found: Discovery, model: Softly, examples: int, columns: int) -> list[str]:
    """Reasons not to believe it."""
    s, doubts = found.spectrum, []
    if examples < FEW * columns:
        doubts.append(f"{examples} examples are few for {columns} columns of x")
    if not found.dimension and model.actions.are_known:
        doubts.append("rep_in and rep_out take the columns of a vector side by side, in the order x, y, z")
    if examples > len(model.x) and found.networks is None:
        doubts.append(f"{len(model.x)} of the {examples} examples, chosen at random, were looked at")
    noise = float(np.exp(model.numbers[-1]))
    if noise > NOISY:
        doubts.append(f"most of y is noise to this fit ({noise:.2g} of its size): a symmetry could hide in it")
    if unknown := int((~s.is_known).sum()):
        doubts.append(
            f"the data say nothing of {unknown} of {len(s)} directions, as x covers too little of the space, or y does "
            "not change with it; they are neither kept nor broken"
        )
    far = _away(model)
    if far > AWAY:
        doubts.append(
            f"x cover little of what the symmetry moves them through: after a quarter turn they lie {far:.1f} times as "
            "far from the nearest other x as before; it is seen for small turns, and may not hold for large ones"
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


def _away(model: Softly) -> float:
    """How far x lie from the nearest x, after a quarter turn of what is kept, beside before: the largest of all turns;
    0 without one."""
    found, distances = [0.0], cKDTree(model.x)
    before = float(np.median(distances.query(model.x, 2)[0][:, 1]))
    for a in np.tensordot(model.directions, model.actions.inputs, 1):
        size = np.abs(np.linalg.eigvals(a)).max()
        if np.abs(a + a.T).max() < TURNS * np.abs(a).max() and before > 0:
            after = distances.query(model.x @ expm(a * np.pi / (2 * size)).T)[0]
            found.append(float(np.median(after)) / before)
    return max(found)
