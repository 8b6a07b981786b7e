"""Outputs of all draws through the Jacobian, against those of each draw on its own."""

import numpy as np
import pytest

from bayes_rpp import EMLP, DeepEnsemble, Laplace, Model, O, Vector, fit, mixture
from bayes_rpp.analysis.outputs import errors_of, outputs_of

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(2, 12, 2))
NET = EMLP(Vector, Vector, O(2), channels=6, layers=1)


def fitted(method, engine, seed=0):
    return fit(Model(NET, sigma_b=0.2), X, Y, method, engine=engine, seed=seed, progress=False)


@pytest.mark.parametrize("rows", [5, 12, 31])
def test_those_of_linearised_networks(engine, rows):
    method = Laplace(epochs=5, draws=4)
    both = mixture([fitted(method, engine, seed) for seed in (0, 1)], within=1e9)
    x = np.random.default_rng(1).normal(size=(rows, 2))
    assert both.chains == 2
    np.testing.assert_allclose(outputs_of(both, x), both.outputs(x), atol=1e-5)
    np.testing.assert_array_equal(outputs_of(both, x, 3), outputs_of(both, x)[:, :3])
    np.testing.assert_allclose(errors_of(both, x, O(2)), both.equivariance_error(x, group=O(2)), atol=1e-6)


def test_those_of_other_methods_and_without_an_engine(engine):
    post = fitted(DeepEnsemble(members=2, epochs=1), engine)
    np.testing.assert_array_equal(outputs_of(post, X), post.outputs(X))
    np.testing.assert_allclose(errors_of(post, X, O(2)), post.equivariance_error(X, group=O(2)), atol=1e-12)
    linear = fitted(Laplace(epochs=1, draws=3), engine).replace(engine="")
    np.testing.assert_array_equal(outputs_of(linear, X), linear.outputs(X))
