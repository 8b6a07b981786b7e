"""Modules of torch as networks; nothing but this folder's files and `bayes_rpp.priors.torch` know torch's layers."""

from bayes_rpp.networks.torch.network import TorchNetwork
from bayes_rpp.networks.torch.soften import soften

__all__ = ["TorchNetwork", "soften"]
