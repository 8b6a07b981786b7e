"""The contract of likelihoods: how observations scatter around the network's output, in numpy and on each engine."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bayes_rpp._arrays import Array
from bayes_rpp._types import Float, Shaped
from bayes_rpp.engines.base import Engine
from bayes_rpp.priors.hyper import Prior

Latents = Mapping[str, Any]


class Likelihood(ABC):
    """The contract of likelihoods: dataclasses whose fields are positive numbers, or distributions to infer them from.

    Attributes:
        latents: site -> Prior of the numbers to infer.
        prefix: of sites, before the names of fields.
        takes_missing: whether numbers y may be NaN, where there is nothing to be seen.
        options: names of fields that are no positive numbers, and are checked by the class itself.
    """

    prefix: ClassVar[str] = ""
    takes_missing: ClassVar[bool] = False
    options: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        for field in fields(self):  # type: ignore[arg-type]
            if field.name in self.options:
                continue
            value = getattr(self, field.name)
            if isinstance(value, (int, float, np.number)) and not isinstance(value, bool):
                if not (math.isfinite(value) and value > 0):
                    raise ValueError(f"{field.name} must be a number > 0, got {value}")
                object.__setattr__(self, field.name, float(value))
            else:
                object.__setattr__(self, field.name, Prior.of(value, field.name))

    @property
    def latents(self) -> dict[str, Prior]:
        return {self.prefix + k: v for k, v in self._numbers().items() if isinstance(v, Prior)}

    @property
    def predictive(self) -> Likelihood:
        """That of new examples, whose density is what predictions are scored by: itself, without weights of classes and
        the like, which count in training alone."""
        return self

    def objective(self, engine: Engine, f: Shaped[Array, "*batch n d"], latents: Latents) -> Any:
        """`distribution` as it is trained with, of `targets`; its density may be another by a constant."""
        return self.distribution(engine, f, latents)

    def targets(self, engine: Engine, y: Shaped[Array, "*batch n columns"], outputs: int) -> Shaped[Array, "*observed"]:
        """y (..., n, columns), for a network of so many outputs, in the form that `objective` observes."""
        return self.observed(engine, y)

    @abstractmethod
    def distribution(self, engine: Engine, f: Shaped[Array, "*batch n d"], latents: Latents) -> Any:
        """Distribution of y given outputs f (..., n, d), one of `engine.distributions`; batch shape (..., n)."""

    def observed(self, engine: Engine, y: Shaped[Array, "*batch n columns"]) -> Shaped[Array, "*observed"]:
        """y (..., n, columns) in the form that `distribution` observes."""
        return y

    def columns(self, outputs: int) -> int:
        """Number of columns of y for a network of so many outputs."""
        return outputs

    def check(self, y: NDArray, outputs: int, name: str) -> None:  # noqa: B027
        """Raise ValueError, naming the argument, where y (n, columns) cannot come from this likelihood."""

    @abstractmethod
    def mean(self, f: Float[NDArray, "*batch n d"]) -> Float[NDArray, "*batch n d"]:
        """numpy: expected y given outputs f (..., n, d); probabilities of classes."""

    @abstractmethod
    def log_prob(
        self, f: Float[NDArray, "*batch n d"], y: Shaped[NDArray, "... n columns"], latents: Latents
    ) -> Float[NDArray, "*batch n"]:
        """numpy: log density of each example, (..., n)."""

    @abstractmethod
    def expansion(
        self, f: Float[NDArray, "n d"], y: Shaped[NDArray, "n columns"], latents: Latents
    ) -> tuple[Float[NDArray, "n d"], Float[NDArray, "n d d"]]:
        """numpy: log density of each example as a quadratic around outputs f (n, d), for numbers `latents`.

        Returns:
            Gradient (n, d) in f, and curvature (n, d, d): minus the Hessian, or where that may be negative (StudentT)
            its expectation, the Fisher information.
        """

    def steepness(
        self, f: Float[NDArray, "n d"], y: Shaped[NDArray, "n columns"], latents: Latents
    ) -> Float[NDArray, "n d d"]:
        """numpy: a positive curvature for steps towards the mode of f, as `expansion`'s unless another is faster."""
        return self.expansion(f, y, latents)[1]

    @abstractmethod
    def sample(
        self, rng: np.random.Generator, f: Float[NDArray, "*batch n d"], latents: Latents
    ) -> Float[NDArray, "*batch n columns"]:
        """numpy: observations around outputs f (..., n, d), (..., n, columns)."""

    @abstractmethod
    def variance(self, f: Float[NDArray, "*batch n d"], latents: Latents) -> Float[NDArray, "*batch n d"]:
        """numpy: variance of y around its mean, broadcasting to f."""

    def errors(
        self, f: Float[NDArray, "*batch n d"], y: Shaped[NDArray, "n columns"]
    ) -> dict[str, Float[NDArray, "*batch"]]:
        """numpy: site -> root mean square of y - f, (...), of each field that is a scale of the noise."""
        return {}

    def config(self) -> dict[str, Any]:
        """JSON-able arguments; `likelihood_from_config` builds it again."""
        return {k: v.config() if isinstance(v, Prior) else v for k, v in self._numbers().items()}

    def _numbers(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]

    def number(self, name: str, latents: Latents) -> NDArray:
        """A field's value, broadcasting to outputs (*lead, n, d)."""
        if (site := self.prefix + name) in latents:
            return np.asarray(latents[site], dtype=np.float64)[..., None, None]
        return np.asarray(getattr(self, name))

    def in_engine(self, name: str, latents: Latents) -> Any:
        """A field's value in an engine, broadcasting to outputs (..., n, d)."""
        site = self.prefix + name
        return latents[site][..., None] if site in latents else getattr(self, name)


def check_values(good: NDArray, y: NDArray, name: str, wanted: str) -> None:
    """Raise ValueError for the first entry of y (n, columns) that is not good."""
    if not good.all():
        row, column = np.argwhere(~good)[0]
        raise ValueError(f"{name} must be {wanted}, got {y[row, column]:g} in row {row}, column {column}")
