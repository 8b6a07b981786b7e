"""Microcanonical samplers: known posteriors, chains that would freeze, ensembles, resuming, and bad input."""

import re
from functools import lru_cache

import numpy as np
import pytest
from arviz_stats.base import array_stats

from bayes_rpp import MCLMC, MILE, DeepEnsemble, Gaussian, Model, Prior, fit
from tests.inference.known import Funnel, LinearProblem, Slope, SmallLinearProblem

pytest.importorskip("blackjax")
jax = pytest.importorskip("jax")
SMALL = SmallLinearProblem()
pytestmark = pytest.mark.filterwarnings("ignore::bayes_rpp.inference.ConvergenceWarning")


def run(problem, method, **options):
    return fit(problem.model, problem.x, problem.y, method, **{"engine": "numpyro", "progress": False} | options)


TWENTY = {adjusted: MCLMC(4, 500, 1500, adjusted=adjusted) for adjusted in (False, True)}


@lru_cache
def twenty(adjusted):
    return run(LinearProblem(), TWENTY[adjusted])


def standardized(problem, post):
    return (problem.theta(post) - problem.mean) / np.sqrt(np.diag(problem.covariance))


@pytest.mark.parametrize("power", [1, 2])
def test_adjusted_chains_have_the_exact_moments(power):
    z = standardized(LinearProblem(), twenty(True)) ** power
    for i in range(z.shape[-1]):
        error = z[..., i].std() / np.sqrt(array_stats.ess(z[..., i], method="mean"))
        assert abs(z[..., i].mean() - (power - 1)) < 4 * error


def test_unadjusted_chains_are_biased_by_less_than_a_twentieth():
    """Of a standard deviation, beyond what is Monte Carlo error."""
    z = standardized(LinearProblem(), twenty(False))
    for values, want in ((z, 0.0), (z**2, 1.0)):
        ess = np.array([array_stats.ess(values[..., i], method="mean") for i in range(z.shape[-1])])
        assert (np.abs(values.mean(axis=(0, 1)) - want) < 0.05 + 3 * values.std(axis=(0, 1)) / np.sqrt(ess)).all()
    assert np.abs(z.std(axis=(0, 1)).mean() - 1) < 0.02
    assert array_stats.rhat(z[..., 0]) < 1.02
    assert twenty(False).summary().warnings == []


