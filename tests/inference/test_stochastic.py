"""Samplers by minibatches: bias on known posteriors, resuming, cycles, chains that would diverge, and bad input."""

from functools import lru_cache

import numpy as np
import pytest
from arviz_stats.base import array_stats

from bayes_rpp import SGHMC, SGLD, DeepEnsemble, Model, Prior, fit
from bayes_rpp.inference.run.sites import Sites
from tests.inference.known import SmallLinearProblem

LIBRARIES = {"numpyro": "blackjax", "pyro": "posteriors"}
SMALL, MANY = SmallLinearProblem(), SmallLinearProblem(n=400)
pytestmark = pytest.mark.filterwarnings("ignore::bayes_rpp.inference.ConvergenceWarning")
KINDS = pytest.mark.parametrize("kind", [SGLD, SGHMC])


def run(problem, method, engine="numpyro", **options):
    pytest.importorskip(LIBRARIES[engine])
    return fit(problem.model, problem.x, problem.y, method, engine=engine, **{"progress": False} | options)


def assert_bias_is_small(problem, post, most, known=0.15):
    """Of means and standard deviations, in posterior standard deviations, beyond three Monte Carlo errors."""
    z = (problem.theta(post) - problem.mean) / np.sqrt(np.diag(problem.covariance))
    for i in range(z.shape[-1]):
        error = 1 / np.sqrt(array_stats.ess(z[..., i], method="mean"))
        assert error < known
        assert abs(z[..., i].mean()) < most + 3 * error
        assert abs(z[..., i].std() - 1) < most + 3 * error


@KINDS
def test_bias_with_minibatches_is_below_a_twentieth(kind):
    post = run(MANY, kind(4, 150, 400, batch_size=40), seed=1)
    assert_bias_is_small(MANY, post, 0.05)
    assert not post.sample_stats["diverging"].any()


def test_pyro_finds_the_same_posterior():
    assert_bias_is_small(SMALL, run(SMALL, SGHMC(24, 120, 60, thinning=3), "pyro", init=SMALL.mode), 0.1, 0.2)


def test_densities_are_the_same_in_both_engines():
    """Of weights, and of sigmas and noise with the change of variables."""
    util = pytest.importorskip("numpyro.infer.util")
    free = SmallLinearProblem(sigma_b=Prior("HalfNormal", {"scale": 0.5}), noise=Prior("HalfNormal", {"scale": 1.0}))
    start = {k: np.full(p.shape, 0.3) for k, p in free.net.parameters.items()} | {"sigma_b": 0.4, "noise": 0.7}
    method = SGLD(1, 20, 1, thinning=1, step_size=1e-12)
    sites = Sites(free.model, "whitened").values({k: np.asarray(v) for k, v in start.items()})
    sites |= {k: np.log(sites[k]) for k in free.model.latents}
    options = {"parametrization": "whitened"}
    want = util.potential_energy(free.model.numpyro, (free.x, free.y), options, sites)
    found = run(free, method, "pyro", init=start).sample_stats["lp"]
    assert found[0, 0] == pytest.approx(-float(want), rel=1e-2)


class Stop(Exception):
    pass


@pytest.mark.parametrize("engine", LIBRARIES)
def test_stopped_runs_resume_with_the_same_draws(engine, tmp_path, monkeypatch):
    pytest.importorskip(LIBRARIES[engine])
    from bayes_rpp.inference import Checkpoint
    from bayes_rpp.inference.run.checkpoint import Store

    method = SGHMC(2, 20, 9, batch_size=40, thinning=2, cycles=3)
    whole, save, saved = run(MANY, method, engine), Store.save, []

    def stop_sometimes(self, *args):
        save(self, *args)
        saved.append(1)
        if len(saved) in (2, 4):
            raise Stop

    monkeypatch.setattr(Store, "save", stop_sometimes)
    monkeypatch.setattr("bayes_rpp.inference.sample.sampling.BLOCK", 4)
    for _ in range(2):
        with pytest.raises(Stop):
            run(MANY, method, engine, checkpoint=Checkpoint(tmp_path, every=0))
    resumed = run(MANY, method, engine, checkpoint=Checkpoint(tmp_path, every=0))
    for name, w in whole.samples.items():
        np.testing.assert_array_equal(resumed.samples[name], w)
    assert resumed.sample_stats["n_steps"].shape == (2, 9)


