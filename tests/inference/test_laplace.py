"""Laplace against evidences and posteriors that are known: in closed form, by quadrature, or by importance sampling."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.linalg import block_diag
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, norm

from bayes_rpp import (
    MLP,
    Bernoulli,
    Categorical,
    Gaussian,
    Laplace,
    Model,
    PerLayer,
    Poisson,
    Posterior,
    Prior,
    StudentT,
    fit,
)
from bayes_rpp.inference.curvature.full import DataSpace, WeightSpace
from bayes_rpp.inference.curvature.kronecker import Kronecker
from bayes_rpp.inference.curvature.linearisation import Coordinates, Linearization
from bayes_rpp.networks.network import altered
from tests.inference.known import NOISE, LinearProblem, Logistic, Slope, SmallLinearProblem
from tests.inference.laplace_cases import (
    PROBLEMS,
    RNG,
    X,
    Y,
    dense_prior,
    exact_evidence,
    half_normal,
    linearized,
    nonlinear,
    run,
)


@pytest.mark.parametrize("curvature", ["weights", "data", "last_layer"])
@pytest.mark.parametrize("name", PROBLEMS)
def test_the_evidence_of_a_linear_model_is_exact(name, curvature):
    problem = PROBLEMS[name]()
    post = run(problem, Laplace(epochs=5, batch_size=16, curvature=curvature, draws=2))
    assert post.log_evidence == pytest.approx(exact_evidence(problem), abs=1e-6)


@pytest.mark.parametrize("name", ["linear", "strict nested"])
def test_so_it_is_on_either_engine(engine, name):
    problem = PROBLEMS[name]()
    post = run(problem, Laplace(epochs=5, draws=2), engine)
    assert post.log_evidence == pytest.approx(exact_evidence(problem), abs=1e-6)
    for k, want in problem.mode.items():
        np.testing.assert_allclose(post.center[k], want, atol=1e-6)


@pytest.mark.parametrize("curvature", ["weights", "data"])
@pytest.mark.parametrize("name", ["linear", "strict nested"])
def test_samples_have_the_exact_mean_and_covariance(name, curvature):
    problem = PROBLEMS[name]()
    post = run(problem, Laplace(epochs=5, curvature=curvature, draws=20_000), seed=3)
    theta = problem.theta(post)[0]
    sd = np.sqrt(problem.covariance.diagonal())
    assert (np.abs(theta.mean(axis=0) - problem.mean) <= 4.5 * sd / math.sqrt(20_000) + 1e-6).all()
    np.testing.assert_allclose(np.cov(theta.T), problem.covariance, atol=0.05 * problem.covariance.max())


def test_predictions_are_those_of_the_linearised_network():
    """Each draw's, and their covariance, from the Jacobian and dense matrices."""
    model = nonlinear()
    post = fit(model, X, Y, Laplace(epochs=100, batch_size=None, draws=1000), engine="pyro", progress=False)
    names = list(model.net.parameters)
    from bayes_rpp.inference.curvature.pyro import jacobian

    at = Linearization(model, X, Y, post.center, Coordinates(model, names), jacobian(model.net, names))
    moved = at.coordinates.flat({k: post.samples[k][0, :5] for k in names}) - at.at
    want = at.f + np.einsum("ndp,sp->snd", at.jacobian, moved)
    part = Posterior(model, {k: v[:, :5] for k, v in post.samples.items()}, x=X, y=Y, center=post.center)
    np.testing.assert_allclose(part.predict(X).samples[0], want, atol=1e-5)
    np.testing.assert_allclose(part.log_likelihood()[0], model.likelihood.log_prob(want, Y, {}), rtol=1e-4)
    np.testing.assert_allclose(part.function(0, 2)(X), want[2], atol=1e-5)

    prior = dense_prior(model)
    j = at.jacobian.reshape(-1, prior.shape[0])
    k = j @ prior @ j.T
    variance = (k - k @ np.linalg.solve(k + 0.25 * np.eye(len(k)), k)).diagonal()
    found = post.predict(X).samples[0].var(axis=0).reshape(-1)
    np.testing.assert_allclose(found, variance, rtol=5 * math.sqrt(2 / 1000))


def test_network_predictions_and_the_same_draws():
    model = nonlinear()
    post, other = (
        fit(model, X, Y, Laplace(epochs=5, draws=3, predictions=p), engine="pyro", progress=False)
        for p in ("linearized", "network")
    )
    assert other.center is None
    np.testing.assert_array_equal(post.samples["output.weight"], other.samples["output.weight"])
    params = {k: v[0, 1] for k, v in other.samples.items()}
    np.testing.assert_allclose(other.predict(X).samples[0, 1], model.net(params, X.astype(np.float32)), atol=1e-5)
    assert np.abs(post.predict(X).samples - other.predict(X).samples).max() > 1e-3
    assert post.equivariance_error(X).shape == (1, 3, 15)


