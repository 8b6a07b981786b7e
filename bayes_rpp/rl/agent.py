"""What callbacks ask an agent that SAC trains, whichever library has made it."""

from __future__ import annotations

from typing import Any, Protocol

from bayes_rpp.rl.tables import Array


class Agent(Protocol):
    """Networks of SAC on arrays: observations (n, d) and actions (n, k), scaled to [-1, 1]."""

    def actions(self, obs: Array) -> Array:
        """Deterministic actions, (n, k)."""

    def values(self, obs: Array, actions: Array) -> Array:
        """Q-values, (n, critics)."""

    def soft_values(self, obs: Array, seed: int) -> Array:
        """V(s) = min Q(s, a) - alpha log p(a | s) of the target critics and a drawn action, (n,)."""

    def features(self, obs: Array, actions: Array) -> Array:
        """What the last layer of the first critic of an RPP policy is given, (n, width)."""


def agent_of(model: Any) -> Agent:
    """Of Stable-Baselines3's SAC or SBX's; the training's random numbers stay where they are."""
    if any(kind.__module__.split(".")[0] == "sbx" for kind in type(model).__mro__):
        from bayes_rpp.rl.flax.agent import FlaxAgent

        return FlaxAgent(model)
    from bayes_rpp.rl.torch.agent import TorchAgent

    return TorchAgent(model)
