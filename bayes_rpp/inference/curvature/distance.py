"""How far weights are from a mode, in the metric of the posterior there, by numpy alone.

It is the distance from the mode of the linearised model, sqrt(g^T H^-1 g) with g and H the gradient and minus the
Hessian of the log density: for a model that is linear in its weights the number of posterior standard deviations from
the mode.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bayes_rpp.inference.curvature.curvature import Curvature
from bayes_rpp.inference.curvature.full import DataSpace, WeightSpace
from bayes_rpp.inference.curvature.linearisation import Coordinates, Jacobian, Linearization
from bayes_rpp.models.model import Model
from bayes_rpp.networks.network import Network

CHEAP = 10**7  # numbers of the Jacobian: about a second
SMALL = 1000  # rows of what is factorised
ROWS = 20  # of the data, to see whether a network is linear in its weights
LINEAR = 1e-9


def mode_distance(model: Model, x: NDArray, y: NDArray, samples: Mapping[str, NDArray]) -> NDArray | None:
    """Of each member (members,) of samples (1, members, ...), in posterior standard deviations from the mode of the
    linearised model, given the numbers that are inferred; None where it is not cheap."""
    if not is_cheap(model, x):
        return None
    coordinates, weights, found = Coordinates(model, list(model.net.parameters)), members_of(model, samples), []
    linear = is_linear(model.net, weights[0], x)
    if not linear and len(weights) * model.net.size * x.size > CHEAP // 10:  # a network runs twice for each weight
        return None
    of = (unit_steps if linear else small_steps)(model.net, coordinates.names)
    for member, start in enumerate(weights):
        at = Linearization(model, x, y, start, coordinates, of)
        found.append(to_mode(full_curvature(at), numbers_of(model, samples, member)))
    return np.array(found)


def is_linear(net: Network, params: Mapping[str, NDArray], x: NDArray) -> bool:
    """Whether the outputs are affine in the weights, as far as three points on a line of random direction say."""
    rng, rows = np.random.default_rng(0), x[:ROWS].astype(np.float64)
    start = {k: np.asarray(params[k], dtype=np.float64) for k in net.parameters}
    size = max(1e-300, max(float(np.abs(w).max(initial=0.0)) for w in start.values()))
    move = {k: size * rng.normal(size=w.shape) for k, w in start.items()}
    a, b, c = (net({k: w + t * move[k] for k, w in start.items()}, rows) for t in (0, 1, 2))
    return bool(np.abs(a - 2 * b + c).max() <= LINEAR * max(np.abs(f).max() for f in (a, b, c)))


def is_cheap(model: Model, x: NDArray) -> bool:
    """Whether a step to the mode takes seconds at most."""
    n, p = len(x) * model.net.rep_out.size, model.net.size
    return n * p <= CHEAP and min(n, p) <= SMALL


def full_curvature(at: Linearization) -> Curvature:
    """By the outputs at the data, or by the weights, whichever are fewer."""
    return (DataSpace if at.f.size < at.coordinates.size else WeightSpace)(at)


def to_mode(curvature: Curvature, numbers: Mapping[str, float]) -> float:
    """In posterior standard deviations, of the mode of the linearised model."""
    return float(np.sqrt(2 * max(0.0, curvature.newton(numbers)[1])))


def members_of(model: Model, samples: Mapping[str, NDArray]) -> list[dict[str, NDArray]]:
    count = samples[next(iter(model.net.parameters))].shape[1]
    return [{k: samples[k][0, m].astype(np.float64) for k in model.net.parameters} for m in range(count)]


def numbers_of(model: Model, samples: Mapping[str, NDArray], member: int) -> dict[str, float]:
    return {k: float(samples[k][0, member]) for k in model.latents}


def unit_steps(net: Network, names: Sequence[str]) -> Jacobian:
    """Of a network that is affine in its weights: f(e_i) - f(0), exact whatever the sizes of its columns."""
    return lambda params, x: _differences(net, names, {k: np.zeros(w.shape) for k, w in params.items()}, x, 0.0, 1.0)


def small_steps(net: Network, names: Sequence[str]) -> Jacobian:
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
