"""Callbacks of SAC's training: how far policy and critics are from a symmetry, and what the evidence says of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback

from bayes_rpp._arrays import whole_number
from bayes_rpp.rl.agent import agent_of
from bayes_rpp.rl.evidence import RATIOS, log_evidences
from bayes_rpp.rl.tables import Array, Symmetry
from bayes_rpp.symmetry.equivariance import relative_gap

MEMORY = 0.9  # by which the evidence of earlier looks counts, from one look to the next


class _Sampling(BaseCallback):
    """What is done every so many steps with transitions of the replay buffer; the training's random numbers stay."""

    model: Any

    def __init__(self, every: int, n: int) -> None:
        super().__init__()
        self.every, self.n = whole_number(every, "every"), whole_number(n, "n")

    def _on_training_start(self) -> None:
        self.agent = agent_of(self.model)

    def _on_step(self) -> bool:
        model = self.model
        if self.n_calls % self.every == 0 and self.num_timesteps > model.learning_starts:
            rng = np.random.default_rng(self.num_timesteps)
            state = np.random.get_state()  # noqa: NPY002 - Stable-Baselines3 draws from it
            try:
                # Each transition once: an error that is there twice would look like a function of the inputs.
                chosen = rng.permutation(model.replay_buffer.size())[: self.n]
                data = model.replay_buffer._get_samples(chosen, env=model.get_vec_normalize_env())
                self.look(_parts(data))
            finally:
                np.random.set_state(state)  # noqa: NPY002
        return True

    def look(self, data: dict[str, Array]) -> None:
        raise NotImplementedError


def _parts(data: Any) -> dict[str, Array]:
    named = data._asdict().items()
    return {name: part.numpy(force=True).astype(np.float32) for name, part in named if part is not None}


class SymmetryTracker(_Sampling):
    """Records how far the policy and the critics of SAC are from a symmetry while they train.

    The errors are those of Finzi et al. 2021, Eq. 2, |a - b| / (|a| + |b|), means over states (and actions) of the
    replay buffer and over the elements of the group but the identity: of the deterministic actions, scaled to [-1, 1],
    and of the Q-values less their mean.

    Args:
        symmetry: of a finite group; any policy of SAC will do.
        every: calls between records.
        n: transitions; of environments that are stepped together at most one of each step.

    Attributes:
        records: {"step": [...], "policy": [...], "critic": [...]}.

    Raises:
        TypeError, ValueError: if the symmetry is none of a finite group, or a number is below 1.
    """

    def __init__(self, symmetry: Symmetry, every: int = 250, n: int = 256) -> None:
        super().__init__(every, n)
        self.moves = _moves(symmetry)[1:]
        self.records: dict[str, list[float]] = {"step": [], "policy": [], "critic": []}

    def look(self, data: dict[str, Array]) -> None:
        agent, obs, actions = self.agent, data["observations"], data["actions"]
        action, value = agent.actions(obs), _centred(agent.values(obs, actions))
        errors = [(0.0, 0.0)]
        for s, a in self.moves:
            moved, alike = obs @ s.T, np.eye(value.shape[1])
            of_critic = _eq2(alike, value, _centred(agent.values(moved, actions @ a.T)))
            errors.append((_eq2(a, action, agent.actions(moved)), of_critic))
        found = np.sum(errors, axis=0) / max(1, len(self.moves))
        _append(self.records, self.num_timesteps, *found)


class ResidualEvidence(_Sampling):
    """Learns sigma_b of an `RPPPolicy` while SAC trains: residuals open as far as the evidence says.

    They start closed, the policy equivariant. Every so often the evidence of a residual is taken (`rl.evidence`), of
    the targets r + gamma V(s') as a function of what a critic's last layer is given; V is averaged over the group, so
    that what speaks for a residual is the environment, and not what the residual has learned. sigma_b of policy and
    critics becomes the one of the highest evidence, at most the policy's own, where that is `gain` nats above the
    evidence of 0, and 0 elsewhere.

    Args:
        every: calls between looks.
        n: transitions of a look, as of `SymmetryTracker`; its time is cubic in them.
        gain: logarithm of the Bayes factor from which on the residual is opened.

    Attributes:
        records: {"step": [...], "sigma_b": [...], "gain": [...]}, with what spoke for the residual in nats.

    Raises:
        ValueError: if a number is out of range, or, when training starts, if the policy has no symmetry or no two
            pathways.
    """

    def __init__(self, every: int = 500, n: int = 512, gain: float = 5.0) -> None:
        super().__init__(every, n)
        if isinstance(gain, bool) or not isinstance(gain, (int, float)) or not 0 <= gain < np.inf:
            raise ValueError(f"gain must be a number >= 0, got {gain!r}")
        self.gain = gain
        self.total = np.zeros(len(RATIOS))
        self.records: dict[str, list[float]] = {"step": [], "sigma_b": [], "gain": []}

    def _on_training_start(self) -> None:
        super()._on_training_start()
        policy = self.model.policy
        if not hasattr(policy, "set_sigma_b"):
            raise ValueError(f"policy must be an RPPPolicy for ResidualEvidence, got {type(policy).__name__}")
        if policy.symmetry is None:
            raise ValueError(
                "policy must have a symmetry for ResidualEvidence, got symmetry=None, which nothing breaks"
            )
        self.moves = _moves(policy.symmetry)
        if self.num_timesteps == 0:
            policy.set_sigma_b(0.0)

    def look(self, data: dict[str, Array]) -> None:
        policy, values, features = self.model.policy, [], []
        for k, (s, a) in enumerate(self.moves):
            seed = self.num_timesteps * len(self.moves) + k
            values.append(self.agent.soft_values(data["next_observations"] @ s.T, seed))
            features.append(self.agent.features(data["observations"] @ s.T, data["actions"] @ a.T))
        goes_on = (1 - data["dones"][:, 0]) * self.model.gamma
        targets = data["rewards"][:, 0] + goes_on * np.mean(values, axis=0)
        found = log_evidences(np.stack(features).astype(np.float64), targets.astype(np.float64))
        self.total = MEMORY * self.total + found - found[0]
        best = int(self.total.argmax())
        opened = min(policy.sigma_b, RATIOS[best] * policy.sigma_a) if self.total[best] > self.gain else 0.0
        policy.set_sigma_b(float(opened))
        _append(self.records, self.num_timesteps, opened, self.total[best])


def _moves(symmetry: Symmetry) -> list[tuple[Array, Array]]:
    """Matrices of states and actions, the identity first."""
    if not isinstance(symmetry, Symmetry):
        raise TypeError(f"symmetry must be a Symmetry, got {symmetry!r}; rl.symmetry('Walker2d-v5') would do")
    if symmetry.rotation:
        raise ValueError(f"symmetry must be that of a finite group, got {symmetry.name!r}, a rotation")
    moves = [(s.astype(np.float32), a.astype(np.float32)) for s, a in zip(*symmetry.matrices(), strict=True)]
    return sorted(moves, key=lambda pair: sum(float(np.abs(m - np.eye(len(m))).sum()) for m in pair))


def _centred(values: Array) -> Array:
    return values - values.mean(axis=0)


def _eq2(rho: Array, here: Array, moved: Array) -> float:
    return float(relative_gap(rho, here, moved)[0].mean())


def _append(records: dict[str, list[float]], *numbers: float) -> None:
    for name, number in zip(records, numbers, strict=True):
        records[name].append(float(number))
