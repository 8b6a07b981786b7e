"""What hidden layers made from a width can carry: types, products, and a probe that says what is missing."""

import warnings

import numpy as np
import pytest

from bayes_rpp import EMLP, SL, SO, D, Lorentz, O, Pseudoscalar, Regular, Rep, S, Scalar, Sp, T, Trivial, Vector, Z
from bayes_rpp.networks import capacity, uniform_rep
from bayes_rpp.networks.allocation import hidden_rep
from bayes_rpp.networks.products import needed_products
from tests.networks.test_emlp import strict_weights

torch = pytest.importorskip("torch")

V0, V1 = Vector.on(0), Vector.on(1)


def parity(g):
    return np.eye(2) if np.linalg.det(g) > 0 else np.eye(2)[::-1]


swap = Rep.custom(parity, name="swap")

# Tasks that a width shared out over ranks alone could not do, and some of each group at small widths.
TASKS = [
    (V0 + V0 * V1, V1, S(5) * O(3), 128),
    (V0 + V0 * V1, V1, S(10) * O(3), 64),
    (Vector, T(2), O(3), 32),
    (Vector, T(2), O(3), 8),
    (5 * Scalar + 5 * Vector, T(2), O(3), 32),
    (3 * Vector, Pseudoscalar, O(3), 40),
    (Vector + Pseudoscalar, Pseudoscalar * Vector, O(3), 24),
    (2 * Vector, Vector, SO(3), 8),
    (swap + Vector, swap, D(4), 24),
    (Regular, Vector, D(5), 16),
    (Vector, Regular, Z(4), 8),
    (Pseudoscalar * Vector, T(2), S(4), 16),
    (2 * Vector.dual + Vector, T(1, 1), SL(3), 24),
    (3 * Vector, Vector.dual, SL(3), 24),
    (2 * Vector, T(1, 1), Lorentz(), 16),
    (2 * Vector, Scalar + T(2), Sp(2), 16),
    (Vector + Scalar, T(2), SO(2) * Trivial(1), 12),
]


@pytest.mark.parametrize(("rep_in", "rep_out", "group", "channels"), TASKS, ids=str)
def test_layers_from_a_width_carry_functions_of_degree_two(rep_in, rep_out, group, channels):
    net = EMLP(rep_in, rep_out, group, channels=channels, layers=2)
    found = capacity(net)
    assert found.is_full, found
    assert found.wanted > 0
    assert found.rank == found.wanted


def test_what_is_missing_is_named():
    narrow = {"channels": uniform_rep(32, O(3)), "layers": 2, "products": False}
    assert capacity(EMLP(Vector, T(2), O(3), **narrow)).is_full  # by outer products
    found = capacity(EMLP(Vector, T(2), O(3), **narrow, bilinear="full"))
    assert found.missing == ("Vector and Vector to T(2)",)
    assert (found.rank, found.wanted) == (2, 3)
    found = capacity(EMLP(2 * Vector, Vector + Scalar, O(3), channels=16 * Scalar, layers=1, products=False))
    assert found.dead_inputs == ("Vector",)
    assert found.zero_outputs == ("Vector",)
    assert "outputs Vector are always zero; the inputs Vector never reach an output" in str(found)
    # By the whole of R^8, the eight vectors of S(5) x O(3) have no type for five points in space.
    lumped = 64 * Scalar + 8 * Vector
    found = capacity(EMLP(V0 + V0 * V1, V1, S(5) * O(3), channels=lumped, layers=2, products=False))
    assert found.missing == ("Vector.on(0) and Vector.on(0) * Vector.on(1) to Vector.on(1)",)
    assert capacity(EMLP(Vector, Vector, O(3), layers=0)).is_full  # beside linear maps


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EMLP(Vector, Vector, O(3), channels=16 * Scalar), "outputs Vector are always zero"),
        (lambda: EMLP(Vector, Scalar, O(3), channels=16 * Scalar), "inputs Vector never reach an output"),
        (lambda: EMLP(Vector, T(2), O(3), channels=9 * Scalar + 3 * Vector), "lacks Vector and Vector to T"),
        (lambda: EMLP(Vector, Scalar, O(3), channels=16, bilinear=False), "bilinear=True would do"),
        (
            lambda: EMLP(20 * Vector, Vector, O(3), channels=24),
            r"layers.0 holds 9 combinations of the 20 inputs of the type Vector",
        ),
        (lambda: EMLP(V0 * V1, V0 * V1, S(4) * O(3), channels=6 * Scalar), r"Vector.on\(0\) \* Vector.on\(1\)"),
    ],
)
def test_layers_that_cannot_carry_warn(make, message):
    with pytest.warns(UserWarning, match=message):
        make()


def test_a_width_is_kept_where_it_suffices():
    for group, rep_in, rep_out in [(O(3), 5 * Scalar + 5 * Vector, T(2)), (SL(3), 5 * Scalar + 5 * Vector, T(2))]:
        net = EMLP(rep_in, rep_out, group, channels=384, layers=1)
        assert net.hidden == [uniform_rep(384, group)]
        assert "products" not in net.config()
    assert EMLP(3 * Scalar, Scalar, Trivial(3), channels=20, layers=1).hidden == [20 * Scalar]


def test_products_of_groups_have_types_of_both():
    terms = {str(Rep(((t, 1),))): n for t, n in uniform_rep(384, S(10) * O(3)).terms}
    assert terms["Vector.on(0) * Vector.on(1)"] >= 2
    assert terms["Vector.on(1)"] >= 10
    bound = uniform_rep(384, S(10) * O(3))(S(10) * O(3))
    assert 0.9 * 384 <= bound.size <= 384
    assert hidden_rep(40, Vector(SO(2) * Trivial(1)), Vector(SO(2) * Trivial(1))) == uniform_rep(40, SO(2) * Trivial(1))


