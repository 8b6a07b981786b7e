"""One contract for all subspaces, on numpy, torch and JAX arrays."""

import numpy as np
import pytest

from bayes_rpp import D, Group, Lorentz, O, S, Scalar, T, Vector
from bayes_rpp.priors.subspaces.leading import LeadingSubspace
from bayes_rpp.priors.subspaces.nested import WithinSubspace
from bayes_rpp.subspaces import (
    ComposedSubspace,
    ConvolutionSubspace,
    DenseSubspace,
    EquivariantSubspace,
    FullSubspace,
    NestedSubspace,
    SpanSubspace,
    ZeroSubspace,
    band,
    block_pattern,
    equivariant_basis,
)

RNG = np.random.default_rng(0)
MIXED = (Vector + 2 * Scalar + Vector)(O(3))
ABOUT_Z = Group(3, [[[0, -1, 0], [1, 0, 0], [0, 0, 0]]], name="SO(2)")
CHAIN = NestedSubspace([EquivariantSubspace(T(1)(g), T(2)(g)) for g in (O(3), ABOUT_Z)])
# Two blocks of two columns alike, one of a single column, and a column that depends on two others.
COLUMNS = np.zeros((10, 6))
COLUMNS[[0, 2], :2] = COLUMNS[[1, 3], 2:4] = [[1.0, 2.0], [3.0, 4.0]]
COLUMNS[4:9, 4] = 2.0
COLUMNS[:, 5] = COLUMNS[:, 0] + COLUMNS[:, 1]
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
    ConvolutionSubspace(2, 4, (3, 2), (4, 3), stride=(1, 2), padding=1, groups=2),
    ConvolutionSubspace(2, 4, 3, (4, 3), padding="same", groups=2, weights="local"),
    ConvolutionSubspace(1, 2, 5, 4, padding="same", padding_mode="circular"),  # a kernel longer than the circle
    ConvolutionSubspace(1, 1, 1, 1, stride=3, padding=2),  # sees nothing but zeros
    SpanSubspace((4, 2), RNG.normal(size=(8, 3))),
    SpanSubspace((5, 2), COLUMNS),
    SpanSubspace((3,), np.zeros((3, 2))),
    SpanSubspace.tied([[0, 1, -1], [1, 0, 7]]),
    SpanSubspace.masked(band(4, 6, 1)),
    CHAIN,
    ComposedSubspace(CHAIN.levels[1], WithinSubspace(CHAIN.levels[1], CHAIN.levels[0])),
    WithinSubspace(CHAIN.levels[1], CHAIN.levels[0]),
    LeadingSubspace(5, 2, 4),
    LeadingSubspace(5, 2, 4).others,
]
ARRAYS = {
    "numpy": np.asarray,
    "torch": lambda a: pytest.importorskip("torch").as_tensor(a),
    "jax": lambda a: pytest.importorskip("jax.numpy").asarray(a),
}


