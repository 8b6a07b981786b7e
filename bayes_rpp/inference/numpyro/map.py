"""MAP and deep ensembles in NumPyro: SVI with a point-mass guide, all members in one compiled epoch."""

from __future__ import annotations

from collections.abc import Callable
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

from bayes_rpp.inference.checkpoint import Arrays
from bayes_rpp.inference.posterior import Posterior
from bayes_rpp.inference.sites import Sites, Values
from bayes_rpp.inference.task import Task
from bayes_rpp.inference.training import train


def fit(task: Task) -> Posterior:
    return train(task, Trainer)


class Trainer:
    """See `bayes_rpp.inference.training.Trainer`."""

    def __init__(self, task: Task, sites: Sites, initial: Values, rates: NDArray) -> None:
        self._x, self._y = (jnp.asarray(a, dtype=jnp.result_type(float)) for a in (task.x, task.y))
        start = {site: jnp.asarray(v, dtype=jnp.result_type(float)) for site, v in initial.items()}
        model = partial(task.model.numpyro, size=len(task.x), parametrisation=sites.parametrisation)
        positive = set(task.model.latents)

        # AutoDelta would first run the model, and its gradient, operation by operation: 40 s for a small EMLP.
        def guide(*_: Any, **__: Any) -> None:
            for site, value in start.items():
                support = constraints.positive if site in positive else constraints.real
                point = numpyro.param(f"{site}_map", jnp.zeros(value.shape[1:]), constraint=support)
                numpyro.sample(site, Delta(point, event_dim=point.ndim))

        units = {f"{site}_map": unit for site, unit in sites.steps.items()}
        self._svi = SVI(model, guide, optimiser(rates, units), Trace_ELBO())

        def init(values: Any) -> Any:
            return self._svi.init(
                jax.random.PRNGKey(0),
                self._x[:1],
                self._y[:1],
                init_params={f"{site}_map": v for site, v in values.items()},
            )

        self._init = jax.jit(jax.vmap(init))
        self._state = self._init(start)
        # Large members are faster one after the other on a CPU: their matrix products fill the cores already.
        alone = jax.default_backend() == "cpu" and task.model.net.size > 100_000
        together = 1 if alone else len(next(iter(initial.values())))
        steps = one_epoch(self._svi, self._x, self._y)
        self._epoch = jax.jit(partial(jax.lax.map, lambda args: steps(*args), batch_size=together))

    def epoch(self, batches: NDArray[np.int64]) -> NDArray:
        self._state, losses = self._epoch((self._state, jnp.asarray(batches)))
        return np.asarray(losses)

    def state(self) -> Arrays:
        return to_arrays(self._state)

    def restore(self, state: Arrays) -> None:
        self._state = from_arrays(self._state, state)

    def replace(self, values: Values) -> None:
        fresh = self._init({site: jnp.asarray(v, dtype=jnp.result_type(float)) for site, v in values.items()})
        count, (_, moments) = self._state.optim_state
        self._state = self._state._replace(optim_state=(count, (fresh.optim_state[1][0], moments)))

    def draws(self) -> Values:
        return {k: v[None] for k, v in self.values().items()}

    def values(self) -> Values:
        params = self._svi.get_params(self._state)
        return {name.removesuffix("_map"): np.asarray(v) for name, v in params.items()}


def one_epoch(svi: SVI, x: jax.Array, y: jax.Array) -> Callable[[Any, Any], Any]:
    """A function that takes one member's state over batches of rows (steps, size): new state, losses / n."""

    def epoch(state: Any, batches: Any) -> Any:
        state, losses = jax.lax.scan(lambda s, rows: svi.update(s, x[rows], y[rows]), state, batches)
        return state, losses / len(x)

    return epoch


def optimiser(rates: NDArray, units: dict[str, float]) -> optax.GradientTransformation:
    """Adam with a learning rate for each step, in units of each parameter's scale (1 where not given)."""
    table = jnp.asarray(rates, dtype=jnp.result_type(float))
    scaled = optax.stateless(lambda updates, _: {k: u * units.get(k, 1.0) for k, u in updates.items()})
    return optax.chain(optax.scale_by_adam(), scaled, optax.scale_by_schedule(lambda count: -table[count]))


def to_arrays(tree: Any) -> Arrays:
    """The leaves of a state, to be kept on disk."""
    return {str(i): np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(tree))}


def from_arrays(like: Any, arrays: Arrays) -> Any:
    """Inverse of `to_arrays`, for a state of the same structure."""
    leaves, structure = jax.tree.flatten(like)
    return jax.tree.unflatten(structure, [jnp.asarray(arrays[str(i)]) for i in range(len(leaves))])
