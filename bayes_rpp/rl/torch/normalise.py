"""Stable-Baselines3's VecNormalize, in a way that commutes with a symmetry."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from bayes_rpp.analysis.standardize import Coupling, Standardization
from bayes_rpp.rl.tables import Array, Symmetry


class _Statistics(RunningMeanStd):
    """The moments of what was seen alone, in float64: the start of Stable-Baselines3's, a ten-thousandth of an
    observation of size 1 around 0, would count for more than a small spread far from 0."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__(epsilon=0.0, shape=shape)

    def update(self, arr: Array) -> None:
        super().update(np.asarray(arr, dtype=np.float64))


class SymmetricVecNormalize(VecNormalize):
    """VecNormalize whose running mean is invariant, and whose scales are shared by coordinates that the group mixes.

    A policy that is equivariant in normalised observations then is so in those of the environment. Rewards are
    normalised as in VecNormalize; `save` and `load` are its own.

    Args:
        venv: vectorised environment.
        symmetry: how the group acts on observations.
        kwargs: of `stable_baselines3.common.vec_env.VecNormalize`.

    Raises:
        TypeError, ValueError: if the symmetry is no Symmetry or its size is another.
    """

    def __init__(self, venv: VecEnv, symmetry: Symmetry, **kwargs: Any) -> None:
        if not isinstance(symmetry, Symmetry):
            raise TypeError(f"symmetry must be a Symmetry, got {symmetry!r}; rl.symmetry('Walker2d-v5') would do")
        shape = getattr(venv.observation_space, "shape", None)
        if shape != (symmetry.n_state,):
            raise ValueError(
                f"venv must have observations of {symmetry.n_state} numbers, as the symmetry {symmetry.name!r} has, "
                f"got {venv.observation_space}"
            )
        super().__init__(venv, **kwargs)
        if self.norm_obs:
            self.obs_rms: Any = _Statistics(shape=shape)
        self.symmetry = symmetry

    @cached_property
    def _coupling(self) -> Coupling:
        return Coupling([self.symmetry.rep_state(self.symmetry.group)], "mixed")

    def _normalize_obs(self, obs: Array, obs_rms: RunningMeanStd) -> Array:
        return np.clip(Standardization(*self.statistics(obs_rms))(obs), -self.clip_obs, self.clip_obs)

    def _unnormalize_obs(self, obs: Array, obs_rms: RunningMeanStd) -> Array:
        return Standardization(*self.statistics(obs_rms)).undo(obs)

    def statistics(self, obs_rms: RunningMeanStd | None = None) -> tuple[Array, Array]:
        """Mean and scale by which observations are normalised, each of length n_s."""
        stats: Any = self.obs_rms if obs_rms is None else obs_rms
        mean = self._coupling.center(stats.mean)
        return mean, self._coupling.scale(np.sqrt(stats.var + (stats.mean - mean) ** 2 + self.epsilon))