@pytest.mark.parametrize(
    ("kind", "moved"),
    [(WeightSpace, False), (WeightSpace, True), (DataSpace, False), (DataSpace, True), (Kronecker, False)],
)
def test_gradients_of_the_evidence(engine, kind, moved):
    """In every number, to finite differences: sigmas by pathway and by layer, noise and degrees of freedom."""
    likelihood = StudentT(half_normal(0.3), Prior("Gamma", {"concentration": 2.0, "rate": 0.5}))
    model = nonlinear(
        sigma_a=[half_normal(1.0), half_normal(0.4)], sigma_b=PerLayer(half_normal(0.2)), likelihood=likelihood
    )
    curvature = kind(linearized(model, engine))
    numbers = {k: 1.3 * p.start for k, p in model.latents.items()}
    _, gradient = curvature.gradient(numbers, numbers, moved)
    assert len(gradient) == 6
    for site, found in gradient.items():
        ends = [curvature.gradient({**numbers, site: numbers[site] * math.exp(h)}, [], moved)[0] for h in (1e-4, -1e-4)]
        assert found == pytest.approx((ends[0] - ends[1]) / 2e-4, rel=1e-4), site


def test_spaces_agree_and_strict_gradients(engine):
    model = nonlinear(sigma_a=[half_normal(1.0), 0.5], sigma_b=0.0, likelihood=Gaussian(half_normal(0.5)))
    at = linearized(model, engine)
    numbers = {"sigma_a_0": 0.8, "noise": 0.4}
    one, other = (kind(at).gradient(numbers, numbers, True) for kind in (WeightSpace, DataSpace))
    assert one[0] == pytest.approx(other[0], abs=1e-8)
    assert one[1] == pytest.approx(other[1], rel=1e-8)
    np.testing.assert_allclose(WeightSpace(at).newton(numbers)[0], DataSpace(at).newton(numbers)[0], atol=1e-9)


def test_gradient_of_the_exact_evidence_of_a_linear_model():
    problem = LinearProblem()

    def at(a, b, noise):
        other = LinearProblem()
        other.model = Model(problem.net, sigma_a=a, sigma_b=b)
        return exact_evidence(other, noise)

    model = Model(
        problem.net, sigma_a=half_normal(1.0), sigma_b=half_normal(0.2), likelihood=Gaussian(half_normal(NOISE))
    )
    names = list(model.net.parameters)
    from bayes_rpp.inference.curvature.pyro import jacobian

    lin = Linearization(
        model, problem.x, problem.y, problem.mode, Coordinates(model, names), jacobian(model.net, names)
    )
    numbers = {"sigma_a": 1.0, "sigma_b": 0.2, "noise": NOISE}
    value, gradient = DataSpace(lin).gradient(numbers, numbers)
    assert value == pytest.approx(at(*numbers.values()), abs=1e-6)
    for i, (site, found) in enumerate(gradient.items()):
        ends = [at(*(v * math.exp(h * (j == i)) for j, v in enumerate(numbers.values()))) for h in (1e-4, -1e-4)]
        assert found == pytest.approx((ends[0] - ends[1]) / 2e-4, rel=1e-4), site


@pytest.mark.parametrize(
    ("likelihood", "y", "within"),
    [
        (Bernoulli(), (RNG.random((40, 1)) < 0.6) * 1.0, 0.05),
        (Poisson(), RNG.poisson(1.5, size=(40, 1)) * 1.0, 0.05),
        (StudentT(0.4, 3.0), 0.7 * np.linspace(-1, 1, 40)[:, None] + 0.4 * RNG.standard_t(3, size=(40, 1)), 0.15),
    ],
    ids=["bernoulli", "poisson", "student"],
)
def test_other_likelihoods_are_near_the_evidence_by_quadrature(likelihood, y, within):
    x = np.linspace(-1, 1, 40)[:, None]
    model = Model(Slope(), sigma_a=1.5, sigma_b=0.0, likelihood=likelihood, scale=None)
    post = fit(model, x, y, Laplace(epochs=200, batch_size=None), engine="pyro", progress=False)

    def density(w):
        return math.exp(likelihood.log_prob(w * x, y, {}).sum() + norm(0, 1.5).logpdf(w) - post.log_evidence)

    assert abs(math.log(quad(density, -10, 10, points=[0.0, float(post.center["w"][0, 0])])[0])) < within


