"""An algebra that a search has tried, and how its directions may move."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bayes_rpp.symmetry.discovery.actions import Actions
from bayes_rpp.symmetry.discovery.softly import Softly
from bayes_rpp.symmetry.discovery.strength import mean_square, normal_square

Array = NDArray[np.float64]
POINTS = 12  # at which L_A f is zero, at least


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

    @cached_property
    def violation(self) -> float:
        """Root mean square strength of the directions, by the posterior."""
        return violation_of(self.model, self.model.directions) if self.dimension else 0.0

    @property
    def dimension(self) -> int:
        return len(self.model.directions)


def violation_of(model: Softly, directions: Array) -> float:
    """Root mean square strength of directions (k, K), by the posterior."""
    points = model.points[: max(POINTS, 1000 // (len(directions) * model.y.shape[1]))]
    square = mean_square(*model.violations(directions, points))
    normal = normal_square(model, directions, points)
    return math.sqrt(float(np.trace(square)) / max(float(np.trace(normal)), 1e-300))


def free(x: Array, y: Array, actions: Actions, size: tuple[int, int]) -> Softly:
    """A function without a symmetry."""
    rows, points = sizes(len(x), y.shape[1], 1, size)
    count = np.bincount(actions.kinds)
    none = np.zeros((0, len(actions)))
    starts = []
    for factor in (1.0, 3.0):
        numbers = np.concatenate([np.log(factor * np.sqrt(count)), [0.0, 0.0, math.log(0.1)]])
        starts.append(Softly(x[:rows], y[:rows], np.arange(points), actions, none, numbers).fitted())
    return max(starts, key=lambda s: s.evidence)


def conjugations(directions: Array, actions: Actions) -> Array:
    """(r, k, K) independent changes of an algebra to first order of exp(B) A exp(-B)."""
    a = np.tensordot(directions, actions.base, 1)
    moved = actions.base[:, None] @ a[None] - a[None] @ actions.base[:, None]
    rows = actions.coordinates(moved.reshape(-1, *moved.shape[2:])).reshape(*moved.shape[:2], -1)
    rows = rows - rows @ directions.T @ directions
    _, s, vt = np.linalg.svd(rows.reshape(len(actions), -1), full_matrices=False)
    return np.asarray(vt[s > 1e-6 * max(s.max(initial=0.0), 1e-3)].reshape(-1, *directions.shape))


def turns(step: Step) -> Array:
    """(r, k, K) changes of the directions of a step that its numbers stand for."""
    model = step.model
    if not step.parameters:
        return np.zeros((0, *model.directions.shape))
    if step.dimension == 1 and step.name in model.actions.families:
        return last_turns(outside(model.actions.families[step.name], model.directions), 0)
    return conjugations(model.directions, model.actions)


def last_turns(rest: Array, before: int) -> Array:
    """Changes of the last direction alone, (r, before + 1, K)."""
    found = np.zeros((len(rest), before + 1, rest.shape[1]))
    found[:, -1] = rest
    return found


def outside(family: Array, directions: Array) -> Array:
    """Orthonormal basis of the part of a family that is orthogonal to directions."""
    rest = family - family @ directions.T @ directions if len(directions) else family
    _, s, vt = np.linalg.svd(rest, full_matrices=False)
    return np.asarray(vt[s > 1e-6 * max(s.max(initial=0.0), 1e-3)])


def sizes(n: int, m: int, k: int, size: tuple[int, int]) -> tuple[int, int]:
    """Of n examples with m outputs, how many to look at, and at how many of these L_A f is zero for k directions; as
    many as make `size` numbers of each."""
    rows = min(n, max(size[0] // m, 2 * POINTS))
    return rows, min(rows, max(size[1] // (m * k), POINTS))


def orthonormal_rows(directions: Array) -> Array:
    """(k, K) with the same span."""
    return np.linalg.qr(directions.T)[0].T if len(directions) else directions
