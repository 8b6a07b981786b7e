"""What a soft policy needs of a symmetry, an environment's spaces and a prior, whichever library trains it.

Finzi et al. 2021, Section 6.1. Hidden layers are copies of the regular representation with plain activations; the means
transform as actions do, logarithms of standard deviations as actions without their signs, and Q-values not at all.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from gymnasium import spaces

from bayes_rpp.rl.tables import Array, Symmetry
from bayes_rpp.symmetry.finite import is_permutation
from bayes_rpp.symmetry.representations import Regular, Rep, Representation, Scalar


class Representations:
    """Bound representations of what goes in and out of the networks."""

    def __init__(self, symmetry: Symmetry) -> None:
        self.group = symmetry.group
        s, a = symmetry.rep_state, symmetry.rep_action
        self.state, self.action, self.both = s(self.group), a(self.group), (s + a)(self.group)
        size = Rep.custom(_Unsigned(self.action), name="action without signs") if len(self.group.elements) > 1 else a
        self.mean_and_log_std = (a + size)(self.group)
        self.scalar = Scalar(self.group)

    def hidden(self, width: int) -> Representation:
        return (math.ceil(width / len(self.group.elements)) * Regular)(self.group)


class _Unsigned:
    """|rho(g)| of signed permutations: how standard deviations transform."""

    def __init__(self, action: Representation) -> None:
        self.action = action

    def __call__(self, g: Array) -> Array:
        return np.abs(self.action.rho(g))


def check_prior(sigma_a: float, sigma_b: float, weight_decay: float, critic_weight_decay: float, use_sde: bool) -> None:
    """Raise ValueError, which names what is out of range."""
    if use_sde:
        raise ValueError("use_sde must be False, as RPPPolicy explores with independent noise, got True")
    sigmas = {"sigma_a": sigma_a, "sigma_b": sigma_b}
    for name, value in (sigmas | {"weight_decay": weight_decay, "critic_weight_decay": critic_weight_decay}).items():
        _check_number(name, value)
    if sigma_a == 0 and sigma_b == 0:
        raise ValueError("sigma_a or sigma_b must be positive, got 0 for both")


def opened_ratio(sigma_a: float, sigma_b: float, new: float) -> float:
    """The new sigma_b over sigma_a, of a policy that was made with these.

    Raises:
        ValueError: if the new one is below 0, or the policy has no residual pathway, or nothing but one.
    """
    _check_number("sigma_b", new)
    if sigma_a == 0 or sigma_b == 0:
        raise ValueError(
            "policy must have two pathways for another sigma_b, got "
            f"sigma_a={sigma_a:g} and sigma_b={sigma_b:g}; sigma_b=1 would do"
        )
    return new / sigma_a


def _check_number(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0 <= value < math.inf:
        raise ValueError(f"{name} must be a number >= 0, got {value!r}")


def fitting(symmetry: Any, observation_space: Any, action_space: Any) -> Symmetry:
    """The symmetry, or the trivial group if it is None.

    Raises:
        TypeError, ValueError: if it does not fit the spaces, is of an infinite group, or does not carry actions to
            actions by signs and permutations.
    """
    for what, space in (("observations", observation_space), ("actions", action_space)):
        if not isinstance(space, spaces.Box) or len(space.shape) != 1:
            raise ValueError(f"env must have one Box of numbers as {what} for RPPPolicy, got {space}")
    n_state, n_action = observation_space.shape[0], action_space.shape[0]
    if symmetry is None:
        return Symmetry.trivial(n_state, n_action)
    if not isinstance(symmetry, Symmetry):
        raise TypeError(f"symmetry must be a Symmetry or None, got {symmetry!r}; rl.symmetry('Walker2d-v5') would do")
    for what, size, wanted in (
        ("observations", n_state, symmetry.n_state),
        ("actions", n_action, symmetry.n_action),
    ):
        if size != wanted:
            hint = f"; symmetry.make() has these, with {symmetry.env_kwargs}" if symmetry.env_kwargs else ""
            raise ValueError(f"env must have {what} of size {wanted}, as {symmetry.name!r} has, got {size}{hint}")
    if symmetry.rotation:
        raise ValueError(f"symmetry must be that of a finite group for RPPPolicy, got {symmetry.name!r}, a rotation")
    for m in symmetry.action_generators:
        if not is_permutation(np.abs(m), 1e-6):
            raise ValueError(
                "symmetry must permute actions and turn signs, as others do not commute with tanh and with standard "
                f"deviations, got {symmetry.name!r}, which mixes them"
            )
        # SAC scales actions to [-1, 1], which commutes with the group if the bounds do.
        mid, half = (action_space.high + action_space.low) / 2, (action_space.high - action_space.low) / 2
        if not (np.allclose(m @ mid, mid) and np.allclose(np.abs(m) @ half, half)):
            raise ValueError(
                f"env must have the same bounds for actions that the symmetry {symmetry.name!r} turns into one "
                f"another, got {action_space.low} and {action_space.high}; equal ones would do"
            )
    return symmetry
