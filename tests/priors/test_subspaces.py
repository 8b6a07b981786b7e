"""One contract for all subspaces, on numpy, torch and JAX arrays."""

import jax.numpy as jnp
import numpy as np
import pytest
import torch

from bayes_rpp import (
    D,
    DenseSubspace,
    EquivariantSubspace,
    FullSubspace,
    Lorentz,
    O,
    S,
    Scalar,
    T,
    Vector,
    ZeroSubspace,
    equivariant_basis,
)

RNG = np.random.default_rng(0)
MIXED = (Vector + 2 * Scalar + Vector)(O(3))
SUBSPACES = [
    FullSubspace((3, 2)),
    FullSubspace(()),
    ZeroSubspace((3, 2)),
    ZeroSubspace(()),
    DenseSubspace((4, 2), RNG.normal(size=(8, 3))),
    DenseSubspace((4,), np.ones((4, 2))),
    EquivariantSubspace(MIXED, (Scalar + 2 * T(2))(O(3))),
    EquivariantSubspace(None, (Scalar + T(2) + Scalar)(O(3))),
    EquivariantSubspace((2 * Vector)(S(4)), T(2)(S(4))),
    EquivariantSubspace(T(1)(Lorentz()), T(0, 1)(Lorentz())),
    EquivariantSubspace(Vector(D(4)), Scalar(D(4))),
]
ARRAYS = {"numpy": np.asarray, "torch": torch.as_tensor, "jax": jnp.asarray}


@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS)
@pytest.mark.parametrize("s", SUBSPACES, ids=repr)
def test_contract(s, array):
    q = s.basis()
    w, beta = RNG.normal(size=(2, 3, *s.shape)), RNG.normal(size=(2, 3, s.rank))
    flat = w.reshape(2, 3, s.size)
    assert q.shape == (s.size, s.rank)
    np.testing.assert_allclose(q.T @ q, np.eye(s.rank), atol=1e-10)
    # JAX runs in float32 here.
    tolerance = {"rtol": 1e-5, "atol": 1e-5} if array is jnp.asarray else {"rtol": 1e-10, "atol": 1e-12}
    same = lambda got, want: np.testing.assert_allclose(np.asarray(got), want, **tolerance)  # noqa: E731
    same(s.encode(array(w)), flat @ q)
    same(s.decode(array(beta)), (beta @ q.T).reshape(2, 3, *s.shape))
    same(s.project(array(w)), (flat @ q @ q.T).reshape(w.shape))
    np.testing.assert_allclose(s.leverage(), (q**2).sum(axis=1).reshape(s.shape), atol=1e-12)
    assert type(s.project(array(w))) is type(array(w))


def test_equivariant_subspace_is_the_solvers():
    rep_in, rep_out = MIXED, (Scalar + 2 * T(2))(O(3))
    q, p = EquivariantSubspace(rep_in, rep_out).basis(), equivariant_basis(rep_in, rep_out)
    np.testing.assert_allclose(q @ q.T, p @ p.T, atol=1e-10)


def test_a_wide_layer_never_makes_a_dense_basis():
    # Q would have 432^2 * 12,706 entries: 19 GB.
    from bayes_rpp import uniform_rep

    rep = uniform_rep(432, O(3))(O(3))
    s = EquivariantSubspace(rep, rep)
    assert s.rank > 10_000
    assert s.project(np.ones(s.shape)).shape == s.shape


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: SUBSPACES[0].encode(np.ones((2, 2))), ValueError, "w has shape"),
        (lambda: SUBSPACES[4].decode(np.ones(5)), ValueError, "beta has shape"),
        (lambda: DenseSubspace((2,), np.ones((3, 1))), ValueError, "columns has shape"),
        (lambda: DenseSubspace((2,), [[np.nan], [1.0]]), ValueError, "not finite"),
        (lambda: EquivariantSubspace(Vector, Vector(O(3))), TypeError, "rep_in"),
        (lambda: EquivariantSubspace(Vector(O(2)), Vector(O(3))), ValueError, "different groups"),
    ],
)
def test_bad_input_is_named(make, error, message):
    with pytest.raises(error, match=message):
        make()
