"""HMC whose chains adapt together: known posteriors, resuming, and bad input."""

from functools import lru_cache

import numpy as np
import pytest
from arviz_stats.base import array_stats

from bayes_rpp import ChEES, fit
from tests.inference.known import SmallLinearProblem

pytest.importorskip("blackjax")
jax = pytest.importorskip("jax")
SMALL = SmallLinearProblem()
METHOD = ChEES(8, 300, 300)
pytestmark = pytest.mark.filterwarnings("ignore::bayes_rpp.inference.ConvergenceWarning")


def run(method=METHOD, **options):
    return fit(SMALL.model, SMALL.x, SMALL.y, method, **{"engine": "numpyro", "seed": 1, "progress": False} | options)


whole = lru_cache(run)


def test_moments_are_exact(caplog):
    with jax.log_compiles():
        post = whole()
    assert caplog.text.count("Compiling jit(block)") <= 1  # 0 where another test was first
    z = (SMALL.theta(post) - SMALL.mean) / np.sqrt(np.diag(SMALL.covariance))
    for i in range(z.shape[-1]):
        for values, want in ((z[..., i], 0.0), (z[..., i] ** 2, 1.0)):
            error = values.std() / np.sqrt(array_stats.ess(values, method="mean"))
            assert error < 0.1
            assert abs(values.mean() - want) < 4 * error


def test_chains_share_steps_and_their_number_varies():
    stats = whole().sample_stats
    for name in ("n_steps", "step_size"):
        np.testing.assert_array_equal(np.ptp(stats[name], axis=0), 0)
    assert len(np.unique(stats["n_steps"][0])) > 1
    assert stats["acceptance_rate"].mean() == pytest.approx(0.65, abs=0.25)


class Stop(Exception):
    pass


def test_stopped_runs_resume_with_the_same_draws(tmp_path, monkeypatch):
    from bayes_rpp.inference import Checkpoint
    from bayes_rpp.inference.sample.chees.numpyro import Sampler

    want, advance, calls = whole(), Sampler.advance, []

    def until_killed(self, count):
        calls.append(count)
        if len(calls) in (5, 9):
            raise Stop
        return advance(self, min(count, 70))

    monkeypatch.setattr("bayes_rpp.inference.sample.sampling.BLOCK", 70)
    monkeypatch.setattr(Sampler, "advance", until_killed)
    for _ in range(2):
        with pytest.raises(Stop):
            run(checkpoint=Checkpoint(tmp_path, every=0))
    resumed = run(checkpoint=Checkpoint(tmp_path, every=0))
    for name, w in want.samples.items():
        np.testing.assert_array_equal(resumed.samples[name], w)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ChEES(target_accept=1.5), "target_accept must be between 0 and 1, got 1.5; 0.65 would do"),
        (lambda: ChEES(max_steps=0), "max_steps must be a whole number >= 1, got 0"),
        (lambda: ChEES(chain_method="sequential"), "chain_method must be 'vectorized' for ChEES, got 'sequential'"),
        (lambda: run(ChEES(chains=1)), "chains must be 2 or more for ChEES, which looks at many, got 1; 16 would do"),
        (lambda: run(ChEES(), engine="pyro"), "engine must be 'numpyro' for ChEES, got 'pyro'; NUTS or HMC would do"),
        (lambda: run(ChEES(), executor=Stop), "executor must be"),
    ],
)
def test_what_does_not_fit_is_named(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()
