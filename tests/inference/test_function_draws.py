"""Functions drawn from posteriors over functions: jointly, point by point, and beyond what is kept."""

import numpy as np
import pytest

from bayes_rpp import SO, Gaussian, GaussianProcess, StudentT
from tests.inference.test_functions import FIXED, REPS, data, run


@pytest.mark.parametrize("likelihood", [Gaussian(0.2), StudentT(0.2, 5.0)], ids=str)
def test_functions_are_drawn_together(likelihood):
    x, y = data(15)
    gp = GaussianProcess(*REPS, SO(2), sigma_a=1.0, sigma_b=0.5, **FIXED | {"likelihood": likelihood})
    post = run(gp, x, y)
    z = data(4, seed=1)[0]
    conditional = post._conditional(0)
    many = conditional.draws(z, 20_000, np.random.default_rng(0)).reshape(-1, 12)
    wanted = post.covariance(z).reshape(12, 12)
    scatter = 4 * np.sqrt((np.outer(np.diag(wanted), np.diag(wanted)) + wanted**2) / 20_000)
    assert (np.abs(np.cov(many.T) - wanted) < scatter + 1e-6).all()
    np.testing.assert_allclose(many.mean(0), post.mean_function(z).ravel(), atol=4 * np.sqrt(wanted.max() / 20_000))
    np.testing.assert_array_equal(post.outputs(z), post.outputs(z))
    assert post.outputs(z).shape == (1, 100, 4, 3)


def test_a_drawn_function_is_one_function():
    x, y = data(15)
    post = run(GaussianProcess(*REPS, SO(2), sigma_a=1.0, sigma_b=0.5, **FIXED), x, y)
    z = data(6, seed=1)[0]
    f = post.function(draw=3)
    first, rest = f(z[:2]), f(z[2:])
    np.testing.assert_allclose(np.concatenate([first, rest]), f(z), atol=1e-3)
    np.testing.assert_allclose(post.function(draw=3)(z[:2]), first, atol=1e-12)
    assert np.abs(post.function(draw=4)(z[:2]) - first).max() > 1e-3
    # Asked for one by one, it has the covariance of functions asked for at once.
    pairs = []
    for draw in range(100):
        f = post.function(draw=draw)
        pairs.append(np.concatenate([f(z[:1]), f(z[1:2])]).ravel())
    wanted = post.covariance(z[:2]).reshape(6, 6)
    spread = 5 * np.sqrt((np.outer(np.diag(wanted), np.diag(wanted)) + wanted**2) / 100)
    assert (np.abs(np.cov(np.array(pairs).T) - wanted) < spread).all()


def test_a_drawn_function_ends_as_the_mean_given_what_it_said(monkeypatch):
    x, y = data(15)
    post = run(GaussianProcess(*REPS, SO(2), sigma_a=1.0, sigma_b=0.5, **FIXED), x, y)
    z = data(60, seed=1)[0]
    f = post.function(draw=3)
    monkeypatch.setattr("bayes_rpp.models.process.sampled.MOST", 121)
    values = f(z[:30])
    with pytest.warns(UserWarning, match=r"keeps 121 numbers.*the mean given these.*post\.outputs"):
        more = f(z[30:60])  # ten of them are drawn
    values = np.concatenate([values, more[:10]])
    assert repr(f) == "SampledFunction(points=40)"
    np.testing.assert_allclose(f(z[50:]), more[20:], atol=1e-12)  # as before, and no word again
    np.testing.assert_allclose(f(z[:40]), values, atol=1e-3)
    # The mean given its values and the data: in their joint covariance.
    mean, joint = post.mean_function(z).ravel(), post.covariance(z).reshape(180, 180)
    wanted = mean[120:] + joint[120:, :120] @ np.linalg.solve(
        joint[:120, :120] + 1e-10 * np.eye(120), values.ravel() - mean[:120]
    )
    np.testing.assert_allclose(more[10:].ravel(), wanted, atol=1e-3)
