"""A pendulum whose symmetry names what it conserves, and a table that has no symmetry.

    python examples/discover_tables.py     writes docs/results/discover_tables.md and .png

The double spring pendulum: states (two positions, two momenta) and their energies, without and with wind. A rotation
that keeps the energy comes with an angular momentum that is conserved (Noether 1918): that about its axis. And the
diabetes table of scikit-learn, six columns of patients: whatever mixes them, the answer should be "none".
"""

# %% Libraries and settings
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_diabetes

import bayes_rpp as rpp
from bayes_rpp._files import write_page

OUT = Path("docs/results/discover_tables.md")
STATES, PATIENTS = 300, 442
WINDS = {"none": (0.0, 0.0, 0.0), "weak": (0.08, 0.05, 0.0)}
SIZE = {"rep_in": 4 * rpp.Vector, "within": rpp.SO(3)}


# %% The pendulum
def states(n: int) -> NDArray:
    """(n, 12) states of calm pendulums, some time after the start."""
    return np.asarray(rpp.datasets.pendulum(n, seed=0).x, dtype=np.float64)


def of_energy(wind: tuple[float, ...]) -> str:
    """What the formula of the energy says, by its derivatives."""
    found = rpp.analysis.symmetries_of(
        lambda z: rpp.datasets.pendulum_energy(z, wind)[:, None], states(100), rep_out=rpp.Scalar, **SIZE
    )
    return "; ".join(found.names) or "none"


def of_examples(wind: tuple[float, ...]) -> rpp.analysis.Discovery:
    """What examples say: states and their energies, with noise of 1 % of its size."""
    x = states(STATES)
    y = rpp.datasets.pendulum_energy(x, wind)[:, None]
    y = y + 0.01 * y.std() * np.random.default_rng(1).normal(size=y.shape)
    return rpp.discover_symmetry(x, y, rep_out=rpp.Scalar, **SIZE)


def drift(wind: tuple[float, ...], axis: NDArray) -> float:
    """How far the angular momentum about an axis goes within a time of 10, beside its size."""
    path = rpp.datasets.pendulum_states(states(20), np.linspace(0.5, 10, 20), wind).reshape(20, 20, 4, 3)
    momentum = np.cross(path[:, :, :2], path[:, :, 2:]).sum(axis=2) @ axis
    return float(np.sqrt(momentum.var(axis=1).mean() / (momentum**2).mean()))


def pendulums() -> tuple[list[str], dict[str, rpp.analysis.Discovery]]:
    rows, all_found = [], {}
    for name, wind in WINDS.items():
        start = time.process_time()
        found = of_examples(wind)
        seconds = time.process_time() - start
        print(f"\nwind {name}, {seconds:.0f} CPU s:\n{found}")
        a = found.generators[0] if found.dimension == 1 else np.zeros((3, 3))
        axis = np.array([a[2, 1], a[0, 2], a[1, 0]])
        axis = axis / max(np.linalg.norm(axis), 1e-12)
        about = f"{drift(wind, axis):.4f}" if found.dimension == 1 else ""
        rows.append(
            f"| {name} | {of_energy(wind)} | {'; '.join(found.names) or 'none'} | {found.spectrum.strength[0]:.3f} "
            f"({found.spectrum.lower[0]:.3f} to {found.spectrum.upper[0]:.3f}) | {about} | "
            f"{drift(wind, np.array([0.0, 1.0, 0.0])):.2f} | {seconds:.0f} |"
        )
        all_found[name] = found
    return rows, all_found


# %% The table
def patients() -> rpp.analysis.Discovery:
    table = load_diabetes()
    x, y = np.asarray(table.data)[:PATIENTS, :6], np.asarray(table.target)[:PATIENTS]
    names = table.feature_names[:6]
    return rpp.discover_symmetry(x / x.std(axis=0), (y - y.mean()) / y.std(), columns=names, targets=["progress"])


# %% What it does
def main() -> None:
    rows, found = pendulums()
    table = patients()
    print(f"\ndiabetes:\n{table}")
    figure, axes = plt.subplots(1, 2, figsize=(12, 4.6), layout="constrained")
    rpp.plots.plot_symmetries(found["none"], ax=axes[0])
    rpp.plots.plot_symmetries(table, directions=None, ax=axes[1])
    OUT.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(OUT.with_suffix(".png"), dpi=130)
    lines = [
        "# A pendulum, and a table without a symmetry",
        "",
        "Made by `python examples/discover_tables.py`; seconds are of one core, while others ran.",
        "",
        "![the pendulum without wind, and patients](discover_tables.png)",
        "",
        f"The double spring pendulum, {STATES} states and their energies, noise 1 %, within SO(3). Drift is the",
        "standard deviation of the angular momentum along a motion beside its size, about the axis found and about y.",
        "",
        "| wind | by the formula | found from examples | violated by (90 %) | drift | about y | CPU s |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *rows,
        "",
        f"Six columns of scikit-learn's diabetes table, {PATIENTS} patients, all matrices on the columns:",
        "",
        "```",
        str(table),
        "```",
        "",
    ]
    write_page(OUT, "\n".join(lines))


# %% Run it
if __name__ == "__main__":
    main()
