"""Lie algebras near spans that noise moved."""

import numpy as np
import pytest
from scipy.stats import ortho_group

from bayes_rpp.groups import SL, Lorentz, Sp
from bayes_rpp.symmetry.discovery.algebra import antisymmetric, bracket_defect, nearest_algebra, span_distance
from bayes_rpp.symmetry.discovery.ideals import split_ideals

PLANES = np.zeros((2, 4, 4))
PLANES[0, :2, :2] = PLANES[1, 2:, 2:] = [[0, -1], [1, 0]]
HEISENBERG = np.zeros((3, 3, 3))
HEISENBERG[[0, 1, 2], [0, 1, 0], [1, 2, 2]] = 1
ALGEBRAS = {
    "SO(3)": antisymmetric(3),
    "SO(2) x SO(2)": PLANES,
    "SO(1, 3)": Lorentz().lie_algebra,
    "SO(3) and scaling": np.concatenate([antisymmetric(3), np.eye(3)[None]]),
    "SL(2)": SL(2).lie_algebra,
    "SL(3)": SL(3).lie_algebra,
    "Sp(2)": Sp(2).lie_algebra,
    "affine": np.array([[[1.0, 0], [0, 0]], [[0, 1.0], [0, 0]]]),
    "Heisenberg": HEISENBERG,
    "SO(5)": antisymmetric(5),
}


def noisy(a, noise, seed, stretch=0.2):
    """An orthonormal basis in other coordinates, and the same with noise of that relative size."""
    n, rng = a.shape[-1], np.random.default_rng(seed)
    q = ortho_group.rvs(n, random_state=seed) @ np.diag(np.exp(stretch * rng.normal(size=n)))
    moved = (q @ a @ np.linalg.inv(q)).reshape(len(a), -1)
    moved = np.linalg.qr(moved.T)[0].T.reshape(a.shape)
    error = rng.normal(size=a.shape)
    return moved, moved + noise * error / np.linalg.norm(error, axis=(1, 2), keepdims=True)


@pytest.mark.parametrize("noise", [0.01, 0.05])
@pytest.mark.parametrize("name", ALGEBRAS)
def test_the_nearest_algebra_is_closed_and_as_near_as_the_true_one(name, noise):
    for seed in range(3):
        true, given = noisy(ALGEBRAS[name], noise, seed)
        found = nearest_algebra(given)
        assert bracket_defect(found) < 1e-9
        flat = found.reshape(len(found), -1)
        np.testing.assert_allclose(flat @ flat.T, np.eye(len(found)), atol=1e-12)
        assert span_distance(found, given) <= span_distance(true, given) * 1.01 + 1e-12


def test_an_algebra_is_its_own_nearest_one():
    for a in ALGEBRAS.values():
        assert bracket_defect(a) < 1e-12
        assert span_distance(nearest_algebra(a), a) < 1e-6


def test_within_rotations_the_answer_is_antisymmetric():
    rng = np.random.default_rng(0)
    skew = antisymmetric(4)
    given = np.tensordot(np.eye(3, 6) + 0.05 * rng.normal(size=(3, 6)), skew[[0, 1, 3, 2, 4, 5]], 1)
    found = nearest_algebra(given)
    assert bracket_defect(given) > 0.01 > 1e-9 > bracket_defect(found)
    np.testing.assert_array_equal(found, -found.swapaxes(1, 2))


def test_one_generator_and_all_matrices_are_closed():
    a = np.random.default_rng(0).normal(size=(1, 3, 3))
    assert span_distance(nearest_algebra(a), a) < 1e-7
    assert len(nearest_algebra(np.eye(9).reshape(9, 3, 3))) == 9
    assert nearest_algebra(np.zeros((0, 3, 3))).shape == (0, 3, 3)


def test_nothing_near_is_closed():
    """so(4) has no subalgebra of dimension 5."""
    assert nearest_algebra(antisymmetric(4)[:5]) is None


def test_within_an_algebra():
    blocks = np.concatenate([np.pad(antisymmetric(3), ((0, 0), (0, 1), (0, 1))), np.diag([0, 0, 0, 1.0])[None]])
    given = blocks[:3] + 0.03 * np.random.default_rng(0).normal(size=(3, 4, 4))
    found = nearest_algebra(given, within=blocks)
    assert span_distance(found, blocks[:3]) < 1e-8


def test_weights_keep_the_generators_that_are_known_well():
    """Not exactly: what turns with a trace, as noise leaves it, is in no SO(3)."""
    for seed in range(5):
        given = noisy(antisymmetric(3), 0.05, seed)[1]
        alike, weighted = (nearest_algebra(given, w) for w in (None, [100.0, 1, 1]))
        assert off(given[0], weighted) < 0.8 * off(given[0], alike)


def off(a, basis):
    return np.linalg.norm(a - np.tensordot(np.tensordot(basis, a, 2), basis, 1))


@pytest.mark.parametrize(
    ("name", "center", "simple"),
    [
        ("SO(3)", 0, [3]),
        ("SO(2) x SO(2)", 2, []),
        ("SO(1, 3)", 0, [6]),
        ("SO(3) and scaling", 1, [3]),
        ("Sp(2)", 0, [10]),
    ],
)
def test_ideals(name, center, simple):
    found = split_ideals(nearest_algebra(ALGEBRAS[name]))
    assert found.is_reductive
    assert (len(found.center), [len(s) for s in found.simple]) == (center, simple)


def test_the_rotations_of_four_dimensions_are_two_ideals():
    assert [len(s) for s in split_ideals(antisymmetric(4)).simple] == [3, 3]


@pytest.mark.parametrize("name", ["affine", "Heisenberg"])
def test_solvable_algebras_are_not_reductive(name):
    assert not split_ideals(nearest_algebra(ALGEBRAS[name])).is_reductive
