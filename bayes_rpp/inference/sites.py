"""The latent sites of a model as numpy arrays: where they start, how large they are, and the weights they stand for.

All arrays may have leading dimensions (members, draws). Both engines start from these values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from bayes_rpp.models import Model, Parametrisation, fan_in_scales
from bayes_rpp.priors.pathway import ResidualPathway

Values = dict[str, NDArray]


class Sites:
    """The sites of a model in one parametrisation.

    Attributes:
        steps: site -> its scale, the unit of learning rates: the prior's standard deviation, at most the fan-in scale.
    """

    def __init__(self, model: Model, parametrisation: Parametrisation) -> None:
        self.model, self.parametrisation = model, parametrisation
        self.steps: dict[str, float] = dict.fromkeys(model.latents, 1.0)
        for name, (site, prior) in model.sites.items():
            inside, outside = self._scales(name)
            if parametrisation == "whitened":
                self.steps[f"{site}_base"] = inside / prior.sigma_inside
            elif self._is_split(prior):
                self.steps[f"{site}_beta"], self.steps[f"{site}_residual"] = inside, outside
            else:
                share = prior.subspace.rank / prior.subspace.size
                self.steps[site] = float((inside**2 * share + outside**2 * (1 - share)) ** 0.5)

    def initial(self, rng: np.random.Generator, spread: float = 0.0) -> Values:
        """A draw from the prior, no wider than the fan-in scale, so that signals neither vanish nor explode. The same
        weights in all parametrisations.

        Args:
            spread: standard deviation of the logarithm of the numbers to infer, around typical values of theirs.
        """
        weights: Values = {}
        for name, prior in self.model.priors.items():
            inside, outside = self._scales(name)
            residual = rng.normal(size=prior.shape) * (0.0 if prior.is_strict else outside)
            if prior.isotropic_sigma is None:
                residual += prior.subspace.decode(rng.normal(size=prior.subspace.rank) * inside)
            weights[name] = residual
        for k, p in self.model.latents.items():
            weights[k] = np.asarray(p.start * np.exp(spread * rng.normal()))
        return self.values(weights)

    def values(self, weights: Mapping[str, NDArray]) -> Values:
        """The sites that give these weights; where many do, the most probable. Numbers to infer that are missing start
        at typical values."""
        lead = self._lead_of(weights)
        values: Values = {
            k: np.asarray(weights[k]) if k in weights else np.full(lead, p.start) for k, p in self.model.latents.items()
        }
        for name, (site, prior) in self._priors(values):
            w, whole = weights[name], self.model.priors[name]
            if whole.is_strict:
                w = whole.subspace.encode(w)
            if self.parametrisation == "whitened":
                values[f"{site}_base"] = prior.whiten(w)
            elif self._is_split(prior):
                values[f"{site}_beta"], values[f"{site}_residual"] = prior.split(w)
            else:
                values[site] = w
        return values

    def weights(self, values: Mapping[str, NDArray]) -> Values:
        """Weights W by parameter name, and the inferred numbers, from the sites' values."""
        found: Values = {}
        known = dict(self._priors(values))
        for name, whole in self.model.priors.items():
            if name not in known:
                found[name] = np.zeros(self._lead(values) + whole.shape, dtype=np.float32)
                continue
            site, prior = known[name]
            if self.parametrisation == "whitened":
                w = prior.color(values[f"{site}_base"])
            elif self._is_split(prior):
                w = prior.subspace.decode(values[f"{site}_beta"]) + values[f"{site}_residual"]
            else:
                w = values[site]
            w = whole.subspace.decode(w) if whole.is_strict else w
            found[name] = np.asarray(w, dtype=values[self._site(site, prior)].dtype)
        return found | {k: np.asarray(values[k]) for k in self.model.latents}

    def _priors(self, values: Mapping[str, NDArray]) -> Iterator[tuple[str, tuple[str, ResidualPathway]]]:
        """Parameter name -> (its site, the prior there at these values of the numbers to infer)."""
        latents = {k: np.asarray(values[k], dtype=np.float64) for k in self.model.latents}
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

    def _scales(self, name: str) -> tuple[float, float]:
        """Scale inside and outside of the subspace."""
        prior = self.model.priors[name]
        limit_in, limit_out = fan_in_scales(prior.shape, prior.subspace.rank)
        if prior.isotropic_sigma is not None:
            return (min(prior.isotropic_sigma, limit_out),) * 2
        return min(prior.sigma_a, limit_in), min(prior.sigma_b, limit_out)
