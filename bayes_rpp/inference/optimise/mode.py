"""The rest of the way to a mode after training: Gauss-Newton steps in float64 on all data.

Numbers that are inferred stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_rpp._imports import load_module
from bayes_rpp._warnings import warn_user
from bayes_rpp.inference.curvature.curvature import GAIN, search
from bayes_rpp.inference.curvature.distance import (
    full_curvature,
    is_cheap,
    is_linear,
    members_of,
    numbers_of,
    to_mode,
    unit_steps,
)
from bayes_rpp.inference.curvature.linearisation import Coordinates, Linearization
from bayes_rpp.inference.methods import MAP
from bayes_rpp.inference.posterior.diagnostics import ConvergenceWarning
from bayes_rpp.inference.posterior.posterior import Posterior
from bayes_rpp.inference.run.task import Task
from bayes_rpp.models.model import Model

FAR = 0.1  # posterior standard deviations
GIGABYTES = 4.0  # where steps were asked for


def finish(task: Task, post: Posterior) -> Posterior:
    """A trained MAP or ensemble at its modes, where the method says so or it is cheap.

    Warns:
        ConvergenceWarning: if a model that is linear in its weights is not at its mode in the end.
    """
    method = task.method
    stopped = post.training["loss"].shape[1] < method.epochs or (task.validation is not None and not method.polish)
    if stopped or task.stream is not None:
        return post  # on purpose, or to be looked at by validation; the steps are of all data at once
    samples, farthest = polished(task.model, task.x, task.y, post.samples, method, task.engine)
    if farthest > FAR:
        warn_user(
            f"{type(method).__name__} ended {farthest:.2g} posterior standard deviations from the mode that its steps "
            "head for; more epochs, polish=100, or x and y scaled to about 1, would do",
            ConvergenceWarning,
        )
    return post.replace(samples=samples)


def check(task: Task) -> None:
    """Raise ValueError if the steps that a method asks for take too much memory."""
    if not task.method.polish:
        return
    n, p = len(task.x) * task.model.net.rep_out.size, task.model.net.size
    needed = 8e-9 * (2 * n * p + 5 * min(n, p) ** 2)
    if needed > GIGABYTES:
        raise ValueError(
            f"polish must fit in memory, {GIGABYTES:g} GB, got {task.method.polish}, whose steps need about "
            f"{needed:.2g} GB for {n} outputs at the data and {p} weights; polish=0 or None would do"
        )


def polished(
    model: Model, x: NDArray, y: NDArray, samples: Mapping[str, NDArray], method: MAP, engine: str
) -> tuple[dict[str, NDArray], float]:
    """Samples (1, members, ...) at their modes, float64, and how far the farthest one still is; as they are, and 0,
    where the method has no steps, or has them only where they are cheap, and they are not."""
    weights, found = members_of(model, samples), dict(samples)
    asked = method.polish is not None
    if not method.polishing or not (asked or is_cheap(model, x)):
        return found, 0.0
    jacobian: Any = unit_steps if is_linear(model.net, weights[0], x) else None
    if jacobian is None:
        if not asked:
            return found, 0.0
        jacobian = load_module(f"bayes_rpp.inference.curvature.{engine}").jacobian
    coordinates = Coordinates(model, list(model.net.parameters))
    of, farthest, ends = jacobian(model.net, coordinates.names), 0.0, []
    for member, start in enumerate(weights):
        numbers = numbers_of(model, samples, member)
        curvature = full_curvature(Linearization(model, x, y, start, coordinates, of))
        for _ in range(method.polishing):
            step, gain = curvature.newton(numbers)
            there = None if gain < GAIN else search(curvature.at, numbers, step)
            if there is None:
                break
            curvature = full_curvature(curvature.at.moved(there))
        farthest = max(farthest, to_mode(curvature, numbers))
        ends.append(curvature.at.weights)
    found |= {k: np.stack([end[k] for end in ends])[None] for k in model.net.parameters}
    return found, farthest
