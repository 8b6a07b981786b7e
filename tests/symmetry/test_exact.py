"""Generators that are rounded, in single precision, or meant as they are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ortho_group, special_ortho_group

from bayes_rpp import SO, D, Group, Lorentz, O, S, Scalar, T, Vector, Z, load_network, save_network
from bayes_rpp.groups import parse_group
from bayes_rpp.networks.emlp import EMLP
from bayes_rpp.subspaces import equivariant_basis


def turn(angle):
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def about(axis, degrees):
    x, y, z = np.asarray(axis) / np.linalg.norm(axis)
    a = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    t = np.deg2rad(degrees)
    return np.eye(3) + np.sin(t) * a + (1 - np.cos(t)) * a @ a


def rank(group):
    return equivariant_basis(T(2)(group), (Vector + Scalar)(group)).shape[1]


THIRD = turn(2 * np.pi / 3)
STRETCH = np.diag([1, 1.3, 0.7])
GOLDEN = (1 + 5**0.5) / 2
ICOSAHEDRAL = np.array(
    [
        [[0, 0, 1], [1, 0, 0], [0, 1, 0]],
        0.5 * np.array([[1, -GOLDEN, GOLDEN - 1], [GOLDEN, GOLDEN - 1, -1], [GOLDEN - 1, 1, GOLDEN]]),
    ]
)


def test_a_third_of_a_turn_typed_with_four_decimals():
    assert equivariant_basis(T(2)(Group(2, (), THIRD)), Scalar(Group(2, (), THIRD))).shape[1] == 2
    wanted = (
        r"discrete_generators\[0\] must be exact, got a matrix that is off by 3e-05 from one whose power 3 is the "
        r"identity: is it rounded\? .* \(at \[0, 1\] -0.866025403784\d+ is near, instead of -0.866\), or exact=True"
    )
    with pytest.raises(ValueError, match=wanted):
        Group(2, (), np.round(THIRD, 4))
    with pytest.raises(ValueError, match=wanted):
        parse_group("Group(2, [], [[-0.5, -0.866], [0.866, -0.5]])")
    assert Group(2, (), np.round(THIRD, 4), exact=True) == parse_group(
        "Group(2, [], [[-0.5, -0.866], [0.866, -0.5]], exact=True)"
    )


@pytest.mark.parametrize(
    ("generators", "kind"),
    [
        (np.round(turn(2 * np.pi / 5), 3), "whose power 5 is the identity"),
        (np.round(turn(2 * np.pi / 12), 2), "orthogonal"),
        (turn(2.094), "whose power 3 is the identity"),
        (turn(np.deg2rad(51.43)), "whose power 7 is the identity"),
        (turn(2 * 3.1416 / 6), "whose power 6 is the identity"),
        (THIRD.astype(np.float16), "whose power 3 is the identity"),
        (np.round(np.diag([1, 2]) @ THIRD @ np.diag([1, 0.5]), 3), "whose power 3 is the identity"),
        ([[0, -1], [1, 0.618]], "whose power 5 is the identity"),
        (np.round(about([1, 2, 3], 70), 3), "that is orthogonal"),
        (1.0001 * about([1, 2, 3], 70), "that is orthogonal"),
        ([[2.1, 0.3], [0.5, 0.5476]], "of determinant one"),
        ([np.diag([1, -1]), turn(0.6667 * np.pi) @ np.diag([1, -1])], "the product of .* whose power 3 is"),
        ([ICOSAHEDRAL[0], np.round(ICOSAHEDRAL[1], 3)], r"generators\[1\] .* whose power 5 is the identity"),
    ],
)
def test_rounded_generators_are_refused(generators, kind):
    d = np.shape(generators)[-1]
    with pytest.raises(ValueError, match=f"{kind}.*is it rounded"):
        Group(d, (), generators)
    Group(d, (), generators, exact=True)


# Rotations about (1, 2, 3) in oblique coordinates.
BENT = np.array([[1, 0.5, 0.2], [0, 0.9, 0.1], [0, 0, 1.1]])
OBLIQUE = BENT @ np.array([[0, -3, 2], [3, 0, -1], [-2, 1, 0]]) / np.sqrt(14) @ np.linalg.inv(BENT)


def test_a_lie_algebra_in_single_precision_is_mended_in_any_coordinates():
    for exact in (OBLIQUE, np.array([[0, -3, 2], [3, 0, -1], [-2, 1, 0]]) / np.sqrt(14)):
        group = Group(3, [exact.astype(np.float32)])
        assert equivariant_basis(Vector(group), T(2)(group)).shape[1] == 7
        np.testing.assert_allclose(group.lie_algebra, Group(3, [exact]).lie_algebra, atol=1e-6)


@pytest.mark.parametrize(
    ("algebra", "generators", "message"),
    [
        ([np.diag([0.333, 0.333, -0.667])], (), "without trace"),
        ([[[1e-5, -1.0], [1.0 + 1e-5 / 3, 1e-5]]], (), "that is skew"),
        ([[[0, -0.802, 0.534], [0.802, 0, -0.267], [-0.535, 0.267, 0]]], (), "that is skew"),  # one entry cut
        ([[[0, -0.802, 0.5345], [0.802, 0, -0.267], [-0.535, 0.267, 0]]], (), "that is skew"),  # one with more digits
        ([OBLIQUE.round(3)], (), "whose eigenvalues are imaginary"),
        ([OBLIQUE.round(2)], (), "whose eigenvalues are imaginary"),
        ([np.kron(np.diag([1, 0.333]), turn(np.pi / 2).round())], (), "ratio is off by 0.0003 from 1/3"),
        (np.round(STRETCH @ SO(3).lie_algebra @ np.linalg.inv(STRETCH), 3), (), r"the commutator of lie_algebra\[0\]"),
        ([[[0, -0.8, 0.534], [0.8, 0, -0.267], [-0.534, 0.267, 0]]], about([1, 2, 3], 180), "transformed by"),
    ],
)  # fmt: skip
def test_rounded_lie_algebras_are_refused(algebra, generators, message):
    d = np.shape(algebra)[-1]
    with pytest.raises(ValueError, match=message):
        Group(d, algebra, generators)
    Group(d, algebra, generators, exact=True)


@pytest.mark.parametrize(
    "generators",
    [
        turn(1.0), turn(0.3), turn(np.pi / 180), turn(2 * np.pi / 30), 2 * np.eye(2), 1.01 * np.eye(2),
        1.001 * np.eye(2), 0.5 * np.eye(2), [[0.6, -0.8], [0.8, 0.6]], [[1, 1], [0, 1]], [[1, 0.001], [0, 1]],
        [[1.5, -1], [1, 0]], [[2, 1], [1, 1]], np.diag([1.1, 0.9]), np.diag([-1.001, 1]), 1.1 * turn(1.0),
        np.diag([2, 0.5]), about([1, 2, 3], 120), ICOSAHEDRAL, [turn(1.0), np.diag([1, -1])],
    ],
)  # fmt: skip
def test_what_is_meant_is_taken_as_it_is(generators):
    d = np.shape(generators)[-1]
    group = Group(d, (), generators)
    np.testing.assert_array_equal(group.discrete_generators, np.reshape(generators, (-1, d, d)))


def test_lie_algebras_that_are_meant_are_taken_as_they_are():
    for algebra in (
        [[[0, -1.01], [1, 0]]],
        [[[-0.001, -1], [1, -0.001]]],
        [[[0, -0.8, 0.534], [0.8, 0, -0.267], [-0.534, 0.267, 0]]],
        SO(3).lie_algebra[:2],
        [np.kron(np.diag([1, 0.7]), [[0, -1], [1, 0]])],
        Lorentz().lie_algebra,
    ):
        algebra = np.asarray(algebra)
        group = Group(algebra.shape[-1], algebra)
        np.testing.assert_allclose(group.lie_algebra * np.abs(algebra).max(axis=(1, 2))[:, None, None], algebra)


def planes(*speeds):
    return np.kron(np.diag(speeds), [[0, -1], [1, 0]])


def screw(angle):
    return np.block([[turn(angle), np.zeros((2, 1))], [np.zeros((1, 2)), -1]])


@pytest.mark.parametrize("angle", [0.001, 0.0003, 1 / 3000, 0.002, 1e-5, 0.3, np.deg2rad(119.99), np.deg2rad(0.1)])
def test_small_turns_in_full_precision_are_meant(angle):
    h = screw(angle)
    np.testing.assert_array_equal(Group(3, (), h).discrete_generators[0], h)


@pytest.mark.parametrize("speed", [1.0005, 0.9995, 1.0001, 0.501, 0.33325, 1.001**0.5])
def test_speeds_in_full_precision_are_meant(speed):
    basis = ortho_group.rvs(4, random_state=0)
    for a in (planes(1, speed), basis @ planes(1, speed) @ basis.T):
        assert len(Group(4, [a]).lie_algebra) == 1


@pytest.mark.parametrize("speed", [0.333, 0.3333, 0.6667, 0.1429])
def test_rounded_speeds_are_refused(speed):
    with pytest.raises(ValueError, match="is it rounded"):
        Group(4, [planes(1, speed)])


@pytest.mark.parametrize(
    "angle", [2.0944, 1.5708, 3.14159, 0.6667 * np.pi, 2 * 3.1416 / 9, 2 * 3.142 / 3, np.deg2rad(51.43)]
)
def test_angles_that_are_rounded_themselves_are_refused(angle):
    for h in (turn(angle), about([1, 2, 3], np.rad2deg(angle))):
        with pytest.raises(ValueError, match="is it rounded"):
            Group(len(h), (), h)


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), d=st.integers(2, 5))
def test_random_rotations_are_kept(seed, d):
    h = special_ortho_group.rvs(d, random_state=seed)
    np.testing.assert_array_equal(Group(d, (), h).discrete_generators[0], h)


def test_slow_damping_in_full_precision_is_meant():
    assert not Group(2, [[[-1 / 3000, -1], [1, -1 / 3000]]]).is_orthogonal


def test_a_turn_that_the_lie_algebra_makes_anyway_need_not_be_exact():
    Group(2, [[[0, -1], [1, 0]]], [turn(2.094)])
    with pytest.raises(ValueError, match="is it rounded"):
        Group(2, [np.eye(2)], [turn(2.094)])


@pytest.mark.parametrize(
    ("generators", "order"),
    [(THIRD, 3), (D(5).discrete_generators, 10), (ICOSAHEDRAL, 60), ([turn(0.3 * np.pi), np.diag([1, -1])], 40)],
)
def test_single_precision_is_mended(generators, order):
    exact = Group(np.shape(generators)[-1], (), generators)
    group = Group(exact.dim, (), np.asarray(generators, dtype=np.float32))
    np.testing.assert_allclose(group.discrete_generators, exact.discrete_generators, atol=1e-6)
    assert group.order == exact.order == order
    assert group.is_orthogonal
    assert group.is_unimodular
    assert rank(group) == rank(exact)
    # What was mended is exact: it is not touched again.
    assert Group(group.dim, (), group.discrete_generators) == group


def test_single_precision_of_infinite_groups():
    group = Group(3, (), about([1, 2, 3], 70).astype(np.float32))
    assert group.is_orthogonal
    assert Group(2, (), (2 * THIRD).astype(np.float32)).order == np.inf
    skew = np.array([[0, -0.3, 0.1], [0.3, 0, -0.7], [-0.1, 0.7, 0]])
    noise = 1e-8 * np.random.default_rng(0).normal(size=(3, 3))
    assert Group(3, [skew + noise]).is_orthogonal
    assert Group(3, [np.diag([1, 1, -2]) / np.float32(3)]).is_unimodular


def test_orthogonal_and_unimodular_flip_where_generators_are_refused():
    stretched = np.diag([1.0, -1.0 - 1e-6])
    group = Group(2, (), [stretched], exact=True)
    assert not group.is_orthogonal
    assert not group.is_unimodular
    mended = Group(2, (), [np.diag([1.0, -1.0 - 1e-7])])
    assert mended.is_orthogonal
    assert mended.is_unimodular
    assert not Group(2, [np.diag([1.0, -1.0 + 1e-9])], exact=True).is_unimodular


def test_files_keep_what_was_saved(tmp_path):
    group = Group(2, (), np.round(THIRD, 4), exact=True)
    net = EMLP(Vector, Scalar, group, channels=4, layers=1)
    weights = {k: np.zeros(p.shape) for k, p in net.parameters.items()}
    again, _ = load_network(save_network(tmp_path / "net.npz", net, weights))
    assert again.group == group


FINITE = [D(3), D(4), D(5), D(7), D(8), D(12), Z(3), Z(5), S(4), Group(3, (), ICOSAHEDRAL)]


@st.composite
def coordinates(draw):
    """A finite group in random coordinates, orthogonal or not."""
    group, rng = draw(st.sampled_from(FINITE)), np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    p = ortho_group.rvs(group.dim, random_state=rng)
    if draw(st.booleans()):
        p = p @ np.diag(rng.uniform(0.5, 1.5, size=group.dim)) @ ortho_group.rvs(group.dim, random_state=rng)
    return group, p @ group.discrete_generators @ np.linalg.inv(p)


@settings(max_examples=60, deadline=None)
@given(drawn=coordinates(), digits=st.integers(3, 5))
def test_finite_groups_in_any_coordinates(drawn, digits):
    named, h = drawn
    exact = Group(named.dim, (), h)
    np.testing.assert_array_equal(exact.discrete_generators, h)
    assert exact.order == named.order
    single = Group(named.dim, (), h.astype(np.float32))
    assert single.order == named.order
    assert rank(single) == rank(exact) == rank(named)
    try:
        rounded = Group(named.dim, (), np.round(h, digits))
    except ValueError as error:
        assert "is it rounded" in str(error)  # noqa: PT017
    else:  # five digits can happen to be as good as single precision
        assert np.abs(rounded.discrete_generators - np.round(h, digits)).max() < 1e-5
        assert rounded.order == named.order


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), d=st.integers(2, 4))
def test_matrices_that_are_near_nothing_are_kept(seed, d):
    # Away from orthogonal ones, and from determinant one.
    h = np.random.default_rng(seed).normal(size=(2, d, d)) + 3 * np.eye(d)
    h = h[np.abs(np.abs(np.linalg.det(h)) - 1) > 0.1]
    np.testing.assert_array_equal(Group(d, (), h).discrete_generators, h)


def test_groups_are_made_quickly():
    assert O(50).dim == 50  # so(50) has 1,225 generators: whole numbers are exact
    many = np.kron(np.eye(30), about([1, 2, 3], 40))
    assert Group(90, (), many).is_orthogonal


def test_coordinates_that_are_nearly_orthogonal_are_meant():
    p = turn(0.3) @ np.diag([1.0, 1.001]) @ turn(0.5)
    h = np.linalg.inv(p) @ D(3).discrete_generators @ p
    group = Group(2, (), h)
    np.testing.assert_array_equal(group.discrete_generators, h)
    assert group.order == 6
    assert not group.is_orthogonal
