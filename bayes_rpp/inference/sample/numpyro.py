"""HMC and NUTS in NumPyro: its kernels on one vector of all sites."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from numpyro.infer.hmc import hmc

from bayes_rpp.inference.posterior.posterior import Posterior
from bayes_rpp.inference.run.sites import Values
from bayes_rpp.inference.run.task import Task
from bayes_rpp.inference.sample.blocks.numpyro import BlockSampler, Kernel
from bayes_rpp.inference.sample.sampling import sample

ALL = "sites"  # the one site that kernels see: with an array for each, most of what is compiled would move arrays
TOGETHER = True  # all chains are one batch


def fit(task: Task) -> Posterior:
    return sample(task, Sampler, TOGETHER)


def _kernel(method: Any, potential: Any) -> Kernel:
    def on_sites(*data: Any) -> Any:
        return lambda z: potential(z[ALL], data)

    nuts = method.max_depth is not None
    start, advance = hmc(potential_fn_gen=on_sites, algo="NUTS" if nuts else "HMC")
    limit = {"max_tree_depth": method.max_depth} if nuts else {"trajectory_length": method.trajectory_length}
    limit |= {"target_accept_prob": method.target_accept, "dense_mass": [(ALL,)] if method.dense_mass else []}

    def first(key: Any, z: Any, data: Any) -> Any:
        key = jax.random.split(key)[0]  # as HMC.init, which takes the other for the start of a model
        return start({ALL: z}, method.warmup, rng_key=key, model_args=data, **limit)

    return Kernel(first, advance, _seen, lambda state: (state.potential_energy, state.z_grad))


def _seen(state: Any) -> Any:
    return state.z[ALL], {
        "diverging": state.diverging,
        "n_steps": state.num_steps,
        "acceptance_rate": state.accept_prob,
        "lp": -state.potential_energy,
        "energy": state.energy,
        "step_size": state.adapt_state.step_size,
    }


class Sampler(BlockSampler):
    kernel = staticmethod(_kernel)

    def advance(self, count: int) -> tuple[Values, Values]:
        draws, found = super().advance(count)
        found["tree_depth"] = np.floor(np.log2(np.maximum(found["n_steps"], 1))).astype(np.int64) + 1
        return draws, found
