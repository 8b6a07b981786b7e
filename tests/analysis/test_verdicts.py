"""Verdicts that do not contradict themselves: containments, sizes of what is broken, better chains."""

from dataclasses import replace

import numpy as np
import pytest

import bayes_rpp as rpp
from bayes_rpp.analysis.broken import ErrorInterval, fit_error, least_broken, own_error, percent, soft_error
from bayes_rpp.analysis.candidates import make_candidates, with_chains
from bayes_rpp.analysis.scores import Score
from bayes_rpp.analysis.verdict import judge
from bayes_rpp.networks.groups import lies_in

ABOUT_Z = rpp.SO(2) * rpp.Trivial(1)
QUARTERS = rpp.Group(3, discrete_generators=[[[0, -1, 0], [1, 0, 0], [0, 0, 1]]], name="quarters")


def test_what_lies_in_what_is_known_from_the_groups():
    for small, large in [(ABOUT_Z, rpp.SO(3)), (rpp.SO(3), rpp.O(3)), (QUARTERS, ABOUT_Z), (rpp.Z(5), rpp.S(5))]:
        assert lies_in(small, large)
        assert not lies_in(large, small)
    sixths = rpp.D(6)
    assert lies_in(rpp.D(3), sixths)
    assert not lies_in(rpp.D(4), sixths)
    assert not lies_in(rpp.Trivial(1) * rpp.SO(2), ABOUT_Z)


def candidates(groups, network=None, layers=0):
    reps, likelihood = (rpp.Vector, rpp.Vector), rpp.Gaussian(0.1)
    given = {name: (g,) for name, g in groups.items()}
    made = make_candidates(given, *reps, channels=4, layers=layers, network=network, likelihood=likelihood)
    return {c.name: c for c in made}


def test_networks_of_other_layers_do_not_hide_what_a_group_contains():
    def network(group):
        return rpp.EMLP(rpp.Vector, rpp.Vector, group, channels=4 if group == rpp.SO(3) else 8, layers=1)

    found = candidates({"z": ABOUT_Z, "SO(3)": rpp.SO(3)}, network, layers=1)
    assert found["SO(3)"].contains == ("z",)
    assert found["z"].contains == ()


def test_chains_go_through_the_better_of_two_subgroups():
    groups = {"none": rpp.Trivial(3), "z": ABOUT_Z, "x": rpp.Trivial(1) * rpp.SO(2), "SO(3)": rpp.SO(3)}
    found = candidates(groups)
    assert found["none"].larger == ("SO(3)", "z")
    better = with_chains(found, {"none": 0.0, "z": 1.0, "x": 2.0, "SO(3)": -9.0})
    assert better["none"].larger == ("SO(3)", "x")
    assert better["none"].nested is better["x"].nested
    assert better["x"].in_chain == ("SO(3)", "x")
    assert better["none"].nested.groups == (rpp.SO(3), groups["x"])


def score(evidence):
    return Score(evidence, 0.0, 1.0, np.zeros(30), np.zeros(30), 1.0, None)


def fitted(net, x, y, sigma_b, noise):
    model = rpp.Model(net, sigma_b=sigma_b, likelihood=rpp.Gaussian(noise))
    return rpp.fit(model, x, y, rpp.Laplace(epochs=1, draws=30), engine="pyro", progress=False)


@pytest.mark.parametrize("elpd", [0.0, 500.0])  # of 90 numbers: errors of 0.24 and of 0.0009
@pytest.mark.parametrize("bend", [0.0, 0.004, 0.4])
def test_a_symmetry_that_holds_implies_those_within_and_sizes_are_said(bend, elpd):
    """Whatever the evidences are: that of z is low by a poor fit, and that of SO(3) by 13 nats."""
    pytest.importorskip("pyro")
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 3))
    y = x @ (np.eye(3) + np.diag([bend, 0, -bend])) + 1e-3 * rng.normal(size=(30, 3))
    found = candidates({"none": rpp.Trivial(3), "z": ABOUT_Z, "SO(3)": rpp.SO(3)})
    strict = [(name, "strict") for name in found]
    soft = [(name, "soft") for name in ("z", "SO(3)")]
    noise = 0.02 if bend == 0 else 1e-3
    posteriors = {key: fitted(found[key[0]].net, x, y, 0.0 if key in strict else 1.0, noise) for key in strict + soft}
    posteriors |= {(name, "free"): posteriors["none", "strict"] for name in ("z", "SO(3)")}
    scores = {key: score(-60.0) for key in posteriors}
    scores["SO(3)", "soft"], scores["SO(3)", "strict"] = score(0.0), score(0.0 if bend == 0 else -13.0)
    for key in scores:
        scores[key] = replace(scores[key], elpd=elpd)
    scores["z", "soft"], scores["z", "strict"] = score(-5.0), score(-40.0)
    verdict = judge(found, posteriors, scores, pd.DataFrame({"log_evidence": [0.0], "noise": [0.1]}))
    words = str(verdict)
    if bend == 0.4:
        assert verdict.best != "SO(3)"
        assert "SO(3) does not hold exactly: strict against SO(3), soft, log evidence -13.0" in words
        assert "How broken: its soft model breaks it by " in words
        return
    assert verdict.best == "SO(3)"
    assert set(verdict.kept) == {"none", "z", "SO(3)"}
    assert set(verdict.holds) == ({"none"} if elpd == 0 else {"none", "z", "SO(3)"})
    assert set(verdict.undecided) == ({"z", "SO(3)"} if elpd == 0 else set())
    assert "z does not hold" not in words
    assert ("SO(3)" in verdict.practical) == (bend > 0)
    start = {
        (0.0, 0.0): "SO(3): no sign of breaking, as far as the fit can tell (own error ",
        (0.0, 500.0): "SO(3) holds to 0.0",
        (0.004, 0.0): "SO(3) nearly holds, as far as the fit can tell (own error ",
        (0.004, 500.0): "SO(3) holds in practice, kept by its soft model to 0.",
    }
    assert words.startswith(start[bend, elpd])
    assert ("so that these data do not decide whether SO(3) holds" in words) == (elpd == 0)
    if bend == 0:
        assert "the strict model of z cannot carry this function as well as z, soft" in words


