"""Learning curves of SAC: train an agent, and keep what each episode earned."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.monitor import Monitor


@dataclass(frozen=True)
class Curve:
    """What the episodes of a training earned.

    Attributes:
        ends: (episodes,) steps at which episodes ended; one that the training cut off is left out.
        returns: (episodes,) sums of rewards.
        seconds: of CPU time that it took.
    """

    ends: NDArray[np.int64]
    returns: NDArray[np.float64]
    seconds: float

    def at(self, grid: NDArray, window: int) -> NDArray[np.float64]:
        """Mean return of the episodes that ended in the `window` steps before each point; the last one, if none did."""
        if not len(self.ends):
            return np.full(len(grid), np.nan)
        found = []
        for step in grid:
            here = (self.ends <= step) & (self.ends > step - window)
            last = max(0, int(np.searchsorted(self.ends, step, side="right")) - 1)
            found.append(self.returns[here].mean() if here.any() else self.returns[last])
        return np.array(found)


def learning_curve(
    make: Callable[[], gymnasium.Env],
    steps: int,
    *,
    policy_options: dict[str, Any] | None = None,
    width: int = 64,
    seed: int = 0,
    callbacks: Sequence[BaseCallback] = (),
    **options: Any,
) -> Curve:
    """Train SBX's SAC with two hidden layers.

    Args:
        make: makes the environment.
        policy_options: `symmetry`, `sigma_a`, `sigma_b` of `SbxRPPPolicy`; None: SBX's MlpPolicy.
        callbacks: of `SAC.learn`.
        options: of `SAC`.
    """
    from sbx import SAC

    from bayes_rpp.rl.flax.policy import SbxRPPPolicy

    policy: Any = "MlpPolicy" if policy_options is None else SbxRPPPolicy
    kwargs = {"net_arch": [width, width], **(policy_options or {})}
    env = Monitor(make())
    start = time.process_time()
    try:
        model = SAC(policy, env, policy_kwargs=kwargs, buffer_size=steps, seed=seed, device="cpu", **options)
        model.learn(steps, callback=list(callbacks))
    finally:
        env.close()
    ends = np.cumsum(env.get_episode_lengths())
    return Curve(ends, np.array(env.get_episode_rewards(), dtype=np.float64), time.process_time() - start)
