"""Members that lag behind the others: named in a warning, trained again, and weighed less by the estimators."""

import warnings

import numpy as np
import pytest

import bayes_rpp as rpp
from bayes_rpp.estimators.base import stacked
from bayes_rpp.inference.optimise.lagging import lagging
from bayes_rpp.inference.posterior.diagnostics import ConvergenceWarning

pytest.importorskip("pyro")
NET = rpp.EMLP(rpp.Vector, rpp.Vector, rpp.SO(3), layers=0)
MODEL = rpp.Model(NET, sigma_b=1.0, likelihood=rpp.Gaussian(0.1))
RNG = np.random.default_rng(0)
X = RNG.normal(size=(30, 3)).astype("f4")
Y = 2 * X + 0.1 * RNG.normal(size=X.shape).astype("f4")


def ensemble(slopes):
    """Members y = s x."""
    w = np.einsum("m,ij->mij", np.asarray(slopes, dtype="f4"), np.eye(3, dtype="f4"))[None]
    samples = {"output.weight": w, "output.bias": np.zeros((1, len(slopes), 3), dtype="f4")}
    return rpp.Posterior(MODEL, samples, x=X, y=Y, method="DeepEnsemble(members=3)")


def test_members_lag_by_more_than_chance():
    scores = ensemble([2.0, 2.005, 1.0, 1.7]).log_likelihood(X, Y)[0]
    assert lagging(scores, Y.shape[1]).tolist() == [False, False, True, True]


def test_stacked_members_count_by_what_they_predict():
    found = stacked(ensemble([2.0, 2.01, 1.0]), X, Y)
    slopes = found.samples["output.weight"][0, :, 0, 0]
    assert 1.0 not in slopes
    assert set(np.round(slopes, 2)) <= {2.0, np.float32(2.01)}
    even = stacked(ensemble([2.0, 2.0]), X, Y)
    assert even.draws == 2


def fitted(restarts, **options):
    method = rpp.DeepEnsemble(members=3, epochs=2, batch_size=None, learning_rate=0.01, restarts=restarts, polish=0)
    return rpp.fit(MODEL, X, Y, method, engine="pyro", progress=False, **options)


def test_members_that_lag_are_named_or_trained_again():
    with pytest.warns(ConvergenceWarning, match=r"lag behind the best one .* validation losses .*restarts=2"):
        first = fitted(0, validation=(X, Y))
    before = first.log_likelihood(X, Y)[0].mean(axis=-1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # some may still lag
        again = fitted(4, validation=(X, Y))
    after = again.log_likelihood(X, Y)[0].mean(axis=-1)
    assert (after >= before - 1e-5).all()
    assert after.sum() > before.sum() + 1
    best = before.argmax()
    np.testing.assert_array_equal(
        again.samples["output.weight"][0, best], first.samples["output.weight"][0, best]
    )  # the best one is left as it was
    assert again.training["loss"].shape == (3, 2)
    assert np.isfinite(again.training["loss"]).all()


def test_restarts_go_with_starts_of_their_own():
    with pytest.raises(ValueError, match="restarts must be 0 where init gives the starts, got 2; init=None would do"):
        fitted(2, init={k: v[0, 0] for k, v in ensemble([1.0]).samples.items()})
    with pytest.raises(ValueError, match="restarts must be a whole number >= 0, got -1"):
        rpp.DeepEnsemble(restarts=-1)
