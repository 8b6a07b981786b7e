"""The latent sites of a model as numpy arrays: where they start, how large they are, and the weights they stand for.

All arrays may have leading dimensions (members, draws). Both engines start from these values.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_rpp.models.model import Model, Parametrisation, fan_in_scale
from bayes_rpp.priors.pathway import ResidualPathway

Values = dict[str, NDArray]


class Sites:
    """The sites of a model in one parametrisation.

    Attributes:
        steps: site -> its scale, the unit of learning rates: the prior's standard deviation, at most the fan-in scale;
            0 of those in `held`, which stay where they are. (members,) where it depends on what is given.
        given: numbers of the model to infer that are known here, and no sites: a number each, or (members,).
    """

    def __init__(
        self,
        model: Model,
        parametrisation: Parametrisation,
        held: Iterable[str] = (),
        given: Mapping[str, Any] | None = None,
    ) -> None:
        self.model, self.parametrisation, self.given = model, parametrisation, dict(given or {})
        self._free = {k: p for k, p in model.latents.items() if k not in self.given}
        self.steps: dict[str, Any] = dict.fromkeys(self._free, 1.0)
        for name, (site, prior) in self._priors(self._typical):
            self.steps |= self._steps(site, prior, model.priors[name].subspace.rows)
        self.steps |= dict.fromkeys(held, 0.0)

    def member(self, number: int) -> Sites:
        """The sites of one member."""
        if not self.given:
            return self
        return Sites(self.model, self.parametrisation, (), {k: float(v[number]) for k, v in self.given.items()})

    @property
    def _typical(self) -> dict[str, Any]:
        """All numbers to infer: those given, and typical values of the others."""
        return {k: p.start for k, p in self._free.items()} | self.given

    def _steps(self, site: str, prior: ResidualPathway, rows: int) -> dict[str, Any]:
        *inside, outside = scales(prior, rows)
        if self.parametrisation == "whitened":
            return {f"{site}_base": sum(s**2 for s in inside or [outside]) ** 0.5 / prior.sigma_inside}
        if self._is_split(prior):
            return self._steps(f"{site}_beta", prior.strict(), rows) | {f"{site}_residual": outside}
        if prior.isotropic_sigma is not None:
            return {site: outside}
        levels = zip(inside, prior.active, strict=True)
        return {site: (sum(s**2 * level.rank / prior.subspace.size for s, level in levels) + outside**2) ** 0.5}

    def initial(self, rng: np.random.Generator, spread: float = 0.0) -> Values:
        """A draw from the prior, no wider than the fan-in scale, so that signals neither vanish nor explode. The same
        weights in all parametrisations.

        Args:
            spread: standard deviation of the logarithm of the numbers to infer, around typical values of theirs.
        """
        weights: Values = {}
        for name in self.model.priors:
            prior = self.model.prior(name, self._typical)
            *inside, outside = scales(prior, prior.subspace.rows)
            residual = rng.normal(size=prior.shape) * (0.0 if prior.is_strict else outside)
            if prior.isotropic_sigma is None:
                for scale, level in zip(inside, prior.active, strict=True):
                    residual += level.decode(rng.normal(size=level.rank) * scale)
            weights[name] = residual
        for k, p in self._free.items():
            weights[k] = np.asarray(p.start * np.exp(spread * rng.normal()))
        return self.values(weights)

    def values(self, weights: Mapping[str, NDArray]) -> Values:
        """The sites that give these weights; where many do, the most probable. Numbers to infer that are missing start
        at typical values."""
        lead = self._lead_of(weights)
        values: Values = {
            k: np.asarray(weights[k]) if k in weights else np.full(lead, p.start) for k, p in self._free.items()
        }
        for name, (site, prior) in self._priors(values):
            w, whole = weights[name], self.model.priors[name]
            if whole.is_strict:
                w = whole.support.encode(w)
            values |= self._taken_apart(site, prior, w)
        return values

    def _taken_apart(self, site: str, prior: ResidualPathway, w: NDArray) -> Values:
        if self.parametrisation == "whitened":
            return {f"{site}_base": prior.whiten(w)}
        if not self._is_split(prior):
            return {site: w}
        beta, residual = prior.split(w)
        return self._taken_apart(f"{site}_beta", prior.strict(), beta) | {f"{site}_residual": residual}

    def _joined(self, site: str, prior: ResidualPathway, values: Mapping[str, NDArray]) -> NDArray:
        """Inverse of `_taken_apart`."""
        if self.parametrisation == "whitened":
            return prior.color(values[f"{site}_base"])
        if not self._is_split(prior):
            return values[site]
        beta = self._joined(f"{site}_beta", prior.strict(), values)
        return prior.support.decode(beta) + values[f"{site}_residual"]

    def weights(self, values: Mapping[str, NDArray]) -> Values:
        """Weights W by parameter name, and the inferred numbers, from the sites' values."""
        found: Values = {}
        known = dict(self._priors(values))
        for name, whole in self.model.priors.items():
            if name not in known:
                found[name] = np.zeros(self._lead(values) + whole.shape, dtype=np.float32)
                continue
            site, prior = known[name]
            w = self._joined(site, prior, values)
            w = whole.support.decode(w) if whole.is_strict else w
            found[name] = np.asarray(w, dtype=values[self._site(site, prior)].dtype)
        return found | {k: np.asarray(values[k]) for k in self._free}

    def _priors(self, values: Mapping[str, NDArray]) -> Iterator[tuple[str, tuple[str, ResidualPathway]]]:
        """Parameter name -> (its site, the prior there at these values of the numbers to infer)."""
        known = {**values, **self.given}
        latents = {k: np.asarray(known[k], dtype=np.float64) for k in self.model.latents}
        for name, (site, prior) in self.model.sites.items():
            if self.model.infers_sigmas:
                prior = self.model.prior(name, latents)
                prior = prior.strict() if self.model.priors[name].is_strict else prior
            yield name, (site, prior)

    def _site(self, site: str, prior: ResidualPathway) -> str:
        """One of the latent sites of a weight."""
        if self.parametrisation == "whitened":
            return f"{site}_base"
        return f"{site}_residual" if self._is_split(prior) else site

    def _lead_of(self, weights: Mapping[str, NDArray]) -> tuple[int, ...]:
        name, prior = next(iter(self.model.priors.items()))
        a = np.asarray(weights[name])
        return a.shape[: a.ndim - len(prior.shape)]

    def _lead(self, values: Mapping[str, NDArray]) -> tuple[int, ...]:
        for site, prior in self.model.sites.values():
            a = values[self._site(site, prior)]
            return a.shape[: a.ndim - len(prior.shape)]
        return ()

    def _is_split(self, prior: ResidualPathway) -> bool:
        return self.parametrisation == "pathways" and prior.isotropic_sigma is None


def scales(prior: ResidualPathway, rows: int) -> list[Any]:
    """Scale inside each active level, and last that of the residual: the prior's, at most the fan-in scale. Numbers, or
    arrays of the prior's batch shape."""
    if prior.isotropic_sigma is not None:
        limit = np.minimum(prior.isotropic_sigma, fan_in_scale(rows, prior.subspace.size))
        return [limit] * (len(prior.active) + 1)
    found = [np.minimum(s, fan_in_scale(rows, level.rank)) for level, s in prior.pathways]
    return [*found, np.minimum(prior.sigma_b, fan_in_scale(rows, prior.subspace.size))]
