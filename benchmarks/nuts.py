"""NUTS in NumPyro: effective draws per second against the same model with a dense covariance, and chains at once."""

from __future__ import annotations

import time
import warnings
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from arviz_stats.base import array_stats

import bayes_rpp as rpp
from benchmarks.rows import Row

SIGMA_A, SIGMA_B, NOISE = 1.0, 0.05, 0.1


def nuts(quick: bool = False) -> list[Row]:
    """A network of one hidden layer on 50 examples. The second run of each is timed, the first compiles."""
    rep = 2 * rpp.Scalar + 2 * rpp.Vector
    group = rpp.O(3)
    hidden = rep if quick else 6 * rpp.Scalar + 6 * rpp.Vector
    net = rpp.EMLP(rep, rpp.Vector, group, channels=hidden, layers=1, bilinear=False)
    model = rpp.Model(net, sigma_a=SIGMA_A, sigma_b=SIGMA_B, likelihood=rpp.Gaussian(NOISE), parametrization="whitened")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, net.rep_in.size)).astype(np.float32)
    truth = {k: p.color(rng.normal(size=p.shape)) for k, p in model.priors.items()}
    y = (net(truth, x) + NOISE * rng.normal(size=(50, 3))).astype(np.float32)
    draws = 20 if quick else 200
    method = rpp.NUTS(chains=4, warmup=draws, draws=draws, chain_method="vectorized")
    together, seconds = _second(lambda: _fit(model, x, y, method))
    _, in_a_row = _second(lambda: _fit(model, x, y, replace(method, chain_method="sequential")))
    theirs, slow = _second(_naive(model, x, y, draws))
    ours_rate, rate = _ess(together.samples) / seconds, _ess(theirs) / slow
    figures = {"ours, ESS/s": ours_rate, "naive, ESS/s": rate, "ours, s": seconds, "naive, s": slow}
    title = f"smallest ESS per second, whitened / naive dense, {net.size} weights"
    chains = {"together, s": seconds, "in a row, s": in_a_row}
    return [
        Row(title, ours_rate / rate, 5, True, figures=figures),
        Row("4 chains in a row / together", in_a_row / seconds, 2, True, figures=chains),
    ]


def _naive(model: rpp.Model, x: Any, y: Any, draws: int) -> Any:
    """W ~ N(0, dense covariance) for each weight, in the usual way; returns a function that samples."""
    covariances = {k: jnp.asarray(p.covariance(), dtype=jnp.float32) for k, p in model.priors.items()}

    def function(x: Any, y: Any) -> None:
        params = {}
        for name, c in covariances.items():
            flat = numpyro.sample(name, dist.MultivariateNormal(jnp.zeros(len(c)), c))
            params[name] = flat.reshape(model.priors[name].shape)
        numpyro.sample("y", dist.Normal(model.net(params, x), NOISE).to_event(2), obs=y)

    kernel = numpyro.infer.NUTS(function)
    mcmc = numpyro.infer.MCMC(
        kernel, num_warmup=draws, num_samples=draws, num_chains=4, chain_method="vectorized", progress_bar=False
    )

    def run() -> Any:
        mcmc.run(jax.random.PRNGKey(0), x, y)
        return jax.block_until_ready(mcmc.get_samples(group_by_chain=True))

    return run


def _fit(model: rpp.Model, x: Any, y: Any, method: rpp.NUTS) -> rpp.Posterior:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rpp.inference.ConvergenceWarning)  # what is measured here
        return rpp.fit(model, x, y, method, engine="numpyro", progress=False)


def _second(run: Any) -> tuple[Any, float]:
    run()
    start = time.process_time()
    found = run()
    return found, time.process_time() - start


def _ess(samples: dict[str, Any]) -> float:
    """Smallest bulk ESS of all weights."""
    each = np.concatenate([np.asarray(v, dtype=np.float64).reshape(*v.shape[:2], -1) for v in samples.values()], -1)
    return float(min(array_stats.ess(each[..., i], method="bulk") for i in range(each.shape[-1])))
