"""What a ParticleNetwork is given, checked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from bayes_rpp._arrays import whole_number
from bayes_rpp.networks.particles.systems import Particles
from bayes_rpp.symmetry.representations import Rep, Representation

LOOKED_AT = 100  # systems in which neighbours are counted


def check_places(value: Any, name: str = "particles", least: int = 1) -> int:
    """The most particles in a system."""
    return value.most if isinstance(value, Particles) else whole_number(value, name, least)


def check_cutoff(value: Any) -> float | None:
    return None if value is None else _positive(value, "cutoff")


def check_neighbors(value: Any) -> float:
    return _positive(value, "neighbors")


def check_choice(value: Any, choices: Sequence[Any], name: str) -> Any:
    if not any(value is c or (isinstance(c, str) and isinstance(value, str) and value == c) for c in choices):
        raise ValueError(f"{name} must be {' or '.join(map(repr, choices))}, got {value!r}")
    return value


def check_energy(out: Representation, pooled: Any) -> str:
    """What an energy is of: the sum over particles. Raises ValueError if `out` or `pooled` do not fit."""
    g = out.group
    moved = [out.rho(h) for h in g.discrete_generators] + [1 + out.drho(a) for a in g.lie_algebra]
    if out.size != 1 or any(abs(m[0, 0] - 1) > 1e-8 for m in moved):
        raise ValueError(f"out must be a Scalar, the energy, where conservative is True, got {out.rep}")
    if pooled == "mean":
        raise ValueError("pooled must be 'sum' where conservative is True, as energies add up, got 'mean'")
    return "sum"


def check_rows(x: Any, name: str) -> None:
    """Raise TypeError where systems are given as `Particles` takes them."""
    if isinstance(x, (list, tuple, np.ndarray)) and _dimensions(x) == 3:
        raise TypeError(f"{name} must be Particles, or rows, got positions of systems; Particles({name}) would do")


def check_both(y: Any, width: int, name: str) -> None:
    """Raise ValueError where one of energies and forces is given alone, or both in another form."""
    if _dimensions(y) in (1, 3) or (_dimensions(y) == 2 and np.shape(y)[1] == 1):
        raise ValueError(
            f"{name} must be a tuple of energies, a number for each system, and forces, a list of arrays (particles, "
            f"{width}), got a {type(y).__name__} of {len(y)}; ({name}, forces), or conservative=False, would do"
        )


def _dimensions(values: Any) -> int:
    """Of an array, or of a list of arrays that may differ in length."""
    try:
        return 1 + np.ndim(values[0]) if isinstance(values, (list, tuple)) and values else int(np.ndim(values))
    except ValueError:  # ragged beyond that
        return 0


def neighbors_of(data: Particles | None, places: int, cutoff: float | None) -> float:
    """How many neighbours a particle has about: at least one."""
    if data is None:
        return float(max(1, places - 1))
    seen, particles = 0, 0
    for x in data[:LOOKED_AT].positions:
        near = len(x) - 1
        particles += len(x)
        if cutoff is None:
            seen += len(x) * near
            continue
        d = np.sqrt(((x[:, None] - x) ** 2).sum(-1))
        seen += int((d < cutoff).sum()) - len(x)
    return float(max(1.0, round(seen / particles, 2)))


def repeated(rep: Rep, count: int) -> Rep:
    """That of so many particles, one after the other."""
    return count * rep if len(rep.terms) == 1 else Rep(rep.terms * count)


def _positive(value: Any, name: str) -> float:
    good = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if not good or not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be a number > 0, got {value!r}")
    return float(value)