def test_logistic_model_by_importance_sampling():
    problem = Logistic()
    post = run(problem, Laplace(epochs=200, draws=4000))
    model = problem.model
    w, b = (post.samples[k][0].astype(float) for k in ("output.weight", "output.bias"))
    f = np.einsum("sij,nj->sni", w, problem.x) + b[:, None]
    log_weight = model.likelihood.log_prob(f, problem.y, {}).sum(axis=-1)
    log_weight += model.priors["output.weight"].log_prob(w) + model.priors["output.bias"].log_prob(b)
    theta = np.concatenate([w.reshape(4000, -1), b], axis=1)
    center = np.concatenate([post.center["output.weight"].reshape(-1), post.center["output.bias"]])
    log_weight -= multivariate_normal(center, np.cov(theta.T)).logpdf(theta)
    evidence = logsumexp(log_weight) - math.log(4000)
    assert post.log_evidence == pytest.approx(evidence, abs=0.3)
    weight = np.exp(log_weight - logsumexp(log_weight))
    assert 1 / (weight**2).sum() > 2000  # the Gaussian is near the posterior
    np.testing.assert_allclose(weight @ theta, center, atol=0.4 * theta.std(axis=0).max())


def test_classes(engine):
    y = (np.arange(15) % 3)[:, None].astype(float)
    model = Model(MLP(2, 3, channels=4, layers=1), likelihood=Categorical(), sigma_b=1.0)
    one, other = (
        fit(model, X, y, Laplace(epochs=50, curvature=c, draws=20), engine=engine, progress=False)
        for c in ("weights", "data")
    )
    assert one.log_evidence == pytest.approx(other.log_evidence, abs=1e-6)
    np.testing.assert_allclose(one.predict(X).mean.sum(axis=-1), 1.0, rtol=1e-5)


def test_kronecker_factors_are_as_written():
    """|H| and H^-1 v against dense matrices made of the partial traces."""
    model = nonlinear()
    at = linearized(model, "pyro")
    h = Kronecker(at).at_numbers({})
    v = np.random.default_rng(1).normal(size=at.at.size)
    solved, logdet = h.solve(v), 0.0
    for name, where in at.coordinates.slices.items():
        prior = model.priors[name]
        shape = (*prior.shape[:1], -1) if prior.shape else (1, 1)
        j = at.jacobian[..., where].reshape(-1, prior.subspace.size) / 0.5
        each = j.reshape(len(j), *shape) if len(prior.shape) > 1 else j[:, :, None]
        a, b = np.einsum("nab,ncb->ac", each, each), np.einsum("nab,nac->bc", each, each)
        eye = np.eye(prior.subspace.size)
        color = prior.color(eye.reshape(-1, *prior.shape)).reshape(len(eye), -1)
        dense_h = eye + color @ (np.kron(a, b) / np.trace(a)) @ color.T
        logdet += np.linalg.slogdet(dense_h)[1]
        np.testing.assert_allclose(solved[where], np.linalg.solve(dense_h, v[where]), atol=1e-8)
    assert h.logdet == pytest.approx(logdet, rel=1e-10)
    drawn = h.draw(np.random.default_rng(0), 40_000)
    for i in (0, 7, at.at.size - 1):
        unit = np.eye(at.at.size)[i]
        assert drawn[:, i].var() == pytest.approx(h.solve(unit)[i], rel=0.05)


@pytest.mark.parametrize("name", ["linear", "strict", "nested"])
def test_kronecker_evidence_of_a_linear_layer(name):
    """Exact but for the correlation of weight and bias."""
    problem = PROBLEMS[name]()
    method = Laplace(epochs=1, learning_rate=1e-12, curvature="kronecker")
    post = run(problem, method, init=problem.mode)
    assert post.log_evidence == pytest.approx(exact_evidence(problem), abs=0.3)


def test_the_last_layer_leaves_the_others():
    post = fit(nonlinear(), X, Y, Laplace(epochs=5, curvature="last_layer", draws=4), engine="pyro", progress=False)
    fixed = [k for k, v in post.samples.items() if np.ptp(v, axis=1).max() == 0]
    assert fixed
    assert set(post.samples) - set(fixed) == {"output.weight", "output.bias"}


