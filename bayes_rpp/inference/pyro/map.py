"""MAP and deep ensembles in Pyro: an AutoDelta guide over a plate of members, all in one batch of operations."""

from __future__ import annotations

from functools import partial

import numpy as np
import pyro
import torch
from numpy.typing import NDArray
from pyro import poutine
from pyro.infer.autoguide import AutoDelta
from pyro.infer.autoguide.initialization import init_to_value

from bayes_rpp.inference.posterior import Posterior
from bayes_rpp.inference.sites import Sites, Values
from bayes_rpp.inference.task import Task
from bayes_rpp.inference.training import train


def fit(task: Task) -> Posterior:
    return train(task, Trainer)


class Trainer:
    """See `bayes_rpp.inference.training.Trainer`."""

    def __init__(self, sites: Sites, x: NDArray, y: NDArray, initial: Values, rates: NDArray) -> None:
        dtype = torch.get_default_dtype()
        self._x, self._y = (torch.as_tensor(a, dtype=dtype) for a in (x, y))
        # A plate at dim -2 leaves a dimension of size one for the examples at dim -1.
        # Pyro starts a reparametrised site from a value of the original one, here the weight.
        weights = sites.weights(initial)
        strict = {
            site: sites.model.priors[name].subspace.encode(weights[name])
            for name, (site, prior) in sites.model.sites.items()
            if prior is not sites.model.priors[name]
        }
        named = {**weights, **strict, **initial}
        start = {site: torch.as_tensor(v, dtype=dtype)[:, None].clone() for site, v in named.items()}
        self._shapes = {site: v.shape for site, v in initial.items()}
        members = len(next(iter(initial.values())))
        self._model = partial(sites.model.pyro, size=len(x), members=members, parametrisation=sites.parametrisation)
        with _settings():
            self._guide = AutoDelta(self._model, init_loc_fn=init_to_value(values=start))
            self._guide(self._x[:1], self._y[:1])
        groups = [
            {"params": [p], "unit": sites.steps[name.removesuffix("_unconstrained")]}
            for name, p in self._guide.named_parameters()
        ]
        self._optimiser = torch.optim.Adam(groups, lr=0.0, fused=True)
        self._rates, self._count = rates, 0

    def epoch(self, batches: NDArray[np.int64]) -> NDArray:
        losses = []
        with _settings():
            for step in range(batches.shape[1]):
                rows = torch.as_tensor(batches[:, step])
                loss = self._loss(self._x[rows], self._y[rows])
                self._optimiser.zero_grad()
                loss.sum().backward()
                for group in self._optimiser.param_groups:
                    group["lr"] = self._rates[self._count] * group["unit"]
                self._optimiser.step()
                self._count += 1
                losses.append(loss.detach() / len(self._x))
        return torch.stack(losses, dim=1).cpu().numpy()

    def values(self) -> Values:
        with _settings(), torch.no_grad():
            found = self._guide.median(self._x[:1], self._y[:1])
        return {site: found[site].reshape(shape).cpu().numpy().copy() for site, shape in self._shapes.items()}

    def _loss(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """-ELBO of each member: Trace_ELBO would only give their sum."""
        guide = poutine.trace(self._guide).get_trace(x, y)
        model = poutine.trace(poutine.replay(self._model, trace=guide)).get_trace(x, y)
        model.compute_log_prob()
        terms = [s["log_prob"] for s in model.nodes.values() if s["type"] == "sample" and s["log_prob"].dim() == 2]
        return -sum(t.sum(dim=-1) for t in terms)


def _settings() -> pyro.settings.context:
    """Parameters live in the guide, not in Pyro's global store; NaN is looked for in the loss, not in each argument."""
    return pyro.settings.context(
        module_local_params=True, validate_distributions_pyro=False, validate_distributions_torch=False
    )
