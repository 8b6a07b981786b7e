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
from stable_baselines3.common.vec_env import DummyVecEnv


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
        """Mean return of the episodes that ended in the `window` steps before each point; if none did, of the last ones
        before it."""
        if not len(self.ends):
            return np.full(len(grid), np.nan)
        found = []
        for step in grid:
            last = self.ends[max(0, int(np.searchsorted(self.ends, step, side="right")) - 1)]
            here = (self.ends <= step) & (self.ends > step - window)
            found.append(self.returns[here if here.any() else self.ends == last].mean())
        return np.array(found)


def learning_curve(
    make: Callable[[], gymnasium.Env],
    steps: int,
    *,
    envs: int = 1,
    policy_options: dict[str, Any] | None = None,
    width: int = 64,
    seed: int = 0,
    callbacks: Sequence[BaseCallback] = (),
    **options: Any,
) -> Curve:
    """Train SBX's SAC with two hidden layers.

    Args:
        make: makes the environment.
        steps: of all environments together.
        envs: environments that are stepped in turn, as one batch of observations.
        policy_options: `symmetry`, `sigma_a`, `sigma_b` of `SbxRPPPolicy`; None: SBX's MlpPolicy.
        callbacks: of `SAC.learn`.
        options: of `SAC`.
    """
    from sbx import SAC

    from bayes_rpp.rl.flax.policy import SbxRPPPolicy

    policy: Any = "MlpPolicy" if policy_options is None else SbxRPPPolicy
    kwargs = {"net_arch": [width, width], **(policy_options or {})}
    episodes, env = _Episodes(), DummyVecEnv([lambda: Monitor(make())] * envs)
    start = time.process_time()
    try:
        model = SAC(policy, env, policy_kwargs=kwargs, buffer_size=steps, seed=seed, device="cpu", **options)
        model.learn(steps, callback=[episodes, *callbacks])
    finally:
        env.close()
    seconds = time.process_time() - start
    return Curve(np.array(episodes.ends, dtype=np.int64), np.array(episodes.returns, dtype=np.float64), seconds)


class _Episodes(BaseCallback):
    """Keeps the returns of all episodes, and the steps of the training at their ends."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[int] = []
        self.returns: list[float] = []

    def _on_step(self) -> bool:
        for info in self.locals["infos"]:
            if "episode" in info:
                self.ends.append(self.num_timesteps)
                self.returns.append(info["episode"]["r"])
        return True
