"""Laplace against evidences and posteriors that are known: in closed form, by quadrature, or by importance sampling."""

import importlib
import math
import re
from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.linalg import block_diag
from scipy.optimize import minimize
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, norm

from bayes_rpp import (
    EMLP,
    MLP,
    SO,
    Bernoulli,
    Categorical,
    DeepEnsemble,
    EquivarianceTracker,
    Gaussian,
    Group,
    Laplace,
    Model,
    O,
    PerLayer,
    Poisson,
    Posterior,
    Prior,
    StudentT,
    Vector,
    fit,
)
from bayes_rpp.inference.curvature.full import DataSpace, WeightSpace
from bayes_rpp.inference.curvature.kronecker import Kronecker
from bayes_rpp.inference.curvature.linearisation import Coordinates, Linearization
from bayes_rpp.inference.laplace.laplace import warn_of_spread
from bayes_rpp.inference.posterior.diagnostics import ConvergenceWarning
from bayes_rpp.inference.posterior.mixture import mixture
from bayes_rpp.networks.network import altered
from tests.inference.known import NOISE, LinearProblem, Logistic, NestedProblem, Slope, SmallLinearProblem

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(15, 2)), RNG.normal(size=(15, 2))
MIRROR = Group(2, discrete_generators=[np.diag([1.0, -1.0])], name="mirror")
PROBLEMS = {
    "linear": lambda: LinearProblem(),
    "strict": lambda: LinearProblem(sigma_b=0.0),
    "unstructured": lambda: SmallLinearProblem(sigma_a=0.0),
    "nested": lambda: NestedProblem(),
    "strict nested": lambda: NestedProblem(sigma_b=0.0),
}


def half_normal(scale):
    return Prior("HalfNormal", {"scale": scale})


def run(problem, method, engine="pyro", **options):
    return fit(problem.model, problem.x, problem.y, method, engine=engine, progress=False, **options)


def exact_evidence(problem, noise=NOISE):
    _, features, prior = problem._gain
    covariance = features @ prior @ features.T + noise**2 * np.eye(len(features))
    return multivariate_normal(np.zeros(len(features)), covariance).logpdf(problem.y.T.reshape(-1))


def linearized(model, engine, seed=0, x=X):
    names = list(model.net.parameters)
    coordinates = Coordinates(model, names)
    rng = np.random.default_rng(seed)
    weights = {k: p.color(rng.normal(size=p.shape)) for k, p in model.priors.items()}
    jacobian = importlib.import_module(f"bayes_rpp.inference.curvature.{engine}").jacobian(model.net, names)
    return Linearization(model, x, np.resize(Y, x.shape), weights, coordinates, jacobian)


def dense_prior(model):
    return block_diag(*(model.priors[k].covariance() for k in model.net.parameters))


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


def nonlinear(**options):
    net = EMLP(Vector, Vector, O(2), channels=6, layers=1, subgroups=[MIRROR])
    return Model(net, **{"sigma_a": [1.0, 0.4], "sigma_b": 0.2, "likelihood": Gaussian(0.5), **options})


def test_predictions_are_those_of_the_linearised_network():
    """Each draw's, and their covariance, from the Jacobian and dense matrices."""
    model = nonlinear()
    post = fit(model, X, Y, Laplace(epochs=100, batch_size=None, draws=4000), engine="pyro", progress=False)
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
    np.testing.assert_allclose(found, variance, rtol=5 * math.sqrt(2 / 4000))


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


@pytest.mark.parametrize("curvature", ["data", "weights"])
def test_maximised_evidence_is_the_highest_exact_one(engine, curvature):
    problem = LinearProblem()
    net, likelihood = problem.net, Gaussian(half_normal(0.8))

    def negative(logs):
        problem.model = Model(net, sigma_a=math.exp(logs[0]), sigma_b=math.exp(logs[1]))
        return -exact_evidence(problem, math.exp(logs[2]))

    best = minimize(negative, np.log([1.0, 0.2, 0.5]))
    problem.model = Model(net, sigma_a=half_normal(1.0), sigma_b=half_normal(0.1), likelihood=likelihood)
    post = run(problem, Laplace(epochs=40, evidence="maximize", curvature=curvature, draws=3), engine)
    found = [post.samples[k] for k in ("sigma_a", "sigma_b", "noise")]
    assert post.log_evidence == pytest.approx(-best.fun, abs=1e-5)
    for values, want in zip(found, np.exp(best.x), strict=True):
        np.testing.assert_allclose(values, np.full((1, 3), want), rtol=1e-3)
    assert np.isfinite(post.training["log_evidence"][0]).nonzero()[0].tolist() == [19, 39]
    assert post.summary().table.loc["sigma_b", "mean"] == pytest.approx(math.exp(best.x[1]), rel=1e-3)


