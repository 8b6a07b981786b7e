"""The asymmetry of data, dialled from 0 to 1, and what the posterior of sigma_b / sigma_a says about it.

The inputs are a scalar s and a vector v of the plane. The outputs are vectors: v times a function of s, which is
O(2)-equivariant, plus the dial times a fixed shear of v, which is not. NUTS infers the weights of an RPP network and
sigma_b together, or the numbers of a Gaussian process, whose functions follow exactly.

Run: python examples/asymmetry_dial.py [seeds] [functions]   (3 seeds of the data by default; networks take about 7
minutes on two cores)
It prints a table of docs/results/asymmetry_dial.md and draws its picture.
"""

# %% Model, method and data: one model and one method for all fits, so that NumPyro compiles once.
import sys
import time
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from numpyro.distributions import HalfNormal

import bayes_rpp as rpp

rpp.inference.cache_compilations()

SEEDS = int(sys.argv[1]) if len(sys.argv) > 1 else 3
FUNCTIONS = sys.argv[2:] == ["functions"]
DIALS = (0.0, 0.25, 0.5, 0.75, 1.0)
NOISE, EXAMPLES = 0.3, 60
SHEAR = 0.5 * np.array([[1.0, 0.5], [0.5, -1.0]])
PICTURE = "asymmetry_dial_functions.png" if FUNCTIONS else "asymmetry_dial.png"
OUT = Path(__file__).parent.parent / "docs" / "results" / PICTURE

reps = rpp.Scalar + rpp.Vector, rpp.Vector, rpp.O(2)
if FUNCTIONS:
    # One kernel, as numbers of several do not mean the same: by default each fit would choose its own.
    model, part = rpp.GaussianProcess(*reps, kernel=rpp.kernels.RBF(), likelihood=rpp.Gaussian(NOISE)), "f"
    method = rpp.NUTS(chains=4, warmup=150, draws=200)
else:
    net, part = rpp.EMLP(*reps, 8 * rpp.Vector, layers=1, bilinear=False), "output"  # all layers share one sigma_b
    model = rpp.Model(net, sigma_a=1.0, sigma_b=HalfNormal(0.5), likelihood=rpp.Gaussian(NOISE))
    method = rpp.NUTS(chains=4, warmup=300, draws=300, target_accept=0.95)


def data(dial: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The same x and noise for all dials of a seed."""
    rng = np.random.default_rng(seed)
    x, noise = rng.normal(size=(EXAMPLES, 3)), NOISE * rng.normal(size=(EXAMPLES, 2))
    s, v = x[:, :1], x[:, 1:]
    return x, 2 * v / (1 + np.exp(-2 * s)) + dial * v @ SHEAR.T + noise


# %% Fit, and print the table: medians and 90 % intervals. Its last columns say whether to trust the chains.
test_x, _ = data(0.0, seed=1_000_000)
print(model)
columns = ["seed", "dial", "sigma_b / sigma_a (90 %)", "equivariance error (90 %)", "max R-hat", "divergences", "CPU s"]
print("| " + " | ".join(columns) + " |\n|" + " --- |" * len(columns))
posteriors, medians = {}, {}
for seed in range(SEEDS):
    for dial in DIALS:
        start = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rpp.inference.ConvergenceWarning)
            post = rpp.fit(model, *data(dial, seed), method, engine="numpyro", seed=seed, progress=False)
        seconds = time.process_time() - start
        ratio = post.asymmetry()[part]
        low, median, high = np.quantile(ratio, [0.05, 0.5, 0.95])
        error_low, error, error_high = rpp.analysis.equivariance_interval(post.equivariance_error(test_x))
        print(
            f"| {seed} | {dial} | {median:.3f} ({low:.3f} to {high:.3f}) "
            f"| {error:.3f} ({error_low:.3f} to {error_high:.3f}) "
            f"| {post.summary().table['r_hat'].max():.3f} | {post.sample_stats['diverging'].sum()} of {ratio.size} "
            f"| {seconds:.0f} |",
            flush=True,
        )
        posteriors[seed, dial], medians[seed, dial] = post, median

print()
for seed in range(SEEDS):
    rises = np.diff([medians[seed, dial] for dial in DIALS])
    print(f"seed {seed}: the medians of sigma_b / sigma_a rise monotonically: {'yes' if (rises > 0).all() else 'NO'}")

# %% Draw the first seed.
first = {f"dial {dial}": posteriors[0, dial] for dial in DIALS}
figure, (left, right) = plt.subplots(1, 2, figsize=(14, 4.8), layout="constrained")
rpp.plots.plot_asymmetry(first, ax=left)
rpp.plots.plot_equivariance_posterior(first, test_x, ax=right)
figure.savefig(OUT, dpi=150)
print(f"\npicture: {OUT}")
