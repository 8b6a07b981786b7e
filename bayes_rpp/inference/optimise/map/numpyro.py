"""MAP and deep ensembles in NumPyro: optax on the model's log density, all members in one compiled epoch."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, PartitionSpec
from numpy.typing import NDArray
from numpyro.distributions import biject_to, constraints
from numpyro.infer.util import log_density, transform_fn

from bayes_rpp.engines.numpyro import ENGINE
from bayes_rpp.inference.optimise.mode import check, finish
from bayes_rpp.inference.optimise.training import train
from bayes_rpp.inference.posterior.posterior import Posterior
from bayes_rpp.inference.run.checkpoint import Arrays
from bayes_rpp.inference.run.identity import Configured
from bayes_rpp.inference.run.memory import at_work, evenly, kept
from bayes_rpp.inference.run.sites import Sites, Values
from bayes_rpp.inference.run.task import Task
from bayes_rpp.priors.parametrization import Parametrization

array = ENGINE.array

CACHE = 0.006  # GB
FEW = 8  # members: the gain of a batch of fewer does not make up for its cost


def fit(task: Task) -> Posterior:
    check(task)
    return finish(task, train(task, Trainer))


class Trainer:
    """See `bayes_rpp.inference.optimise.training.Trainer`. Each of several devices trains its share."""

    def __init__(self, task: Task, sites: Sites, initial: Values, rates: NDArray) -> None:
        members = len(next(iter(initial.values())))
        per_member = partial(jnp.broadcast_to, shape=(members,))
        units = {site: per_member(array(sites.steps[site])) for site in initial}
        configured, numbers = Configured.opened(task.model)
        self._given = units, {k: per_member(array(v)) for k, v in {**numbers, **sites.given}.items()}
        self._epochs = Epochs(task, rates)
        devices = _devices(members)
        together = members_together(task, members // devices)
        known = configured, sites.parametrization, tuple(sorted(initial))
        self._start, self._epoch, self._constrain = _programs(*known, devices, together)
        self._state = self._start({site: array(v) for site, v in initial.items()})

    def epoch(self, batches: NDArray[np.int64]) -> NDArray:
        padded, shared = self._epochs.arguments(batches, self._state[1][0].count)
        self._state, losses = self._epoch((self._state, padded, self._given), shared)
        return np.asarray(losses)[:, : batches.shape[1]]

    def state(self) -> Arrays:
        return to_arrays(self._state)

    def restore(self, state: Arrays) -> None:
        self._state = from_arrays(self._state, state)

    def replace(self, values: Values) -> None:
        self._state = self._start({site: array(v) for site, v in values.items()})[0], self._state[1]

    def draws(self) -> Values:
        return {k: v[None] for k, v in self.values().items()}

    def values(self) -> Values:
        return {site: np.asarray(v) for site, v in self._constrain(self._state[0]).items()}


@lru_cache(maxsize=16)
def _programs(
    configured: Configured, form: str | Parametrization, sites: tuple[str, ...], devices: int, together: int
) -> tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]:
    """The start of all members, an epoch of them, and the sites' values from what is optimized. Data, rates, units and
    the model's plain numbers are arguments, so that what is compiled serves all fits of models that are else alike."""
    model = configured.model
    transforms = {site: biject_to(constraints.positive) for site in sites if site in model.latents}
    constrain = partial(transform_fn, transforms)

    def loss(params: Any, given: Any, size: Any, *data: Any) -> Any:
        """-log p(y, W | x), in which numbers have their own density though the steps are in their logarithms."""
        options = {"given": given, "size": size, "parametrization": form}
        return -log_density(model.numpyro, data, options, constrain(params))[0]

    def steps(shared: Shared, member: Any) -> Any:
        state, batches, (units, given) = member
        adam = optimizer(shared, optax.stateless(lambda updates, _: {k: u * units[k] for k, u in updates.items()}))

        def step(state: Any, *data: Any) -> Any:
            params, moments = state
            value, gradient = jax.value_and_grad(loss)(params, given, shared.size, *data)
            updates, moments = adam.update(gradient, moments)
            return (optax.apply_updates(params, updates), moments), value

        return one_epoch(step, shared)(state, batches)

    def start(values: Any) -> Any:
        params = constrain(values, invert=True)
        return params, jax.vmap(optimizer(None, optax.identity()).init)(params)

    def epoch(members: Any, shared: Any) -> Any:
        # A batch of one member would be traced, and compiled, with one more dimension.
        return jax.lax.map(partial(steps, shared), members, batch_size=together if together > 1 else None)

    if devices > 1:
        mesh, spread = Mesh(np.array(jax.local_devices()[:devices]), ("members",)), PartitionSpec("members")
        epoch = jax.shard_map(epoch, mesh=mesh, in_specs=(spread, PartitionSpec()), out_specs=spread)
    return jax.jit(start), jax.jit(epoch), constrain


