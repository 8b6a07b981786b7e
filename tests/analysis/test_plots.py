import itertools

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy.stats import gaussian_kde

from bayes_rpp import MAP, SVI, DeepEnsemble, EquivarianceTracker, Model, O, PerLayer, Prior, fit
from bayes_rpp.analysis import energy_by_layer, equivariance_interval, log_error_density
from bayes_rpp.analysis.plots import log_axis
from bayes_rpp.plots import plot_asymmetry, plot_equivariance_kde, plot_equivariance_posterior
from tests.inference.known import LinearProblem

PYRO = {"engine": "pyro", "progress": False}  # it has fitted these before NumPyro has compiled


@pytest.fixture(scope="module")
def posts():
    problem = LinearProblem()
    made = {}
    for label, method in [("a", DeepEnsemble(members=4, epochs=12)), ("b", DeepEnsemble(members=3, epochs=12))]:
        tracker = EquivarianceTracker(O(3), every=2)
        made[label] = fit(problem.model, problem.x, problem.y, method, callbacks=[tracker], **PYRO)
    made["untracked"] = fit(problem.model, problem.x, problem.y, DeepEnsemble(members=2, epochs=1), **PYRO)
    tracker = EquivarianceTracker(O(3))
    made["single"] = fit(problem.model, problem.x, problem.y, MAP(epochs=1), callbacks=[tracker], **PYRO)
    return made


def test_density_integrates_to_one_and_agrees_with_scipy():
    errors = 10 ** np.random.default_rng(0).normal(-2, 0.3, size=200)
    grid, density = log_error_density(errors)
    assert np.trapezoid(density, grid) == pytest.approx(1, abs=0.02)
    np.testing.assert_allclose(density, gaussian_kde(np.log10(errors), "scott")(grid), atol=0.12)


@pytest.mark.parametrize("span", [1.05, 4, 100])
def test_labels_of_a_logarithmic_axis_do_not_overlap(span):
    figure, ax = plt.subplots(figsize=(4, 3))
    ax.plot([0.53, 0.53 * span], [0, 1])
    log_axis(ax)
    figure.canvas.draw()
    labels = [t for t in ax.get_xticklabels(which="both") if t.get_text() and t.get_visible()]
    low, high = ax.get_xlim()
    boxes = [t.get_window_extent() for t in labels if low <= t.get_position()[0] <= high]
    assert len(boxes) >= 2
    assert all(a.x1 < b.x0 for a, b in itertools.pairwise(boxes))
    plt.close(figure)


def test_plot_draws_on_the_users_axes(posts):
    figure, ax = plt.subplots()
    shown = {k: posts[k] for k in "ab"}
    assert plot_equivariance_kde(shown, ax=ax, epochs=[1, 6, 12]) is ax
    assert len(ax.get_lines()) == 6
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["a", "b"]
    x, height = ax.get_lines()[0].get_data()
    assert height.max() == pytest.approx(0.9)
    errors = posts["a"].training["equivariance_error"][:, 0]
    assert x.min() < errors.min()
    assert x.max() > errors.max()
    assert ax.get_xscale() == "log"
    plt.close(figure)


def test_five_recorded_epochs_are_chosen(posts):
    ax = plot_equivariance_kde({"a": posts["a"]})
    assert [t.get_text() for t in ax.get_yticklabels()] == ["1", "4", "6", "8", "12"]
    plt.close(ax.figure)


def test_bad_input_is_named(posts):
    for arguments, options, error, message in [
        (({},), {}, TypeError, "posteriors"),
        (({"a": 3},), {}, TypeError, r"posteriors\['a'\] must be a Posterior, got a int"),
        (
            ({"u": posts["untracked"]},),
            {},
            ValueError,
            r"posteriors\['u'\] must have the record 'equivariance_error', got 'loss'",
        ),
        (({"s": posts["single"]},), {}, ValueError, "at least 2"),
        (({"a": posts["a"]},), {"epochs": [3]}, ValueError, r"epochs must be recorded in posteriors\['a'\], got \[3\]"),
    ]:
        with pytest.raises(error, match=message):
            plot_equivariance_kde(*arguments, **options)
    with pytest.raises(ValueError, match="at least 2"):
        log_error_density([0.1, 0.1])
    with pytest.raises(ValueError, match="errors must hold finite numbers >= 0, got others"):
        log_error_density([0.1, -0.1])


