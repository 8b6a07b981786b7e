"""Normal noise: one standard deviation for all columns of y, or one for energies and one for forces."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bayes_rpp._arrays import Array
from bayes_rpp._types import Float, Shaped
from bayes_rpp.engines.base import Engine
from bayes_rpp.models.likelihood import Latents, Likelihood
from bayes_rpp.priors.hyper import Inferable


class Normal(Likelihood):
    """y = f(x) + noise, independent and normal, with which posteriors over functions are exact.

    Where y is NaN, there is nothing to be seen, and nothing counts.
    """

    takes_missing = True

    @property
    @abstractmethod
    def columns_of(self) -> dict[str, slice]:
        """Field -> the columns of y whose standard deviation it is."""

    def entries(self) -> Iterator[tuple[float | str, slice]]:
        """Of each field its number, or its site, and its columns."""
        for name, columns in self.columns_of.items():
            site = self.prefix + name
            yield site if site in self.latents else float(getattr(self, name)), columns

    def scale(self, latents: Latents, outputs: int) -> NDArray:
        """numpy: standard deviations, broadcasting to outputs (*lead, n, d)."""
        return np.asarray(sum(self.number(k, latents) * _is_in(c, outputs) for k, c in self.columns_of.items()))

    def distribution(self, engine: Engine, f: Shaped[Array, "*batch n d"], latents: Latents) -> Any:
        outputs = f.shape[-1]
        scale: Any = sum(
            self.in_engine(k, latents) * engine.array(_is_in(c, outputs)) for k, c in self.columns_of.items()
        )
        return engine.distributions.Normal(f, scale).to_event(1)

    def mean(self, f: Float[NDArray, "*batch n d"]) -> Float[NDArray, "*batch n d"]:
        return f

    def log_prob(
        self, f: Float[NDArray, "*batch n d"], y: Shaped[NDArray, "... n columns"], latents: Latents
    ) -> Float[NDArray, "*batch n"]:
        s = self.scale(latents, f.shape[-1])
        z = (np.asarray(y, dtype=np.float64) - f) / s
        each = -0.5 * z**2 - np.log(s) - 0.5 * math.log(2 * math.pi)
        return np.where(np.isnan(y), 0.0, each).sum(axis=-1)

    def expansion(
        self, f: Float[NDArray, "n d"], y: Shaped[NDArray, "n columns"], latents: Latents
    ) -> tuple[Float[NDArray, "n d"], Float[NDArray, "n d d"]]:
        precision = np.broadcast_to(self.scale(latents, f.shape[-1]) ** -2.0, f.shape)
        seen = ~np.isnan(y)
        return np.where(seen, y - f, 0.0) * precision, (seen * precision)[..., None] * np.eye(f.shape[-1])

    def sample(
        self, rng: np.random.Generator, f: Float[NDArray, "*batch n d"], latents: Latents
    ) -> Float[NDArray, "*batch n columns"]:
        return f + self.scale(latents, f.shape[-1]) * rng.normal(size=f.shape)

    def errors(
        self, f: Float[NDArray, "*batch n d"], y: Shaped[NDArray, "n columns"]
    ) -> dict[str, Float[NDArray, "*batch"]]:
        seen = ~np.isnan(y)
        squares, found = np.where(seen, y - f.astype(np.float64), 0.0) ** 2, {}
        for name, columns in self.columns_of.items():
            count = max(1, int(seen[:, columns].sum()))
            found[self.prefix + name] = np.sqrt(squares[..., columns].sum(axis=(-2, -1)) / count)
        return found

    def variance(self, f: Float[NDArray, "*batch n d"], latents: Latents) -> Float[NDArray, "*batch n d"]:
        return np.broadcast_to(self.scale(latents, f.shape[-1]) ** 2, f.shape)


@dataclass(frozen=True)
class Gaussian(Normal):
    """y = f(x) + noise * N(0, I).

    Args:
        noise: standard deviation in the units of y: a number > 0, or a distribution, and then it is inferred
            (site "noise").
    """

    noise: Inferable = 0.1

    @property
    def columns_of(self) -> dict[str, slice]:
        return {"noise": slice(None)}

    def distribution(self, engine: Engine, f: Shaped[Array, "*batch n d"], latents: Latents) -> Any:
        return engine.distributions.Normal(f, self.in_engine("noise", latents)).to_event(1)


@dataclass(frozen=True)
class EnergyForces(Normal):
    """y = f(x) + noise of energies, the first column, and of forces, the others, each with its own size.

    Args:
        energy: standard deviation in the units of energies: a number > 0, or a distribution, and then it is inferred
            (site "noise.energy").
        forces: that of each component of the forces (site "noise.forces").
    """

    prefix: ClassVar[str] = "noise."

    energy: Inferable = 0.1
    forces: Inferable = 0.1

    @property
    def columns_of(self) -> dict[str, slice]:
        return {"energy": slice(0, 1), "forces": slice(1, None)}


def _is_in(columns: slice, outputs: int) -> NDArray:
    """(outputs,) 1 in these columns, 0 elsewhere."""
    found = np.zeros(outputs)
    found[columns] = 1.0
    return found
