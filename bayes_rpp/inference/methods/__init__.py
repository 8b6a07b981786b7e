"""Inference methods as frozen dataclasses: what to do, not how."""

from bayes_rpp.inference.methods.base import GENTLE, RATE, Method, Optimizer
from bayes_rpp.inference.methods.chees import ChEES
from bayes_rpp.inference.methods.laplace import Laplace
from bayes_rpp.inference.methods.microcanonical import MCLMC, MILE
from bayes_rpp.inference.methods.optimisers import MAP, SVI, DeepEnsemble
from bayes_rpp.inference.methods.samplers import HMC, NUTS, Chains
from bayes_rpp.inference.methods.stochastic import SGHMC, SGLD

__all__ = [
    "GENTLE",
    "HMC",
    "MAP",
    "MCLMC",
    "MILE",
    "NUTS",
    "RATE",
    "SGHMC",
    "SGLD",
    "SVI",
    "Chains",
    "ChEES",
    "DeepEnsemble",
    "Laplace",
    "Method",
    "Optimizer",
]
