"""Parametrizations: how a weight with a residual pathway prior is written as latent sites of a probabilistic program.

Each is the same prior over W, with other coordinates. A new one is a subclass with `parts`, `split` and `join`, given
to `Model(parametrization=...)`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from bayes_rpp._arrays import Array
from bayes_rpp._imports import load_module
from bayes_rpp.engines.base import Engine
from bayes_rpp.priors.mixed import MixedPathway, scaled
from bayes_rpp.priors.pathway import ResidualPathway, fan_in_scale, total
from bayes_rpp.priors.subspaces.base import FullSubspace

Parts = dict[str, ResidualPathway]


class Parametrization(ABC):
    """Owns the names of a weight's sites, and the way to them and back.

    Attributes:
        name: by which it is known in arguments and files.
        has_mode: whether the joint density of sites and sigmas has a highest point, which MAP looks for. It has none
            where it grows without bound as a sigma and its weights go to zero.
    """

    name: ClassVar[str]
    has_mode: ClassVar[bool] = False

    @abstractmethod
    def parts(self, site: str, prior: ResidualPathway) -> Parts:
        """Site -> prior of what is sampled there, independently of the others, for a weight called `site`."""

    @abstractmethod
    def split(self, site: str, prior: ResidualPathway, w: Array) -> dict[str, Array]:
        """The sites' values that give the weight w (..., *shape); where many do, the most probable. Of any library."""

    @abstractmethod
    def join(self, site: str, prior: ResidualPathway, values: Mapping[str, Array]) -> Array:
        """The weight (..., *shape) of the sites' values, of any library."""

    def sample(self, engine: Engine, site: str, prior: ResidualPathway) -> Array:
        """The weight, within a model function of the engine."""
        return load_module(f"bayes_rpp.priors.{engine.name}").sample(self, site, prior)

    def steps(self, site: str, prior: ResidualPathway, rows: int) -> dict[str, Any]:
        """Site -> its scale, the unit of learning rates, for a weight of n_out = rows."""
        return {s: step(p, rows) for s, p in self.parts(site, prior).items()}

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((type(self), *sorted(vars(self).items())))


class Weights(Parametrization):
    """W itself."""

    name = "weights"

    def parts(self, site: str, prior: ResidualPathway) -> Parts:
        if isinstance(prior, MixedPathway):
            prior.check_known()
        return {site: prior}

    def split(self, site: str, prior: ResidualPathway, w: Array) -> dict[str, Array]:
        return {site: w}

    def join(self, site: str, prior: ResidualPathway, values: Mapping[str, Array]) -> Array:
        return values[site]


class Whitened(Parametrization):
    """White noise `site_base`, W = color(eps). Of subspaces in any position white noise for each of `components`,
    `site_base_beta_0`, ..., `site_base_residual`: their sum needs no root of the covariance."""

    name = "whitened"
    has_mode = True

    def parts(self, site: str, prior: ResidualPathway) -> Parts:
        if isinstance(prior, MixedPathway):
            return {f"{site}_base_{name}": isotropic(1.0, (s.rank,)) for name, s, _ in prior.components}
        return {f"{site}_base": isotropic(1.0, prior.shape)}

    def split(self, site: str, prior: ResidualPathway, w: Array) -> dict[str, Array]:
        if isinstance(prior, MixedPathway):
            found = zip(prior.components, prior.apart(w), strict=True)
            return {f"{site}_base_{name}": scaled(1.0 / sigma, b) for (name, _, sigma), b in found}
        return {f"{site}_base": prior.whiten(w)}

    def join(self, site: str, prior: ResidualPathway, values: Mapping[str, Array]) -> Array:
        if isinstance(prior, MixedPathway):
            parts = ((values[f"{site}_base_{name}"], s, sigma) for name, s, sigma in prior.components)
            return total([s.decode(scaled(sigma, eps)) for eps, s, sigma in parts])
        return prior.color(values[f"{site}_base"])

    def steps(self, site: str, prior: ResidualPathway, rows: int) -> dict[str, Any]:
        if isinstance(prior, MixedPathway):
            return {
                f"{site}_base_{name}": np.minimum(sigma, fan_in_scale(rows, s.rank)) / sigma
                for name, s, sigma in prior.components
            }
        *inside, outside = scales(prior, rows)
        return {f"{site}_base": sum(s**2 for s in inside or [outside]) ** 0.5 / prior.sigma_inside}


