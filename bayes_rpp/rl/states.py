"""Put a MuJoCo simulator into the state that an observation shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bayes_rpp._given import real_array
from bayes_rpp._types import ArrayLike

if TYPE_CHECKING:
    import gymnasium

Array = NDArray[np.float64]


class Simulator(Protocol):
    """An unwrapped environment of Gymnasium's that has a MuJoCo simulator."""

    model: Any
    data: Any

    def set_state(self, qpos: Array, qvel: Array) -> None: ...

    def _get_obs(self) -> Array: ...


def set_state(env: gymnasium.Env, obs: ArrayLike) -> None:
    """Set positions and velocities of a Gymnasium MuJoCo environment from an observation.

    Observations are (qpos without its first coordinates, qvel), where what is missing, such as the distance travelled,
    is set to zero; InvertedDoublePendulum's and Reacher's are undone in their own ways.

    Raises:
        TypeError: if the environment is not one of MuJoCo's.
        ValueError: if the observation's size fits no such layout.
    """
    place(env, *coordinates(env, obs))


def simulator(env: gymnasium.Env) -> Simulator:
    """The unwrapped environment, if it has a MuJoCo simulator."""
    inner: Any = getattr(env, "unwrapped", env)
    if not all(hasattr(inner, part) for part in ("model", "data", "set_state")):
        raise TypeError(
            f"{type(inner).__name__} has no MuJoCo simulator (model, data, set_state); give set_state=, a function of "
            "(env, obs)"
        )
    return inner


def coordinates(env: gymnasium.Env, obs: ArrayLike) -> tuple[Array, Array]:
    """qpos and qvel of an observation."""
    inner = simulator(env)
    x = real_array(obs, "obs").astype(np.float64)
    if x.ndim != 1:
        raise ValueError(f"obs must be one observation, got shape {x.shape}")
    own = _OWN.get(type(inner).__name__)
    if own is not None:
        size, read = own
        if x.size != size:
            raise ValueError(f"obs must have size {size}, as those of {type(inner).__name__}, got {x.size}")
        return read(x)
    hidden = hidden_positions(inner, x.size)
    qpos = np.concatenate([np.zeros(hidden), x[: inner.model.nq - hidden]])
    return qpos, x[inner.model.nq - hidden :]


def hidden_positions(inner: Simulator, size: int) -> int:
    """How many leading coordinates of qpos an observation of this size leaves out."""
    nq, nv = int(inner.model.nq), int(inner.model.nv)
    hidden = nq + nv - size
    if not 0 <= hidden <= nq:
        raise ValueError(
            f"obs must have {nv} to {nq + nv} numbers, as {type(inner).__name__} has {nq} positions and {nv} "
            f"velocities, got {size} (leave out contact forces and the like when it is made); set_state= would do"
        )
    return hidden


def place(env: gymnasium.Env, qpos: Array, qvel: Array) -> None:
    """Set the simulator, without what it remembers of the steps before."""
    inner = simulator(env)
    inner.data.time = 0.0
    inner.data.qacc_warmstart[:] = 0.0  # the constraint solver's start
    inner.data.ctrl[:] = 0.0
    inner.set_state(qpos, qvel)


def _double_pendulum(x: Array) -> tuple[Array, Array]:
    return np.array([x[0], *np.arctan2(x[1:3], x[3:5])]), x[5:8]


def _reacher(x: Array) -> tuple[Array, Array]:
    return np.array([*np.arctan2(x[2:4], x[:2]), x[4], x[5]]), np.array([x[6], x[7], 0.0, 0.0])


_OWN = {"InvertedDoublePendulumEnv": (9, _double_pendulum), "ReacherEnv": (10, _reacher)}
