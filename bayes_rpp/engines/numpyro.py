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

if TYPE_CHECKING:
    from bayes_rpp.engines.base import Engine, Network


class NumPyroEngine:
    """See `bayes_rpp.engines.base.Engine`."""

    name = "numpyro"
    distributions: Any = numpyro.distributions

    sample = staticmethod(numpyro.sample)
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
        return _compiled(ByKey(net))

    def vmap(self, net: Network, in_dims: tuple[int | None, int | None]) -> Callable[..., Any]:
        return jax.vmap(net, in_axes=in_dims)


class ByKey:
    """A network that equals any other of its key."""

    def __init__(self, net: Network) -> None:
        self.net, self.key = net, net.key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ByKey) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


@lru_cache(maxsize=16)
def _compiled(found: ByKey) -> Callable[..., Any]:
    """Compiled once for each network: initialisers of guides and kernels run the model operation by operation."""
    return jax.jit(found.net)


ENGINE: Engine = NumPyroEngine()
