"""Summaries say what is wrong in words, and nothing where nothing is."""

import re

import numpy as np
import pytest

from bayes_rpp import EMLP, MAP, NUTS, SVI, DeepEnsemble, Gaussian, Model, O, PerLayer, Posterior, Prior, Vector, fit
from bayes_rpp.analysis import energy_by_layer
from bayes_rpp.inference import ConvergenceWarning
from tests.inference.known import LinearProblem, NestedProblem, SmallLinearProblem

STATS = ("acceptance_rate", "diverging", "energy", "lp", "n_steps", "step_size", "tree_depth")


def chains(shift=0.0, draws=500, **stats):
    """A posterior of four chains made by hand."""
    rng = np.random.default_rng(0)
    problem = SmallLinearProblem()
    theta = rng.normal(size=(4, draws, 6)) + shift * np.arange(4)[:, None, None]
    samples = {"output.weight": theta[..., :4].reshape(4, draws, 2, 2), "output.bias": theta[..., 4:]}
    made = {
        "diverging": np.zeros((4, draws), bool),
        "tree_depth": np.full((4, draws), 3),
        "energy": rng.normal(size=(4, draws)),
    }
    method = "NUTS(chains=4, max_tree_depth=10)"
    return Posterior(problem.model, samples, x=problem.x, y=problem.y, sample_stats=made | stats, method=method)


def test_good_chains_have_no_warnings():
    summary = chains().summary()
    assert summary.warnings == []
    assert list(summary.table.columns) == ["mean", "sd", "5%", "95%", "ess_bulk", "ess_tail", "r_hat"]
    assert (summary.table["r_hat"] < 1.01).all()
    assert "no problem found" in repr(summary)
    assert len(chains().summary(points=2).table) == 4  # two outputs at each point
    assert len(chains().summary(np.ones((3, 2))).table) == 6


def test_modes_that_differ_are_told_from_chains_that_have_not_mixed():
    apart = chains(shift=3.0).summary()
    assert apart.within < 1.05
    assert "while each agrees with itself" in repr(apart)
    assert "in different modes" in repr(apart)
    drifting = chains()
    w = {k: v + np.linspace(0, 5, 500).reshape(1, 500, *[1] * (v.ndim - 2)) for k, v in drifting.samples.items()}
    stats = dict(drifting.sample_stats)
    slow = Posterior(drifting.model, w, x=drifting.x, y=drifting.y, sample_stats=stats, method="NUTS()").summary()
    assert slow.within > 1.5
    assert "and with themselves (R-hat within chains is up to" in repr(slow)
    assert chains().summary().within < 1.02


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"shift": 3.0}, "R-hat is up to .* chains disagree"),
        ({"draws": 60}, "effective sample size is down to"),
        ({"diverging": np.eye(4, 500, dtype=bool)}, "4 of 2000 draws diverged"),
        ({"tree_depth": np.full((4, 500), 10)}, "100% of the draws were cut off at tree depth 10.*max_tree_depth=12"),
        (
            {"energy": np.cumsum(np.random.default_rng(0).normal(size=(4, 500)), axis=1)},
            "energy of chain . hardly changes",
        ),
        ({"energy": np.ones((4, 500))}, r"energy of chain 0 hardly changes from draw to draw \(BFMI 0.00"),
        ({"draws": 3}, "3 draws are too few"),
    ],
)
def test_each_problem_is_said_in_words(change, words):
    found = chains(**change).summary().warnings
    assert any(re.search(words, w) for w in found), found


def test_fit_warns_of_chains_that_cannot_be_trusted(engine):
    problem = SmallLinearProblem()
    with pytest.warns(ConvergenceWarning) as caught:
        post = fit(problem.model, problem.x, problem.y, NUTS(1, 20, 10), engine=engine, progress=False)
    assert any("one chain" in str(w.message) for w in caught)
    assert caught[0].filename == __file__
    assert set(post.sample_stats) == set(STATS)
    assert all(v.shape == (1, 10) for v in post.sample_stats.values())
    assert (post.sample_stats["n_steps"] < 2 ** post.sample_stats["tree_depth"]).all()


