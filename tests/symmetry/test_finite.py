"""Elements of finite groups: quickly, and none of what is infinite."""

import math
import time

import numpy as np
import pytest

from bayes_rpp import SO, D, Group, O, Regular, S, Trivial, Vector, Z
from bayes_rpp.subspaces import equivariant_basis


def turn(angle):
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


@pytest.mark.parametrize(
    ("group", "order"),
    [
        (S(6), 720),
        (S(7), 5040),
        (Z(500), 500),
        (D(300), 600),
        (S(4) * D(5), 240),
        (Trivial(3), 1),
        (S(20), math.factorial(20)),
    ],
    ids=str,
)
def test_the_order_is_known_quickly(group, order):
    start = time.process_time()
    assert group.order == order
    assert time.process_time() - start < 3


def test_regular_of_thousands_of_elements():
    start = time.process_time()
    for group, rank in ((S(6), 6), (S(7), 7), (Z(100), 100)):
        rep = Regular(group)
        assert rep.size == group.order
        # Maps from the regular representation to any other are as many as the other has dimensions.
        assert equivariant_basis(rep, Vector(group)).shape == (rep.size * group.dim, rank)
    assert time.process_time() - start < 20  # some seconds; a minute and a half for S(7) alone, once


@pytest.mark.parametrize("group", [S(8), S(9), S(200), D(6000), S(5) * S(5), Group(2, (), turn(1.0))], ids=str)
def test_regular_of_more_elements_is_refused_at_once(group):
    start = time.process_time()
    size = f"{group.order:,}" if group.order < math.inf else "infinitely many, or very many,"
    with pytest.raises(ValueError, match=f"got .*, which has {size} of them; a smaller group, or Vector"):
        Regular(group)
    assert time.process_time() - start < 10


def test_too_many_elements_are_named():
    with pytest.raises(ValueError, match=r"S\(9\) has 362,880 elements, too many to list; up to 50,000 would do"):
        _ = S(9).elements
    with pytest.raises(ValueError, match="cannot be listed"):
        _ = SO(3).elements
    assert O(3).order == math.inf


@pytest.mark.parametrize(
    "generator", [turn(1.0), 2 * np.eye(2), 0.5 * np.eye(2), np.diag([2, 0.5]), [[1, 1], [0, 1]], 1.0001 * np.eye(2)]
)
def test_infinite_groups_have_no_list(generator):
    group = Group(2, (), generator)
    assert group.order == math.inf
    assert not group.is_finite
    with pytest.raises(ValueError, match="infinitely many, or very many, elements"):
        _ = group.elements
    assert np.isfinite(group.sample(3, seed=0)).all()


@pytest.mark.parametrize("group", [S(4), Z(5), D(5), D(4) * S(3), Group(2, (), 0.5 * np.array([[1, -3], [1, 1]]))])
def test_regular_is_the_group_acting_on_its_elements(group):
    elements, rep = group.elements, Regular(group)
    for k in (0, 1, len(elements) - 1):
        m = rep.rho(elements[k])
        np.testing.assert_allclose(
            np.einsum("yx,yij->xij", m, elements), elements[k] @ elements, atol=1e-9
        )  # column x has its 1 in the row of g x
    with pytest.raises(ValueError, match="g must be an element of"):
        rep.rho(1.5 * np.eye(group.dim))
    with pytest.raises(ValueError, match="g must be an element of"):
        rep.rho(np.ones((group.dim, group.dim)))


def test_elements_in_coordinates_in_which_the_group_is_not_orthogonal():
    p = np.array([[1.0, 0.7, 0.1], [0.0, 1.3, 0.2], [0.3, 0.0, 0.8]])
    there, back = np.linalg.inv(p), p
    group = Group(3, (), there @ S(3).discrete_generators @ back)
    np.testing.assert_allclose(group.elements, there @ S(3).elements @ back, atol=1e-12)
    assert not group.is_orthogonal
    assert group.is_unimodular
    counts = np.zeros(6)
    for g in group.sample(600, seed=0):
        counts[np.abs(group.elements - g).max(axis=(1, 2)).argmin()] += 1
    assert counts.min() > 60
