"""RPP actor and critics for Stable-Baselines3's SAC: equivariant means, invariant deviations and values, softened.

Finzi et al. 2021, Section 6.1. Hidden layers are copies of the regular representation with plain activations; the means
transform as actions do, logarithms of standard deviations as actions without their signs, and Q-values not at all.
"""

from __future__ import annotations

from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ContinuousCritic
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from stable_baselines3.sac import SAC
from stable_baselines3.sac.policies import LOG_STD_MAX, LOG_STD_MIN, Actor, SACPolicy
from torch import nn

from bayes_rpp.rl.fitting import Representations, check_prior, fitting, opened_ratio
from bayes_rpp.rl.tables import Symmetry
from bayes_rpp.rl.torch.layers import SoftMLP, decayed


class RPPPolicy(SACPolicy):
    """Policy and critics of SAC that prefer a symmetry.

    Args:
        symmetry: how a finite group acts on observations and actions; None is no symmetry (and with both sigmas two
            pathways of the same network, as a control).
        sigma_a, sigma_b: prior standard deviations of the equivariant and the residual pathway, in units in which 1
            keeps a signal's size; sigma_b = 0 is the strictly equivariant policy, sigma_a = 0 an MLP.
        weight_decay, critic_weight_decay: strength of the prior in the losses of actor and critics, of
            |A|^2 / sigma_a^2 + |B|^2 / sigma_b^2; SAC's losses are no likelihoods, so there is no natural value.
        net_arch: widths; each is rounded up to whole regular representations.
        kwargs: of `stable_baselines3.sac.policies.SACPolicy`.

    Raises:
        TypeError, ValueError: if the symmetry does not fit the spaces, is of an infinite group, does not carry actions
            to actions by signs and permutations, or a number is out of range.
    """

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
        self._reps = Representations(fitting(symmetry, observation_space, action_space))
        super().__init__(observation_space, action_space, lr_schedule, use_sde=use_sde, **kwargs)

    def make_actor(self, features_extractor: BaseFeaturesExtractor | None = None) -> Actor:
        kwargs = self._update_features_extractor(self.actor_kwargs, features_extractor)
        self._check_features(kwargs["features_dim"])
        return RPPActor(self._reps, self.sigma_a, self.sigma_b, **kwargs).to(self.device)

    def make_critic(self, features_extractor: BaseFeaturesExtractor | None = None) -> ContinuousCritic:
        kwargs = self._update_features_extractor(self.critic_kwargs, features_extractor)
        self._check_features(kwargs["features_dim"])
        return RPPCritic(self._reps, self.sigma_a, self.sigma_b, **kwargs).to(self.device)

    def set_sigma_b(self, sigma_b: float) -> None:
        """Open the residuals of actor and critics as far as sigma_b, which scales what they have learned by now.

        Raises:
            ValueError: if sigma_b is below 0, or the policy has no residual pathway, or nothing but one.
        """
        ratio = opened_ratio(self.sigma_a, self.sigma_b, sigma_b)
        for part in (self.actor, self.critic, self.critic_target):
            part.get_submodule("net").get_buffer("ratio").fill_(ratio)

    def _build(self, lr_schedule: Schedule) -> None:
        super()._build(lr_schedule)
        rate = lr_schedule(1)
        of_critic = nn.ModuleList([m for name, m in self.critic.named_children() if self._learns(name)])
        for part, module, decay in (
            (self.actor, self.actor, self.weight_decay),
            (self.critic, of_critic, self.critic_weight_decay),
        ):
            groups = decayed(module, decay, self.sigma_a, self.sigma_b)
            part.optimizer = self.optimizer_class(groups, lr=rate, **self.optimizer_kwargs)

    def _learns(self, name: str) -> bool:
        # The actor's loss trains a shared extractor, as in SACPolicy.
        return not (self.share_features_extractor and name == "features_extractor")

    def _check_features(self, size: int) -> None:
        if size != self._reps.state.size:
            raise ValueError(
                f"features_extractor must give {self._reps.state.size} numbers, on which the symmetry acts, got "
                f"{size}; one that leaves observations as they are would do"
            )

    def _get_constructor_parameters(self) -> dict[str, Any]:
        data = super()._get_constructor_parameters()
        return data | {
            "symmetry": self.symmetry,
            "sigma_a": self.sigma_a,
            "sigma_b": self.sigma_b,
            "weight_decay": self.weight_decay,
            "critic_weight_decay": self.critic_weight_decay,
        }


class RPPActor(Actor):
    """SAC's actor with one soft network for means and logarithms of standard deviations."""

    def __init__(self, reps: Representations, sigma_a: float, sigma_b: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        del self.latent_pi, self.mu, self.log_std
        widths = [reps.state, *map(reps.hidden, self.net_arch), reps.mean_and_log_std]
        self.net = SoftMLP(widths, sigma_a, sigma_b, activation=self.activation_fn)
        self._head = (reps, sigma_a, sigma_b)

    def get_action_dist_params(self, obs: PyTorchObs) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
        (out,) = self.net(self.extract_features(obs, self.features_extractor))
        mean, log_std = out.chunk(2, dim=-1)
        return mean, log_std.clamp(LOG_STD_MIN, LOG_STD_MAX), {}

    def _get_constructor_parameters(self) -> dict[str, Any]:
        data = super()._get_constructor_parameters()
        return data | dict(zip(("reps", "sigma_a", "sigma_b"), self._head, strict=True))


class RPPCritic(ContinuousCritic):
    """SAC's critics, all as one batch of soft networks."""

    def __init__(self, reps: Representations, sigma_a: float, sigma_b: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for k in range(self.n_critics):
            delattr(self, f"qf{k}")
        self.q_networks: list[nn.Module] = []
        widths = [reps.both, *map(reps.hidden, kwargs["net_arch"]), reps.scalar]
        activation = kwargs.get("activation_fn", nn.ReLU)
        self.net = SoftMLP(widths, sigma_a, sigma_b, activation=activation, members=self.n_critics)

    def forward(self, obs: torch.Tensor, actions: torch.Tensor) -> tuple[torch.Tensor, ...]:
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.share_features_extractor):
            features = self.extract_features(obs, self.features_extractor)
        values: tuple[torch.Tensor, ...] = self.net(torch.cat([features, actions], dim=1))
        return values

    def q1_forward(self, obs: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        return self.forward(obs, actions)[0]


def register() -> None:
    """Make `SAC("RPPPolicy", ...)` work."""
    SAC.policy_aliases["RPPPolicy"] = RPPPolicy


register()
