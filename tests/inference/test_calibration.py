"""Simulation-based calibration (Talts et al. 2018): with parameters from the prior and data from the parameters, the
truth is equally likely to have any rank among draws from the posterior."""

import warnings

import numpy as np
import pytest
from scipy.stats import chisquare

from bayes_rpp import EMLP, NUTS, SO, Gaussian, Model, Prior, Vector, fit
from bayes_rpp.inference import ConvergenceWarning
from bayes_rpp.models.outputs import evaluate
from tests.inference.known import NOISE, SmallLinearProblem

jax = pytest.importorskip("jax")
nd = pytest.importorskip("numpyro.distributions")

BINS, LENGTH = 16, 31  # 32 possible ranks, two for each bin
PROBES = np.array([[1.0, 0.5], [-0.3, -1.5]])  # points at which the function is looked at


def from_prior(model, rng):
    """Numbers to infer, and weights W = sigma_a Q beta + sigma_b B by the definition of the prior."""
    latents = {
        k: float(p.distribution(nd).sample(jax.random.key(int(rng.integers(2**31))))) for k, p in model.latents.items()
    }
    weights = {}
    for name in model.net.parameters:
        prior = model.prior(name, latents)
        inside = prior.subspace.decode(rng.normal(size=prior.subspace.rank))
        weights[name] = prior.sigma_a * inside + prior.sigma_b * rng.normal(size=prior.shape)
    return latents, weights


def simulate(model, x, rng):
    """Numbers, weights and data, in the order in which the model makes them."""
    latents, weights = from_prior(model, rng)
    f = model.net(weights, x)
    return latents, weights, f + latents.get("noise", NOISE) * rng.normal(size=f.shape)


def rank(truth, draws):
    """How many of the draws are below the truth: 0 to LENGTH, each with the same probability if calibrated."""
    assert len(draws) == LENGTH
    return int((np.asarray(draws) < truth).sum())


def p_value(ranks):
    """Of the hypothesis that ranks are uniform."""
    counts = np.bincount(np.asarray(ranks) * BINS // (LENGTH + 1), minlength=BINS)
    return float(chisquare(counts).pvalue)


def exact_ranks(width, replications=400):
    """Ranks of a weight and of the function among draws from the exact posterior of a conjugate model, its standard
    deviations multiplied by `width`."""
    rng, problem = np.random.default_rng(0), SmallLinearProblem()
    root = width * np.linalg.cholesky(problem.covariance)
    ranks = {"weight": [], "f": []}
    at = np.concatenate([PROBES[0], [0, 0], [1, 0]])  # f(x)[0] as a linear function of theta
    for _ in range(replications):
        _, weights, problem.y = simulate(problem.model, problem.x, rng)
        truth = np.concatenate([weights["output.weight"].reshape(-1), weights["output.bias"]])
        draws = problem.mean + rng.normal(size=(LENGTH, 6)) @ root.T
        ranks["weight"].append(rank(truth[0], draws[:, 0]))
        ranks["f"].append(rank(at @ truth, draws @ at))
    return ranks


def test_exact_draws_of_a_conjugate_model_have_uniform_ranks():
    for name, ranks in exact_ranks(width=1.0).items():
        assert p_value(ranks) > 0.01, name


@pytest.mark.parametrize("width", [0.5, 1.5])
def test_a_posterior_of_the_wrong_width_is_found_out(width):
    for name, ranks in exact_ranks(width).items():
        assert p_value(ranks) < 1e-4, name


def sampled_ranks(model, method, replications):
    """Ranks of the inferred numbers, and of the function at PROBES, among thinned draws of a method."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(8, 2))
    thin = method.draws // LENGTH
    ranks = {}
    for k in range(replications):
        latents, weights, y = simulate(model, x, rng)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # one short chain; its error is in the ranks
            post = fit(model, x, y, method, engine="numpyro", seed=k, progress=False)
        draws = {name: v[:, thin - 1 :: thin] for name, v in post.samples.items()}
        for name, truth in latents.items():
            ranks.setdefault(name, []).append(rank(truth, draws[name][0]))
        truth, f = model.net(weights, PROBES), evaluate(model, draws, PROBES)[0]
        for i in range(len(PROBES)):
            ranks.setdefault(f"f(x[{i}])[{i}]", []).append(rank(truth[i, i], f[:, i, i]))
    return ranks


@pytest.mark.slow
def test_nuts_is_calibrated_for_a_network_with_inferred_sigma_and_noise():
    model = Model(
        EMLP(Vector, Vector, SO(2), channels=4, layers=1, bilinear=False),
        sigma_a=1.0,
        sigma_b=Prior("LogNormal", {"loc": np.log(0.3), "scale": 0.5}),
        likelihood=Gaussian(Prior("LogNormal", {"loc": np.log(0.3), "scale": 0.3})),
    )
    # The same model and method objects for all fits, so that the sampler is compiled once.
    ranks = sampled_ranks(model, NUTS(1, 300, 20 * LENGTH, target_accept=0.9), replications=240)
    found = {name: p_value(r) for name, r in ranks.items()}
    print({k: round(p, 3) for k, p in found.items()})  # noqa: T201 - shown by pytest -s
    assert set(found) == {"sigma_b", "noise", "f(x[0])[0]", "f(x[1])[1]"}
    assert min(found.values()) > 0.01, found
