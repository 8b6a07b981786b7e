"""MAP ends at the mode where that is cheap, and says how far from it the weights are."""

from dataclasses import replace

import numpy as np
import pytest

import bayes_rpp as rpp
from bayes_rpp import MAP, DeepEnsemble, Laplace, Model, fit
from bayes_rpp.inference.curvature import distance
from bayes_rpp.inference.optimise import mode
from tests.inference.known import Logistic, SmallLinearProblem

# On purpose: such fits are what is tested.
pytestmark = pytest.mark.filterwarnings("ignore:the fit predicts the training data no better")

LONG = MAP(epochs=100, batch_size=None)


def linear(n=100, scales=(1.0, 1.0, 1.0, 1.0), noise=0.1, offset=0.0):
    """y = W x + b of five weights: the model, x, y, and how far weights are from the exact mode, in standard deviations
    of the exact posterior, by the QR of the whitened problem."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 4)) * scales + np.array([offset, 0, 0, -offset])
    y = x @ (rng.normal(size=(4, 1)) / np.array(scales)[:, None]) + noise * rng.normal(size=(n, 1))
    model = Model(rpp.MLP(4, 1, channels=8, layers=0), likelihood=rpp.Gaussian(noise))
    prior = np.concatenate([np.diag(model.priors[k].covariance()) for k in ("output.weight", "output.bias")]) ** 0.5
    a = np.vstack([np.hstack([x, np.ones((n, 1))]) * prior / noise, np.eye(5)])
    size = np.linalg.norm(a, axis=0)
    q, r = np.linalg.qr(a / size)
    r = r * size
    exact = np.linalg.solve(r, q.T @ np.concatenate([y[:, 0] / noise, np.zeros(5)]))

    def distance(post, member=0):
        w = [post.samples[k][0, member].ravel() for k in ("output.weight", "output.bias")]
        return np.linalg.norm(r @ (np.concatenate(w).astype(np.float64) / prior - exact))

    return model, x, y, distance


DATA = {
    "plain": {},
    "three examples": {"n": 3},
    "many examples": {"n": 3000},
    "badly scaled": {"scales": (1e6, 1e-6, 1.0, 1e3)},
    "far from zero": {"offset": 100.0},
    "small noise": {"noise": 1e-4},
    "large noise": {"noise": 10.0},
}


@pytest.mark.parametrize("data", DATA)
def test_linear_models_end_at_the_exact_mode(data):
    model, x, y, distance = linear(**DATA[data])
    post = fit(model, x, y, LONG, engine="pyro", progress=False)
    assert distance(post) < 1e-3
    assert post.summary().distance < 1e-3


def test_so_it_is_on_either_engine_and_of_each_member(engine):
    model, x, y, distance = linear(scales=(1e3, 1.0, 1.0, 1e-2))
    post = fit(model, x, y, DeepEnsemble(members=2, epochs=300, batch_size=50), engine=engine, progress=False)
    assert max(distance(post, m) for m in (0, 1)) < 1e-3
    assert "posterior standard deviations from a mode" in repr(post.summary())


@pytest.mark.parametrize(
    ("method", "more"),
    [
        (replace(LONG, epochs=20), {}),
        (replace(LONG, polish=0), {}),
        (replace(LONG, patience=100), {"validation": True}),
        (LONG, {"validation": True}),
        (LONG, {"callbacks": lambda progress: progress.epoch == 99}),
    ],
    ids=["short", "polish=0", "patience", "validation", "stopped"],
)
def test_what_stops_short_on_purpose_stays_there_and_the_summary_says_so(method, more):
    model, x, y, distance = linear(scales=(1e3, 1.0, 1.0, 1e-2))
    more = {k: (x, y) if k == "validation" else v for k, v in more.items()}
    post = fit(model, x, y, method, engine="pyro", progress=False, **more)
    assert distance(post) > 10
    assert post.summary().distance == pytest.approx(distance(post), rel=1e-4)
    assert post.samples["output.weight"].dtype == np.float32


def test_the_figure_is_exact_for_any_weights_and_after_loading(tmp_path):
    model, x, y, distance = linear(scales=(1e3, 1.0, 1.0, 1e-2))
    post = fit(model, x, y, MAP(epochs=1), engine="pyro", progress=False)
    rng = np.random.default_rng(1)
    for _ in range(5):
        post = post.replace(samples={k: v + rng.normal(size=v.shape) for k, v in post.samples.items()})
        assert post.summary().distance == pytest.approx(distance(post), rel=1e-8)
    again = rpp.Posterior.load(post.save(tmp_path / "p.nc"))
    assert again.summary().distance == pytest.approx(distance(post), rel=1e-6)


@pytest.mark.parametrize("sigma_b", [0.2, 0.0])
def test_priors_with_a_symmetry(sigma_b):
    problem = SmallLinearProblem(sigma_b)
    post = fit(problem.model, problem.x, problem.y, LONG, engine="pyro", progress=False)
    np.testing.assert_allclose(problem.theta(post)[0, 0], problem.mean, atol=1e-6)


def test_other_likelihoods():
    problem = Logistic()
    post = fit(problem.model, problem.x, problem.y, LONG, engine="pyro", progress=False)
    best = fit(problem.model, problem.x, problem.y, Laplace(epochs=100, polish=30), engine="pyro", progress=False)
    np.testing.assert_allclose(post.samples["output.weight"][0, 0], best.center["output.weight"], atol=1e-5)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 4))
    counts, reals = rng.poisson(np.exp(x[:, :1])), x[:, :1] + 0.1 * rng.standard_t(3.0, size=(40, 1))
    for likelihood, y in ((rpp.Poisson(), counts), (rpp.StudentT(0.1, 3.0), reals)):
        model = Model(rpp.MLP(4, 1, channels=8, layers=0), likelihood=likelihood)
        assert fit(model, x, y, LONG, engine="pyro", progress=False).summary().distance < 0.01


def test_inferred_numbers_stay_and_weights_are_at_their_mode():
    half = rpp.Prior("HalfNormal", {"scale": 1.0})
    _, x, y, _ = linear()
    model = Model(rpp.MLP(4, 1, channels=8, layers=0), sigma_a=half, likelihood=rpp.Gaussian(half))
    posts = [fit(model, x, y, replace(LONG, polish=p), engine="pyro", progress=False) for p in (0, None)]
    for k in model.latents:
        np.testing.assert_array_equal(posts[0].samples[k], posts[1].samples[k])
    assert posts[1].summary().distance < 1e-3


def test_networks_are_left_alone_unless_asked(engine):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 2))
    y = np.sin(x[:, :1])
    model = Model(rpp.MLP(2, 1, channels=4, layers=1), likelihood=rpp.Gaussian(0.1))
    first, none, asked = (
        fit(model, x, y, replace(LONG, polish=p), engine=engine, progress=False) for p in (0, None, 50)
    )
    for k in model.net.parameters:
        np.testing.assert_array_equal(first.samples[k], none.samples[k])
    assert first.summary().distance > 1
    assert asked.summary().distance < 0.01
    assert asked.log_likelihood().sum() > first.log_likelihood().sum()


def test_what_is_not_finished_is_said():
    model, x, _, _ = linear(n=40)
    model = Model(model.net, likelihood=rpp.Poisson())
    y = np.random.default_rng(0).poisson(np.exp(5 + x[:, :1]))
    with pytest.warns(
        rpp.inference.ConvergenceWarning, match=r"MAP ended .* posterior standard deviations from the mode"
    ):
        fit(model, x, y, MAP(epochs=1, polish=1), engine="pyro", progress=False)


def test_a_sweeps_cell_is_what_fit_gives():
    model, x, y, _ = linear()
    seen = {}
    rpp.sweep(
        model, (x, y), LONG, sigma_a=[0.1, 1.0], engine="pyro", progress=False,
        scores=lambda post: seen.update({post.model.sigma_a: post}) or {},
    )  # fmt: skip
    for sigma, post in seen.items():
        cell = Model(model.net, sigma_a=sigma, likelihood=model.likelihood)
        one = fit(cell, x, y, LONG, engine="pyro", progress=False)
        np.testing.assert_allclose(post.samples["output.weight"], one.samples["output.weight"], rtol=1e-8)


def test_large_models_are_not_looked_at(monkeypatch):
    model, x, y, _ = linear()
    monkeypatch.setattr(distance, "CHEAP", 100)
    post = fit(model, x, y, LONG, engine="pyro", progress=False)
    assert post.samples["output.weight"].dtype == np.float32
    assert post.summary().distance is None
    monkeypatch.setattr(mode, "GIGABYTES", 1e-6)
    with pytest.raises(ValueError, match="polish must fit in memory, 1e-06 GB, got 5, whose steps need about"):
        fit(model, x, y, replace(LONG, polish=5), engine="pyro", progress=False)


@pytest.mark.parametrize("polish", [-1, 2.5, True, "all"])
def test_bad_numbers_are_named(polish):
    with pytest.raises(ValueError, match="polish must be a whole number >= 0, got"):
        MAP(polish=polish)


@pytest.mark.parametrize(
    ("net", "linear"),
    [
        (rpp.MLP(3, 2, channels=4, layers=0), True),
        (rpp.EMLP(rpp.Vector, rpp.Vector, rpp.O(3), layers=0), True),
        (rpp.MLP(3, 2, channels=4, layers=1), False),
        (rpp.EMLP(rpp.Vector, rpp.Scalar, rpp.O(3), channels=8, layers=1), False),
    ],
    ids=["layer", "equivariant layer", "MLP", "EMLP"],
)
def test_linear_networks_are_told_from_others(net, linear):
    rng = np.random.default_rng(0)
    for size in (1e-6, 1.0, 1e6):
        params = {k: size * rng.normal(size=p.shape) for k, p in net.parameters.items()}
        assert distance.is_linear(net, params, rng.normal(size=(30, 3))) is linear
