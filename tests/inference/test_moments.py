"""Predictions and scores in bounded memory: the same numbers, from a part of the draws and rows at a time."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bayes_rpp as rpp
from bayes_rpp.inference.posterior import metrics
from bayes_rpp.inference.posterior.moments import Moments
from bayes_rpp.models import outputs

LIKELIHOODS = [
    rpp.Gaussian(0.3),
    rpp.Gaussian(rpp.Prior("HalfNormal", {"scale": 1.0})),
    rpp.StudentT(0.3, 4.0),
    rpp.StudentT(0.3, 1.5),  # an infinite variance
    rpp.Bernoulli(),
    rpp.Categorical(),
    rpp.Poisson(),
]


def posterior(likelihood, chains=2, draws=7, rows=50, offset=0.0, center=False):
    rng = np.random.default_rng(0)
    net = rpp.EMLP(rpp.Vector, 3 * rpp.Scalar, rpp.O(3), channels=8, layers=1)
    model = rpp.Model(net, likelihood=likelihood)
    samples = {k: 0.3 * rng.normal(size=(chains, draws, *p.shape)) for k, p in net.parameters.items()}
    samples["output.bias"] += offset
    samples |= {k: np.exp(rng.normal(size=(chains, draws))) for k in model.latents}
    x = rng.normal(size=(rows, 3))
    one = {k: np.ones(()) for k in model.latents}
    y = likelihood.sample(rng, np.zeros((rows, 3)), one)
    around = {k: samples[k][:, 0] for k in net.parameters} if center else None
    return rpp.Posterior(model, samples, x=x, y=y, center=around), x, y


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=str)
def test_mean_and_std_without_samples_are_those_with_them(likelihood, center, monkeypatch):
    post, x, _ = posterior(likelihood, center=center)
    want = post.predict(x)
    for size in (1, 37, 10_000):
        monkeypatch.setattr(outputs, "NUMBERS", size)
        got = post.predict(x, samples=False)
        assert got.samples is None
        assert got.mean.dtype == want.mean.dtype
        np.testing.assert_allclose(got.mean, want.mean, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(got.std, want.std, rtol=1e-10)


@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=str)
def test_scores_do_not_depend_on_the_pieces(likelihood, monkeypatch):
    post, x, y = posterior(likelihood, rows=200)
    want, logs = post.metrics(x, y), post.log_likelihood(x, y)
    f = post.outputs(x)
    np.testing.assert_allclose(logs, likelihood.log_prob(f, y, post.latents), rtol=1e-12)
    monkeypatch.setattr(outputs, "NUMBERS", 50)
    monkeypatch.setattr(metrics, "NUMBERS", 5000)
    np.testing.assert_allclose(post.log_likelihood(x, y), logs, rtol=1e-12)
    got = post.metrics(x, y)
    assert list(got) == list(want)
    drawn = ("crps", "coverage_50", "coverage_90", "coverage_95", "calibration_error")  # other random numbers
    for name, value in want.items():
        assert got[name] == pytest.approx(value, **({"abs": 0.03, "rel": 0.05} if name in drawn else {"rel": 1e-9}))


def test_errors_and_functions_in_pieces(monkeypatch):
    post, x, _ = posterior(rpp.Gaussian(0.3))
    want, f = post.equivariance_error(x), post.function(1, 2)(x)
    monkeypatch.setattr("bayes_rpp.inference.posterior.draws.CHUNK", 7)
    np.testing.assert_allclose(post.equivariance_error(x), want, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(post.function(1, 2)(x), f, rtol=1e-12)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=6),
    st.sampled_from([0.0, 1e3, -1e6, 1e12]),
    st.sampled_from([1e-3, 1.0, 1e3]),
    st.integers(0, 2**32 - 1),
)
def test_moments_of_blocks_are_those_of_all(sizes, offset, spread, seed):
    values = offset + spread * np.random.default_rng(seed).normal(size=(sum(sizes), 2))
    moments = Moments()
    for block in np.split(values, np.cumsum(sizes)[:-1]):
        moments.add(block)
    np.testing.assert_allclose(moments.mean, values.mean(axis=0), rtol=1e-13, atol=1e-12 * spread)
    rounding = 1e-15 * abs(offset)  # of the numbers themselves
    rtol, atol = 1e-9 + 10 * rounding / spread, 10 * rounding**2
    np.testing.assert_allclose(moments.variance, values.var(axis=0), rtol=rtol, atol=atol)


def test_a_spread_beside_a_large_offset():
    post, x, _ = posterior(rpp.Gaussian(1e-6), offset=1e9)
    want = post.outputs(x).std(axis=(0, 1))
    np.testing.assert_allclose(post.predict(x, samples=False).std, want, rtol=1e-6)


def peak(function):
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.slow
def test_memory_is_a_tenth_of_what_samples_take(monkeypatch):
    post, x, _ = posterior(rpp.Gaussian(0.3), chains=1, draws=100)
    x = np.tile(x, (1000, 1))  # 100 draws of 50,000 x 3 outputs
    samples = 8 * 100 * x.size
    assert peak(lambda: post.predict(x, samples=False)) < samples / 10
    # What each draw has of each example is the answer; nothing larger may come in between.
    answer, y = 8 * 100 * len(x), np.zeros((len(x), 3))
    assert peak(lambda: post.log_likelihood(x, y)) < answer + samples / 10
    monkeypatch.setattr(metrics, "NUMBERS", 2**15)
    few, y = x[:5000], y[:5000]
    assert peak(lambda: post.metrics(few, y)) < 8 * 200 * few.size / 10


def test_estimators_predict_without_samples():
    from bayes_rpp import RPPClassifier, RPPRegressor

    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 3))
    options = {"method": rpp.SVI(epochs=2, draws=200), "channels": 4, "layers": 0, "engine": "pyro", "random_state": 0}
    model = RPPRegressor(**options).fit(x, x[:, :2])
    long = np.tile(x, (1000, 1))
    mean, std = model.predict(long, return_std=True)
    post = model.posterior_
    want = post.predict(model.standardize_x_(x))
    np.testing.assert_allclose(mean[:40], model.standardize_y_.undo(want.mean), rtol=1e-9)
    np.testing.assert_allclose(std[:40], want.std * model.standardize_y_.scale, rtol=1e-9)
    assert peak(lambda: model.predict(long, return_std=True)) < 8 * 200 * 2 * len(long) / 10
    assert peak(lambda: model.sample_y(long, n_samples=2)) < 8 * 200 * 2 * len(long) / 10
    classes = RPPClassifier(**options).fit(x, x[:, 0] > 0)
    assert peak(lambda: classes.predict_proba(long)) < 8 * 200 * 2 * len(long) / 10


def test_a_seed_needs_samples():
    post, x, _ = posterior(rpp.Gaussian(0.3))
    with pytest.raises(ValueError, match="seed must be None where samples is False, got 3"):
        post.predict(x, seed=3, samples=False)
