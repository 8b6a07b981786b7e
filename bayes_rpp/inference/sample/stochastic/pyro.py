"""SGLD and SGHMC in Pyro: the updates of posteriors, all chains in one batch of operations."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pyro import poutine
from torch.distributions import biject_to

from bayes_rpp.engines.pyro import ENGINE, random_state, seeded, settings
from bayes_rpp.inference.methods import SGHMC
from bayes_rpp.inference.posterior.posterior import Posterior
from bayes_rpp.inference.run.checkpoint import Arrays
from bayes_rpp.inference.run.sites import Sites, Values
from bayes_rpp.inference.run.task import Task
from bayes_rpp.inference.sample.sampling import sample
from bayes_rpp.inference.sample.stochastic import scale as shared

with warnings.catch_warnings():  # of tensordict, on how posteriors declares its states
    warnings.simplefilter("ignore", FutureWarning)
    from posteriors.sgmcmc import sghmc, sgld


def fit(task: Task) -> Posterior:
    return sample(task, Sampler, True)


class Sampler:
    """See `bayes_rpp.inference.sample.sampling.Sampler`."""

    def __init__(self, task: Task, sites: Sites, initial: Values, seeds: list[int]) -> None:
        self._model, self._form, self._method = task.model, sites.parametrization, task.method
        dtype = torch.get_default_dtype()
        self._x, self._y = (torch.as_tensor(a, dtype=dtype) for a in (task.x, task.y))
        self._positive = {k: biject_to(p.distribution(ENGINE).support) for k, p in task.model.latents.items()}
        self._shapes = {k: v.shape[1:] for k, v in initial.items()}
        self._chains, n = len(seeds), len(task.x)
        self._random = seeded(seeds[0])
        start = {k: torch.as_tensor(v, dtype=dtype) for k, v in initial.items()}
        flat = [
            (self._positive[k].inv(v) if k in self._positive else v).reshape(len(seeds), -1) for k, v in start.items()
        ]
        z = torch.cat(flat, dim=1)
        self._each, self._batch = task.method.each(n), task.method.batch(n)
        self._rate = shared.first_rate(task)
        self._units = torch.as_tensor(shared.units(sites, self._shapes), dtype=dtype)
        none = torch.zeros_like(z)
        self._arrays = {"z": z, "momentum": none, "square": none, "cross": none, "before": none}
        self._arrays |= {"size": torch.full_like(z[:, :1], task.method.step), "back": none[:, :1]}
        self._draw = self._since = 0

    def is_finite(self) -> NDArray[np.bool_]:
        with settings():
            values, g = self._gradient(self._arrays["z"], None)
        found: NDArray[np.bool_] = (values.isfinite() & g.isfinite().all(dim=1)).cpu().numpy()
        return found

    def advance(self, count: int) -> tuple[Values, Values]:
        draws: list[torch.Tensor] = []
        stats: dict[str, list[NDArray]] = {}
        with settings(), random_state(self._random) as now:
            for _ in range(count):
                for name, value in self._advance().items():
                    stats.setdefault(name, []).append(value)
                draws.append(self._arrays["z"])
            self._random = now()
            found = {k: v.cpu().numpy() for k, v in self._sites(torch.stack(draws, dim=1)).items()}
        return found, {k: np.stack(v, axis=1) for k, v in stats.items()}

    def _advance(self) -> dict[str, NDArray]:
        warmup, kept = self._method.warmup, self._draw - self._method.warmup
        steps = self._each
        if kept > 0 and kept % self._method.period == 0:
            self._since, steps = 0, (warmup + 1) * self._each
        lost = torch.zeros(self._chains, dtype=torch.bool)
        for _ in range(steps):
            values, ok = self._step()
            lost = lost | ~ok
        self._draw += 1
        found = {"lp": values, "step_size": self._arrays["size"][:, 0], "diverging": lost}
        return {k: v.cpu().numpy().copy() for k, v in found.items()} | {"n_steps": np.full(self._chains, self._each)}

    def _step(self) -> tuple[torch.Tensor, torch.Tensor]:
        """One for all chains: their log densities before it, and whether each moved."""
        method, old = self._method, self._arrays
        z, size, n = old["z"], old["size"], len(self._x)
        warmup, warmup_draws = method.warmup * self._each, method.warmup
        optimizing = int(shared.OPTIMIZING * warmup)
        first, hamiltonian = self._since < optimizing, isinstance(method, SGHMC)
        rows = None if self._batch >= n else torch.randint(n, (self._chains, self._batch))
        moving = hamiltonian and not first
        if moving:
            z = z + size * shared.scale_of(old["square"], self._units).sqrt() * old["momentum"]
        values, g = self._gradient(z, rows)
        w = shared.weight(self._since) if self._since < warmup else 0.0
        square, cross = (1 - w) * old["square"] + w * g**2, (1 - w) * old["cross"] + w * g * old["before"]
        scale = shared.scale_of(square, self._units).sqrt()
        noise = scale**2 * shared.gradient_noise(square, cross, rows is None)
        momentum = old["momentum"]
        if first:
            rate = self._rate if self._draw < warmup_draws + method.period else shared.HOT
            moved = z + rate * shared.cosine(self._since, optimizing) * self._units * g / (square.sqrt() + 1e-12)
            if hamiltonian and self._since == optimizing - 1:
                momentum = torch.randn_like(momentum)
        else:
            # In units in which the gradient's mean square is one; the gradient is given, as that of a linear density.
            zero, density = torch.zeros_like(z), _linear(scale * g)
            if hamiltonian:
                beta = shared.cooled(noise, size, method.friction)
                state = sghmc.SGHMCState(zero, momentum)
                new, _ = sghmc.update(state, None, density, lr=size, alpha=method.friction, beta=beta)
                momentum, moved = new.momenta, z
            else:
                beta = shared.cooled(noise, size, 1.0)
                new, _ = sgld.update(sgld.SGLDState(zero), None, density, lr=size, beta=beta)
                moved = z + scale * new.params
        ok = (((scale * g) ** 2).mean(dim=1, keepdim=True) < shared.LOST) & square.isfinite().all(dim=1, keepdim=True)
        back = shared.MEMORY * old["back"] + (1 - shared.MEMORY) * ~ok
        stuck = back > shared.OFTEN
        new_arrays = {"z": moved, "momentum": momentum, "square": square, "cross": cross, "before": g}
        self._arrays = {k: torch.where(ok, v, old[k]) for k, v in new_arrays.items()}
        self._arrays["momentum"] = torch.where(ok, momentum, 0.0)
        self._arrays["size"] = torch.where(stuck, shared.SHORTER * size, size)
        self._arrays["back"] = torch.where(stuck, 0.0, back)
        self._since += 1
        return values, ok[:, 0]

    def _gradient(self, z: torch.Tensor, rows: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Log density of each chain and its gradient, from rows (chains, batch) of the data or all of them."""
        z = z.detach().requires_grad_()
        x, y = (self._x, self._y) if rows is None else (self._x[rows], self._y[rows])
        values = self._log_density(z, x, y)
        (g,) = torch.autograd.grad(values.sum(), z)
        return values.detach(), g

    def _log_density(self, z: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """log p(y, W | x) of each chain, and of the change of variables."""
        sites = {k: v[:, None] for k, v in self._sites(z).items()}
        model = poutine.condition(self._model.pyro, data=sites)
        options = {"size": len(self._x), "members": self._chains, "parametrization": self._form}
        trace = poutine.trace(model).get_trace(x, y, **options)
        trace.compute_log_prob()
        terms = [s["log_prob"] for s in trace.nodes.values() if s["type"] == "sample" and s["log_prob"].dim() == 2]
        found = sum(t.sum(dim=-1) for t in terms)
        free = dict(zip(self._shapes, self._cut(z), strict=True))
        for k, t in self._positive.items():
            found = found + t.log_abs_det_jacobian(free[k], sites[k][:, 0]).reshape(len(z))
        return found

    def _sites(self, z: torch.Tensor) -> dict[str, torch.Tensor]:
        """By site, of (..., entries of all sites)."""
        parts = dict(zip(self._shapes, self._cut(z), strict=True))
        return {k: self._positive[k](v) if k in self._positive else v for k, v in parts.items()}

    def _cut(self, z: torch.Tensor) -> list[torch.Tensor]:
        sizes = [math.prod(shape) for shape in self._shapes.values()]
        parts = z.split(sizes, dim=-1)
        return [p.reshape(z.shape[:-1] + s) for p, s in zip(parts, self._shapes.values(), strict=True)]

    def state(self) -> Arrays:
        found = {k: v.cpu().numpy().copy() for k, v in self._arrays.items()}
        return found | {"random": self._random.numpy().copy(), "counts": np.array([self._draw, self._since])}

    def restore(self, state: Arrays) -> None:
        self._arrays = {k: torch.as_tensor(state[k]).to(v) for k, v in self._arrays.items()}
        self._random = torch.from_numpy(state["random"])
        self._draw, self._since = (int(v) for v in state["counts"])


def _linear(gradient: torch.Tensor) -> Any:
    return lambda z, batch: ((gradient * z).sum(), torch.zeros(()))
