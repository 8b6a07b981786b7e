"""SVI in Pyro: automatic guides, or the user's, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import pyro
import torch
from numpy.typing import NDArray
from pyro import poutine
from pyro.infer import Trace_ELBO
from pyro.infer import autoguide as guides
from pyro.infer.autoguide.initialization import init_to_value

from bayes_rpp.engines.pyro import random_state, seeded, settings
from bayes_rpp.inference.optimise.map.pyro import Adam
from bayes_rpp.inference.optimise.svi.guides import make_guide
from bayes_rpp.inference.optimise.training import train
from bayes_rpp.inference.posterior.posterior import Posterior
from bayes_rpp.inference.run.checkpoint import Arrays
from bayes_rpp.inference.run.sites import Sites, Values
from bayes_rpp.inference.run.task import Task


def fit(task: Task) -> Posterior:
    return train(task, Trainer)


class Trainer:
    """See `bayes_rpp.inference.optimise.training.Trainer`."""

    def __init__(self, task: Task, sites: Sites, initial: Values, rates: NDArray) -> None:
        self._count = task.method.draws
        self._shapes = {site: v.shape[1:] for site, v in initial.items()}
        self._members = [
            _Member(task, sites, {k: v[m] for k, v in initial.items()}, rates, m) for m in range(task.method.count)
        ]

    def epoch(self, batches: NDArray[np.int64]) -> NDArray:
        return np.stack([member.epoch(rows) for member, rows in zip(self._members, batches, strict=True)])

    def values(self) -> Values:
        return self._stack([member.center(self._shapes) for member in self._members])

    def draws(self) -> Values:
        return self._stack([member.sample(self._shapes, self._count) for member in self._members])

    def state(self) -> Arrays:
        return self._stack([member.state() for member in self._members])

    def restore(self, state: Arrays) -> None:
        for m, member in enumerate(self._members):
            member.restore({k: v[m] for k, v in state.items()})

    def _stack(self, each: list[Arrays]) -> Arrays:
        return {k: np.stack([e[k] for e in each]) for k in each[0]}


class _Member:
    """One guide, its optimiser and its random numbers."""

    def __init__(self, task: Task, sites: Sites, initial: Values, rates: NDArray, number: int) -> None:
        dtype = torch.get_default_dtype()
        self._x, self._y = (torch.as_tensor(a, dtype=dtype) for a in (task.x, task.y))
        self._model = partial(task.model.pyro, size=len(task.x), parametrization=sites.parametrization)
        start = {site: torch.as_tensor(v, dtype=dtype).clone() for site, v in sites.with_weights(initial).items()}
        seed = int(np.random.SeedSequence([task.seed, number]).generate_state(1)[0])
        self._random = seeded(seed)
        self._store = None
        with self._alone():
            self._guide = make_guide(task.method, guides, self._model, init_to_value(values=start))
            self._guide(self._x[:1], self._y[:1])
            stored = dict(pyro.get_param_store().named_parameters())  # of guides that are plain functions
        batched = isinstance(self._guide, guides.AutoGuide)
        self._elbo = Trace_ELBO(task.method.particles, max_plate_nesting=1, vectorize_particles=batched)
        local = dict(self._guide.named_parameters()) if isinstance(self._guide, torch.nn.Module) else {}
        self._adam = Adam([{"params": list({**stored, **local}.values())}], rates)

    def epoch(self, batches: NDArray[np.int64]) -> NDArray:
        losses = []
        with self._alone():
            for rows in torch.as_tensor(batches):
                loss = self._elbo.differentiable_loss(self._model, self._guide, self._x[rows], self._y[rows])
                self._adam.step(loss)
                losses.append(loss.detach() / len(self._x))
        return torch.stack(losses).cpu().numpy().astype(np.float64)

    def center(self, shapes: dict[str, tuple[int, ...]]) -> Values:
        if not hasattr(self._guide, "median"):
            return {site: v[0] for site, v in self.sample(shapes, 1).items()}
        with self._alone(), torch.no_grad():
            found = self._guide.median(self._x[:1], self._y[:1])
        return {site: found[site].reshape(shape).cpu().numpy().copy() for site, shape in shapes.items()}

    def sample(self, shapes: dict[str, tuple[int, ...]], count: int) -> Values:
        """Draws, (count, *shape); the training's random numbers stay as they are."""
        before = self._random
        with self._alone(), torch.no_grad():
            if isinstance(self._guide, guides.AutoGuide):
                with pyro.plate("draws", count, dim=-2):  # left of the plate of examples
                    traces = [self._trace()]
            else:
                traces = [self._trace() for _ in range(count)]
        self._random = before
        missing = [site for site in shapes if site not in traces[0]]
        if missing:
            raise ValueError(f"guide must have the model's sample sites, got no {', '.join(map(repr, missing))}")
        found = {}
        for site, shape in shapes.items():
            draws = torch.cat([t[site]["value"].reshape((-1, *shape)) for t in traces])
            found[site] = draws.expand((count, *shape)).cpu().numpy().copy()  # a point mass is drawn once
        return found

    def _trace(self) -> Any:
        return poutine.trace(self._guide).get_trace(self._x[:1], self._y[:1]).nodes

    def state(self) -> Arrays:
        return self._adam.state() | {"random": self._random.numpy().copy()}

    def restore(self, state: Arrays) -> None:
        self._random = torch.from_numpy(state["random"])
        self._adam.restore(state)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """With random numbers and a parameter store of its own, in place of the global ones."""
        with settings(), random_state(self._random) as now, pyro.get_param_store().scope(self._store) as store:
            yield
            self._random, self._store = now(), store
