"""A noise that is inferred starts no lower than the errors of the first weights, where Adam is what moves it."""

import numpy as np
import pytest

import bayes_rpp as rpp
from bayes_rpp.inference.optimise.noises import _start

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(30, 2)), 4 + RNG.normal(size=(30, 1))
SMALL = rpp.Prior("HalfNormal", {"scale": 1.0})
STILL = {"epochs": 1, "learning_rate": 1e-12}


def fitted(method, engine, noise=SMALL, **options):
    model = rpp.Model(rpp.MLP(2, 1, rpp.Trivial(1), channels=8, layers=1), likelihood=rpp.Gaussian(noise))
    return rpp.fit(model, X, Y, method, engine=engine, progress=False, **options)


@pytest.mark.parametrize("engine", ["pyro", "numpyro"])
@pytest.mark.parametrize("method", [rpp.DeepEnsemble(members=2, **STILL), rpp.SVI(draws=1, init_scale=1e-6, **STILL)])
def test_it_starts_at_the_first_errors(engine, method):
    pytest.importorskip(engine)
    post = fitted(method, engine)
    errors = np.sqrt(((post.outputs(X) - Y) ** 2).mean(axis=(-2, -1)))
    assert errors.min() > 2
    np.testing.assert_allclose(post.samples["noise"], errors, rtol=1e-3)


def test_it_does_not_where_it_is_larger_given_or_tuned_by_the_evidence():
    pytest.importorskip("pyro")
    method = rpp.MAP(**STILL)
    large = fitted(method, "pyro", rpp.Prior("HalfNormal", {"scale": 50.0}))
    given = fitted(method, "pyro", init={k: v[0, 0] for k, v in large.samples.items()} | {"noise": 0.25})
    tuned = fitted(rpp.Laplace(evidence="maximize", every=2, polish=0, burn_in=0, draws=1, **STILL), "pyro")
    found = [float(post.samples["noise"].flat[0]) for post in (large, given, tuned)]
    np.testing.assert_allclose(found, [50.0, 0.25, 1.0], rtol=1e-5)


def test_no_further_than_its_prior_pulls_less_than_the_data():
    assert _start(0.5, 4.0, SMALL, 100) == 4.0
    assert _start(0.5, 40.0, SMALL, 100) == 10.0  # whose square is 100
    assert _start(0.5, 0.3, SMALL, 100) == _start(0.5, np.inf, SMALL, 100) == 0.5


def test_errors_of_each_likelihood():
    f, y = np.zeros((2, 3, 4)), np.array([[3.0, 1, 1, 1], [3, 2, 2, 2], [3, np.nan, np.nan, np.nan]])
    found = rpp.EnergyForces(energy=SMALL, forces=SMALL).errors(f, y)
    np.testing.assert_allclose(found["noise.energy"], [3.0, 3.0])
    np.testing.assert_allclose(found["noise.forces"], np.sqrt([2.5, 2.5]))
    np.testing.assert_allclose(rpp.StudentT(SMALL).errors(f, np.full((3, 4), 2.0))["noise"], 2.0)
    assert rpp.Poisson().errors(f, y) == {}
