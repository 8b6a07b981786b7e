"""Algebras are named by their structure, whatever the noise and the coordinates."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from scipy.stats import ortho_group

from bayes_rpp.groups import SL, SO, Lorentz, Sp, parse_group
from bayes_rpp.symmetry.averages import haar_average
from bayes_rpp.symmetry.discovery.algebra import antisymmetric, bracket_defect, orthonormal, span_distance
from bayes_rpp.symmetry.discovery.names import name_algebra


def entries(n, *values):
    a = np.zeros((1, n, n))
    for i, j, value in values:
        a[0, i, j] = value
    return a


def about(axis):
    x, y, z = np.asarray(axis) / np.linalg.norm(axis)
    return np.array([[[0, -z, y], [z, 0, -x], [-y, x, 0]]])


def padded(a, n, at):
    whole = np.zeros((len(a), n, n))
    whole[:, np.array(at)[:, None], at] = a
    return whole


def noisy(a, noise, seed):
    e = orthonormal(a)
    x = np.random.default_rng(seed).normal(size=e.shape)
    return e + noise * x / np.linalg.norm(x, axis=(1, 2), keepdims=True)


TURN = entries(2, (0, 1, -1), (1, 0, 1))
STANDARD = {  # in the coordinates given: name, a piece of the words, generators
    "plane": ("SO(2)", "rotation in the plane of columns 1 and 2", TURN),
    "axis": ("SO(2)", "rotation about (0.", about([0.3, 0.5, 0.8])),
    "column axis": ("SO(2)", "rotation in the plane of columns 1 and 2", about([0, 0, 1])),
    "twice": (
        "SO(2)",
        "plane of columns 1 and 2, and in the plane of columns 3 and 4 at twice the angle",
        entries(4, (0, 1, -1), (1, 0, 1), (2, 3, -2), (3, 2, 2)),
    ),
    "planes": ("SO(2) x SO(2)", "columns 1 and 4", np.concatenate([padded(TURN, 4, [0, 3]), padded(TURN, 4, [1, 2])])),
    "SO(3)": ("SO(3)", "all columns", antisymmetric(3)),
    "SO(4)": ("SO(4)", "all columns", antisymmetric(4)),
    "subset": ("SO(3)", "columns 1, 3 and 5", padded(antisymmetric(3), 5, [0, 2, 4])),
    "boost": ("SO(1,1)", "boost of columns 1 and 2", entries(3, (0, 1, 1), (1, 0, 1))),
    "Lorentz": ("SO(1,3)", "all columns", Lorentz().lie_algebra),
    "uniform": ("scaling", "scaling of all columns alike", np.eye(3)[None]),
    "exponents": ("scaling", "exponents 1 and 3", np.diag([1.0, 3, 0])[None]),
    "shear": ("shear", "shear of column 1 by column 2", entries(3, (0, 1, 1))),
    "SL(2)": ("SL(2)", "columns 1 and 2", SL(2).lie_algebra),
    "SL(3)": ("SL(3)", "all columns", SL(3).lie_algebra),
    "GL(2)": ("GL(2)", "", np.eye(4).reshape(4, 2, 2)),
    "and scaling": ("SO(3) x scaling", "all columns", np.concatenate([antisymmetric(3), np.eye(3)[None]])),
    "affine": ("affine", "columns 1 and 2", np.concatenate([entries(2, (0, 0, 1)), entries(2, (0, 1, 1))])),
}


@pytest.mark.parametrize("noise", [0.0, 0.01, 0.05])
@pytest.mark.parametrize("case", STANDARD)
def test_standard_algebras(case, noise):
    name, words, a = STANDARD[case]
    for seed in range(4):
        found = name_algebra(noisy(a, noise, seed))
        assert found.name == name
        assert words in found.words
        assert bracket_defect(found.generators) < 1e-9
        assert span_distance(found.generators, a) <= 2 * noise + 1e-9
        assert span_distance(found.group.lie_algebra, found.generators) < 1e-9


@pytest.mark.parametrize("noise", [0.01, 0.04])
@pytest.mark.parametrize(
    "case", ["SO(3)", "SO(4)", "planes", "subset", "and scaling", "Lorentz", "SL(3)", "axis", "shear"]
)
def test_algebras_in_rotated_coordinates(case, noise):
    name, _, a = STANDARD[case]
    for seed in range(4):
        q = ortho_group.rvs(a.shape[-1], random_state=seed)
        found = name_algebra(noisy(q @ a @ q.T, noise, seed))
        assert found.name == name
        assert bracket_defect(found.generators) < 1e-9
        assert span_distance(found.generators, q @ a @ q.T) < 2 * noise
        if case not in ("Lorentz", "SL(3)", "and scaling", "shear"):
            assert found.group.is_orthogonal


def test_a_stretched_metric_is_a_speed():
    scale = np.diag([2.3, 1, 1, 1])
    found = name_algebra(noisy(np.linalg.inv(scale) @ Lorentz().lie_algebra @ scale, 0.01, 0), columns=list("txyz"))
    assert found.name == "SO(1,3)"
    speed = float(found.words.split("with speed ")[1].split()[0])
    assert abs(speed - 2.3) < 0.1
    boost = name_algebra(entries(2, (0, 1, 1 / 2.3), (1, 0, 2.3)), columns=["t", "x"])
    assert boost.words == "boost of columns t and x, with speed 2.30 (column x by column t)"


def test_several_vectors_turn_together():
    a = antisymmetric(3)
    found = name_algebra(noisy(padded(a, 6, [0, 1, 2]) + padded(a, 6, [3, 4, 5]), 0.02, 0))
    assert (found.name, found.words) == ("SO(3)", "SO(3) on columns 1, 2 and 3 and columns 4, 5 and 6, together")


def test_draws_give_the_cone_of_an_axis_and_errors_of_exponents():
    rng, axis = np.random.default_rng(0), np.array([0.3, 0.5, 0.8]) / np.linalg.norm([0.3, 0.5, 0.8])
    tilts = Rotation.from_rotvec(rng.normal(size=(400, 3)) * np.radians(2))
    found = name_algebra(about(axis), draws=np.stack([about(t.apply(axis)) for t in tilts]))
    np.testing.assert_allclose(found.parts[0].axis, axis, atol=1e-9)
    angles = np.degrees([np.arccos(min(1.0, float(t.apply(axis) @ axis))) for t in tilts])
    np.testing.assert_allclose(found.parts[0].degrees, np.quantile(angles, 0.9), rtol=0.02)
    assert "± 4 degrees" in found.words
    draws = np.stack([np.diag([1.0, 3 + e])[None] for e in 0.03 * rng.normal(size=400)])
    scaling = name_algebra(draws.mean(axis=0), draws=draws).parts[0]
    np.testing.assert_allclose(scaling.exponents, [1, 3])
    assert 0 < scaling.errors[0] < 0.03


def test_a_rotation_of_space_is_the_group_that_one_would_write():
    for axis in ((1, 2, 2), (0, 0, 1)):
        found = name_algebra(about(axis))
        assert str(found.group) == str(SO(2, axis=axis))
        assert span_distance(found.group.lie_algebra, about(axis)) < 1e-10
        assert str(parse_group(found.group.name)) == found.group.name
    assert "-0" not in str(SO(2, axis=(0, -0.0, 1)))


def test_snapped_rotations_are_exact_and_average():
    for a in (about([0.3, 0.5, 0.8]), STANDARD["twice"][2], antisymmetric(3)):
        group = name_algebra(noisy(a, 0.03, 1)).group
        np.testing.assert_array_equal(group.lie_algebra, -group.lie_algebra.swapaxes(1, 2))
        assert len(haar_average(group)) >= 16
    assert name_algebra(noisy(antisymmetric(3), 0.03, 1)).group == SO(3)


def test_none_and_what_closes_nowhere():
    assert name_algebra(np.zeros((0, 3, 3))).name == "none"
    assert name_algebra(antisymmetric(4)[:5], tolerance=0.01) is None
    with pytest.raises(ValueError, match="columns must name the 3 columns"):
        name_algebra(np.eye(3)[None], columns=["a"])


def test_symplectic():
    assert name_algebra(Sp(2).lie_algebra).group == Sp(2)
