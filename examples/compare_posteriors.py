"""SVI, a deep ensemble and NUTS on one small RPP network: scores inside and outside of the training region.

Vectors of the plane go to vectors: an O(2)-equivariant map with a fixed shear added, seen with noise at points up to a
radius of 2. The test points lie there, and further out, at radii from 2 to 4, where there are no training data.

Run: python examples/compare_posteriors.py   (about 5 minutes on two cores)
It prints the table of docs/results/compare_posteriors.md and draws its picture.
"""

# %% Data and model
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import bayes_rpp as rpp

rpp.inference.cache_compilations()

NOISE, RADIUS = 0.3, 2.0
SHEAR = 0.4 * np.array([[1.0, 0.5], [0.5, -1.0]])
OUT = Path(__file__).parent.parent / "docs" / "results" / "compare_posteriors.png"


def truth(x: np.ndarray) -> np.ndarray:
    return x * (0.5 + np.exp(-(x**2).sum(axis=1, keepdims=True))) + x @ SHEAR.T


def data(n: int, low: float, high: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Points spread evenly over a ring, and noisy outputs."""
    rng = np.random.default_rng(seed)
    radius, angle = np.sqrt(rng.uniform(low**2, high**2, n)), rng.uniform(0, 2 * np.pi, n)
    x = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return x, truth(x) + NOISE * rng.normal(size=(n, 2))


x, y = data(60, 0.0, RADIUS, seed=0)
tests = {"inside": data(500, 0.0, RADIUS, seed=1), "outside": data(500, RADIUS, 2 * RADIUS, seed=2)}
net = rpp.EMLP(rpp.Vector, rpp.Vector, rpp.O(2), 3 * rpp.Scalar + 3 * rpp.Vector, layers=1)
model = rpp.Model(net, sigma_a=1.0, sigma_b=0.3, likelihood=rpp.Gaussian(NOISE))

# %% Fit. The ensemble comes first; SVI starts at its first member, and each chain of NUTS at one.
methods = {
    "deep ensemble": rpp.DeepEnsemble(members=10, epochs=2000, batch_size=None),
    "SVI, mean-field": rpp.SVI(epochs=5000, batch_size=None, draws=500),
    "SVI, low-rank": rpp.SVI(guide="low_rank", epochs=5000, batch_size=None, draws=500),
    "NUTS": rpp.NUTS(chains=4, warmup=500, draws=1000, target_accept=0.95),
}
posteriors, seconds = {}, {}
for name, method in methods.items():
    start, init = time.perf_counter(), posteriors.get("deep ensemble")
    posteriors[name] = rpp.fit(model, x, y, method, engine="numpyro", seed=0, init=init, progress=False)
    seconds[name] = time.perf_counter() - start

# %% Table
print(net)
columns = ["method", "test points", "nll", "rmse", "crps", "coverage_90", "equivariance error (90 %)", "seconds"]
print("| " + " | ".join(columns) + " |\n|" + " --- |" * len(columns))
for name, post in posteriors.items():
    for where, (test_x, test_y) in tests.items():
        m = post.metrics(test_x, test_y)
        low, median, high = rpp.analysis.equivariance_interval(post.equivariance_error(test_x))
        scores = " | ".join(f"{m[k]:.3f}" for k in ("nll", "rmse", "crps", "coverage_90"))
        print(f"| {name} | {where} | {scores} | {median:.3f} ({low:.3f} to {high:.3f}) | {seconds[name]:.0f} |")
r_hat, diverging = posteriors["NUTS"].summary().table["r_hat"].max(), posteriors["NUTS"].sample_stats["diverging"]
print(f"\nNUTS: max R-hat {r_hat:.3f}, {diverging.sum()} of {diverging.size} draws diverged")

# %% Picture: the first output along the first axis, and the posteriors of the equivariance error inside
figure = plt.figure(figsize=(12, 7), layout="constrained")
top, bottom = figure.subfigures(2, 1)
t = np.linspace(-2 * RADIUS, 2 * RADIUS, 201)
line = np.stack([t, np.zeros_like(t)], axis=1)
axes = top.subplots(1, len(posteriors), sharex=True, sharey=True)
for k, (ax, (name, post)) in enumerate(zip(axes, posteriors.items(), strict=True)):
    p = post.predict(line)
    mean, std = p.mean[:, 0], p.std[:, 0]
    ax.axvspan(-RADIUS, RADIUS, color="0.92", label="training region")
    ax.fill_between(t, mean - 2 * std, mean + 2 * std, color=f"C{k}", alpha=0.3, lw=0, label="± 2 std")
    ax.plot(t, mean, color=f"C{k}", label="mean")
    ax.plot(t, truth(line)[:, 0], "k--", lw=1, label="truth")
    ax.set(title=name, xlabel="$x_1$  ($x_2 = 0$)")
axes[0].set_ylabel("$y_1$")
axes[0].legend(frameon=False, fontsize="small", loc="upper left")
rpp.plots.plot_equivariance_posterior(posteriors, tests["inside"][0], ax=bottom.subplots())
figure.savefig(OUT, dpi=150)
print(f"\npicture: {OUT}")