@pytest.fixture(scope="module")
def learned():
    """Posteriors with a sigma_b for the network and for each layer."""
    problem, half = LinearProblem(), Prior("HalfNormal", {"scale": 0.3})
    models = {"one": Model(problem.net, sigma_b=half), "each": Model(problem.net, sigma_b=PerLayer(half))}
    method = SVI(epochs=20, draws=50)
    return {k: fit(m, problem.x, problem.y, method, progress=False) for k, m in models.items()}


def test_posterior_of_the_error_has_a_row_for_each(posts, learned):
    x = LinearProblem().x
    figure, ax = plt.subplots()
    assert plot_equivariance_posterior({"a": posts["a"], "learned": learned["one"]}, x, ax=ax) is ax
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a", "learned"]
    bar = ax.get_lines()[1].get_xdata()
    low, median, high = equivariance_interval(posts["a"].equivariance_error(x))
    np.testing.assert_allclose(bar, [low, high], rtol=1e-6)
    assert low < median < high
    plt.close(figure)


def test_asymmetry_has_a_row_for_each_layer(learned):
    ax = plot_asymmetry(learned)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["one", "each"]  # the linear network has one layer
    ratio = learned["one"].asymmetry()["output"]
    np.testing.assert_allclose(ax.get_lines()[1].get_xdata(), np.quantile(ratio, [0.05, 0.95]), rtol=1e-6)
    plt.close(ax.figure)


def test_energy_splits_each_draws_weights(posts):
    post = posts["a"]
    energy = energy_by_layer(post)
    assert list(energy) == ["output"]
    q = post.model.net.parameters["output.weight"].subspace.basis()
    w = post.samples["output.weight"].reshape(1, 4, -1)
    q_bias = post.model.net.parameters["output.bias"].subspace.basis()
    b = post.samples["output.bias"]
    inside = ((w @ q) ** 2).sum(axis=-1) + ((b @ q_bias) ** 2).sum(axis=-1)
    np.testing.assert_allclose(energy["output"].equivariant, inside, rtol=1e-5)
    whole = (w**2).sum(axis=-1) + (b**2).sum(axis=-1)
    np.testing.assert_allclose(energy["output"].residual, whole - inside, rtol=1e-4)
    np.testing.assert_allclose(energy["output"].share, 1 - inside / whole, rtol=1e-4)


def test_bad_input_to_posterior_pictures_is_named(posts, learned):
    x = LinearProblem().x
    for call, error, message in [
        (
            lambda: plot_asymmetry({"a": posts["a"]}),
            ValueError,
            r"posteriors\['a'\] must have inferred sigmas and at least 2 draws, got fixed ones",
        ),
        (lambda: plot_asymmetry({}), TypeError, "posteriors must be a dict"),
        (
            lambda: plot_equivariance_posterior({"a": 3}, x),
            TypeError,
            r"posteriors\['a'\] must be a Posterior, got a int",
        ),
        (
            lambda: plot_equivariance_posterior({"a": posts["a"]}, x[:, :3]),
            ValueError,
            "x must have 4 columns, the size of rep_in, got 3",
        ),
        (lambda: equivariance_interval(np.ones((2, 3))), ValueError, r"errors must have shape.*, got \(2, 3\)"),
        (
            lambda: equivariance_interval(np.ones((1, 2, 3)), 90),
            ValueError,
            "prob must be a number between 0 and 1, got 90",
        ),
    ]:
        with pytest.raises(error, match=message):
            call()
    plt.close("all")