@pytest.mark.parametrize(("noise", "n"), [(0.0, 40), (0.2, 40)])
def test_no_breaking_is_larger_than_the_error_of_a_strict_model(noise, n):
    """Of a linear map that breaks SO(3), whose equivariance error is known from its parts."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 3))
    bend = np.diag([0.1, 0, -0.1])
    y = x @ (np.eye(3) + bend) + noise * rng.normal(size=(n, 3))
    found = rpp.compare_symmetries(x, y, {"SO(3)": rpp.SO(3)}, rep_in=rpp.Vector, rep_out=rpp.Vector, progress=False)
    key = "SO(3)", "strict"
    unseen = own_error(found.posteriors[key], found.scores[key])
    g = rpp.SO(3).sample(500, 0)
    points = rng.normal(size=(500, 3))
    a = np.einsum("kij,kj->ki", g, points) @ (np.eye(3) + bend)
    b = np.einsum("kij,kj->ki", g, points @ (np.eye(3) + bend))
    error = np.linalg.norm(a - b, axis=1) / (np.linalg.norm(a, axis=1) + np.linalg.norm(b, axis=1))
    assert 0.8 * error.mean() < unseen
    said = found.judgment.errors["SO(3)"]
    assert said.low < error.mean() < said.high
    own = fit_error(found.posteriors["SO(3)", "soft"], found.scores["SO(3)", "soft"])
    if noise == 0:
        assert unseen < 1.5 * error.mean()
        assert 0 < said.low < said.high < 0.1
        assert own < 0.02
    else:  # in which it hides
        assert unseen > noise / 2
        assert (said.low, said.high) == (0, found.judgment.unseen["SO(3)"])
        assert own < 0.5 * unseen  # noise is no doubt about the function behind it


def test_sizes_are_in_percent():
    assert [percent(p) for p in (0.00291, 0.0123, 0.663, 0)] == ["0.29 %", "1.2 %", "66 %", "0 %"]
    assert ErrorInterval(0.001, 0.0029, 0.009).is_practical
    assert not ErrorInterval(0.001, 0.0029, 0.011).is_practical
    dipole, rotation, ball = (
        ErrorInterval(0.12, 0.13, 0.14),
        ErrorInterval(0.15, 0.154, 0.16),
        ErrorInterval(0.65, 0.66, 0.67),
    )
    said = list(least_broken([("SO(3)", ball), ("rotation", rotation), ("dipole", dipole), ("sum", None)]))
    assert said == ["dipole is broken least, 13 %; then rotation (15 %), SO(3) (66 %)."]
    even = list(least_broken([("rotation", ErrorInterval(0.13, 0.15, 0.16)), ("dipole", dipole)]))
    assert even == ["dipole and rotation are broken least, and about alike, 13 %."]
    assert list(least_broken([("dipole", dipole), ("sum", None)])) == []


def test_the_interval_of_an_error_knows_that_the_examples_are_a_sample():
    errors = np.random.default_rng(0).uniform(0, 0.2, size=50)

    class Sure:  # each draw says the same
        x = np.zeros((50, 3))

        def equivariance_error(self, x):
            return np.tile(errors, (1, 2000, 1))

    z = candidates({"z": ABOUT_Z})["z"]
    found = soft_error(z, {("z", "soft"): Sure()})
    spread = 1.645 * errors.std() / np.sqrt(51)  # of a mean with weights of a flat Dirichlet distribution
    assert found.middle == pytest.approx(errors.mean(), abs=0.002)
    assert (found.low, found.high) == pytest.approx((errors.mean() - spread, errors.mean() + spread), abs=0.002)
    assert soft_error(z, {}) is None


def test_what_a_fit_is_off_widens_the_interval_of_an_error():
    """Draws are rougher than the function by what is unknown of it, or smooth a breaking away."""
    wide = ErrorInterval(0.12, 0.13, 0.14).with_error(0.09)
    assert (wide.low, wide.middle, wide.high) == pytest.approx((0.0794, 0.13, 0.1664), abs=1e-4)
    assert ErrorInterval(0.12, 0.13, 0.14).with_error(0.2).low == 0
    assert ErrorInterval(0.9, 0.95, 0.99).with_error(0.9).high == 1
