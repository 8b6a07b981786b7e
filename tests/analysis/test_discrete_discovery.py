"""Discrete symmetries that nobody named."""

import numpy as np
import pytest

import bayes_rpp as rpp
from bayes_rpp.analysis.discovery.discrete import discrete_symmetries
from bayes_rpp.analysis.discovery.discrete_words import in_words
from bayes_rpp.networks.polynomials import strict_weights


def _table(f, columns, n=100, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, columns))
    y = f(*x.T)
    y = y.T if y.ndim > 1 else y[:, None]
    return x, y + 0.02 * y.std(axis=0) * rng.normal(size=y.shape)


def test_a_swap_is_found_and_its_group_fits_models():
    x, y = _table(lambda a, b, c, d: np.sin(a + c) + a * c + np.exp(0.5 * b) + d**2 + d, 4)
    found = discrete_symmetries(x, y, columns=["a", "b", "c", "d"])
    assert str(found).startswith("y does not change when a and c are swapped (evidence +")
    assert found.group.order == 2
    np.testing.assert_array_equal(found.found[0][1], np.eye(4)[[2, 1, 0, 3]])
    post = rpp.fit(rpp.GaussianProcess(found.rep_in, found.rep_out, found.group, sigma_b=0.0), x, y, rpp.MAP())
    np.testing.assert_allclose(post.predict(x[:, [2, 1, 0, 3]]).mean, post.predict(x).mean, atol=1e-8)
    network = rpp.EMLP(found.rep_in, found.rep_out, found.group, channels=8, layers=1)
    params = strict_weights(network, np.random.default_rng(1))
    np.testing.assert_allclose(network(params, x[:, [2, 1, 0, 3]]), network(params, x), atol=1e-5)


def test_nothing_is_found_where_there_is_nothing():
    x, y = _table(lambda a, b, c: np.exp(0.5 * a) + b**2 + b + np.sin(2 * c + 1), 3, seed=1)
    found = discrete_symmetries(x, y)
    assert found.group.is_trivial
    assert str(found) == "no discrete symmetry found"


def test_all_permutations_of_three_columns_are_found_from_two():
    x, y = _table(lambda a, b, c, d: a * b * c + np.cos(a + b + c) + d**2 + d, 4)
    found = discrete_symmetries(x, y)
    assert (found.group.order, len(found.found)) == (6, 2)


def test_what_is_odd_and_what_flips_with_a_target():
    x, y = _table(lambda a, b: np.sin(a + 0.5 * b) + b, 2)
    found = discrete_symmetries(x, y)
    assert [f[0] for f in found.found] == ["y is odd: it changes sign with x"]
    x, y = _table(lambda a, b: np.stack([a * (1 + np.exp(0.4 * b)), a**2 + b + b**2 / 2]), 2)
    found = discrete_symmetries(x, y, columns=["p", "q"], targets=["force", "energy"])
    assert [f[0] for f in found.found] == ["a flip of p flips force"]
    np.testing.assert_array_equal(found.found[0][2], np.diag([-1.0, 1.0]))
    rho = found.rep_in(found.group).rho, found.rep_out(found.group).rho
    g = found.group.discrete_generators[0]
    np.testing.assert_array_equal(rho[0](g), np.diag([-1.0, 1.0]))
    np.testing.assert_array_equal(rho[1](g), np.diag([-1.0, 1.0]))


def test_columns_on_which_y_does_not_depend_are_doubts_not_symmetries():
    x, y = _table(lambda a, b, c: np.exp(0.5 * a) + b**2 + b, 3, n=60)
    x = np.column_stack([x, np.ones(60)])
    found = discrete_symmetries(x, y)
    assert found.group.is_trivial
    assert found.doubts == [f"y does not depend on column {k}, as far as these data say" for k in (3, 4)]


def test_a_column_that_matters_little_is_still_one_that_matters():
    x, y = _table(lambda a, b: 0.1 * a**2 + b**3 + b**2 + b, 2)  # 1 in 1,000 of the variance, above the noise
    assert [f[0] for f in discrete_symmetries(x, y).found] == ["y is even in column 1"]


def test_noise_alone_is_no_symmetry():
    rng = np.random.default_rng(0)
    found = discrete_symmetries(rng.normal(size=(60, 3)), rng.normal(size=(60, 1)))
    assert found.group.is_trivial
    assert found.doubts[0].startswith("x says too little of y")


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"x": np.full((20, 2), np.nan)}, ValueError, "x must be finite"),
        ({"y": np.zeros((19, 1))}, ValueError, "x and y must have the same number of examples"),
        ({"x": np.zeros((5, 2)), "y": np.zeros((5, 1))}, ValueError, "10 or more"),
        ({"columns": ["a"]}, ValueError, "columns must have 2 names, got 1"),
        ({"targets": ["a", "b"]}, ValueError, "targets must have 1 names, got 2"),
        ({"seed": -1}, ValueError, "seed must be"),
    ],
)
def test_what_does_not_fit_is_named(changes, error, words):
    given = {"x": np.zeros((20, 2)), "y": np.zeros((20, 1))} | changes
    with pytest.raises(error, match=words):
        discrete_symmetries(given.pop("x"), given.pop("y"), **given)


ONE, SWAP = np.eye(1), np.eye(3)[[1, 0, 2]]


@pytest.mark.parametrize(
    ("p", "r", "words"),
    [
        (SWAP, ONE, "y does not change when columns 1 and 2 are swapped"),
        (np.eye(3)[[1, 2, 0]], ONE, "y does not change when column 1 becomes column 3"),
        (np.diag([1.0, 1, -1]), ONE, "y is even in column 3"),
        (np.diag([1.0, 1, -1]), -ONE, "y is odd in column 3"),
        (-np.eye(3), -ONE, "y is odd: it changes sign with x"),
        (-np.eye(3), ONE, "y is even: it does not change with the sign of x"),
        (np.diag([1.0, -1, -1]), -np.eye(2), "y changes sign when columns 2 and 3 change sign"),
        (SWAP @ np.diag([1.0, 1, -1]), ONE, "columns 1 and 2 are swapped and column 3 changes sign"),
        (-SWAP, np.diag([1.0, -1]), "are swapped and change sign and column 3 changes sign, target 2 changes sign"),
        (np.diag([-1.0, 1, 1]), np.diag([-1.0, 1]), "a flip of column 1 flips target 1"),
        (SWAP, np.eye(2)[::-1], "when columns 1 and 2 are swapped, targets 1 and 2 are swapped"),
        (SWAP @ np.diag([1.0, -1, 1]), ONE, "column 1 becomes column 2 and column 2 becomes -column 1"),
    ],
)  # fmt: skip
def test_words(p, r, words):
    names = [f"column {k + 1}" for k in range(3)], [f"target {k + 1}" for k in range(len(r))]
    assert words in in_words(p, r, names)


def test_a_swap_of_nearly_equal_columns_says_little():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 2))
    x[:, 1] = x[:, 0] + 0.2 * x[:, 1]
    y = np.exp(-((x - 0.5) ** 2).sum(axis=1, keepdims=True)) + 0.01 * rng.normal(size=(60, 1))
    found = discrete_symmetries(x, y, columns=["a", "b"])
    assert found.found[0][0] == "y does not change when a and b are swapped"
    assert any("nearly equal (correlation 0.98)" in d for d in found.doubts)
