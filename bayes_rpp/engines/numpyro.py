"""NumPyro as an `Engine`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions

from bayes_rpp._keyed import Keyed
from bayes_rpp.engines.jax import external

if TYPE_CHECKING:
    from bayes_rpp.engines.base import Engine, Network


class NumPyroEngine:
    """See `bayes_rpp.engines.base.Engine`."""

    name = "numpyro"
    distributions: Any = numpyro.distributions

    sample = staticmethod(numpyro.sample)
    factor = staticmethod(numpyro.factor)
    external = staticmethod(external)
    stack = staticmethod(jnp.stack)
    plate = staticmethod(numpyro.plate)
    zeros = staticmethod(jnp.zeros)
    broadcast_to = staticmethod(jnp.broadcast_to)

    @property
    def device(self) -> str:
        return "jax: " + jax.default_backend()

    def array(self, value: Any) -> jax.Array:
        return jnp.asarray(value, dtype=jnp.result_type(float))

    def integers(self, array: jax.Array) -> jax.Array:
        return array.astype(int)

    def deterministic(self, name: str, value: jax.Array, event_dim: int) -> jax.Array:
        return numpyro.deterministic(name, value)

    def scale(self, factor: float) -> contextlib.AbstractContextManager[Any]:
        return numpyro.handlers.scale(scale=factor)

    def compiled(self, net: Network) -> Callable[..., Any]:
        return _compiled(Keyed(net.key, net))

    def vmap(self, net: Network, in_dims: tuple[int | None, int | None]) -> Callable[..., Any]:
        return jax.vmap(net, in_axes=in_dims)


@lru_cache(maxsize=16)
def _compiled(found: Keyed) -> Callable[..., Any]:
    """Compiled once for each network: initialisers of guides and kernels run the model operation by operation."""
    return jax.jit(found.value)


ENGINE: Engine = NumPyroEngine()
