"""Stacking weights against optima that are known, and posteriors whose chains get their share."""

import numpy as np
import pytest
from scipy.stats import norm

from bayes_rpp import MAP, Gaussian, GaussianProcess, Posterior, Scalar, Trivial, fit
from bayes_rpp.inference import stacking_weights
from tests.inference.known import SmallLinearProblem

PROBLEM = SmallLinearProblem()


def test_weights_of_a_known_mixture_are_found():
    rng = np.random.default_rng(0)
    y = np.where(rng.random(20_000) < 0.7, rng.normal(-1, 1, 20_000), rng.normal(2, 0.5, 20_000))
    scores = np.stack([norm.logpdf(y, -1, 1), norm.logpdf(y, 2, 0.5), norm.logpdf(y, 9, 1)], axis=1)
    w = stacking_weights(scores)
    np.testing.assert_allclose(w, [0.7, 0.3, 0.0], atol=0.01)
    np.testing.assert_allclose(stacking_weights(scores - 1e4), w, atol=1e-4)  # densities far below what floats hold


def test_the_optimum_meets_its_conditions():
    """Each group with a weight has the same mean ratio of its density to the mixture's, one, and no other has more."""
    scores = np.random.default_rng(1).normal(size=(50, 8)) * 2
    w = stacking_weights(scores)
    ratio = (np.exp(scores) / (np.exp(scores) @ w)[:, None]).mean(axis=0)
    assert w.sum() == pytest.approx(1.0)
    assert (w >= 0).all()
    np.testing.assert_allclose(ratio[w > 1e-3], 1.0, atol=1e-3)
    assert (ratio < 1 + 1e-3).all()


def posterior(shift):
    """(chain, draw) draws around the mean, moved by so much."""
    rng, shift = np.random.default_rng(2), np.asarray(shift)
    samples = {
        k: m + 0.01 * rng.normal(size=(*shift.shape, *m.shape)) + shift.reshape(*shift.shape, *[1] * m.ndim)
        for k, m in PROBLEM.mode.items()
    }
    return Posterior(PROBLEM.model, samples, x=PROBLEM.x, y=PROBLEM.y, method="NUTS(chains=3)")


@pytest.mark.parametrize("shape", [(3, 20), (1, 3)], ids=["chains", "members"])
def test_a_group_in_a_bad_mode_gets_no_draws(shape):
    post = posterior(
        np.broadcast_to(np.array([0.0, 5.0, 0.0]).reshape(3, 1) if shape[0] == 3 else [0.0, 5.0, 0.0], shape)
    )
    stacked = post.stack(PROBLEM.x, PROBLEM.y)
    assert (stacked.chains, stacked.draws) == (1, 1000)
    assert stacked.method.startswith("NUTS(chains=3), stacked with weights ")
    assert all(np.abs(stacked.samples[k] - m).max() < 0.1 for k, m in PROBLEM.mode.items())
    logp = [p.log_predictive(PROBLEM.x, PROBLEM.y).sum() for p in (stacked, post)]
    assert logp[0] > logp[1] + 1


def functions():
    gp = GaussianProcess(
        Scalar, Scalar, Trivial(1), sigma_a=1.0, sigma_b=0.0, lengthscale=1.0, likelihood=Gaussian(0.1)
    )
    return fit(gp, np.arange(5.0)[:, None], np.arange(5.0)[:, None], MAP(), progress=False)


def test_the_weights_of_many_are_counted_in_words():
    stacked = posterior([[0.0, *[5.0] * 19]]).stack(PROBLEM.x, PROBLEM.y)
    assert stacked.method == "NUTS(chains=3), stacked with weights of 20, 1 above 0"
    assert posterior([[0.0, 5.0]]).stack(PROBLEM.x, PROBLEM.y).method.endswith("weights 1 0")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: stacking_weights(np.zeros(3)), r"log_scores must have shape \(n, groups\), got \(3,\)"),
        (lambda: stacking_weights([[-np.inf, -np.inf]]), "log_scores must be finite for some group in each row"),
        (lambda: functions().stack(np.eye(3), np.eye(3)), "several chains to weigh, got one of a GaussianProcess"),
        (lambda: posterior([[0.0]]).stack(PROBLEM.x, PROBLEM.y), "must have several chains or members to weigh"),
        (
            lambda: posterior([[0.0], [0.0]]).replace(center=PROBLEM.mode).stack(PROBLEM.x, PROBLEM.y),
            "must have draws of the network itself, got linearized ones",
        ),
    ],
)
def test_what_cannot_be_stacked_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
