"""What is relative does not depend on the size of what it is relative to, nor on the type of a function's values."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bayes_rpp as rpp
from bayes_rpp._numerics import norm, rms
from bayes_rpp.inference.posterior.metrics import predictive_metrics
from bayes_rpp.symmetry.equivariance import relative_gap

RNG = np.random.default_rng(0)
X = np.random.default_rng(0).normal(size=(500, 3))
SIZES = [
    (np.float16, 1.0),
    (np.float16, 1e3),
    (np.float32, 1.0),
    (np.float32, 1e20),
    (np.float32, 5e37),
    (np.float32, 1e-25),
    (np.float32, 1e-36),
    (np.float64, 1e200),
    (np.float64, 1e305),
    (np.float64, 1e-200),
    (np.float64, 1e-305),
]


def absolute(size, dtype):
    return lambda v: (size * np.abs(v)).astype(dtype)


@pytest.mark.parametrize(("dtype", "size"), SIZES)
def test_the_error_of_absolute_values(dtype, size):
    """Right in all rows: 0.7143."""
    f = absolute(size, dtype)
    e = rpp.equivariance_error(f, X, rpp.Vector, rpp.Vector, rpp.O(3))
    assert np.median(e) == pytest.approx(0.7143, abs=5e-4 if dtype is np.float16 else 5e-5)
    assert e.max() <= 1
    if dtype is not np.float16:
        np.testing.assert_allclose(
            e, rpp.equivariance_error(np.abs, X, rpp.Vector, rpp.Vector, rpp.O(3)), rtol=1e-4, atol=1e-7
        )


@pytest.mark.parametrize(("dtype", "size"), SIZES)
def test_the_map_by_element(dtype, size):
    options = {"group": rpp.O(3), "rep_in": rpp.Vector, "rep_out": rpp.Vector, "n": 12}
    found, want = (rpp.analysis.group_error_map(f, X[:40], **options) for f in (absolute(size, dtype), np.abs))
    close = {"rtol": 5e-3 if dtype is np.float16 else 1e-5}
    np.testing.assert_allclose(found.errors, want.errors, **close, atol=1e-6 if dtype is np.float16 else 1e-12)
    np.testing.assert_allclose(found.difference / size, want.difference, **close, atol=1e-3)
    assert found.spread / size == pytest.approx(want.spread, rel=5e-3)
    np.testing.assert_allclose(
        found.table["difference / spread"].sort_index(), want.table["difference / spread"].sort_index(), atol=5e-3
    )


@settings(deadline=None, max_examples=100)
@given(st.integers(-1000, 1000), st.integers(-1000, 1000), st.integers(0, 2**32 - 1))
def test_relative_gaps_of_any_size(first, second, seed):
    a, b = np.random.default_rng(seed).normal(size=(2, 5, 3))
    rho = np.broadcast_to(np.eye(3), (5, 3, 3))
    error, gap = relative_gap(rho, np.ldexp(a, first), np.ldexp(b, second))
    low = min(first, second) if abs(first - second) < 200 else None
    if low is not None:
        x, y = np.ldexp(a, first - low), np.ldexp(b, second - low)
        wanted = np.linalg.norm(x - y, axis=1)
        np.testing.assert_allclose(gap, np.ldexp(wanted, low), rtol=1e-12)
        wanted /= np.linalg.norm(x, axis=1) + np.linalg.norm(y, axis=1)
        np.testing.assert_allclose(error, wanted, rtol=1e-12)
    else:
        np.testing.assert_array_equal(error, 1.0)
    zero, _ = relative_gap(rho, 0 * a, np.ldexp(b, second))
    np.testing.assert_allclose(zero, 1.0, rtol=1e-15)
    assert relative_gap(rho, 0 * a, 0 * b)[0].tolist() == [0.0] * 5


@settings(deadline=None, max_examples=50)
@given(st.integers(-1000, 1000), st.sampled_from([None, 0, 1, (0, 1)]))
def test_norms_and_root_mean_squares(power, axis):
    a = RNG.normal(size=(4, 3))
    np.testing.assert_allclose(rms(np.ldexp(a, power), axis), np.ldexp(np.sqrt((a**2).mean(axis=axis)), power))
    np.testing.assert_allclose(norm(np.ldexp(a, power), axis), np.ldexp(np.sqrt((a**2).sum(axis=axis)), power))
    assert rms(np.zeros((4, 3)), None) == 0
    assert np.isinf(norm(np.array([np.inf, 1.0])))


def linear(size, dtype, noise):
    """A posterior of four draws of a linear map, all outputs of a size, and data."""
    rng = np.random.default_rng(1)
    w = (1 + 0.1 * rng.normal(size=(2, 2, 3, 3))) * np.eye(3)
    samples = {"output.weight": (size * w).astype(dtype), "output.bias": np.zeros((2, 2, 3), dtype)}
    model = rpp.Model(rpp.MLP(3, 3, layers=0), likelihood=rpp.Gaussian(noise))
    y = size * (X[:50] + 0.1 * rng.normal(size=(50, 3)))
    stats = {"diverging": np.zeros((2, 2), bool), "energy": np.ones((2, 2), np.float32)}
    return rpp.Posterior(model, samples, x=X[:50], y=y, sample_stats=stats)


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize(("dtype", "size"), [(np.float32, 1e20), (np.float32, 1e-20), (np.float64, 1e200)])
def test_predictions_and_their_scores(dtype, size):
    found, want = (linear(s, np.float64 if s == 1 else dtype, 0.1 * min(s, 1e100)) for s in (size, 1.0))
    p, q = (post.predict(X[:20]) for post in (found, want))
    np.testing.assert_allclose(p.mean / size, q.mean, rtol=1e-4, atol=1e-6)
    of_draws = q.samples.std(axis=(0, 1))
    wanted = np.hypot(of_draws, 0.1) if size < 1e100 else of_draws
    np.testing.assert_allclose(p.std / size, wanted, rtol=1e-4)
    np.testing.assert_allclose(
        np.array(predictive_metrics(found, found.x, found.y)["rmse"]) / size,
        predictive_metrics(want, want.x, want.y)["rmse"],
        rtol=1e-4,
    )
    if size < 1e100:
        scores = [predictive_metrics(post, post.x, post.y) for post in (found, want)]
        assert scores[0]["crps"] / size == pytest.approx(scores[1]["crps"], rel=1e-3)
        assert scores[0]["nll"] - 3 * np.log(size) == pytest.approx(scores[1]["nll"], rel=1e-3)
        assert scores[0]["coverage_90"] == scores[1]["coverage_90"]
    tables = [post.summary().table for post in (found, want)]
    np.testing.assert_allclose(tables[0] / size, tables[1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("size", [1e-20, 1e20])
def test_energies_are_counted_in_float64(size):
    net = rpp.EMLP(rpp.Vector, rpp.Vector, rpp.O(3), layers=0)
    w = np.random.default_rng(2).normal(size=(1, 5, 3, 3))
    posts = [
        rpp.Posterior(
            rpp.Model(net),
            {"output.weight": (s * w).astype(np.float32), "output.bias": np.zeros((1, 5, 3), np.float32)},
            x=X[:5],
            y=X[:5],
        )
        for s in (size, 1.0)
    ]
    shares = [rpp.analysis.energy_by_layer(post)["output"].share for post in posts]
    np.testing.assert_allclose(shares[0], shares[1], rtol=1e-5)
    assert (shares[1] > 0).all()
    degrees = [rpp.analysis.degree_of_symmetry(post, X[:10]) for post in posts]
    np.testing.assert_allclose(degrees[0], degrees[1], rtol=1e-4)
    zero = rpp.Posterior(posts[0].model, {k: 0 * v for k, v in posts[0].samples.items()}, x=X[:5], y=X[:5])
    assert rpp.analysis.energy_by_layer(zero)["output"].share.tolist() == [[0.0] * 5]


def test_densities_of_errors_that_agree():
    for errors in ([0.1, 0.1 * (1 + 1e-15), 0.1], np.full(5, 1e-12), [0.0, 1e-20]):
        with pytest.raises(ValueError, match="errors must hold at least 2 different values for a density, got 1"):
            rpp.analysis.log_error_density(errors)
    for errors in (np.float32([0.1, 0.1000001]), [0.1, 0.1 + 1e-8], np.float16([0.1, 0.2]), [0.0, 0.5]):
        grid, density = rpp.analysis.log_error_density(errors)
        assert np.trapezoid(density, grid) == pytest.approx(1, abs=1e-2)


def test_rollouts_of_any_size():
    a, b = np.random.default_rng(3).normal(size=(2, 4, 6, 2))
    for size in (1e-200, 1e200):
        assert rpp.rl.relative_error(size * a, size * b) == pytest.approx(rpp.rl.relative_error(a, b), rel=1e-12)


@pytest.mark.parametrize("size", [1e-200, 1e-30, 1e200])
def test_estimators_take_data_of_any_size(size):
    pytest.importorskip("pyro")
    y = X[:60] @ [1.0, -1.0, 0.5]
    found = [
        rpp.RPPRegressor(engine="pyro", method=rpp.MAP(epochs=20), random_state=0).fit(s * X[:60], s * y)
        for s in (size, 1.0)
    ]
    mean, std = found[0].predict(size * X[:60], return_std=True)
    wanted = found[1].predict(X[:60], return_std=True)
    np.testing.assert_allclose(mean / size, wanted[0], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(std / size, wanted[1], rtol=1e-3)