def test_tuning_raises_the_evidence_of_a_network_by_layer(engine):
    model = nonlinear(sigma_b=PerLayer(half_normal(0.02)), likelihood=Gaussian(half_normal(0.1)))
    tuned = fit(model, X, Y, Laplace(epochs=60, evidence="maximize"), engine=engine, progress=False)
    numbers = {k: float(tuned.samples[k][0, 0]) for k in model.latents}
    assert set(numbers) == {"sigma_b.layers.0", "sigma_b.output", "noise"}
    fixed = fit(
        nonlinear(sigma_b=0.02, likelihood=Gaussian(0.1)), X, Y, Laplace(epochs=60), engine=engine, progress=False
    )
    assert tuned.log_evidence > fixed.log_evidence + 10
    assert 0.5 < numbers["noise"] < 1.5  # Y is white noise


def test_engines_agree():
    one, other = (
        fit(nonlinear(), X, Y, Laplace(epochs=200, draws=50), engine=e, progress=False) for e in ("numpyro", "pyro")
    )
    assert one.log_evidence == pytest.approx(other.log_evidence, abs=1e-3)
    np.testing.assert_allclose(one.samples["output.weight"], other.samples["output.weight"], atol=1e-3)


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


def test_kronecker_tunes_too():
    problem = LinearProblem()
    exact = run(problem, Laplace(epochs=40, draws=2)).log_evidence
    problem.model = Model(problem.net, sigma_a=1.0, sigma_b=0.2, likelihood=Gaussian(half_normal(1.0)))
    post = run(
        problem, Laplace(epochs=300, batch_size=None, learning_rate=0.1, evidence="maximize", curvature="kronecker")
    )
    assert post.log_evidence > exact - 0.3
    assert post.samples["noise"][0, 0] == pytest.approx(NOISE, rel=0.15)


def test_the_last_layer_leaves_the_others():
    post = fit(nonlinear(), X, Y, Laplace(epochs=5, curvature="last_layer", draws=4), engine="pyro", progress=False)
    fixed = [k for k, v in post.samples.items() if np.ptp(v, axis=1).max() == 0]
    assert fixed
    assert set(post.samples) - set(fixed) == {"output.weight", "output.bias"}


def test_files_and_arviz(tmp_path):
    problem = SmallLinearProblem()
    post = run(problem, Laplace(epochs=5, draws=7))
    again = Posterior.load(post.save(tmp_path / "post.nc"))
    assert again.log_evidence == post.log_evidence
    np.testing.assert_array_equal(again.predict(problem.x).samples, post.predict(problem.x).samples)
    assert again.metrics(problem.x, problem.y) == post.metrics(problem.x, problem.y)
    assert post.to_arviz().attrs["log_evidence"] == post.log_evidence
    plain = run(problem, DeepEnsemble(members=2, epochs=1))
    assert plain.log_evidence is None
    assert Posterior.load(plain.save(tmp_path / "plain.nc")).log_evidence is None


def test_validation_patience_callbacks_and_checkpoint(engine, tmp_path):
    problem = SmallLinearProblem()
    problem.model = Model(problem.net, sigma_b=half_normal(0.2), likelihood=Gaussian(half_normal(0.5)))
    tracker, epochs = EquivarianceTracker(SO(2)), []

    def stop_once(progress):
        epochs.append(progress.epoch)
        if len(epochs) == 7:
            raise KeyboardInterrupt

    method = Laplace(epochs=12, evidence="maximize", every=4, draws=3)
    options = {"validation": (problem.x, problem.y), "checkpoint": tmp_path / "run", "callbacks": [stop_once, tracker]}
    whole = run(problem, method, engine)
    from bayes_rpp.inference import Checkpoint

    options["checkpoint"] = Checkpoint(tmp_path / "run", every=0)
    with pytest.raises(KeyboardInterrupt):
        run(problem, method, engine, **options)
    post = run(problem, method, engine, **options)
    assert epochs[7] == 7
    np.testing.assert_allclose(post.samples["output.weight"], whole.samples["output.weight"], atol=1e-6)
    assert post.log_evidence == pytest.approx(whole.log_evidence, abs=1e-6)
    assert set(post.training) == {
        "loss", "validation_loss", "equivariance_error", "log_evidence", "sigma_b", "noise"
    }  # fmt: skip
    early = run(problem, Laplace(epochs=50, patience=1, draws=3), engine, validation=(problem.x[:3], problem.y[:3] + 5))
    assert early.training["loss"].shape[1] < 50
    assert math.isfinite(early.log_evidence)


