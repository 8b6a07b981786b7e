"""What callbacks ask SBX's SAC, in numpy."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from bayes_rpp.rl.tables import Array


class FlaxAgent:
    """SBX's SAC as `rl.agent.Agent`. Networks with dropout are asked with one draw of it."""

    def __init__(self, model: Any) -> None:
        self.model, self.policy = model, model.policy

    def actions(self, obs: Array) -> Array:
        return np.asarray(self.policy.select_action(self.policy.actor_state, obs))

    def values(self, obs: Array, actions: Array) -> Array:
        state = self.policy.qf_state
        found = state.apply_fn(state.params, obs, actions, rngs={"dropout": jax.random.key(0)})
        return np.asarray(found)[:, :, 0].T

    def soft_values(self, obs: Array, seed: int) -> Array:
        critics, actor = self.policy.qf_state, self.policy.actor_state
        noise, dropout = jax.random.split(jax.random.key(seed))
        distribution = actor.apply_fn(actor.params, obs)
        actions = distribution.sample(seed=noise)
        q = critics.apply_fn(critics.target_params, obs, actions, rngs={"dropout": dropout})
        entropy = self.model.ent_coef_state
        alpha = entropy.apply_fn({"params": entropy.params})
        return np.asarray(q[:, :, 0].min(axis=0) - alpha * distribution.log_prob(actions))

    def features(self, obs: Array, actions: Array) -> Array:
        return np.asarray(self._features(self.policy.qf_state.params, obs, actions))

    @cached_property
    def _features(self) -> Any:
        qf = self.policy.qf  # whose own apply SBX has replaced by one of the forward pass
        return jax.jit(lambda params, *inputs: nn.Module.apply(qf, params, *inputs, method="features"))
