"""Likelihoods: how observations scatter around the network's output, with fixed or inferred numbers.

One definition for both engines: their distribution libraries share names, so `distribution(lib, ...)` takes either.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Prior:
    """A distribution of one positive number, by its name and arguments in Pyro and NumPyro alike.

    Example: `Prior("HalfNormal", {"scale": 1.0})`. A distribution of either library is read by `Prior.of`.
    """

    family: str
    arguments: Mapping[str, float]

    @staticmethod
    def of(value: Any, name: str) -> Prior:
        """Read a scalar distribution of Pyro, torch or NumPyro.

        Raises:
            TypeError, ValueError: naming the argument, if it is none, has a batch shape, or allows negative values.
        """
        if isinstance(value, Prior):
            return value
        if not (hasattr(value, "arg_constraints") and hasattr(value, "log_prob")):
            raise TypeError(
                f"{name} is {value!r}; a positive number, or a distribution such as HalfNormal(1.0), would do"
            )
        if tuple(value.batch_shape) or tuple(value.event_shape):
            raise ValueError(
                f"{name} is a distribution of shape {tuple(value.batch_shape + value.event_shape)}; "
                "one of a single number would do"
            )
        if type(value).__name__ not in _START:
            raise ValueError(
                f"{name} is a {type(value).__name__}; a distribution of positive numbers would do: {', '.join(_START)}"
            )
        args = {k: float(getattr(value, k)) for k in value.arg_constraints if k in _START[type(value).__name__][0]}
        return Prior(type(value).__name__, args)

    def __post_init__(self) -> None:
        if self.family not in _START:
            raise ValueError(f"family is {self.family!r}; one of {', '.join(_START)} would do")
        needed = _START[self.family][0]
        if set(self.arguments) != set(needed):
            raise ValueError(f"arguments of {self.family} are {', '.join(needed)}, not {', '.join(self.arguments)}")
        for k, v in self.arguments.items():
            if not math.isfinite(v) or (k != "loc" and v <= 0):
                raise ValueError(f"{k} of {self.family} is {v}; a finite number{' > 0' if k != 'loc' else ''} would do")

    def distribution(self, lib: Any) -> Any:
        return getattr(lib, self.family)(**self.arguments)

    @property
    def start(self) -> float:
        """A typical value, from which an optimiser starts."""
        return float(_START[self.family][1](**self.arguments))


_START: dict[str, tuple[tuple[str, ...], Any]] = {
    "HalfNormal": (("scale",), lambda scale: scale),
    "HalfCauchy": (("scale",), lambda scale: scale),
    "Exponential": (("rate",), lambda rate: 1 / rate),
    "LogNormal": (("loc", "scale"), lambda loc, scale: math.exp(loc)),
    "Gamma": (("concentration", "rate"), lambda concentration, rate: concentration / rate),
    "InverseGamma": (("concentration", "rate"), lambda concentration, rate: rate / (concentration + 1)),
}


class Likelihood(ABC):
    """The contract of likelihoods. `latents` are the numbers to infer, by site name."""

    @property
    @abstractmethod
    def latents(self) -> dict[str, Prior]: ...

    @abstractmethod
    def distribution(self, lib: Any, f: Any, latents: Mapping[str, Any]) -> Any:
        """Distribution of y given outputs f (..., n, d) in a library's distributions; event shape (d,)."""

    @abstractmethod
    def log_prob(self, f: NDArray, y: NDArray, latents: Mapping[str, Any]) -> NDArray:
        """numpy: log density of each example, (..., n)."""

    @abstractmethod
    def sample(self, rng: np.random.Generator, f: NDArray, latents: Mapping[str, Any]) -> NDArray:
        """numpy: observations around outputs f (..., n, d)."""

    @abstractmethod
    def variance(self, f: NDArray, latents: Mapping[str, Any]) -> NDArray:
        """numpy: variance of y around f, broadcasting to f."""

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """JSON-able arguments that build it again."""


@dataclass(frozen=True)
class Gaussian(Likelihood):
    """y = f(x) + noise * N(0, I).

    Args:
        noise: standard deviation in the units of y: a number > 0, or a distribution, and then it is inferred
            (site "noise").
    """

    noise: Any = 0.1

    def __post_init__(self) -> None:
        if isinstance(self.noise, (int, float, np.number)) and not isinstance(self.noise, bool):
            if not (math.isfinite(self.noise) and self.noise > 0):
                raise ValueError(f"noise is {self.noise}; a number > 0, in the units of y, would do")
            object.__setattr__(self, "noise", float(self.noise))
        else:
            object.__setattr__(self, "noise", Prior.of(self.noise, "noise"))

    @property
    def latents(self) -> dict[str, Prior]:
        return {"noise": self.noise} if isinstance(self.noise, Prior) else {}

    def distribution(self, lib: Any, f: Any, latents: Mapping[str, Any]) -> Any:
        noise = latents["noise"][..., None] if "noise" in latents else self.noise
        return lib.Normal(f, noise).to_event(1)

    def log_prob(self, f: NDArray, y: NDArray, latents: Mapping[str, Any]) -> NDArray:
        s = self._noise(latents)
        z = (np.asarray(y, dtype=np.float64) - f) / s
        return (-0.5 * z**2 - np.log(s) - 0.5 * math.log(2 * math.pi)).sum(axis=-1)

    def sample(self, rng: np.random.Generator, f: NDArray, latents: Mapping[str, Any]) -> NDArray:
        return f + self._noise(latents) * rng.normal(size=f.shape)

    def variance(self, f: NDArray, latents: Mapping[str, Any]) -> NDArray:
        return np.broadcast_to(self._noise(latents) ** 2, f.shape)

    def config(self) -> dict[str, Any]:
        noise = self.noise
        return {"noise": {noise.family: dict(noise.arguments)} if isinstance(noise, Prior) else noise}

    def _noise(self, latents: Mapping[str, Any]) -> NDArray:
        if "noise" not in latents:
            return np.asarray(self.noise)
        return np.asarray(latents["noise"], dtype=np.float64)[..., None, None]


def likelihood_from_config(kind: str, config: Mapping[str, Any]) -> Likelihood:
    """Inverse of `config()`."""
    if kind != "Gaussian":
        raise ValueError(f"the file names a likelihood {kind!r}, which this version does not know")
    noise = config["noise"]
    if isinstance(noise, Mapping):
        ((family, arguments),) = noise.items()
        noise = Prior(family, arguments)
    return Gaussian(noise)
