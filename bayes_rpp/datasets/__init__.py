"""Data sets with their representations and group."""

from bayes_rpp.datasets.dataset import Dataset
from bayes_rpp.datasets.inertia import inertia, modified_inertia

__all__ = ["Dataset", "inertia", "modified_inertia"]
