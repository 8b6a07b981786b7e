"""What the prior over functions is: draws of f = f_G + f_res at several sigma_b / sigma_a.

The inputs are points of the plane, the group is D(3), the symmetries of a triangle, and the output is a number: a
strict draw looks the same after a third of a turn, and in a mirror. Each row is one pair of draws, f_G and f_res, whose
residual is turned up from left to right.

Run: python examples/prior_over_functions.py   (2 s)
It prints the table of docs/functions.md and draws docs/results/prior_over_functions.png.
"""

# %% Points of a disc, and the covariances there of the two parts of f.
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import bayes_rpp as rpp
from bayes_rpp.models.process.conditional import assemble, lower_root
from bayes_rpp.models.process.covariance import Covariance

RATIOS = (0.0, 0.1, 0.3, 1.0, 3.0)
PIXELS, LENGTHSCALE = 41, 0.35
OUT = Path(__file__).parent.parent / "docs" / "results" / "prior_over_functions.png"

side = np.linspace(-1, 1, PIXELS)
grid = np.stack(np.meshgrid(side, side), axis=-1)
inside = (grid**2).sum(-1) < 1.2
points = grid[inside]
gp = rpp.GaussianProcess(rpp.Vector, rpp.Scalar, rpp.D(3), lengthscale=LENGTHSCALE, mean=None)


def root(sigma_a: float, sigma_b: float) -> np.ndarray:
    """(points, points) R with R R^T = the prior covariance of f there."""
    prior = Covariance(gp.replace(sigma_a=sigma_a, sigma_b=sigma_b), points)
    return lower_root(assemble(prior, prior.own({}).total).reshape(len(points), len(points)), 1)


strict, free = root(1.0, 0.0), root(0.0, 1.0)

# %% The picture: two draws, and what becomes of them as the residual grows.
rng = np.random.default_rng(3)
figure, axes = plt.subplots(2, len(RATIOS), figsize=(11, 4.8), layout="constrained")
for row in axes:
    f_g, f_res = strict @ rng.normal(size=len(points)), free @ rng.normal(size=len(points))
    for ax, ratio in zip(row, RATIOS, strict=True):
        f = np.full(inside.shape, np.nan)
        f[inside] = (f_g + ratio * f_res) / np.hypot(1, ratio)
        levels = np.linspace(-3, 3, 25)
        drawn = ax.contourf(side, side, f, levels=levels, cmap="RdBu_r", extend="both")
        drawn.set_clip_path(plt.Circle((0, 0), 1, transform=ax.transData))
        ax.set(aspect="equal", xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
for ax, ratio in zip(axes[0], RATIOS, strict=True):
    ax.set_title(rf"$\sigma_b / \sigma_a = {ratio:g}$")
figure.savefig(OUT, dpi=110)

# %% The table: how far such functions are from symmetric, |f(x) - f(gx)| / (|f(x)| + |f(gx)|), median over draws.
z = points[rng.choice(len(points), 100, replace=False)]
moved = z @ gp.group.elements[1].T
print("| sigma_b / sigma_a | median equivariance error |\n| --- | --- |")
for ratio in RATIOS:
    prior = Covariance(gp.replace(sigma_a=1.0, sigma_b=ratio), np.concatenate([z, moved]))
    r = lower_root(assemble(prior, prior.own({}).total).reshape(200, 200), 1)
    a, b = np.split(r @ rng.normal(size=(200, 1000)), 2)
    print(f"| {ratio:g} | {np.median(np.abs(a - b) / (np.abs(a) + np.abs(b))):.3f} |")
