"""HMC and NUTS in Pyro: its kernels, one chain after the other, with a state that can be kept on disk."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pyro.infer import mcmc
from pyro.infer.autoguide.initialization import init_to_value
from pyro.ops.integrator import potential_grad
from torch.distributions import biject_to

from bayes_rpp.engines.pyro import ENGINE, random_state, seeded, settings
from bayes_rpp.inference.posterior.posterior import Posterior
from bayes_rpp.inference.run.checkpoint import Arrays
from bayes_rpp.inference.run.sites import Sites, Values
from bayes_rpp.inference.run.task import Task
from bayes_rpp.inference.sample.sampling import sample, start_error

TOGETHER = False  # a kernel holds one chain


def fit(task: Task) -> Posterior:
    return sample(task, Sampler, TOGETHER)


class _Recorder:
    """A kernel that also counts its gradients and keeps the kinetic energy at the start of each trajectory."""

    gradients = 0
    kinetic = 0.0
    potential_fn: Any

    def _initialize_model_properties(self, args: Any, kwargs: Any) -> None:
        super()._initialize_model_properties(args, kwargs)  # type: ignore[misc]
        self.potential_fn = self._counted(self.potential_fn)

    def _counted(self, potential: Callable[..., Any]) -> Callable[..., Any]:
        def count(z: Any) -> Any:
            self.gradients += 1
            return potential(z)

        return count

    def _sample_r(self, name: str) -> Any:
        r, unscaled = super()._sample_r(name)  # type: ignore[misc]
        self.kinetic = float(self._kinetic_energy(unscaled))  # type: ignore[attr-defined]
        return r, unscaled


class _HMC(_Recorder, mcmc.HMC):
    @property
    def num_steps(self) -> int:
        """At most as many as NUTS makes: early in the warm-up a tiny step size would ask for 100,000."""
        return min(super().num_steps, 1023)


class _NUTS(_Recorder, mcmc.NUTS):
    pass


class Sampler:
    """See `bayes_rpp.inference.sample.sampling.Sampler`; here of one chain, as Pyro's kernels hold one."""

    def __init__(self, task: Task, sites: Sites, initial: Values, seeds: list[int]) -> None:
        method = task.method
        dtype = torch.get_default_dtype()
        self._shapes = {site: v.shape[1:] for site, v in initial.items()}
        self._positive = {k: biject_to(p.distribution(ENGINE).support) for k, p in task.model.latents.items()}
        start = sites.with_weights({site: v[0] for site, v in initial.items()})
        values = {site: torch.as_tensor(v, dtype=dtype).clone() for site, v in start.items()}
        shared = {
            "target_accept_prob": method.target_accept,
            "full_mass": method.dense_mass,
            "init_strategy": init_to_value(values=values),
            # 4 times faster, and right, as the model's course does not depend on values; torch has no successor of it
            # for the processes of Python 3.14 and later. Softened modules cannot be traced.
            "jit_compile": task.model.traceable and sys.version_info < (3, 14),
            "ignore_jit_warnings": True,
        }
        model = partial(task.model.pyro, parametrization=sites.parametrization)
        if method.max_depth is None:
            self._kernel = _HMC(model, trajectory_length=method.trajectory_length, **shared)
        else:
            self._kernel = _NUTS(model, max_tree_depth=method.max_depth, **shared)
        self._warmup = method.warmup
        self._random = seeded(seeds[0])
        data = (torch.as_tensor(task.x, dtype=dtype), torch.as_tensor(task.y, dtype=dtype))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*torch.jit.trace", category=DeprecationWarning)
            try:
                self._with_random(lambda: self._kernel.setup(method.warmup, *data))
            except ValueError as error:
                if "valid initial params" not in str(error):
                    raise
                raise start_error(task, 0) from error
        self._z = dict(self._kernel.initial_params)

    def is_finite(self) -> NDArray[np.bool_]:
        with settings():
            gradients, potential = potential_grad(self._kernel.potential_fn, self._z)
        parts = [potential, *gradients.values()]
        return np.array([all(bool(torch.isfinite(p).all()) for p in parts)])

    def advance(self, count: int) -> tuple[Values, Values]:
        return self._with_random(partial(self._advance, count))

    def _advance(self, count: int) -> tuple[Values, Values]:
        kernel = self._kernel
        draws: dict[str, list[Any]] = {site: [] for site in self._shapes}
        stats: dict[str, list[Any]] = {}
        for _ in range(count):
            before = (kernel._t, kernel.gradients, len(kernel._divergences), kernel._mean_accept_prob)
            potential = float(kernel._potential_energy_last)
            self._z = kernel.sample(self._z)
            n = before[0] + 1 - (self._warmup if before[0] >= self._warmup else 0)
            mean = before[3] if n > 1 else 0.0
            steps = kernel.gradients - before[1]
            for name, value in {
                "diverging": len(kernel._divergences) > before[2],
                "n_steps": steps,
                "acceptance_rate": n * kernel._mean_accept_prob - (n - 1) * mean,
                "lp": -float(kernel._potential_energy_last),
                "energy": potential + kernel.kinetic,
                "step_size": kernel.step_size,
                "tree_depth": int(np.floor(np.log2(max(steps, 1)))) + 1,
            }.items():
                stats.setdefault(name, []).append(value)
            for site, shape in self._shapes.items():
                z = self._z[site].detach()
                draws[site].append(self._constrained(site, z).reshape(shape).cpu().numpy().copy())
        found = {site: np.stack(v)[None] for site, v in draws.items()}
        return found, {name: np.asarray(v)[None] for name, v in stats.items()}

    def _constrained(self, site: str, z: torch.Tensor) -> torch.Tensor:
        return self._positive[site](z) if site in self._positive else z

    def _with_random(self, function: Callable[[], Any]) -> Any:
        """Call with the chain's own random numbers in place of torch's global ones."""
        with settings(), random_state(self._random) as now:
            found = function()
            self._random = now()
        return found

    def state(self) -> Arrays:
        kernel, adapter = self._kernel, self._kernel._adapter
        scheme = adapter._step_size_adapt_scheme
        mass = adapter.mass_matrix_adapter
        numbers = {
            "kernel": {k: getattr(kernel, k) for k in KERNEL},
            "adapter": {k: getattr(adapter, k) for k in ADAPTER},
            "scheme": {k: v for k, v in vars(scheme).items() if isinstance(v, (int, float))},
            "welford": [w.n_samples for w in mass._adapt_scheme.values()],
        }
        found = {"numbers": np.array(json.dumps(numbers)), "random": self._random.numpy().copy()}
        found |= {f"z/{k}": v.detach().cpu().numpy().copy() for k, v in self._z.items()}
        for i, (names, inverse) in enumerate(mass.inverse_mass_matrix.items()):
            found[f"mass/{i}"] = inverse.cpu().numpy().copy()
            for part in ("_mean", "_m2"):
                found[f"welford/{i}{part}"] = (
                    torch.as_tensor(getattr(mass._adapt_scheme[names], part)).cpu().numpy().copy()
                )
        found["potential"] = np.array(float(kernel._potential_energy_last))
        return found | {f"gradient/{k}": v.cpu().numpy().copy() for k, v in kernel._z_grads_last.items()}

    def restore(self, state: Arrays) -> None:
        kernel, adapter = self._kernel, self._kernel._adapter
        mass = adapter.mass_matrix_adapter
        numbers = json.loads(str(state["numbers"]))
        like = next(iter(self._z.values()))

        def tensor(name: str) -> torch.Tensor:
            return torch.as_tensor(state[name]).to(like)

        mass.inverse_mass_matrix = {names: tensor(f"mass/{i}") for i, names in enumerate(mass.inverse_mass_matrix)}
        for i, scheme in enumerate(mass._adapt_scheme.values()):
            scheme.n_samples = numbers["welford"][i]
            if scheme.n_samples:
                scheme._mean, scheme._m2 = tensor(f"welford/{i}_mean"), tensor(f"welford/{i}_m2")
        for owner, part in ((kernel, "kernel"), (adapter, "adapter"), (adapter._step_size_adapt_scheme, "scheme")):
            for name, value in numbers[part].items():
                setattr(owner, name, value)
        self._z = {k: tensor(f"z/{k}") for k in self._z}
        gradients = {k: tensor(f"gradient/{k}") for k in self._z}
        kernel._cache(self._z, tensor("potential"), gradients)
        self._random = torch.from_numpy(state["random"])


KERNEL = ("_t", "_accept_cnt", "_mean_accept_prob", "_divergences")
ADAPTER = ("step_size", "_current_window")
