"""Reflections beside rotations that are known."""

import numpy as np
import pytest

import bayes_rpp as rpp
from bayes_rpp.analysis.discovery.discrete_extensions import discrete_extensions
from bayes_rpp.symmetry.discovery.cosets import extensions, larger
from bayes_rpp.symmetry.groups import Group, Trivial

ABOUT_Z = Group(3, [[[0.0, -1, 0], [1, 0, 0], [0, 0, 0]]], name="SO(2)")
ACROSS, CONTAINS, TURN = "plane orthogonal to (0, 0, 1)", "plane that contains (0, 0, 1)", "a half turn about an axis"


def _found(f, rep_in, rep_out, group, n=50, seed=0, noise=0.02):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, rep_in(group).size))
    y = f(x)
    y = y + noise * y.std() * rng.normal(size=y.shape)
    found = discrete_extensions(x, y, rep_in=rep_in, rep_out=rep_out, group=group)
    g, rho_out = found.group.sample(3, 0), found.rep_out(found.group).rho
    for one in g:  # what it says holds for f
        np.testing.assert_allclose(f(x @ rep_in(found.group).rho(one).T), f(x) @ rho_out(one).T, atol=1e-6)
    return found


def _radius(x):
    return np.hypot(x[:, 0], x[:, 1])


def test_a_scalar_about_an_axis_has_reflections_that_say_nothing_and_one_that_is_found():
    found = _found(
        lambda x: (np.exp(-_radius(x)) + _radius(x) * x[:, 2] ** 2)[:, None], rpp.Vector, rpp.Scalar, ABOUT_Z
    )
    assert found.group.name == "O(2) x Z(2) about (0, 0, 1)"
    assert [nats > 5 for _, _, nats in found.found] == [False, True]
    assert "contains (0, 0, 1) (as all functions of the group have it)" in str(found)
    found = _found(lambda x: (_radius(x) + _radius(x) * x[:, 2] + x[:, 2])[:, None], rpp.Vector, rpp.Scalar, ABOUT_Z)
    assert found.group.name == "O(2) about (0, 0, 1)"


def test_rotations_of_space_become_orthogonal_maps_of_a_vector_and_of_a_torque():
    def force(x):
        a, b = x[:, :3], x[:, 3:]
        return a * np.exp(-0.2 * (b * b).sum(1))[:, None] + b * (a * b).sum(1)[:, None]

    found = _found(force, 2 * rpp.Vector, rpp.Vector, rpp.SO(3), n=30, noise=0.2)
    assert [nats > 0 for _, nats in found.tried] == [True, False]
    assert found.doubts[0].startswith("-1: the data do not say (")
    found = _found(force, 2 * rpp.Vector, rpp.Vector, rpp.SO(3), n=80)
    assert (found.group, found.rep_out, found.is_soft) == (rpp.O(3), rpp.Vector, False)
    found = _found(lambda x: np.cross(x[:, :3], x[:, 3:]), 2 * rpp.Vector, rpp.Vector, rpp.SO(3), n=30)
    assert (found.group, found.rep_out) == (rpp.O(3), rpp.Pseudoscalar * rpp.Vector)


def test_what_is_chiral_has_no_reflection():
    found = _found(lambda x: x[:, :3] + np.cross(x[:, :3], x[:, 3:]), 2 * rpp.Vector, rpp.Vector, rpp.SO(3), n=30)
    assert (found.found, found.group) == ([], rpp.SO(3))
    assert "no reflection found" in str(found)


def test_the_field_of_a_dipole_changes_sign_where_its_axis_is_reversed():
    def field(x):
        square = (x * x).sum(1)[:, None]
        return (3 * x[:, 2:] * x - square * np.eye(3)[2]) / (1 + square) ** 1.5

    found = _found(field, rpp.Vector, rpp.Vector, ABOUT_Z)
    assert found.group.name == "O(2) x Z(2) about (0, 0, 1)"
    assert len(found.found) == 2
    rho = found.rep_out(found.group).rho
    np.testing.assert_array_equal(rho(np.diag([1.0, 1, -1])), np.diag([-1.0, -1, 1]))
    np.testing.assert_array_equal(rho(np.diag([1.0, -1, 1])), np.diag([1.0, -1, 1]))


def test_soft_functions_judge_where_the_rotations_hold_roughly():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 2))
    y = x * np.exp(-0.3 * (x * x).sum(1))[:, None] * (1 + 0.3 * np.sin(x[:, :1])) + 0.02 * rng.normal(size=(60, 2))
    found = discrete_extensions(x, y, rep_in=rpp.Vector, rep_out=rpp.Vector, group=rpp.SO(2))
    assert found.is_soft
    assert found.doubts[0].startswith("y is not strictly equivariant under SO(2)")
    assert found.group == rpp.O(2)


@pytest.mark.parametrize(
    ("group", "count"),
    [(rpp.SO(2), 1), (rpp.SO(3), 1), (ABOUT_Z, 3), (rpp.O(3), 0), (rpp.SO(2) * rpp.SO(2), 1), (rpp.Z(2), 1)],
    ids=str,
)  # fmt: skip
def test_candidates_normalise_the_group_and_are_not_in_it(group, count):
    found = extensions(group)
    assert len(found) == count
    a = group.lie_algebra.reshape(-1, group.dim**2)
    for _, h in found:
        b = (h @ group.lie_algebra @ h.T).reshape(a.shape)
        assert np.linalg.matrix_rank(np.concatenate([a, b])) == np.linalg.matrix_rank(a)
        assert np.abs(group.sample(100, 0) - h).max(axis=(1, 2)).min() > 0.01


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"group": "SO(3)"}, TypeError, "group must be a Group, got a str"),
        ({"group": rpp.SL(3)}, ValueError, "group must be a group of orthogonal matrices"),
        (
            {"rep_in": 2 * rpp.Vector},
            ValueError,
            r"rep_in must have size 3, the columns of x, got 2 \* Vector of size 6",
        ),
        ({"rep_out": 1}, TypeError, "rep_out must be a representation"),
        ({"group": rpp.SO(2) * rpp.SO(1), "rep_in": rpp.Vector.on(0)}, ValueError, "rep_in must fit the group"),
        ({"x": np.full((20, 3), np.inf)}, ValueError, "x must be finite"),
        ({"seed": 0.5}, ValueError, "seed must be"),
    ],
)
def test_what_does_not_fit_is_named(changes, error, words):
    given = {
        "x": np.zeros((20, 3)),
        "y": np.zeros((20, 3)),
        "rep_in": rpp.Vector,
        "rep_out": rpp.Vector,
        "group": rpp.SO(3),
    }
    given |= changes
    with pytest.raises(error, match=words):
        discrete_extensions(given.pop("x"), given.pop("y"), **given)


@pytest.mark.parametrize(
    ("signs", "name"),
    [
        ([[-1, 1, 1]], "Z(2) by reflection"),
        ([[1, -1, -1]], "Z(2) by half turn"),
        ([[-1, -1, -1]], "Z(2) by inversion"),
        ([[-1, 1, 1], [1, -1, 1]], "2 reflections and half turns"),
    ],
)
def test_what_is_discrete_alone_has_a_name_of_its_own(signs, name):
    group = larger(Trivial(3), [np.diag(np.array(s, dtype=float)) for s in signs])
    assert (group.name, len(group.discrete_generators)) == (name, len(signs))
