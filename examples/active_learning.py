"""Which molecule next? Configurations of ammonia chosen by how unsure the forces are, beside ones chosen at random.

Functions of interatomic distances (`GaussianProcess(particles=...)`) are fitted to 10 configurations; of 300 others the
three whose forces are least sure are computed next, and so on up to 25. Energies and forces are those of
`examples/data/ammonia.npz`, in free space.

Run: python examples/active_learning.py   (about a minute)
It writes docs/results/active_learning.md and .png.
"""

# %% Data: positions in angstrom, energies and forces in units of 3 eV and 3 eV/angstrom.
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import bayes_rpp as rpp
from bayes_rpp._files import write_page

HERE, UNIT, SEEDS, START, END, STEP = Path(__file__).parent, 3.0, 3, 10, 25, 3
OUT = HERE.parent / "docs" / "results" / "active_learning.md"
DATA = np.load(HERE / "data" / "ammonia.npz")
X = rpp.Particles(DATA["free_positions"], types=[["N", "H", "H", "H"]] * 1300)
ENERGY, FORCES = DATA["free_energy"] / UNIT, DATA["free_forces"] / UNIT
POOL, TEST = np.arange(310), np.arange(1000, 1200)


# %% The loop.
def learn(by, seed):
    """Mean and largest error of a force, and the share inside of 90 % intervals, with each number of configurations."""
    rng, found = np.random.default_rng(seed), []
    chosen = rng.choice(POOL, START, replace=False)
    gp = rpp.GaussianProcess(4 * rpp.Vector, rpp.Scalar + 4 * rpp.Vector, rpp.O(3), conservative=True, particles=X)
    while True:
        post = rpp.fit(gp, X[chosen], (ENERGY[chosen], FORCES[chosen]), rpp.MAP(), progress=False)
        p = post.predict(X[TEST], samples=False)
        gaps = np.abs(p.mean[:, 1:] - FORCES[TEST].reshape(len(TEST), -1))
        found.append([1e3 * UNIT * gaps.mean(), 1e3 * UNIT * gaps.max(), (gaps < 1.645 * p.std[:, 1:]).mean()])
        if len(chosen) >= END:
            return found
        rest = np.setdiff1d(POOL, chosen)
        unsure = post.predict(X[rest], samples=False).std[:, 1:].mean(axis=1)
        order = np.argsort(-unsure) if by == "std" else rng.permutation(len(rest))
        chosen = np.concatenate([chosen, rest[order[:STEP]]])


WAYS = {"random": "at random", "std": "by standard deviation"}
found = {by: np.array([learn(by, seed) for seed in range(SEEDS)]) for by in WAYS}  # (seeds, rounds, 3)

# %% The picture and the page.
counts = START + STEP * np.arange(found["std"].shape[1])
figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
for k, what in enumerate(("mean", "largest")):
    for by, words in WAYS.items():
        each = found[by][:, :, k]
        (line,) = axes[k].plot(counts, np.median(each, axis=0), label=words)
        axes[k].fill_between(counts, each.min(axis=0), each.max(axis=0), color=line.get_color(), alpha=0.2)
    axes[k].set(yscale="log", xlabel="configurations", ylabel=f"{what} error of a force, meV/Å")
axes[0].legend()
figure.savefig(OUT.with_suffix(".png"), dpi=110)
rows = []
for r in range(0, len(counts), max(1, len(counts) // 2)):
    for by, words in WAYS.items():
        mean, largest, covered = np.median(found[by][:, r], axis=0)
        rows.append(f"| {counts[r]} | {words} | {mean:.1f} | {largest:.0f} | {100 * covered:.0f} % |")
print(*rows, sep="\n")
write_page(
    OUT,
    f"""# Which molecule next?

Configurations of ammonia chosen by the posterior's standard deviation of their forces, beside ones chosen at random,
from `python examples/active_learning.py` (version {rpp.__version__}): medians over {SEEDS} seeds, {len(TEST)} held out.

| configurations | chosen | mean error, meV/Å | largest error, meV/Å | 90 % cover |
| --- | --- | --- | --- | --- |
"""
    + "\n".join(rows)
    + """

![Mean and largest error of a force against the number of configurations](active_learning.png)

*Lines: medians; bands: from the lowest to the highest seed.*
""",
)
