"""SVI in NumPyro: automatic guides, or the user's, all members in one compiled epoch."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray
from numpyro.infer import SVI, Predictive, Trace_ELBO
from numpyro.infer import autoguide as guides
from numpyro.infer.initialization import init_to_value

from bayes_rpp.inference.optimise.map.numpyro import from_arrays, one_epoch, optimizer, to_arrays
from bayes_rpp.inference.optimise.svi.guides import make_guide
from bayes_rpp.inference.optimise.training import train
from bayes_rpp.inference.posterior.posterior import Posterior
from bayes_rpp.inference.run.checkpoint import Arrays
from bayes_rpp.inference.run.sites import Sites, Values
from bayes_rpp.inference.run.task import Task


def fit(task: Task) -> Posterior:
    return train(task, Trainer)


class Trainer:
    """See `bayes_rpp.inference.optimise.training.Trainer`. The state of each member has its own random key."""

    def __init__(self, task: Task, sites: Sites, initial: Values, rates: NDArray) -> None:
        self._method, self._seed = task.method, task.seed
        self._x, self._y = (jnp.asarray(a, dtype=jnp.result_type(float)) for a in (task.x, task.y))
        self._row = (self._x[:1], self._y[:1])  # cut here: guides keep what they are first called with
        model = partial(task.model.numpyro, size=len(task.x), parametrization=sites.parametrization)
        self._shapes = {site: v.shape[1:] for site, v in initial.items()}
        states = []
        for member in range(task.method.count):
            start = {site: jnp.asarray(v[member], dtype=jnp.result_type(float)) for site, v in initial.items()}
            guide = make_guide(task.method, guides, model, init_to_value(values=start))
            svi = SVI(model, guide, optimizer(rates), Trace_ELBO(num_particles=task.method.particles))
            if member == 0:
                self._svi, self._guide = svi, guide
            key = jax.random.fold_in(jax.random.PRNGKey(task.seed), member)
            # Operation by operation, as it comes, the start of a small EMLP would take 20 s.
            states.append(jax.jit(lambda key, svi=svi: svi.init(key, *self._row))(key))
        self._state = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
        self._epoch = jax.jit(jax.vmap(one_epoch(self._svi.update, self._x, self._y)))
        if hasattr(self._guide, "median"):
            self._median = jax.jit(jax.vmap(self._guide.median))

    def epoch(self, batches: NDArray[np.int64]) -> NDArray:
        self._state, losses = self._epoch(self._state, jnp.asarray(batches))
        return np.asarray(losses)

    def values(self) -> Values:
        if hasattr(self._guide, "median"):
            found = self._median(self._svi.get_params(self._state))
            return {site: np.asarray(found[site]) for site in self._shapes}
        return {site: v[:, 0] for site, v in self._sample(1, 0).items()}

    def draws(self) -> Values:
        return self._sample(self._method.draws, self._seed + 1)

    def _sample(self, count: int, seed: int) -> Values:
        keys = jax.random.split(jax.random.PRNGKey(seed), self._method.count)

        def one(params: Any, key: Any) -> Any:
            return Predictive(self._guide, params=params, num_samples=count)(key, *self._row)

        found = jax.vmap(one)(self._svi.get_params(self._state), keys)
        missing = [site for site in self._shapes if site not in found]
        if missing:
            raise ValueError(f"guide must have the model's sample sites, got no {', '.join(map(repr, missing))}")
        return {site: np.asarray(found[site]) for site in self._shapes}

    def state(self) -> Arrays:
        return to_arrays(self._state)

    def restore(self, state: Arrays) -> None:
        self._state = from_arrays(self._state, state)
