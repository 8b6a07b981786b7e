"""How far a symmetry holds in the simulator: step from s and from g s, compare.

step = rms |f(g s, g a) - g f(s, a)| / rms |f(s, a) - s|,   reward = rms |r(g s, g a) - r(s, a)| / std r.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from bayes_rpp._arrays import whole_number
from bayes_rpp.rl.catalogue import symmetry
from bayes_rpp.rl.states import Array, coordinates, hidden_positions, place, set_state, simulator
from bayes_rpp.rl.tables import Symmetry, gymnasium_module

if TYPE_CHECKING:
    import gymnasium

    Setter: TypeAlias = Callable[[gymnasium.Env, Array], None]

APART, EPISODE = 5, 50  # steps of random actions from one state that is looked at to the next, and from a reset at most


@dataclass(frozen=True)
class Violation:
    """How far a symmetry is from holding.

    Attributes:
        step: rms violation of one step's change, relative to the rms change.
        reward: rms violation of the reward, in its standard deviations (0 where neither varies).
        null: what `step` is if a change is compared with that of another state: no symmetry at all.
        n: states that were looked at.
    """

    step: float
    reward: float
    null: float
    n: int


def measure_symmetry(
    env: gymnasium.Env | str,
    sym: Symmetry | str | None = None,
    n: int = 200,
    *,
    perturbation: float = 0.2,
    seed: int = 0,
    set_state: Setter | None = None,
) -> Violation:
    """Measure a symmetry against the simulator, over states of random actions and each generator of the group.

    Args:
        env: an environment, or the id of one that `symmetry` knows.
        sym: a `Symmetry`, or the name of one that is known of this id; None: the first.
        n: states, each with a random action.
        perturbation: standard deviation of normal noise that is added to positions and velocities.
        seed: of states, actions and elements of a rotation.
        set_state: function (env, obs) that puts the environment into the state that shows as obs; for environments
            that are not MuJoCo's, or whose observations are laid out otherwise. Noise is then added to observations.

    Raises:
        TypeError, ValueError: if sizes do not fit, or an observation that is set does not come back.
    """
    whole_number(n, "n")
    if not 0 <= perturbation < math.inf:
        raise ValueError(f"perturbation must be a standard deviation >= 0, got {perturbation!r}")
    if not isinstance(sym, Symmetry):
        env_id = env if isinstance(env, str) else str(getattr(env.spec, "id", None))
        sym = symmetry(env_id, sym)
    world: gymnasium.Env
    if isinstance(env, str):
        world = sym.make() if sym.env_id == env else gymnasium_module().make(env, **sym.env_kwargs)
    else:
        world = env
    try:
        sym.check(world)
        return _measure(world, sym, n, perturbation, np.random.default_rng(seed), set_state)
    finally:
        if isinstance(env, str):
            world.close()


def _measure(
    env: gymnasium.Env,
    sym: Symmetry,
    n: int,
    noise: float,
    rng: np.random.Generator,
    put: Setter | None,
) -> Violation:
    inner = env.unwrapped  # without the wrappers' limits of time and of order
    setter = put or set_state
    before, actions = _states(env, n, noise, rng, put)
    after, rewards = _steps(inner, before, actions, setter)
    change = after - before
    scale = _rms(change)
    if not scale > 0:
        raise ValueError("no observation changes in a step; set_state, or n, would have to be another")
    if sym.rotation:
        elements = [sym.sample(n, rng)]
    else:
        pairs = zip(sym.state_generators, sym.action_generators, strict=True)
        elements = [(np.broadcast_to(s, (n, *s.shape)), np.broadcast_to(a, (n, *a.shape))) for s, a in pairs]
    found = []
    for of_state, of_action in elements:
        moved = np.einsum("nij,nj->ni", of_state, before)
        acted = np.einsum("nij,nj->ni", of_action, actions)
        image, reward = _steps(inner, moved, acted, setter)
        wanted = np.einsum("nij,nj->ni", of_state, after)
        turned = np.einsum("nij,nj->ni", of_state, change)
        null = _rms(image - moved - np.roll(turned, 1, axis=0)) / scale
        found.append((_rms(image - wanted) / scale, _relative(reward - rewards, rewards), null))
    step, reward_error, null = np.max(found, axis=0)
    return Violation(float(step), float(reward_error), float(null), n)


def _states(
    env: gymnasium.Env,
    n: int,
    noise: float,
    rng: np.random.Generator,
    put: Setter | None,
) -> tuple[Array, Array]:
    space = env.action_space
    space.seed(int(rng.integers(2**31)))
    states: list[Array] = []
    ended, steps = True, 0
    while len(states) < n:
        if ended or steps >= EPISODE:
            obs, _ = env.reset(seed=int(rng.integers(2**31)))
            steps = 0
        for _ in range(int(rng.integers(1, 2 * APART))):
            obs, _, terminated, truncated, _ = env.step(space.sample())
            ended, steps = terminated or truncated, steps + 1
            if ended:
                break
        states.append(np.asarray(obs, dtype=np.float64))
    if put is None:
        states = [_perturbed(env, obs, noise, rng) for obs in states]
    else:
        states = [obs + noise * rng.normal(size=obs.shape) for obs in states]
    return np.stack(states), np.stack([space.sample() for _ in range(n)]).astype(np.float64)


def _perturbed(env: gymnasium.Env, obs: Array, noise: float, rng: np.random.Generator) -> Array:
    """The observation of the same state with noise on what the simulator holds, and without what is not observed."""
    inner = simulator(env)
    qpos, qvel = coordinates(env, obs)
    free = slice(hidden_positions(inner, obs.size) if qpos.size + qvel.size > obs.size else 0, None)
    qpos = qpos.copy()
    qpos[free] += noise * rng.normal(size=qpos[free].size)
    qpos = _unit_quaternions(inner.model, qpos)
    place(env, qpos, qvel + noise * rng.normal(size=qvel.size))
    found = np.asarray(inner._get_obs(), dtype=np.float64)
    set_state(env, found)
    if not np.allclose(inner._get_obs(), found, atol=1e-8):
        raise ValueError(
            f"an observation of {type(inner).__name__} that is set does not come back; give set_state=, a function of "
            "(env, obs)"
        )
    return found


def _unit_quaternions(model: Any, qpos: Array) -> Array:
    import mujoco

    mujoco.mj_normalizeQuat(model, qpos)
    return qpos


def _steps(inner: gymnasium.Env, states: Array, actions: Array, put: Setter) -> tuple[Array, Array]:
    after, rewards = [], []
    for s, a in zip(states, actions, strict=True):
        put(inner, s)
        obs, reward, *_ = inner.step(a)
        after.append(np.asarray(obs, dtype=np.float64))
        rewards.append(float(reward))
    return np.stack(after), np.array(rewards)


def _rms(x: Array) -> float:
    return float(np.sqrt((x**2).sum(axis=1).mean()))


def _relative(error: Array, rewards: Array) -> float:
    size, spread = float(np.sqrt((error**2).mean())), float(rewards.std())
    return 0.0 if size == 0 else size / spread if spread > 0 else math.inf
