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
from jax.sharding import Mesh, PartitionSpec
from numpy.typing import NDArray
from numpyro.distributions import Delta, constraints
from numpyro.handlers import substitute, trace
from numpyro.infer import SVI
from numpyro.infer.elbo import ELBO
from numpyro.infer.util import log_density

from bayes_rpp.engines.numpyro import ENGINE
from bayes_rpp.inference.optimise.memory import at_work, evenly, kept
from bayes_rpp.inference.optimise.mode import check, finish
from bayes_rpp.inference.optimise.training import train
from bayes_rpp.inference.posterior.posterior import Posterior
from bayes_rpp.inference.run.checkpoint import Arrays
from bayes_rpp.inference.run.sites import Sites, Values
from bayes_rpp.inference.run.task import Task

array = ENGINE.array

CACHE = 0.006  # GB
FEW = 8  # members: the gain of a batch of fewer does not make up for its cost


def fit(task: Task) -> Posterior:
    check(task)
    return finish(task, train(task, Trainer))


class Trainer:
    """See `bayes_rpp.inference.optimise.training.Trainer`. Each of several devices trains its share."""

    def __init__(self, task: Task, sites: Sites, initial: Values, rates: NDArray) -> None:
        self._x, self._y = (array(a) for a in (task.x, task.y))
        start = {site: array(v) for site, v in initial.items()}
        members = len(next(iter(initial.values())))
        model = partial(task.model.numpyro, size=len(task.x), parametrisation=sites.parametrisation)
        positive = set(task.model.latents)

        # AutoDelta would first run the model, and its gradient, operation by operation: 40 s for a small EMLP.
        def guide(*_: Any, **__: Any) -> None:
            for site, value in start.items():
                support = constraints.positive if site in positive else constraints.real
                point = numpyro.param(f"{site}_map", jnp.zeros(value.shape[1:]), constraint=support)
                numpyro.sample(site, Delta(point, event_dim=point.ndim))

        self._svi = SVI(model, guide, optimiser(rates, in_units()), AtThePoint())

        def init(values: Any, units: Any, given: Any) -> Any:
            params = {f"{site}_map": v for site, v in values.items()}
            state = self._svi.init(jax.random.PRNGKey(0), self._x[:1], self._y[:1], init_params=params, given=given)
            count, (params, (adam, _, schedule)) = state.optim_state
            return state._replace(optim_state=(count, (params, (adam, units, schedule))))

        per_member = partial(jnp.broadcast_to, shape=(members,))
        self._units = {f"{site}_map": per_member(array(sites.steps[site])) for site in start}
        self._given = {k: per_member(array(v)) for k, v in sites.given.items()}
        self._init = jax.jit(jax.vmap(init))
        self._state = self._init(start, self._units, self._given)
        steps = one_epoch(self._svi, self._x, self._y)
        devices = _devices(members)
        together = members_together(task, members // len(devices))
        all_members = partial(jax.lax.map, lambda a: steps(*a[:2], given=a[2]), batch_size=together)
        if len(devices) > 1:
            mesh, spread = Mesh(np.array(devices), ("members",)), PartitionSpec("members")
            all_members = jax.shard_map(all_members, mesh=mesh, in_specs=(spread,), out_specs=spread)
        self._epoch = jax.jit(all_members)

    def epoch(self, batches: NDArray[np.int64]) -> NDArray:
        self._state, losses = self._epoch((self._state, jnp.asarray(batches), self._given))
        return np.asarray(losses)

    def state(self) -> Arrays:
        return to_arrays(self._state)

    def restore(self, state: Arrays) -> None:
        self._state = from_arrays(self._state, state)

    def replace(self, values: Values) -> None:
        fresh = self._init({site: array(v) for site, v in values.items()}, self._units, self._given)
        count, (_, moments) = self._state.optim_state
        self._state = self._state._replace(optim_state=(count, (fresh.optim_state[1][0], moments)))

    def draws(self) -> Values:
        return {k: v[None] for k, v in self.values().items()}

    def values(self) -> Values:
        params = self._svi.get_params(self._state)
        return {name.removesuffix("_map"): np.asarray(v) for name, v in params.items()}


def _devices(members: int) -> list[Any]:
    """As many as can have the same number of members each."""
    devices = jax.local_devices()
    return devices[: max(k for k in range(1, len(devices) + 1) if members % k == 0)]


class AtThePoint(ELBO):
    """-log p(y, W | x) at the guide's point, W. Trace_ELBO has the same value, but adds the sites up in the order of a
    set: its program differs from process to process, and no cache of compiled programs would find it again."""

    def loss_with_mutable_state(
        self, rng_key: Any, param_map: Any, model: Any, guide: Any, *args: Any, **kwargs: Any
    ) -> dict[str, Any]:
        sites = trace(substitute(guide, param_map)).get_trace(*args, **kwargs)
        point = {name: s["value"] for name, s in sites.items() if s["type"] == "sample"}
        return {"loss": -log_density(model, args, kwargs, point)[0], "mutable_state": None}


def members_together(task: Task, members: int) -> int:
    """How many members take their steps in one batch of operations; the others wait."""
    net, batch = task.model.net, min(task.method.batch_size or len(task.x), len(task.x))
    most = (task.memory - members * kept(net)) / at_work(net, batch)
    if jax.default_backend() == "cpu":
        # A batch pays while it stays in the cache; larger members are faster one after the other.
        most = min(most, CACHE / at_work(net, batch))
        most = most if most >= FEW else 1
    return evenly(members, most)


def one_epoch(svi: SVI, x: jax.Array, y: jax.Array) -> Callable[..., Any]:
    """A function that takes one member's state over batches of rows (steps, size): new state, losses / n. Options are
    the model's."""

    def epoch(state: Any, batches: Any, **options: Any) -> Any:
        state, losses = jax.lax.scan(lambda s, rows: svi.update(s, x[rows], y[rows], **options), state, batches)
        return state, losses / len(x)

    return epoch


def optimiser(rates: NDArray, *more: optax.GradientTransformation) -> optax.GradientTransformation:
    """Adam with a learning rate for each step."""
    table = array(rates)
    return optax.chain(optax.scale_by_adam(), *more, optax.scale_by_schedule(lambda count: -table[count]))


def in_units() -> optax.GradientTransformation:
    """Updates in units of each parameter's scale. The units are the state, as each member may have its own."""

    def init(params: Any) -> Any:
        return dict.fromkeys(params, array(1.0))

    def update(updates: Any, units: Any, params: Any = None) -> Any:
        return {k: u * units[k] for k, u in updates.items()}, units

    return optax.GradientTransformation(init, update)


def to_arrays(tree: Any) -> Arrays:
    """The leaves of a state, to be kept on disk."""
    return {str(i): np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(tree))}


def from_arrays(like: Any, arrays: Arrays) -> Any:
    """Inverse of `to_arrays`, for a state of the same structure."""
    leaves, structure = jax.tree.flatten(like)
    return jax.tree.unflatten(structure, [jnp.asarray(arrays[str(i)]) for i in range(len(leaves))])
