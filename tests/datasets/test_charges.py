import numpy as np
import pytest
from scipy.integrate import solve_ivp

from bayes_rpp.datasets import charged_particles
from bayes_rpp.datasets.charges import SOFTENING


def by_scipy(q, x, v, field, time):
    """By DOP853, with the forces as minus the numerical gradient of the potential."""

    def potential(x):
        d = np.sqrt(((x[:, None] - x[None]) ** 2).sum(-1) + SOFTENING**2)
        return 0.5 * (np.outer(q, q) / d).sum()

    def slope(_, z):
        x, v = z.reshape(2, -1, 3)
        a, h = q[:, None] * np.cross(v, [0, 0, field]), 1e-5
        for i, c in np.ndindex(x.shape):
            step = np.zeros(x.shape)
            step[i, c] = h
            a[i, c] -= (potential(x + step) - potential(x - step)) / (2 * h)
        return np.concatenate([v.ravel(), a.ravel()])

    found = solve_ivp(slope, (0, time), np.concatenate([x.ravel(), v.ravel()]), "DOP853", rtol=1e-8, atol=1e-9)
    return found.y[: x.size, -1].reshape(-1, 3)


@pytest.mark.parametrize("field", [0.0, 2.0])
def test_energy_is_kept_and_the_motion_is_right(field):
    errors = []
    for steps in (50, 100):
        data = charged_particles(20, field=field, steps=steps, seed=1)
        errors.append(np.abs(data.energy[:, 1] - data.energy[:, 0]).max())
    assert errors[1] < 2e-3
    assert 3 < errors[0] / errors[1] < 5  # of second order
    data = charged_particles(2, particles=3, field=field, seed=1)
    assert np.abs(np.diff(data.energy)).max() < 1e-5
    for k in range(2):
        q, v, x = data.x.features[k][:, 0], data.x.features[k][:, 1:], data.x.positions[k]
        np.testing.assert_allclose(x + data.y[k], by_scipy(q, x, v, field, 1.0), atol=1e-5)


def test_gravity_moves_all_alike_and_keeps_the_energy():
    """In a frame that falls with them nothing has changed."""
    falling, free = (charged_particles(3, gravity=g, seed=2) for g in (1.5, 0.0))
    np.testing.assert_allclose(falling.y - free.y, np.broadcast_to([0, 0, -0.75], free.y.shape), atol=1e-9)
    assert np.abs(np.diff(falling.energy)).max() < 1e-5
    assert np.abs(falling.energy - free.energy).max() > 0.1


def test_what_the_field_leaves_of_momentum():
    for field, kept in ((0.0, slice(None)), (2.0, slice(2, None))):
        data = charged_particles(5, field=field)
        v = np.stack(data.x.features)[..., 1:].sum(axis=1)  # the centre moves on, along the field at least
        np.testing.assert_allclose(data.y.sum(axis=1)[:, kept], v[:, kept], atol=1e-9)
