"""Microcanonical Langevin in NumPyro: blackjax's kernels, with an adaptation in steps that can be resumed.

blackjax tunes by the error of the energy, too, but counts a step that was taken back as one without error, so that a
step size that is too large stays so and the chain is frozen. Here it counts as one with a large error.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from blackjax.adaptation.mass_matrix import welford_algorithm
from blackjax.adaptation.step_size import dual_averaging_adaptation
from blackjax.mcmc import adjusted_mclmc, mclmc

from bayes_rpp.inference.methods import MILE
from bayes_rpp.inference.optimise.map.numpyro import Trainer
from bayes_rpp.inference.optimise.training import train
from bayes_rpp.inference.posterior.posterior import Posterior
from bayes_rpp.inference.run.checkpoint import Checkpoint
from bayes_rpp.inference.run.sites import Values
from bayes_rpp.inference.run.task import Task
from bayes_rpp.inference.sample.blocks.numpyro import BlockSampler, Kernel
from bayes_rpp.inference.sample.sampling import run_chains, warn_of_chains

WINDOWS = (0.1, 0.3, 0.65)  # of the warm-up, between which variances are gathered
REJECTED = 1e3  # times the wanted square of a step's error of the energy, above which it is taken back
WORST = 1e4  # how large that of a step counts at most: the error grows as the sixth power of the step size
MEMORY = 1 - 1 / 75  # of averages over steps
OFTEN, SHORTER = 0.2, 0.7  # a chain of which so many steps are taken back goes on with steps so much shorter
LONGEST = 1023  # steps of an adjusted trajectory, as of NUTS


def fit(task: Task) -> Posterior:
    numbers = sum(math.prod(prior.shape) for _, prior in task.model.sites.values()) + len(task.model.latents)
    if numbers < 2:
        name = type(task.method).__name__
        raise ValueError(f"method must be one for a single number to infer, got {name}; NUTS() would do")
    chains, training = _from_members(task) if isinstance(task.method, MILE) else (task, {})
    draws, stats = run_chains(chains, Sampler, True)
    post = task.posterior(draws, sample_stats=stats, training=training)
    warn_of_chains(post)
    return post


def _from_members(task: Task) -> tuple[Task, Values]:
    """The task of the chains, once the ensemble is trained, and its record."""

    def kept(name: str) -> Checkpoint | None:
        return task.checkpoint and Checkpoint(Path(task.checkpoint.path) / name, task.checkpoint.every)

    method = task.method
    members = train(replace(task, method=method.ensemble, checkpoint=kept("members"), executor=None), Trainer)
    weights = {k: np.asarray(w[0], dtype=np.float64) for k, w in members.samples.items()}
    chains = replace(task, method=method.sampler, weights=weights, callbacks=(), validation=None)
    return replace(chains, checkpoint=kept("chains")), members.training


class _Chain(NamedTuple):
    """A chain. `scale` is the inverse mass matrix's diagonal; `seen` what is recorded of the last draw."""

    inner: Any
    key: Any
    draw: Any
    step_size: Any
    scale: Any
    tuning: Any
    variances: Any
    seen: Any


def _kernel(method: Any, potential: Any) -> Kernel:
    w_init, w_update, w_final = welford_algorithm(is_diagonal_matrix=True)
    moves = _Adjusted(method) if method.adjusted else _Langevin(method)
    first, second, last = (int(f * method.warmup) for f in WINDOWS)

    def start(key: Any, z: Any, data: Any) -> Any:
        key, own = jax.random.split(key)
        inner = mclmc.init(z, lambda z: -potential(z, data), own)
        d = len(z)
        step_size = jnp.asarray(method.step_size or 0.25 * math.sqrt(d) / 10, z.dtype)
        seen = {k: jnp.zeros((), dtype) for k, dtype in moves.seen(z.dtype).items()}
        return _Chain(inner, key, 0, step_size, jnp.ones(d), moves.tuning(step_size), w_init(d), seen)

    def advance(chain: Any, data: Any) -> Any:
        warming = chain.draw < method.warmup
        key, own = jax.random.split(chain.key)
        chain, seen = moves.draw(chain._replace(key=key), own, warming, lambda z: -potential(z, data))
        gathering = (chain.draw >= first) & (chain.draw < last)
        added = w_update(chain.variances, chain.inner.position)
        variances = _where(gathering, added, chain.variances)
        # As in Stan: few draws count less than one of a standard deviation of 0.03.
        found, n, _ = w_final(variances)
        found = n / (n + 5) * found + 1e-3 * 5 / (n + 5)
        ends = (chain.draw + 1 == second) | (chain.draw + 1 == last)
        ratio = jnp.sqrt(jnp.exp(jnp.mean(jnp.log(chain.scale / found))))  # so that the step is about as long as before
        step_size = jnp.where(ends & (method.step_size is None), chain.step_size * ratio, chain.step_size)
        scale = jnp.where(ends, found, chain.scale)
        tuning = _where(ends, moves.tuning(step_size), chain.tuning)
        variances = _where(ends, w_init(len(found)), variances)
        chain = chain._replace(step_size=step_size, scale=scale, tuning=tuning, variances=variances)
        if method.step_size is None:
            settled = moves.settled(chain)
            chain = chain._replace(step_size=jnp.where(chain.draw + 1 == method.warmup, settled, chain.step_size))
        return chain._replace(draw=chain.draw + 1, seen=seen)

    def seen(chain: Any) -> Any:
        return chain.inner.position, chain.seen

    return Kernel(start, advance, seen, lambda chain: (chain.inner.logdensity, chain.inner.logdensity_grad))


def _where(condition: Any, yes: Any, no: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)


