"""A search takes algebras, whose brackets close, and no other spans."""

from dataclasses import replace

import numpy as np

import bayes_rpp as rpp
from bayes_rpp.symmetry.discovery import search as searching
from bayes_rpp.symmetry.discovery.actions import known_actions
from bayes_rpp.symmetry.discovery.algebra import bracket_defect
from bayes_rpp.symmetry.discovery.steps import Step, free, orthonormal_rows

X = np.random.default_rng(0).normal(size=(24, 3))
Y = np.sin((X**2).sum(axis=1, keepdims=True) / 2)
ACTIONS = known_actions(rpp.Vector, rpp.Scalar, 3, None)


def step(*generators):
    model = free(X, Y, ACTIONS, searching.FEW)
    directions = orthonormal_rows(ACTIONS.coordinates(np.array(generators, dtype=float)))
    return Step("all", replace(model, directions=directions), 2)


def turn(i, j):
    a = np.zeros((3, 3))
    a[i, j], a[j, i] = -1.0, 1.0
    return a


def test_two_rotations_make_the_third():
    two = step(turn(0, 1), turn(1, 2))
    span = searching._bracketed(two)
    np.testing.assert_allclose(span.T @ span, ACTIONS.wholes["rotations"].T @ ACTIONS.wholes["rotations"], atol=1e-12)
    found = list(searching._closed(two, X, Y))
    assert 3 in {s.dimension for s in found}
    assert all(bracket_defect(np.tensordot(s.model.directions, ACTIONS.base, 1)) < 1e-9 for s in found)


def test_a_named_algebra_is_tried_beside_what_nearly_lies_in_it():
    rotations = ACTIONS.wholes["rotations"]
    noisy = step(turn(0, 1) + 0.05 * np.eye(3)).model.directions
    far = step(turn(0, 1) + 0.5 * np.eye(3)).model.directions
    assert searching._holds(rotations, noisy)
    assert not searching._holds(rotations, far)
    assert not searching._holds(rotations, rotations)


def test_two_directions_that_hold_are_not_taken_without_their_brackets(monkeypatch):
    """Only two rotations are proposed, which are no algebra; all three are taken in their place."""
    two = step(turn(0, 1), turn(1, 2))
    monkeypatch.setattr(searching, "_wholes", lambda *a: iter(()))
    monkeypatch.setattr(searching, "_grown", lambda now, x, y: iter([two] if not now.dimension else []))
    monkeypatch.setattr(searching, "_together", lambda *a: iter(()))
    fitted = Step("all", two.model.fitted(iterations=20), 0)
    monkeypatch.setattr(searching, "_followed", lambda rough, least: [fitted] if rough else [])
    taken, tried = searching.search(X, Y, ACTIONS)
    assert [s.dimension for s in taken] == [0, 3]
    assert all(s.dimension != 2 for s in tried)


def test_the_least_violated_direction_is_tried_at_first_whatever_its_violation(monkeypatch):
    """A function of few data without the symmetry may miss the whole of f."""
    monkeypatch.setattr(searching, "STRONG", (0.0, 0.0))
    none = Step("none", free(X, Y, ACTIONS, searching.FEW), 0)
    assert [s.name for s in searching._grown(none, X, Y)] == list(ACTIONS.families)
    assert not list(searching._grown(step(turn(0, 1)), X, Y))
