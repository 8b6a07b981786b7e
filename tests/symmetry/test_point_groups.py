"""Point groups and e3nn's notation as text, rotations about an axis, and names of groups."""

import numpy as np
import pytest

import bayes_rpp as rpp
from bayes_rpp.symmetry.parse import parse_group, parse_named_group, parse_rep

ORDERS = {
    "C1": 1, "C2": 2, "C3v": 6, "C2h": 4, "D3": 6, "D4h": 16, "D2d": 8, "S4": 4, "Cs": 2, "Ci": 2,
    "T": 12, "Td": 24, "Th": 24, "O": 24, "Oh": 48, "I": 60, "Ih": 120,
}  # fmt: skip


@pytest.mark.parametrize("name", ORDERS)
def test_point_groups_have_their_orders(name):
    group = parse_group(name)
    assert group.order == ORDERS[name]
    assert group.is_orthogonal
    assert str(group) == name
    proper = np.linalg.det(group.elements) > 0
    assert proper.all() == (name in ("C1", "C2", "D3", "T", "O", "I"))


@pytest.mark.parametrize("name", ["C3d", "D3v", "S3", "C99", "X", "C0"])
def test_other_names_are_not_understood(name):
    with pytest.raises(ValueError, match="is not understood; what would do"):
        parse_group(name)


def test_irreducible_parts_as_e3nn_writes_them():
    assert parse_rep("2x0e + 1o") == parse_rep("2*Scalar + Vector")
    assert parse_rep("1e + 0o") == parse_rep("Pseudoscalar * Vector + Pseudoscalar")
    assert parse_rep("3*1o") == 3 * rpp.Vector
    with pytest.raises(ValueError, match=r"'2x2e' must be one of 0e, 0o, 1o, 1e; T\(2\), which holds it, would do"):
        parse_rep("2x2e")


def test_rotations_about_an_axis():
    axis = np.array([1.0, 2.0, -2.0])
    group = rpp.SO(2, axis=axis)
    for g in group.sample(5, seed=0):
        np.testing.assert_allclose(g @ axis, axis, atol=1e-12)
        np.testing.assert_allclose(g @ g.T, np.eye(3), atol=1e-12)
    z = rpp.SO(2, axis=(0, 0, 3))
    np.testing.assert_array_equal(z.lie_algebra, [[[0, -1, 0], [1, 0, 0], [0, 0, 0]]])
    for n, bad in ((3, (0, 0, 1)), (2, (0, 0, 0)), (2, (0, 1))):
        with pytest.raises(ValueError, match=r"axis must be three numbers, of SO\(2\), got .* axis=\(0, 0, 1\)"):
            rpp.SO(n, axis=bad)


def test_names_beside_groups_with_options():
    assert parse_named_group("about z=SO(2) * Trivial(1)")[0] == "about z"
    name, group = parse_named_group("Group(2, [], [[[0, 1], [1, 0]]], exact=True)")
    assert name.startswith("Group(2")
    assert group.order == 2