@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS)
@pytest.mark.parametrize("s", SUBSPACES, ids=repr)
def test_contract(s, array):
    q = s.basis()
    w, beta = RNG.normal(size=(2, 3, *s.shape)), RNG.normal(size=(2, 3, s.rank))
    flat = w.reshape(2, 3, s.size)
    assert q.shape == (s.size, s.rank)
    np.testing.assert_allclose(q.T @ q, np.eye(s.rank), atol=1e-10)
    # JAX runs in float32 here.
    tolerance = {"rtol": 1e-5, "atol": 1e-5} if array is ARRAYS["jax"] else {"rtol": 1e-10, "atol": 1e-12}
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
    from bayes_rpp.networks import uniform_rep

    rep = uniform_rep(432, O(3))(O(3))
    s = EquivariantSubspace(rep, rep)
    assert s.rank > 10_000
    assert s.project(np.ones(s.shape)).shape == s.shape


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: SUBSPACES[0].encode(np.ones((2, 2))), ValueError, r"w must have shape \(\.\.\., 3, 2\), got \(2, 2\)"),
        (lambda: SUBSPACES[4].decode(np.ones(5)), ValueError, r"beta must have shape \(\.\.\., 3\), got \(5,\)"),
        (
            lambda: DenseSubspace((2,), np.ones((3, 1))),
            ValueError,
            r"columns must have shape \(2, k\) for weights \(2,\), got \(3, 1\)",
        ),
        (
            lambda: DenseSubspace((2,), [[np.nan], [1.0]]),
            ValueError,
            "columns must be finite, got NaN or infinite values",
        ),
        (lambda: EquivariantSubspace(Vector, Vector(O(3))), TypeError, "rep_in"),
        (
            lambda: EquivariantSubspace(Vector(O(2)), Vector(O(3))),
            ValueError,
            r"rep_in and rep_out must belong to one group, got \{'rep_in': O\(2\),",
        ),
        (
            lambda: SpanSubspace((2,), np.ones((3, 1))),
            ValueError,
            r"columns must have shape \(2, k\) for weights \(2,\), got \(3, 1\)",
        ),
        (
            lambda: SpanSubspace((2,), [[np.nan], [1.0]]),
            ValueError,
            "columns must be finite, got NaN or infinite values",
        ),
        (lambda: SpanSubspace.of(3), TypeError, r"layer must be a torch\.nn\.Module or a Flax module, got a int"),
        (lambda: SpanSubspace.tied([0.5]), TypeError, "labels must be whole numbers, got dtype float64"),
        (lambda: SpanSubspace.masked([0, 1]), TypeError, "mask must be booleans, got dtype int64"),
        (lambda: band(3, 3, -1), ValueError, "width must be a whole number >= 0, got -1"),
        (lambda: block_pattern(np.ones((2, 2)), [1], [1, 1]), ValueError, r"pattern must have.*, got \(2, 2\)"),
        (
            lambda: NestedSubspace(CHAIN.levels[::-1]),
            ValueError,
            r"levels\[0\] must be within levels\[1\], got 1 of a weight of it outside",
        ),
        (
            lambda: NestedSubspace([CHAIN.levels[0], SUBSPACES[0]]),
            ValueError,
            r"levels\[0\] must have the shape \(3, 2\) of levels\[1\], got \(9, 3\)",
        ),
        (lambda: NestedSubspace([]), TypeError, "levels must be a list of subspaces, the smallest first, got no list"),
        (
            lambda: ComposedSubspace(CHAIN.levels[0], SUBSPACES[0]),
            ValueError,
            r"inner must have shape \(0,\), the rank of outer, got \(3, 2\)",
        ),
    ],
)
def test_bad_input_is_named(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_composition_and_restriction_are_inverse():
    small, large = CHAIN.levels
    both = ComposedSubspace(large, WithinSubspace(large, small))
    w = RNG.normal(size=(2, *small.shape))
    np.testing.assert_allclose(both.project(w), small.project(w), atol=1e-12)
    np.testing.assert_allclose(CHAIN.project(w), large.project(w), atol=1e-12)


def test_masks():
    assert band(3, 3, 0).tolist() == np.eye(3, dtype=bool).tolist()
    np.testing.assert_array_equal(band(4, 4, 1), np.tril(np.triu(np.ones((4, 4)), -1), 1))
    assert band(2, 5, 1).sum(axis=1).tolist() == [2, 2]
    chain = block_pattern(np.tril(np.triu(np.ones((3, 3)), -1)), [2] * 3, [1, 2, 1])
    assert chain.shape == (6, 4)
    assert chain[2:4].tolist() == [[True, True, True, False]] * 2
    tied = SpanSubspace.tied([[3, 3], [-1, 3]])
    np.testing.assert_allclose(tied.project(np.array([[1.0, 2.0], [5.0, 6.0]])), [[3, 3], [0, 3]])
