"""Approximate symmetry in reinforcement learning (Finzi et al. 2021, Section 6): `from bayes_rpp import rl`.

Symmetries of Gymnasium's MuJoCo environments by name, how far each holds in the simulator, models of transitions, and
policies that prefer one, for Stable-Baselines3's SAC, `SAC("RPPPolicy", ...)`, and for SBX's, `SAC(SbxRPPPolicy, ...)`.
It needs the extra: pip install 'bayes-rpp[rl]', or 'bayes-rpp[sbx]' for both.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from bayes_rpp._imports import load_module
from bayes_rpp._lazy import lazy

if TYPE_CHECKING:
    from bayes_rpp.rl.callbacks import ResidualEvidence, SymmetryTracker
    from bayes_rpp.rl.catalogue import symmetries, symmetry
    from bayes_rpp.rl.flax.policy import SbxRPPPolicy
    from bayes_rpp.rl.measure import Violation, measure_symmetry
    from bayes_rpp.rl.rollouts import Recalibration, Rollout, interval_coverage, relative_error, rollout
    from bayes_rpp.rl.states import set_state
    from bayes_rpp.rl.tables import Symmetry
    from bayes_rpp.rl.torch.normalise import SymmetricVecNormalize
    from bayes_rpp.rl.torch.policy import RPPPolicy
    from bayes_rpp.rl.transition_model import TransitionModel, fit_transitions, transition_network
    from bayes_rpp.rl.transitions import Transitions, collect_transitions
else:
    _find, __dir__ = lazy(
        __name__,
        {
            "rl.callbacks": "ResidualEvidence SymmetryTracker",
            "rl.catalogue": "symmetries symmetry",
            "rl.flax.policy": "SbxRPPPolicy",
            "rl.measure": "Violation measure_symmetry",
            "rl.rollouts": "Recalibration Rollout interval_coverage relative_error rollout",
            "rl.states": "set_state",
            "rl.tables": "Symmetry",
            "rl.torch.normalise": "SymmetricVecNormalize",
            "rl.torch.policy": "RPPPolicy",
            "rl.transition_model": "TransitionModel fit_transitions transition_network",
            "rl.transitions": "Transitions collect_transitions",
        },
    )

    _POLICIES = ("RPPPolicy", "ResidualEvidence", "SymmetricVecNormalize", "SymmetryTracker")

    def __getattr__(name: str) -> Any:
        if name in _POLICIES and find_spec("stable_baselines3") is None:
            raise ImportError(f"{name} needs Stable-Baselines3: pip install 'bayes-rpp[rl]'")
        if name == "SbxRPPPolicy" and find_spec("sbx") is None:
            raise ImportError("SbxRPPPolicy needs SBX: pip install 'bayes-rpp[sbx]'")
        return _find(name)


__all__ = [
    "RPPPolicy", "Recalibration", "ResidualEvidence", "Rollout", "SbxRPPPolicy", "Symmetry", "SymmetricVecNormalize",
    "SymmetryTracker", "TransitionModel", "Transitions", "Violation", "collect_transitions", "fit_transitions",
    "interval_coverage", "measure_symmetry", "relative_error", "rollout", "set_state", "symmetries", "symmetry",
    "transition_network",
]  # fmt: skip


if find_spec("stable_baselines3") is not None:  # SAC knows the policy by name from then on
    load_module("bayes_rpp.rl.torch.policy")
