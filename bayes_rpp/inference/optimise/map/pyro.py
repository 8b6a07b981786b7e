"""MAP and deep ensembles in Pyro: an AutoDelta guide over a plate of members, all in one batch of operations."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pyro import poutine
from pyro.infer.autoguide import AutoDelta
from pyro.infer.autoguide.initialization import init_to_value

from bayes_rpp.engines.pyro import settings
from bayes_rpp.inference.optimise.mode import check, finish
from bayes_rpp.inference.optimise.training import train
from bayes_rpp.inference.posterior.posterior import Posterior
from bayes_rpp.inference.run.checkpoint import Arrays
from bayes_rpp.inference.run.sites import Sites, Values
from bayes_rpp.inference.run.task import Task


def fit(task: Task) -> Posterior:
    check(task)
    return finish(task, train(task, Trainer))


class Trainer:
    """See `bayes_rpp.inference.optimise.training.Trainer`."""

    def __init__(self, task: Task, sites: Sites, initial: Values, rates: NDArray) -> None:
        dtype = torch.get_default_dtype()
        self._x, self._y = (torch.as_tensor(a, dtype=dtype) for a in (task.x, task.y))
        # A plate at dim -2 leaves a dimension of size one for the examples at dim -1.
        named = sites.with_weights(initial)
        start = {site: torch.as_tensor(v, dtype=dtype)[:, None].clone() for site, v in named.items()}
        self._positive = set(task.model.latents)
        self._shapes = {site: v.shape for site, v in initial.items()}
        members = len(next(iter(initial.values())))
        given = {k: torch.as_tensor(v, dtype=dtype).expand(members)[:, None] for k, v in sites.given.items()}
        options: dict[str, Any] = {"parametrization": sites.parametrization, "given": given}
        self._size, self._stream, self._members, self._dtype = task.size, task.stream, members, dtype
        self._model = partial(task.model.pyro, size=task.size, members=members, **options)
        with settings():
            self._guide = AutoDelta(self._model, init_loc_fn=init_to_value(values=start))
            self._guide(self._x[:1], self._y[:1])
        groups = [
            {"params": [p], "unit": sites.steps[name.removesuffix("_unconstrained")]}
            for name, p in self._guide.named_parameters()
        ]
        self._optimizer = Adam(groups, rates)

    def epoch(self, batches: NDArray[np.int64]) -> NDArray:
        losses = []
        with settings():
            for x, y in self._batches(batches):
                loss = self._loss(x, y)
                self._optimizer.step(loss.sum())
                losses.append(loss.detach() / self._size)
        return torch.stack(losses, dim=1).cpu().numpy()

    def _batches(self, rows: NDArray[np.int64]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """(members, n, columns) each; of a stream all members see the same."""
        if self._stream is None:
            for some in torch.as_tensor(rows).swapaxes(0, 1):  # one transfer to a GPU
                yield self._x[some], self._y[some]
            return
        for batch in self._stream.batches():
            x, y = (torch.as_tensor(a, dtype=self._dtype) for a in batch)
            yield x.expand(self._members, *x.shape), y.expand(self._members, *y.shape)

    def values(self) -> Values:
        with settings(), torch.no_grad():
            found = self._guide.median(self._x[:1], self._y[:1])
        return {site: found[site].reshape(shape).cpu().numpy().copy() for site, shape in self._shapes.items()}

    def replace(self, values: Values) -> None:
        with torch.no_grad():
            for name, p in self._guide.named_parameters():
                site = name.removesuffix("_unconstrained")
                value = torch.as_tensor(values[site]).reshape(p.shape)
                p.copy_(value.log() if site in self._positive else value)

    def draws(self) -> Values:
        return {k: v[None] for k, v in self.values().items()}

    def state(self) -> Arrays:
        return self._optimizer.state(next(iter(self._shapes.values()))[0])

    def restore(self, state: Arrays) -> None:
        self._optimizer.restore(state)

    def _loss(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """-ELBO of each member: Trace_ELBO would only give their sum."""
        guide = poutine.trace(self._guide).get_trace(x, y)
        model = poutine.trace(poutine.replay(self._model, trace=guide)).get_trace(x, y)
        model.compute_log_prob()
        terms = [s["log_prob"] for s in model.nodes.values() if s["type"] == "sample" and s["log_prob"].dim() == 2]
        return -sum(t.sum(dim=-1) for t in terms)


class Adam:
    """torch's Adam with a learning rate for each step, in units of each parameter group's "unit": a number, or an array
    with one for each member."""

    def __init__(self, groups: list[dict[str, Any]], rates: NDArray) -> None:
        self._adam = torch.optim.Adam(groups, lr=0.0, fused=True)
        self._parameters = [p for g in self._adam.param_groups for p in g["params"]]
        self._rates, self._count = rates, 0
        self._parts = {
            p: torch.as_tensor(g["unit"], dtype=p.dtype, device=p.device).reshape((-1,) + (1,) * (p.dim() - 1))
            for g in self._adam.param_groups
            for p in g["params"]
            if np.ndim(g.get("unit", 1.0))
        }

    def step(self, loss: torch.Tensor) -> None:
        self._adam.zero_grad()
        loss.backward()
        starts = []
        for group in self._adam.param_groups:
            unit = group.get("unit", 1.0)
            group["lr"] = self._rates[self._count] * (1.0 if np.ndim(unit) else unit)
            if np.ndim(unit):
                starts += [(p, self._parts[p], p.detach().clone()) for p in group["params"]]
        self._adam.step()
        with torch.no_grad():
            for p, part, start in starts:  # torch has one rate for all members: go the member's part of the way
                p.copy_(torch.lerp(start, p, part))
        self._count += 1

    def state(self, members: int | None = None) -> Arrays:
        """Parameters, their moments and the number of steps; with leading dimension members where that is given."""
        found: Arrays = {}
        for i, p in enumerate(self._parameters):
            moments = self._adam.state.get(p, {})
            found[f"{i}/value"] = p.detach().cpu().numpy().copy()
            for name in MOMENTS:  # torch makes them at the first step
                found[f"{i}/{name}"] = moments.get(name, torch.zeros_like(p)).cpu().numpy().copy()
        found["count"] = np.full(() if members is None else members, self._count)
        return found

    def restore(self, state: Arrays) -> None:
        self._count = int(state["count"].flat[0])
        with torch.no_grad():
            for i, p in enumerate(self._parameters):
                p.copy_(torch.as_tensor(state[f"{i}/value"]))
                moments = {k: torch.as_tensor(state[f"{i}/{k}"]).to(p).clone() for k in MOMENTS}
                self._adam.state[p] = {"step": torch.tensor(float(self._count), device=p.device), **moments}


MOMENTS = ("exp_avg", "exp_avg_sq")
