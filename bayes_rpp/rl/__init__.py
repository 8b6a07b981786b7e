"""Approximate symmetry in reinforcement learning (Finzi et al. 2021, Section 6): `from bayes_rpp import rl`.

Symmetries of Gymnasium's MuJoCo environments by name, and how far each holds in the simulator. The environments need
the extra: pip install 'bayes-rpp[rl]'.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bayes_rpp.rl.catalogue import symmetries, symmetry
    from bayes_rpp.rl.measure import Violation, measure_symmetry
    from bayes_rpp.rl.states import set_state
    from bayes_rpp.rl.tables import Symmetry

_HOMES = {
    "catalogue": ["symmetries", "symmetry"],
    "measure": ["Violation", "measure_symmetry"],
    "states": ["set_state"],
    "tables": ["Symmetry"],
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["Symmetry", "Violation", "measure_symmetry", "set_state", "symmetries", "symmetry"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'bayes_rpp.rl' has no attribute {name!r}")
    value = getattr(import_module(f"bayes_rpp.rl.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
