"""compare_symmetries with candidates of several groups: sums of functions with a symmetry each."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest

import bayes_rpp as rpp
from bayes_rpp.analysis.candidates import make_candidates
from bayes_rpp.analysis.function_candidates import FunctionCandidate
from bayes_rpp.analysis.function_fits import FunctionFits
from bayes_rpp.analysis.given_groups import read_groups
from bayes_rpp.plots import plot_comparison

Z, X = rpp.SO(2) * rpp.Trivial(1), rpp.Trivial(1) * rpp.SO(2)
GROUPS = {"none": rpp.Trivial(3), "about z": Z, "about x": X, "both": [Z, X]}
REPS = {"rep_in": rpp.Vector, "rep_out": rpp.Scalar}


def data(truth, n=40, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    z = np.sin(1.5 * np.hypot(x[:, 0], x[:, 1])) * (1 + x[:, 2])
    about_x = np.cos(1.5 * np.hypot(x[:, 1], x[:, 2])) * x[:, 0]
    free = np.sin(x[:, 0] * x[:, 1]) + x[:, 1] + x[:, 2] * x[:, 0]
    y = {"about z": z, "about x": about_x, "both": z + about_x, "none": free}[truth]
    return x, y[:, None] + 0.05 * rng.normal(size=(n, 1))


def compare(truth, groups=GROUPS, **options):
    return rpp.compare_symmetries(*data(truth), groups, **{**REPS, "progress": False, **options})


@pytest.fixture(scope="module")
def found():
    return compare("both")


def test_a_sum_of_two_parts_is_told(found):
    evidence = found.table["log_evidence"]
    assert found.best == "both"
    assert found.recommended[0] == "both"
    others = [evidence[key] for key in evidence.index if key[0] != "both"]
    assert evidence["both", "strict"] > max(others) + 5
    assert "So f is a sum of parts with a symmetry each: about z and about x." in found.verdict
    assert "about z does not hold exactly: strict against both, strict" in found.verdict
    assert "in the sum both = about z + about x, by mean squares at these x: about z" in found.verdict
    nll = found.metrics(*data("both", 300, seed=9))["nll"]
    assert nll.idxmin()[0] == "both"


@pytest.mark.parametrize("truth", ["about z", "about x", "none"])
def test_one_symmetry_or_none_is_not_called_mixed(truth):
    found = compare(truth)
    assert found.best == truth
    if truth == "none":
        assert "both does not hold exactly: strict against" in found.verdict
        assert "How broken: what lies beyond the sum is" in found.verdict
        return
    assert "Nor does both, which is less to ask, show one." in found.verdict
    assert "So f is a sum" not in found.verdict
    assert not any("both" in doubt for doubt in found.doubts)  # a sum with a part of nothing is the same answer
    evidence = found.table["log_evidence"]
    assert evidence["both", "strict"] > evidence[truth, "strict"] - 0.5  # as it has the other as a corner


def test_what_the_candidates_contain_and_are(found):
    candidates = found.candidates
    assert candidates["about z"].contains == candidates["about x"].contains == ("none", "both")
    assert candidates["both"].contains == ("none",)
    assert candidates["both"].kinds == ("strict", "soft", "free")
    assert candidates["none"].larger in (("about z",), ("about x",))  # chains are of single groups
    strict, soft = (found.posteriors["both", kind].model for kind in ("strict", "soft"))
    assert strict.groups == soft.groups == (Z, X)
    assert strict.sigma_b == 0
    assert {"sigma_a_0", "sigma_a_1", "sigma_b"} <= set(soft.latents)
    assert found.posteriors["both", "free"] is found.posteriors["none", "strict"]
    assert found.table.loc["both", "error"].isna().all()
    assert found.table.loc[("both", "soft"), "sigma_ratio"] < 0.1 < found.table.loc[("about z", "soft"), "sigma_ratio"]


def test_what_a_comparison_offers(found, tmp_path):
    assert found.posterior() is found.posteriors["both", "soft"]
    again = rpp.Posterior.load(found.posterior().save(tmp_path / "both.nc"))
    assert again.model.groups == (Z, X)
    assert "both" in str(found)
    assert "<table" in found._repr_html_()
    axes = plot_comparison(found)
    axes[0].figure.canvas.draw()
    assert [label.get_text() for label in axes[0].get_yticklabels() if label.get_fontweight() == "bold"] == ["both"]
    plt.close(axes[0].figure)
    for verb in (found.degree, found.group_map):
        with pytest.raises(ValueError, match="name must be of a candidate with one group, got 'both', of 2"):
            verb()
    assert len(found.degree("about z")) == 2


def test_a_part_of_nothing_is_a_doubt():
    found = compare("about z", {"none": rpp.Trivial(3), "both": ["SO(2) * Trivial(1)", "Trivial(1) * SO(2)"]})
    assert found.best == "both"
    assert any("of the sum both the part for Trivial(1) * SO(2) is next to nothing" in doubt for doubt in found.doubts)


def test_parts_that_let_nothing_but_zero_have_no_sigma():
    x = np.random.default_rng(0).normal(size=(20, 3))
    inversion = rpp.Group(3, discrete_generators=[-np.eye(3)], name="inversion")
    upright, lying = rpp.O(2) * rpp.Trivial(1), rpp.Trivial(1) * rpp.O(2)  # their mirrors turn a pseudoscalar's sign
    groups = {"none": rpp.Trivial(3), "both": [upright, inversion], "zero": [upright, lying]}
    reps = {"rep_in": rpp.Vector, "rep_out": rpp.Pseudoscalar, "progress": False}
    found = rpp.compare_symmetries(x, x[:, :1] * x[:, 1:2], groups, **reps)
    assert np.isfinite(found.table["log_evidence"]).all()
    strict = found.posteriors["both", "strict"].model
    assert strict.sigmas_a[0] == 0
    assert "sigma_a_1" in strict.latents
    assert "zero cannot hold: it makes the outputs vanish" in found.verdict
    assert "zero is worth having" not in found.verdict


def test_a_strict_model_goes_on_from_a_better_soft_one():
    x, y = data("about z")
    groups = read_groups({"about z": Z}, rpp.Vector, rpp.Scalar)
    likelihood = rpp.Gaussian(rpp.Prior("HalfNormal", {"scale": 0.3}))
    made = make_candidates(groups, rpp.Vector, rpp.Scalar, channels=8, layers=0, network=None, likelihood=likelihood)
    fits = FunctionFits(dict(FunctionCandidate.of({c.name: c for c in made}, x, y)), x, y, rpp.MAP(), 1, None, 0)
    fits.run(progress=False)
    strict, soft = ("about z", "strict"), ("about z", "soft")
    right = fits.scores[strict].log_evidence
    fits.scores[strict] = replace(fits.scores[strict], log_evidence=right - 50)  # as if it had missed its summit
    fits._exchange([soft])
    assert fits.scores[strict].log_evidence == pytest.approx(right, abs=0.1)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ([], ValueError, r"groups\['both'\] must be a Group, or a list of two or more, got \[\]"),
        (
            [Z],
            ValueError,
            r"groups\['both'\] must be a Group, or a list .*; SO\(2\) \* Trivial\(1\) without a list would",
        ),
        ([Z, rpp.SO(2)], ValueError, r"groups\['both'\]\[1\] must act on the columns that groups\['none'\] acts on"),
        ([rpp.O(3), Z], ValueError, r"groups\['both'\] must be a list of groups of which none contains .* got O\(3\)"),
        ([Z, Z], ValueError, r"groups\['both'\] must be a list of groups of which none contains another"),
        ([Z, 3], TypeError, r"groups must map names to Groups, got 'both': \[.*, or a list, would do"),
        ([Z, "SO(2"], ValueError, "'SO.2' cannot be read"),
        ([Z, rpp.Lorentz()], ValueError, "must act on the columns"),
    ],
)
def test_bad_lists_are_named(given, error, message):
    with pytest.raises(error, match=message):
        compare("both", {"none": rpp.Trivial(3), "both": given})


@pytest.mark.parametrize("options", [{"models": "networks"}, {"layers": 0}, {"likelihood": rpp.StudentT()}])
def test_networks_have_no_mixed_candidates(options):
    with pytest.raises(ValueError, match=r"groups\['both'\] must be one Group where networks are compared"):
        compare("both", **options)
