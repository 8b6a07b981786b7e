"""Makes ammonia.npz: ammonia by tight binding (GFN2-xTB), in free space and in an electric field. Needs tblite.

1,300 configurations of each: the molecule at rest, with each coordinate moved by a normal number of 0.06 angstrom,
turned at random about its center. Energies are in eV above the molecule at rest, forces in eV/angstrom, dipoles in
e angstrom; the field is 1 V/angstrom along z. For the field tblite 0.8 takes a C array.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from tblite._libtblite import ffi  # type: ignore[import-not-found]
from tblite.interface import Calculator  # type: ignore[import-not-found]

BOHR, HARTREE = 0.529177210903, 27.211386245988
ATOMS = np.array([7, 1, 1, 1])
COUNT, MOVED, FIELD = 1300, 0.06, 1.0


def energy(positions: NDArray, field: float, atoms: NDArray = ATOMS) -> tuple[float, NDArray, NDArray]:
    """Energy, forces and dipole at (4, 3) positions, or as many as there are atoms."""
    molecule = Calculator("GFN2-xTB", atoms, positions / BOHR)
    molecule.set("verbosity", 0)
    if field:
        molecule.add("electric-field", ffi.new("double[3]", [0.0, 0.0, field * BOHR / HARTREE]))
    found = molecule.singlepoint()
    return found.get("energy") * HARTREE, -found.get("gradient") * HARTREE / BOHR, found.get("dipole") * BOHR


def main() -> None:
    rest = np.array([[0, 0, 0.1], [0, 0.94, -0.26], [0.814, -0.47, -0.26], [-0.814, -0.47, -0.26]])
    for _ in range(200):
        rest = rest + 0.02 * energy(rest, 0.0)[1]
    lowest, rng, out = energy(rest, 0.0)[0], np.random.default_rng(0), {}
    for name, field in (("free", 0.0), ("field", FIELD)):
        rows = []
        for _ in range(COUNT):
            moved = rest - rest.mean(axis=0) + MOVED * rng.normal(size=(4, 3))
            moved = moved @ Rotation.random(random_state=rng.integers(2**31)).as_matrix().T
            e, forces, dipole = energy(moved, field)
            rows.append((moved, e - lowest, forces, dipole))
        for what, column in zip(("positions", "energy", "forces", "dipole"), zip(*rows, strict=True), strict=True):
            out[f"{name}_{what}"] = np.array(column, dtype=np.float32)
    np.savez_compressed(Path(__file__).with_suffix(".npz"), **out)


if __name__ == "__main__":
    main()
