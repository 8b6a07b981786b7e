"""Inference methods as frozen dataclasses: what to do, not how."""

from bayes_rpp.inference.methods.base import GENTLE, RATE, Method, Optimizer
from bayes_rpp.inference.methods.laplace import Laplace
from bayes_rpp.inference.methods.optimisers import MAP, SVI, DeepEnsemble
from bayes_rpp.inference.methods.samplers import HMC, NUTS

__all__ = ["GENTLE", "HMC", "MAP", "NUTS", "RATE", "SVI", "DeepEnsemble", "Laplace", "Method", "Optimizer"]
