"""The channelwise bilinear layer against its definition."""

import numpy as np
import pytest

from bayes_rpp import EMLP, SL, O, Pseudoscalar, S, Scalar, T, Vector
from bayes_rpp.networks.channelwise import Channelwise


def layer_of(rep, group, seed=0):
    layer, rng = Channelwise(rep(group)), np.random.default_rng(seed)
    return layer, [rng.normal(size=s) for s in layer.shapes], rng.normal(size=(4, layer.rep.size))


def test_against_its_definition():
    """5 scalars, 4 vectors and 2 matrices under O(3): each of the four kinds of product, by hand."""
    layer, (inner, gates, contraction, outer), x = layer_of(5 * Scalar + 4 * Vector + 2 * T(2), O(3))
    found = layer([inner, gates, contraction, outer], x)
    s, v, m = x[:, :5], x[:, 5:17].reshape(4, 4, 3), x[:, 17:].reshape(4, 2, 3, 3)
    assert (inner.shape, gates.shape, contraction.shape, outer.shape) == ((6,), (6,), (2,), (2,))
    products = np.concatenate([(v**2).sum(2) / 3**0.5, (m**2).sum((2, 3)) / 3], axis=1) * inner
    # More products than scalars: those of vectors, then those of matrices, both from the first scalar on.
    scalars = np.zeros_like(s)
    scalars[:, :4] += products[:, :4]
    scalars[:, :2] += products[:, 4:]
    gate = s[:, [4, 0, 1, 2, 3, 4]] * gates
    vectors, matrices = v * gate[:, :4, None], m * gate[:, 4:, None, None]
    vectors[:, :2] += np.einsum("napq,naq->nap", m, v[:, :2]) * contraction[:, None] / 3**0.5
    matrices += np.einsum("nap,naq->napq", v[:, :2], v[:, 2:]) * outer[:, None, None]
    want = np.concatenate([scalars, vectors.reshape(4, -1), matrices.reshape(4, -1)], axis=1)
    np.testing.assert_allclose(found, want, atol=1e-12)


def test_many_scalars_have_a_product_each():
    layer, thetas, x = layer_of(9 * Scalar + 4 * Vector + 2 * T(2), O(3))
    v, m = x[:, 9:21].reshape(4, 4, 3), x[:, 21:].reshape(4, 2, 9)
    want = np.concatenate([(v**2).sum(2) / 3**0.5, (m**2).sum(2) / 3], axis=1) * thetas[0]
    found = layer(thetas, x)[:, :9]
    np.testing.assert_allclose(found[:, 3:], want, atol=1e-12)
    np.testing.assert_array_equal(found[:, :3], 0.0)


@pytest.mark.parametrize(
    ("rep", "group"),
    [
        (6 * Scalar + 3 * Vector + 2 * T(2) + T(3), O(3)),
        (Scalar + 2 * Vector + Pseudoscalar + 2 * Vector * Pseudoscalar, O(3)),
        (2 * Scalar + 2 * Vector + Vector.dual + T(1, 1) + T(2), SL(3)),
        (3 * Vector.on(1) + 2 * Vector.on(0) + 2 * Vector.on(1) * Vector.on(0), S(4) * O(3)),
        (2 * Vector + T(2), S(4)),  # no scalar
        (4 * Scalar, O(2)),
    ],
    ids=str,
)
def test_it_is_bilinear_and_equivariant(rep, group):
    layer, thetas, x = layer_of(rep, group)
    g = layer.rep.rho(group.sample(4, seed=1))
    y = layer(thetas, x)
    np.testing.assert_allclose(np.einsum("nij,nj->ni", g, y), layer(thetas, np.einsum("nij,nj->ni", g, x)), atol=1e-10)
    np.testing.assert_allclose(layer(thetas, 2 * x), 4 * y, atol=1e-10)
    np.testing.assert_allclose(layer([2 * t for t in thetas], x), 2 * y, atol=1e-10)
    assert y.any() or not layer.shapes


def test_one_product_of_two_types_in_either_order():
    """x (x) y is made where the features hold it with its indices in this order, whichever type comes first."""
    for rep in (2 * Vector.on(0) + 2 * Vector.on(1), 2 * Vector.on(1) + 2 * Vector.on(0)):
        layer, thetas, x = layer_of(rep + 2 * Vector.on(1) * Vector.on(0), S(4) * O(3))
        assert layer(thetas, x)[:, -24:].any()


@pytest.mark.filterwarnings("ignore:the strict network cannot carry all")  # without any
def test_it_is_the_default_and_full_is_kept():
    nets = [EMLP(Vector, T(2), O(3), channels=60, layers=1, bilinear=b) for b in (True, "channelwise", "full", False)]
    assert [net.config()["bilinear"] for net in nets] == ["channelwise", "channelwise", "full", False]
    assert nets[2].replace(layers=2).bilinear == "full"
    assert len({net.key for net in nets}) == 3
    assert nets[3].size < nets[0].size < nets[2].size
