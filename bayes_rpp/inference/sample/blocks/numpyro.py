"""What all kernels in NumPyro share: one vector of all sites, chains in one program or in a row, draws in compiled
blocks."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from numpy.typing import NDArray
from numpyro.distributions import biject_to
from numpyro.infer.util import potential_energy

from bayes_rpp.engines.numpyro import ENGINE
from bayes_rpp.inference.optimise.map.numpyro import from_arrays, to_arrays
from bayes_rpp.inference.run.checkpoint import Arrays
from bayes_rpp.inference.run.identity import Configured
from bayes_rpp.inference.run.sites import Sites, Values
from bayes_rpp.inference.run.task import Task
from bayes_rpp.inference.sample.sampling import BLOCK
from bayes_rpp.models.model import AnyParametrization

Shapes = tuple[tuple[str, tuple[int, ...]], ...]

MANY = 8  # chains on a CPU: fewer are faster one after the other, as those of a batch wait for the longest trajectory


class Kernel(NamedTuple):
    """A Markov chain, as functions that can be traced.

    Attributes:
        start: (key, z (sites,), data) -> the state of a chain.
        advance: (state, data) -> the state after the next draw; warm-up first.
        seen: state -> (z, its statistics by name), what is kept of a draw.
        density: state -> arrays that are finite where the log density and its gradient are.
        joint: whether `start` and `advance` are of all chains at once, with leading dimension chains.
    """

    start: Callable[..., Any]
    advance: Callable[..., Any]
    seen: Callable[..., Any]
    density: Callable[..., Any]
    joint: bool = False


class BlockSampler:
    """See `bayes_rpp.inference.sample.sampling.Sampler`; a subclass says which kernel."""

    kernel: ClassVar[Callable[..., Kernel]]  # of (method, potential), potential(z, data) = -log p(y, W | x)

    def __init__(self, task: Task, sites: Sites, initial: Values, seeds: list[int]) -> None:
        configured, numbers = Configured.opened(task.model)
        self._data = (ENGINE.array(task.x), ENGINE.array(task.y)), {k: ENGINE.array(v) for k, v in numbers.items()}
        self._positive = {k: biject_to(p.distribution(ENGINE).support) for k, p in task.model.latents.items()}
        start = {k: self._positive[k].inv(v) if k in self._positive else v for k, v in sorted(initial.items())}
        flat = np.concatenate([np.reshape(v, (len(seeds), -1)) for v in start.values()], axis=1)
        self._shapes = tuple((k, v.shape[1:]) for k, v in start.items())
        keys = jnp.stack([jax.random.PRNGKey(seed) for seed in seeds])
        method = replace(task.method, chains=1, draws=1, chain_method=None)  # what is compiled is the same for all
        known = type(self).kernel, configured, sites.parametrization, self._shapes, method
        programs = _programs(*known, len(seeds) >= MANY or jax.default_backend() != "cpu")
        init, self._block, self._density = programs
        self._state = init(keys, ENGINE.array(flat), self._data)

    def is_finite(self) -> NDArray[np.bool_]:
        parts = jax.tree.leaves(self._density(self._state))
        return np.all([np.isfinite(np.asarray(p)).reshape(len(p), -1).all(axis=1) for p in parts], axis=0)

    def advance(self, count: int) -> tuple[Values, Values]:
        self._state, kept = self._block(self._state, count, self._data)
        # Cut by numpy, which compiles nothing for each count.
        z, found = jax.tree.map(lambda a: np.asarray(a)[:, :count], kept)
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
    make: Callable[..., Kernel],
    configured: Configured,
    parametrization: AnyParametrization,
    shapes: Shapes,
    method: Any,
    together: bool,
) -> tuple[Any, Any, Any]:
    """The start of chains, and a block of their draws, compiled once for all data of one shape, and for all models that
    are alike but for their plain numbers, which are arguments."""
    function = partial(configured.model.numpyro, parametrization=parametrization)
    _, sites = ravel_pytree({k: jnp.zeros(shape) for k, shape in shapes})

    @jax.jit
    def potential(z: Any, data: Any, **options: Any) -> Any:
        """-log p(y, W | x) and of the change of variables; traced once, wherever a kernel asks for it."""
        xy, numbers = data
        return potential_energy(function, xy, ({"given": numbers} if numbers else {}) | options, sites(z))

    kernel = make(method, potential)
    chains = jax.vmap if together else lambda function: partial(jax.lax.map, function)

    def init(keys: Any, flat: Any, data: Any) -> Any:
        if kernel.joint:
            return _typed(kernel.start(keys, flat, data))
        return _typed(chains(lambda chain: kernel.start(*chain, data))((keys, flat)))

    def block(state: Any, count: Any, data: Any) -> Any:
        """`count` draws, in buffers of the size of a block, so that one compilation serves all counts."""

        def draws(state: Any) -> Any:
            shapes = jax.eval_shape(kernel.seen, state)
            buffers = jax.tree.map(lambda leaf: jnp.zeros((BLOCK, *leaf.shape), leaf.dtype), shapes)

            def step(i: Any, carry: Any) -> Any:
                state, buffers = carry
                state = _typed(kernel.advance(state, data))
                return state, jax.tree.map(lambda b, new: b.at[i].set(new), buffers, kernel.seen(state))

            return jax.lax.fori_loop(0, count, step, (state, buffers))

        if kernel.joint:
            state, buffers = draws(state)
            return state, jax.tree.map(lambda b: b.swapaxes(0, 1), buffers)
        return chains(draws)(state)

    # What runs once need not be fast.
    options = {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else None
    return jax.jit(init, compiler_options=options), jax.jit(block), kernel.density


def _typed(state: Any) -> Any:
    """A state whose types none of Python's numbers left open, as another type of a state compiles a block anew."""
    return jax.tree.map(lambda a: jnp.asarray(a, jnp.asarray(a).dtype), state)
