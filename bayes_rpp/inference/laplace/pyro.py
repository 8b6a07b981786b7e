"""Laplace in Pyro: MAP's trainer, and the Jacobian of the outputs."""

from __future__ import annotations

from bayes_rpp.inference.curvature.pyro import jacobian
from bayes_rpp.inference.laplace.laplace import laplace
from bayes_rpp.inference.optimise.map.pyro import Trainer
from bayes_rpp.inference.posterior.posterior import Posterior
from bayes_rpp.inference.run.task import Task


def fit(task: Task) -> Posterior:
    return laplace(task, Trainer, jacobian)
