"""Products of Jacobians of dense layers by their two sides are those by their entries."""

import numpy as np
import pytest

import bayes_rpp as rpp
from bayes_rpp.inference.curvature.full import DataSpace
from bayes_rpp.inference.curvature.linearisation import Coordinates, Linearization
from bayes_rpp.inference.curvature.outer import add_gram


def outer(rng, n=5, d=2, rows=3, columns=20):
    entering = rng.normal(size=(n, 1, 1, columns))
    entering[0] = 0.0  # an example that a layer does not see
    return rng.normal(size=(n, d, rows, 1)) * entering


def test_outer_products_are_multiplied_by_their_sides():
    jacobian, total = outer(np.random.default_rng(0)), np.ones((10, 10))
    assert add_gram(total, jacobian, 0.5)
    flat = jacobian.reshape(10, -1)
    np.testing.assert_allclose(total, 1.0 + 0.25 * flat @ flat.T, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("where", [(4, 1, 2, 7), (1, 0, 0, 0)])
def test_what_is_no_outer_product_is_left_alone(where):
    jacobian, total = outer(np.random.default_rng(1)), np.ones((10, 10))
    jacobian[where] += 1e-6
    assert not add_gram(total, jacobian, 1.0)
    assert (total == 1.0).all()
    assert not add_gram(total, outer(np.random.default_rng(2), columns=3), 1.0)  # small: not worth it


@pytest.mark.parametrize("sigma_b", [0.3, rpp.Prior("HalfNormal", {"scale": 0.3})], ids=["number", "inferred"])
def test_the_covariance_of_outputs_is_that_of_all_entries(sigma_b, engine):
    jacobian = pytest.importorskip(f"bayes_rpp.inference.curvature.{engine}").jacobian
    net = rpp.EMLP(rpp.Vector + rpp.Scalar, rpp.Vector, rpp.O(3), channels=24, layers=2)
    model, rng = rpp.Model(net, sigma_b=sigma_b, likelihood=rpp.Gaussian(0.1)), np.random.default_rng(0)
    weights = {k: p.color(rng.normal(size=p.shape)) for k, p in model.priors.items()}
    names, x = list(net.parameters), rng.normal(size=(7, 4))
    at = Linearization(model, x, x[:, :3], weights, Coordinates(model, names), jacobian(net, names))
    found = DataSpace(at)
    numbers = {"sigma_b": 0.2} if model.latents else {}
    shares = np.array([1.0 if site is None else numbers[site] ** 2 for site in found.sites])
    rows = at.coordinates.color(at.jacobian.reshape(21, -1), numbers)
    want = rows @ rows.T
    np.testing.assert_allclose(np.tensordot(shares, found.parts, 1), want, rtol=1e-9, atol=1e-9 * want.max())
