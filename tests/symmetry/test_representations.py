import re

import numpy as np
import pytest

from bayes_rpp import SO, D, GaussianProcess, Lorentz, O, Pseudoscalar, Regular, Rep, S, Scalar, T, Trivial, Vector, Z
from bayes_rpp.models.data import check_inputs

REPS = [Scalar, Vector, Pseudoscalar, T(2), T(1, 1), T(0, 2), 2 * Scalar + Vector + Scalar, Vector * Pseudoscalar,
        Vector * (Scalar + Vector), Vector**3, (Scalar + Vector).dual]  # fmt: skip
CUSTOM = Rep.custom(lambda g: np.kron(g, g), name="square")


@pytest.mark.parametrize("group", [O(3), Lorentz(), D(4), S(3), O(2) * S(3)], ids=str)
@pytest.mark.parametrize("rep", [*REPS, CUSTOM], ids=str)
def test_rho_is_a_homomorphism(rep, group):
    rho = rep(group).rho
    g, h = group.sample(2, seed=0)
    assert rho(g).shape == (rep(group).size,) * 2
    np.testing.assert_allclose(rho(g @ h), rho(g) @ rho(h), atol=1e-8)


@pytest.mark.parametrize("rep", [*REPS, CUSTOM], ids=str)
def test_drho_is_the_derivative_of_rho(rep):
    from scipy.linalg import expm

    group, t = Lorentz(), 1e-6
    a = group.lie_algebra[[0, 4]].sum(axis=0)
    numeric = (rep(group).rho(expm(t * a)) - rep(group).rho(expm(-t * a))) / (2 * t)
    np.testing.assert_allclose(rep(group).drho(a), numeric, atol=1e-8)


def test_sums_keep_the_users_order():
    rep = (Vector + Scalar + Vector)(O(3))
    g = O(3).sample(1, 0)[0]
    np.testing.assert_allclose(rep.rho(g)[4:, 4:], g)
    assert rep.rho(g)[3, 3] == 1
    assert rep.size == 7


def test_regular_permutes_the_elements():
    rep = Regular(D(4))
    m = rep.rho(D(4).elements[3])
    assert rep.size == 8
    np.testing.assert_array_equal(m.sum(axis=0), 1)
    np.testing.assert_array_equal(np.unique(m), [0, 1])


def test_vectors_of_one_factor():
    group = O(2) * S(3)
    g = group.sample(1, 0)[0]
    np.testing.assert_array_equal(Vector.on(1)(group).rho(g), g[2:, 2:])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: T(-1), ValueError, r"p and q of T\(p, q\) must be whole numbers >= 0, got -1 and 0"),
        (lambda: 0 * Vector, ValueError, "count"),
        (lambda: Vector**-1, ValueError, r"k of representation \*\* k must be a whole number >= 0, got -1"),
        (lambda: Vector(3), TypeError, "group must be a Group, got a int"),
        (lambda: Regular(O(3)), ValueError, "cannot be listed"),
        (lambda: Vector.on(2)(O(2) * S(3)), ValueError, r"on must be one of the 2 factors of O\(2\) \* S\(3\), got 2"),
        (lambda: Vector.on(0)(Z(3)), ValueError, "no factors"),
        (lambda: Rep.custom(3), TypeError, "rho"),
        (lambda: Rep.custom(lambda g: g[:1])(O(3)), ValueError, "custom"),
        (
            lambda: Vector(O(3)).rho(np.eye(2)),
            ValueError,
            r"g must have shape \(3, 3\) or \(n, 3, 3\) for O\(3\), got \(2, 2\)",
        ),
    ],
)
def test_bad_input_is_named(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_trivial_group_has_vectors():
    np.testing.assert_array_equal(Vector(Trivial(2)).rho(np.eye(2)), np.eye(2))


def charge(n):
    def rho(g):
        angle = n * np.arctan2(g[1, 0], g[0, 0])
        return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])

    return Rep.custom(rho, name=f"charge {n}")


@pytest.mark.parametrize("n", [1, 7, 40, 63, 500])
def test_derivatives_of_custom_representations(n):
    a = SO(2).lie_algebra[0]
    np.testing.assert_allclose(charge(n)(SO(2)).drho(a), n * a, rtol=1e-9, atol=1e-9)


def test_custom_functions_must_be_representations():
    with pytest.raises(ValueError, match="rho\\(g h\\) = rho\\(g\\) rho\\(h\\)"):
        Rep.custom(lambda g: g.T, name="transpose")(S(4))
    with pytest.raises(ValueError, match="no representation"):
        Rep.custom(lambda g: 2 * g)(O(3))


def test_columns_with_an_index_of_each_factor_are_hinted_at():
    both = S(3) * O(3)
    assert Vector(both).advice(18) == "; 2 * Vector.on(0) * Vector.on(1), with an index of each factor, would do"
    assert Vector(both).advice(10) == Vector(O(3)).advice(9) == Vector(SO(2) * Trivial(1)).advice(4) == ""
    with pytest.raises(ValueError, match=re.escape("got 9; Vector.on(0) * Vector.on(1), with an index of each")):
        check_inputs(GaussianProcess(Vector, Vector.on(1), both), np.zeros((2, 9)))
