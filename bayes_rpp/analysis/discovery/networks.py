"""Symmetries of more data than functions take: what networks violate little, judged by the evidence of functions.

The Jacobians of an ensemble that has seen all examples suggest algebras, by the linear solve of LieGG (Moskalev et al.
2022) and the nearest algebra. The evidence of functions of some of the examples says which holds, and turns it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_rpp._types import EngineName
from bayes_rpp.analysis.function_candidates import MOST_NUMBERS
from bayes_rpp.analysis.standardize import Standardization
from bayes_rpp.inference.fit import fit
from bayes_rpp.inference.methods import MAP, DeepEnsemble
from bayes_rpp.models.likelihoods import Gaussian
from bayes_rpp.models.model import Model
from bayes_rpp.models.process.gaussian_process import GaussianProcess
from bayes_rpp.networks.mlp import MLP
from bayes_rpp.symmetry.discovery.actions import Actions
from bayes_rpp.symmetry.discovery.algebra import nearest_algebra
from bayes_rpp.symmetry.discovery.sampled import FunctionSymmetries, symmetries_of
from bayes_rpp.symmetry.discovery.search import (
    KEPT,
    LITTLE,
    MANY,
    MARGIN,
    POINTS,
    SHARES,
    WEAK,
    WORSE,
    Step,
    conjugations,
    free,
    orthonormal_rows,
)  # fmt: skip
from bayes_rpp.symmetry.discovery.softly import Softly

Array = NDArray[np.float64]
CHANNELS, LAYERS, MEMBERS, NOISE = 128, 2, 5, 0.1
STEPS, BATCH, EPOCHS, PATIENCE, HELD_OUT = 3000, 64, (20, 300), 25, 0.2
LOOKED_AT = 200  # points of Jacobians
SUGGESTIONS, FOLLOWED = 3, 3  # spans, and algebras that are looked at closely
FEW, CLOSE = (300, 150), (240, 1440)  # numbers of y, and of L_A f that are zero, of a rough look and of a close one
STEP = 1.5  # between the violations of directions that may belong together and others
NEAR, SAME = 0.9, 0.99  # cosines of the angle between what is violated little and its part within rotations
KINDS = "auto", "functions", "networks"


def outputs_of(
    model: Any,
    x: Array,
    y: Array,
    to_x: Standardization,
    to_y: Standardization,
    engine: EngineName | None,
    seed: int,
) -> Callable[[Array], Array] | None:
    """Draws (s, n, d_out) of f at (n, d_in), both standardized, of what `model` of `discover_symmetry` says, fitted if
    it is not yet; None for functions.

    Raises:
        TypeError, ValueError: if it is none of those.
    """
    if isinstance(model, str):
        if model not in KINDS:
            raise ValueError(
                f"model must be one of {', '.join(map(repr, KINDS))}, or a model or posterior, got {model!r}"
            )
        if model == "functions" or (model == "auto" and y.size <= MOST_NUMBERS):
            return None
        post = _ensemble(to_x(x), to_y(y), engine, seed)
        return lambda z: _draws(post, z)
    if isinstance(model, Model | GaussianProcess):
        method = MAP() if isinstance(model, GaussianProcess) else _method(len(x))
        model = fit(model, x, y, method, engine=engine, seed=seed, progress=False)
    if not hasattr(model, "outputs"):
        raise TypeError(
            f"model must be 'auto', 'functions', 'networks', a model or a posterior, got a {type(model).__name__}"
        )
    sizes = model.model.rep_in.size, model.model.rep_out.size
    if sizes != (x.shape[1], y.shape[1]):
        raise ValueError(
            f"model must take the {x.shape[1]} columns of x to the {y.shape[1]} of y, got {sizes[0]} to {sizes[1]}"
        )
    return lambda z: to_y(_draws(model, to_x.undo(z)))


def _ensemble(x: Array, y: Array, engine: EngineName | None, seed: int) -> Any:
    """That of standardized data in random order, of which a part stops it early."""
    order = np.random.default_rng([seed, 2]).permutation(len(x))
    held, train = np.split(order, [max(1, int(HELD_OUT * len(x)))])
    net = MLP(x.shape[1], y.shape[1], channels=CHANNELS, layers=LAYERS)
    model = Model(net, sigma_b=0.0, likelihood=Gaussian(NOISE))
    x, y = x.astype(np.float32), y.astype(np.float32)
    method = replace(_method(len(train)), patience=PATIENCE)
    validation = x[held], y[held]
    return fit(model, x[train], y[train], method, engine=engine, seed=seed, progress=False, validation=validation)


def _method(n: int) -> DeepEnsemble:
    epochs = int(np.clip(STEPS // max(1, n // BATCH), *EPOCHS))
    return DeepEnsemble(members=MEMBERS, epochs=epochs, batch_size=min(BATCH, n))


def _draws(post: Any, z: Array) -> Array:
    found = np.asarray(post.outputs(z), dtype=np.float64)
    return found.reshape(-1, *found.shape[-2:])


def judged(
    outputs: Callable[[Array], Array], x: Array, y: Array, actions: Actions, given: tuple[Any, Any, Any]
) -> tuple[list[Step], list[Step], FunctionSymmetries, Step]:
    """As `search`, the steps that were taken and others that were tried, of what networks suggest; what these say; and
    the last step by more of the examples.

    Args:
        outputs: draws of f.
        x, y: columns of a size of about 1, in random order.
        given: rep_in, rep_out and within.
    """
    rep_in, rep_out, within = given
    seen = symmetries_of(
        outputs,
        x,
        rep_in=rep_in,
        rep_out=rep_out,
        within=within,
        points=LOOKED_AT,
        dim=actions.base.shape[1] if actions.are_known else None,
    )
    none = Step("none", free(x, y, actions, MANY), 0)
    wholes = (step for name, rows in _wholes(seen, actions) if (step := _turned(name, rows, None, none, actions)))
    rough = [*wholes, *(step for span in _suggested(seen) for step in _near(span, none, actions))]
    rough.sort(key=lambda s: -s.score)
    first: dict[int, Step] = {}
    for step in rough:
        first.setdefault(step.dimension, step)  # larger algebras show their worth on more data
    followed = [s for s in rough if s in rough[:2] or s in first.values()][:FOLLOWED]
    steps = [replace(s, model=_sized(s.model, none, CLOSE).fitted(iterations=30)) for s in followed]
    beside = Step("none", _sized(none.model, none, CLOSE).fitted(), 0)
    better = [s for s in steps if _is_better(s, beside)]
    if not better:
        return [beside], steps, seen, none
    best = max(better, key=lambda s: s.score)
    last = replace(best, model=_sized(best.model, none, MANY).fitted(iterations=20))
    return [beside, best], [s for s in steps if s is not best], seen, last


def _suggested(seen: FunctionSymmetries) -> list[Array]:
    """(k, n, n) spans of the least violated directions, up to where the next is violated more by far."""
    s = seen.spectrum
    strength = s.strength[: int(s.is_known.argmin()) if not s.is_known.all() else len(s)]
    ratios = np.append(strength[1:], 1.0) / np.maximum(strength, 1e-3)
    ends = [k for k in range(len(strength)) if strength[k] < WEAK and (ratios[k] > STEP or k == 0)]
    return [s.directions[: k + 1] for k in sorted(sorted(ends, key=lambda k: -ratios[k])[:SUGGESTIONS])]


def _wholes(seen: FunctionSymmetries, actions: Actions) -> list[tuple[str, Array]]:
    """Algebras with a name that networks violate little, the largest first."""
    basis, square = actions.coordinates(seen.spectrum.directions), seen.spectrum.strength**2
    found = [
        (name, rows)
        for name, rows in actions.wholes.items()
        if np.sqrt((((rows @ basis.T) ** 2) @ square).mean()) < WEAK
    ]
    return sorted(found, key=lambda whole: -len(whole[1]))[:SUGGESTIONS]


def _near(span: Array, none: Step, actions: Actions) -> Iterator[Step]:
    """The algebra near a span and those near its parts within rotations and scalings, turned."""
    rows = actions.coordinates(span)
    for name, family in actions.families.items():
        inside = rows @ family.T @ family
        cosines = np.linalg.norm(inside, axis=1) / np.linalg.norm(rows, axis=1)
        if cosines.min() < NEAR or (directions := _closed(orthonormal_rows(inside), actions)) is None:
            continue
        if len(directions) > 1:
            moving = conjugations(directions, actions)
        else:
            rest = family - np.outer(family @ directions[0], directions[0])
            _, values, vt = np.linalg.svd(rest, full_matrices=False)
            moving = vt[values > 1e-6][:, None]
        step = _turned(name, directions, moving, none, actions)
        if step is not None:
            yield step
        if cosines.min() > SAME:
            return


def _turned(name: str, directions: Array, moving: Array | None, none: Step, actions: Actions) -> Step | None:
    """An algebra turned to the highest evidence of functions of few examples."""
    model, starts = _sized(replace(none.model, directions=directions), none, FEW), []
    size = 0.5 * float(np.logaddexp(2 * model.numbers[-3], 2 * model.numbers[-2]))
    for share in SHARES:
        numbers = model.numbers.copy()
        numbers[-3:-1] = size, size + math.log(share)
        starts.append(replace(model, numbers=numbers).fitted(moving=moving, iterations=20))
    best = max(starts, key=lambda s: s.evidence)
    turned = _closed(best.directions, actions)  # what turns to first order may not close
    if turned is None or len(turned) != len(directions) or not math.isfinite(best.evidence):
        return None
    return Step(name, replace(best, directions=turned), 0 if moving is None else len(moving))


def _closed(directions: Array, actions: Actions) -> Array | None:
    """(k, K) coordinates of the algebra near a span (k, K)."""
    nearest = nearest_algebra(np.tensordot(directions, actions.base, 1))
    return None if nearest is None else orthonormal_rows(actions.coordinates(nearest))


def _sized(model: Softly, none: Step, size: tuple[int, int]) -> Softly:
    """With so many numbers of y, and of L_A f that are zero."""
    x, y = none.model.x, none.model.y
    rows = min(len(x), max(size[0] // y.shape[1], 2 * POINTS))
    points = min(rows, max(size[1] // (y.shape[1] * max(len(model.directions), 1)), POINTS))
    return replace(model, x=x[:rows], y=y[:rows], points=np.arange(points))


def _is_better(step: Step, none: Step) -> bool:
    """Whether an algebra holds, exactly or nearly; see `search`."""
    if not math.isfinite(step.score):
        return False
    if step.score > none.score + MARGIN:
        return step.violation < KEPT
    return step.model.evidence > none.model.evidence - WORSE and step.violation < LITTLE