@pytest.mark.parametrize("adjusted", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_numbers_are_inferred_beside_weights(adjusted):
    """A funnel in two numbers, within a fifth of a standard deviation: too few for the theory, which is of many."""
    problem = Funnel()
    post = run(problem, MCLMC(4, 500, 2000, adjusted=adjusted, energy_error=1e-4))
    found = problem.quantities(post)
    assert found["log sigma"].mean() == pytest.approx(problem.expected["log sigma"], abs=0.2)
    assert found["w"].mean() == pytest.approx(problem.expected["w"], abs=0.2)


def test_a_chain_that_would_freeze_goes_on_and_is_named():
    """With a step size that is far too large, all steps are taken back until it has become shorter."""
    post = run(SMALL, MCLMC(2, 20, 300, step_size=300.0))
    size = post.sample_stats["step_size"]
    assert (size[:, -1] < 0.1 * size[:, 0]).all()
    assert (np.abs(np.diff(SMALL.theta(post)[:, -50:], axis=1)).max(axis=(1, 2)) > 0.01).all()
    assert post.sample_stats["diverging"].mean(axis=1).max() > 0
    found = post.summary().warnings
    assert all(any(re.search(f"chain {c} froze, or nearly so", w) for w in found) for c in range(2)), found


def test_chains_start_at_members_and_an_ensemble_is_the_same_in_one_call(caplog):
    train = {"members": 2, "epochs": 5, "batch_size": None}
    sample = {"warmup": 20, "draws": 10}
    ensemble = run(SMALL, DeepEnsemble(**train), seed=3)
    with jax.log_compiles():
        both = run(SMALL, MCLMC(2, **sample), init=ensemble, seed=3)
    assert caplog.text.count("Compiling jit(block)") == 1  # and not once more for a state of other types
    one = run(SMALL, MILE(**train, **sample), seed=3)
    for name, w in both.samples.items():
        np.testing.assert_allclose(one.samples[name], w, rtol=1e-4, atol=1e-5)
    assert one.method.startswith("MILE(members=2")
    np.testing.assert_allclose(one.training["loss"], ensemble.training["loss"], rtol=1e-6)
    near = run(SMALL, MCLMC(2, 20, 1, step_size=300.0), init=ensemble)  # whose steps are all taken back
    np.testing.assert_allclose(near.samples["output.weight"][:, 0], ensemble.samples["output.weight"][0], atol=0.01)


class Stop(Exception):
    pass


@pytest.mark.parametrize(
    ("problem", "method", "block", "killed"),  # draws at a time, and the block that is not finished
    [
        (LinearProblem(), TWENTY[False], 90, 7),
        pytest.param(LinearProblem(), TWENTY[True], 90, 7, marks=pytest.mark.slow),
        pytest.param(
            SMALL, MILE(members=2, epochs=5, batch_size=None, warmup=20, draws=30), 9, 5, marks=pytest.mark.slow
        ),
    ],
    ids=["MCLMC", "adjusted", "MILE"],
)
def test_stopped_runs_resume_with_the_same_draws(problem, method, block, killed, tmp_path, monkeypatch):
    from bayes_rpp.inference import Checkpoint
    from bayes_rpp.inference.sample.microcanonical.numpyro import Sampler

    whole = twenty(method.adjusted) if method in TWENTY.values() else run(problem, method)
    advance, calls = Sampler.advance, []

    def until_killed(self, count):
        calls.append(count)
        if len(calls) == killed:
            raise Stop
        return advance(self, min(count, block))

    monkeypatch.setattr("bayes_rpp.inference.sample.sampling.BLOCK", block)
    monkeypatch.setattr(Sampler, "advance", until_killed)
    with pytest.raises(Stop):
        run(problem, method, checkpoint=Checkpoint(tmp_path, every=0))
    monkeypatch.setattr(Sampler, "advance", advance)
    resumed = run(problem, method, checkpoint=Checkpoint(tmp_path, every=0))
    for name, w in whole.samples.items():
        np.testing.assert_array_equal(resumed.samples[name], w)


def test_pathways_are_the_default_while_sigmas_are_fixed():
    free = Model(SMALL.net, sigma_b=Prior("HalfNormal", {"scale": 1.0}))
    assert [MCLMC().parametrization(m) for m in (SMALL.model, free)] == ["pathways", "whitened"]
    assert MILE().parametrization(SMALL.model) == "pathways"


@pytest.mark.parametrize("method", [MCLMC(2, 20, 5), MILE(2, 1)])
def test_pyro_names_the_engine_that_does_it(method):
    pytest.importorskip("pyro")
    with pytest.raises(ValueError, match=r"engine must be 'numpyro' for M.*, got 'pyro'; NUTS or HMC would do"):
        run(SMALL, method, engine="pyro")


def test_one_number_is_too_few():
    model = Model(Slope(), sigma_b=0.0, likelihood=Gaussian(1.0))
    with pytest.raises(ValueError, match="method must be one for a single number to infer, got MCLMC"):
        fit(model, np.ones((3, 1)), np.ones((3, 1)), MCLMC(), engine="numpyro", progress=False)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MCLMC(chains=0), "chains must be a whole number >= 1, got 0"),
        (lambda: MCLMC(warmup=5), "warmup must be 20 or more, got 5"),
        (lambda: MCLMC(step_size=0), "step_size must be a number > 0, got 0"),
        (lambda: MCLMC(length=-1), "length must be a number > 0, got -1"),
        (lambda: MCLMC(thinning=0), "thinning must be a whole number >= 1, got 0"),
        (lambda: MCLMC(adjusted=1), "adjusted must be True or False, got 1"),
        (lambda: MCLMC(target_accept=1.0), "target_accept must be between 0 and 1, got 1.0"),
        (lambda: MCLMC(chain_method="batched"), "chain_method must be one of 'vectorized', .*, got 'batched'"),
        (lambda: MILE(members=0), "members must be a whole number >= 1, got 0"),
        (lambda: MILE(epochs=0), "epochs must be a whole number >= 1, got 0"),
    ],
)
def test_settings_out_of_range_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