@pytest.mark.filterwarnings("ignore::bayes_rpp.inference.ConvergenceWarning")
def test_statistics_mean_the_same_on_both_engines(engine):
    problem = SmallLinearProblem(parametrization="weights")
    post = fit(problem.model, problem.x, problem.y, NUTS(1, 100, 50), engine=engine, progress=False)
    prior = sum(p.log_prob(post.samples[k].astype(float)) for k, p in problem.model.priors.items())
    joint = prior + post.log_likelihood().sum(axis=-1)
    np.testing.assert_allclose(post.sample_stats["lp"], joint, rtol=1e-3)
    # The energy is -lp and a kinetic energy of mean 3 (six numbers).
    kinetic = post.sample_stats["energy"][:, 1:] + post.sample_stats["lp"][:, :-1]
    assert kinetic.mean() == pytest.approx(3, abs=1.2)


@pytest.mark.parametrize("method", [MAP(epochs=2), DeepEnsemble(epochs=2, members=3), SVI(epochs=2, draws=30)])
def test_methods_without_chains_have_no_r_hat(method):
    problem = SmallLinearProblem()
    summary = fit(problem.model, problem.x, problem.y, method, engine="pyro", progress=False).summary()
    assert summary.warnings == []
    assert "r_hat" not in summary.table
    assert "no Markov chains" in repr(summary)


def test_sigmas_are_in_the_summary_by_layer():
    net = EMLP(Vector, Vector, O(3), channels=8, layers=1)
    half = Prior("HalfNormal", {"scale": 0.3})
    model = Model(net, sigma_b=PerLayer(half), likelihood=Gaussian(half))
    x = np.random.default_rng(0).normal(size=(10, 3))
    post = fit(model, x, x, SVI(epochs=3, draws=10), engine="pyro", progress=False)
    names = set(post.summary(points=1).table.index)
    assert {"sigma_b.layers.0", "sigma_b.output", "noise", "sigma_b / sigma_a, layers.0", "f(x[0])[2]"} <= names
    ratio = post.asymmetry()
    np.testing.assert_allclose(ratio["output"], post.samples["sigma_b.output"], rtol=1e-6)
    problem = LinearProblem()
    fixed = fit(problem.model, problem.x, problem.y, MAP(epochs=1), engine="pyro", progress=False)
    np.testing.assert_allclose(fixed.asymmetry()["output"], 0.2)


def test_asymmetry_and_energy_of_nested_pathways():
    half = Prior("HalfNormal", {"scale": 1.0})
    problem = NestedProblem()
    model = Model(problem.net, sigma_a=[1.0, half], sigma_b=half)
    small, large = problem.net.parameters["output.weight"].subspace.levels
    rng = np.random.default_rng(0)
    w = large.decode(rng.normal(size=(1, 3, large.rank)))
    samples = {"output.weight": w, "output.bias": np.zeros((1, 3, 2))}
    samples |= {"sigma_a_1": np.full((1, 3), 0.3), "sigma_b": np.full((1, 3), 0.4)}
    post = Posterior(model, samples, x=problem.x, y=problem.y)
    np.testing.assert_allclose(post.asymmetry()["output"], np.hypot(0.3, 0.4))
    np.testing.assert_allclose(post.asymmetry(pathway=1)["output"], 0.4 / np.hypot(1.0, 0.3))
    with pytest.raises(ValueError, match="pathway must be a number from 0 to 1, got 2"):
        post.asymmetry(pathway=2)
    energy = energy_by_layer(post)["output"]
    np.testing.assert_allclose(energy.equivariant, (small.project(w) ** 2).sum(axis=(-1, -2)))
    np.testing.assert_allclose(energy.equivariant + energy.residual, (w**2).sum(axis=(-1, -2)))
