"""Rollouts of transition models: how fast they drift from the environment, and whether they know how far."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from bayes_rpp._given import real_array
from bayes_rpp._numerics import rms
from bayes_rpp._types import ArrayLike
from bayes_rpp.rl.transition_model import TransitionModel

CLAMP = 1e-7  # least relative error that a geometric mean counts


@dataclass(frozen=True)
class Rollout:
    """Predicted trajectories.

    Attributes:
        mean, std: (n, T + 1, d_state) over members, from the initial state on, where std is 0.
        samples: (members, n, T + 1, d_state), each member's own trajectory.
    """

    mean: NDArray
    std: NDArray
    samples: NDArray = field(repr=False)


def rollout(model: TransitionModel, states: ArrayLike, actions: ArrayLike) -> Rollout:
    """Follow each member on its own from initial states through given actions: s_(t+1) = s_t + f_m(s_t, a_t).

    A member that runs away is followed into infinity, and its errors are 100 %.

    Args:
        model: from `fit_transitions`.
        states: (n, d_state) initial states.
        actions: (n, T, d_action), in the environment's units.

    Raises:
        TypeError, ValueError: naming the argument that does not fit.
    """
    if not isinstance(model, TransitionModel):
        raise TypeError(f"model must be what rl.fit_transitions returns, got a {type(model).__name__}")
    actions = real_array(actions, "actions")
    if actions.ndim != 3 or not actions.shape[1]:
        raise ValueError(f"actions must have shape (rollouts, steps, size of an action), got {actions.shape}")
    states = real_array(states, "states")
    if states.shape[:1] != actions.shape[:1]:
        raise ValueError(f"states must have a row for each of {len(actions)} rollouts, got shape {states.shape}")
    n, steps, d = actions.shape
    states, _ = model.checked(states, actions[:, 0])
    actions = model.checked(np.repeat(states, steps, axis=0), actions.reshape(n * steps, d))[1].reshape(actions.shape)
    samples = np.empty((model.members, n, steps + 1, states.shape[1]))
    samples[:, :, 0] = states
    with np.errstate(over="ignore", invalid="ignore"):
        for m in range(model.members):
            change = model.member(m)
            for t in range(steps):
                x = model.standardize_x(np.concatenate([samples[m, :, t], actions[:, t]], axis=1))
                samples[m, :, t + 1] = samples[m, :, t] + change(x)
        return Rollout(samples.mean(axis=0), samples.std(axis=0, ddof=min(1, model.members - 1)), samples)


def relative_error(
    predicted: ArrayLike, true: ArrayLike, steps: int | None = None, *, metric: Literal["all", "reference"] = "all"
) -> float:
    """Geometric mean over rollouts and times of rms(p - s) / (rms p + rms s), from 0 to 1 (paper, Table 3).

    Args:
        predicted, true: (n, T + 1, d) states, the initial ones first.
        steps: how many steps from the start count; None: all T.
        metric: "all": over all columns of the state, and times t >= 1. "reference": what the paper's authors' code
            computes, over the first half of the columns and with t = 0, whose error of zero counts as 1e-7: much
            smaller numbers, the more so the fewer the steps.

    Raises:
        ValueError: naming the argument that does not fit.
    """
    predicted, true = _pair(predicted, true)
    total = predicted.shape[1] - 1
    steps = total if steps is None else steps
    if isinstance(steps, bool) or not isinstance(steps, (int, np.integer)) or not 1 <= steps <= total:
        raise ValueError(f"steps must be a whole number from 1 to {total}, as long as the rollouts are, got {steps!r}")
    if metric not in ("all", "reference"):
        raise ValueError(f"metric must be 'all' or 'reference', got {metric!r}")
    columns = predicted.shape[2] if metric == "all" else max(1, predicted.shape[2] // 2)
    times = slice(1 if metric == "all" else 0, steps + 1)
    p, s = predicted[:, times, :columns], true[:, times, :columns]
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        gap, size = (rms(p - s, axis=-1), rms(p, axis=-1) + rms(s, axis=-1))
        errors = np.where(gap == 0, 0.0, gap / size)
    errors = np.where(np.isfinite(errors), errors, 1.0)
    return float(np.exp(np.log(np.maximum(errors, CLAMP)).mean()))


def interval_coverage(found: Rollout, true: ArrayLike, level: float = 0.9) -> NDArray:
    """Share of the numbers that lie within the central intervals mean +- z std, by step: (T,), from t = 1 on."""
    deviations = _deviations(found, true)
    return (deviations <= norm.ppf(0.5 + _level(level) / 2)).mean(axis=(0, 2))


@dataclass(frozen=True)
class Recalibration:
    """A factor for the standard deviation at each step, so that intervals of one level hold what they say.

    Attributes:
        factors: (T,) for t = 1, 2, ..., T.
        level: of the intervals.
    """

    factors: NDArray
    level: float

    @staticmethod
    def fit(found: Rollout, true: ArrayLike, level: float = 0.9) -> Recalibration:
        """From rollouts that neither the model nor the test has seen: the factor with which the share `level` of the
        numbers at a step lies within the interval.

        Raises:
            ValueError: if shapes differ, or the ensemble has a single member, whose rollouts have no spread.
        """
        if len(found.samples) < 2:
            raise ValueError("the rollouts are those of 1 member, which have no spread; two or more would do")
        deviations = np.swapaxes(_deviations(found, true), 0, 1)
        width = np.quantile(deviations.reshape(len(deviations), -1), _level(level), axis=1, method="higher")
        return Recalibration(width / norm.ppf(0.5 + level / 2), level)

    def __call__(self, found: Rollout) -> Rollout:
        """The rollout with these standard deviations; mean and samples stay.

        Raises:
            ValueError: if it is longer than those that the factors come from.
        """
        steps = found.std.shape[1] - 1
        if steps > len(self.factors):
            raise ValueError(f"the rollout has {steps} steps but the recalibration {len(self.factors)}")
        factors = np.concatenate([[1.0], self.factors[:steps]])
        return replace(found, std=found.std * factors[:, None])


def _deviations(found: Rollout, true: ArrayLike) -> NDArray:
    """(n, T, d) distance from the mean in standard deviations; infinite where there is no finite prediction."""
    mean, true = _pair(found.mean, true)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        gap = np.abs(true - mean)[:, 1:]
        std = found.std[:, 1:]
        z = np.where(gap == 0, 0.0, gap / std)
    return np.where(np.isnan(z), np.inf, z)


def _pair(predicted: Any, true: Any) -> tuple[NDArray, NDArray]:
    predicted, true = real_array(predicted, "predicted"), real_array(true, "true")
    predicted, true = predicted.astype(np.float64), true.astype(np.float64)
    if predicted.ndim != 3 or predicted.shape[1] < 2 or not predicted.size:
        raise ValueError(f"predicted must have shape (rollouts, steps + 1, size of a state), got {predicted.shape}")
    if true.shape != predicted.shape:
        raise ValueError(f"true must have shape {predicted.shape}, as predicted has, got {true.shape}")
    if not np.isfinite(true).all():
        raise ValueError("true must be finite, got NaN or infinite values")
    return predicted, true


def _level(level: Any) -> float:
    if isinstance(level, bool) or not isinstance(level, (int, float)) or not 0 < level < 1:
        raise ValueError(f"level must be a number between 0 and 1, got {level!r}; 0.9 would do")
    return float(level)
