"""A double pendulum on springs in three dimensions, symmetric about the vertical, or slightly not for the wind.

H = |p_1|^2 / 2 + |p_2|^2 / 2 + (|x_1| - 1)^2 / 2 + (|x_1 - x_2| - 1)^2 + z_1 + z_2, both masses, g and the first spring
1, the second spring 2, hung up at the origin (paper, Section 5.1; Finzi, Welling and Wilson 2021, Section 7.2). The
wind adds (x_1 + x_2) . (0.08, 0.05, 0). Rotations about the vertical and reflections in vertical planes, O(2) acting on
R^3, keep H; the wind breaks both. All rotations, SO(3), are broken by gravity: `dataclasses.replace(pendulum(),
group=SO(3))` is the paper's misspecified task.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.integrate import solve_ivp

from bayes_rpp._arrays import whole_number
from bayes_rpp._given import real_array
from bayes_rpp.datasets.dataset import Dataset
from bayes_rpp.symmetry.groups import Group
from bayes_rpp.symmetry.representations import Vector

STEP, LENGTH, CHUNK = 0.2, 30.0, 5  # time between two states, of a trajectory, and states seen of it
CALM, WIND = (0.0, 0.0, 0.0), (0.08, 0.05, 0.0)
TOLERANCE = 1e-9
TOGETHER = 500  # trajectories that are solved as one


def pendulum(n: int = 500, *, seed: int = 0) -> Dataset:
    """A state of the double spring pendulum (4 * Vector) to the four that follow (4 * (4 * Vector)), 0.2 apart.

    Each example is another trajectory of length 30, from x_1 ~ N((0, 0, -1.5), 0.2^2), x_2 ~ N((0, 0, -3), 0.2^2),
    p_1, p_2 ~ N(0, 0.4^2), of which five states in a row are seen, at a random time. Columns of a state: x_1, x_2, p_1,
    p_2. x has shape (n, 12), y (n, 48), one state after another; float32, no noise, all units 1. 500 trajectories are
    solved in about half a second.

    Raises:
        ValueError: if n is not a whole number >= 1.
    """
    return _pendulum(n, seed, CALM, "pendulum")


def windy_pendulum(n: int = 500, *, seed: int = 0) -> Dataset:
    """The pendulum in a wind, H + (x_1 + x_2) . (0.08, 0.05, 0): O(2) about the vertical holds only approximately.

    The same seed gives the same starting points as `pendulum`.
    """
    return _pendulum(n, seed, WIND, "windy pendulum")


def pendulum_energy(z: ArrayLike, wind: ArrayLike = CALM) -> NDArray[np.float64]:
    """H of states z, (..., 12) to (...).

    Args:
        z: states, columns x_1, x_2, p_1, p_2.
        wind: force on each mass against which the energy grows; `windy_pendulum` has (0.08, 0.05, 0).
    """
    x1, x2, p1, p2 = _parts(real_array(z, "z"))
    springs = 0.5 * (_length(x1) - 1) ** 2 + (_length(x1 - x2) - 1) ** 2
    kinetic = 0.5 * (p1**2 + p2**2).sum(axis=-1)
    weight = (x1 + x2) @ (np.array([0.0, 0.0, 1.0]) + np.asarray(wind, dtype=np.float64))
    return kinetic + springs[..., 0] + weight


def pendulum_states(z: ArrayLike, times: ArrayLike, wind: ArrayLike = CALM) -> NDArray[np.float64]:
    """States at times t_1 < t_2 < ... of the trajectories that are at z at time 0: (n, 12) to (n, times, 12).

    By scipy's DOP853; over a time of 30 the energy stays to some 1e-7.

    Raises:
        ValueError: if z has another shape or no motion, or the times do not rise from 0 on.
        RuntimeError: if the solver gives up.
    """
    z, times = (real_array(a, n).astype(np.float64) for a, n in ((z, "z"), (times, "times")))
    if z.ndim != 2 or z.shape[1] != 12:
        raise ValueError(f"z must have shape (states, 12), the columns x_1, x_2, p_1, p_2, got {z.shape}")
    if times.ndim != 1 or not len(times) or not (times[0] >= 0 and (np.diff(times) > 0).all()):
        raise ValueError(f"times must be numbers that rise, the first >= 0, got {times}")
    with np.errstate(divide="ignore", invalid="ignore"):
        is_motion = len(z) and np.isfinite(_field(z, wind)).all()
    if not is_motion:
        raise ValueError("z must hold states that are finite and in which each spring has a length, got none or others")
    parts = [z[k : k + TOGETHER] for k in range(0, len(z), TOGETHER)]
    return np.concatenate([_solve(part, times, wind) for part in parts])


def _pendulum(n: int, seed: int, wind: ArrayLike, name: str) -> Dataset:
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(whole_number(n, "n"), 12)) * np.repeat([0.2, 0.4], 6)
    z[:, [2, 5]] -= [1.5, 3.0]
    times = STEP * np.arange(round(LENGTH / STEP) + 1)
    first = rng.integers(len(times) - CHUNK + 1, size=n)
    states = pendulum_states(z, times, wind)[np.arange(n)[:, None], first[:, None] + np.arange(CHUNK)]
    x, y = states[:, 0], states[:, 1:].reshape(n, -1)
    # Rotations about the third axis, and the reflection of the first.
    group = Group(3, [[[0, -1, 0], [1, 0, 0], [0, 0, 0]]], [np.diag([-1.0, 1, 1])], name="O(2) about z")
    state = 4 * Vector
    return Dataset(name, x.astype(np.float32), y.astype(np.float32), state, (CHUNK - 1) * state, group)


def _solve(z: NDArray, times: NDArray, wind: ArrayLike) -> NDArray:
    """All as one system: one step suits the most restless of them, but each step is a few operations on arrays."""

    def field(t: float, flat: NDArray) -> NDArray:
        return _field(flat.reshape(z.shape), wind).reshape(-1)

    options: dict[str, Any] = {"method": "DOP853", "rtol": TOLERANCE, "atol": TOLERANCE}
    if times[-1] == 0.0:
        return z[:, None].copy()
    solved = solve_ivp(field, (0.0, times[-1]), z.reshape(-1), t_eval=times, **options)
    if not solved.success:
        raise RuntimeError(f"the trajectories cannot be solved: {solved.message}")
    return solved.y.T.reshape(len(times), *z.shape).transpose(1, 0, 2)


def _field(z: NDArray, wind: ArrayLike) -> NDArray:
    """dz / dt = (dH / dp, -dH / dx)."""
    x1, x2, p1, p2 = _parts(z)
    weight = np.array([0.0, 0.0, 1.0]) + np.asarray(wind, dtype=np.float64)
    upper = x1 - x1 / _length(x1) + weight
    lower = 2 * (x1 - x2) * (1 - 1 / _length(x1 - x2))
    return np.concatenate([p1, p2, -upper - lower, lower - weight], axis=-1)


def _parts(z: ArrayLike) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    z = np.asarray(z, dtype=np.float64)
    return z[..., :3], z[..., 3:6], z[..., 6:9], z[..., 9:]


def _length(x: NDArray) -> NDArray:
    return np.sqrt((x**2).sum(axis=-1, keepdims=True))