def test_a_start_is_taken():
    problem = LinearProblem()
    post = run(problem, Laplace(epochs=1, learning_rate=1e-12, polish=0, draws=2), init=problem.mode)
    assert post.log_evidence == pytest.approx(exact_evidence(problem), abs=1e-4)


def test_no_epochs_goes_on_from_a_mode(engine):
    """Exact from anywhere for a linear model; to other sigmas of a network without losing evidence."""
    problem = LinearProblem()
    post = run(problem, Laplace(epochs=0, draws=2), engine)
    assert post.log_evidence == pytest.approx(exact_evidence(problem), abs=1e-6)
    assert not post.training

    fixed = nonlinear(sigma_b=0.02, likelihood=Gaussian(0.3))
    first = fit(fixed, X, Y, Laplace(epochs=20, draws=2), engine=engine, progress=False)
    tuned = nonlinear(sigma_b=PerLayer(half_normal(0.02)), likelihood=Gaussian(half_normal(0.3)))
    further = Laplace(epochs=0, evidence="maximize", polish=20, draws=2)
    again = fit(tuned, X, Y, further, init=first, engine=engine, progress=False)
    assert again.log_evidence > first.log_evidence + 1
    still = fit(tuned, X, Y, further, init=again, engine=engine, progress=False)
    assert still.log_evidence == pytest.approx(again.log_evidence, abs=0.05)


