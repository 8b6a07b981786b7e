"""SVI in NumPyro: automatic guides, or the user's, all members in one compiled epoch."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray
from numpyro.handlers import replay, seed
from numpyro.infer import SVI, Predictive, Trace_ELBO
from numpyro.infer import autoguide as guides
from numpyro.infer.initialization import init_to_value
from numpyro.infer.util import log_density
from numpyro.optim import optax_to_numpyro
from numpyro.util import check_model_guide_match

from bayes_rpp.engines.numpyro import ENGINE
from bayes_rpp.inference.optimise.map.numpyro import Epochs, from_arrays, one_epoch, optimizer, to_arrays
from bayes_rpp.inference.optimise.svi.guides import make_guide
from bayes_rpp.inference.optimise.training import train
from bayes_rpp.inference.posterior.posterior import Posterior
from bayes_rpp.inference.run.checkpoint import Arrays
from bayes_rpp.inference.run.identity import Configured
from bayes_rpp.inference.run.sites import Sites, Values
from bayes_rpp.inference.run.task import Task
from bayes_rpp.priors.parametrization import Parametrization

array = ENGINE.array


def fit(task: Task) -> Posterior:
    return train(task, Trainer)


class Trainer:
    """See `bayes_rpp.inference.optimise.training.Trainer`. The state of each member has its own random key."""

    def __init__(self, task: Task, sites: Sites, initial: Values, rates: NDArray) -> None:
        self._method, self._seed, self._sites = task.method, task.seed, tuple(initial)
        self._epochs = Epochs(task, rates)
        configured, numbers = Configured.opened(task.model)
        self._row, self._given = (array(task.x[:1]), array(task.y[:1])), {k: array(v) for k, v in numbers.items()}
        like = tuple((k, v.shape[1:]) for k, v in initial.items()), self._row[0].shape, self._row[1].shape
        self._programs = _programs(configured, sites.parametrization, task.method, like, tuple(numbers))
        keys = jax.vmap(partial(jax.random.fold_in, jax.random.PRNGKey(task.seed)))(jnp.arange(task.method.count))
        self._state = self._programs.start(keys, {k: array(v) for k, v in initial.items()}, self._row, self._given)

    def epoch(self, batches: NDArray[np.int64]) -> NDArray:
        padded, shared = self._epochs.arguments(batches, self._state.optim_state[0])
        self._state, losses = self._programs.epoch(self._state, padded, shared, self._given)
        return np.asarray(losses)[:, : batches.shape[1]]

    def values(self) -> Values:
        found = self._programs.median(self._state)
        if found is None:
            return {site: v[:, 0] for site, v in self._sample(1, 0).items()}
        return {site: np.asarray(found[site]) for site in self._sites}

    def draws(self) -> Values:
        return self._sample(self._method.draws, self._seed + 1)

    def _sample(self, count: int, seed: int) -> Values:
        keys = jax.random.split(jax.random.PRNGKey(seed), self._method.count)
        found = self._programs.sample(self._state, keys, count, self._row)
        missing = [site for site in self._sites if site not in found]
        if missing:
            raise ValueError(f"guide must have the model's sample sites, got no {', '.join(map(repr, missing))}")
        return {site: np.asarray(found[site]) for site in self._sites}

    def state(self) -> Arrays:
        return to_arrays(self._state)

    def restore(self, state: Arrays) -> None:
        self._state = from_arrays(self._state, state)


class _Programs(NamedTuple):
    """What is compiled for members: their start, an epoch, the centres of their guides (None of a guide that has none),
    and draws."""

    start: Callable[..., Any]
    epoch: Callable[..., Any]
    median: Callable[..., Any]
    sample: Callable[..., Any]


class _ELBO(Trace_ELBO):
    """The same, with the sites in the order of their traces; in NumPyro's own it is that of a set, which makes another
    program in each process."""

    def loss_with_mutable_state(
        self, rng_key: Any, param_map: Any, model: Any, guide: Any, *args: Any, **kwargs: Any
    ) -> Any:
        def one(key: Any) -> Any:
            model_key, guide_key = jax.random.split(key)
            log_guide, guided = log_density(seed(guide, guide_key), args, kwargs, param_map)
            log_model, found = log_density(replay(seed(model, model_key), guided), args, kwargs, param_map)
            check_model_guide_match(found, guided)
            return log_guide - log_model

        if self.num_particles == 1:
            return {"loss": one(rng_key), "mutable_state": None}
        losses = jax.vmap(one)(jax.random.split(rng_key, self.num_particles))
        return {"loss": losses.mean(), "mutable_state": None}


@lru_cache(maxsize=8)
def _programs(
    configured: Configured, form: Parametrization, method: Any, like: Any, numbers: tuple[str, ...]
) -> _Programs:
    """Data, rates, keys, the model's plain numbers and where members start are arguments, so that what is compiled
    serves all fits of models that are else alike. `like` has the shapes of sites, and of a row of x and y."""
    whole = partial(configured.model.numpyro, parametrization=form)

    def of(values: Any, given: Any) -> SVI:
        model = partial(whole, given=given)
        guide = make_guide(method, guides, model, init_to_value(values=values))
        return SVI(model, guide, optimizer(None), _ELBO(num_particles=method.particles))

    def start(key: Any, values: Any, row: Any, given: Any) -> Any:
        return of(values, given).init(key, *row)

    # All but the start ask of a guide only the shapes that it was first called with. That it keeps, so no tracers.
    sites, x, y = like
    ones = dict.fromkeys(numbers, jnp.ones(()))
    svi, row = of({k: jnp.ones(shape) for k, shape in sites}, ones), (jnp.ones(x), jnp.ones(y))
    jax.eval_shape(lambda key: svi.init(key, *row), jax.random.PRNGKey(0))

    def epoch(state: Any, batches: Any, shared: Any, given: Any) -> Any:
        steps, options = copy(svi), {"size": shared.size, "given": given}
        steps.model, steps.optim = partial(whole, **options), optax_to_numpyro(optimizer(shared))
        return one_epoch(steps.update, shared)(state, batches)

    def median(state: Any) -> Any:
        return svi.guide.median(svi.get_params(state)) if hasattr(svi.guide, "median") else None

    def sample(state: Any, key: Any, count: int, row: Any) -> Any:
        return Predictive(svi.guide, params=svi.get_params(state), num_samples=count)(key, *row)

    return _Programs(
        # Operation by operation, as it comes, the start of a small EMLP would take 20 s.
        jax.jit(jax.vmap(start, (0, 0, None, None))),
        jax.jit(jax.vmap(epoch, (0, 0, None, None))),
        jax.jit(jax.vmap(median)),
        jax.jit(
            lambda state, keys, count, row: jax.vmap(partial(sample, count=count, row=row))(state, keys),
            static_argnums=2,
        ),
    )
