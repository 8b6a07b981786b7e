import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from bayes_rpp import SL, SO, D, O, S, Trivial, Z
from bayes_rpp.symmetry.elements import cycles, describe_elements, spread_elements


def test_rotations_are_described_by_axis_and_angle():
    vectors = np.array([[0, 0, 0.5], [0, 0, -0.5], [0.3, 0, 0], [0, -1.0, 0], [0, 0, 0], [0, 0, np.pi]])
    found = describe_elements(np.concatenate([Rotation.from_rotvec(vectors).as_matrix(), -np.eye(3)[None]]))
    assert found.kind == "rotation"
    np.testing.assert_allclose(found.angle, [0.5, -0.5, 0.3, -1, 0, np.pi, 0], atol=1e-9)
    np.testing.assert_allclose(found.axis[[0, 1, 2, 3]], [[0, 0, 1], [0, 0, 1], [1, 0, 0], [0, 1, 0]], atol=1e-9)
    assert np.isnan(found.axis[4]).all()
    assert found.reflects.tolist() == [False] * 6 + [True]
    assert found.labels[0] == "29° about (0.00, 0.00, 1.00)"
    assert found.labels[6] == "0°, reflected"


def test_axis_and_angle_give_the_element_back():
    g = O(3).sample(50, seed=0)
    found = describe_elements(g)
    back = Rotation.from_rotvec(found.axis * found.angle[:, None]).as_matrix()
    np.testing.assert_allclose(np.where(found.reflects, -1, 1)[:, None, None] * back, g, atol=1e-9)
    assert (found.axis[:, 2] >= 0).all()


def test_plane_permutations_and_others():
    assert describe_elements(D(3).elements).kind == "rotation"
    found = describe_elements(S(4).sample(20, seed=1))
    assert found.kind == "permutation"
    for g, p in zip(found.matrices, found.permutation, strict=True):
        assert (g[p, np.arange(4)] == 1).all()
    assert cycles(np.array([1, 0, 3, 2])) == "(1 2)(3 4)"
    assert cycles(np.arange(3)) == "identity"
    other = describe_elements(SL(2).sample(3, seed=0))
    assert other.kind == "matrix"
    assert other.labels == ["element 0", "element 1", "element 2"]


@pytest.mark.parametrize("group", [SO(2), O(2), SO(3), O(3), SO(2) * Trivial(1), O(4), SL(2), S(3), S(8), Z(300), D(5)])
def test_spread_elements_lie_in_the_group(group):
    g = spread_elements(group, 60, seed=0)
    assert 1 < len(g) <= 66
    assert g.shape[1:] == (group.dim, group.dim)
    assert np.abs(g - np.eye(group.dim)).max(axis=(1, 2)).max() > 0.1
    if group.is_orthogonal:
        np.testing.assert_allclose(g @ g.transpose(0, 2, 1), np.eye(group.dim) + 0 * g, atol=1e-9)
    if group.name in ("SO(2)", "SO(3)", "SL(2)"):
        np.testing.assert_allclose(np.linalg.det(g), 1)
    if group.name == "O(3)":
        assert (np.linalg.det(g) < 0).mean() == 0.5


def test_swaps_come_first_and_products_move_each_factor():
    found = describe_elements(spread_elements(S(8), 40, seed=0))
    assert all(label.count(" ") == 1 for label in found.labels[:28])
    g = spread_elements(S(3) * SO(2), 60, seed=0)
    still = [np.allclose(g[:, :3, :3], np.eye(3), atol=1e-9), np.allclose(g[:, 3:, 3:], np.eye(2))]
    assert still == [False, False]
    assert any(np.allclose(one[3:, 3:], np.eye(2)) and not np.allclose(one, np.eye(5)) for one in g)
    assert spread_elements(Trivial(2) * Trivial(1)).shape == (1, 3, 3)
