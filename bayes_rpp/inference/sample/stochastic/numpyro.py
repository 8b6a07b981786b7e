"""SGLD and SGHMC in NumPyro: blackjax's updates, on one vector of all sites."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from blackjax.sgmcmc.diffusions import overdamped_langevin, sghmc

from bayes_rpp.inference.methods import SGHMC
from bayes_rpp.inference.posterior.posterior import Posterior
from bayes_rpp.inference.run.sites import Sites, Values
from bayes_rpp.inference.run.task import Task
from bayes_rpp.inference.sample.blocks.numpyro import BlockSampler, Kernel
from bayes_rpp.inference.sample.sampling import sample
from bayes_rpp.inference.sample.stochastic import scale as shared


def fit(task: Task) -> Posterior:
    return sample(task, Sampler, True)


class _Chain(NamedTuple):
    """A chain: `since` counts steps of its cycle; `square` and `cross` are means of g_t² and of g_t g_t-1, `before` the
    last gradient, `back` the share of steps taken back lately; what follows `lost` are numbers of the run, here so that
    what is compiled serves runs of all lengths."""

    position: Any
    momentum: Any
    key: Any
    draw: Any
    since: Any
    square: Any
    cross: Any
    before: Any
    size: Any
    back: Any
    value: Any
    lost: Any
    rate: Any
    units: Any
    each: Any
    warmup: Any
    period: Any


def _kernel(method: Any, potential: Any) -> Kernel:
    hamiltonian = isinstance(method, SGHMC)
    gradient = jax.value_and_grad(potential)

    def start(key: Any, z: Any, data: Any) -> Any:
        key, own = jax.random.split(key)
        value, g = gradient(z, data)
        momentum = jax.random.normal(own, z.shape, z.dtype)
        zero, none = jnp.zeros((), z.dtype), jnp.zeros_like(z)
        size = jnp.asarray(method.step, z.dtype)
        return _Chain(z, momentum, key, 0, 0, none, none, -g, size, zero, -value, 0, zero, none, 1, 1, 1)

    def step(chain: Any, data: Any) -> Any:
        (x, y), numbers = data
        n = len(x)
        batch, warmup = method.batch(n), chain.warmup * chain.each
        optimizing = (shared.OPTIMIZING * warmup).astype(int)
        key, of_rows, of_noise = jax.random.split(chain.key, 3)
        z, size, scale = chain.position, chain.size, jnp.sqrt(shared.scale_of(chain.square, chain.units))
        first, warming = chain.since < optimizing, chain.since < warmup
        ahead = z + jnp.where(first, 0.0, size) * scale * chain.momentum if hamiltonian else z
        if batch < n:
            rows = jax.random.randint(of_rows, (batch,), 0, n)
            value, g = gradient(ahead, ((x[rows], y[rows]), numbers), size=n)
        else:
            value, g = gradient(ahead, data)
        g = -g
        w = jnp.where(warming, shared.weight(chain.since), 0.0)
        square, cross = (1 - w) * chain.square + w * g**2, (1 - w) * chain.cross + w * g * chain.before
        scale = jnp.sqrt(shared.scale_of(square, chain.units))
        noise = scale**2 * shared.gradient_noise(square, cross, batch >= n)
        ok = jnp.mean((scale * g) ** 2) < shared.LOST  # false of NaN
        if hamiltonian:
            beta = shared.cooled(noise, size, method.friction)
            update = sghmc(method.friction, beta)
            _, momentum = update(of_noise, z, chain.momentum, scale * g, size)
            moved = ahead
        else:
            momentum = chain.momentum
            temperature = 1 - size * shared.cooled(noise, size, 1.0) / 2
            moved = z + scale * overdamped_langevin()(of_noise, jnp.zeros_like(z), scale * g, size, temperature)
        rate = chain.rate * shared.cosine(chain.since, optimizing, jnp.cos)
        moved = jnp.where(first, z + rate * chain.units * g / (jnp.sqrt(square) + 1e-12), moved)
        momentum = jnp.where(first, chain.momentum, momentum)
        position = jnp.where(ok, moved, z)
        momentum = jnp.where(ok, momentum, 0.0)
        back = shared.MEMORY * chain.back + (1 - shared.MEMORY) * ~ok
        stuck = back > shared.OFTEN
        found = chain._replace(position=position, momentum=momentum, key=key, since=chain.since + 1, value=-value)
        found = found._replace(size=jnp.where(stuck, shared.SHORTER * size, size), back=jnp.where(stuck, 0.0, back))
        keep = ok & jnp.isfinite(square).all()
        square, cross = jnp.where(keep, square, chain.square), jnp.where(keep, cross, chain.cross)
        return found._replace(square=square, cross=cross, before=jnp.where(ok, g, chain.before), lost=chain.lost + ~ok)

    def advance(chain: Any, data: Any) -> Any:
        kept = chain.draw - chain.warmup
        again = (kept > 0) & (kept % chain.period == 0)
        rate = jnp.where(again, shared.HOT, chain.rate)
        chain = chain._replace(since=jnp.where(again, 0, chain.since), rate=rate, lost=0)
        count = jnp.where(again, chain.warmup + 1, 1) * chain.each
        chain = jax.lax.fori_loop(0, count, lambda _, chain: step(chain, data), chain)
        return chain._replace(draw=chain.draw + 1)

    def seen(chain: Any) -> Any:
        found = {"lp": chain.value, "step_size": chain.size, "diverging": chain.lost > 0}
        return chain.position, found

    return Kernel(start, advance, seen, lambda chain: (chain.value, chain.before))


class Sampler(BlockSampler):
    kernel = staticmethod(_kernel)

    def __init__(self, task: Task, sites: Sites, initial: Values, seeds: list[int]) -> None:
        method = task.method
        super().__init__(
            replace(task, method=replace(method, warmup=20, thinning=None, cycles=None)), sites, initial, seeds
        )
        self._each = method.each(len(task.x))
        units = shared.units(sites, dict(self._shapes))
        run = {"rate": shared.first_rate(task), "units": units, "each": self._each}
        run |= {"warmup": method.warmup, "period": method.period}
        known = self._state._asdict()
        self._state = self._state._replace(**{k: jnp.zeros_like(known[k]) + jnp.asarray(v) for k, v in run.items()})

    def advance(self, count: int) -> tuple[Values, Values]:
        draws, found = super().advance(count)
        return draws, found | {"n_steps": found["diverging"] * 0 + self._each}
