import numpy as np
import pytest

from bayes_rpp import O, Scalar, T, Trivial, Vector, equivariance_error

X = np.random.default_rng(0).normal(size=(50, 3))


def outer(x):
    return np.einsum("ni,nj->nij", x, x).reshape(-1, 9)


def test_an_equivariant_function_has_no_error_and_a_constant_one_the_known_error():
    assert equivariance_error(outer, X, Vector, T(2), O(3)).max() < 1e-14
    constant = equivariance_error(lambda x: np.tile([1.0, 0.0, 0.0], (len(x), 1)), X, Vector, Vector, O(3), samples=40)
    # |g e - e| / 2 for a Haar g: e and g e are independent on the sphere, E|u - v| / 2 = 2 / 3.
    assert constant.shape == (50,)
    assert abs(constant.mean() - 2 / 3) < 0.02


def test_a_function_that_vanishes_has_error_zero():
    assert (equivariance_error(lambda x: 0 * x, X, Vector, Vector, O(3)) == 0).all()


def test_functions_of_other_libraries():
    torch = pytest.importorskip("torch")
    f = torch.nn.Linear(3, 3, dtype=torch.float64)
    error = equivariance_error(lambda x: f(torch.as_tensor(x)), X, Vector, Vector, O(3))
    assert (error > 0).all()
    assert (error <= 1).all()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((outer, X[:, :2], Vector, T(2), O(3)), ValueError, "x must have 3 columns, the size of rep_in, got 2"),
        (
            (outer, X, Vector, T(1), O(3)),
            ValueError,
            "the function's output must have 3 columns, the size of rep_out, got 9",
        ),
        ((lambda x: outer(x)[:3], X, Vector, T(2), O(3)), ValueError, "3 rows for 50 points"),
        ((lambda x: outer(x) * np.nan, X, Vector, T(2), O(3)), ValueError, "NaN or infinite"),
        ((outer, X[:0], Vector, T(2), O(3)), ValueError, "x must have at least one point, got none"),
        ((outer, X, 3, T(2), O(3)), TypeError, "rep_in"),
        ((outer, X, Vector, T(2), "O(3)"), TypeError, "group"),
        ((outer, X, Vector.on(1), T(2), O(3)), ValueError, "rep_in"),
    ],
)
def test_bad_input_is_named(arguments, error, message):
    with pytest.raises(error, match=message):
        equivariance_error(*arguments)


def test_an_action_on_scalars_alone_is_warned_of():
    with pytest.warns(UserWarning, match="leaves all inputs and outputs as they are"):
        assert (equivariance_error(outer, X, 3 * Scalar, 9 * Scalar, O(3)) == 0).all()
    assert (equivariance_error(outer, X, Vector, T(2), Trivial(3)) == 0).all()


def test_samples_must_be_a_count():
    with pytest.raises(ValueError, match="samples must be a whole number >= 1, got 0"):
        equivariance_error(outer, X, Scalar, T(2), O(3), samples=0)
