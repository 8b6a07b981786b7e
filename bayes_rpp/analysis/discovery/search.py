"""The Lie algebra of the highest evidence, grown direction by direction.

Each step proposes whole algebras with a name, and single directions that the data so far violate least, within the
rotations, the scalings and all; turns them until the evidence is highest, adds the brackets, and keeps the best. A
direction that was found among r others costs log(numbers in y) / 2 for each (Schwarz 1978).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, eigh

from bayes_rpp.analysis.discovery.actions import Actions
from bayes_rpp.analysis.discovery.softly import Softly
from bayes_rpp.analysis.discovery.strength import mean_square, normal_square

Array = NDArray[np.float64]
FEW, MANY = (300, 100), (900, 400)  # numbers of y, and numbers of L_A f that are zero, of rough and of fine fits
POINTS = 12  # at which L_A f is zero, at least
MARGIN = 3.0  # nats by which a larger algebra must be better
FOLLOWED = 2  # directions of each family; and proposals that are looked at closely
CLOSE = 30.0  # nats
BRACKETS = 0.15  # sine of the angle below which a bracket lies in the span
LARGEST = 12  # dimension of an algebra that brackets generate
SHARES = (0.03, 0.5)  # sigma_b / sigma of free functions, at the start


@dataclass(frozen=True, eq=False)
class Step:
    """An algebra that was tried.

    Attributes:
        name: where it came from.
        model: with its directions and numbers.
        parameters: numbers by which the directions were chosen.
        score: evidence less their cost.
    """

    name: str
    model: Softly
    parameters: int

    @property
    def score(self) -> float:
        return self.model.evidence - 0.5 * self.parameters * math.log(self.model.y.size)

    @property
    def dimension(self) -> int:
        return len(self.model.directions)


def search(x: Array, y: Array, actions: Actions) -> list[Step]:
    """Steps that were taken, from the free function on, each better than the one before; then what else was tried.

    Args:
        x, y: columns of a size of about 1, in random order.
    """
    taken = [Step("none", free(x, y, actions, MANY), 0)]
    tried: list[Step] = []
    while (now := taken[-1]).dimension < len(actions):
        rough = [s for s in _proposals(now, x, y) if math.isfinite(s.score)]
        rough.sort(key=lambda s: -s.score)
        fine = [_finer(s, x, y, now) for s in rough[:FOLLOWED] if s.score > rough[0].score - CLOSE]
        fine += [closed for s in fine if (closed := _closed(s, now)) is not None]
        tried += fine
        best = max(fine, key=lambda s: s.score, default=now)
        if best.score < now.score + MARGIN:
            break
        taken.append(best)
    return taken + [s for s in tried if s not in taken]


def free(x: Array, y: Array, actions: Actions, size: tuple[int, int]) -> Softly:
    """A function without a symmetry."""
    rows, points = _sizes(len(x), y.shape[1], 1, size)
    q = actions.kinds.max() + 1
    count = np.bincount(actions.kinds)
    none = np.zeros((0, len(actions)))
    starts = []
    for factor in (1.0, 3.0):
        numbers = np.concatenate([np.log(factor * np.sqrt(count)), [0.0, 0.0, math.log(0.1)]])
        starts.append(Softly(x[:rows], y[:rows], np.arange(points), actions, none, numbers).fitted())
    assert len(starts[0].numbers) == q + 3
    return max(starts, key=lambda s: s.evidence)


def _proposals(now: Step, x: Array, y: Array) -> Iterator[Step]:
    """Rough fits of algebras that hold the present one."""
    model, k = now.model, now.dimension
    base = _resized(model, x, y, k + 1, FEW)
    if not k:
        for name, rows in model.actions.wholes.items():
            yield Step(name, _settled(_resized(replace(model, directions=rows), x, y, len(rows), FEW)), 0)
    for name, family in model.actions.families.items():
        rest = _outside(family, model.directions)
        if not len(rest):
            continue
        if len(rest) == 1:
            single = replace(base, directions=np.concatenate([model.directions, rest]))
            yield Step(name, _settled(single), now.parameters)
            continue
        for start in _least_violated(model, rest)[:FOLLOWED]:
            single = replace(base, directions=np.concatenate([model.directions, start[None]]))
            turned = _settled(single, _outside(rest, start[None]))
            yield Step(name, turned, now.parameters + len(rest) - 1)


def _settled(model: Softly, moving: Array | None = None) -> Softly:
    """Fitted from a nearly strict and from a soft start."""
    found = []
    for share in SHARES:
        numbers = model.numbers.copy()
        numbers[-2] = max(numbers[-2], -3.0) if len(model.directions) == 0 else numbers[-2]
        numbers[-3] = numbers[-2] + math.log(2.0)
        numbers[-2] += math.log(share)
        try:
            found.append(replace(model, numbers=numbers).fitted(moving=moving, iterations=25))
        except LinAlgError:
            continue
    return max(found, key=lambda s: s.evidence) if found else replace(model, evidence=-math.inf)


def _finer(step: Step, x: Array, y: Array, now: Step) -> Step:
    """On more data, from where a rough fit has come to."""
    model = _resized(step.model, x, y, step.dimension, MANY)
    moving = None
    if step.parameters > now.parameters:
        moving = _outside(model.actions.families[step.name], model.directions)
    return replace(step, model=model.fitted(moving=moving, iterations=30))


def _closed(step: Step, now: Step) -> Step | None:
    """With all brackets, if they are new and not too many."""
    actions = step.model.actions
    flat = actions.base.reshape(len(actions), -1)
    span = step.model.directions
    while True:
        a = np.tensordot(span, actions.base, 1)
        brackets = (a[:, None] @ a[None] - a[None] @ a[:, None]).reshape(-1, flat.shape[1])
        inside = brackets @ np.linalg.pinv(flat)
        outside = inside - inside @ span.T @ span
        u, s, vt = np.linalg.svd(outside, full_matrices=False)
        new = vt[s > BRACKETS * np.abs(np.linalg.norm(inside, axis=1)).max(initial=1e-300)]
        if not len(new):
            break
        span = np.linalg.qr(np.concatenate([span, new]).T)[0].T
        if len(span) > LARGEST:
            return None
    if len(span) == step.dimension:
        return None
    model = _resized(replace(step.model, directions=span), step.model.x, step.model.y, len(span), MANY)
    return Step(f"{step.name}, with brackets", _settled(model), step.parameters)


def _least_violated(model: Softly, rest: Array) -> Array:
    """(r, K) coordinates within a family, from the least violated."""
    points = model.points[: max(POINTS, 1500 // (len(rest) * model.y.shape[1]))]
    mean, covariance = model.violations(rest, points)
    square = mean_square(mean, covariance)
    normal = normal_square(model, rest, points)
    floor = 1e-6 * np.trace(normal) / len(normal) * np.eye(len(normal))
    vectors = eigh(square, normal + floor)[1].T @ rest
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def _outside(family: Array, directions: Array) -> Array:
    """Orthonormal basis of the part of a family that is orthogonal to directions."""
    rest = family - family @ directions.T @ directions if len(directions) else family
    u, s, vt = np.linalg.svd(rest, full_matrices=False)
    return np.asarray(vt[s > 1e-6 * max(s.max(initial=0.0), 1e-3)][: max(0, len(family))])


def _sizes(n: int, m: int, k: int, size: tuple[int, int]) -> tuple[int, int]:
    rows = min(n, max(size[0] // m, 2 * POINTS))
    return rows, min(rows, max(size[1] // (m * k), POINTS))


def _resized(model: Softly, x: Array, y: Array, k: int, size: tuple[int, int]) -> Softly:
    rows, points = _sizes(len(x), y.shape[1], k, size)
    return replace(model, x=x[:rows], y=y[:rows], points=np.arange(points), directions=orthonormal_rows(model.directions))


def orthonormal_rows(directions: Array) -> Array:
    return np.linalg.qr(directions.T)[0].T if len(directions) else directions
