import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from bayes_rpp import (
    EMLP,
    SO,
    Categorical,
    Gaussian,
    Laplace,
    Model,
    O,
    Scalar,
    T,
    Trivial,
    Vector,
    compare_symmetries,
    fit,
)
from bayes_rpp.analysis import degree_of_symmetry
from bayes_rpp.analysis.scores import Difference, difference, score
from bayes_rpp.analysis.standardize import Standardization
from bayes_rpp.plots import plot_comparison

pytest.importorskip("pyro")  # small models that Pyro fits before NumPyro has compiled
METHOD = Laplace(evidence="maximize", epochs=20, batch_size=None, draws=100, every=20, steps=10)
ABOUT_Z = SO(2) * Trivial(1)
GROUPS = {"none": Trivial(3), "SO(2)": ABOUT_Z, "SO(3)": SO(3)}
REPS = {"rep_in": Scalar + 2 * Vector, "rep_out": Vector}
MATRICES = {
    "SO(3)": np.eye(3),
    "SO(2)": np.diag([1.0, 1.0, 1.6]),
    "none": np.array([[1.0, 0.4, 0.0], [0.2, 0.7, -0.5], [0.3, -0.2, 1.4]]),
}


def data(truth, n=80, seed=0, noise=0.1):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 7)) * [3.0, *[2.0] * 6]
    return x, 5 * (x[:, 1:4] - 0.5 * x[:, 4:]) @ MATRICES[truth].T + noise * rng.normal(size=(n, 3))


def linear(truth, seed=0, groups=GROUPS, **options):
    x, y = data(truth, seed=seed)
    options = {"method": METHOD, "engine": "pyro", "progress": False, "starts": 1} | options
    return compare_symmetries(x, y, groups, **REPS, layers=0, seed=seed, **options)


@pytest.fixture(scope="module")
def found():
    return linear("SO(2)")


def exact_evidence(model, x, y, noise):
    """log p(y | x) of y = W x + b, in closed form."""
    d, n = y.shape[1], len(x)
    features = np.concatenate([np.kron(x, np.eye(d)), np.tile(np.eye(d), (n, 1))], axis=1)
    w, b = (model.priors[k].covariance() for k in ("output.weight", "output.bias"))
    order = np.arange(d * x.shape[1]).reshape(d, -1).T.ravel()  # vec by rows -> by columns, as in kron
    prior = np.zeros((features.shape[1],) * 2)
    prior[: len(w), : len(w)], prior[len(w) :, len(w) :] = w[np.ix_(order, order)], b
    covariance = features @ prior @ features.T + noise**2 * np.eye(n * d)
    return multivariate_normal(np.zeros(n * d), covariance).logpdf(y.ravel())


@pytest.mark.parametrize("truth", ["SO(3)", pytest.param("none", marks=pytest.mark.slow)])  # SO(2) is `found`
def test_the_right_symmetry_of_linear_maps_is_named(truth, found):
    assert linear(truth, 1).best == truth
    assert found.best == "SO(2)"


def _tuned(sigmas, post):
    """One sigma of a linear network, as it was tuned."""
    found = sigmas["output.weight"]
    return float(post.samples[found].flat[0]) if isinstance(found, str) else found


def test_evidence_is_the_exact_one_of_linear_models(found):
    for (name, kind), post in found.posteriors.items():
        noise = float(post.samples["noise"].flat[0])
        sigmas = [*post.model.sigmas_a, post.model.sigma_b]
        *a, b = [_tuned(s, post) for s in sigmas]
        fixed = Model(post.model.net, sigma_a=a if len(a) > 1 else a[0], sigma_b=b, likelihood=Gaussian(noise))
        exact = exact_evidence(fixed, post.x, post.y, noise)
        assert found.table.loc[(name, kind), "log_evidence"] == pytest.approx(exact, abs=0.05), (name, kind)


def test_table_verdict_and_recommendation(found):
    assert set(found.table.index) == {
        ("none", "strict"), *((g, k) for g in ("SO(2)", "SO(3)") for k in ("strict", "soft", "free")),
        ("SO(2)", "nested"), ("none", "nested"),
    }  # fmt: skip
    assert found.table["d_evidence"].max() == 0
    assert found.table["log_evidence"].is_monotonic_decreasing
    assert found.table["weight"].sum() == pytest.approx(1, abs=1e-3)
    assert found.scores["SO(3)", "free"] is found.scores["SO(2)", "free"]
    assert found.table.loc[("SO(2)", "strict"), "error"] < 1e-5
    assert "SO(2) holds to" in found.verdict
    assert "SO(3) does not hold exactly" in found.verdict
    assert "How broken" in found.verdict
    assert found.verdict.index("Doubts:") > 0
    assert found.candidates["SO(3)"].contains == ("none", "SO(2)")
    assert found.recommended[0] in ("SO(2)", "SO(3)")
    assert found.posterior("none", "soft") is found.posteriors["none", "strict"]
    assert found.posterior() is found.posteriors["SO(2)", "nested"]
    assert found.posterior("SO(3)") is found.posteriors["SO(3)", "soft"]
    assert str(found.best) in str(found)


