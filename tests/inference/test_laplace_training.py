"""Laplace's method and its training: numbers tuned by the evidence, starts, polishing, files."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize

from bayes_rpp import (
    SO,
    DeepEnsemble,
    EquivarianceTracker,
    Gaussian,
    Laplace,
    Model,
    PerLayer,
    Posterior,
    fit,
)
from tests.inference.known import NOISE, LinearProblem, SmallLinearProblem
from tests.inference.laplace_cases import X, Y, exact_evidence, half_normal, nonlinear, run


@pytest.mark.parametrize("curvature", ["data", "weights"])
def test_maximised_evidence_is_the_highest_exact_one(engine, curvature):
    problem = LinearProblem()
    net, likelihood = problem.net, Gaussian(half_normal(0.8))

    def negative(logs):
        problem.model = Model(net, sigma_a=math.exp(logs[0]), sigma_b=math.exp(logs[1]))
        return -exact_evidence(problem, math.exp(logs[2]))

    best = minimize(negative, np.log([1.0, 0.2, 0.5]))
    problem.model = Model(net, sigma_a=half_normal(1.0), sigma_b=half_normal(0.1), likelihood=likelihood)
    post = run(problem, Laplace(epochs=40, evidence="maximize", curvature=curvature, draws=3), engine)
    found = [post.samples[k] for k in ("sigma_a", "sigma_b", "noise")]
    assert post.log_evidence == pytest.approx(-best.fun, abs=1e-5)
    for values, want in zip(found, np.exp(best.x), strict=True):
        np.testing.assert_allclose(values, np.full((1, 3), want), rtol=1e-3)
    assert np.isfinite(post.training["log_evidence"][0]).nonzero()[0].tolist() == [19, 39]
    assert post.summary().table.loc["sigma_b", "mean"] == pytest.approx(math.exp(best.x[1]), rel=1e-3)


def test_tuning_raises_the_evidence_of_a_network_by_layer(engine):
    model = nonlinear(sigma_b=PerLayer(half_normal(0.02)), likelihood=Gaussian(half_normal(0.1)))
    tuned = fit(model, X, Y, Laplace(epochs=30, evidence="maximize"), engine=engine, progress=False)
    numbers = {k: float(tuned.samples[k][0, 0]) for k in model.latents}
    assert set(numbers) == {"sigma_b.layers.0", "sigma_b.output", "noise"}
    fixed = fit(
        nonlinear(sigma_b=0.02, likelihood=Gaussian(0.1)), X, Y, Laplace(epochs=30), engine=engine, progress=False
    )
    assert tuned.log_evidence > fixed.log_evidence + 10
    assert 0.5 < numbers["noise"] < 1.5  # Y is white noise


def test_engines_agree():
    one, other = (
        fit(nonlinear(), X, Y, Laplace(epochs=60, draws=50), engine=e, progress=False) for e in ("numpyro", "pyro")
    )
    assert one.log_evidence == pytest.approx(other.log_evidence, abs=1e-3)
    np.testing.assert_allclose(one.samples["output.weight"], other.samples["output.weight"], atol=1e-3)


def test_kronecker_tunes_too():
    problem = LinearProblem()
    exact = run(problem, Laplace(epochs=40, draws=2)).log_evidence
    problem.model = Model(problem.net, sigma_a=1.0, sigma_b=0.2, likelihood=Gaussian(half_normal(1.0)))
    post = run(
        problem, Laplace(epochs=150, batch_size=None, learning_rate=0.1, evidence="maximize", curvature="kronecker")
    )
    assert post.log_evidence > exact - 0.3
    assert post.samples["noise"][0, 0] == pytest.approx(NOISE, rel=0.15)


def test_files_and_arviz(tmp_path):
    problem = SmallLinearProblem()
    post = run(problem, Laplace(epochs=5, draws=7))
    again = Posterior.load(post.save(tmp_path / "post.nc"))
    assert again.log_evidence == post.log_evidence
    np.testing.assert_array_equal(again.predict(problem.x).samples, post.predict(problem.x).samples)
    assert again.metrics(problem.x, problem.y) == post.metrics(problem.x, problem.y)
    assert post.to_arviz().attrs["log_evidence"] == post.log_evidence
    plain = run(problem, DeepEnsemble(members=2, epochs=1))
    assert plain.log_evidence is None
    assert Posterior.load(plain.save(tmp_path / "plain.nc")).log_evidence is None


def test_validation_patience_callbacks_and_checkpoint(engine, tmp_path):
    problem = SmallLinearProblem()
    problem.model = Model(problem.net, sigma_b=half_normal(0.2), likelihood=Gaussian(half_normal(0.5)))
    tracker, epochs = EquivarianceTracker(SO(2)), []

    def stop_once(progress):
        epochs.append(progress.epoch)
        if len(epochs) == 7:
            raise KeyboardInterrupt

    method = Laplace(epochs=12, evidence="maximize", every=4, draws=3)
    options = {"validation": (problem.x, problem.y), "checkpoint": tmp_path / "run", "callbacks": [stop_once, tracker]}
    whole = run(problem, method, engine)
    from bayes_rpp.inference import Checkpoint

    options["checkpoint"] = Checkpoint(tmp_path / "run", every=0)
    with pytest.raises(KeyboardInterrupt):
        run(problem, method, engine, **options)
    post = run(problem, method, engine, **options)
    assert epochs[7] == 7
    np.testing.assert_allclose(post.samples["output.weight"], whole.samples["output.weight"], atol=1e-6)
    assert post.log_evidence == pytest.approx(whole.log_evidence, abs=1e-6)
    assert set(post.training) == {
        "loss", "validation_loss", "equivariance_error", "log_evidence", "sigma_b", "noise"
    }  # fmt: skip
    early = run(problem, Laplace(epochs=50, patience=1, draws=3), engine, validation=(problem.x[:3], problem.y[:3] + 5))
    assert early.training["loss"].shape[1] < 50
    assert math.isfinite(early.log_evidence)


def test_a_start_is_taken():
    problem = LinearProblem()
    post = run(problem, Laplace(epochs=1, learning_rate=1e-12, polish=0, draws=2), init=problem.mode)
    assert post.log_evidence == pytest.approx(exact_evidence(problem), abs=1e-4)


def test_no_epochs_goes_on_from_a_mode(engine):
    """Exact from anywhere for a linear model; to other sigmas of a network without losing evidence."""
    problem = LinearProblem()
    post = run(problem, Laplace(epochs=0, draws=2), engine)
    assert post.log_evidence == pytest.approx(exact_evidence(problem), abs=1e-6)
    assert not post.training

    fixed = nonlinear(sigma_b=0.02, likelihood=Gaussian(0.3))
    first = fit(fixed, X, Y, Laplace(epochs=20, draws=2), engine=engine, progress=False)
    tuned = nonlinear(sigma_b=PerLayer(half_normal(0.02)), likelihood=Gaussian(half_normal(0.3)))
    further = Laplace(epochs=0, evidence="maximize", polish=20, draws=2)
    again = fit(tuned, X, Y, further, init=first, engine=engine, progress=False)
    assert again.log_evidence > first.log_evidence + 1
    still = fit(tuned, X, Y, further, init=again, engine=engine, progress=False)
    assert still.log_evidence == pytest.approx(again.log_evidence, abs=0.05)


@pytest.mark.parametrize("seed", [3, pytest.param(4, marks=pytest.mark.slow)])
def test_polishing_never_lowers_the_evidence(seed):
    """More weights than data, no noise: on the way to the highest density the evidence falls."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(12, 2))
    y = np.sin(2 * x) * x[:, ::-1]
    sigma_b = PerLayer(half_normal(0.1))
    model = nonlinear(sigma_a=[1.0, 1.0], sigma_b=sigma_b, likelihood=Gaussian(half_normal(0.3)))
    found = []
    for polish in (1, 6):
        method = Laplace(epochs=30, batch_size=None, evidence="maximize", burn_in=0, polish=polish, draws=2)
        found.append(fit(model, x, y, method, seed=seed, engine="pyro", progress=False).log_evidence)
    assert (np.diff(found) > -1e-6).all(), found