@pytest.mark.parametrize("seed", [3, pytest.param(4, marks=pytest.mark.slow)])
def test_polishing_never_lowers_the_evidence(seed):
    """More weights than data, no noise: on the way to the highest density the evidence falls."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(12, 2))
    y = np.sin(2 * x) * x[:, ::-1]
    sigma_b = PerLayer(half_normal(0.1))
    model = nonlinear(sigma_a=[1.0, 1.0], sigma_b=sigma_b, likelihood=Gaussian(half_normal(0.3)))
    found = []
    for polish in (1, 2, 4, 8):
        method = Laplace(epochs=60, batch_size=None, evidence="maximize", burn_in=0, polish=polish, draws=2)
        found.append(fit(model, x, y, method, seed=seed, engine="pyro", progress=False).log_evidence)
    assert (np.diff(found) > -1e-6).all(), found


@pytest.mark.parametrize("curvature", ["auto", "kronecker"])
def test_sigmas_are_tuned_where_nothing_else_is(curvature):
    options = {"epochs": 40, "curvature": curvature, "draws": 2}
    model, fixed = nonlinear(sigma_b=PerLayer(half_normal(0.02))), nonlinear(sigma_b=0.02)
    post = fit(model, X, Y, Laplace(evidence="maximize", **options), engine="pyro", progress=False)
    same = fit(fixed, X, Y, Laplace(**options), engine="pyro", progress=False)
    assert post.log_evidence > same.log_evidence + 1
    assert "log_evidence" not in post.training


def test_sigmas_are_tuned_once_the_weights_are_at_a_mode():
    model = nonlinear(sigma_b=PerLayer(half_normal(0.02)), likelihood=Gaussian(half_normal(0.1)))
    options = {"batch_size": None, "evidence": "maximize", "draws": 2}
    late, early = (
        fit(model, X, Y, Laplace(epochs=40, burn_in=b, **options), engine="pyro", progress=False) for b in (None, 0)
    )
    for post, moved in ((late, False), (early, True)):
        start = post.training["sigma_b.output"][0, 19] == pytest.approx(0.02, rel=1e-5)
        assert start is not moved
        assert post.training["noise"][0, 19] != pytest.approx(0.1, rel=0.01)
        assert post.samples["sigma_b.output"][0, 0] != pytest.approx(0.02, rel=0.01)


def modes_of_one_model():
    model = nonlinear(likelihood=Gaussian(half_normal(0.5)))
    method = Laplace(epochs=20, evidence="maximize", draws=3)
    posts = [fit(model, X, Y, method, seed=s, engine="pyro", progress=False) for s in (0, 1)]
    return sorted(posts, key=lambda p: -p.log_evidence)


def test_modes_together_are_chains_with_centres_of_their_own(tmp_path):
    posts = modes_of_one_model()
    both = mixture(posts[::-1])
    assert (both.chains, both.draws, both.log_evidence) == (2, 3, posts[0].log_evidence)
    both = Posterior.load(both.save(tmp_path / "both.nc"))
    np.testing.assert_allclose(both.outputs(X), np.concatenate([p.outputs(X) for p in posts]), atol=1e-6)
    np.testing.assert_allclose(both.function(1, 2)(X), posts[1].outputs(X)[0, 2], atol=1e-6)
    each = np.concatenate([p.log_likelihood() for p in posts])
    want = -(logsumexp(each, axis=(0, 1)) - math.log(6)).mean()
    assert both.metrics(X, Y)["nll"] == pytest.approx(want, rel=1e-5)
    assert mixture(posts[:1]) is posts[0]


def test_a_mixture_keeps_good_modes_once():
    best, other = modes_of_one_model()
    gap = best.log_evidence - other.log_evidence
    assert gap > 0.02
    assert mixture([other, best, other, best], within=gap + 0.01).chains == 2
    assert mixture([other, best], within=gap - 0.01) is best
    still = Laplace(epochs=1, learning_rate=1e-12, polish=0, draws=2)
    again = fit(best.model, X, Y, still, init=mixture([best, other]), engine="pyro")
    np.testing.assert_allclose(again.center["output.weight"], best.center["output.weight"], atol=1e-5)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (lambda p: p, TypeError, "list of Posterior"),
        (lambda p: [], ValueError, "posteriors must have at least one, got none"),
        (
            lambda p: [p, one_mode(Gaussian(half_normal(0.5)))],
            ValueError,
            "posteriors must be of one model and number of draws, got others",
        ),
        (
            lambda p: [p, one_mode(Gaussian(0.7))],
            ValueError,
            "posteriors must be of one network and likelihood, got others",
        ),
        (lambda p: [p, one_mode(Gaussian(0.5), Y + 1)], ValueError, r"posteriors must be.*, got different ones"),
        (lambda p: [p, Posterior(p.model, p.samples, x=X, y=Y, center=p.center)], ValueError, "log_evidence of None"),
        (lambda p: [p, Posterior(p.model, p.samples, x=X, y=Y, log_evidence=1.0)], ValueError, "linearized"),
    ],
)
def test_what_is_no_mixture_is_named(wrong, error, message):
    with pytest.raises(error, match=message):
        mixture(wrong(one_mode(Gaussian(0.5))))


def one_mode(likelihood, y=Y):
    method = Laplace(epochs=1, draws=3, polish=1)
    return fit(nonlinear(likelihood=likelihood), X, y, method, engine="pyro", progress=False)


@pytest.mark.parametrize("within", [-1.0, math.nan])
def test_a_mixture_within_less_than_nothing(within):
    with pytest.raises(ValueError, match="within must be a number >= 0, got"):
        mixture([one_mode(Gaussian(0.5))], within=within)


def test_of_several_members_the_highest_evidence_counts(engine):
    model = nonlinear(likelihood=Gaussian(half_normal(0.5)))
    method = Laplace(epochs=20, evidence="maximize", draws=3, members=3)
    post = fit(model, X, Y, method, engine=engine, progress=False)
    ends = post.training["log_evidence"][:, -1]
    assert ends.shape == (3,)
    assert np.ptp(ends) > 0.01
    assert (post.log_evidence, post.chains, post.draws) == (ends.max(), 1, 3)
    first = fit(model, X, Y, replace(method, members=1), engine=engine, progress=False)
    assert first.log_evidence == pytest.approx(ends[0], abs=0.01)


def test_each_second_member_trains_at_a_tenth_of_the_noise_and_has_it_tuned_in_the_end():
    model = nonlinear(likelihood=Gaussian(half_normal(0.5)))
    method = Laplace(epochs=20, evidence="maximize", draws=1, members=3, every=10)
    seen = []
    look = [lambda progress: seen.append(progress.posterior.samples["noise"][0].copy())]
    post = fit(model, X, Y, method, engine="pyro", callbacks=look, progress=False)
    np.testing.assert_allclose(seen[0], [0.5, 0.05, 0.5], rtol=1e-5)
    np.testing.assert_allclose(seen[-1][1], 0.05, rtol=1e-5)
    assert np.abs(seen[-1][[0, 2]] - 0.5).min() > 0.01
    assert np.isnan(post.training["log_evidence"][1, 9])
    assert 0.3 < post.samples["noise"][0, 0] < 1.5  # Y is white noise


def test_a_member_that_is_alone_at_the_highest_evidence_is_doubted():
    warn_of_spread(np.array([-29.0, -500.0, 0.0]))
    with pytest.warns(ConvergenceWarning, match=re.escape("log evidences are -31.0 -500.0 0.0. More members")):
        warn_of_spread(np.array([-31.0, -500.0, 0.0]))


def test_posteriors_without_evidence_are_all_kept():
    posts = [fit(nonlinear(), X, Y, DeepEnsemble(members=2, epochs=1), seed=s, engine="pyro") for s in (0, 1)]
    assert mixture(posts).chains == 2


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