def test_chains_start_at_members():
    ensemble = fit(SMALL.model, SMALL.x, SMALL.y, DeepEnsemble(2, None, members=2), engine="pyro", progress=False)
    near = run(SMALL, SGLD(2, 20, 1, thinning=1, step_size=1e-9), "pyro", init=ensemble)
    for name, w in ensemble.samples.items():
        np.testing.assert_allclose(near.samples[name][:, 0], w[0], atol=0.02)


@lru_cache
def cyclical(cycles):
    post = run(MANY, SGHMC(2, 20, 60, batch_size=40, thinning=2, cycles=cycles))
    return np.linalg.norm(np.diff(MANY.theta(post), axis=1), axis=-1)


def test_cycles_leave_where_they_are_and_come_back():
    jumps, usual = cyclical(3), cyclical(None)
    assert (jumps[:, [19, 39]] > 2 * np.median(usual)).all()  # between cycles
    np.testing.assert_array_equal(jumps[:, :19], usual[:, :19])  # the first is as without


def test_chains_whose_steps_are_taken_back_go_on_with_shorter_ones_and_are_named(monkeypatch):
    pytest.importorskip("posteriors")
    from bayes_rpp.inference.sample.stochastic import scale

    monkeypatch.setattr(scale, "LOST", 1e-6)  # hardly any gradient is so small
    post = run(SMALL, SGLD(2, 20, 60, thinning=2), "pyro")
    size = post.sample_stats["step_size"]
    assert (size[:, -1] < 0.5 * size[:, 0]).all()
    found = post.summary().warnings
    assert all(any(f"chain {c} froze, or nearly so" in w for w in found) for c in range(2)), found


def test_weights_are_sampled_themselves_while_sigmas_are_fixed():
    free = Model(SMALL.net, sigma_b=Prior("HalfNormal", {"scale": 1.0}))
    assert [SGHMC().parametrization(m) for m in (SMALL.model, free)] == ["weights", "whitened"]


@pytest.mark.parametrize("engine", LIBRARIES)
def test_a_missing_library_is_named_and_the_other_engine(engine, monkeypatch):
    pytest.importorskip(engine)
    other = next(e for e in LIBRARIES if e != engine)
    monkeypatch.setattr("bayes_rpp.inference.methods.stochastic.find_spec", lambda name: None)
    message = rf"SGLD in {engine} needs {LIBRARIES[engine]}: pip install .*; engine='{other}', with {LIBRARIES[other]}"
    with pytest.raises(ImportError, match=message):
        fit(SMALL.model, SMALL.x, SMALL.y, SGLD(2, 20, 5), engine=engine, progress=False)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SGLD(batch_size=0), "batch_size must be a whole number >= 1, got 0"),
        (lambda: SGLD(step_size=2.0), "step_size must be at most 1, got 2.0; 0.05 would do"),
        (lambda: SGLD(cycles=0), "cycles must be a whole number >= 1, got 0"),
        (lambda: SGLD(draws=3, cycles=4), "cycles must be at most draws, 3, got 4"),
        (lambda: SGLD(thinning=0), "thinning must be a whole number >= 1, got 0"),
        (lambda: SGHMC(friction=4.0), "friction must be less than 1 / step_size, 3.33, got 4.0"),
        (lambda: SGHMC(chain_method="batched"), "chain_method must be one of 'vectorized', .*, got 'batched'"),
    ],
)
def test_settings_out_of_range_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
