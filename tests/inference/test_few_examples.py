"""Posteriors over functions of few examples and of no rows, and of groups that allow the same functions."""

import numpy as np
import pytest

import bayes_rpp as rpp
from bayes_rpp import EMLP, MAP, SO, GaussianProcess, Model, O, Posterior, Scalar, Trivial, Vector, fit

REPS = (Scalar + Vector, Vector)


def data(n):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 4))
    return x, x[:, 1:] * np.tanh(x[:, :1]) + 0.1 * rng.normal(size=(n, 3))


@pytest.fixture(scope="module")
def fits():
    x, y = data(20)
    functions = fit(GaussianProcess(*REPS, SO(2) * Trivial(1), kernel=rpp.kernels.RBF()), x, y, MAP(), progress=False)
    net = Model(EMLP(*REPS, SO(3), channels=8, layers=1))
    return {"functions": functions, "network": fit(net, x, y, MAP(epochs=2), engine="pyro", progress=False)}


@pytest.mark.parametrize("kind", ["functions", "network"])
def test_no_rows_are_predicted_as_no_rows(fits, kind):
    post, none = fits[kind], np.empty((0, 4))
    lead = (post.chains, post.draws)
    for p in (post.predict(none), post.predict(none, seed=0)):
        assert p.mean.shape == p.std.shape == (0, 3)
        assert p.samples.shape == (*lead, 0, 3)
    assert post.predict(none, samples=False).mean.shape == (0, 3)
    assert post.function()(none).shape == (0, 3)
    assert post.outputs(none).shape == (*lead, 0, 3)
    if kind == "functions":
        assert post.covariance(none).shape == (0, 3, 0, 3)


@pytest.mark.parametrize("kind", ["functions", "network"])
def test_a_folder_that_is_not_there_is_made(fits, kind, tmp_path):
    post = fits[kind]
    path = post.save(tmp_path / "new" / "folder" / "post.nc")
    np.testing.assert_array_equal(Posterior.load(path).predict(post.x).mean, post.predict(post.x).mean)


@pytest.mark.parametrize("kind", ["functions", "network"])
def test_a_group_on_another_space_says_what_would_do(fits, kind):
    post = fits[kind]
    words = r"group must act on R\^3, as .*O\(2\) on R\^2.*O\(2\) \* Trivial\(1\) would do"
    with pytest.raises(ValueError, match=words):
        post.equivariance_error(post.x, group=O(2))
    assert post.equivariance_error(post.x, group=O(2) * Trivial(1)).shape == (post.chains, post.draws, 20)


def test_functions_show_no_epochs(fits):
    assert "MAP()" in repr(fits["functions"])
    assert "epochs" not in repr(fits["functions"]) + fits["functions"]._repr_html_()


def test_few_examples_warn_of_being_too_sure():
    gp = GaussianProcess(*REPS, SO(2) * Trivial(1), kernel=rpp.kernels.RBF())
    x, y = data(8)
    with pytest.warns(UserWarning, match=r"8 examples, by which the model's 5 numbers are hardly known.*rpp.NUTS\(\)"):
        fit(gp, x, y, MAP(), progress=False)


def test_groups_that_allow_the_same_functions_are_found():
    """Of one vector those of O(3) and of SO(3) are f(|v|) v."""
    x, y = data(20)
    known = {"kernel": rpp.kernels.RBF(), "sigma_a": [1.0, 1.0], "lengthscale": 2.0, "likelihood": rpp.Gaussian(0.1)}
    for group, alike in (([O(3), SO(3)], [0, 0, 2]), ([SO(3), SO(2) * Trivial(1)], [0, 1, 2])):
        for sigma_b in (0.0, 0.1):
            gp = GaussianProcess(Vector, Vector, group, **known, sigma_b=sigma_b, mean_size=1.0)
            assert fit(gp, x[:, 1:], y, MAP(), progress=False).alike_pathways() == alike


def test_they_have_one_share_together():
    x, y = data(20)
    v = x[:, 1:]
    candidates = {"O(3)": O(3), "SO(3)": SO(3)}
    y = v * np.tanh((v**2).sum(1, keepdims=True)) + 0.1 * y
    found = rpp.compare_symmetries(v, y, candidates, rep_in=Vector, rep_out=Vector, models="functions")
    assert "O(3) and SO(3) (the same functions here) " in found.verdict
