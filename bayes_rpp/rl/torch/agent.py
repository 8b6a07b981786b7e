"""What callbacks ask Stable-Baselines3's SAC, in numpy."""

from __future__ import annotations

from typing import Any

import torch

from bayes_rpp.rl.tables import Array


class TorchAgent:
    """Stable-Baselines3's SAC as `rl.agent.Agent`."""

    def __init__(self, model: Any) -> None:
        self.model = model

    @torch.no_grad()
    def actions(self, obs: Array) -> Array:
        return self.model.actor(self._tensor(obs), True).numpy(force=True)

    @torch.no_grad()
    def values(self, obs: Array, actions: Array) -> Array:
        return torch.cat(self.model.critic(self._tensor(obs), self._tensor(actions)), dim=1).numpy(force=True)

    @torch.no_grad()
    def soft_values(self, obs: Array, seed: int) -> Array:
        model, after = self.model, self._tensor(obs)
        alpha = model.ent_coef_tensor if model.log_ent_coef is None else model.log_ent_coef.exp()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            action, log_prob = model.actor.action_log_prob(after)
        q = torch.cat(model.critic_target(after, action), dim=1).min(dim=1).values
        return (q - alpha * log_prob).numpy(force=True)

    @torch.no_grad()
    def features(self, obs: Array, actions: Array) -> Array:
        both = torch.cat([self._tensor(obs), self._tensor(actions)], dim=1)
        return self.model.critic.net.features(both).numpy(force=True)

    def _tensor(self, a: Array) -> torch.Tensor:
        return torch.as_tensor(a, dtype=torch.float32, device=self.model.device)
