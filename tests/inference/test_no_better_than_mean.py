"""A fit that predicts no better than the mean of y says so, whatever the method."""

import warnings

import numpy as np
import pytest

import bayes_rpp as rpp
from bayes_rpp.inference.posterior.diagnostics import ConvergenceWarning
from bayes_rpp.inference.run.mean import warn_if_mean

RNG = np.random.default_rng(0)
X = RNG.normal(size=(20, 3)).astype("f4")
MODEL = rpp.Model(rpp.EMLP(rpp.Vector, rpp.Vector, rpp.SO(3), layers=0), likelihood=rpp.Gaussian(0.1))


def posterior(slope):
    w = np.broadcast_to(slope * np.eye(3, dtype="f4"), (1, 2, 3, 3))
    samples = {"output.weight": w, "output.bias": np.zeros((1, 2, 3), dtype="f4")}
    return rpp.Posterior(MODEL, samples, x=X, y=X)


@pytest.mark.parametrize("method", [rpp.MAP(), rpp.Laplace(epochs=0), rpp.NUTS(warmup=200), rpp.SVI()])
def test_it_is_said(method):
    with pytest.warns(ConvergenceWarning, match=r"no better than their mean: its residuals have 1\.0.* sigma_a near 1"):
        warn_if_mean(posterior(0.0), method)


@pytest.mark.parametrize(
    ("slope", "method"),
    [(0.9, rpp.MAP()), (0.0, rpp.MAP(epochs=5)), (0.0, rpp.MAP(patience=5)), (0.0, rpp.NUTS(warmup=20))],
    ids=["better", "short", "patient", "few steps of warm-up"],
)
def test_fits_that_are_better_or_short_on_purpose_are_silent(slope, method):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_if_mean(posterior(slope), method)
