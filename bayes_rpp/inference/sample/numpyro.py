"""HMC and NUTS in NumPyro: its kernels, all chains in one batch, draws in compiled blocks."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray
from numpyro.distributions import biject_to
from numpyro.infer import HMC, NUTS

from bayes_rpp.engines.numpyro import ENGINE
from bayes_rpp.inference.optimise.map.numpyro import from_arrays, to_arrays
from bayes_rpp.inference.posterior.posterior import Posterior
from bayes_rpp.inference.run.checkpoint import Arrays
from bayes_rpp.inference.run.identity import Configured
from bayes_rpp.inference.run.sites import Sites, Values
from bayes_rpp.inference.run.task import Task
from bayes_rpp.inference.sample.sampling import BLOCK, sample
from bayes_rpp.models.model import AnyParametrization

TOGETHER = True  # all chains are one batch


def fit(task: Task) -> Posterior:
    return sample(task, Sampler, TOGETHER)


class Sampler:
    """See `bayes_rpp.inference.sample.sampling.Sampler`."""

    def __init__(self, task: Task, sites: Sites, initial: Values, seeds: list[int]) -> None:
        dtype = jnp.result_type(float)
        self._data = (jnp.asarray(task.x, dtype=dtype), jnp.asarray(task.y, dtype=dtype))
        self._positive = {k: biject_to(p.distribution(ENGINE).support) for k, p in task.model.latents.items()}
        start = {site: jnp.asarray(v, dtype=dtype) for site, v in initial.items()}
        start |= {k: self._positive[k].inv(start[k]) for k in self._positive}
        keys = jnp.stack([jax.random.PRNGKey(seed) for seed in seeds])
        init, self._block = _compiled(Configured.of(task.model), sites.parametrization, task.method)
        self._state = init(keys, start, self._data)

    def is_finite(self) -> NDArray[np.bool_]:
        parts = [self._state.potential_energy, *self._state.z_grad.values()]
        return np.all([np.isfinite(np.asarray(p)).reshape(len(p), -1).all(axis=1) for p in parts], axis=0)

    def advance(self, count: int) -> tuple[Values, Values]:
        self._state, (z, stats) = self._block(self._state, count, self._data)
        draws = {k: self._positive[k](v[:count]) if k in self._positive else v[:count] for k, v in z.items()}
        found = {k: np.asarray(v[:count]).swapaxes(0, 1) for k, v in stats.items()}
        found["tree_depth"] = np.floor(np.log2(np.maximum(found["n_steps"], 1))).astype(np.int64) + 1
        return {k: np.asarray(v).swapaxes(0, 1) for k, v in draws.items()}, found

    def state(self) -> Arrays:
        return to_arrays(self._state)

    def restore(self, state: Arrays) -> None:
        self._state = from_arrays(self._state, state)


@lru_cache(maxsize=8)
def _compiled(configured: Configured, parametrization: AnyParametrization, method: Any) -> tuple[Any, Any]:
    """The start of chains, and a block of their draws, compiled once for all data of one shape, and for all models that
    are configured alike."""
    function = partial(configured.model.numpyro, parametrization=parametrization)
    shared = {"target_accept_prob": method.target_accept, "dense_mass": method.dense_mass}
    if method.max_depth is None:
        kernel = HMC(function, trajectory_length=method.trajectory_length, **shared)
    else:
        kernel = NUTS(function, max_tree_depth=method.max_depth, **shared)

    def init(key: Any, start: Any, data: Any) -> Any:
        return kernel.init(key, method.warmup, start, model_args=data)

    def block(state: Any, count: Any, data: Any) -> Any:
        """`count` draws, in buffers of the size of a block, so that one compilation serves all counts."""
        shapes = jax.eval_shape(_seen, state)
        buffers = jax.tree.map(lambda leaf: jnp.zeros((BLOCK, *leaf.shape), leaf.dtype), shapes)
        advance = jax.vmap(lambda chain: kernel.sample(chain, data, {}))

        def step(i: Any, carry: Any) -> Any:
            state, buffers = carry
            state = advance(state)
            return state, jax.tree.map(lambda b, new: b.at[i].set(new), buffers, _seen(state))

        return jax.lax.fori_loop(0, count, step, (state, buffers))

    return jax.jit(jax.vmap(init, in_axes=(0, 0, None))), jax.jit(block)


def _seen(state: Any) -> Any:
    """What is kept of a state: the draw, and its statistics."""
    return state.z, {
        "diverging": state.diverging,
        "n_steps": state.num_steps,
        "acceptance_rate": state.accept_prob,
        "lp": -state.potential_energy,
        "energy": state.energy,
        "step_size": state.adapt_state.step_size,
    }