class Pathways(Parametrization):
    """The coordinates inside, `site_beta`, and the residual B, `site_residual`: W = decode(beta) + B (paper, Section
    4); of a chain of subspaces `site_beta` is split again; of subspaces in any position there are `site_beta_0`,
    `site_beta_1`, .... A prior that is the same in all directions stays whole."""

    name = "pathways"

    def parts(self, site: str, prior: ResidualPathway) -> Parts:
        if prior.isotropic_sigma is not None:
            return {site: isotropic(prior.isotropic_sigma, prior.shape)}
        if isinstance(prior, MixedPathway):
            return {f"{site}_{name}": isotropic(sigma, (s.rank,)) for name, s, sigma in prior.components}
        found = self.parts(f"{site}_beta", prior.strict())
        return found | {f"{site}_residual": isotropic(prior.sigma_b, prior.shape)}

    def split(self, site: str, prior: ResidualPathway, w: Array) -> dict[str, Array]:
        if prior.isotropic_sigma is not None:
            return {site: w}
        if isinstance(prior, MixedPathway):
            return {f"{site}_{name}": b for (name, *_), b in zip(prior.components, prior.apart(w), strict=True)}
        beta, residual = prior.split(w)
        return self.split(f"{site}_beta", prior.strict(), beta) | {f"{site}_residual": residual}

    def join(self, site: str, prior: ResidualPathway, values: Mapping[str, Array]) -> Array:
        if prior.isotropic_sigma is not None:
            return values[site]
        if isinstance(prior, MixedPathway):
            return total([s.decode(values[f"{site}_{name}"]) for name, s, _ in prior.components])
        beta = self.join(f"{site}_beta", prior.strict(), values)
        return prior.support.decode(beta) + values[f"{site}_residual"]


PARAMETRIZATIONS: dict[str, Parametrization] = {p.name: p for p in (Pathways(), Weights(), Whitened())}


def get_parametrization(value: str | Parametrization) -> Parametrization:
    """One of ours by its name, or one of the user's own as it is; raises ValueError for any other."""
    if isinstance(value, Parametrization):
        return value
    if value not in PARAMETRIZATIONS:
        some = ", ".join(map(repr, PARAMETRIZATIONS))
        raise ValueError(f"parametrization must be one of {some}, or a Parametrization, got {value!r}")
    return PARAMETRIZATIONS[value]


def isotropic(sigma: Any, shape: tuple[int, ...]) -> ResidualPathway:
    """N(0, sigma^2 I)."""
    return ResidualPathway(FullSubspace(shape), sigma, 0.0)


def scales(prior: ResidualPathway, rows: int) -> list[Any]:
    """Scale inside each active level, and last that of the residual: the prior's, at most the fan-in scale. Numbers, or
    arrays of the prior's batch shape."""
    if prior.isotropic_sigma is not None:
        limit = np.minimum(prior.isotropic_sigma, fan_in_scale(rows, prior.subspace.size))
        return [limit] * (len(prior.active) + 1)
    found = [np.minimum(s, fan_in_scale(rows, level.rank)) for level, s in prior.pathways]
    return [*found, np.minimum(prior.sigma_b, fan_in_scale(rows, prior.subspace.size))]


def step(prior: ResidualPathway, rows: int) -> Any:
    """The scale of a weight's entries by `scales`."""
    *inside, outside = scales(prior, rows)
    if prior.isotropic_sigma is not None:
        return outside
    levels = zip(inside, prior.active, strict=True)
    return (sum(s**2 * level.rank / prior.subspace.size for s, level in levels) + outside**2) ** 0.5
