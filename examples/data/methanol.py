"""Makes methanol.npz: dipoles of methanol in free space by tight binding (GFN2-xTB), as ammonia.py. Needs tblite.

700 configurations: the molecule at rest, with each coordinate moved by a normal number of 0.06 angstrom, turned at
random about its center. Atoms are C, O, the three H of the methyl group, the H at O; dipoles are in e angstrom.
"""

from pathlib import Path

import numpy as np
from ammonia import MOVED, energy  # type: ignore[import-not-found]
from scipy.spatial.transform import Rotation

ATOMS = np.array([6, 8, 1, 1, 1, 1])
COUNT = 700
START = [
    [-0.05, 0, 0.67],
    [-0.05, 0, -0.76],
    [0.93, 0, 1.04],
    [-0.56, 0.89, 1.04],
    [-0.56, -0.89, 1.04],
    [0.85, 0, -1.07],
]


def main() -> None:
    rest = np.array(START)
    for _ in range(200):
        rest = rest + 0.02 * energy(rest, 0.0, ATOMS)[1]
    rng, positions, dipoles = np.random.default_rng(0), [], []
    for _ in range(COUNT):
        moved = rest - rest.mean(axis=0) + MOVED * rng.normal(size=rest.shape)
        moved = moved @ Rotation.random(random_state=rng.integers(2**31)).as_matrix().T
        positions.append(moved)
        dipoles.append(energy(moved, 0.0, ATOMS)[2])
    found = {"free_positions": positions, "free_dipole": dipoles}
    arrays = {k: np.array(v, dtype=np.float32) for k, v in found.items()}
    np.savez_compressed(Path(__file__).with_suffix(".npz"), **arrays)


if __name__ == "__main__":
    main()
