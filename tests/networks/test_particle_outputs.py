"""What is known of systems of particles, in forms that do not fit, and what is said of it."""

import numpy as np
import pytest

import bayes_rpp as rpp
from bayes_rpp import ParticleNetwork, Particles, Scalar, Vector

ONE = np.zeros((2, 3))
NET = ParticleNetwork(3, out=Vector, channels=4, layers=1, types=["H", "O"])


@pytest.mark.parametrize(
    ("y", "words"),
    [
        ([np.zeros((2, 3))], "2 examples"),
        ([np.zeros((2, 3)), np.zeros((2, 3))], r"y\[1\] must have shape \(1, 3\)"),
        ([np.zeros((2, 3)), np.full((1, 3), np.nan)], "finite"),
        (np.zeros((2, 8)), "9 columns"),
    ],
)
def test_outputs_that_do_not_fit_are_said(y, words):
    data = Particles([ONE, ONE[:1]], types=[["H", "O"], ["O"]])
    with pytest.raises(ValueError, match=words):
        rpp.fit(rpp.Model(NET), data, y, rpp.MAP(epochs=1))


FORCES = [np.zeros((2, 3)), np.zeros((1, 3))]


@pytest.mark.parametrize(
    ("y", "words"),
    [
        ([1.0, 2.0], r"y must be a tuple of energies.*got a list of 2; \(y, forces\)"),
        (np.ones((2, 1)), "y must be a tuple of energies"),
        (FORCES, "y must be a tuple of energies"),
        ((FORCES, [1.0, 2.0]), r"y\[0\] must be an array of numbers"),
        (([1.0], FORCES), "y must have 2 energies and forces, got 1 and 2"),
    ],
)
def test_an_energy_asks_for_both(y, words):
    data = Particles([ONE, ONE[:1]], types=[["H", "O"], ["O"]])
    model = rpp.Model(NET.replace(conservative=True, out=Scalar), likelihood=rpp.EnergyForces())
    with pytest.raises((TypeError, ValueError), match=words):
        rpp.fit(model, data, y, rpp.MAP(epochs=1))


def test_a_summary_is_of_particles_that_are_there():
    data, model = Particles([ONE, ONE[:1]], types=[["H", "O"], ["O"]]), rpp.Model(NET)
    weights = {k: np.ones((1, 2, *p.shape)) for k, p in NET.parameters.items()}
    post = rpp.Posterior(model, weights, x=data, y=[np.zeros((2, 3)), np.zeros((1, 3))])
    rows = [name for name in post.summary().table.index if name.startswith("f(x[")]
    assert rows == [f"f(x[0])[{k}]" for k in range(6)] + [f"f(x[1])[{k}]" for k in range(3)]
