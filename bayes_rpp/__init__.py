"""Bayesian inference with Residual Pathway Priors, in Pyro and NumPyro.

What one uses every day is here, `import bayes_rpp as rpp`, and the rest in modules that are reached from it, such as
`rpp.plots`. Names load when first used, so that importing the package loads neither torch nor jax.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayes_rpp._lazy import lazy

__version__ = "0.1.0"

if TYPE_CHECKING:
    from bayes_rpp import analysis as analysis
    from bayes_rpp import datasets as datasets
    from bayes_rpp import engines as engines
    from bayes_rpp import groups as groups
    from bayes_rpp import inference as inference
    from bayes_rpp import kernels as kernels
    from bayes_rpp import models as models
    from bayes_rpp import networks as networks
    from bayes_rpp import plots as plots
    from bayes_rpp import priors as priors
    from bayes_rpp import rl as rl
    from bayes_rpp import subspaces as subspaces
    from bayes_rpp import testing as testing
    from bayes_rpp.analysis.compare import compare_symmetries
    from bayes_rpp.analysis.discovery.discover import discover_symmetry
    from bayes_rpp.estimators.classifier import RPPClassifier
    from bayes_rpp.estimators.regressor import RPPRegressor
    from bayes_rpp.inference.fit import fit
    from bayes_rpp.inference.methods import HMC, MAP, MCLMC, MILE, NUTS, SGHMC, SGLD, SVI, ChEES, DeepEnsemble, Laplace
    from bayes_rpp.inference.posterior.mixture import mixture
    from bayes_rpp.inference.posterior.posterior import Posterior
    from bayes_rpp.inference.run.callbacks import EquivarianceTracker
    from bayes_rpp.inference.sweep.sweep import sweep
    from bayes_rpp.loops.soft_module import SoftModule
    from bayes_rpp.models.likelihoods import Bernoulli, Categorical, Poisson, StudentT
    from bayes_rpp.models.model import Model
    from bayes_rpp.models.normal import EnergyForces, Gaussian
    from bayes_rpp.models.process.gaussian_process import GaussianProcess
    from bayes_rpp.networks.conv import ConvNet
    from bayes_rpp.networks.emlp import EMLP
    from bayes_rpp.networks.hamiltonian import HamiltonianNetwork
    from bayes_rpp.networks.mlp import MLP
    from bayes_rpp.networks.particles.network import ParticleNetwork
    from bayes_rpp.networks.particles.systems import Particles
    from bayes_rpp.networks.soften.harden import harden
    from bayes_rpp.networks.soften.soften import soften
    from bayes_rpp.networks.storage import load_network, save_network
    from bayes_rpp.priors.hyper import PerLayer, Prior
    from bayes_rpp.priors.pathway import ResidualPathway
    from bayes_rpp.symmetry.equivariance import equivariance_error
    from bayes_rpp.symmetry.groups import SL, SO, D, Group, Lorentz, O, S, Sp, Trivial, Z
    from bayes_rpp.symmetry.representations import Pseudoscalar, Regular, Rep, Scalar, T, Vector
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "analysis.compare": "compare_symmetries",
            "analysis.discovery.discover": "discover_symmetry",
            "estimators.classifier": "RPPClassifier",
            "estimators.regressor": "RPPRegressor",
            "inference.fit": "fit",
            "inference.methods": "HMC MAP MCLMC MILE NUTS SGHMC SGLD SVI ChEES DeepEnsemble Laplace",
            "inference.posterior.mixture": "mixture",
            "inference.posterior.functions": "Posterior",
            "inference.run.callbacks": "EquivarianceTracker",
            "inference.sweep.sweep": "sweep",
            "loops.soft_module": "SoftModule",
            "models.likelihoods": "Bernoulli Categorical Poisson StudentT",
            "models.model": "Model",
            "models.normal": "EnergyForces Gaussian",
            "models.process.gaussian_process": "GaussianProcess",
            "networks.conv": "ConvNet",
            "networks.emlp": "EMLP",
            "networks.hamiltonian": "HamiltonianNetwork",
            "networks.mlp": "MLP",
            "networks.particles.network": "ParticleNetwork",
            "networks.particles.systems": "Particles",
            "networks.soften.harden": "harden",
            "networks.soften.soften": "soften",
            "networks.storage": "load_network save_network",
            "priors.hyper": "PerLayer Prior",
            "priors.pathway": "ResidualPathway",
            "symmetry.equivariance": "equivariance_error",
            "symmetry.groups": "SL SO D Group Lorentz O S Sp Trivial Z",
            "symmetry.representations": "Pseudoscalar Regular Rep Scalar T Vector",
        },
        submodules="analysis datasets engines groups inference kernels models networks plots priors rl subspaces "
        "testing",
        moved={
            "analysis": "Comparison Energy GroupErrorMap degree_of_symmetry energy_by_layer equivariance_interval "
            "group_error_map log_error_density",
            "groups": "parse_group parse_rep",
            "inference": "Checkpoint ConvergenceWarning Prediction Progress Summary TrainingError cache_compilations "
            "predictive_metrics",
            "networks": "Capabilities Capacity LinearPath ModuleNetwork Network capacity restrict to_torch uniform_rep",
            "plots": "plot_asymmetry plot_comparison plot_equivariance_kde plot_equivariance_posterior plot_group_map "
            "plot_sweep",
            "subspaces": "ComposedSubspace ConvolutionSubspace DenseSubspace EquivariantSubspace FullSubspace "
            "NestedSubspace SolverError SpanSubspace Subspace ZeroSubspace band block_pattern equivariant_basis",
        },
    )

__all__ = [
    "Bernoulli", "Categorical", "ChEES", "ConvNet", "D", "DeepEnsemble", "EMLP", "EnergyForces", "EquivarianceTracker",
    "Gaussian", "GaussianProcess", "Group", "HMC", "HamiltonianNetwork", "Laplace", "Lorentz", "MAP", "MCLMC", "MILE",
    "MLP", "Model", "NUTS", "O", "ParticleNetwork", "Particles", "PerLayer", "Poisson", "Posterior", "Prior",
    "Pseudoscalar", "RPPClassifier", "RPPRegressor", "Regular", "Rep", "ResidualPathway", "S", "SGHMC", "SGLD", "SL",
    "SO", "SVI", "Scalar", "SoftModule", "Sp", "StudentT", "T", "Trivial", "Vector", "Z", "compare_symmetries",
    "datasets", "discover_symmetry", "equivariance_error", "fit", "harden", "load_network", "mixture", "save_network",
    "soften", "sweep",
]  # fmt: skip
