"""Six data sets without noise, from physics: what their symmetries are is known from where they come from.

Earth's field and the moves of planets about an oblate center can be asked at turned inputs; ammonia and methanol are
tables (`examples/data/ammonia.py`, `methanol.py`), of which the symmetries that hold are known, and not by how much the
others fail.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import bayes_rpp as rpp

EXAMPLES = Path(__file__).parent.parent / "examples"
TESTED, TURNS = 300, 400
OBLATE, STEPS, TIME = 0.1, 400, 1.0
ABOUT_Z = rpp.SO(2, axis=(0, 0, 1))


@dataclass(frozen=True)
class Problem:
    """x, y of training and test, standardised as a whole; candidates by name, and how far each is broken in truth.

    Attributes:
        holds: candidates that hold exactly.
        truth: candidate -> mean equivariance error of the true function; only where it can be asked.
        contained: (smaller, larger) names of candidates.
    """

    x: NDArray
    y: NDArray
    test_x: NDArray
    test_y: NDArray
    rep_in: Any
    rep_out: Any
    groups: dict[str, Any]
    holds: tuple[str, ...] = ()
    truth: dict[str, float] = field(default_factory=dict)
    contained: tuple[tuple[str, str], ...] = ()


@cache
def _earth() -> Any:
    path = EXAMPLES / "discover_geomagnetism.py"
    spec = importlib.util.spec_from_file_location("discover_geomagnetism", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def earth(n: int, seed: int) -> Problem:
    """Positions -> field in microtesla over 30; nearly symmetric about the dipole's axis."""
    module = _earth()
    groups = {
        "none": rpp.Trivial(3),
        "dipole axis": module.about(module.AXIS),
        "Earth's axis": ABOUT_Z,
        "SO(3)": rpp.SO(3),
    }
    x, test = module.positions(n, seed), module.positions(TESTED, 10_000 + seed)

    def function(points: NDArray) -> NDArray:
        return module.field(points) / 30.0

    contained = (("dipole axis", "SO(3)"), ("Earth's axis", "SO(3)"))
    truth = {k: true_error(function, test, g, 1, 1) for k, g in groups.items() if k != "none"}
    return Problem(
        x, function(x), test, function(test), rpp.Vector, rpp.Vector, groups, truth=truth, contained=contained
    )


def molecule(n: int, seed: int, what: str = "dipole", where: str = "free", name: str = "ammonia") -> Problem:
    """Positions of N, H, H, H or C, O, H, H, H, H about their mean, over 0.6 angstrom -> the dipole over 0.3 e angstrom
    or the forces over 3 eV/angstrom."""
    with np.load(EXAMPLES / "data" / f"{name}.npz") as kept:
        positions, y = kept[f"{where}_positions"], kept[f"{where}_{what}"]
    positions = positions - positions.mean(axis=1, keepdims=True)
    rows = np.random.default_rng(seed).permutation(len(positions))[: n + TESTED]
    x, y = (
        positions[rows].reshape(len(rows), -1) / 0.6,
        y[rows].reshape(len(rows), -1) / (0.3 if what == "dipole" else 3.0),
    )
    groups = {"none": rpp.Trivial(3), "about z": ABOUT_Z, "O(3)": rpp.O(3)}
    holds = ("about z", "O(3)") if where == "free" else ("about z",)
    return Problem(
        x[:n], y[:n], x[n:], y[n:], x.shape[1] // 3 * rpp.Vector, y.shape[1] // 3 * rpp.Vector, groups, holds,
        contained=(("about z", "O(3)"),),
    )  # fmt: skip


def planets(n: int, seed: int) -> Problem:
    """Positions and velocities of two planets about an oblate center -> their moves in a time of 1."""
    x, test = _orbits(n, seed), _orbits(TESTED, 10_000 + seed)
    groups = {"none": rpp.Trivial(3), "about z": ABOUT_Z, "SO(3)": rpp.SO(3)}
    truth = {"SO(3)": true_error(moves, test, groups["SO(3)"], 4, 2)}
    return Problem(
        x, moves(x), test, moves(test), 4 * rpp.Vector, 2 * rpp.Vector, groups, ("about z",), truth,
        (("about z", "SO(3)"),),
    )  # fmt: skip


def _orbits(n: int, seed: int) -> NDArray:
    """(n, 12): positions 1 to 1.6 from the center, and velocities of circles, each changed by a tenth."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2, 3))
    x *= rng.uniform(1.0, 1.6, size=(n, 2, 1)) / np.linalg.norm(x, axis=-1, keepdims=True)
    v = np.cross(x, rng.normal(size=x.shape))
    v /= np.linalg.norm(v, axis=-1, keepdims=True) * np.sqrt(np.linalg.norm(x, axis=-1, keepdims=True))
    return np.concatenate([x, v + 0.1 * rng.normal(size=v.shape)], axis=1).reshape(n, 12)


def moves(points: NDArray) -> NDArray:
    """(n, 6) by the leapfrog of Verlet; the potential is -1/r + OBLATE (3 z^2 / r^2 - 1) / (2 r^3), and the planets, of
    mass 0.1, attract each other."""
    x, v = (a.copy() for a in np.split(points.reshape(len(points), 4, 3), 2, axis=1))
    start, dt = x.copy(), TIME / STEPS
    for _ in range(STEPS):
        x = x + 0.5 * dt * v
        v = v + dt * _pull(x)
        x = x + 0.5 * dt * v
    return (x - start).reshape(len(points), 6)


def _pull(x: NDArray) -> NDArray:
    r = np.linalg.norm(x, axis=-1, keepdims=True)
    z, up = x[..., 2:], np.array([0.0, 0.0, 1.0])
    oblate = OBLATE * (x * (7.5 * z**2 / r**7 - 1.5 / r**5) - up * 3.0 * z / r**5)
    apart = x[:, ::-1] - x
    return -x / r**3 + oblate + 0.1 * apart / (np.sum(apart**2, axis=-1, keepdims=True) + 0.01) ** 1.5


def true_error(function: Callable[[NDArray], NDArray], x: NDArray, group: Any, inputs: int, outputs: int) -> float:
    """Mean of |f(g x) - g f(x)| / (|f(g x)| + |g f(x)|) over the group's elements and inputs."""
    rng = np.random.default_rng(1)
    rows = rng.integers(len(x), size=TURNS)
    turns = np.asarray(group.sample(TURNS, 1))
    turned = np.einsum("kij,knj->kni", turns, x[rows].reshape(TURNS, inputs, 3)).reshape(TURNS, -1)
    a = function(turned)
    b = np.einsum("kij,knj->kni", turns, function(x[rows]).reshape(TURNS, outputs, 3)).reshape(TURNS, -1)
    size = np.linalg.norm(a, axis=1) + np.linalg.norm(b, axis=1)
    return float((np.linalg.norm(a - b, axis=1) / size).mean())


def hydrogens(x: NDArray) -> NDArray:
    """(n, 9) positions of the hydrogens relative to the nitrogen."""
    atoms = x.reshape(len(x), 4, 3)
    return (atoms[:, 1:] - atoms[:, :1]).reshape(len(x), 9)


PROBLEMS: dict[str, Callable[[int, int], Problem]] = {
    "Earth's field": earth,
    "dipole of ammonia": molecule,
    "dipole of methanol": lambda n, seed: molecule(n, seed, name="methanol"),
    "dipole of ammonia in a field": lambda n, seed: molecule(n, seed, where="field"),
    "forces of ammonia in a field": lambda n, seed: molecule(n, seed, "forces", "field"),
    "planets, oblate center": planets,
}
