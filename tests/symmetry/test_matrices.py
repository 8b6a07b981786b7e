"""Complex arrays: an error that says how to make them real, wherever arrays are given by hand."""

import re

import numpy as np
import pytest
from scipy import sparse

from bayes_rpp import Group, O, Rep, Vector
from bayes_rpp.groups import parse_group
from bayes_rpp.subspaces import DenseSubspace, SpanSubspace, equivariant_basis

PAULI = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
ROOT = np.array([[[np.exp(2j * np.pi / 3)]]])
COLUMNS = np.array([[1, 1j], [0, 1]])
REAL = r"np.block([[m.real, -m.imag], [m.imag, m.real]])"
APART = "np.concatenate([columns.real, columns.imag], axis=1)"


@pytest.mark.parametrize(
    ("make", "name", "advice"),
    [
        (lambda: Group(2, 0.5j * PAULI), "lie_algebra", REAL),
        (lambda: Group(1, (), ROOT), "discrete_generators", REAL),
        (lambda: Group(1, (), ROOT.astype(np.complex64), exact=True), "discrete_generators", REAL),
        (lambda: Group(2, [[0, 1j], [1j, 0]]), "lie_algebra", REAL),
        (lambda: Group(2, np.array([[0, 1j], [1j, 0]], dtype=object)), "lie_algebra", REAL),
        (lambda: parse_group("Group(2, [], [[0, 1j], [-1j, 0]])"), "discrete_generators", REAL),
        (lambda: Vector(O(2)).rho(PAULI[1]), "g", REAL),
        (lambda: Vector(O(2)).drho(PAULI), "A", REAL),
        (lambda: Rep.custom(lambda g: g * 1j, name="mine")(O(2)), "rho(g) of the custom representation 'mine'", REAL),
        (lambda: DenseSubspace((2,), COLUMNS), "columns", APART),
        (lambda: SpanSubspace((2,), COLUMNS), "columns", APART),
        (lambda: SpanSubspace((2,), sparse.coo_array(COLUMNS)), "columns", APART),
    ],
)
def test_complex_arrays_are_refused(make, name, advice):
    with pytest.raises(ValueError, match=f"{re.escape(name)} must be real, got complex.*{re.escape(advice)}"):
        make()


def test_the_advice_is_right():
    def real(m):
        return np.block([[m.real, -m.imag], [m.imag, m.real]])

    third = Group(2, (), real(ROOT))
    assert third.order == 3
    su2 = Group(4, real(0.5j * PAULI))
    assert su2.is_orthogonal
    # What commutes with SU(2) on C^2 = R^4 are the quaternions.
    assert equivariant_basis(Vector(su2), Vector(su2)).shape[1] == 4
    assert DenseSubspace((2,), np.concatenate([COLUMNS.real, COLUMNS.imag], axis=1)).rank == 2


def test_complex_dtypes_without_imaginary_parts_are_real():
    flip = np.diag([1.0, -1.0])
    assert Group(2, (), flip + 0j) == Group(2, (), flip)
    assert Group(2, [[0, 1 + 0j], [-1, 0]]) == Group(2, [[0, 1], [-1, 0]])
    np.testing.assert_array_equal(Vector(O(2)).rho(flip + 0j), flip)
    np.testing.assert_array_equal(Rep.custom(lambda g: g + 0j)(O(2)).rho(flip), flip)
    assert DenseSubspace((2,), np.eye(2, 1) + 0j).rank == 1
    assert SpanSubspace((2,), sparse.csc_array(np.eye(2, 1) + 0j)).rank == 1


def test_columns_of_the_user_are_not_changed():
    columns = sparse.csc_array(np.array([[1.0, 1e-14], [1e-14, 1.0]]))
    SpanSubspace((2,), columns)
    assert columns.nnz == 4
    assert columns.data.min() == 1e-14


@pytest.mark.parametrize("dim", [np.inf, np.nan, 2 + 0j, "3", None, 2.5, True, -1])
def test_dim_is_a_whole_number(dim):
    with pytest.raises(
        ValueError, match=f"dim must be a whole number >= 1, as a group acts on R\\^dim, got {re.escape(repr(dim))}"
    ):
        Group(dim)
    assert Group(np.float32(2)).dim == Group(np.int64(2)).dim == 2


def test_tensors_that_need_a_gradient_are_named():
    torch = pytest.importorskip("torch")
    flip = torch.diag(torch.tensor([1.0, -1.0]))
    assert Group(2, (), flip) == Group(2, (), np.diag([1, -1]))
    with pytest.raises(ValueError, match="discrete_generators must be an array of numbers, got one that cannot"):
        Group(2, (), flip.requires_grad_())