@pytest.mark.parametrize("x", [X, X[:2].repeat(60, axis=0)], ids=["fewer outputs", "fewer weights"])
@pytest.mark.parametrize("name", ["isotropic", "by outputs", "singular"])
def test_full_curvature_is_that_of_dense_matrices(engine, x, name):
    """Steps, gains, covariances of outputs and |H|, for fewer outputs or weights, and for any curvature L."""
    model = nonlinear(sigma_a=[1.0, 0.5], sigma_b=0.0)
    at = linearized(model, engine, x=x)
    n, d = at.f.shape
    root = {"isotropic": np.eye(d), "by outputs": np.diag([1.0, 2.0]), "singular": np.ones((d, d)) / 2}[name] / 0.3
    slope, r = np.random.default_rng(1).normal(size=(n, d)), np.broadcast_to(root, (n, d, d))
    j, prior = at.jacobian.reshape(n * d, -1), dense_prior(model)
    values, vectors = np.linalg.eigh(prior)
    a = vectors * np.sqrt(np.maximum(values, 0.0)) @ vectors.T
    bend = block_diag(*r @ r.swapaxes(1, 2))
    h = np.eye(len(a)) + a @ j.T @ bend @ j @ a
    g = a @ j.T @ slope.reshape(-1) - np.linalg.pinv(a, rcond=1e-6) @ at.at
    covariance = (j @ a @ np.linalg.solve(h, a @ j.T)).reshape(n, d, n, d)[np.arange(n), :, np.arange(n)]
    for kind in (WeightSpace, DataSpace):
        curvature = kind(at)
        for _ in range(2):  # numbers that are known from before go another way
            found = curvature.factorize({}, slope, r)
            assert found.logdet == pytest.approx(np.linalg.slogdet(h)[1])
            assert found.gain == pytest.approx(g @ np.linalg.solve(h, g) / 2)
            np.testing.assert_allclose(found.step(), a @ np.linalg.solve(h, g), atol=1e-8)
            for weight in (np.eye(d), np.diag([1.0, 2.0])):
                weights = np.broadcast_to(weight, (n, d, d))
                assert found.spread(weights) == pytest.approx((weights * covariance).sum())
            np.testing.assert_allclose(found.first(True), (j @ found.step()).reshape(n, d), atol=1e-8)
            assert not found.first(False).any()
            draws = found.draw(np.random.default_rng(2), 20_000)
            np.testing.assert_allclose(np.cov(draws.T), np.linalg.inv(h), atol=0.06)


def test_softened_torch_modules():
    torch = pytest.importorskip("torch")
    from bayes_rpp import soften

    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))
    with pytest.warns(UserWarning, match="nothing soft"):
        net = soften(module, input_shape=(2,))
    posts = []
    for vectorized in (True, False):
        net = altered(net, capabilities=replace(net.capabilities, vectorized=vectorized))
        model = Model(net, sigma_a=1.0, sigma_b=0.5)
        posts.append(fit(model, X, Y, Laplace(epochs=3, polish=2, draws=2), init=net.initial, progress=False))
    assert posts[0].log_evidence == pytest.approx(posts[1].log_evidence, abs=1e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"curvature": "diagonal"}, "curvature must be one of 'auto', 'weights', .*, got 'diagonal'"),
        ({"predictions": "exact"}, "predictions must be one of 'linearized', 'network', got 'exact'"),
        ({"evidence": True}, "evidence must be one of 'maximize', None, got True"),
        ({"draws": 0}, "draws must be a whole number >= 1, got 0"),
        ({"epochs": -1}, "epochs must be a whole number >= 0, got -1"),
        ({"epochs": False}, "epochs must be a whole number >= 0, got False"),
        ({"every": 0}, "every must be a whole number >= 1, got 0"),
        ({"steps": 1.5}, r"steps must be a whole number >= 1, got 1\.5"),
        ({"polish": -1}, "polish must be a whole number >= 0, got -1"),
        ({"burn_in": -1}, "burn_in must be a whole number >= 0, got -1"),
        (
            {"evidence": "maximize", "epochs": 5, "burn_in": 5, "polish": 0},
            "burn_in must be less than the 5 .*, got 5",
        ),
        ({"memory": 0.0}, "memory must be a number > 0, got 0.0"),
    ],
)
def test_bad_numbers_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        Laplace(**change)


def test_nothing_to_tune_is_an_error(engine):
    with pytest.raises(
        ValueError, match="evidence must be None for a model that has no number to tune, got 'maximize'"
    ):
        run(SmallLinearProblem(), Laplace(evidence="maximize"), engine)


def test_the_last_layer_tunes_only_its_own():
    model = nonlinear(sigma_b=PerLayer(half_normal(0.1)))
    with pytest.raises(ValueError, match=r"curvature must be one whose evidence depends on.*, got 'last_layer'"):
        fit(model, X, Y, Laplace(evidence="maximize", curvature="last_layer"), engine="pyro", progress=False)


@pytest.mark.parametrize("curvature", ["auto", "weights", "data"])
def test_too_little_memory_says_how_much_and_what_would_do(curvature):
    model = Model(MLP(2, 2, channels=400, layers=2))
    message = (
        r"curvature must fit in memory, 0.02 GB, got '.*', which needs about .* GB for 30 outputs .*; .*'last_layer'"
    )
    with pytest.raises(ValueError, match=message):
        fit(model, X, Y, Laplace(curvature=curvature, memory=0.02), engine="pyro", progress=False)