def test_products_against_their_definition():
    """theta Q (x_a (x) x_b) of each pair of copies, and the network with them is equivariant."""
    group = SO(3)
    net = EMLP(2 * Vector, Vector, group, channels=10 * Scalar + 2 * Vector, layers=1)
    layer = net.blocks[0].bilinear
    products, left_out = needed_products(net.rep_in, net.rep_out, net.blocks[0].rep_out)
    assert not left_out
    assert net.config()["products"]
    (product,) = [p for p in products if p.out == net.rep_out.blocks[0].term]
    rng = np.random.default_rng(0)
    theta, x = rng.normal(size=layer.products.shapes[-1]), rng.normal(size=(5, 2, 3))
    features = {t: x if t == product.a else np.zeros((5, 1, 1)) for t in net.blocks[0].rep_out.types}
    made = dict(layer.products([theta], features))
    want = np.zeros((5, 2, 3))
    epsilon = np.zeros((3, 3, 3))
    for i, j, k in [(0, 1, 2), (1, 2, 0), (2, 0, 1)]:
        epsilon[i, j, k], epsilon[i, k, j] = 1, -1
    sign = np.sign(np.vdot(product.basis.reshape(3, 3, 3), np.moveaxis(epsilon, 0, 2)))
    for pair, (a, b) in enumerate([(0, 1), (1, 0)]):
        cross = sign * np.sqrt(3 / 6) * np.cross(x[:, a], x[:, b])
        want += theta[:, pair][None, :, None] * cross[:, None, :]
    np.testing.assert_allclose(made[product.out], want, atol=1e-12)


def test_networks_with_products_are_equivariant_and_the_same_in_torch():
    net = EMLP(3 * Vector, Pseudoscalar + T(2), O(3), channels=30, layers=2)
    assert net.config()["products"]
    params = strict_weights(net)
    x = np.random.default_rng(0).normal(size=(6, 9))
    g = np.diag([-1.0, 1, 1])
    np.testing.assert_allclose(net(params, x @ net.rep_in.rho(g).T), net(params, x) @ net.rep_out.rho(g).T, atol=1e-12)
    found = net({k: torch.as_tensor(w) for k, w in params.items()}, torch.as_tensor(x)).numpy()
    np.testing.assert_allclose(found, net(params, x), rtol=1e-10)


def _random_rep(rng, pool, group, terms, limit):
    while True:
        rep = None
        for _ in range(rng.integers(1, terms + 1)):
            part = int(rng.integers(1, 4)) * pool[rng.integers(len(pool))]
            rep = part if rep is None else rep + part
        if rep(group).size <= limit:
            return rep


POOL = [
    (O(3), [Scalar, Vector, Pseudoscalar, T(2), T(3), Pseudoscalar * Vector, swap]),
    (SO(3), [Scalar, Vector, T(2), T(3)]),
    (SL(3), [Scalar, Vector, Vector.dual, T(1, 1), T(2)]),
    (Lorentz(), [Scalar, Vector, Vector.dual, T(2), Pseudoscalar, T(1, 1)]),
    (S(5), [Scalar, Vector, T(2), Pseudoscalar, Pseudoscalar * Vector]),
    (D(4), [Scalar, Vector, Pseudoscalar, Regular, T(2), swap]),
    (S(4) * O(3), [Scalar, V0, V1, V0 * V1, Pseudoscalar.on(1), Pseudoscalar.on(1) * V1, T(2).on(1), Vector]),
    (SO(2) * Z(3), [Scalar, V0, V1, V0 * V1, T(2).on(0), Vector]),
    (O(2) * Trivial(1), [Scalar, Vector, T(2), Pseudoscalar]),
    (Sp(2), [Scalar, Vector, T(2), T(1, 1)]),
]


@pytest.mark.parametrize("count", [20, pytest.param(300, marks=pytest.mark.slow)])
def test_random_pairs_of_representations_at_the_default_width(count):
    """Every pair is carried, or a warning says what is missing."""
    rng, silent = np.random.default_rng(0), []
    for k in range(count):
        group, pool = POOL[k % len(POOL)]
        limits = (80, 40) if count > 20 else (20, 10)
        rep_in, rep_out = _random_rep(rng, pool, group, 3, limits[0]), _random_rep(rng, pool, group, 2, limits[1])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            net = EMLP(rep_in, rep_out, group, channels=384 if count > 20 else 48, layers=3 if count > 20 else 2)
        found = capacity(net)
        if not found.is_full and not any("cannot carry" in str(w.message) for w in caught):
            silent.append((group, rep_in, rep_out, str(found)))
    assert not silent


def test_weights_of_a_larger_group_are_taken_up_as_they_are_and_of_a_smaller_one_in_part():
    hidden, x = 4 * Scalar + 2 * Vector + T(2), np.random.default_rng(1).normal(size=(7, 6))
    large, small = (EMLP(2 * Vector, T(2), g, hidden, layers=2) for g in (O(3), SO(2) * Trivial(1)))
    params = strict_weights(large)
    up = small.taken_from(large, params)
    assert {k: w.shape for k, w in up.items() if k in small.parameters} == {
        k: p.shape for k, p in small.parameters.items()
    }
    np.testing.assert_allclose(small(up, x), large(params, x), atol=1e-12)
    back = large.taken_from(small, up)
    for name in large.parameters:
        np.testing.assert_allclose(back[name], params[name], atol=1e-12)
