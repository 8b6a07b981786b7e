"""Several modes of Laplace's method: members, and mixtures of fits."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import logsumexp

from bayes_rpp import (
    DeepEnsemble,
    Gaussian,
    Laplace,
    Posterior,
    fit,
)
from bayes_rpp.inference.laplace.laplace import warn_of_spread
from bayes_rpp.inference.posterior.diagnostics import ConvergenceWarning
from bayes_rpp.inference.posterior.mixture import mixture
from tests.inference.laplace_cases import X, Y, half_normal, nonlinear


def modes_of_one_model():
    model = nonlinear(likelihood=Gaussian(half_normal(0.5)))
    method = Laplace(epochs=20, evidence="maximize", draws=3)
    posts = [fit(model, X, Y, method, seed=s, engine="pyro", progress=False) for s in (0, 1)]
    return sorted(posts, key=lambda p: -p.log_evidence)


def test_modes_together_are_chains_with_centres_of_their_own(tmp_path):
    posts = modes_of_one_model()
    both = mixture(posts[::-1])
    assert (both.chains, both.draws, both.log_evidence) == (2, 3, posts[0].log_evidence)
    both = Posterior.load(both.save(tmp_path / "both.nc"))
    np.testing.assert_allclose(both.outputs(X), np.concatenate([p.outputs(X) for p in posts]), atol=1e-6)
    np.testing.assert_allclose(both.function(1, 2)(X), posts[1].outputs(X)[0, 2], atol=1e-6)
    each = np.concatenate([p.log_likelihood() for p in posts])
    want = -(logsumexp(each, axis=(0, 1)) - math.log(6)).mean()
    assert both.metrics(X, Y)["nll"] == pytest.approx(want, rel=1e-5)
    assert mixture(posts[:1]) is posts[0]


def test_a_mixture_keeps_good_modes_once():
    best, other = modes_of_one_model()
    gap = best.log_evidence - other.log_evidence
    assert gap > 0.02
    assert mixture([other, best, other, best], within=gap + 0.01).chains == 2
    assert mixture([other, best], within=gap - 0.01) is best
    still = Laplace(epochs=1, learning_rate=1e-12, polish=0, draws=2)
    again = fit(best.model, X, Y, still, init=mixture([best, other]), engine="pyro")
    np.testing.assert_allclose(again.center["output.weight"], best.center["output.weight"], atol=1e-5)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (lambda p: p, TypeError, "list of Posterior"),
        (lambda p: [], ValueError, "posteriors must have at least one, got none"),
        (
            lambda p: [p, one_mode(Gaussian(half_normal(0.5)))],
            ValueError,
            "posteriors must be of one model and number of draws, got others",
        ),
        (
            lambda p: [p, one_mode(Gaussian(0.7))],
            ValueError,
            "posteriors must be of one network and likelihood, got others",
        ),
        (lambda p: [p, one_mode(Gaussian(0.5), Y + 1)], ValueError, r"posteriors must be.*, got different ones"),
        (lambda p: [p, Posterior(p.model, p.samples, x=X, y=Y, center=p.center)], ValueError, "log_evidence of None"),
        (lambda p: [p, Posterior(p.model, p.samples, x=X, y=Y, log_evidence=1.0)], ValueError, "linearized"),
    ],
)
def test_what_is_no_mixture_is_named(wrong, error, message):
    with pytest.raises(error, match=message):
        mixture(wrong(one_mode(Gaussian(0.5))))


def one_mode(likelihood, y=Y):
    method = Laplace(epochs=1, draws=3, polish=1)
    return fit(nonlinear(likelihood=likelihood), X, y, method, engine="pyro", progress=False)


@pytest.mark.parametrize("within", [-1.0, math.nan])
def test_a_mixture_within_less_than_nothing(within):
    with pytest.raises(ValueError, match="within must be a number >= 0, got"):
        mixture([one_mode(Gaussian(0.5))], within=within)


@pytest.mark.parametrize("engine", ["pyro", pytest.param("numpyro", marks=pytest.mark.slow)], indirect=True)
def test_of_several_members_the_highest_evidence_counts(engine):
    model = nonlinear(likelihood=Gaussian(half_normal(0.5)))
    method = Laplace(epochs=20, evidence="maximize", draws=3, members=3)
    post = fit(model, X, Y, method, engine=engine, progress=False)
    ends = post.training["log_evidence"][:, -1]
    assert ends.shape == (3,)
    assert np.ptp(ends) > 0.01
    assert (post.log_evidence, post.chains, post.draws) == (ends.max(), 1, 3)
    first = fit(model, X, Y, replace(method, members=1), engine=engine, progress=False)
    assert first.log_evidence == pytest.approx(ends[0], abs=0.01)


def test_each_second_member_trains_at_a_tenth_of_the_noise_and_has_it_tuned_in_the_end():
    model = nonlinear(likelihood=Gaussian(half_normal(0.5)))
    method = Laplace(epochs=20, evidence="maximize", draws=1, members=3, every=10)
    seen = []
    look = [lambda progress: seen.append(progress.posterior.samples["noise"][0].copy())]
    post = fit(model, X, Y, method, engine="pyro", callbacks=look, progress=False)
    np.testing.assert_allclose(seen[0], [0.5, 0.05, 0.5], rtol=1e-5)
    np.testing.assert_allclose(seen[-1][1], 0.05, rtol=1e-5)
    assert np.abs(seen[-1][[0, 2]] - 0.5).min() > 0.01
    assert np.isnan(post.training["log_evidence"][1, 9])
    assert 0.3 < post.samples["noise"][0, 0] < 1.5  # Y is white noise


def test_a_member_that_is_alone_at_the_highest_evidence_is_doubted():
    warn_of_spread(np.array([-29.0, -500.0, 0.0]))
    with pytest.warns(ConvergenceWarning, match=re.escape("log evidences are -31.0 -500.0 0.0. More members")):
        warn_of_spread(np.array([-31.0, -500.0, 0.0]))


def test_posteriors_without_evidence_are_all_kept():
    posts = [fit(nonlinear(), X, Y, DeepEnsemble(members=2, epochs=1), seed=s, engine="pyro") for s in (0, 1)]
    assert mixture(posts).chains == 2
