import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy.stats import gaussian_kde

from bayes_rpp import MAP, DeepEnsemble, EquivarianceTracker, O, fit, log_error_density, plot_equivariance_kde
from tests.inference.known import LinearProblem


@pytest.fixture(scope="module")
def posts():
    problem = LinearProblem()
    made = {}
    for label, method in [("a", DeepEnsemble(members=4, epochs=12)), ("b", DeepEnsemble(members=3, epochs=12))]:
        tracker = EquivarianceTracker(O(3), every=2)
        made[label] = fit(problem.model, problem.x, problem.y, method, callbacks=[tracker], progress=False)
    made["untracked"] = fit(problem.model, problem.x, problem.y, DeepEnsemble(members=2, epochs=1), progress=False)
    tracker = EquivarianceTracker(O(3))
    made["single"] = fit(problem.model, problem.x, problem.y, MAP(epochs=1), callbacks=[tracker], progress=False)
    return made


def test_density_integrates_to_one_and_agrees_with_scipy():
    errors = 10 ** np.random.default_rng(0).normal(-2, 0.3, size=200)
    grid, density = log_error_density(errors)
    assert np.trapezoid(density, grid) == pytest.approx(1, abs=0.02)
    np.testing.assert_allclose(density, gaussian_kde(np.log10(errors), "scott")(grid), atol=0.12)


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
        (({"a": 3},), {}, TypeError, "posteriors\\['a'\\] is a int"),
        (({"u": posts["untracked"]},), {}, ValueError, "no record 'equivariance_error' \\(it has 'loss'\\)"),
        (({"s": posts["single"]},), {}, ValueError, "at least 2"),
        (({"a": posts["a"]},), {"epochs": [3]}, ValueError, "epochs \\[3\\] .* recorded are \\[1, 2, 4"),
    ]:
        with pytest.raises(error, match=message):
            plot_equivariance_kde(*arguments, **options)
    with pytest.raises(ValueError, match="at least 2"):
        log_error_density([0.1, 0.1])
    with pytest.raises(ValueError, match="negative"):
        log_error_density([0.1, -0.1])
