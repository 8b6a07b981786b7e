"""How far weights are from a mode, and the rest of the way: Gauss-Newton steps in float64 on all data.

The distance is that of the mode of the linearised model in the metric of its posterior, sqrt(g^T H^-1 g) with g and H
the gradient and minus the Hessian of the log density: for a model that is linear in its weights the number of posterior
standard deviations from the mode. Numbers that are inferred stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_rpp._warnings import warn_user
from bayes_rpp.inference.laplace.curvature import Curvature
from bayes_rpp.inference.laplace.full import Data, Weights
from bayes_rpp.inference.laplace.laplace import GAIN, search
from bayes_rpp.inference.laplace.linearisation import Coordinates, Jacobian, Linearisation
from bayes_rpp.inference.methods import MAP
from bayes_rpp.inference.posterior.diagnostics import ConvergenceWarning
from bayes_rpp.inference.posterior.posterior import Posterior
from bayes_rpp.inference.run.task import Task
from bayes_rpp.models.model import Model
from bayes_rpp.networks.network import Network

FAR = 0.1  # posterior standard deviations
CHEAP = 10**7  # numbers of the Jacobian: about a second
SMALL = 1000  # rows of what is factorised
GIGABYTES = 4.0  # where steps were asked for
ROWS = 20  # of the data, to see whether a network is linear in its weights
LINEAR = 1e-9


def finish(task: Task, post: Posterior) -> Posterior:
    """A trained MAP or ensemble at its modes, where the method says so or it is cheap.

    Warns:
        ConvergenceWarning: if a model that is linear in its weights is not at its mode in the end.
    """
    method = task.method
    if post.training["loss"].shape[1] < method.epochs or (task.validation is not None and not method.polish):
        return post  # stopped on purpose, or to be looked at by validation
    samples, farthest = polished(task.model, task.x, task.y, post.samples, method, task.engine)
    if farthest > FAR:
        warn_user(
            f"{type(method).__name__} ended {farthest:.2g} posterior standard deviations from the mode that its steps "
            "head for; more epochs, polish=100, or x and y scaled to about 1, would do",
            ConvergenceWarning,
        )
    post.samples = samples
    return post


def check(task: Task) -> None:
    """Raise ValueError if the steps that a method asks for take too much memory."""
    if not task.method.polish:
        return
    n, p = len(task.x) * task.model.net.rep_out.size, task.model.net.size
    needed = 8e-9 * (2 * n * p + 5 * min(n, p) ** 2)
    if needed > GIGABYTES:
        raise ValueError(
            f"polish is {task.method.polish}, whose steps need about {needed:.2g} GB for {n} outputs at the data and "
            f"{p} weights, more than {GIGABYTES:g} GB; polish=0 or None would do"
        )


def polished(
    model: Model, x: NDArray, y: NDArray, samples: Mapping[str, NDArray], method: MAP, engine: str
) -> tuple[dict[str, NDArray], float]:
    """Samples (1, members, ...) at their modes, float64, and how far the farthest one still is; as they are, and 0,
    where the method has no steps, or has them only where they are cheap, and they are not."""
    weights, found = _members(model, samples), dict(samples)
    asked = method.polish is not None
    if not method.polishing or not (asked or _is_cheap(model, x)):
        return found, 0.0
    jacobian: Any = _unit_steps if is_linear(model.net, weights[0], x) else None
    if jacobian is None:
        if not asked:
            return found, 0.0
        jacobian = import_module(f"bayes_rpp.inference.laplace.{engine}").jacobian
    coordinates = Coordinates(model, list(model.net.parameters))
    of, farthest, ends = jacobian(model.net, coordinates.names), 0.0, []
    for member, start in enumerate(weights):
        numbers = _numbers(model, samples, member)
        curvature = _curvature(Linearisation(model, x, y, start, coordinates, of))
        for _ in range(method.polishing):
            step, gain = curvature.newton(numbers)
            there = None if gain < GAIN else search(curvature.at, numbers, step)
            if there is None:
                break
            curvature = _curvature(curvature.at.moved(there))
        farthest = max(farthest, _distance(curvature, numbers))
        ends.append(curvature.at.weights)
    found |= {k: np.stack([end[k] for end in ends])[None] for k in model.net.parameters}
    return found, farthest


def mode_distance(post: Posterior) -> NDArray | None:
    """Of each member of a MAP or ensemble, (members,), in posterior standard deviations from the mode of the linearised
    model; None for other posteriors, and where it is not cheap."""
    model = post.model
    if not post.method.startswith(("MAP(", "DeepEnsemble(")) or not _is_cheap(model, post.x):
        return None
    coordinates, weights, found = Coordinates(model, list(model.net.parameters)), _members(model, post.samples), []
    linear = is_linear(model.net, weights[0], post.x)
    if not linear and len(weights) * model.net.size * post.x.size > CHEAP // 10:  # a network runs twice for each weight
        return None
    of = (_unit_steps if linear else _small_steps)(model.net, coordinates.names)
    for member, start in enumerate(weights):
        at = Linearisation(model, post.x, post.y, start, coordinates, of)
        found.append(_distance(_curvature(at), _numbers(model, post.samples, member)))
    return np.array(found)


def is_linear(net: Network, params: Mapping[str, NDArray], x: NDArray) -> bool:
    """Whether the outputs are affine in the weights, as far as three points on a line of random direction say."""
    rng, rows = np.random.default_rng(0), x[:ROWS].astype(np.float64)
    start = {k: np.asarray(params[k], dtype=np.float64) for k in net.parameters}
    size = max(1e-300, max(float(np.abs(w).max(initial=0.0)) for w in start.values()))
    move = {k: size * rng.normal(size=w.shape) for k, w in start.items()}
    a, b, c = (net({k: w + t * move[k] for k, w in start.items()}, rows) for t in (0, 1, 2))
    return bool(np.abs(a - 2 * b + c).max() <= LINEAR * max(np.abs(f).max() for f in (a, b, c)))


def _is_cheap(model: Model, x: NDArray) -> bool:
    n, p = len(x) * model.net.rep_out.size, model.net.size
    return n * p <= CHEAP and min(n, p) <= SMALL


def _curvature(at: Linearisation) -> Curvature:
    return (Data if at.f.size < at.coordinates.size else Weights)(at)


def _distance(curvature: Curvature, numbers: Mapping[str, float]) -> float:
    return float(np.sqrt(2 * max(0.0, curvature.newton(numbers)[1])))


def _members(model: Model, samples: Mapping[str, NDArray]) -> list[dict[str, NDArray]]:
    count = samples[next(iter(model.net.parameters))].shape[1]
    return [{k: samples[k][0, m].astype(np.float64) for k in model.net.parameters} for m in range(count)]


def _numbers(model: Model, samples: Mapping[str, NDArray], member: int) -> dict[str, float]:
    return {k: float(samples[k][0, member]) for k in model.latents}


def _unit_steps(net: Network, names: Sequence[str]) -> Jacobian:
    """Of a network that is affine in its weights: f(e_i) - f(0), exact whatever the sizes of its columns."""
    return lambda params, x: _differences(net, names, {k: np.zeros(w.shape) for k, w in params.items()}, x, 0.0, 1.0)


def _small_steps(net: Network, names: Sequence[str]) -> Jacobian:
    """Of any network, by central differences: to some eight digits."""
    return lambda params, x: _differences(net, names, params, x, 1e-5, 1e-5)


def _differences(
    net: Network, names: Sequence[str], at: Mapping[str, NDArray], x: NDArray, back: float, ahead: float
) -> dict[str, NDArray]:
    """(f(W + a e_i) - f(W - b e_i)) / (a + b) by name of W, (n, d, *shape)."""
    found, middle = {}, None if back else net(at, x)
    for name in names:
        columns = []
        for i in range(at[name].size):
            ends = []
            for step in (ahead, -back) if back else (ahead,):
                w = np.array(at[name], dtype=np.float64)
                w.flat[i] += step
                ends.append(net({**at, name: w}, x))
            columns.append((ends[0] - (ends[1] if back else middle)) / (ahead + back))
        found[name] = np.stack(columns, axis=-1).reshape((*columns[0].shape, *at[name].shape))
    return found
