"""The Lie algebra of the highest evidence, grown direction by direction.

Each step proposes whole algebras with a name, those near the directions that the data violate little, and single
directions, within the rotations, the scalings and all; turns them until the evidence is highest, adds the brackets, and
keeps the best. Each number by which an algebra was chosen costs log(numbers in y) / 2 (Schwarz 1978): of one direction
among r those of the sphere, of a larger algebra those by which it turns into its conjugates.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bayes_rpp.symmetry.discovery.actions import Actions
from bayes_rpp.symmetry.discovery.algebra import nearest_algebra
from bayes_rpp.symmetry.discovery.nearest import least_violated, nearest_direction
from bayes_rpp.symmetry.discovery.softly import Softly
from bayes_rpp.symmetry.discovery.steps import (
    Step,
    conjugations,
    free,
    last_turns,
    orthonormal_rows,
    outside,
    sizes,
    turns,
    violation_of,
)

Array = NDArray[np.float64]
FEW, MANY, ALL = (210, 80), (900, 400), (900, 900)  # numbers of y, and of L_A f that are zero, rough, fine, at the end
MARGIN = 3.0  # nats by which a larger algebra must be better
FOLLOWED, MOST = 2, 4  # directions of each family; and proposals that are looked at closely
CLOSE = 30.0  # nats
BRACKETS = 0.15  # sine of the angle below which a bracket, or a direction, lies in a span
LARGEST = 12  # dimension of an algebra that brackets generate
SHARES = (0.03, 0.5)  # sigma_b / sigma, at the start of those that turn
STRONG = (0.7, 0.35)  # violations of a direction that is not tried, at first (but the least is) and later
KEPT, SEEN = 0.2, 0.4  # violation of an algebra that f almost has; and by a fit that knows nothing of it
CLEAR = 0.07  # violation of one that f has, if the evidence says so
LITTLE, WORSE = 0.1, 5.0  # violation of one that f has for all practical purposes, if its evidence is not worse by more
ROUNDS = 2  # of least violated directions
GAP, WEAK = 2.5, 0.3  # between the violations of directions that belong together and others, and the largest of these


def search(
    x: Array, y: Array, actions: Actions, told: Callable[[], object] = lambda: None
) -> tuple[list[Step], list[Step]]:
    """Steps that were taken, from the free function on, each better than the one before; then what else was tried.

    Args:
        x, y: columns of a size of about 1, in random order.
        told: called after each algebra that is tried.
    """

    def seen(steps: Iterable[Step]) -> Iterator[Step]:
        for step in steps:
            told()
            yield step

    taken = [Step("none", free(x, y, actions, MANY), 0)]
    tried: list[Step] = []
    wholes = list(seen(_wholes(taken[0], x, y)))
    while (now := taken[-1]).dimension < len(actions.families["all"]):
        names = {s.name for s in tried}
        larger = [s for s in wholes if s.name not in names and _holds(s.model.directions, now.model.directions)]
        rough = [s for s in [*larger, *seen(_grown(now, x, y))] if math.isfinite(s.score)]
        rough.sort(key=lambda s: -s.score)
        least = max(s.score for s in [_roughly(now, x, y), *rough[:1]]) - CLOSE
        fine = list(seen(_finer(s, x, y, now) for s in _followed(rough, least)))
        opened = [s for s in fine if len(_bracketed(s)) > s.dimension]
        closed = [c for s in opened for c in _closed(s, x, y) if _is_worth(c, least)]
        fine += seen(_finer(s, x, y, now) for s in _distinct(closed))
        fine += [s for s in _together(now, x, y) if math.isfinite(s.score)]
        fine = _level([s for s in fine if s not in opened], x, y)
        tried += fine
        better = [s for s in fine if _is_better(s, now, taken[0].model)]
        if not better:
            break
        taken.append(max(better, key=lambda s: s.score))
    if len(taken) > 1:
        taken[-1] = _finest(taken[-1], x, y, taken[-2].parameters)
    return taken, [s for s in tried if s not in taken]


def _is_better(step: Step, now: Step, unknowing: Softly) -> bool:
    """Whether an algebra holds, exactly or nearly, and rather than the one before.

    A model with a symmetry fills in where there are no data, so that its own word for one that nearly holds is too
    good where data are few: a free function of the same data has to show it, too.
    """
    if step.score < now.score + MARGIN and step.model.evidence < now.model.evidence - WORSE:
        return False
    if step.violation > (KEPT if step.score > now.score + MARGIN else LITTLE):
        return False
    return step.violation < CLEAR or violation_of(unknowing, step.model.directions) < SEEN


def _roughly(step: Step, x: Array, y: Array) -> Step:
    return replace(step, model=_resized(step.model, x, y, max(step.dimension, 1), FEW).fitted(iterations=20))


def _followed(rough: list[Step], least: float) -> list[Step]:
    """The best proposals, and the best of each dimension: larger algebras, whose L_A f is zero at few points of a rough
    fit, show their worth on all data."""
    best: dict[int, Step] = {}
    for step in rough:
        best.setdefault(step.dimension, step)
    chosen = [*rough[:FOLLOWED], *(s for s in best.values() if s not in rough[:FOLLOWED])]
    return [s for s in chosen if _is_worth(s, least)][:MOST]


def _is_worth(step: Step, least: float) -> bool:
    return step.score > least or (step.dimension > 1 and step.violation < KEPT)


def _level(fine: list[Step], x: Array, y: Array) -> list[Step]:
    """Those larger than the best, and nearly as good, with L_A f zero at as many points as there may be: the evidence
    of few points is too low."""
    best = max(fine, key=lambda s: s.score, default=None)
    return [
        replace(s, model=_resized(s.model, x, y, s.dimension, ALL).fitted(iterations=20))
        if best is not None and s.dimension > best.dimension and s.score > best.score - CLOSE
        else s
        for s in fine
    ]


def _wholes(none: Step, x: Array, y: Array) -> Iterator[Step]:
    """Rough fits of algebras with a name."""
    for name, rows in none.model.actions.wholes.items():
        model = _resized(replace(none.model, directions=rows), x, y, len(rows), FEW)
        yield Step(name, _settled(model, SHARES[:1]), 0)


def _holds(larger: Array, directions: Array) -> bool:
    """Whether an algebra is larger than a span that lies in it, but for noise."""
    beyond = directions - directions @ larger.T @ larger
    return len(larger) > len(directions) and bool(np.linalg.norm(beyond, axis=1).max(initial=0.0) < BRACKETS)


def _grown(now: Step, x: Array, y: Array) -> Iterator[Step]:
    """Rough fits of the present directions with one more."""
    model, k = now.model, now.dimension
    base = _resized(model, x, y, k + 1, FEW)
    for name, family in model.actions.families.items():
        rest = outside(family, model.directions)
        if not len(rest):
            continue
        vectors, strengths = least_violated(model, rest)
        near = strengths < STRONG[k > 0]
        near[0] |= not k  # what a rough function of few data hides, one with the symmetry may show
        for start in vectors[near][:FOLLOWED]:
            single = replace(base, directions=np.concatenate([model.directions, start[None]]))
            moving = last_turns(outside(rest, start[None]), k)
            yield Step(name, _settled(single, SHARES, moving), now.parameters + len(moving))


def _together(now: Step, x: Array, y: Array) -> Iterator[Step]:
    """The algebra near the directions that are violated little, where there is a gap between these and others."""
    actions, k = now.model.actions, now.dimension
    rest = outside(actions.families["all"], now.model.directions)
    if len(rest) < 2:
        return
    vectors, strengths = least_violated(now.model, rest)
    ratios = strengths[1:] / np.maximum(strengths[:-1], 1e-6)
    count = int(np.argmax(np.where(strengths[:-1] < WEAK, ratios, 0.0))) + 1
    if ratios[count - 1] < GAP or strengths[count - 1] > WEAK or count + k < 2:
        return
    span = np.concatenate([now.model.directions, vectors[:count]])
    nearest = nearest_algebra(np.tensordot(span, actions.base, 1))
    if nearest is None:
        return
    directions = orthonormal_rows(actions.coordinates(nearest))
    moving = conjugations(directions, actions)
    few = _resized(replace(now.model, directions=directions), x, y, k + count, FEW)
    turned = _settled(few, SHARES, moving)
    closed = nearest_algebra(np.tensordot(turned.directions, actions.base, 1))
    if closed is not None:
        many = _resized(
            replace(turned, directions=orthonormal_rows(actions.coordinates(closed))), x, y, k + count, MANY
        )
        yield Step("together", many.fitted(iterations=30), len(moving))


def _settled(model: Softly, shares: Sequence[float], moving: Array | None = None) -> Softly:
    """Fitted from nearly strict and from soft starts."""
    found = []
    size = 0.5 * float(np.logaddexp(2 * model.numbers[-3], 2 * model.numbers[-2]))
    for share in shares:
        numbers = model.numbers.copy()
        numbers[-3] = size + math.log(2.0)
        numbers[-2] = size + math.log(share)
        found.append(replace(model, numbers=numbers).fitted(moving=moving, iterations=20))
    return max(found, key=lambda s: s.evidence)


def _finer(step: Step, x: Array, y: Array, now: Step) -> Step:
    """On more data, from where a rough fit has come to; and, if it is nearly better than the present one, with L_A f
    zero at as many points as there may be, of which larger algebras have fewer."""
    model = _resized(step.model, x, y, step.dimension, MANY)
    moving = None
    if step.name in model.actions.families and step.parameters > now.parameters:
        moving = last_turns(outside(model.actions.families[step.name], model.directions), now.dimension)
    fine = replace(step, model=model.fitted(moving=moving, iterations=30))
    more = _resized(fine.model, x, y, fine.dimension, ALL)
    if -CLOSE < fine.score - now.score < MARGIN and len(more.points) > len(model.points):
        return replace(fine, model=more.fitted(iterations=20))
    return fine


def _finest(step: Step, x: Array, y: Array, parameters: int) -> Step:
    """With L_A f zero at as many points as there may be; an algebra that was tried whole turns, if that is worth it,
    and a single direction that only nearly holds becomes the least violated one."""
    turning = step
    if step.parameters <= parameters and step.dimension == 1:
        name = next(n for n, f in step.model.actions.families.items() if not len(outside(step.model.directions, f)))
        turning = replace(step, name=name, parameters=len(step.model.actions.families[name]) - 1)
    model = _resized(step.model, x, y, step.dimension, ALL).fitted(iterations=20)
    found = [replace(step, model=model)]
    if step.dimension == 1 and len(moving := turns(turning)):
        if found[0].violation > CLEAR:
            return replace(turning, model=_nearest(model, model.actions.families[turning.name]))
        found.append(replace(turning, model=model.fitted(moving=moving, iterations=30)))
    return max(found, key=lambda s: s.score)


def _nearest(model: Softly, family: Array) -> Softly:
    """With the least violated direction of a family, again and again, as the model leans towards its own."""
    rng = np.random.default_rng(0)
    for _ in range(ROUNDS):
        direction, scatter = nearest_direction(model, family, rng)
        model = replace(model, directions=direction, scatter=scatter).fitted(iterations=20)
    return model


def _distinct(steps: list[Step]) -> list[Step]:
    """One of each algebra, the best."""
    found: list[Step] = []
    for step in sorted(steps, key=lambda s: -s.score):
        own = step.model.directions
        if all(len(o) != len(own) or len(outside(own, o)) for o in (s.model.directions for s in found)):
            found.append(step)
    return found


def _closed(step: Step, x: Array, y: Array) -> Iterator[Step]:
    """Rough fits of algebras in place of directions whose brackets lead out of their span, as a function that keeps
    them keeps the brackets, too: with all of these, if they are not too many, and the nearest of the same dimension,
    if noise has turned them."""
    actions = step.model.actions
    found = []
    if len(span := _bracketed(step)) <= LARGEST:
        found.append(span)
    if (nearest := nearest_algebra(np.tensordot(step.model.directions, actions.base, 1))) is not None:
        found.append(orthonormal_rows(actions.coordinates(nearest)))
    for span in found:
        model = _resized(replace(step.model, directions=span), x, y, len(span), FEW)
        yield Step(f"{step.name}, with brackets", _settled(model, SHARES), step.parameters)


def _bracketed(step: Step) -> Array:
    """(k, K) directions with their brackets, and those of these, until there are no more, or too many."""
    actions = step.model.actions
    span = step.model.directions
    while 0 < len(span) <= LARGEST:
        a = np.tensordot(span, actions.base, 1)
        brackets = a[:, None] @ a[None] - a[None] @ a[:, None]
        inside = actions.coordinates(brackets.reshape(-1, *a.shape[1:]))
        beyond = inside - inside @ span.T @ span
        _, s, vt = np.linalg.svd(beyond, full_matrices=False)
        new = vt[s > BRACKETS * np.abs(np.linalg.norm(inside, axis=1)).max(initial=1e-300)]
        if not len(new):
            break
        span = orthonormal_rows(np.concatenate([span, new]))
    return span


def _resized(model: Softly, x: Array, y: Array, k: int, size: tuple[int, int]) -> Softly:
    rows, points = sizes(len(x), y.shape[1], k, size)
    return replace(
        model, x=x[:rows], y=y[:rows], points=np.arange(points), directions=orthonormal_rows(model.directions)
    )
