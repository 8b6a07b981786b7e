"""Groups that are not nested: methods against the exact posterior and evidence of a linear model."""

import numpy as np
import pytest
from arviz_stats.base import array_stats
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from bayes_rpp import MAP, NUTS, SVI, DeepEnsemble, Group, Laplace, Posterior, Prior, Vector, fit, testing
from bayes_rpp.analysis import energy_by_layer, energy_by_pathway

TURN = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 0]])
ABOUT_Z = Group(3, [TURN], name="about z")
ABOUT_X = Group(3, [np.roll(TURN, 1, axis=(0, 1))], name="about x")
HALF = Prior("HalfNormal", {"scale": 1.0})
pytestmark = pytest.mark.filterwarnings("ignore::bayes_rpp.inference.ConvergenceWarning")


def problem(sigma_b=0.2, parametrization=None, sigma_a=(1.0, 0.4), noise=0.3):
    """12 numbers, about z beside about x."""
    groups = [ABOUT_Z, ABOUT_X]
    return testing.LinearProblem(Vector, Vector, groups, sigma_b, parametrization, 12, noise, list(sigma_a))


def run(p, method, engine="numpyro", **options):
    return fit(p.model, p.x, p.y, method, engine=engine, progress=False, **options)


def evidence(p, a, b):
    """log p(y | x) of numbers, by the dense normal."""
    fixed = problem(b, sigma_a=a)
    priors = fixed.model.priors
    eye, size = np.eye(p.rows), p.rows * p.columns
    features = np.concatenate([np.kron(eye, p.x), np.kron(eye, np.ones((len(p.x), 1)))], axis=1)
    prior = np.zeros((size + p.rows,) * 2)
    prior[:size, :size] = priors["output.weight"].covariance()
    prior[size:, size:] = priors["output.bias"].covariance()
    covariance = features @ prior @ features.T + 0.09 * np.eye(len(features))
    return multivariate_normal(np.zeros(len(features)), covariance).logpdf(p.y.T.reshape(-1))


@pytest.mark.parametrize("parametrization", ["pathways", "whitened", "weights"])
@pytest.mark.parametrize("sigma_b", [0.2, 0.0])
def test_map_is_the_exact_mode(engine, sigma_b, parametrization):
    if engine == "pyro" and sigma_b == 0.0 and parametrization != "pathways":
        pytest.skip("slow, and the same maps as in the cases that run")
    p = problem(sigma_b, parametrization)
    mode = run(p, MAP(200, None, learning_rate=0.05), engine)
    for name, want in p.mode.items():
        np.testing.assert_allclose(mode.samples[name][0, 0], want, atol=1e-4)


def test_members_of_an_ensemble_are_each_at_the_mode(engine):
    p = problem()
    post = run(p, DeepEnsemble(members=3, epochs=200, batch_size=None, learning_rate=0.05), engine)
    theta = p.theta(post)
    np.testing.assert_allclose(theta, np.broadcast_to(p.mean, theta.shape), atol=1e-4)


@pytest.mark.parametrize(("sigma_b", "parametrization"), [(0.2, "pathways"), (0.0, "whitened")])
def test_nuts_has_the_exact_mean_and_covariance(sigma_b, parametrization):
    p = problem(sigma_b, parametrization)
    post = run(p, NUTS(chains=2, warmup=300, draws=1000), seed=1)
    theta = p.theta(post)
    free = p.covariance.diagonal() > 1e-9  # without a residual, what neither group allows is zero
    for i in np.flatnonzero(free):
        error = theta[..., i].std() / np.sqrt(array_stats.ess(theta[..., i], method="mean"))
        assert abs(theta[..., i].mean() - p.mean[i]) < 4 * error
    assert (np.abs(theta[..., ~free]) < 1e-6).all()
    np.testing.assert_allclose(np.cov(theta.reshape(-1, len(p.mean)).T), p.covariance, atol=0.1 * p.covariance.max())


def test_a_few_draws_of_pyro_are_of_the_same_posterior():
    pytest.importorskip("pyro")
    p = problem(parametrization="pathways")
    theta = p.theta(run(p, NUTS(chains=1, warmup=40, draws=60), "pyro"))[0]
    errors = np.sqrt(np.diag(p.covariance))
    assert (np.abs(theta.mean(axis=0) - p.mean) < errors).all()
    assert (theta.std(axis=0) / errors).mean() == pytest.approx(1.0, abs=0.2)


@pytest.mark.slow
def test_a_full_gaussian_guide_over_weights_finds_the_posterior():
    p = problem(parametrization="weights")
    post = run(p, SVI(400, None, learning_rate=0.05, guide="full", particles=10, draws=20_000))
    theta = p.theta(post)[0]
    assert np.linalg.norm(theta.mean(axis=0) - p.mean) < 0.05 * np.linalg.norm(p.mean)
    assert np.linalg.norm(np.cov(theta.T) - p.covariance) < 0.1 * np.linalg.norm(p.covariance)


