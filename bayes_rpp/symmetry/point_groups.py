"""Point groups of molecules and crystals by their Schoenflies names, "C3v" or "D4h", as finite groups on R^3.

The main axis is z; mirrors of Cnv hold the x axis, and so do the half turns of Dn (Altmann and Herzig 1994).
"""

from __future__ import annotations

import math
import re

import numpy as np
from numpy.typing import NDArray

from bayes_rpp.symmetry.groups import Group

Array = NDArray[np.float64]
LARGEST = 50  # of the order of the main axis
MIRROR, UPRIGHT, HALF_TURN = np.diag([1.0, 1, -1]), np.diag([1.0, -1, 1]), np.diag([1.0, -1, -1])
THIRD = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])  # of a turn about (1, 1, 1)
NAMES = "C2, C3v, C2h, D3, D4h, D2d, S4, Cs, Ci, T, Td, Th, O, Oh, I, Ih"


def point_group(name: str) -> Group | None:
    """The group of a Schoenflies name; None of another text."""
    found = _generators(name)
    return None if found is None else Group(3, discrete_generators=found, name=name)


def _generators(name: str) -> list[Array] | None:
    inversion, golden = -np.eye(3), (1 + math.sqrt(5)) / 2
    tetrahedron, octahedron = [HALF_TURN, THIRD], [_turn(4), THIRD]
    icosahedron = [*tetrahedron, _about(np.array([0.0, 1, golden]), 2 * math.pi / 5)]
    fixed = {
        "Cs": [MIRROR],
        "Ci": [inversion],
        "T": tetrahedron,
        "Td": [*tetrahedron, _turn(4) @ MIRROR],
        "Th": [*tetrahedron, inversion],
        "O": octahedron,
        "Oh": [*octahedron, inversion],
        "I": icosahedron,
        "Ih": [*icosahedron, inversion],
    }
    if name in fixed:
        return fixed[name]
    read = re.fullmatch(r"(C|D|S)([1-9]\d?)([vhd]?)", name)
    if read is None or (n := int(read[2])) > LARGEST:
        return None
    kind, more = read[1], read[3]
    turns = [_turn(n)] if n > 1 else []
    if kind == "S":
        return [_turn(n) @ MIRROR] if n % 2 == 0 and not more else None
    if kind == "C":
        return None if more == "d" else turns + {"": [], "v": [UPRIGHT], "h": [MIRROR]}[more]
    if more == "v":
        return None
    return [*turns, HALF_TURN, *{"": [], "h": [MIRROR], "d": [_turn(2 * n) @ MIRROR]}[more]]


def _turn(n: int) -> Array:
    return _about(np.array([0.0, 0, 1]), 2 * math.pi / n)


def _about(axis: Array, angle: float) -> Array:
    """Rodrigues' formula."""
    a, b, c = axis / np.linalg.norm(axis)
    k = np.array([[0, -c, b], [c, 0, -a], [-b, a, 0]])
    return np.eye(3) + math.sin(angle) * k + (1 - math.cos(angle)) * k @ k
