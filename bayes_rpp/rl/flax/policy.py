"""RPP actor and critics for SBX's SAC, whose steps JAX compiles: what `RPPPolicy` is for Stable-Baselines3's.

Finzi et al. 2021, Section 6.1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax.training.train_state import TrainState
from gymnasium import spaces
from sbx import SAC
from sbx.common.distributions import TanhTransformedDistribution, tfd
from sbx.common.type_aliases import RLTrainState
from sbx.sac.policies import SACPolicy
from stable_baselines3.common.type_aliases import Schedule

from bayes_rpp.rl.fitting import Representations, check_prior, fitting, opened_ratio
from bayes_rpp.rl.flax.layers import SoftMLP
from bayes_rpp.rl.layout import Layout
from bayes_rpp.rl.tables import Symmetry


class SbxRPPPolicy(SACPolicy):
    """Policy and critics of SBX's SAC that prefer a symmetry, `RPPPolicy` for JAX: `sbx.SAC(rl.SbxRPPPolicy, env)`.

    SBX compiles all gradient steps between two looks at the environment as one program, so that `train_freq=8,
    gradient_steps=8` is several times as fast as Stable-Baselines3. With `dropout_rate=0.01, layer_norm=True` here, and
    `gradient_steps=20, policy_delay=20` of SAC, it is DroQ (Hiraoka et al. 2022).

    Args:
        symmetry: how a finite group acts on observations and actions; None is no symmetry (and with both sigmas two
            pathways of the same network, as a control).
        sigma_a, sigma_b: prior standard deviations of the equivariant and the residual pathway, in units in which 1
            keeps a signal's size; sigma_b = 0 is the strictly equivariant policy, sigma_a = 0 an MLP.
        weight_decay, critic_weight_decay: strength of the prior in the losses of actor and critics, of
            |A|^2 / sigma_a^2 + |B|^2 / sigma_b^2.
        net_arch: widths; each is rounded up to whole regular representations.
        kwargs: of `sbx.sac.policies.SACPolicy`. Layers are normalised without learned scales, which keeps the symmetry.

    Raises:
        TypeError, ValueError: if the symmetry does not fit the spaces, is of an infinite group, does not carry actions
            to actions by signs and permutations, or a number is out of range.
    """

    actor_state: TrainState
    qf_state: RLTrainState

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Box,
        lr_schedule: Schedule,
        *,
        symmetry: Symmetry | None = None,
        sigma_a: float = 1.0,
        sigma_b: float = 0.03,
        weight_decay: float = 1e-6,
        critic_weight_decay: float = 0.0,
        use_sde: bool = False,
        **kwargs: Any,
    ) -> None:
        check_prior(sigma_a, sigma_b, weight_decay, critic_weight_decay, use_sde)
        self.symmetry, self.sigma_a, self.sigma_b = symmetry, float(sigma_a), float(sigma_b)
        self.weight_decay, self.critic_weight_decay = float(weight_decay), float(critic_weight_decay)
        reps = Representations(fitting(symmetry, observation_space, action_space))
        super().__init__(observation_space, action_space, lr_schedule, use_sde=use_sde, **kwargs)
        self._actor = Layout([reps.state, *map(reps.hidden, self.net_arch_pi), reps.mean_and_log_std])
        self._critic = Layout([reps.both, *map(reps.hidden, self.net_arch_qf), reps.scalar])
        self.actor_class: Any = self._make_actor
        self.vector_critic_class: Any = self._make_critic

    def _make_actor(self, activation_fn: Callable, **_: Any) -> SoftActor:
        return SoftActor(SoftMLP(self._actor, self.sigma_a, self.sigma_b, activation=activation_fn))

    def _make_critic(self, activation_fn: Callable, n_critics: int, **_: Any) -> SoftCritic:
        net = SoftMLP(
            self._critic, self.sigma_a, self.sigma_b, n_critics, activation_fn, self.dropout_rate, self.layer_norm
        )
        return SoftCritic(net)

    def build(self, key: jax.Array, lr_schedule: Schedule, qf_learning_rate: float) -> jax.Array:
        key = super().build(key, lr_schedule, qf_learning_rate)
        actor, critics = self.actor_state, self.qf_state
        self.actor_state = TrainState.create(
            apply_fn=actor.apply_fn,
            params=actor.params,
            tx=self._optimizer(lr_schedule(1), self.weight_decay),
        )
        self.qf_state = RLTrainState.create(
            apply_fn=critics.apply_fn,
            params=critics.params,
            target_params=critics.target_params,
            tx=self._optimizer(qf_learning_rate, self.critic_weight_decay),
        )
        return key

    def _optimizer(self, rate: float, decay: float) -> optax.GradientTransformation:
        decay /= (self.sigma_a or self.sigma_b) ** 2  # of beta and V, which have the same scale under the prior

        def make(learning_rate: Any) -> optax.GradientTransformation:
            steps = self.optimizer_class(learning_rate=learning_rate, **self.optimizer_kwargs)
            return optax.masked(optax.chain(optax.add_decayed_weights(decay), steps), _learned)

        return optax.inject_hyperparams(make)(learning_rate=rate)

    def set_sigma_b(self, sigma_b: float) -> None:
        """Open the residuals of actor and critics as far as sigma_b, which scales what they have learned by now.

        Raises:
            ValueError: if sigma_b is below 0, or the policy has no residual pathway, or nothing but one.
        """
        ratio = opened_ratio(self.sigma_a, self.sigma_b, sigma_b)

        def opened(params: Any) -> Any:
            return jax.tree.map_with_path(lambda path, p: jnp.full_like(p, ratio) if _is_ratio(path) else p, params)

        critics = self.qf_state
        self.actor_state = self.actor_state.replace(params=opened(self.actor_state.params))
        self.qf_state = critics.replace(params=opened(critics.params), target_params=opened(critics.target_params))


class SoftActor(nn.Module):
    """SBX's actor with one soft network for means and logarithms of standard deviations."""

    net: SoftMLP
    log_std_min: float = -20.0  # SBX's
    log_std_max: float = 2.0

    def __call__(self, x: jax.Array) -> tfd.Distribution:
        mean, log_std = jnp.split(self.net(x.reshape(len(x), -1))[0], 2, axis=-1)
        std = jnp.exp(jnp.clip(log_std, self.log_std_min, self.log_std_max))
        return TanhTransformedDistribution(tfd.MultivariateNormalDiag(loc=mean, scale_diag=std))


class SoftCritic(nn.Module):
    """SBX's critics, all as one batch of soft networks: (n, d), (n, n_actions) to (n_critics, n, 1)."""

    net: SoftMLP

    def __call__(self, obs: jax.Array, action: jax.Array) -> jax.Array:
        return self.net(_joined(obs, action))

    def features(self, obs: jax.Array, action: jax.Array) -> jax.Array:
        return self.net.features(_joined(obs, action))


def _joined(obs: jax.Array, action: jax.Array) -> jax.Array:
    return jnp.concatenate([obs.reshape(len(obs), -1), action], -1)


def _is_ratio(path: tuple[Any, ...]) -> bool:
    return getattr(path[-1], "key", None) == "ratio"


def _learned(params: Any) -> Any:
    return jax.tree.map_with_path(lambda path, _: not _is_ratio(path), params)


SAC.policy_aliases["RPPPolicy"] = SbxRPPPolicy