@pytest.mark.parametrize("sigma_b", [0.2, 0.0])
def test_laplace_is_exact(engine, sigma_b):
    p = problem(sigma_b)
    post = run(p, Laplace(epochs=2, draws=20_000), engine)
    theta = p.theta(post)[0]
    np.testing.assert_allclose(theta.mean(axis=0), p.mean, atol=0.02)
    np.testing.assert_allclose(np.cov(theta.T), p.covariance, atol=0.02 * p.covariance.max())
    assert post.log_evidence == pytest.approx(evidence(p, (1.0, 0.4), sigma_b), abs=1e-4)
    rough = run(p, Laplace(epochs=2, curvature="kronecker"), engine).log_evidence
    assert rough == pytest.approx(post.log_evidence, abs=0.5)


def test_tuned_sigmas_have_the_highest_evidence():
    p = problem(HALF, sigma_a=(HALF, HALF))
    post = run(p, Laplace(epochs=20, evidence="maximize"))
    names = ["sigma_a_0", "sigma_a_1", "sigma_b"]
    found = np.array([float(post.samples[k][0, 0]) for k in names])
    assert post.log_evidence == pytest.approx(evidence(p, found[:2], found[2]), abs=1e-3)
    best = minimize(lambda logs: -evidence(p, np.exp(logs[:2]), np.exp(logs[2])), np.log(found), method="Nelder-Mead")
    assert post.log_evidence == pytest.approx(-best.fun, abs=1e-2)


def test_inferred_sigmas_by_each_engine(engine):
    p = problem(HALF, sigma_a=(HALF, HALF))
    mode = run(p, MAP(20), engine)
    post = run(p, NUTS(chains=1, warmup=20, draws=4), engine, init=mode)
    for draws in (mode, post):
        assert all(np.isfinite(v).all() and (v > 0).all() for k, v in draws.samples.items() if "sigma" in k)
        np.testing.assert_allclose(
            draws.asymmetry(1)["output"],
            draws.samples["sigma_b"].astype(float)
            / np.sqrt(sum(draws.samples[f"sigma_a_{k}"].astype(float) ** 2 for k in (0, 1))),
        )
    assert energy_by_pathway(post)["output"].shape == (3, 1, 4)
    with pytest.raises(ValueError, match="parametrization must be 'pathways' or 'whitened' while sigmas"):
        run(problem(HALF, "weights"), NUTS(chains=1, warmup=20, draws=2), engine)


def test_energies_are_those_of_draws_given_their_sum():
    """A weight that is drawn in parts: over many draws E |W_k|^2 given W is on average what |W_k|^2 was."""
    p, rng, count = problem(), np.random.default_rng(0), 4000
    parts = {k: [] for k in p.model.priors}
    for name, prior in p.model.priors.items():
        for _, level, sigma in prior.components:
            parts[name].append(level.decode(sigma * rng.normal(size=(count, level.rank))))
    post = run(p, MAP(1)).replace(samples={k: sum(v)[None] for k, v in parts.items()})
    found = energy_by_pathway(post)["output"][:, 0]
    for k, energy in enumerate(found):
        drawn = sum((v[k].reshape(count, -1) ** 2).sum(axis=1) for v in parts.values())
        gap = energy - drawn
        assert abs(gap.mean()) < 4 * gap.std() / np.sqrt(count)
        assert energy.std() < drawn.std()
    assert energy_by_layer(post)["output"].residual.shape == (1, count)


def test_energies_of_a_chain_are_those_of_the_same_prior():
    p = testing.LinearProblem(Vector, Vector, ABOUT_Z, 0.2, None, 12, 0.3, [1.0, 0.4], [Group(3, name="none")])
    prior = p.model.priors["output.weight"]
    w = np.random.default_rng(0).normal(size=prior.shape)
    weights = {"output.weight": w[None, None], "output.bias": np.zeros((1, 1, 3))}
    post = run(p, MAP(1)).replace(samples=weights)
    bias = p.model.priors["output.bias"]
    wanted = np.zeros(3)
    for one, value in ((prior, w.ravel()), (bias, np.zeros(3))):
        levels = [*((s.basis() @ s.basis().T, v) for s, v in one.pathways), (np.eye(one.subspace.size), one.sigma_b)]
        inverse = np.linalg.inv(one.covariance())
        for k, (q, sigma) in enumerate(levels):
            mean = sigma**2 * q @ inverse @ value
            wanted[k] += mean @ mean + np.trace(sigma**2 * q - sigma**4 * q @ inverse @ q)
    np.testing.assert_allclose(energy_by_pathway(post)["output"][:, 0, 0], wanted, rtol=1e-10)


def test_files_hold_the_groups(tmp_path):
    p = problem(HALF)
    post = run(p, MAP(5))
    again = Posterior.load(post.save(tmp_path / "post.nc"))
    assert again.model.net.groups == (ABOUT_Z, ABOUT_X)
    assert again.model.sigma_a == [1.0, 0.4]
    np.testing.assert_array_equal(again.predict(p.x).mean, post.predict(p.x).mean)
