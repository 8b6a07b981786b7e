"""The Jacobian of a network's outputs in float64, by JAX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from bayes_rpp._keyed import Keyed
from bayes_rpp.engines.jax import x64
from bayes_rpp.inference.curvature.linearisation import Jacobian
from bayes_rpp.networks.network import Network


@lru_cache(maxsize=16)
def _compiled(found: Keyed, names: tuple[str, ...]) -> Any:
    """Compiled once for all fits of a network: starts, warm starts, cells of a grid."""
    net: Network = found.value

    def outputs(some: Any, rest: Any, x: Any) -> Any:
        return net({**rest, **some}, x[None])[0]

    return jax.jit(jax.vmap(jax.jacrev(outputs), (None, None, 0)))


def jacobian(net: Network, names: Sequence[str]) -> Jacobian:
    """A function of weights and inputs (n, d_in): df/dW by the name of W, (n, d_out, *shape)."""
    compiled = _compiled(Keyed(net.key, net), tuple(names))

    def of(params: Mapping[str, NDArray], x: NDArray) -> dict[str, NDArray]:
        with x64():
            every = {k: jnp.asarray(params[k], dtype=jnp.float64) for k in net.parameters}
            some = {k: every.pop(k) for k in names}
            return {k: np.asarray(j) for k, j in compiled(some, every, jnp.asarray(x, dtype=jnp.float64)).items()}

    return of
