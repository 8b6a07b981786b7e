"""What callbacks ask SBX's SAC, in numpy."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import numpy as np

from bayes_rpp.rl.tables import Array


class FlaxAgent:
    """SBX's SAC as `rl.agent.Agent`, its critics without dropout."""

    def __init__(self, model: Any) -> None:
        self.model, self.policy = model, model.policy
        qf = self.policy.qf
        qf = qf.clone(net=qf.net.clone(dropout_rate=0.0)) if hasattr(qf, "net") else qf.clone(dropout_rate=0.0)
        self._values = jax.jit(qf.apply)

        def soft_values(critics: Any, actor: Any, log_alpha: Any, obs: Array, key: Any) -> jax.Array:
            distribution = model.policy.actor_state.apply_fn(actor, obs)
            actions = distribution.sample(seed=key)
            q = qf.apply(critics, obs, actions)[:, :, 0].min(axis=0)
            alpha = model.ent_coef_state.apply_fn({"params": log_alpha})
            return q - alpha * distribution.log_prob(actions)

        self._soft_values = jax.jit(soft_values)
        self._features = jax.jit(partial(qf.apply, method="features"))

    def actions(self, obs: Array) -> Array:
        return np.asarray(self.policy.select_action(self.policy.actor_state, obs))

    def values(self, obs: Array, actions: Array) -> Array:
        return np.asarray(self._values(self.policy.qf_state.params, obs, actions))[:, :, 0].T

    def soft_values(self, obs: Array, seed: int) -> Array:
        policy = self.policy
        params = policy.qf_state.target_params, policy.actor_state.params, self.model.ent_coef_state.params
        return np.asarray(self._soft_values(*params, obs, jax.random.key(seed)))

    def features(self, obs: Array, actions: Array) -> Array:
        return np.asarray(self._features(self.policy.qf_state.params, obs, actions))
