"""Ammonia in free space and in an electric field: energies and forces of a molecule whose symmetry is nearly O(3).

The same conservative network of particles with three priors: strict (sigma_b = 0), soft (sigma_b = 0.1) and free
(sigma_a = 0); and functions of interatomic distances, strict and soft, which are exact. The field leaves the rotations
about it. The data are made by `examples/data/ammonia.py`.

Run: python examples/molecule.py          (100 configurations)
     python examples/molecule.py 100 1000 (beside 1,000)
It writes docs/results/molecule.md and .png.
"""

# %% Data: positions in angstrom; energies and forces in units of 3 eV and 3 eV/angstrom, the size of the forces.
import sys
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import bayes_rpp as rpp
from bayes_rpp._files import write_page

HERE = Path(__file__).parent
OUT = HERE.parent / "docs" / "results" / "molecule.md"
DATA = dict(np.load(HERE / "data" / "ammonia.npz"))
COUNTS = [int(a) for a in sys.argv[1:]] or [100]
# sigma_b is the best of 0.02, 0.05 and 0.1 on rows 600 to 899 of both settings, trained on rows 500 to 599.
UNIT, ATOMS, TEST, MEMBERS, STEPS, CHANNELS = 3.0, ["N", "H", "H", "H"], slice(1000, 1300), 3, 1600, 32
PRIORS = {"strict": {"sigma_b": 0.0}, "soft": {"sigma_b": 0.1}, "free": {"sigma_a": 0.0, "sigma_b": 1.0}}
FUNCTIONS = {"functions, strict": {"sigma_b": 0.0}, "functions, soft": {}}  # soft: sigma_b is inferred
FEW, MOST = 25, 100  # configurations of functions, which need few, and whose time goes with the third power
SETTINGS = {"free": "free space", "field": "electric field"}
KINDS = (*PRIORS, *FUNCTIONS)
ABOUT_Z = rpp.SO(2) * rpp.Trivial(1)


def part(name, rows):
    """Systems, energies and forces of one setting."""
    positions, energy, forces = (DATA[f"{name}_{what}"][rows] for what in ("positions", "energy", "forces"))
    return rpp.Particles(positions, types=[ATOMS] * len(positions)), energy / UNIT, forces / UNIT


# %% Ensembles that differ in the prior alone. The noises start as large as the first errors are, and shrink with them.
def network(x, y, prior):
    net = rpp.ParticleNetwork(x, group=rpp.O(3), channels=CHANNELS, layers=2, cutoff=3.0, radial=16, conservative=True)
    noise = [rpp.Prior("HalfNormal", {"scale": s}) for s in (5.0, 1.0)]
    model = rpp.Model(net, likelihood=rpp.EnergyForces(energy=noise[0], forces=noise[1]), **prior)
    batch = min(50, len(x) // 4)
    method = rpp.DeepEnsemble(members=MEMBERS, epochs=STEPS * batch // len(x), batch_size=batch, learning_rate=0.01)
    return rpp.fit(model, x, (y[0], list(y[1])), method, progress=False)


def functions(x, y, prior):
    reps = 4 * rpp.Vector, rpp.Scalar + 4 * rpp.Vector, rpp.O(3)
    gp = rpp.GaussianProcess(*reps, conservative=True, particles=x, **prior)
    return rpp.fit(gp, x, tuple(y), rpp.MAP(), progress=False)


rows, errors = [], {}
for count in (FEW, *COUNTS):
    for name, setting in SETTINGS.items():
        x, *y = part(name, slice(0, count))
        test, energy, forces = part(name, TEST)
        for kind in KINDS if count in COUNTS else FUNCTIONS:
            if kind in FUNCTIONS and count > MOST:
                continue
            start = time.process_time()
            post = functions(x, y, FUNCTIONS[kind]) if kind in FUNCTIONS else network(x, y, PRIORS[kind])
            want, p = forces.reshape(len(test), 12), post.predict(test)
            mean, std = p.mean[:, 1:], p.std[:, 1:]
            energies = f"{1000 * UNIT * np.abs(p.mean[:, 0] - energy).mean():.1f}"
            groups = (rpp.O(3), ABOUT_Z)
            broken = [f"{np.median(post.equivariance_error(test[:50], group=g)):.2g}" for g in groups]
            mae, covered = UNIT * np.abs(mean - want).mean(), (np.abs(mean - want) < 1.645 * std).mean()
            errors[count, setting, kind] = mae
            cells = [
                f"{1000 * mae:.3g}",
                energies,
                f"{100 * covered:.0f} %",
                *broken,
                f"{time.process_time() - start:.0f}",
            ]
            rows.append(f"| {count} | {setting} | {kind} | " + " | ".join(cells) + " |")
            print(rows[-1], flush=True)

# %% The picture.
figure, axes = plt.subplots(1, len(COUNTS), figsize=(4.5 * len(COUNTS), 3.6), layout="constrained", squeeze=False)
for ax, count in zip(axes[0], COUNTS, strict=True):
    kinds = [k for k in KINDS if (count, "free space", k) in errors]
    for k, kind in enumerate(kinds):
        place = np.arange(2) + (k - (len(kinds) - 1) / 2) * 0.16
        height = [1000 * errors[count, s, kind] for s in SETTINGS.values()]
        ax.bar(place, height, 0.16, color=f"C{KINDS.index(kind)}", label=kind)
    ax.set(title=f"{count} configurations", yscale="log", xticks=range(2), xticklabels=list(SETTINGS.values()))
    ax.set_ylabel("mean error of a force, meV/Å")
shown = {label: bars for ax in axes[0] for bars, label in zip(*ax.get_legend_handles_labels(), strict=True)}
figure.legend(shown.values(), shown, loc="outside lower center", ncols=len(KINDS), frameon=False)
figure.savefig(OUT.with_suffix(".png"), dpi=110)

# %% The page.
command = " ".join(["python examples/molecule.py", *map(str, COUNTS)])
write_page(
    OUT,
    f"""# A molecule in a field

Ammonia by GFN2-xTB (`examples/data/ammonia.py`), in free space and in a field of 1 V/Å: energies and forces at 300
configurations held out, from `{command}` (version {rpp.__version__}). Ensembles of {MEMBERS} conservative networks,
and residual pathway functions of interatomic distances; one data set and one seed. Mean absolute
errors; intervals are of the forces; equivariance errors are medians under rotations and reflections, and under
rotations about the field.

| configurations | data | prior | forces, meV/Å | energies, meV | 90 % cover | error, O(3) | about the field | CPU s |
{"| --- " * 9}|
"""
    + "\n".join(rows)
    + """

![Errors of the forces with each prior, without and with the field](molecule.png)
""",
)
