import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayes_rpp import SL, SO, D, Group, Lorentz, O, Pseudoscalar, Regular, S, Scalar, Sp, T, Trivial, Vector, Z
from bayes_rpp.groups import parse_group, parse_rep
from bayes_rpp.symmetry.parse import parse_named_group


@pytest.mark.parametrize(
    ("text", "rep"),
    [
        ("Scalar", Scalar),
        ("5*Scalar + 5*Vector", 5 * Scalar + 5 * Vector),
        ("Vector * 5", 5 * Vector),
        ("T(2)", T(2)),
        (" T(1, 2) + 2 * Pseudoscalar", T(1, 2) + 2 * Pseudoscalar),
        ("2 * (Scalar + Vector)", 2 * (Scalar + Vector)),
        ("2 * 3 * Vector", 6 * Vector),
        ("Vector ** 2 + Regular", Vector**2 + Regular),
        ("Vector.dual * Vector", Vector.dual * Vector),
        ("Vector.on(0) * Vector.on(1)", Vector.on(0) * Vector.on(1)),
    ],
)
def test_representations_are_read(text, rep):
    assert parse_rep(text) == rep


@pytest.mark.parametrize(
    ("text", "group"),
    [
        ("O(3)", O(3)),
        ("SO(2) * Trivial(1)", SO(2) * Trivial(1)),
        ("S(5)*O(3)", S(5) * O(3)),
        ("SO(2, axis=(0, 0.5, -1))", SO(2, axis=(0, 0.5, -1))),
        ("S(2) * SO(2, axis=[0, 0, 1])", S(2) * SO(2, axis=(0, 0, 1))),
        ("Lorentz()", Lorentz()),
        ("SL(2)", SL(2)),
        ("Sp(1)", Sp(1)),
        ("Z(4)", Z(4)),
        ("D(3)", D(3)),
        ("Group(2, [[[0, -1], [1, 0]]])", Group(2, [[[0, -1], [1, 0]]])),
        ("Group(2, [], [[1, 0], [0, -1.0]])", Group(2, (), [[1, 0], [0, -1]])),
    ],
)
def test_groups_are_read(text, group):
    assert parse_group(text) == group


def test_rotations_about_z_are_a_product():
    g = parse_group("SO(2) * Trivial(1)").sample(3, seed=0)
    np.testing.assert_allclose(g[:, 2, :], [[0, 0, 1]] * 3, atol=1e-12)


def test_named_groups():
    assert parse_named_group("none=Trivial(3)") == ("none", Trivial(3))
    assert parse_named_group(" about z = SO(2) * Trivial(1)") == ("about z", SO(2) * Trivial(1))
    assert parse_named_group("O(3)") == ("O(3)", O(3))
    axis = SO(2, axis=(0, 0, 1))
    assert parse_named_group("dipole=SO(2, axis=(0, 0, 1))") == ("dipole", axis)
    assert parse_named_group("SO(2, axis=(0, 0, 1))") == ("SO(2, axis=(0, 0, 1))", axis)
    assert parse_named_group("both=[SO(2) * Trivial(1), O(3)]") == ("both", [SO(2) * Trivial(1), O(3)])
    assert parse_named_group("O(2) in plane=O(2) * Trivial(1)") == ("O(2) in plane", O(2) * Trivial(1))
    with pytest.raises(TypeError, match="text must be a string, got 3"):
        parse_named_group(3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "text must not be empty, got ''"),
        ("5", "text must say how a group acts, got '5', a number"),
        ("5 + Vector", r"5 in '5 \+ Vector' must be a representation"),
        ("Vektor", "'Vektor' in 'Vektor' is not understood; what would do: Scalar"),
        ("T(x)", r"'x' in 'T\(x\)' must be a whole number"),
        ("T(True)", "must be a whole number; 3 would do"),
        ("5 Scalar", "cannot be read"),
        ("Vector ** 11", "a power up to 10"),
        ("99999999 * Vector", r"99999999 in '99999999 \* Vector' must be up to 10000"),
        ("Vector.__class__", "is not understood"),
        ("__import__('os').system('true')", "is not understood"),
        ("[Vector for _ in range(3)]", "is not understood"),
        ("0 * Vector", "whole number >= 1"),
        ("+".join(["Vector"] * 60), "nested more than 50 deep"),
        ("Vector + " * 500, "text must have up to 2000 characters, got 4500"),
    ],
)
def test_what_is_not_understood_is_named(text, message):
    with pytest.raises(ValueError, match=message):
        parse_rep(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("O(51)", r"51 in 'O\(51\)' must be up to 50"),
        ("S(1001)", "up to 1000"),
        ("O3", r"'O3' in 'O3' is not understood; what would do: O\(n\)"),
        ("O(3", "cannot be read"),
        ("O(3, 4)", r"'O\(3, 4\)' must have 1 argument\(s\), got 2"),
        ("O(x)", "must be a whole number; 3 would do"),
        ("O(n=3)", "is not understood"),
        ("O(0)", r"n of O\(n\) must be a whole number >= 1, got 0"),
        ("Group(2, exit)", r"'exit' in 'Group\(2, exit\)' must be a list of matrices; "),
        ("Group(2, [[1, 2, 3]])", "lie_algebra"),
        ("eval('O(3)')", "is not understood"),
    ],
)
def test_groups_that_are_not_understood_are_named(text, message):
    with pytest.raises(ValueError, match=message):
        parse_group(text)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="OSTVZD()[]*+.,-3 0aeclortdun_'\"\\\n", max_size=30))
def test_any_text_is_read_or_refused(text):
    for parse in (parse_rep, parse_group, parse_named_group):
        with contextlib.suppress(ValueError):
            parse(text)
