"""What models need of a probabilistic programming library: `Engine`, which Pyro and NumPyro satisfy."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Protocol

from bayes_rpp._imports import load_module
from bayes_rpp._types import EngineName

Array = Any  # of the engine's library

# Pyro's and NumPyro's handlers are on a stack that all threads of a process share.
LOCK = threading.RLock()


@dataclass(frozen=True)
class Library:
    """What an engine stands on: the package that brings it, and the library of its arrays."""

    package: str
    arrays: str


# In the order in which they are tried.
ENGINES: dict[EngineName, Library] = {"numpyro": Library("numpyro", "jax"), "pyro": Library("pyro-ppl", "torch")}


class Distribution(Protocol):
    """A distribution of an engine's library, as far as it is used here."""

    @property
    def batch_shape(self) -> Any: ...

    @property
    def event_shape(self) -> Any: ...

    @property
    def support(self) -> Any: ...

    def log_prob(self, value: Any) -> Any: ...

    def to_event(self, dims: int) -> Any: ...


class Distributions(Protocol):
    """The module of distributions: both libraries have these under the same names and arguments."""

    Normal: Callable[..., Any]
    StudentT: Callable[..., Any]
    Bernoulli: Callable[..., Any]
    Categorical: Callable[..., Any]
    Poisson: Callable[..., Any]

    def __getattr__(self, name: str) -> Callable[..., Any]: ...


class Network(Protocol):
    """A function of (parameters, inputs) with its capabilities: `bayes_rpp.networks.Network`, which is above this."""

    @property
    def capabilities(self) -> Any: ...

    @property
    def key(self) -> Hashable: ...

    def __call__(self, params: Any, x: Any) -> Any: ...


class Engine(Protocol):
    """What models are written with. One object for each engine: `get_engine(name)`.

    Attributes:
        name: "pyro" or "numpyro".
        distributions: the library's module of distributions.
    """

    @property
    def name(self) -> str: ...

    @property
    def distributions(self) -> Distributions: ...

    @property
    def device(self) -> str:
        """What it computes on, in words."""

    def array(self, value: Any) -> Array:
        """Numbers in the library's default precision."""

    def integers(self, array: Array) -> Array:
        """The array as whole numbers, such as classes."""

    def zeros(self, shape: Sequence[int]) -> Array:
        """Zeros in the default precision."""

    def stack(self, arrays: Sequence[Array]) -> Array:
        """Arrays of one shape along a new first axis."""

    def broadcast_to(self, array: Array, shape: Sequence[int]) -> Array:
        """The array repeated along new or single axes, as numpy's."""

    def sample(self, name: str, distribution: Distribution, obs: Array | None = None) -> Array:
        """A sample site of the model function that runs."""

    def deterministic(self, name: str, value: Array, event_dim: int) -> Array:
        """A site whose value follows from others."""

    def plate(self, name: str, size: int, dim: int) -> AbstractContextManager[Any]:
        """Sites within are independent along dimension `dim` (negative), of this size."""

    def factor(self, name: str, value: Array) -> None:
        """Adds to the log density of the model function that runs."""
        ...

    def external(self, function: Callable[[Any], tuple[float, Any]], z: Array) -> Array:
        """A number of the array z (k,) that numpy computes with its gradient, as one that has a derivative here.

        Args:
            function: z (k,), float64 -> the number, and its gradient (k,).
        """
        ...

    def scale(self, factor: float) -> AbstractContextManager[Any]:
        """log densities within are multiplied by a factor."""

    def compiled(self, net: Network) -> Callable[..., Any]:
        """A network as it runs fastest, on one set of weights."""

    def vmap(self, net: Network, in_dims: tuple[int | None, int | None]) -> Callable[..., Any]:
        """A network over several sets of weights, and one x for all (None) or for each."""


def get_engine(name: str) -> Engine:
    """The engine of a name; loads its library."""
    found: Engine = load_module(f"bayes_rpp.engines.{name}").ENGINE
    return found


def check_engine(
    engine: str | None, able: Sequence[EngineName] = tuple(ENGINES), *, is_used: bool = True
) -> EngineName:
    """The engine's name; raises ValueError for an unknown one or one that cannot run the network (`able`: those that
    can), ImportError for one that is used and not installed."""
    if engine is None:
        engine = next((name for name in able if find_spec(name)), able[0])
    if engine not in ENGINES:
        raise ValueError(f"engine must be 'pyro' or 'numpyro', got {engine!r}")
    if engine not in able:
        raise ValueError(f"engine must be one that can run this network, got {engine!r}; {able[0]!r} would do")
    if is_used and not find_spec(engine):
        raise ImportError(f"engine {engine!r} needs {ENGINES[engine].package}: pip install 'bayes-rpp[{engine}]'")
    return engine
