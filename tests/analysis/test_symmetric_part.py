"""Whether it is the symmetry or the network that fails: a posterior beside its own equivariant part."""

import numpy as np
import pytest

import bayes_rpp as rpp
from bayes_rpp.analysis.scores import Difference, left_out
from bayes_rpp.analysis.symmetric_part import against_symmetric_part, is_capacity


def test_leaving_one_out_in_closed_form_is_a_fit_without_it():
    """Bayesian linear regression: predictions by another linear function of the weights, without each example."""
    rng, n, k, d, s = np.random.default_rng(0), 12, 4, 2, 0.3
    f, g = rng.normal(size=(2, n, d, k))  # outputs are f w, and those of the part looked at g w
    y = rng.normal(size=(n, d))

    def posterior(rows):
        a = f[rows].reshape(-1, k)
        covariance = np.linalg.inv(np.eye(k) + a.T @ a / s**2)
        return covariance @ a.T @ y[rows].ravel() / s**2, covariance

    mean, covariance = posterior(np.arange(n))
    draws = rng.multivariate_normal(mean, covariance, size=200_000)
    outputs = [np.einsum("ndk,sk->snd", h, draws) for h in (g, f)]
    found = left_out(*outputs, y, s)
    want = np.empty(n)
    for i in range(n):
        m, c = posterior(np.delete(np.arange(n), i))
        cov = g[i] @ c @ g[i].T + s**2 * np.eye(d)
        r = y[i] - g[i] @ m
        want[i] = -0.5 * (r @ np.linalg.solve(cov, r) + np.linalg.slogdet(cov)[1] + d * np.log(2 * np.pi))
    np.testing.assert_allclose(found, want, rtol=0.02, atol=0.02)


def laplace_fit(bend, seed=0, likelihood=None, method=None):
    """A free linear model of y = 2 x + bend * (x_1, 0, 0) + noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(60, 3))
    y = 2 * x + bend * x * [1, 0, 0] + 0.1 * rng.normal(size=(60, 3))
    net = rpp.EMLP(rpp.Vector, rpp.Vector, rpp.O(3), layers=0)
    model = rpp.Model(net, sigma_b=1.0, likelihood=likelihood or rpp.Gaussian(0.1))
    method = method or rpp.Laplace(epochs=100)
    return rpp.fit(model, x, y, method, engine="pyro", progress=False)


@pytest.mark.parametrize("likelihood", [rpp.Gaussian(0.1), rpp.StudentT(0.1, df=30)], ids=["gaussian", "student-t"])
def test_the_part_with_the_symmetry_tells_a_broken_one_from_a_poor_network(likelihood):
    symmetric = [against_symmetric_part(laplace_fit(0.0, s, likelihood), rpp.O(3)) for s in range(3)]
    broken = [against_symmetric_part(laplace_fit(0.5, s, likelihood), rpp.O(3)) for s in range(3)]
    assert all(is_capacity(d) for d in symmetric), symmetric
    assert not any(is_capacity(d) for d in broken), broken
    assert all(abs(d.elpd) < 15 for d in symmetric)
    assert all(d.elpd < -100 for d in broken)


def test_what_is_asked_of_the_part():
    assert is_capacity(Difference(np.nan, -1.0, 2.0))
    assert not is_capacity(Difference(np.nan, -5.0, 2.0))
    assert not is_capacity(Difference(np.nan, -20.0, 11.0))
    assert is_capacity(Difference(np.nan, -1.4, 0.4))  # too little to matter
    assert is_capacity(Difference(np.nan, -4.0, 3.4))  # too unsure


def test_finite_groups_are_averaged_exactly():
    from bayes_rpp.analysis.symmetric_part import _symmetric

    group = rpp.S(3)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 20, 3))
    net = rpp.EMLP(rpp.Vector, rpp.Vector, group, channels=8, layers=1)
    post = rpp.fit(rpp.Model(net, sigma_b=1.0), x, y, rpp.MAP(epochs=1), engine="pyro", progress=False)
    p = rpp.Vector(group)
    g = group.elements[4]
    part, moved = (_symmetric(post, group, points, rng) for points in (post.x, (post.x @ g.T).astype("f4")))
    np.testing.assert_allclose(part @ p.rho(g).T, moved, atol=1e-5)
    assert np.abs(part - post.outputs(post.x)[0]).max() > 1e-2


def test_a_product_of_two_vectors_is_seen_to_be_symmetric_at_the_default_width():
    """Hidden layers of width 32 hold no T(3), through which two vectors would be multiplied to a T(2)."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 3))
    y = np.einsum("ni,nj->nij", x, x).reshape(30, 9) + 0.05 * rng.normal(size=(30, 9))
    method = rpp.Laplace(evidence="maximize", epochs=40, batch_size=None, draws=30, every=40, steps=2, polish=3)
    found = rpp.compare_symmetries(
        x,
        y,
        {"none": "Trivial(3)", "O(3)": rpp.O(3)},
        rep_in="Vector",
        rep_out=rpp.T(2),
        method=method,
        starts=1,
        engine="pyro",
        progress=False,
    )
    assert found.best == "O(3)"
    assert "does not hold" not in found.verdict
    assert found.table["noise"]["O(3)", "strict"] < 0.2
