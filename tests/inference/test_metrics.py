"""Scores against their definitions, and against forecasts whose scores are known."""

import numpy as np
import pytest
from scipy.stats import norm

from bayes_rpp import (
    EMLP,
    MAP,
    SVI,
    Bernoulli,
    Categorical,
    DeepEnsemble,
    Gaussian,
    Model,
    O,
    Poisson,
    Posterior,
    Prior,
    Scalar,
    StudentT,
    Trivial,
    Vector,
    fit,
)
from bayes_rpp.inference import predictive_metrics
from bayes_rpp.inference.posterior.metrics import crps, expected_calibration_error

RNG = np.random.default_rng(0)


def posterior(likelihood, outputs=1, draws=1):
    """f(x) = W x with W = first columns of the identity, in every draw."""
    net = EMLP(2 * Scalar, outputs * Scalar, Trivial(1), layers=0)
    model = Model(net, likelihood=likelihood)
    w = np.broadcast_to(np.eye(2)[:outputs], (1, draws, outputs, 2))
    x = RNG.normal(size=(4000, 2))
    y = likelihood.sample(np.random.default_rng(1), x[None, None, :, :outputs], {})[0, 0]
    samples = {"output.weight": w, "output.bias": np.zeros((1, draws, outputs))}
    return Posterior(model, samples, x=x, y=y), x, y


def test_crps_of_a_gaussian_is_the_closed_form():
    y = np.linspace(-2, 2, 9)
    samples = np.random.default_rng(0).normal(size=(20_000, 9))
    z = norm.cdf(y)
    want = y * (2 * z - 1) + 2 * norm.pdf(y) - 1 / np.sqrt(np.pi)  # Gneiting and Raftery 2007, Eq. 20
    np.testing.assert_allclose(crps(samples, y), want, atol=0.02)
    pairs = np.abs(samples[:40, None] - samples[None, :40]).sum(axis=(0, 1)) / (40 * 39)
    want = np.abs(samples[:40] - y).mean(axis=0) - 0.5 * pairs
    np.testing.assert_allclose(crps(samples[:40], y), want)
    np.testing.assert_allclose(crps(samples[:1], y), np.abs(samples[0] - y))


def test_the_true_model_is_calibrated():
    post, x, y = posterior(Gaussian(0.5), outputs=2)
    found = post.metrics(x, y)
    assert found["nll"] == pytest.approx(2 * (np.log(0.5) + 0.5 * np.log(2 * np.pi) + 0.5), abs=0.05)
    assert found["rmse"] == pytest.approx(0.5, rel=0.03)
    assert found["crps"] == pytest.approx(0.5 / np.sqrt(np.pi), rel=0.05)
    for level in (50, 90, 95):
        assert found[f"coverage_{level}"] == pytest.approx(level / 100, abs=0.02)
    assert found["calibration_error"] < 0.02
    too_sure = Posterior(Model(post.model.net, likelihood=Gaussian(0.1)), post.samples, x=x, y=y).metrics(x, y)
    assert too_sure["coverage_90"] < 0.4
    assert too_sure["calibration_error"] > 0.2
    assert too_sure["nll"] > found["nll"] + 5


def test_the_mean_over_draws_is_inside_the_logarithm():
    post, x, y = posterior(Gaussian(0.5), draws=2)
    w = post.samples["output.weight"].copy()
    w[0, 1] += 1.0
    mixed = Posterior(post.model, post.samples | {"output.weight": w}, x=x, y=y)
    each = mixed.log_likelihood(x, y)[0]
    assert mixed.metrics(x, y)["nll"] == pytest.approx(-np.log(np.exp(each).mean(axis=0)).mean())


def test_classes():
    post, x, y = posterior(Categorical(), outputs=2)
    found = post.metrics(x, y)
    p = post.predict(x).mean
    np.testing.assert_allclose(p.sum(axis=-1), 1, rtol=1e-6)
    chosen = p[np.arange(len(y)), y[:, 0].astype(int)]
    assert found["nll"] == pytest.approx(-np.log(chosen).mean(), rel=1e-5)
    assert found["brier"] == pytest.approx((2 * (1 - chosen) ** 2).mean(), rel=1e-4)
    assert found["accuracy"] == pytest.approx(((p[:, 1] > 0.5) == y[:, 0]).mean())
    assert found["ece"] < 0.03
    binary, x, y = posterior(Bernoulli())
    assert binary.metrics(x, y)["ece"] < 0.03
    assert binary.metrics(x, y)["brier"] == pytest.approx(((binary.predict(x).mean - y) ** 2).mean(), rel=1e-5)
    assert expected_calibration_error(np.array([0.9, 0.9]), np.array([True, False])) == pytest.approx(0.4)


@pytest.mark.parametrize("likelihood", [StudentT(0.5, 4.0), Poisson()], ids=repr)
def test_other_likelihoods(likelihood):
    post, x, y = posterior(likelihood)
    found = predictive_metrics(post, x, y)
    assert found["nll"] == pytest.approx(-post.log_likelihood(x, y).mean(), rel=1e-6)
    assert found["coverage_90"] == pytest.approx(0.9, abs=0.08)  # counts have no interval of exactly 90 %
    if isinstance(likelihood, StudentT):
        assert found["calibration_error"] < 0.02


ENSEMBLE, GUIDE = DeepEnsemble(members=2, epochs=150), SVI(epochs=30, draws=25)


@pytest.mark.parametrize(
    "likelihood", [StudentT(Prior("HalfNormal", {"scale": 1.0})), Bernoulli(), Categorical(), Poisson()], ids=repr
)
@pytest.mark.parametrize(
    ("engine", "method"),
    [
        ("numpyro", ENSEMBLE),
        ("pyro", GUIDE),
        pytest.param("numpyro", GUIDE, marks=pytest.mark.slow),
        pytest.param("pyro", ENSEMBLE, marks=pytest.mark.slow),
    ],
    ids=["numpyro-ensemble", "pyro-svi", "numpyro-svi", "pyro-ensemble"],
)
def test_every_likelihood_trains_predicts_and_is_stored(likelihood, method, engine, tmp_path):
    x = np.random.default_rng(0).normal(size=(200, 3))
    y = likelihood.sample(np.random.default_rng(1), x[None, None, :, :2], {"noise": np.array([[0.1]])})[0, 0]
    model = Model(EMLP(Vector, 2 * Scalar, O(3), layers=0), sigma_b=1.0, likelihood=likelihood)
    post = fit(model, x, y[:, 0] if y.shape[1] == 1 else y, method, engine=engine, progress=False)
    assert (
        post.metrics(x, y)["nll"] < fit(model, x, y, MAP(epochs=1), engine=engine, progress=False).metrics(x, y)["nll"]
    )
    again = Posterior.load(post.save(tmp_path / "post.nc"))
    np.testing.assert_array_equal(again.predict(x).mean, post.predict(x).mean)
    assert again.model.likelihood == likelihood
    assert again.metrics(x, y) == pytest.approx(post.metrics(x, y))
    with pytest.raises(ValueError, match="y must have 200 examples, as x has, got 100"):
        post.metrics(x, y[:100])
