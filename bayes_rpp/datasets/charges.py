"""Charged particles in free space, under gravity or in a magnetic field (after Kipf et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayes_rpp._arrays import whole_number
from bayes_rpp.networks.particles.systems import Particles

SOFTENING = 0.5  # of distances: the potential of two charges is q_i q_j / sqrt(r^2 + SOFTENING^2)


@dataclass(frozen=True)
class Moves:
    """Systems, and where each particle is later.

    Attributes:
        x: charge and velocity are the features of each particle, `rep_in` Scalar + Vector.
        y: (systems, particles, 3) how far each has moved.
        energy: (systems, 2) at the start and at the end.
    """

    x: Particles
    y: NDArray
    energy: NDArray


def charged_particles(
    n: int = 300,
    *,
    particles: int = 5,
    field: float = 0.0,
    gravity: float = 0.0,
    time: float = 1.0,
    steps: int = 1000,
    seed: int = 0,
) -> Moves:
    """Charges of 1 and -1 and of mass 1 that attract and repel each other.

    The steps are Boris's (1970): half a move, half a kick by the other charges, the turn by the field, and the same
    backwards; the error of the energy goes with (time / steps)^2 and does not add up.

    Args:
        n: systems.
        particles: in each.
        field: magnetic, along the third axis. It leaves rotations about that axis, and translations, as symmetries.
        gravity: the acceleration of all against the third axis. It leaves rotations about that axis, reflections that
            keep it, and translations.
        time: after which they are looked at; in units in which charges, masses and distances are about 1.
        steps: of the integration.
        seed: of the charges, positions and velocities at the start.

    Returns:
        `Moves`: the systems at the start, how far each particle has moved, and the energies.

    Raises:
        ValueError: if n, particles or steps is no whole number >= 1.
    """
    n, particles, steps = (whole_number(v, k) for v, k in ((n, "n"), (particles, "particles"), (steps, "steps")))
    rng = np.random.default_rng(seed)
    q = rng.choice([-1.0, 1.0], size=(n, particles, 1))
    x, v = rng.normal(size=(n, particles, 3)), 0.5 * rng.normal(size=(n, particles, 3))
    start, before, dt = Particles(x, np.concatenate([q, v], axis=-1)), _energy(q, x, v, gravity), time / steps
    fall = np.array([0.0, 0.0, -gravity])
    turn = np.zeros((n, particles, 3))
    turn[..., 2:] = 0.5 * dt * field * q
    scale = 2.0 / (1.0 + (turn**2).sum(axis=-1, keepdims=True))
    x = x.copy()
    for _ in range(steps):
        x += 0.5 * dt * v
        kick = 0.5 * dt * (_forces(q, x) + fall)
        v = v + kick
        v = v + scale * np.cross(v + np.cross(v, turn), turn) + kick
        x += 0.5 * dt * v
    return Moves(start, x - np.stack(start.positions), np.stack([before, _energy(q, x, v, gravity)], axis=1))


def _between(q: NDArray, x: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """r_i - r_j, softened distances and products of charges of all pairs."""
    r = x[:, :, None] - x[:, None]
    return r, np.sqrt((r**2).sum(axis=-1) + SOFTENING**2), q * q[..., 0][:, None]


def _forces(q: NDArray, x: NDArray) -> NDArray:
    r, d, qq = _between(q, x)
    found: NDArray = ((qq / d**3)[..., None] * r).sum(axis=2)
    return found


def _energy(q: NDArray, x: NDArray, v: NDArray, gravity: float) -> NDArray:
    _, d, qq = _between(q, x)
    potential = 0.5 * ((qq / d).sum(axis=(1, 2)) - (q**2).sum(axis=(1, 2)) / SOFTENING)
    found: NDArray = potential + 0.5 * (v**2).sum(axis=(1, 2)) + gravity * x[..., 2].sum(axis=1)
    return found
