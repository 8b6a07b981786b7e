"""Hamiltonian networks: a network learns the energy, and its outputs are the states to which that energy leads.

dz/dt = J grad H(z), z = (q, p), by Runge and Kutta's fourth order (Greydanus, Dzamba and Yosinski 2019; with symmetric
H, Finzi, Welling and Wilson 2021, Section 7.2). If the group leaves H as it is and keeps J, the motion is equivariant.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import expm

from bayes_rpp._arrays import Array, array_namespace, constant, whole_number
from bayes_rpp._given import described
from bayes_rpp._types import Shaped
from bayes_rpp.engines.libraries import library_of
from bayes_rpp.networks.network import Network
from bayes_rpp.symmetry.groups import symplectic_form
from bayes_rpp.symmetry.representations import Representation

# Where each of the four slopes is taken, in steps along the one before it, and its weight.
STAGES = np.array([[0.0, 1 / 6], [0.5, 1 / 3], [0.5, 1 / 3], [1.0, 1 / 6]])


class HamiltonianNetwork(Network, is_code=False):
    """The states at dt, 2 dt, ... of a system that is at x at time 0, by the energy that a network gives.

    Example: `HamiltonianNetwork(EMLP(4 * Vector, Scalar, O(3), channels=128), dt=0.2, steps=4)`. The energy's bilinear
    layers take most of the time; without them, though, no lengths of vectors are within an exactly symmetric energy's
    reach. Hidden layers of scalars and vectors alone, such as channels=68 * Scalar + 20 * Vector, have fewer.

    Args:
        energy: any network of one output, the energy, which the group leaves as it is. Its inputs are the positions q,
            and then the momenta p in the same order.
        dt: time between two states, in the units of the data; negative looks back.
        steps: number of states.
        substeps: steps of the integration in each dt.

    Parameters have the energy's own names. rep_in is the energy's, rep_out `steps * rep_in`, one state after another.

    Derivatives need torch or JAX: numpy arrays are handed to the one that is loaded already, or else installed.

    Raises:
        TypeError, ValueError: naming the argument that does not fit; also if the group does not keep the form dq ^ dp,
            as one that turns positions but not momenta.
    """

    def __init__(self, energy: Network, *, dt: float, steps: int, substeps: int = 1) -> None:
        if not isinstance(energy, Network):
            got = described(energy)
            raise TypeError(f"energy must be a Network, got {got}; EMLP(4 * Vector, Scalar, O(3)) would do")
        _check_energy(energy)
        if isinstance(dt, bool) or not isinstance(dt, (int, float, np.number)) or not math.isfinite(dt) or dt == 0:
            raise ValueError(f"dt must be a number other than 0, got {dt!r}; 0.1 would do")
        self.energy, self.dt = energy, float(dt)
        self.steps, self.substeps = whole_number(steps, "steps"), whole_number(substeps, "substeps")
        evaluations = energy.capabilities.evaluations * len(STAGES) * self.steps * self.substeps
        super().__init__(
            energy.rep_in.rep,
            self.steps * energy.rep_in.rep,
            energy.group,
            capabilities=replace(energy.capabilities, traceable=False, evaluations=evaluations),
        )
        self.parameters = dict(energy.parameters)

    def __call__(
        self, params: Mapping[str, Array], x: Shaped[Array, "*x"]
    ) -> Shaped[Array, "*batch {self.rep_out.size}"]:
        """States (..., steps * d) that follow the states x (..., d)."""
        params, x = {name: params[name] for name in self.parameters}, self.rows(x)
        library, own = library_of(x, self.engines)
        return self._states(params, x) if own else library.on_numpy(self._states, params, x)

    def hamiltonian(self, params: Mapping[str, Array], z: Array) -> Array:
        """The energy of states z, (..., d) to (...), up to a constant that no data can tell."""
        return self.energy({name: params[name] for name in self.parameters}, z)[..., 0]

    def config(self) -> dict[str, Any]:
        return {"energy": self.energy, "dt": self.dt, "steps": self.steps, "substeps": self.substeps}

    def __repr__(self) -> str:
        return f"HamiltonianNetwork({self.energy!r}, dt={self.dt}, steps={self.steps}, substeps={self.substeps})"

    def _states(self, params: Mapping[str, Array], x: Array) -> Array:
        (lib, _), xp, half = library_of(x, self.engines), array_namespace(x), self.rep_in.size // 2
        stages = constant(STAGES * (self.dt / self.substeps), x)

        def slope(z: Array) -> Array:
            g = lib.gradient(lambda z: self.energy(params, z), z)
            return xp.concat([g[..., half:], -g[..., :half]], axis=-1)

        def step(z: Array, _: None) -> tuple[Array, Array]:
            def stage(carried: tuple[Array, Array], row: Array) -> tuple[tuple[Array, Array], None]:
                k, total = carried
                k = slope(z + row[0] * k)
                return (k, total + row[1] * k), None

            (_, total), _ = lib.loop(stage, (xp.zeros_like(z), xp.zeros_like(z)), stages)
            return z + total, z + total

        _, states = lib.loop(step, x, None, self.steps * self.substeps)
        states = states[self.substeps - 1 :: self.substeps]
        states = xp.permute_dims(states, (*range(1, x.ndim), 0, x.ndim))
        return states.reshape((*x.shape[:-1], self.rep_out.size))


def _check_energy(energy: Network) -> None:
    rep_in, rep_out, group = energy.rep_in, energy.rep_out, energy.group
    if rep_out.size != 1 or any(abs(m - 1) > 1e-8 for m in _generators(rep_out)):
        raise ValueError(
            f"energy must have one Scalar, which the group leaves as it is, as rep_out, got {rep_out.rep}, of size "
            f"{rep_out.size}, under {group}"
        )
    if rep_in.size % 2:
        raise ValueError(f"energy must have a rep_in of even size, q then p, got {rep_in.rep} of size {rep_in.size}")
    form = symplectic_form(rep_in.size // 2)
    if not all(np.allclose(m.T @ form @ m, form, atol=1e-8) for m in _generators(rep_in)):
        raise ValueError(
            f"energy must have a rep_in by which {group} keeps the form dq ^ dp, got {rep_in.rep}; positions, and then "
            "momenta that transform as their duals do (under an orthogonal group: the same way), would do"
        )


def _generators(rep: Representation) -> list[NDArray]:
    """Matrices of group elements that generate a group dense in it, as far as forms that they keep can tell."""
    group = rep.group
    return [rep.rho(g) for g in (*expm(0.5 * group.lie_algebra), *group.discrete_generators)]
