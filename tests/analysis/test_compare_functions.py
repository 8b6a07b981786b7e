"""compare_symmetries by Gaussian processes: exact evidences, the same words, and what it says of itself."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

import bayes_rpp as rpp
from bayes_rpp.analysis import energy_by_layer
from bayes_rpp.analysis.function_candidates import why_networks
from bayes_rpp.analysis.function_parts import part_means
from bayes_rpp.analysis.scores import Difference, difference
from bayes_rpp.analysis.symmetric_part import against_symmetric_part, is_capacity
from bayes_rpp.models.process.gaussian_process import GaussianProcess
from bayes_rpp.plots import plot_comparison

GROUPS = {"none": rpp.Trivial(3), "SO(2)": rpp.SO(2) * rpp.Trivial(1), "O(3)": rpp.O(3)}
REPS = {"rep_in": rpp.Scalar + rpp.Vector, "rep_out": rpp.Vector}
BROKEN = {"O(3)": np.zeros((3, 3)), "SO(2)": np.diag([0, 0, 1.0]), "none": [[0, 1, 0], [0.5, 0, -1], [0.5, 0, 0]]}
KEYS = {*((g, k) for g in ("SO(2)", "O(3)") for k in ("strict", "soft", "free")), ("none", "strict")}


def data(truth, n=30, seed=0, noise=0.1):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4)) * [3, 2, 2, 2]
    y = x[:, 1:] * np.tanh(x[:, :1] / 3) + x[:, 1:] @ np.transpose(BROKEN[truth])
    return x, 5 * y + noise * rng.normal(size=(n, 3))


def compare(truth, groups=GROUPS, **options):
    return rpp.compare_symmetries(*data(truth), groups, **{**REPS, "progress": False, **options})


@pytest.fixture(scope="module")
def found():
    return compare("SO(2)")


@pytest.mark.parametrize("truth", ["O(3)", "none"])  # SO(2) is `found`
def test_the_right_symmetry_is_named(truth, found):
    other = compare(truth, {k: g for k, g in GROUPS.items() if k in ("none", "O(3)" if truth == "O(3)" else "SO(2)")})
    assert other.best == truth
    assert found.best == "SO(2)"
    assert other.recommended[1] == ("strict" if truth == "O(3)" else other.recommended[1])


def test_auto_takes_functions_and_says_so(found):
    assert "Functions were compared (Gaussian processes)" in found.verdict
    assert set(found.table.index) == KEYS | {("SO(2)", "nested"), ("none", "nested")}
    for key, post in found.posteriors.items():
        assert isinstance(post.model, GaussianProcess)
        assert found.table.loc[key, "log_evidence"] == post.log_evidence
        np.testing.assert_allclose(found.table.loc[key, "elpd"], post.left_out().sum())
    assert found.table["weight"].sum() == pytest.approx(1, abs=1e-3)
    assert (found.table["pareto_k"] == 0).all()
    assert found.posteriors["none", "nested"] is found.posteriors["SO(2)", "nested"]
    assert found.posteriors["O(3)", "free"] is found.posteriors["none", "strict"]
    best = found.table["log_evidence"]
    assert best["SO(2)", "soft"] >= best["SO(2)", "strict"] - 0.1
    assert best["SO(2)", "nested"] >= best["O(3)", "soft"] - 0.1


def test_the_verdict_has_the_shares_of_a_chain(found):
    words = found.verdict
    assert "SO(2): no sign of breaking, as far as the fit can tell (own error " in words
    assert found.judgment.undecided == ("SO(2)",)
    assert "O(3) does not hold exactly" in words
    assert "sigma_b" not in words
    assert "Shares of the function in the chain O(3) > SO(2), by mean squares at these x: O(3)" in words
    sigmas = found.posteriors["SO(2)", "nested"].samples
    assert sigmas["sigma_a_1"].flat[0] > 5 * sigmas["sigma_b"].flat[0]  # the data keep SO(2) and break O(3)
    assert words.index("Doubts:") > words.index("Shares of")
    assert found.posterior() is found.posteriors["SO(2)", "nested"]


def test_shares_are_those_of_the_function_and_not_of_the_prior(found):
    for key in (("SO(2)", "nested"), ("O(3)", "soft")):
        post = found.posteriors[key]
        parts = part_means(post)
        assert parts.shape == (len(post.model.sigmas_a) + 1, 30, 3)
        np.testing.assert_allclose(parts.sum(axis=0), post.predict(post.x).mean, atol=1e-6)
    x, _ = data("SO(2)")
    broken = x[:, 1:] * [-1 / 3, -1 / 3, 2 / 3]
    kept = x[:, 1:] * (np.tanh(x[:, :1] / 3) + 1 / 3)
    share = (broken**2).sum() / (broken**2 + kept**2).sum()
    for words in ("SO(2) ", "what lies beyond the symmetry is "):
        assert float(found.verdict.split(words)[-1].split(" %")[0]) / 100 == pytest.approx(share, abs=0.06)


def test_what_a_comparison_offers_is_there_for_functions(found):
    metrics = found.metrics(*data("SO(2)", n=100, seed=9))
    assert metrics.index[0][1] == "nested"
    degree = found.degree("O(3)")
    assert set(degree.index) == {("f", "sigma_b / sigma_a"), ("function", "equivariance error")}
    assert degree.loc[("function", "equivariance error"), "median"] > 0.05
    errors = found.group_map("O(3)", n=40, draws=5)
    axis = errors.elements.axis
    z = (np.abs(axis[:, 2]) > 0.999) & ~errors.elements.reflects
    assert np.median(errors.errors, axis=0)[z].max() < 0.5 * np.median(errors.errors[:, ~z])
    axes = plot_comparison(found)
    axes[0].figure.canvas.draw()
    plt.close(axes[0].figure)
    assert "<table" in found._repr_html_()
    with pytest.raises(TypeError, match=r"post.asymmetry\(\), the sizes of the two parts of the function, would do"):
        energy_by_layer(found.posterior("O(3)"))


def test_predictions_are_in_the_units_of_the_data(found):
    x, y = data("SO(2)", n=100, seed=9)
    predicted = found.predict(x)
    post, to_x, to_y = found.posteriors[found.recommended], found.standardize_x, found.standardize_y
    assert np.sqrt(np.mean((predicted.mean - y) ** 2)) < 0.1 * y.std() < np.abs(post.predict(x).mean - y).mean()
    assert np.abs(predicted.mean - y).mean() < 3 * predicted.std.mean() < y.std()
    np.testing.assert_allclose(predicted.mean, to_y.undo(post.predict(to_x(x)).mean))
    np.testing.assert_allclose(predicted.std, to_y.scale * post.predict(to_x(x)).std)
    np.testing.assert_allclose(predicted.samples.mean(axis=(0, 1)), predicted.mean, atol=1.5)
    assert found.predict(x, samples=False).samples is None
    with pytest.raises(ValueError, match="x must have 4 columns, as the comparison's, got 3"):
        found.predict(x[:, :3])


def test_numbers_that_are_tuned_cost_half_of_log_n(found):
    strict, soft = found.scores["SO(2)", "strict"], found.scores["SO(2)", "soft"]
    assert difference(strict, soft).cost == pytest.approx(-0.5 * np.log(30))
    assert not Difference(-5.0, -9.0, 1.0, -2.5).is_worse
    assert Difference(-6.0, 1.0, 1.0, -2.5).is_worse


def test_the_symmetric_part_of_functions(found):
    kept = against_symmetric_part(found.posteriors["SO(2)", "nested"], GROUPS["SO(2)"])
    broken = against_symmetric_part(found.posteriors["SO(2)", "nested"], GROUPS["O(3)"])
    assert is_capacity(kept)
    assert not is_capacity(broken)
    strict = against_symmetric_part(found.posteriors["SO(2)", "strict"], GROUPS["SO(2)"])
    assert abs(strict.elpd) < 1.0


def test_a_symmetry_that_lets_nothing_but_zero_cannot_hold():
    x = np.random.default_rng(0).normal(size=(30, 3))
    groups = {"none": rpp.Trivial(3), "SO(2)": rpp.SO(2) * rpp.Trivial(1), "O(3)": rpp.O(3)}
    reps = {"rep_in": rpp.Vector, "rep_out": rpp.Pseudoscalar, "progress": False}
    found = rpp.compare_symmetries(x, x[:, :1], groups, **reps)
    assert "O(3) cannot hold" in found.verdict
    assert np.isfinite(found.table["log_evidence"]).all()
    zero = rpp.compare_symmetries(x, 0 * x[:, :1], groups, **reps)
    assert any("O(3) holds trivially" in doubt for doubt in zero.doubts)


def test_factors_of_products():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 6))
    reps = {"rep_in": rpp.Vector.on(0) * rpp.Vector.on(1), "rep_out": rpp.Vector.on(1), "progress": False}
    y = x[:, :3] + x[:, 3:] + 0.01 * rng.normal(size=(30, 3))
    found = rpp.compare_symmetries(x, y, {"none": rpp.Trivial(6), "both": rpp.Z(2) * rpp.O(3)}, **reps)
    assert found.best == "both"
    assert "Functions were compared" in found.verdict


def test_what_is_not_for_functions_is_said():
    y = np.zeros((40, 3))
    gaussian, groups, reps = rpp.Gaussian(0.1), {"O(3)": (rpp.O(3),)}, (rpp.Scalar + rpp.Vector, rpp.Vector)
    assert why_networks(groups, *reps, gaussian, y, []) == ""
    assert why_networks(groups, *reps, gaussian, y, ["layers"]) == "layers was given, which only networks have"
    assert (
        why_networks(groups, *reps, gaussian, y, ["layers", "starts"])
        == "layers, starts were given, which only networks have"
    )
    assert "not with StudentT" in why_networks(groups, *reps, rpp.StudentT(), y, [])
    assert "y has 6,000 numbers" in why_networks(groups, *reps, gaussian, np.zeros((2000, 3)), [])
    assert "elements of O(3) for 1,000" in why_networks(groups, *reps, gaussian, np.zeros((1000, 3)), [])
    boosts = why_networks({"Lorentz": (rpp.Lorentz(),)}, rpp.Vector, rpp.Scalar, gaussian, y, [])
    assert "functions have no average over Lorentz" in boosts
    assert "drawn at random" in why_networks({"S(7)": (rpp.S(7),)}, rpp.Vector, rpp.Vector, gaussian, y, [])
    with pytest.raises(ValueError, match="got 'functions': layers was given"):
        compare("O(3)", models="functions", layers=0)
    with pytest.raises(ValueError, match="models must be 'auto', 'functions' or 'networks', got 'gp'"):
        compare("O(3)", models="gp")


def test_a_fit_may_start_from_several_numbers():
    x, y = (v / 5 for v in data("O(3)", n=15))
    gp = GaussianProcess(**REPS, group=rpp.Trivial(3), mean=None)
    starts = [{"sigma_a": 1e-3, "noise": 1.0}, {"sigma_a": 1.0, "noise": 0.1}]
    several = rpp.fit(gp, x, y, rpp.MAP(), init=starts, progress=False)
    alone = [rpp.fit(gp, x, y, rpp.MAP(), init=start, progress=False).log_evidence for start in starts]
    assert several.log_evidence == pytest.approx(max(alone), abs=0.1)
