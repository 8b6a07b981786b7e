"""Every method on every engine against posteriors that are known; |z| < 4 where Monte Carlo error is all there is."""

import warnings
from functools import lru_cache, partial

import numpy as np
import pytest
from arviz_stats.base import array_stats

from bayes_rpp import HMC, MAP, NUTS, SVI, DeepEnsemble, fit
from bayes_rpp.inference import ConvergenceWarning
from tests.inference.known import Funnel, LinearProblem, Logistic, NestedProblem, SmallLinearProblem

SAMPLERS = [NUTS, HMC]
slow = partial(pytest.param, marks=pytest.mark.slow)  # of the same form as a case that is run by default
each_sampler = pytest.mark.parametrize("kind", SAMPLERS, ids=lambda k: k.__name__)


def sampler(kind, engine, **settings):
    """As long as two cores afford."""
    lengths = (
        {"chains": 4, "warmup": 500, "draws": 1500}
        if engine == "numpyro"
        else {"chains": 2, "warmup": 100, "draws": 200}
    )
    return kind(**{**lengths, **settings})


def run(problem, method, engine, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # short chains; their error is in the z scores
        return fit(problem.model, problem.x, problem.y, method, engine=engine, progress=False, **options)


def z_score(values, expected):
    """Distance of the mean of (chain, draw) from what it should be, in its own standard errors."""
    error = values.std() / np.sqrt(array_stats.ess(values, method="mean"))
    return (values.mean() - expected) / error


def assert_moments(theta, mean, covariance):
    """All means, variances and covariances within four standard errors."""
    for i in range(len(mean)):
        assert abs(z_score(theta[..., i], mean[i])) < 4
        for j in range(i + 1):
            product = (theta[..., i] - mean[i]) * (theta[..., j] - mean[j])
            assert abs(z_score(product, covariance[i, j])) < 4


@pytest.mark.parametrize(
    ("engine", "kind", "parametrization"),
    [
        ("numpyro", NUTS, "whitened"),
        ("numpyro", NUTS, "weights"),
        slow("numpyro", NUTS, "pathways"),  # which the nested ones have, too
        slow("numpyro", HMC, "whitened"),  # which has twenty dimensions below
        slow("pyro", NUTS, "whitened"),  # which is strict below; Pyro's HMC is in the funnel
    ],
    indirect=["engine"],
)
def test_samplers_have_the_exact_mean_and_covariance(engine, kind, parametrization):
    problem = SmallLinearProblem(parametrization=parametrization)
    post = run(problem, sampler(kind, engine), engine, seed=1)
    assert_moments(problem.theta(post), problem.mean, problem.covariance)


@pytest.mark.parametrize("kind", [slow(NUTS), HMC])
def test_samplers_in_twenty_dimensions(kind):
    problem = LinearProblem()
    post = run(problem, sampler(kind, "numpyro"), "numpyro")
    assert_moments(problem.theta(post), problem.mean, problem.covariance)


def test_strict_models_are_sampled_in_their_subspace(engine):
    problem = SmallLinearProblem(sigma_b=0.0)
    post = run(problem, sampler(NUTS, engine), engine)
    theta = problem.theta(post)
    assert_moments(theta[..., :4], problem.mean[:4], problem.covariance[:4, :4])
    np.testing.assert_array_equal(theta[..., 4:], 0)


@pytest.mark.parametrize(
    ("sigma_b", "parametrization"), [(0.2, "pathways"), slow(0.2, "whitened"), slow(0.0, "whitened")]
)
def test_nested_pathways_have_the_exact_posterior(sigma_b, parametrization):
    problem = NestedProblem(sigma_b=sigma_b, parametrization=parametrization)
    post = run(problem, sampler(NUTS, "numpyro"), "numpyro", seed=1)  # Pyro's density is the same: see test_models.py
    free = problem.covariance.diagonal() > 1e-9  # without a residual, what neither group allows is zero
    theta = problem.theta(post)[..., free]
    assert_moments(theta, problem.mean[free], problem.covariance[free][:, free])


@pytest.mark.parametrize("sigma_b", [0.2, slow(0.0)])
def test_map_of_nested_pathways_is_the_exact_mode(engine, sigma_b):
    problem = NestedProblem(sigma_b, "pathways")
    mode = run(problem, MAP(200, None, learning_rate=0.1), engine)
    for name, want in problem.mode.items():
        np.testing.assert_allclose(mode.samples[name][0, 0], want, atol=1e-4)


@pytest.mark.parametrize("engine", ["numpyro", slow("pyro")], indirect=True)
@pytest.mark.parametrize("guide", ["full", slow("low_rank")])
def test_gaussian_guides_find_a_gaussian_posterior(engine, guide):
    """Full rank within 2 % (in norm) of the exact mean and covariance; of rank 4 of 6, plus a diagonal, within 15 %."""
    problem = SmallLinearProblem()
    rank = 4 if guide == "low_rank" else None
    epochs, particles = (1500, 100) if guide == "full" else (1000, 50)
    method = SVI(epochs, None, learning_rate=0.03, guide=guide, rank=rank, particles=particles, draws=100_000)
    post = run(problem, method, engine)
    theta = problem.theta(post)[0]
    within = 0.02 if guide == "full" else 0.15
    assert np.linalg.norm(theta.mean(axis=0) - problem.mean) < within * np.linalg.norm(problem.mean)
    gap = np.cov(theta.T) - problem.covariance
    assert np.linalg.norm(gap) < within * np.linalg.norm(problem.covariance)


@pytest.mark.parametrize("engine", ["numpyro", slow("pyro")], indirect=True)
def test_mean_field_finds_its_best_gaussian(engine):
    """The exact mean, and variances 1 / precision_ii of the whitened weights (Bishop 2006, Section 10.1.2)."""
    problem = SmallLinearProblem()
    prior = {k: problem.model.priors[k] for k in problem.mode}
    whiten = np.zeros((6, 6))
    whiten[:4, :4] = prior["output.weight"].whiten(np.eye(4).reshape(4, 2, 2)).reshape(4, 4).T
    whiten[4:, 4:] = prior["output.bias"].whiten(np.eye(2)).T
    precision = np.linalg.inv(whiten @ problem.covariance @ whiten.T)
    post = run(problem, SVI(epochs=1000, batch_size=None, particles=20, draws=20_000), engine)
    theta = problem.theta(post)[0]
    np.testing.assert_allclose(theta.mean(axis=0), problem.mean, atol=0.05 * np.abs(problem.mean).max())
    np.testing.assert_allclose((theta @ whiten.T).var(axis=0), 1 / np.diag(precision), rtol=0.1)


@pytest.mark.parametrize("engine", ["numpyro", slow("pyro")], indirect=True)
def test_minibatches_of_svi_weigh_the_likelihood_as_the_whole_data(engine):
    problem = LinearProblem(n=64)
    method = SVI(epochs=600, batch_size=16, learning_rate=0.02, draws=4000)
    post = run(problem, method, engine)
    theta = problem.theta(post)[0]
    np.testing.assert_allclose(theta.mean(axis=0), problem.mean, atol=0.05)
    assert (theta.std(axis=0) / np.sqrt(np.diag(problem.covariance))).mean() == pytest.approx(1.0, abs=0.2)


@pytest.mark.parametrize("engine", ["numpyro", slow("pyro")], indirect=True)
@pytest.mark.parametrize("method", [slow(MAP), DeepEnsemble], ids=lambda m: m.__name__)
def test_map_to_four_digits(engine, method):
    problem = SmallLinearProblem()
    post = run(problem, method(epochs=500, batch_size=None, learning_rate=0.1), engine)
    theta = problem.theta(post)
    np.testing.assert_allclose(theta, np.broadcast_to(problem.mean, theta.shape), atol=1e-4)


@pytest.mark.parametrize(
    ("engine", "kind"), [("numpyro", NUTS), ("pyro", HMC), slow("numpyro", HMC), slow("pyro", NUTS)]
)
def test_funnel(engine, kind):
    problem = Funnel()
    post = run(problem, sampler(kind, engine, target_accept=0.9), engine)
    for name, values in problem.quantities(post).items():
        assert abs(z_score(values, problem.expected[name])) < 4, name


@pytest.mark.parametrize("engine", ["numpyro", slow("pyro")], indirect=True)
def test_svi_of_the_funnel_has_the_right_centre(engine):
    problem = Funnel()
    post = run(problem, SVI(guide="full", epochs=800, batch_size=None, particles=20, draws=20_000), engine)
    found = {k: v.mean() for k, v in problem.quantities(post).items()}
    assert found["log sigma"] == pytest.approx(problem.expected["log sigma"], abs=0.15)
    assert found["w"] == pytest.approx(problem.expected["w"], abs=0.15)


def test_map_of_the_funnel_is_the_mode_of_the_whitened_joint_density(engine):
    problem = Funnel()
    post = run(problem, MAP(epochs=200, batch_size=None, learning_rate=0.1), engine)
    s, w = post.samples["sigma_a"][0, 0], post.samples["w"][0, 0, 0, 0]

    def density(s, w):  # with respect to sigma and eps = w / sigma
        lognormal = -0.5 * np.log(s) ** 2 - np.log(s)
        return lognormal - 0.5 * (w / s) ** 2 - 0.5 * ((problem.y - w * problem.x) ** 2).sum(axis=0) / 4

    grid = np.stack([g.ravel() for g in np.meshgrid(np.linspace(0.05, 3, 296), np.linspace(-1, 2, 301))])
    best = grid[:, np.argmax(density(*grid))]
    np.testing.assert_allclose((s, w), best, atol=0.011)


@lru_cache
def logistic_reference():
    """A long run of a model written by hand, with dense covariances."""
    jax, numpyro = pytest.importorskip("jax"), pytest.importorskip("numpyro")
    jnp, nd = jax.numpy, numpyro.distributions
    problem = Logistic()
    prior = {k: jnp.asarray(p.covariance(), jnp.float32) for k, p in problem.model.priors.items()}

    def model():
        w = numpyro.sample("w", nd.MultivariateNormal(jnp.zeros(4), prior["output.weight"])).reshape(2, 2)
        b = numpyro.sample("b", nd.MultivariateNormal(jnp.zeros(2), prior["output.bias"]))
        numpyro.sample("y", nd.Bernoulli(logits=problem.x @ w.T + b), obs=problem.y)

    options = {"num_warmup": 1000, "num_samples": 10_000, "num_chains": 2, "chain_method": "vectorized"}
    mcmc = numpyro.infer.MCMC(numpyro.infer.NUTS(model), progress_bar=False, **options)
    mcmc.run(jax.random.key(0))
    draws = mcmc.get_samples(group_by_chain=True)
    theta = np.concatenate([draws["w"], draws["b"]], axis=-1).astype(np.float64)
    ess = np.array([array_stats.ess(theta[..., i], method="mean") for i in range(6)])
    return theta.mean(axis=(0, 1)), theta.std(axis=(0, 1)), ess


@pytest.mark.slow
@each_sampler
def test_logistic_model_agrees_with_a_long_reference_run(engine, kind):
    mean, sd, reference_ess = logistic_reference()
    problem = Logistic()
    post = run(problem, sampler(kind, engine), engine)
    parts = [post.samples[k].reshape((*post.samples[k].shape[:2], -1)) for k in ("output.weight", "output.bias")]
    theta = np.concatenate(parts, axis=-1).astype(np.float64)
    for i in range(6):
        ess = array_stats.ess(theta[..., i], method="mean")
        error = sd[i] * np.sqrt(1 / ess + 1 / reference_ess[i])
        assert abs(theta[..., i].mean() - mean[i]) < 4 * error
        assert theta[..., i].std() == pytest.approx(sd[i], rel=4 * np.sqrt(2 / ess))
