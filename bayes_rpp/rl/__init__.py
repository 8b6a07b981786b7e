"""Approximate symmetry in reinforcement learning (Finzi et al. 2021, Section 6): `from bayes_rpp import rl`.

Symmetries of Gymnasium's MuJoCo environments by name, how far each holds in the simulator, models of transitions, and
policies for Stable-Baselines3's SAC that prefer one: `SAC("RPPPolicy", ...)`. It needs the extra: pip install
'bayes-rpp[rl]'.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from bayes_rpp._imports import load_module

if TYPE_CHECKING:
    from bayes_rpp.rl.catalogue import symmetries, symmetry
    from bayes_rpp.rl.measure import Violation, measure_symmetry
    from bayes_rpp.rl.rollouts import Recalibration, Rollout, interval_coverage, relative_error, rollout
    from bayes_rpp.rl.states import set_state
    from bayes_rpp.rl.tables import Symmetry
    from bayes_rpp.rl.torch.normalise import SymmetricVecNormalize
    from bayes_rpp.rl.torch.policy import RPPPolicy
    from bayes_rpp.rl.transition_model import TransitionModel, fit_transitions, transition_network
    from bayes_rpp.rl.transitions import Transitions, collect_transitions

_HOMES = {
    "catalogue": ["symmetries", "symmetry"],
    "measure": ["Violation", "measure_symmetry"],
    "rollouts": ["Recalibration", "Rollout", "interval_coverage", "relative_error", "rollout"],
    "states": ["set_state"],
    "tables": ["Symmetry"],
    "torch.normalise": ["SymmetricVecNormalize"],
    "torch.policy": ["RPPPolicy"],
    "transition_model": ["TransitionModel", "fit_transitions", "transition_network"],
    "transitions": ["Transitions", "collect_transitions"],
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "RPPPolicy", "Recalibration", "Rollout", "Symmetry", "SymmetricVecNormalize", "TransitionModel", "Transitions",
    "Violation", "collect_transitions", "fit_transitions", "interval_coverage", "measure_symmetry", "relative_error",
    "rollout", "set_state", "symmetries", "symmetry", "transition_network",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'bayes_rpp.rl' has no attribute {name!r}")
    if _HOME[name].startswith("torch") and find_spec("stable_baselines3") is None:
        raise ImportError(f"{name} needs Stable-Baselines3: pip install 'bayes-rpp[rl]'")
    value = getattr(load_module(f"bayes_rpp.rl.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


if find_spec("stable_baselines3") is not None:  # SAC knows the policy by name from then on
    load_module("bayes_rpp.rl.torch.policy")
