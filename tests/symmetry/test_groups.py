import numpy as np
import pytest

from bayes_rpp import SL, SO, D, Group, Lorentz, O, S, Sp, Trivial, Z
from bayes_rpp.symmetry.groups import minkowski_metric, symplectic_form

ALL = [O(1), O(3), SO(2), SO(3), SL(3), Sp(2), Lorentz(), S(5), Z(4), D(4), D(5), Trivial(3), O(2) * S(3)]


@pytest.mark.parametrize("group", ALL, ids=str)
def test_samples_are_matrices_of_the_group(group):
    g = group.sample(20, seed=0)
    assert g.shape == (20, group.dim, group.dim)
    np.testing.assert_array_equal(g, group.sample(20, seed=0))
    if group.is_orthogonal:
        np.testing.assert_allclose(g @ g.transpose(0, 2, 1), np.broadcast_to(np.eye(group.dim), g.shape), atol=1e-10)


def test_classical_groups_keep_their_forms():
    np.testing.assert_allclose(np.linalg.det(SL(3).sample(10, 0)), 1.0, atol=1e-9)
    np.testing.assert_allclose(np.linalg.det(SO(3).sample(10, 0)), 1.0, atol=1e-9)
    for group, form in ((Lorentz(), minkowski_metric()), (Sp(2), symplectic_form(2))):
        for g in group.sample(10, 0):
            np.testing.assert_allclose(g.T @ form @ g, form, atol=1e-8)


def test_haar_measure_on_rotations():
    # Under Haar every column is uniform on the sphere: mean 0 and second moment I / 3; reflections are half of O(3).
    g = O(3).sample(4000, seed=1)
    np.testing.assert_allclose(g.mean(axis=0), 0, atol=0.05)
    np.testing.assert_allclose(np.einsum("ni,nj->ij", g[:, :, 0], g[:, :, 0]) / 4000, np.eye(3) / 3, atol=0.03)
    assert abs((np.linalg.det(g) > 0).mean() - 0.5) < 0.05


@pytest.mark.parametrize(("group", "order"), [(S(4), 24), (Z(6), 6), (D(4), 8), (D(5), 10), (Trivial(2), 1)], ids=str)
def test_finite_groups_list_their_elements_and_sample_them_uniformly(group, order):
    assert len(group.elements) == order
    counts = np.zeros(order)
    for g in group.sample(200 * order, seed=0):
        counts[np.abs(group.elements - g).max(axis=(1, 2)).argmin()] += 1
    assert counts.min() > 120
    assert counts.max() < 290


def test_a_group_from_generators_equals_the_named_one_but_for_its_solver():
    own = Group(3, SO(3).lie_algebra, name="mine")
    g = own.sample(2000, seed=0)
    np.testing.assert_allclose(g @ g.transpose(0, 2, 1), np.broadcast_to(np.eye(3), g.shape), atol=1e-8)
    np.testing.assert_allclose(g.mean(axis=0), 0, atol=0.06)


def test_product_acts_block_by_block():
    group = O(2) * S(3)
    g = group.sample(5, seed=0)
    assert group.dim == 5
    np.testing.assert_array_equal(g[:, :2, 2:], 0)
    np.testing.assert_array_equal(g[:, 2:, :2], 0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Group(0), r"dim must be a whole number >= 1, as a group acts on R\^dim, got 0"),
        (lambda: Group(3, np.zeros((1, 2, 2))), r"lie_algebra must be.*, got shape \(1, 2, 2\) \(dim=3\)"),
        (lambda: Group(2, discrete_generators=[np.zeros((2, 2))]), "singular"),
        (lambda: Group(2, [[[np.nan, 0], [0, 0]]]), "lie_algebra must be finite, got NaN or infinite values"),
        (lambda: O(0), "whole number"),
        (lambda: SO("a"), "whole number"),
        (lambda: Group("a"), r"dim must be a whole number >= 1, as a group acts on R\^dim, got 'a'"),
        (lambda: Group(3, [[1, 2], [3]]), "lie_algebra must be an array of numbers, got one that cannot be read:"),
        (lambda: SO(3).elements, "cannot be listed"),
        (lambda: O(3).sample(0), r"n must be a whole number >= 1, the elements that sample\(\) draws, got 0"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("exact", [False, True])
def test_a_group_keeps_its_matrices_when_the_users_arrays_change(exact):
    turn, flip = np.array([[[0.0, -1.0], [1.0, 0.0]]]), np.array([[[1.0, 0.0], [0.0, -1.0]]])
    group = Group(2, turn, flip, exact=exact)
    turn[:], flip[:] = 0, 0
    assert group == Group(2, [[[0, -1], [1, 0]]], [[1, 0], [0, -1]])


def test_samples_in_coordinates_in_which_the_group_is_not_orthogonal():
    p = np.array([[1.0, 0.7, 0.1], [0.0, 1.3, 0.2], [0.3, 0.0, 0.8]])
    back = np.linalg.inv(p)
    group = Group(3, back @ SO(3).lie_algebra @ p, back @ O(3).discrete_generators @ p)
    assert not group.is_orthogonal
    assert group.is_unimodular
    form = p.T @ p
    for g in group.sample(20, seed=0):
        np.testing.assert_allclose(g.T @ form @ g, form, atol=1e-8)


@pytest.mark.parametrize("n", [*range(1, 60), 97, 360, 401, 1000, 3001, 10_007])
def test_regular_polygons_are_exact_as_they_are(n):
    named = D(n)
    c, s = np.cos(2 * np.pi / n), np.sin(2 * np.pi / n)
    own = Group(2, (), [[[c, -s], [s, c]], [[1, 0], [0, -1]]])
    np.testing.assert_array_equal(own.discrete_generators[0], [[c, -s], [s, c]])
    np.testing.assert_allclose(
        own.discrete_generators[0], D(n).discrete_generators[0] if n > 1 else np.eye(2), atol=1e-15
    )
    assert named.order == own.order == 2 * n


def test_the_trivial_groups_have_no_generators():
    for group in (Trivial(3), Z(1), SO(1), S(1), Group(2, np.zeros((1, 2, 2))), Trivial(2) * SO(1)):
        assert group.is_trivial
    for group in (SO(2), O(1), S(2), Trivial(2) * Z(2), SO(2) * Trivial(1)):
        assert not group.is_trivial
