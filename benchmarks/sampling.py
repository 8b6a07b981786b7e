"""Effective draws of NUTS for each gradient in the three parametrizations of a linear Gaussian model whose prior is a
hundred times wider inside the equivariant subspace than outside of it (NumPyro, all in one run).

Whitening removes what the prior does to the shape of the posterior, so it wins where the prior dominates (weak data,
the first row: the headline) and loses to the raw weights where the data do.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from arviz_stats.base import array_stats

from bayes_rpp import EMLP, NUTS, Gaussian, Group, Model, O, Posterior, S, T, Vector, fit
from bayes_rpp.inference import ConvergenceWarning
from bayes_rpp.models.model import AnyParametrization
from bayes_rpp.priors.parametrization import PARAMETRIZATIONS
from benchmarks.rows import Row

SIGMA_A, SIGMA_B = 1.0, 0.01
METHOD = NUTS(chains=4, warmup=500, draws=500)
# Representation (in and out), group, examples, noise. The subspaces are oblique to the entries of W, so that no
# diagonal mass matrix removes the ratio of the sigmas.
PROBLEMS: list[tuple[str, Any, Group, int, float]] = [
    ("T(2) -> T(2) of O(3), 10 examples, noise 1: weak data", T(2), O(3), 10, 1.0),
    ("T(2) -> T(2) of O(3), 40 examples, noise 0.3: data tell the equivariant part", T(2), O(3), 40, 0.3),
    ("T(2) -> T(2) of O(3), 400 examples, noise 0.03: data tell the residual, too", T(2), O(3), 400, 0.03),
    ("Vector -> Vector of S(6), 10 examples, noise 1: weak data", Vector, S(6), 10, 1.0),
    ("Vector -> Vector of S(6), 400 examples, noise 0.03: strong data", Vector, S(6), 400, 0.03),
]


def sampling(quick: bool = False) -> list[Row]:
    """Medians over seeds of the efficiencies, and of their ratios seed by seed. Takes some minutes."""
    rows = []
    method = NUTS(chains=4, warmup=20, draws=20) if quick else METHOD
    for name, rep, group, n, noise in PROBLEMS[-1:] if quick else PROBLEMS:
        found = {p: efficiencies(rep, group, n, noise, p, method, 1 if quick else 3) for p in PARAMETRIZATIONS}
        figures = {f"{p}, min. ESS per 1000 gradients": float(1e3 * np.median(v)) for p, v in found.items()}
        ratio = float(np.median(found["whitened"] / found["weights"]))
        rows.append(Row(f"{name}: whitened / weights", ratio, figures=figures))
    return rows


def efficiencies(
    rep: Any, group: Group, n: int, noise: float, parametrization: AnyParametrization, method: NUTS, seeds: int
) -> np.ndarray:
    """For each seed, of data and chains: the smallest bulk ESS of all weights per gradient after warm-up."""
    net = EMLP(rep, rep, group, layers=0)
    model = Model(
        net,
        sigma_a=SIGMA_A,
        sigma_b=SIGMA_B,
        scale=None,
        likelihood=Gaussian(noise),
        parametrization=parametrization,
    )
    return np.array([efficiency(_fit(model, n, noise, method, seed)) for seed in range(seeds)])


def efficiency(post: Posterior) -> float:
    """The smallest bulk ESS of all weights per gradient."""
    weights = [post.samples[k].reshape((post.chains, post.draws, -1)) for k in post.model.net.parameters]
    each = np.concatenate(weights, axis=-1).astype(np.float64)
    ess = min(array_stats.ess(each[..., i], method="bulk") for i in range(each.shape[-1]))
    return float(ess / post.sample_stats["n_steps"].sum())


def _fit(model: Model, n: int, noise: float, method: NUTS, seed: int) -> Posterior:
    """Weights from the prior, inputs of unit variance."""
    rng, net = np.random.default_rng(seed), model.net
    truth = {k: p.color(rng.normal(size=p.shape)) for k, p in model.priors.items()}
    x = rng.normal(size=(n, net.rep_in.size))
    y = net(truth, x) + noise * rng.normal(size=(n, net.rep_out.size))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # what the raw weights earn is measured here
        return fit(model, x, y, method, engine="numpyro", seed=seed, progress=False)