def _devices(members: int) -> int:
    """As many as can have the same number of members each."""
    return max(k for k in range(1, len(jax.local_devices()) + 1) if members % k == 0)


def members_together(task: Task, members: int) -> int:
    """How many members take their steps in one batch of operations; the others wait."""
    net, batch = task.model.net, min(task.method.batch_size or len(task.x), len(task.x))
    most = (task.memory - members * kept(net)) / at_work(net, batch)
    if jax.default_backend() == "cpu":
        # A batch pays while it stays in the cache; larger members are faster one after the other.
        most = min(most, CACHE / at_work(net, batch))
        most = most if most >= FEW else 1
    return evenly(members, most)


class Shared(NamedTuple):
    """What an epoch is given for all members: x and y, in which rows follow that no batch has; how many examples there
    are, and steps; and the learning rate of each step."""

    x: jax.Array
    y: jax.Array
    size: jax.Array
    steps: jax.Array
    rates: jax.Array


class Epochs:
    """The arguments of each epoch, padded: data of slightly different length, such as folds, share a program, and so do
    trainings of different length."""

    def __init__(self, task: Task, rates: NDArray) -> None:
        room = ((0, roomy(len(task.x)) - len(task.x)), (0, 0))
        self._data = array(np.pad(task.x, room)), array(np.pad(task.y, room)), array(len(task.x))
        self._rates = rates

    def arguments(self, batches: NDArray[np.int64], counts: Any) -> tuple[jax.Array, Shared]:
        """For row numbers (members, steps, batch size), of members that have made so many steps."""
        first, steps = int(np.asarray(counts)[0]), batches.shape[1]
        room = 0, roomy(steps) - steps
        rates = np.pad(self._rates[first : first + steps], room)
        padded = jnp.asarray(np.pad(batches, ((0, 0), room, (0, 0))))
        return padded, Shared(*self._data, jnp.asarray(steps), array(rates))


def roomy(count: int) -> int:
    """The next size that is in use: eight of them from each power of two to the next."""
    unit = max(1, 2 ** (count.bit_length() - 4))
    return -(-count // unit) * unit


def one_epoch(step: Callable[..., Any], shared: Shared) -> Callable[..., Any]:
    """A function that takes one member's state over batches of rows (steps, size): new state, losses / n.
    `step(state, x, y)` returns a new state and the loss."""

    def epoch(state: Any, batches: Any) -> Any:
        def one(i: Any, carry: Any) -> Any:
            state, losses = carry
            state, loss = step(state, shared.x[batches[i]], shared.y[batches[i]])
            return state, losses.at[i].set(loss / shared.size)

        losses = jnp.zeros(len(batches), shared.x.dtype) * batches[:, 0]  # of the member, where these are sharded
        return jax.lax.fori_loop(0, shared.steps, one, (state, losses))

    return epoch


def optimizer(shared: Shared | None, *more: optax.GradientTransformation) -> optax.GradientTransformation:
    """Adam with a learning rate for each step of an epoch (None: only to start); `more` comes before the rates."""

    def rate(count: Any) -> Any:
        return 0.0 if shared is None else -shared.rates[count % shared.steps]

    return optax.chain(optax.scale_by_adam(), *more, optax.scale_by_schedule(rate))


def to_arrays(tree: Any) -> Arrays:
    """The leaves of a state, to be kept on disk."""
    return {str(i): np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(tree))}


def from_arrays(like: Any, arrays: Arrays) -> Any:
    """Inverse of `to_arrays`, for a state of the same structure."""
    leaves, structure = jax.tree.flatten(like)
    return jax.tree.unflatten(structure, [jnp.asarray(arrays[str(i)]) for i in range(len(leaves))])
