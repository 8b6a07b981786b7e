"""The picture of a discovery shows what the table says."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

import bayes_rpp as rpp
from bayes_rpp.analysis import symmetries_of
from bayes_rpp.plots import plot_symmetries

V = rpp.Vector
AXIS = np.array([0.36, 0.48, 0.8])
X = np.random.default_rng(0).normal(size=(40, 3))


def about_axis(x):
    r = np.linalg.norm(np.cross(AXIS, x), axis=1)
    return np.sin(x @ AXIS)[:, None] * x + 0.5 * np.cross(AXIS, x) + np.outer(np.exp(-r), AXIS)


@pytest.fixture(scope="module")
def rotation():
    y = about_axis(X) + 0.02 * np.random.default_rng(1).normal(size=(40, 3))
    return rpp.discover_symmetry(X, y, rep_in=V, rep_out=V, within=rpp.SO(3))


def points(ax):
    """Label -> (number, strength) of the points with a label."""
    return {line.get_label(): line.get_xydata() for line in ax.get_lines() if not line.get_label().startswith("_")}


def test_the_spectrum_and_the_axis_of_a_rotation(rotation):
    figure, ax = plt.subplots()
    assert plot_symmetries(rotation, ax=ax) is ax
    shown, s = points(ax), rotation.spectrum
    np.testing.assert_allclose(shown["kept"], [[1, s.strength[0]]])
    np.testing.assert_allclose(shown["violated"], [[2, s.strength[1]], [3, s.strength[2]]])
    assert ax.get_yscale() == "log"
    assert ax.get_title(loc="left") == rotation.names[0]
    intervals = [np.array(c.get_segments())[:, :, 1] for c in ax.collections]
    np.testing.assert_allclose(np.concatenate(intervals), np.stack([s.lower, s.upper], axis=1))
    sphere = ax.child_axes[0]
    rim, dot = sphere.get_lines()[-3].get_xydata(), sphere.get_lines()[-1].get_xydata()
    np.testing.assert_allclose(dot[0], AXIS[:2] / np.sqrt(1 + AXIS[2]), atol=0.05)
    x, y = rim.T
    z = 1 - x**2 - y**2  # back from the disk of equal areas
    rim = np.stack([x * np.sqrt(1 + z), y * np.sqrt(1 + z), z], axis=1)
    a = rotation.generators[0]
    axis = np.array([a[2, 1], a[0, 2], a[1, 0]]) / np.sqrt((a**2).sum() / 2)
    degrees = np.degrees(np.arccos(rim @ axis * np.sign(axis[2])))
    assert f"± {degrees[0]:.2g} degrees" in rotation.names[0]
    np.testing.assert_allclose(degrees, degrees[0], atol=1e-6)
    plt.close(figure)


def test_functions_and_directions_that_are_not_shown():
    found = symmetries_of(about_axis, X, rep_in=V, rep_out=V)
    ax = plot_symmetries(found, directions=4)
    assert len(points(ax)["kept"]) + len(points(ax)["violated"]) == 4
    assert ax.get_xlabel() == "direction (first 4 of 9)"
    assert any(line.get_ydata()[0] == found.tolerance for line in ax.get_lines())
    assert len(ax.child_axes) == 1
    plt.close(ax.figure)


def test_unknown_directions_are_hollow_and_nothing_has_no_axis():
    flat = X * [1, 1, 0]
    found = symmetries_of(
        lambda x: np.stack([x[:, 0] ** 2 + np.sin(x[:, 1]), np.cos(x[:, 0]), 0 * x[:, 2]], 1), flat, rep_in=V, rep_out=V
    )
    assert found.dimension == 0
    ax = plot_symmetries(found)
    hollow = next(line for line in ax.get_lines() if line.get_label() == "unknown")
    assert len(hollow.get_xdata()) == (~found.spectrum.is_known).sum() > 0
    assert hollow.get_markerfacecolor() == "white"
    assert ax.get_title(loc="left") == "no continuous symmetry"
    assert not ax.child_axes
    plt.close(ax.figure)


def test_a_rotation_of_two_columns_of_three_has_no_axis():
    """x1 and x2 are turned, and y is the third column of the matrices, along which there is no axis in space."""
    found = symmetries_of(lambda x: np.sin((x**2).sum(axis=1, keepdims=True)), X[:, :2])
    assert found.dimension == 1
    ax = plot_symmetries(found)
    assert not ax.child_axes
    plt.close(ax.figure)


def test_bad_arguments_of_the_picture(rotation):
    with pytest.raises(TypeError, match="found must be what discover_symmetry or symmetries_of gives, got a int"):
        plot_symmetries(3)
    with pytest.raises(ValueError, match="directions must be a whole number >= 1, got 0"):
        plot_symmetries(rotation, directions=0)
