"""Functions of the user's that are no representations, each right where two random elements would not tell."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm, logm
from scipy.stats import ortho_group

from bayes_rpp import SL, SO, D, Group, Lorentz, O, Rep, S, Sp, Trivial, Z


def turn(angle):
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def angle(g):
    return np.arctan2(g[1, 0], g[0, 0])


def odd_forgotten(g):
    return g if np.linalg.det(g) > 0 else np.eye(len(g))


def half(g):
    return np.real(expm(logm(g) / 2))


def halved(g):
    g *= 0.5
    return 2 * g


ELLIPSE = Group(2, [[[0, -4], [1, 0]]])
ENDLESS = Group(2, (), turn(1.0))


@pytest.mark.parametrize("group", [S(3), S(4), S(5), S(7), S(8), D(4), O(2), O(3), O(4), Lorentz()], ids=str)
def test_a_rho_that_forgets_the_odd_elements(group):
    with pytest.raises(ValueError, match=r"no representation of .*off by .* from rho\(g h\) = rho\(g\) rho\(h\)"):
        Rep.custom(odd_forgotten)(group)


@pytest.mark.parametrize(
    ("rho", "group", "message"),
    [
        (odd_forgotten, Z(4), "no representation"),
        (lambda g: g if g[0, 0] else np.eye(7), S(7), "no representation"),
        (lambda g: g if g[0, 0] > 0 else np.eye(4), Lorentz(), "no representation"),
        (lambda g: g if g[2, 2] else np.eye(5), O(2) * S(3), "no representation"),
        (lambda g: turn(angle(g) / 2), SO(2), "no representation"),
        (lambda g: turn(angle(g) / 2), ENDLESS, "no representation"),
        (half, ELLIPSE, "no representation"),
        (half, SO(3), "no representation"),
        (lambda g: turn(np.argmax(g[:, 0]) * np.pi / 4), Z(4), "no representation"),
        (lambda g: g.T, O(3), "no representation"),
        (lambda g: np.linalg.inv(g), SL(2), "no representation"),
        (lambda g: np.abs(g), O(2), "no representation"),
        (lambda g: 2 * g, O(3), r"off by 1 from rho\(I\) = I"),
        (lambda g: g if np.linalg.det(g) > 0 else np.kron(g, g), O(3), "of size 3, another .* of size 9"),
        (lambda g: g + 1e-9 * np.random.default_rng().normal(size=g.shape), O(3), "differs from call to call"),
        (lambda g: (g.astype(np.float32) @ g.astype(np.float32).T) @ g.astype(np.float32), O(3), "in single precision"),
        (lambda g: g[:, :2, :2], O(3), r"must take one \(d, d\) matrix, got IndexError for one of shape \(3, 3\)"),
        (lambda g: g[None], O(3), "rho of the custom representation 'mine' must give a finite square"),
        (lambda g: g * np.nan, O(3), "rho of the custom representation 'mine' must give a finite square"),
        (lambda g: "g", O(3), "must hold numbers, got dtype"),
        (lambda g: None, O(3), "must hold numbers, got dtype"),
        (lambda g, h: g, O(3), "got TypeError"),
        (lambda g: np.array([[np.exp(1j * angle(g))]]), SO(2), "must be real"),
    ],
)
def test_a_rho_that_is_none_is_refused(rho, group, message):
    with pytest.raises(ValueError, match=message):
        Rep.custom(rho, name="mine")(group)


@pytest.mark.parametrize(
    ("rho", "group"),
    [
        (lambda g: np.kron(g, g), O(3)),
        (lambda g: np.kron(g, g), Lorentz()),
        (lambda g: np.kron(g, g), Sp(2)),
        (lambda g: np.kron(g, g), S(8)),
        (lambda g: np.kron(g, g), ENDLESS),
        (lambda g: np.kron(g, g), Trivial(3)),
        (lambda g: [[np.linalg.det(g)]], O(3)),
        (lambda g: [[np.linalg.det(g)]], Group(2, (), 2 * np.eye(2))),
        (lambda g: [[abs(np.linalg.det(g)) ** 0.5]], Group(2, [np.eye(2)])),
        (lambda g: np.linalg.inv(g).T, SL(3)),
        (lambda g: np.round(g).astype(int), S(5)),
        (lambda g: g.astype(np.float32), S(4)),
        (lambda g: [[np.sign(g[0, 0])]], Lorentz()),
        (lambda g: turn(500 * angle(g)), SO(2)),
        (lambda g: np.abs(g), D(4)),
        (halved, O(3)),
    ],
)
def test_a_rho_that_is_one_is_taken(rho, group):
    bound = Rep.custom(rho)(group)
    g, h = group.sample(2, seed=5)
    both = bound.rho(g) @ bound.rho(h)
    np.testing.assert_allclose(bound.rho(g @ h), both, atol=1e-7 * max(1, np.abs(both).max()))


def test_elements_that_rho_changes_are_the_users_own():
    g = O(3).sample(1, seed=0)[0]
    before = g.copy()
    np.testing.assert_allclose(Rep.custom(halved)(O(3)).rho(g), before)
    np.testing.assert_array_equal(g, before)


@settings(max_examples=40, deadline=None)
@given(
    group=st.sampled_from([S(4), S(5), Z(6), D(5), D(6), S(3) * Z(2)]),
    wrong=st.integers(1, 10**6),
    seed=st.integers(0, 2**32 - 1),
)
def test_one_wrong_element_of_a_finite_group_is_found(group, wrong, seed):
    p = ortho_group.rvs(group.dim, random_state=np.random.default_rng(seed))
    odd = group.elements[1 + wrong % (len(group.elements) - 1)]

    def rho(g):
        return p @ g @ p.T

    Rep.custom(rho)(group)
    with pytest.raises(ValueError, match="no representation"):
        Rep.custom(lambda g: -rho(g) if np.allclose(g, odd) else rho(g))(group)


def test_checks_are_made_once():
    calls = []

    def rho(g):
        calls.append(1)
        return np.kron(g, g)

    rep = Rep.custom(rho)
    rep(O(3))
    first = len(calls)
    assert first < 1000
    rep(O(3))
    (2 * rep)(Group(3, O(3).lie_algebra, O(3).discrete_generators))  # another group, checked anew
    for _ in range(5):
        (rep + rep.dual)(O(3))
    assert len(calls) < 3 * first


def test_the_checks_of_large_matrices_are_bounded():
    calls = []

    def rho(g):
        calls.append(1)
        return np.kron(g, np.eye(20))

    Rep.custom(rho)(Z(30))
    assert len(calls) < 150
    with pytest.raises(ValueError, match=re.escape("no representation of Z(30)")):
        Rep.custom(lambda g: np.kron(g.T if g[3, 0] else g, np.eye(20)))(Z(30))
