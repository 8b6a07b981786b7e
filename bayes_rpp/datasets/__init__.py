"""Data sets with their representations and group."""

from bayes_rpp.datasets.charges import Moves, charged_particles
from bayes_rpp.datasets.dataset import Dataset
from bayes_rpp.datasets.images import cifar10, digits
from bayes_rpp.datasets.inertia import inertia, modified_inertia
from bayes_rpp.datasets.pendulum import pendulum, pendulum_energy, pendulum_states, windy_pendulum
from bayes_rpp.datasets.tables import breast_cancer, diabetes, uci, wine

__all__ = [
    "Dataset",
    "Moves",
    "breast_cancer",
    "charged_particles",
    "cifar10",
    "diabetes",
    "digits",
    "inertia",
    "modified_inertia",
    "pendulum",
    "pendulum_energy",
    "pendulum_states",
    "uci",
    "windy_pendulum",
    "wine",
]
