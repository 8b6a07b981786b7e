"""A fit that predicts no better than the mean of y says so, whatever the method."""

import warnings

import numpy as np
import pytest

import bayes_rpp as rpp
from bayes_rpp.inference.posterior.diagnostics import ConvergenceWarning
from bayes_rpp.inference.run.mean import warn_if_mean
from bayes_rpp.models.data import check_data

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


def test_outputs_that_not_all_systems_have_do_not_hide_it():
    x = [RNG.normal(size=(n, 3)) for n in (1, 2, 3, 2, 1)]
    net = rpp.ParticleNetwork(rpp.Particles(x), out=rpp.Vector, channels=4, layers=1)
    model = rpp.Model(net, likelihood=rpp.Gaussian(0.1))
    weights = {k: np.zeros((1, 1, *p.shape), dtype="f4") for k, p in net.parameters.items()}
    rows, y = check_data(model, rpp.Particles(x), [RNG.normal(size=one.shape) for one in x])
    for method in (rpp.MAP(), rpp.DeepEnsemble(epochs=30)):
        with pytest.warns(ConvergenceWarning, match=r"no better than their mean.*batch_size below 5"):
            warn_if_mean(rpp.Posterior(model, weights, x=rows, y=y), method)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_if_mean(rpp.Posterior(model, weights, x=rows, y=y), rpp.MAP(epochs=5))


def test_energies_that_are_known_do_not_hide_forces_that_are_not():
    """A network of weights 0 says 0, which is right for the energies."""
    x = [RNG.normal(size=(3, 3)) for _ in range(5)]
    net = rpp.ParticleNetwork(rpp.Particles(x), channels=4, layers=1, conservative=True)
    model = rpp.Model(net, likelihood=rpp.EnergyForces(1.0, 1.0))
    weights = {k: np.zeros((1, 1, *p.shape), dtype="f4") for k, p in net.parameters.items()}
    rows, y = check_data(model, rpp.Particles(x), (np.zeros(5), [RNG.normal(size=one.shape) for one in x]))
    with pytest.warns(ConvergenceWarning, match="standard deviation of the forces of y"):
        warn_if_mean(rpp.Posterior(model, weights, x=rows, y=y), rpp.MAP())
