import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayes_rpp import SL, SO, D, Group, Lorentz, O, Pseudoscalar, Regular, Rep, S, Scalar, Sp, T, Trivial, Vector, Z
from bayes_rpp.subspaces import equivariant_basis

GROUPS = [O(2), O(3), SO(2), SO(3), SL(2), SL(3), Sp(1), Sp(2), Lorentz(), S(3), S(5), Z(4), D(4), D(5), Trivial(2),
          O(2) * S(3), SO(2) * Z(3)]  # fmt: skip


def check(rep_in, rep_out, group, expected=None):
    q = equivariant_basis(rep_in(group), rep_out(group))
    assert q.dtype == np.float64
    np.testing.assert_allclose(q.T @ q, np.eye(q.shape[1]), atol=1e-10)
    weights = (q @ np.random.default_rng(0).normal(size=(q.shape[1], 1))).reshape(rep_out(group).size, -1)
    for g in group.sample(3, seed=1):
        before, after = weights @ rep_in(group).rho(g), rep_out(group).rho(g) @ weights
        # Elements of non-compact groups are large; the residual is measured against their size.
        assert np.abs(before - after).max() <= 1e-9 * max(1.0, np.abs(before).max())
    if expected is not None:
        assert q.shape[1] == expected
    return q


@pytest.mark.parametrize(("k", "rank"), list(enumerate([1, 0, 1, 0, 3, 0, 15])))
def test_ranks_of_o3_tensors(k, rank):
    check(Scalar, T(k), O(3), rank)


@pytest.mark.parametrize(("k", "rank"), list(enumerate([1, 0, 1, 1, 3, 6, 15])))
def test_ranks_of_so3_tensors(k, rank):
    check(Scalar, T(k), SO(3), rank)


@pytest.mark.slow
@pytest.mark.parametrize(("group", "k", "rank"), [(O(3), 7, 0), (O(3), 8, 91), (SO(3), 7, 36), (SO(3), 8, 91)])
def test_ranks_of_high_tensors(group, k, rank):
    check(Scalar, T(k), group, rank)


@pytest.mark.parametrize(("k", "rank"), list(enumerate([1, 1, 2, 5, 15, 52])))
def test_ranks_of_permutations_are_bell_numbers(k, rank):
    check(Scalar, T(k), S(5), rank)


def test_maps_between_tensors_of_ten_points():
    check(T(2), T(2), S(10), 15)


@pytest.mark.parametrize("group", GROUPS, ids=str)
@pytest.mark.parametrize(
    ("rep_in", "rep_out"),
    [
        (Vector, Vector),
        (T(2), T(2)),
        (2 * Scalar + Vector, T(2) + Vector + Scalar),
        (T(1, 1), T(2) + Pseudoscalar),
        (Vector * Pseudoscalar, T(3)),
    ],
    ids=str,
)
def test_every_map_is_equivariant(group, rep_in, rep_out):
    check(rep_in, rep_out, group)


@pytest.mark.parametrize("group", GROUPS[:13], ids=str)
def test_special_cases_agree_with_the_general_null_space(group):
    # The same matrices without the name take the general way: rank and span must not change.
    unnamed = Group(group.dim, group.lie_algebra, group.discrete_generators)
    a, b = (equivariant_basis(T(1)(g), T(2, 1)(g)) for g in (group, unnamed))
    assert a.shape == b.shape
    np.testing.assert_allclose(a @ a.T, b @ b.T, atol=1e-8)


def test_regular_and_custom_representations():
    check(Regular, Regular, D(4), 8)
    check(Rep.custom(lambda g: np.kron(g, g)), T(2), O(3), 3)
    check(Rep.custom(lambda g: np.kron(g, g)), T(2), Group(3, SO(3).lie_algebra), 3)


def test_a_group_that_is_not_reductive():
    # Shears of the plane: e1 is fixed, and x -> maps to itself by a I + b A.
    shear = Group(2, [[[0.0, 1.0], [0.0, 0.0]]])
    q = check(Vector, Vector, shear, 2)
    assert q.shape == (4, 2)


@settings(max_examples=25, deadline=None)
@given(
    p=st.integers(0, 2),
    q=st.integers(0, 1),
    copies=st.integers(1, 2),
    group=st.sampled_from([O(2), SO(2), SL(2), Z(3)]),
)
def test_any_small_tensors(p, q, copies, group):
    check(copies * T(p, q), T(q, p) + Scalar, group)


def test_the_cache_goes_by_content_not_by_name():
    a = Group(2, discrete_generators=[np.diag([1.0, -1.0])], name="same name")
    b = Group(2, discrete_generators=[np.array([[0.0, 1.0], [1.0, 0.0]])], name="same name")
    check(Vector, Vector, a, 2)
    q = check(Vector, Vector, b, 2)
    assert not np.allclose(np.abs(q.max(axis=0)), 1)


def test_unbound_or_mixed_representations_are_named():
    with pytest.raises(TypeError, match="rep_in"):
        equivariant_basis(Vector, Vector(O(3)))
    with pytest.raises(ValueError, match=r"rep_in and rep_out must belong to one group, got \{'rep_in': O\(3\),"):
        equivariant_basis(Vector(O(3)), Vector(O(2)))


def test_determinants_that_are_not_one():
    scaling = Group(2, [np.eye(2)])
    check(Pseudoscalar, Pseudoscalar, scaling, 1)
    check(Scalar, Pseudoscalar * Pseudoscalar.dual, scaling, 1)
    check(Scalar, Pseudoscalar * Pseudoscalar, scaling, 0)
    check(Pseudoscalar, Vector * Vector, scaling, 4)
    check(Pseudoscalar, Pseudoscalar, scaling * O(2), 1)


@pytest.mark.parametrize("size", [1e-11, 1e-6, 1e6])
def test_the_size_of_generators_does_not_matter(size):
    check(Vector, Vector, Group(3, size * SO(3).lie_algebra), 1)
