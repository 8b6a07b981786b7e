"""ChEES in NumPyro: blackjax's criterion and HMC, with an adaptation in steps that can be resumed, and the variances of
each chain around its own mean as mass matrix, since chains of networks sit in different modes."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from blackjax.adaptation.chees_adaptation import base
from blackjax.adaptation.mass_matrix import welford_algorithm
from blackjax.mcmc import hmc
from blackjax.mcmc.dynamic_hmc import halton_sequence

from bayes_rpp.inference.posterior.posterior import Posterior
from bayes_rpp.inference.run.task import Task
from bayes_rpp.inference.sample.blocks.numpyro import BlockSampler, Kernel
from bayes_rpp.inference.sample.sampling import sample

WINDOWS = (0.1, 0.3, 0.65)  # of the warm-up, between which variances are gathered
BITS = 20  # of the quasi-random numbers
RATE, DECAY = 0.025, 0.5  # of the length's logarithm by Adam, and of the averages of the warm-up (blackjax's)
STILL = 0.01  # acceptance probability below which a chain stands still


def fit(task: Task) -> Posterior:
    return sample(task, Sampler, True)


class _Chains(NamedTuple):
    """All chains: `found` is the state of the adaptation, `scale` the inverse mass matrix's diagonal."""

    inner: Any
    key: Any
    draw: Any
    found: Any
    scale: Any
    variances: Any
    seen: Any


def _jitter(number: Any) -> Any:
    return halton_sequence(number, BITS)


def _kernel(method: Any, potential: Any) -> Kernel:
    w_init, w_update, w_final = welford_algorithm(is_diagonal_matrix=True)
    move = hmc.build_kernel()
    settings = _jitter, lambda i: i + 1, optax.adam(RATE), method.target_accept, DECAY, method.max_steps
    adapt_init, adapt = base(*settings)
    first, second, last = (int(f * method.warmup) for f in WINDOWS)

    def start(keys: Any, z: Any, data: Any) -> Any:
        chains, d = z.shape
        inner = jax.vmap(lambda z: hmc.init(z, lambda z: -potential(z, data)))(z)
        found = adapt_init(jnp.asarray(0), jnp.asarray(0.25 * d**-0.25, z.dtype))
        found = jax.tree.map(jnp.asarray, found)
        variances = jax.vmap(lambda _: w_init(d))(z)
        zero = jnp.zeros(chains, z.dtype)
        seen = {"lp": zero, "step_size": zero, "n_steps": jnp.zeros(chains, int)}
        seen |= {"acceptance_rate": zero, "diverging": jnp.zeros(chains, bool)}
        return _Chains(inner, keys, 0, found, jnp.ones(d, z.dtype), variances, seen)

    def advance(state: Any, data: Any) -> Any:
        warming, found = state.draw < method.warmup, state.found
        step_size = jnp.where(warming, found.step_size, jnp.exp(found.log_step_size_moving_average))
        averaged = jnp.exp(found.log_trajectory_length_moving_average)
        length = jnp.where(warming, found.trajectory_length, averaged)
        number = found.random_generator_arg
        count = jnp.clip(jnp.ceil(_jitter(number) * length / step_size), 1, method.max_steps).astype(int)
        keys = jax.vmap(jax.random.split)(state.key)

        def one(key: Any, inner: Any) -> Any:
            return move(key, inner, lambda z: -potential(z, data), step_size, state.scale, count)

        inner, info = jax.vmap(one)(keys[:, 1], state.inner)
        rate = jnp.nan_to_num(info.acceptance_rate)
        lost = info.is_divergent | ~jnp.isfinite(info.energy)
        proposal = info.proposal.position, info.proposal.momentum
        updated = adapt(found, *proposal, state.inner.position, rate, lost, state.scale)
        updated = jax.tree.map(lambda new, old: jnp.asarray(new, old.dtype), updated, found)
        moved = found._replace(random_generator_arg=number + 1)
        found = _where(warming, updated, moved)
        gathering = (state.draw >= first) & (state.draw < last)
        variances = _where(gathering, jax.vmap(w_update)(state.variances, inner.position), state.variances)
        each, counts, _ = jax.vmap(w_final)(variances)
        n = counts.sum()
        scale = n / (n + 5) * each.mean(axis=0) + 1e-3 * 5 / (n + 5)  # as in Stan
        ends = (state.draw + 1 == second) | (state.draw + 1 == last)
        ratio = jnp.sqrt(jnp.exp(jnp.mean(jnp.log(state.scale / scale))))  # so that steps are about as long as before
        anew = adapt_init(number + 1, found.step_size * ratio)._replace(
            trajectory_length=found.trajectory_length * ratio
        )
        found = _where(ends, jax.tree.map(lambda new, old: jnp.asarray(new, old.dtype), anew, found), found)
        variances = _where(ends, jax.vmap(lambda _: w_init(inner.position.shape[1]))(rate), variances)
        scale = jnp.where(ends, scale, state.scale)
        everyone = jnp.zeros_like(rate)
        seen = {"lp": inner.logdensity, "step_size": everyone + step_size, "n_steps": everyone.astype(int) + count}
        seen |= {"acceptance_rate": rate, "diverging": lost | (rate < STILL)}
        return _Chains(inner, keys[:, 0], state.draw + 1, found, scale, variances, seen)

    def seen(state: Any) -> Any:
        return state.inner.position, state.seen

    return Kernel(start, advance, seen, lambda state: (state.inner.logdensity, state.inner.logdensity_grad), True)


def _where(condition: Any, yes: Any, no: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)


class Sampler(BlockSampler):
    kernel = staticmethod(_kernel)