def test_classes_are_compared_by_networks():
    """Strict and free models of classes have no number to tune, and no own error in units of the outputs."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 3))
    labels = (x[:, 2:] + 0.2 * rng.normal(size=(80, 1)) > 0).astype(int)
    groups = {"none": Trivial(3), "about z": ABOUT_Z}
    found = compare_symmetries(
        x, labels, groups, rep_in=Vector, rep_out=2 * Scalar, likelihood=Categorical(), layers=0, method=METHOD,
        engine="pyro", progress=False,
    )  # fmt: skip
    assert found.best == "about z"
    assert "about z: no sign of breaking: its strict model" in found.verdict
    assert "no own error to go by, so that these data do not decide whether about z holds" in found.verdict
    assert "any size" not in found.verdict
    predicted = found.predict(x)
    assert predicted.mean.shape == (80, 2)
    np.testing.assert_allclose(predicted.mean.sum(axis=1), 1)
    assert (predicted.mean.argmax(axis=1) == labels[:, 0]).mean() > 0.85


def test_held_out_scores_and_the_map_agree_with_the_answer(found):
    metrics = found.metrics(*data("SO(2)", n=200, seed=9))
    assert metrics.loc[("SO(2)", "nested"), "nll"] <= metrics["nll"].min() + 0.02 * abs(metrics["nll"].min())
    errors = found.group_map("SO(3)", n=60, draws=5)
    z = np.abs(errors.elements.axis[:, 2]) > 0.999
    assert np.median(errors.errors, axis=0)[z].max() < 0.3 * np.median(errors.errors[:, ~z])
    degree = found.degree("SO(3)")
    assert (degree["low"] <= degree["high"]).all()
    assert {("output", "sigma_b / sigma_a"), ("output", "residual energy")} < set(degree.index)
    assert degree.loc[("function", "equivariance error"), "median"] > 0.05
    with pytest.raises(ValueError, match="prob must be a number between 0 and 1, got 90"):
        degree_of_symmetry(found.posterior(), data("SO(2)")[0], prob=90)


def test_nested_models_have_a_pathway_for_each_larger_candidate(found):
    assert found.candidates["SO(2)"].larger == ("SO(3)",)
    assert found.candidates["none"].larger == ("SO(3)", "SO(2)")
    assert found.candidates["SO(3)"].nested is None
    assert found.posteriors["none", "nested"] is found.posteriors["SO(2)", "nested"]
    post = found.posterior("SO(2)")
    assert post.model.net.pathways == 2
    within, beyond = (float(post.samples[f"{site}.output"].flat[0]) for site in ("sigma_a_1", "sigma_b"))
    assert within > 5 * beyond  # the data keep SO(2) and break SO(3)
    assert found.table.loc[("SO(2)", "nested"), "sigma_ratio"] < 0.1 < found.table.loc[("SO(3)", "soft"), "sigma_ratio"]
    two = linear("SO(3)", groups={"none": Trivial(3), "SO(3)": SO(3)})
    assert two.posteriors["none", "nested"] is two.posteriors["SO(3)", "soft"]
    with pytest.raises(KeyError, match="model must be one of 'strict', 'soft', 'free', got 'nested'"):
        found.posterior("SO(3)", "nested")


def test_groups_that_networks_cannot_tell_apart_are_a_doubt():
    found = linear("SO(3)", groups={"none": Trivial(3), "SO(3)": SO(3), "O(3)": O(3)})
    assert found.candidates["O(3)"].same == ("SO(3)",)
    assert found.best in ("SO(3)", "O(3)")
    assert any("cannot tell them apart" in d for d in found.doubts)


def test_without_a_trivial_group_nothing_may_hold():
    found = linear("none", groups={"SO(3)": SO(3)})
    assert found.best is None
    assert "None of the candidates holds exactly" in found.verdict
    with pytest.raises(KeyError, match="name must be given where no candidate holds"):
        found.posterior()


def test_a_small_network_is_compared_too():
    x, y = data("SO(2)", n=30)
    method = Laplace(evidence="maximize", epochs=10, draws=40, polish=1, every=5, steps=2)
    options = {"channels": 2 * Scalar + Vector, "method": method, "engine": "pyro", "progress": False, "starts": 2}
    found = compare_symmetries(x, y, {"none": Trivial(3), "SO(3)": SO(3)}, **REPS, **options)
    assert np.isfinite(found.table["log_evidence"]).all()
    assert {"layers.0", "output", "function"} == set(found.degree("SO(3)").index.get_level_values(0))
    soft = found.posterior("SO(3)", "soft")  # a chain for each start that is not clearly worse, the best first
    assert 1 <= soft.chains <= 4
    assert soft.draws == 40
    assert soft.log_evidence == found.scores["SO(3)", "soft"].log_evidence
    assert np.isfinite(found.metrics(x, y)["nll"]).all()


def test_leaving_out_in_closed_form_agrees_with_fitting_again():
    x, y = data("SO(3)", n=12)
    x, y = x / 3, y / 10
    model = Model(EMLP(**REPS, group=SO(3), layers=0), sigma_b=0.3, likelihood=Gaussian(0.1))
    method = Laplace(draws=4000, epochs=20)
    found = score(fit(model, x, y, method, engine="pyro", progress=False))
    assert found.bad > 0
    for i in np.flatnonzero(found.pareto_k > 0.7)[:3]:
        rest = np.arange(len(x)) != i
        both = exact_evidence(model, x, y, 0.1) - exact_evidence(model, x[rest], y[rest], 0.1)
        assert found.pointwise[i] == pytest.approx(both, abs=0.15 * abs(both) + 0.1)
    assert found.loo.elpd == pytest.approx(found.pointwise.sum())
    assert difference(found, found).elpd == 0


def test_too_few_draws_are_named():
    with pytest.raises(ValueError, match=r"posterior must have at least 25 draws, and better some.*, got 5"):
        linear("SO(3)", groups={"SO(3)": SO(3)}, method=Laplace(evidence="maximize", draws=5, epochs=2, polish=1))


def test_what_counts_as_worse():
    assert Difference(-31.0, 1.0, 1.0).is_worse
    assert Difference(-5.0, -1.0, 1.0).is_worse
    assert not Difference(-2.0, -9.0, 1.0).is_worse
    assert Difference(float("nan"), -9.0, 1.0).is_worse
    assert Difference(-5.0, 3.0, 1.0).disagree
    assert Difference(1.0, 1.0, 1.0).is_close
    assert str(Difference(1.0, -2.0, 0.5)) == "log evidence +1.0, LOO -2.0 ± 0.5"
    assert str(Difference(float("nan"), -2.0, 0.5)) == "LOO -2.0 ± 0.5"


def test_standardising_keeps_each_symmetry():
    rng = np.random.default_rng(0)
    rep = 2 * Scalar + Vector + T(2)
    values = rng.normal(size=(500, 14)) * 7 + np.arange(14)
    to = Standardization.of(values, rep, [SO(3), ABOUT_Z])
    np.testing.assert_allclose(to(values)[:, :2].mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(to(values)[:, :2].std(axis=0), 1)
    assert len(set(to.scale[2:5])) == len(set(to.scale[5:])) == 1
    for g in (SO(3), ABOUT_Z):
        rho = rep(g).rho(g.sample(1, seed=0))[0]
        np.testing.assert_allclose(to(values @ rho.T), to(values) @ rho.T, atol=1e-6)
    np.testing.assert_allclose(to.undo(to(values)), values)
    assert np.isfinite(Standardization.of(np.full((5, 1), 3.0), Scalar, [SO(3)])(np.full((5, 1), 3.0))).all()


def test_picture_has_a_row_for_each_candidate(found):
    axes = plot_comparison(found)
    assert [t.get_text() for t in axes[0].get_yticklabels()] == list(GROUPS)
    assert [t.get_fontweight() for t in axes[0].get_yticklabels()] == ["normal", "bold", "normal"]
    axes[0].figure.canvas.draw()
    plt.close(axes[0].figure)


def test_bad_input_is_named(found):
    x, y = data("SO(3)")
    for call, error, message in [
        (lambda: compare_symmetries(x, y, {}, **REPS), TypeError, r"groups must be a dict, got \{\}"),
        (lambda: compare_symmetries(x, y, {"a": 3}, **REPS), TypeError, "groups must map names to Groups, got 'a': 3"),
        (
            lambda: compare_symmetries(x, y, {"a": SO(3), "b": SO(2)}, **REPS),
            ValueError,
            r"groups\['b'\] must act on the columns that groups\['a'\] acts on, got R\^2",
        ),
        (
            lambda: compare_symmetries(x[:, 1:], y, GROUPS, **REPS),
            ValueError,
            "x must have 7 columns, the size of rep_in, got 6",
        ),
        (lambda: compare_symmetries(x, y[:5], GROUPS, **REPS), ValueError, "y must have 80 examples, as x has, got 5"),
        (lambda: compare_symmetries(x[:1], y[:1], GROUPS, **REPS), ValueError, "at least 2"),
        (
            lambda: compare_symmetries(x, y, GROUPS, **REPS, starts=0),
            ValueError,
            "starts must be a whole number >= 1, got 0",
        ),
        (
            lambda: compare_symmetries(x, y, GROUPS, **REPS, network=lambda g: 3),
            TypeError,
            "network must give a Network, got a int for 'none'",
        ),
        (
            lambda: compare_symmetries(x, y, GROUPS, rep_in=3, rep_out=Vector),
            TypeError,
            "rep_in must be a representation, got 3",
        ),
        (lambda: found.posterior("SO(4)"), KeyError, "name must be one of .*, got 'SO\\(4\\)'"),
        (
            lambda: found.posterior("SO(3)", "hard"),
            KeyError,
            "model must be one of 'strict', 'soft', 'free', got 'hard'",
        ),
        (lambda: plot_comparison(3), TypeError, "found must be what compare_symmetries gives, got a int"),
        (lambda: plot_comparison(found, axes=[1, 2]), ValueError, "axes must be three, got 2"),
    ]:
        with pytest.raises(error, match=message):
            call()
