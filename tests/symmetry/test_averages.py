"""Averages over groups: sums over sets that are closed, or doubled, whose weights add up to one."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from scipy.special import gamma, iv

from bayes_rpp import SL, SO, D, Group, Lorentz, O, S, Scalar, Sp, T, Trivial, Vector, Z
from bayes_rpp.subspaces import equivariant_basis
from bayes_rpp.symmetry.averages import MOST, haar_average

TILT = Rotation.from_rotvec([0.7, -0.4, 0.2]).as_matrix()
TURN = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 0]])
ABOUT_A_TILTED_AXIS = Group(3, [TILT @ TURN @ TILT.T], name="tilted SO(2)")
WITH_A_MIRROR = Group(3, [TURN], [np.diag([1.0, -1, 1])], name="O(2) in space")
TWO_SPEEDS = Group(4, [np.kron(np.diag([1.0, 3]), [[0.0, -1], [1, 0]])], name="speeds 1 and 3")
FINITE = [Trivial(2), Z(5), D(4), S(4), S(3) * D(5), Group(3, discrete_generators=[-np.eye(3)], name="inversion")]
CIRCLES = [SO(2), O(2), ABOUT_A_TILTED_AXIS, WITH_A_MIRROR, TWO_SPEEDS, SO(2) * S(3), SO(2) * O(2)]
SPACE = [SO(3), O(3), SO(3) * Z(3)]
DRAWN = [S(6), SO(4), O(3) * O(3), SO(4) * Z(2), Group(2, [], [Rotation.from_rotvec([0, 0, 1.0]).as_matrix()[:2, :2]])]
ALL = [*FINITE, *CIRCLES, *SPACE, *DRAWN]


def as_set(matrices):
    return {tuple(np.round(m, 6).ravel() + 0.0) for m in matrices}


@pytest.mark.parametrize("level", [0, 2])
@pytest.mark.parametrize("group", ALL, ids=str)
def test_weights_add_up_to_one_and_elements_are_of_the_group(group, level):
    average = haar_average(group, level)
    for elements, weights in (average.whole, average.half):
        assert len(elements) == len(weights)
        assert (weights > 0).all()
        assert weights.sum() == pytest.approx(1, abs=1e-12)
        np.testing.assert_allclose(elements @ elements.swapaxes(1, 2), np.eye(group.dim) + 0 * elements, atol=1e-8)
    assert len(average.whole[0]) == len(average)
    assert len(average.cosets) <= MOST
    np.testing.assert_allclose(average.closed[0], np.eye(group.dim), atol=1e-12)
    # What the group leaves alone, so do its elements: tensors of order two.
    rep = T(2)(group)
    fixed = equivariant_basis(Vector(group), Vector(group))
    elements = average.whole[0][:: max(1, len(average) // 50)]
    moved = rep.rho(elements) @ fixed
    np.testing.assert_allclose(moved, np.broadcast_to(fixed, moved.shape), atol=1e-8)


@pytest.mark.parametrize("group", [*ALL, S(7)], ids=str)
def test_half_is_the_whole_once_it_is_symmetric(group):
    average = haar_average(group)
    rng = np.random.default_rng(0)
    a = rng.normal(size=(group.dim, group.dim))

    def sums(elements, weights):
        """Of tanh(tr(a g)) g, and of the same of the inverses."""
        by = np.einsum("k,kij->ij", weights * np.tanh(np.einsum("ij,kji->k", a, elements)), elements)
        back = np.einsum("k,kji->ij", weights * np.tanh(np.einsum("ij,kij->k", a, elements)), elements)
        return 0.5 * (by + back)

    np.testing.assert_allclose(sums(*average.half), sums(*average.whole), atol=1e-12)
    assert len(average.half[0]) <= len(average)


@pytest.mark.parametrize("group", FINITE, ids=str)
def test_finite_groups_are_summed_over_one_and_all(group):
    average = haar_average(group)
    assert average.is_exact
    assert len(average) == group.order
    assert as_set(average.whole[0]) == as_set(group.elements)
    assert haar_average(group, 3) is haar_average(group, 3)
    assert len(haar_average(group, 3)) == group.order


@pytest.mark.parametrize("group", [*FINITE, *CIRCLES, *SPACE], ids=str)
def test_the_sums_are_closed(group):
    """Of any two elements the product is an element: what makes the sum a projector, and a covariance positive."""
    closed = haar_average(group).closed
    rng = np.random.default_rng(0)
    i, j = rng.integers(len(closed), size=(2, 200))
    assert as_set(closed[i] @ closed[j]) <= as_set(closed)
    assert as_set(np.linalg.inv(closed)) == as_set(closed)


@pytest.mark.parametrize("group", [*FINITE, *CIRCLES, *SPACE], ids=str)
def test_low_tensors_are_averaged_exactly(group):
    for rep in (Vector, T(2)):
        bound = rep(group)
        elements, weights = haar_average(group).whole
        q = equivariant_basis(Scalar(group), bound)
        np.testing.assert_allclose(np.tensordot(weights, bound.rho(elements), 1), q @ q.T, atol=1e-10)


@pytest.mark.parametrize(
    ("group", "errors"),
    [
        (SO(2), [1e-8, 1e-12, 1e-12, 1e-12]),
        (SO(3), [0.01, 2e-3, 3e-5, 1e-5]),
        (O(3), [0.01, 2e-3, 3e-5, 1e-5]),
        (SO(4), [0.5, 0.5, 0.3, 0.15]),
    ],
    ids=str,
)
def test_levels_are_finer_and_finer(group, errors):
    """exp(3 u . g v) over a sphere, whose average is a Bessel function."""
    rng, strength, order = np.random.default_rng(0), 3.0, group.dim / 2 - 1
    u, v = (x / np.linalg.norm(x) for x in rng.normal(size=(2, group.dim)))
    wanted = gamma(order + 1) * (2 / strength) ** order * iv(order, strength)
    for level, error in enumerate(errors):
        elements, weights = haar_average(group, level).whole
        assert weights @ np.exp(strength * elements @ v @ u) == pytest.approx(wanted, rel=error)


@pytest.mark.parametrize("group", [SL(2), SL(3) * Z(2), Sp(1), Lorentz(), Group(2, [[[1.0, 0], [0, -1.0]]])], ids=str)
def test_groups_that_are_not_compact_are_for_networks(group):
    with pytest.raises(ValueError, match=r"group must be a group of orthogonal matrices.*Model\(EMLP\("):
        haar_average(group)


@pytest.mark.parametrize(
    "group",
    [
        Group(3, [TURN, 2 * TURN, -TURN], name="one circle, three times"),
        Group(3, [TURN, TILT @ TURN @ TILT.T], name="two axes, all of SO(3)"),
        Group(2, [np.zeros((2, 2))], name="no circle"),
        Group(4, [np.kron(np.diag([1.0, np.sqrt(2)]), [[0.0, -1], [1, 0]])], exact=True, name="never back"),
    ],
    ids=str,
)
def test_odd_generators(group):
    elements, weights = haar_average(group, 1).whole
    assert weights.sum() == pytest.approx(1, abs=1e-12)
    fixed = equivariant_basis(Vector(group), Vector(group))
    moved = T(2)(group).rho(elements) @ fixed
    np.testing.assert_allclose(moved, np.broadcast_to(fixed, moved.shape), atol=1e-8)
