"""Likelihoods: how observations scatter around the network's output, with fixed or inferred numbers.

One definition for both engines, whose libraries have the same distributions under the same names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bayes_rpp._arrays import Array, array_namespace
from bayes_rpp._imports import load_module
from bayes_rpp._numerics import rms
from bayes_rpp._types import Float, Shaped
from bayes_rpp.engines.base import Engine
from bayes_rpp.models.categorical import Categorical as Categorical
from bayes_rpp.models.likelihood import Latents, Likelihood, check_values
from bayes_rpp.models.normal import EnergyForces, Gaussian
from bayes_rpp.priors.hyper import Inferable, Prior


@dataclass(frozen=True)
class StudentT(Likelihood):
    """y = f(x) + noise * t_df: a Gaussian that forgives outliers.

    Args:
        noise: scale in the units of y: a number > 0, or a distribution (site "noise").
        df: degrees of freedom: a number > 0, or a distribution (site "df"); 1 is Cauchy, 30 nearly Gaussian. Up to 2
            the variance, and so `Prediction.std`, is infinite.
    """

    noise: Inferable = 0.1
    df: Inferable = 4.0

    def distribution(self, engine: Engine, f: Shaped[Array, "*batch n d"], latents: Latents) -> Any:
        return engine.distributions.StudentT(
            self.in_engine("df", latents), f, self.in_engine("noise", latents)
        ).to_event(1)

    def mean(self, f: Float[NDArray, "*batch n d"]) -> Float[NDArray, "*batch n d"]:
        return f

    def log_prob(
        self, f: Float[NDArray, "*batch n d"], y: Shaped[NDArray, "... n columns"], latents: Latents
    ) -> Float[NDArray, "*batch n"]:
        y = np.asarray(y, dtype=np.float64)
        df, noise = self.number("df", latents), self.number("noise", latents)
        stats = load_module("scipy.stats")  # slow to import
        return stats.t.logpdf(y, df, loc=f, scale=noise).sum(axis=-1)

    def expansion(
        self, f: Float[NDArray, "n d"], y: Shaped[NDArray, "n columns"], latents: Latents
    ) -> tuple[Float[NDArray, "n d"], Float[NDArray, "n d d"]]:
        df, noise = self.number("df", latents), self.number("noise", latents)
        z = (y - f) / noise
        fisher = np.broadcast_to((df + 1) / ((df + 3) * noise**2), f.shape)
        return (df + 1) * z / (df + z**2) / noise, _diagonal(fisher)

    def steepness(
        self, f: Float[NDArray, "n d"], y: Shaped[NDArray, "n columns"], latents: Latents
    ) -> Float[NDArray, "n d d"]:
        """Minus the Hessian near y; of outliers, where that is negative, the weight of a Gaussian that touches the
        density from below, so that steps go up."""
        df, noise = self.number("df", latents), self.number("noise", latents)
        square = ((y - f) / noise) ** 2
        weight = (df + 1) / (df + square) / noise**2
        return _diagonal(np.where(square < 0.5 * df, weight * (df - square) / (df + square), weight))

    def errors(
        self, f: Float[NDArray, "*batch n d"], y: Shaped[NDArray, "n columns"]
    ) -> dict[str, Float[NDArray, "*batch"]]:
        return {"noise": rms(y - f, axis=(-2, -1))}

    def sample(
        self, rng: np.random.Generator, f: Float[NDArray, "*batch n d"], latents: Latents
    ) -> Float[NDArray, "*batch n columns"]:
        return f + self.number("noise", latents) * rng.standard_t(self.number("df", latents), size=f.shape)

    def variance(self, f: Float[NDArray, "*batch n d"], latents: Latents) -> Float[NDArray, "*batch n d"]:
        df = self.number("df", latents)
        factor = np.where(df > 2, df / np.where(df > 2, df - 2, 1.0), np.inf)
        return np.broadcast_to(self.number("noise", latents) ** 2 * factor, f.shape)


@dataclass(frozen=True)
class Bernoulli(Likelihood):
    """Each column of y is 0 or 1, with log-odds f(x)."""

    def distribution(self, engine: Engine, f: Shaped[Array, "*batch n d"], latents: Latents) -> Any:
        return engine.distributions.Bernoulli(logits=f).to_event(1)

    def check(self, y: NDArray, outputs: int, name: str) -> None:
        check_values(np.isin(y, (0, 1)), y, name, "0 or 1")

    def mean(self, f: Float[NDArray, "*batch n d"]) -> Float[NDArray, "*batch n d"]:
        return special.expit(f)

    def log_prob(
        self, f: Float[NDArray, "*batch n d"], y: Shaped[NDArray, "... n columns"], latents: Latents
    ) -> Float[NDArray, "*batch n"]:
        return special.log_expit(np.where(np.asarray(y) > 0, f, -f).astype(np.float64)).sum(axis=-1)

    def expansion(
        self, f: Float[NDArray, "n d"], y: Shaped[NDArray, "n columns"], latents: Latents
    ) -> tuple[Float[NDArray, "n d"], Float[NDArray, "n d d"]]:
        p = special.expit(f)
        return y - p, _diagonal(p * (1 - p))

    def sample(
        self, rng: np.random.Generator, f: Float[NDArray, "*batch n d"], latents: Latents
    ) -> Float[NDArray, "*batch n columns"]:
        return (rng.random(f.shape) < special.expit(f)).astype(np.float64)

    def variance(self, f: Float[NDArray, "*batch n d"], latents: Latents) -> Float[NDArray, "*batch n d"]:
        p = special.expit(f)
        return p * (1 - p)


@dataclass(frozen=True)
class Poisson(Likelihood):
    """Each column of y is a count of mean exp(f(x))."""

    def distribution(self, engine: Engine, f: Shaped[Array, "*batch n d"], latents: Latents) -> Any:
        return engine.distributions.Poisson(array_namespace(f).exp(f)).to_event(1)

    def check(self, y: NDArray, outputs: int, name: str) -> None:
        check_values((y == np.floor(y)) & (y >= 0), y, name, "a count 0, 1, 2, ...")

    def mean(self, f: Float[NDArray, "*batch n d"]) -> Float[NDArray, "*batch n d"]:
        return np.exp(f)

    def log_prob(
        self, f: Float[NDArray, "*batch n d"], y: Shaped[NDArray, "... n columns"], latents: Latents
    ) -> Float[NDArray, "*batch n"]:
        y, f = np.asarray(y, dtype=np.float64), f.astype(np.float64)
        return (y * f - np.exp(f) - special.gammaln(y + 1)).sum(axis=-1)

    def expansion(
        self, f: Float[NDArray, "n d"], y: Shaped[NDArray, "n columns"], latents: Latents
    ) -> tuple[Float[NDArray, "n d"], Float[NDArray, "n d d"]]:
        mean = np.exp(f)
        return y - mean, _diagonal(mean)

    def sample(
        self, rng: np.random.Generator, f: Float[NDArray, "*batch n d"], latents: Latents
    ) -> Float[NDArray, "*batch n columns"]:
        return rng.poisson(np.exp(f)).astype(np.float64)

    def variance(self, f: Float[NDArray, "*batch n d"], latents: Latents) -> Float[NDArray, "*batch n d"]:
        return np.exp(f)


LIKELIHOODS: dict[str, type[Likelihood]] = {
    kind.__name__: kind for kind in (Gaussian, EnergyForces, StudentT, Bernoulli, Categorical, Poisson)
}


def likelihood_from_config(kind: str, config: Mapping[str, Any], given: Likelihood | None = None) -> Likelihood:
    """Inverse of `config()`; of a likelihood that is not ours the same one, given."""
    if given is not None:
        if not isinstance(given, Likelihood):
            raise TypeError(f"likelihood must be a Likelihood, got {given!r}; {kind}(...) would do")
        if (type(given).__name__, given.config()) != (kind, dict(config)):
            raise ValueError(f"likelihood must be the file's, {kind} with {dict(config)}, got {given}")
        return given
    if kind not in LIKELIHOODS:
        raise ValueError(
            f"likelihood must be given, as {kind!r} of the file is not ours; likelihood={kind}(...) would do"
        )
    return LIKELIHOODS[kind](
        **{k: Prior(*next(iter(v.items()))) if isinstance(v, Mapping) else v for k, v in config.items()}
    )


def _diagonal(entries: NDArray) -> NDArray:
    return entries[..., None] * np.eye(entries.shape[-1])
