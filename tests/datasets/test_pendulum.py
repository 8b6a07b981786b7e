from dataclasses import replace

import numpy as np
import pytest

from bayes_rpp import SO, datasets
from bayes_rpp.datasets.pendulum import WIND, pendulum_energy, pendulum_states

TASKS = [(datasets.pendulum, (0.0, 0.0, 0.0)), (datasets.windy_pendulum, WIND)]


def states(data):
    """(n, 5, 12): each chunk."""
    return np.concatenate([data.x, data.y], axis=1).astype(float).reshape(len(data.x), -1, 12)


def by_differences(z, wind, h=1e-5):
    """dz / dt from H alone."""
    steps = h * np.eye(12)
    gradient = (pendulum_energy(z[:, None] + steps, wind) - pendulum_energy(z[:, None] - steps, wind)) / (2 * h)
    return np.concatenate([gradient[:, 6:], -gradient[:, :6]], axis=1)


@pytest.mark.parametrize(("make", "wind"), TASKS)
def test_arrays(make, wind):
    data = make(n=40, seed=3)
    assert data.x.shape == (40, data.rep_in(data.group).size) == (40, 12)
    assert data.y.shape == (40, data.rep_out(data.group).size) == (40, 48)
    assert data.x.dtype == data.y.dtype == np.float32
    np.testing.assert_array_equal(data.y, make(n=40, seed=3).y)
    assert np.abs(data.x - make(n=40, seed=4).x).max() > 0.1
    energy = pendulum_energy(states(data), wind)
    np.testing.assert_allclose(energy, np.broadcast_to(energy[:, :1], energy.shape), atol=2e-6)
    # The outputs follow from the inputs alone.
    again = pendulum_states(data.x, 0.2 * np.arange(1, 5), wind)
    np.testing.assert_allclose(again.reshape(40, 48), data.y, atol=2e-5)
    assert repr(data.group) == "O(2) about z"


@pytest.mark.parametrize("wind", [wind for _, wind in TASKS])
def test_motion_is_that_of_the_energy(wind):
    z = np.random.default_rng(0).normal(size=(30, 12)) + np.eye(12)[2] * -3
    h = 1e-3
    path = pendulum_states(z, [0.0, h, 2 * h], wind)
    moved = (path[:, 2] - path[:, 0]) / (2 * h)
    np.testing.assert_allclose(moved, by_differences(path[:, 1], wind), rtol=1e-4, atol=1e-4)
    late = pendulum_states(z, [0.0, 30.0], wind)
    np.testing.assert_allclose(pendulum_energy(late[:, 1], wind), pendulum_energy(z, wind), atol=1e-5)


def test_who_keeps_the_symmetry():
    data = datasets.pendulum(n=10)
    rotations = SO(3)
    x = states(data)[:, 0]

    def change(group, wind):
        rho = data.rep_in(group).rho(group.sample(10, seed=0))
        return np.abs(pendulum_energy(np.einsum("nij,nj->ni", rho, x), wind) - pendulum_energy(x, wind)).max()

    assert change(data.group, TASKS[0][1]) < 1e-12
    assert change(data.group, WIND) > 1e-2
    assert change(rotations, TASKS[0][1]) > 0.1
    assert replace(data, group=rotations).rep_out(rotations).size == 48
    up = np.array([0.0, 0.0, 1.0])
    np.testing.assert_allclose(data.group.sample(5, seed=1) @ up, np.tile(up, (5, 1)), atol=1e-12)


def test_many_are_solved_in_parts():
    z = np.tile(datasets.pendulum(n=3).x, (200, 1))
    found = pendulum_states(z, [0.2])
    assert found.shape == (600, 1, 12)
    np.testing.assert_allclose(found[:3], found[-3:], atol=1e-8)


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match="n must be a whole number >= 1, got 0"):
        datasets.pendulum(0)
    with pytest.raises(
        ValueError, match=r"z must have shape \(states, 12\), the columns x_1, x_2, p_1, p_2, got \(3,\)"
    ):
        pendulum_states(np.zeros(3), [0.2])
    for times in ([], [0.2, 0.1], [-1.0], 0.2):
        with pytest.raises(ValueError, match="times must be numbers that rise, the first >= 0, got"):
            pendulum_states(np.ones((2, 12)), times)
    hanging = datasets.pendulum(n=2).x
    for z in (np.zeros((0, 12)), np.ones((2, 12)), np.full((2, 12), np.nan)):
        with pytest.raises(ValueError, match=r"z must hold states that are finite and in.*, got none or others"):
            pendulum_states(z, [0.2])
    with pytest.raises(ValueError, match="times must be numbers that rise, the first >= 0, got"):
        pendulum_states(hanging, [np.nan])
    np.testing.assert_array_equal(pendulum_states(hanging, [0.0])[:, 0], hanging)
