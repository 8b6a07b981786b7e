"""Bayesian inference with Residual Pathway Priors, in Pyro and NumPyro.

Everything public is here: `import bayes_rpp as rpp`. Names load when first used, so that importing the package loads
neither torch nor jax.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from bayes_rpp._imports import load_module

__version__ = "0.1.0"

if TYPE_CHECKING:
    from bayes_rpp import datasets as datasets
    from bayes_rpp import rl as rl
    from bayes_rpp import testing as testing
    from bayes_rpp.analysis.compare import Comparison, compare_symmetries
    from bayes_rpp.analysis.compare_plots import plot_comparison
    from bayes_rpp.analysis.degree import degree_of_symmetry
    from bayes_rpp.analysis.equivariance import Energy, energy_by_layer, equivariance_interval, log_error_density
    from bayes_rpp.analysis.group_map import GroupErrorMap, group_error_map
    from bayes_rpp.analysis.group_plots import plot_group_map
    from bayes_rpp.analysis.plots import plot_asymmetry, plot_equivariance_kde, plot_equivariance_posterior
    from bayes_rpp.analysis.sweep_plots import plot_sweep
    from bayes_rpp.engines.compilation import cache_compilations
    from bayes_rpp.estimators.classifier import RPPClassifier
    from bayes_rpp.estimators.regressor import RPPRegressor
    from bayes_rpp.inference.fit import fit
    from bayes_rpp.inference.methods import HMC, MAP, NUTS, SVI, DeepEnsemble, Laplace
    from bayes_rpp.inference.optimise.training import Progress, TrainingError
    from bayes_rpp.inference.posterior.diagnostics import ConvergenceWarning, Summary
    from bayes_rpp.inference.posterior.metrics import predictive_metrics
    from bayes_rpp.inference.posterior.mixture import mixture
    from bayes_rpp.inference.posterior.posterior import Posterior, Prediction
    from bayes_rpp.inference.run.callbacks import EquivarianceTracker
    from bayes_rpp.inference.run.checkpoint import Checkpoint
    from bayes_rpp.inference.sweep.sweep import sweep
    from bayes_rpp.models.likelihoods import Bernoulli, Categorical, Gaussian, Poisson, StudentT
    from bayes_rpp.models.model import Model
    from bayes_rpp.networks.allocation import uniform_rep
    from bayes_rpp.networks.capacity import Capacity, capacity
    from bayes_rpp.networks.conv import ConvNet
    from bayes_rpp.networks.emlp import EMLP
    from bayes_rpp.networks.export.export import to_torch
    from bayes_rpp.networks.hamiltonian import HamiltonianNetwork
    from bayes_rpp.networks.mlp import MLP
    from bayes_rpp.networks.network import Capabilities, Network
    from bayes_rpp.networks.restrict import LinearPath, restrict
    from bayes_rpp.networks.soften.module import ModuleNetwork
    from bayes_rpp.networks.soften.soften import soften
    from bayes_rpp.networks.storage import load_network, save_network
    from bayes_rpp.priors.hyper import PerLayer, Prior
    from bayes_rpp.priors.pathway import ResidualPathway
    from bayes_rpp.priors.subspaces.base import DenseSubspace, EquivariantSubspace, FullSubspace, Subspace, ZeroSubspace
    from bayes_rpp.priors.subspaces.convolution import ConvolutionSubspace
    from bayes_rpp.priors.subspaces.nested import ComposedSubspace, NestedSubspace
    from bayes_rpp.priors.subspaces.span import SpanSubspace, band, block_pattern
    from bayes_rpp.symmetry.equivariance import equivariance_error
    from bayes_rpp.symmetry.groups import SL, SO, D, Group, Lorentz, O, S, Sp, Trivial, Z
    from bayes_rpp.symmetry.parse import parse_group, parse_rep
    from bayes_rpp.symmetry.representations import Pseudoscalar, Regular, Rep, Scalar, T, Vector
    from bayes_rpp.symmetry.solver import SolverError, equivariant_basis

_HOMES = {
    "analysis.compare": ["Comparison", "compare_symmetries"],
    "analysis.compare_plots": ["plot_comparison"],
    "analysis.degree": ["degree_of_symmetry"],
    "analysis.equivariance": ["Energy", "energy_by_layer", "equivariance_interval", "log_error_density"],
    "analysis.group_map": ["GroupErrorMap", "group_error_map"],
    "analysis.group_plots": ["plot_group_map"],
    "analysis.plots": ["plot_asymmetry", "plot_equivariance_kde", "plot_equivariance_posterior"],
    "analysis.sweep_plots": ["plot_sweep"],
    "estimators.classifier": ["RPPClassifier"],
    "estimators.regressor": ["RPPRegressor"],
    "inference.run.callbacks": ["EquivarianceTracker"],
    "inference.run.checkpoint": ["Checkpoint"],
    "inference.posterior.diagnostics": ["ConvergenceWarning", "Summary"],
    "inference.fit": ["fit"],
    "inference.methods": ["HMC", "MAP", "NUTS", "SVI", "DeepEnsemble", "Laplace"],
    "inference.posterior.metrics": ["predictive_metrics"],
    "inference.posterior.mixture": ["mixture"],
    "engines.compilation": ["cache_compilations"],
    "inference.posterior.posterior": ["Posterior", "Prediction"],
    "inference.sweep.sweep": ["sweep"],
    "inference.optimise.training": ["Progress", "TrainingError"],
    "models.likelihoods": ["Bernoulli", "Categorical", "Gaussian", "Poisson", "StudentT"],
    "models.model": ["Model"],
    "networks.allocation": ["uniform_rep"],
    "networks.capacity": ["Capacity", "capacity"],
    "networks.conv": ["ConvNet"],
    "networks.emlp": ["EMLP"],
    "networks.export.export": ["to_torch"],
    "networks.hamiltonian": ["HamiltonianNetwork"],
    "networks.mlp": ["MLP"],
    "networks.soften.module": ["ModuleNetwork"],
    "networks.network": ["Capabilities", "Network"],
    "networks.restrict": ["LinearPath", "restrict"],
    "networks.soften.soften": ["soften"],
    "networks.storage": ["load_network", "save_network"],
    "priors.subspaces.convolution": ["ConvolutionSubspace"],
    "priors.hyper": ["PerLayer", "Prior"],
    "priors.subspaces.nested": ["ComposedSubspace", "NestedSubspace"],
    "priors.pathway": ["ResidualPathway"],
    "priors.subspaces.span": ["SpanSubspace", "band", "block_pattern"],
    "priors.subspaces.base": ["DenseSubspace", "EquivariantSubspace", "FullSubspace", "Subspace", "ZeroSubspace"],
    "symmetry.equivariance": ["equivariance_error"],
    "symmetry.groups": ["D", "Group", "Lorentz", "O", "S", "SL", "SO", "Sp", "Trivial", "Z"],
    "symmetry.parse": ["parse_group", "parse_rep"],
    "symmetry.representations": ["Pseudoscalar", "Regular", "Rep", "Scalar", "T", "Vector"],
    "symmetry.solver": ["SolverError", "equivariant_basis"],
}
SUBMODULES = ("datasets", "rl", "testing")  # reached as attributes
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Bernoulli", "Capabilities", "Capacity", "Categorical", "Checkpoint", "Comparison", "ComposedSubspace", "ConvNet",
    "ConvergenceWarning", "ConvolutionSubspace", "D", "DeepEnsemble", "DenseSubspace", "EMLP", "Energy",
    "EquivarianceTracker", "EquivariantSubspace", "FullSubspace", "Gaussian", "Group", "GroupErrorMap", "HMC",
    "HamiltonianNetwork", "Laplace", "LinearPath", "Lorentz", "MAP", "MLP", "Model", "ModuleNetwork", "NUTS",
    "NestedSubspace", "Network", "O", "PerLayer", "Poisson", "Posterior", "Prediction", "Prior", "Progress",
    "Pseudoscalar", "RPPClassifier", "RPPRegressor", "Regular", "Rep", "ResidualPathway", "S", "SL", "SO", "SVI",
    "Scalar", "SolverError", "Sp", "SpanSubspace", "StudentT", "Subspace", "Summary", "T", "TrainingError", "Trivial",
    "Vector", "Z", "ZeroSubspace", "band", "block_pattern", "cache_compilations", "capacity", "compare_symmetries",
    "datasets", "degree_of_symmetry", "energy_by_layer", "equivariance_error", "equivariance_interval",
    "equivariant_basis", "fit", "group_error_map", "load_network", "log_error_density", "mixture", "parse_group",
    "parse_rep", "plot_asymmetry", "plot_comparison", "plot_equivariance_kde", "plot_equivariance_posterior",
    "plot_group_map", "plot_sweep", "predictive_metrics", "restrict", "save_network", "soften", "sweep", "to_torch",
    "uniform_rep",
]  # fmt: skip
if find_spec("sklearn") is None:  # what needs it is not loaded by `from bayes_rpp import *`
    __all__ = [name for name in __all__ if not _HOME.get(name, "").startswith("estimators")]


def __getattr__(name: str) -> Any:
    if name in SUBMODULES:
        return load_module(f"bayes_rpp.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'bayes_rpp' has no attribute {name!r}")
    value = getattr(load_module(f"bayes_rpp.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