class _Langevin:
    """Unadjusted: the step size is that of the wanted error of the energy (Robnik and Seljak 2024, Section 4)."""

    def __init__(self, method: Any) -> None:
        self._method = method
        self._kernel = mclmc.build_kernel()

    def seen(self, dtype: Any) -> Any:
        return {"lp": dtype, "step_size": dtype, "n_steps": int, "diverging": bool, "energy_error": dtype}

    def tuning(self, step_size: Any) -> Any:
        """Weights, weighted error / step size^6, share of steps taken back, sum and count of log step sizes."""
        zero = jnp.zeros_like(step_size)
        return zero, zero, zero, zero, zero

    def settled(self, chain: Any) -> Any:
        *_, total, count = chain.tuning
        return jnp.where(count > 0, jnp.exp(total / jnp.maximum(count, 1)), chain.step_size)

    def draw(self, chain: Any, key: Any, warming: Any, logdensity: Any) -> Any:
        method, d = self._method, len(chain.scale)
        length = method.distance * math.sqrt(d)
        late = chain.draw >= (1 + WINDOWS[-1]) / 2 * method.warmup

        def step(_: Any, carry: Any) -> Any:
            inner, key, size, (time, mean, back, total, count), errors, lost = carry
            key, own, other = jax.random.split(key, 3)
            new, info = self._kernel(own, inner, logdensity, chain.scale, length, size)
            error = jnp.square(info.energy_change) / (d * method.energy_error)
            ok = info.nonans & (error < REJECTED)
            most = math.sqrt(d * method.energy_error * REJECTED)
            inner, _ = mclmc.handle_high_energy(inner, new, info, other, most)
            error = jnp.where(info.nonans, jnp.clip(error, 1e-8, WORST), WORST)
            weight = jnp.exp(-0.5 * jnp.square(jnp.log(error) / 9))
            time, mean = MEMORY * time + weight, MEMORY * mean + weight * error / size**6
            back = MEMORY * back + (1 - MEMORY) * ~ok
            stuck = ~warming & (back > OFTEN)
            if method.step_size is None:
                size = jnp.where(warming, jnp.clip((mean / time) ** (-1 / 6), 0.2 * size, 2 * size), size)
                size = jnp.minimum(size, length)
            size = jnp.where(stuck, SHORTER * size, size)
            back = jnp.where(stuck, 0.0, back)
            taken = warming & late
            tuning = time, mean, back, total + taken * jnp.log(size), count + taken
            return inner, key, size, tuning, errors + ok * jnp.square(info.energy_change), lost + ~ok

        zero = jnp.zeros_like(chain.step_size)
        carry = chain.inner, key, chain.step_size, chain.tuning, zero, 0
        inner, _, size, tuning, errors, lost = jax.lax.fori_loop(0, method.each, step, carry)
        seen = {"lp": inner.logdensity, "step_size": size, "n_steps": jnp.asarray(2 * method.each)}
        seen |= {"diverging": 2 * lost > method.each, "energy_error": jnp.sqrt(errors / method.each / d)}
        return chain._replace(inner=inner, step_size=size, tuning=tuning), seen


class _Adjusted:
    """Trajectories of a random length, accepted or not; the step size is that of the wanted acceptance."""

    def __init__(self, method: Any) -> None:
        self._method = method
        self._kernel = adjusted_mclmc.build_kernel()
        self._init, self._update, self._final = dual_averaging_adaptation(method.target_accept)

    def seen(self, dtype: Any) -> Any:
        return {"lp": dtype, "step_size": dtype, "n_steps": int, "diverging": bool, "acceptance_rate": dtype}

    def tuning(self, step_size: Any) -> Any:
        return self._init(step_size), jnp.zeros_like(step_size)

    def settled(self, chain: Any) -> Any:
        return self._final(chain.tuning[0])

    def draw(self, chain: Any, key: Any, warming: Any, logdensity: Any) -> Any:
        method, d = self._method, len(chain.scale)
        length = 2 * method.distance * math.sqrt(d)  # at most; uniform, so that no trajectory returns to its start

        def trajectory(_: Any, carry: Any) -> Any:
            inner, key, size, (averages, back), acceptance, steps, lost = carry
            key, own, other = jax.random.split(key, 3)
            count = jnp.clip(jnp.ceil(jax.random.uniform(other) * length / size), 1, LONGEST).astype(int)
            before = adjusted_mclmc.HMCState(inner.position, inner.logdensity, inner.logdensity_grad)
            after, info = self._kernel(own, before, logdensity, size, (count,), chain.scale)
            rate = jnp.nan_to_num(info.acceptance_rate)
            inner = inner._replace(**after._asdict())
            if method.step_size is None:
                averages = _where(warming, self._update(averages, rate), averages)
                size = jnp.where(warming, jnp.minimum(jnp.exp(averages.log_step_size), length / 2), size)
            bad = info.is_divergent | (rate < 0.01)
            back = MEMORY * back + (1 - MEMORY) * bad
            stuck = ~warming & (back > OFTEN)
            size, back = jnp.where(stuck, SHORTER * size, size), jnp.where(stuck, 0.0, back)
            return inner, key, size, (averages, back), acceptance + rate, steps + count, lost | info.is_divergent

        zero = jnp.zeros_like(chain.step_size)
        carry = chain.inner, key, chain.step_size, chain.tuning, zero, 0, jnp.asarray(False)
        found = jax.lax.fori_loop(0, method.each, trajectory, carry)
        inner, _, size, tuning, acceptance, steps, lost = found
        seen = {"lp": inner.logdensity, "step_size": size, "n_steps": 2 * jnp.asarray(steps)}
        seen |= {"diverging": lost, "acceptance_rate": acceptance / method.each}
        return chain._replace(inner=inner, step_size=size, tuning=tuning), seen


class Sampler(BlockSampler):
    kernel = staticmethod(_kernel)
