"""MAP and deep ensembles in NumPyro: SVI with a point-mass guide, all members in one compiled epoch."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import optax
from numpy.typing import NDArray
from numpyro.distributions import Delta, constraints
from numpyro.infer import SVI, Trace_ELBO

from bayes_rpp.inference.posterior import Posterior
from bayes_rpp.inference.sites import Sites, Values
from bayes_rpp.inference.task import Task
from bayes_rpp.inference.training import train


def fit(task: Task) -> Posterior:
    return train(task, Trainer)


class Trainer:
    """See `bayes_rpp.inference.training.Trainer`."""

    def __init__(self, sites: Sites, x: NDArray, y: NDArray, initial: Values, rates: NDArray) -> None:
        self._x, self._y = (jnp.asarray(a, dtype=jnp.result_type(float)) for a in (x, y))
        start = {site: jnp.asarray(v, dtype=jnp.result_type(float)) for site, v in initial.items()}
        model = partial(sites.model.numpyro, size=len(x), parametrisation=sites.parametrisation)
        positive = set(sites.model.likelihood.latents)

        # AutoDelta would first run the model, and its gradient, operation by operation: 40 s for a small EMLP.
        def guide(*_: Any, **__: Any) -> None:
            for site, value in start.items():
                support = constraints.positive if site in positive else constraints.real
                point = numpyro.param(f"{site}_map", jnp.zeros(value.shape[1:]), constraint=support)
                numpyro.sample(site, Delta(point, event_dim=point.ndim))

        self._svi = SVI(model, guide, _optimiser(sites.steps, rates), Trace_ELBO())

        def init(values: Any) -> Any:
            return self._svi.init(
                jax.random.key(0),
                self._x[:1],
                self._y[:1],
                init_params={f"{site}_map": v for site, v in values.items()},
            )

        self._state = jax.jit(jax.vmap(init))(start)
        # Large members are faster one after the other on a CPU: their matrix products fill the cores already.
        alone = jax.default_backend() == "cpu" and sites.model.net.size > 100_000
        together = 1 if alone else len(next(iter(initial.values())))
        self._epoch = jax.jit(partial(jax.lax.map, lambda args: self._steps(*args), batch_size=together))

    def _steps(self, state: Any, batches: Any) -> Any:
        def step(state: Any, batch: Any) -> Any:
            return self._svi.update(state, self._x[batch], self._y[batch])

        state, losses = jax.lax.scan(step, state, batches)
        return state, losses / len(self._x)

    def epoch(self, batches: NDArray[np.int64]) -> NDArray:
        self._state, losses = self._epoch((self._state, jnp.asarray(batches)))
        return np.asarray(losses)

    def values(self) -> Values:
        params = self._svi.get_params(self._state)
        return {name.removesuffix("_map"): np.asarray(v) for name, v in params.items()}


def _optimiser(steps: dict[str, float], rates: NDArray) -> optax.GradientTransformation:
    """Adam with a learning rate for each step, in units of each site's scale."""
    table = jnp.asarray(rates, dtype=jnp.result_type(float))
    units = optax.stateless(lambda updates, _: {k: u * steps[k.removesuffix("_map")] for k, u in updates.items()})
    return optax.chain(optax.scale_by_adam(), units, optax.scale_by_schedule(lambda count: -table[count]))
