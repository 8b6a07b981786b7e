"""HMC and NUTS in NumPyro: its kernels on one vector of all sites, draws in compiled blocks."""

from __future__ import annotations

import math
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from numpy.typing import NDArray
from numpyro.distributions import biject_to
from numpyro.infer.hmc import hmc
from numpyro.infer.util import potential_energy

from bayes_rpp.engines.numpyro import ENGINE
from bayes_rpp.inference.optimise.map.numpyro import from_arrays, to_arrays
from bayes_rpp.inference.posterior.posterior import Posterior
from bayes_rpp.inference.run.checkpoint import Arrays
from bayes_rpp.inference.run.identity import Configured
from bayes_rpp.inference.run.sites import Sites, Values
from bayes_rpp.inference.run.task import Task
from bayes_rpp.inference.sample.sampling import BLOCK, sample
from bayes_rpp.models.model import AnyParametrization

Shapes = tuple[tuple[str, tuple[int, ...]], ...]

ALL = "sites"  # the one site that kernels see: with an array for each, most of what is compiled would move arrays
MANY = 8  # chains on a CPU: fewer are faster one after the other, as those of a batch wait for the deepest tree
TOGETHER = True  # all chains are one batch


def fit(task: Task) -> Posterior:
    return sample(task, Sampler, TOGETHER)


class Sampler:
    """See `bayes_rpp.inference.sample.sampling.Sampler`."""

    def __init__(self, task: Task, sites: Sites, initial: Values, seeds: list[int]) -> None:
        configured, numbers = Configured.opened(task.model)
        self._data = (ENGINE.array(task.x), ENGINE.array(task.y)), {k: ENGINE.array(v) for k, v in numbers.items()}
        self._positive = {k: biject_to(p.distribution(ENGINE).support) for k, p in task.model.latents.items()}
        start = {k: self._positive[k].inv(v) if k in self._positive else v for k, v in sorted(initial.items())}
        flat = np.concatenate([np.reshape(v, (len(seeds), -1)) for v in start.values()], axis=1)
        self._shapes = tuple((k, v.shape[1:]) for k, v in start.items())
        keys = jnp.stack([jax.random.PRNGKey(seed) for seed in seeds])
        known = configured, sites.parametrization, self._shapes, task.method
        init, self._block = _programs(*known, len(seeds) >= MANY or jax.default_backend() != "cpu")
        self._state = init(keys, ENGINE.array(flat), self._data)

    def is_finite(self) -> NDArray[np.bool_]:
        parts = self._state.potential_energy, *self._state.z_grad.values()
        return np.all([np.isfinite(np.asarray(p)).reshape(len(p), -1).all(axis=1) for p in parts], axis=0)

    def advance(self, count: int) -> tuple[Values, Values]:
        self._state, kept = self._block(self._state, count, self._data)
        # Cut by numpy, which compiles nothing for each count.
        z, found = jax.tree.map(lambda a: np.asarray(a)[:, :count], kept)
        found["tree_depth"] = np.floor(np.log2(np.maximum(found["n_steps"], 1))).astype(np.int64) + 1
        draws = {k: np.asarray(self._positive[k](v)) if k in self._positive else v for k, v in self._cut(z).items()}
        return draws, found

    def _cut(self, z: NDArray) -> Values:
        """(..., entries of all sites) by site."""
        ends = np.cumsum([math.prod(shape) for _, shape in self._shapes])
        parts = np.split(z, ends[:-1], axis=-1)
        return {k: part.reshape(z.shape[:-1] + shape) for (k, shape), part in zip(self._shapes, parts, strict=True)}

    def state(self) -> Arrays:
        return to_arrays(self._state)

    def restore(self, state: Arrays) -> None:
        self._state = from_arrays(self._state, state)


@lru_cache(maxsize=8)
def _programs(
    configured: Configured, parametrization: AnyParametrization, shapes: Shapes, method: Any, together: bool
) -> tuple[Any, Any]:
    """The start of chains, and a block of their draws, compiled once for all data of one shape, and for all models that
    are alike but for their plain numbers, which are arguments."""
    function = partial(configured.model.numpyro, parametrization=parametrization)
    _, sites = ravel_pytree({k: jnp.zeros(shape) for k, shape in shapes})

    @jax.jit
    def potential(z: Any, data: Any) -> Any:
        """-log p(y, W | x) and of the change of variables; traced once, wherever a kernel asks for it."""
        xy, numbers = data
        return potential_energy(function, xy, {"given": numbers} if numbers else {}, sites(z[ALL]))

    nuts = method.max_depth is not None
    start, advance = hmc(potential_fn_gen=lambda *data: partial(potential, data=data), algo="NUTS" if nuts else "HMC")
    limit = {"max_tree_depth": method.max_depth} if nuts else {"trajectory_length": method.trajectory_length}
    limit |= {"target_accept_prob": method.target_accept, "dense_mass": [(ALL,)] if method.dense_mass else []}
    chains = jax.vmap if together else lambda function: partial(jax.lax.map, function)

    def init(keys: Any, flat: Any, data: Any) -> Any:
        def one(chain: Any) -> Any:
            key, z = chain
            key = jax.random.split(key)[0]  # as HMC.init, which takes the other for the start of a model
            return start({ALL: z}, method.warmup, rng_key=key, model_args=data, **limit)

        return chains(one)((keys, flat))

    def block(state: Any, count: Any, data: Any) -> Any:
        """`count` draws, in buffers of the size of a block, so that one compilation serves all counts."""

        def one(state: Any) -> Any:
            shapes = jax.eval_shape(_seen, state)
            buffers = jax.tree.map(lambda leaf: jnp.zeros((BLOCK, *leaf.shape), leaf.dtype), shapes)

            def step(i: Any, carry: Any) -> Any:
                state, buffers = carry
                state = advance(state, data)
                return state, jax.tree.map(lambda b, new: b.at[i].set(new), buffers, _seen(state))

            return jax.lax.fori_loop(0, count, step, (state, buffers))

        return chains(one)(state)

    # What runs once need not be fast.
    options = {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else None
    return jax.jit(init, compiler_options=options), jax.jit(block)


def _seen(state: Any) -> Any:
    """What is kept of a state: the draw, and its statistics."""
    return state.z[ALL], {
        "diverging": state.diverging,
        "n_steps": state.num_steps,
        "acceptance_rate": state.accept_prob,
        "lp": -state.potential_energy,
        "energy": state.energy,
        "step_size": state.adapt_state.step_size,
    }
