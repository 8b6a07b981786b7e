"""What Figure 5 learns: Gymnasium's MuJoCo environments, and the same with the symmetry broken."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Task:
    """An environment, and how it is learned.

    Attributes:
        rate: learning rate, of all arms.
        window: steps over which returns are averaged.
        envs: environments that are stepped in turn.
        gradient_steps: for each step of an environment.
        tilt: angle of gravity from the vertical, degrees, towards x or, if `sideways`, towards y.
        weaker: by which the torques of the first half of the actuators are scaled: of one leg of two.
        episode: its longest length; the environment's own if None.
    """

    name: str
    env_id: str
    steps: int
    seeds: int
    rate: float
    width: int = 64
    window: int = 500
    gamma: float = 0.99
    learning_starts: int = 100
    envs: int = 1
    gradient_steps: int = 1
    tilt: float = 0.0
    sideways: bool = False
    weaker: float = 1.0
    episode: int | None = None

    def make(self) -> Any:
        from bayes_rpp import rl

        env = rl.symmetry(self.env_id).make(max_episode_steps=self.episode)
        model, angle = env.unwrapped.model, math.radians(self.tilt)
        if self.tilt:
            to = math.sin(angle) * np.array([0.0, 1.0] if self.sideways else [1.0, 0.0])
            model.opt.gravity[:] = 9.81 * np.array([*to, -math.cos(angle)])
        model.actuator_gear[: model.nu // 2] *= self.weaker
        return env


_PENDULUM: dict[str, Any] = {
    "env_id": "InvertedDoublePendulum-v5", "steps": 6000, "seeds": 10, "rate": 4e-3, "gradient_steps": 3,
}  # fmt: skip
_LONG: dict[str, Any] = {"steps": 100_000, "seeds": 4, "window": 5000, "learning_starts": 1000}
_SWIMMER: dict[str, Any] = {"env_id": "Swimmer-v5", "rate": 3e-3, "gamma": 0.999, **_LONG}
_LEGS: dict[str, Any] = {"rate": 3e-4, **_LONG, "envs": 8, "window": 8000}  # as episodes of 1,000 steps end together
TASKS = {
    task.name: task
    for task in (
        Task("double-pendulum", **_PENDULUM),
        Task("tilted-double-pendulum", **_PENDULUM, tilt=10.0),
        Task("swimmer", **_SWIMMER),
        Task("tilted-swimmer", **_SWIMMER, tilt=5.0, sideways=True),
        Task("walker2d", "Walker2d-v5", **_LEGS),
        Task("lame-walker2d", "Walker2d-v5", **_LEGS, weaker=0.7),
        Task("hopper", "Hopper-v5", **_LEGS),
        Task("ant", "Ant-v5", **_LEGS),
        Task("tilted-ant", "Ant-v5", **_LEGS, tilt=10.0, sideways=True),
    )
}