@pytest.mark.parametrize("curvature", ["auto", "kronecker"])
def test_sigmas_are_tuned_where_nothing_else_is(curvature):
    options = {"epochs": 10, "curvature": curvature, "draws": 2}
    model, fixed = nonlinear(sigma_b=PerLayer(half_normal(0.02))), nonlinear(sigma_b=0.02)
    post = fit(model, X, Y, Laplace(evidence="maximize", **options), engine="pyro", progress=False)
    same = fit(fixed, X, Y, Laplace(**options), engine="pyro", progress=False)
    assert post.log_evidence > same.log_evidence + 1
    assert "log_evidence" not in post.training


def test_sigmas_are_tuned_once_the_weights_are_at_a_mode():
    model = nonlinear(sigma_b=PerLayer(half_normal(0.02)), likelihood=Gaussian(half_normal(0.1)))
    options = {"batch_size": None, "evidence": "maximize", "draws": 2}
    late, early = (
        fit(model, X, Y, Laplace(epochs=40, burn_in=b, **options), engine="pyro", progress=False) for b in (None, 0)
    )
    for post, moved in ((late, False), (early, True)):
        start = post.training["sigma_b.output"][0, 19] == pytest.approx(0.02, rel=1e-5)
        assert start is not moved
        assert post.training["noise"][0, 19] != pytest.approx(0.1, rel=0.01)
        assert post.samples["sigma_b.output"][0, 0] != pytest.approx(0.02, rel=0.01)
