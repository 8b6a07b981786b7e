"""Pyro as an `Engine`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import pyro
import pyro.distributions
import torch

from bayes_rpp.engines.torch import external

if TYPE_CHECKING:
    from bayes_rpp.engines.base import Engine, Network


class PyroEngine:
    """See `bayes_rpp.engines.base.Engine`."""

    name = "pyro"
    distributions: Any = pyro.distributions

    sample = staticmethod(pyro.sample)
    factor = staticmethod(pyro.factor)
    external = staticmethod(external)
    plate = staticmethod(pyro.plate)
    deterministic = staticmethod(pyro.deterministic)
    zeros = staticmethod(torch.zeros)
    broadcast_to = staticmethod(torch.broadcast_to)

    def stack(self, arrays: Sequence[torch.Tensor]) -> torch.Tensor:
        return torch.stack(list(arrays))

    @property
    def device(self) -> str:
        return f"torch: {torch.get_default_device().type}"

    def array(self, value: Any) -> torch.Tensor:
        return torch.as_tensor(value, dtype=torch.get_default_dtype())

    def integers(self, array: torch.Tensor) -> torch.Tensor:
        return array.long()

    def scale(self, factor: float) -> contextlib.AbstractContextManager[Any]:
        found: contextlib.AbstractContextManager[Any] = pyro.poutine.scale(scale=factor)
        return found

    def compiled(self, net: Network) -> Callable[..., Any]:
        return net

    def vmap(self, net: Network, in_dims: tuple[int | None, int | None]) -> Callable[..., Any]:
        if net.capabilities.vectorized:
            return torch.func.vmap(net, in_dims=in_dims)
        return partial(_one_by_one, net, in_dims)


def _one_by_one(net: Network, in_dims: Sequence[int | None], params: Any, x: torch.Tensor) -> torch.Tensor:
    """vmap for a network of operations that have no rule for it."""
    count = len(next(iter(params.values())))
    rows = [({k: v[i] for k, v in params.items()}, x if in_dims[1] is None else x[i]) for i in range(count)]
    return torch.stack([net(*row) for row in rows])


def seeded(seed: int) -> torch.Tensor:
    """The state of the default device's random numbers after a seed."""
    with random_state(None):
        _random().manual_seed(seed)
        return _random().get_rng_state()


@contextlib.contextmanager
def random_state(state: torch.Tensor | None) -> Iterator[Callable[[], torch.Tensor]]:
    """With this state in place of the default device's own, which comes back; gives a function for the state within."""
    before = _random().get_rng_state()
    try:
        if state is not None:
            _random().set_rng_state(state)
        yield _random().get_rng_state
    finally:
        _random().set_rng_state(before)


def _random() -> Any:
    """Where torch draws on the default device."""
    device = torch.get_default_device()
    return torch.random if device.type == "cpu" else getattr(torch, device.type)


def settings() -> Any:
    """Parameters live in the guide, not in Pyro's global store; NaN is looked for in the loss, not in each argument."""
    return pyro.settings.context(
        module_local_params=True,
        validate_distributions_pyro=False,
        validate_distributions_torch=False,
        validate_poutine=False,
    )


ENGINE: Engine = PyroEngine()
