"""The latent sites of a model as numpy arrays: where they start, how large they are, and the weights they stand for.

All arrays may have leading dimensions (members, draws). Both engines start from these values.
"""

from __future__ import annotations

from collections.abc import Mapping

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
        self.steps: dict[str, float] = dict.fromkeys(model.likelihood.latents, 1.0)
        for name, (site, prior) in model.sites.items():
            inside, outside = self._scales(name)
            if parametrisation == "whitened":
                self.steps[f"{site}_base"] = inside / prior.sigma_inside
            elif self._is_split(prior):
                self.steps[f"{site}_beta"], self.steps[f"{site}_residual"] = inside, outside
            else:
                share = prior.subspace.rank / prior.subspace.size
                self.steps[site] = float((inside**2 * share + outside**2 * (1 - share)) ** 0.5)

    def initial(self, rng: np.random.Generator) -> Values:
        """A draw from the prior, no wider than the fan-in scale, so that signals neither vanish nor explode. The same
        weights in all parametrisations."""
        weights = {}
        for name, prior in self.model.priors.items():
            inside, outside = self._scales(name)
            residual = rng.normal(size=prior.shape) * (0.0 if prior.is_strict else outside)
            if prior.isotropic_sigma is None:
                residual += prior.subspace.decode(rng.normal(size=prior.subspace.rank) * inside)
            weights[name] = residual
        values = self.values(weights)
        return values | {k: np.asarray(p.start) for k, p in self.model.likelihood.latents.items()}

    def values(self, weights: Mapping[str, NDArray]) -> Values:
        """The sites that give these weights; where many do, the most probable."""
        values: Values = {k: np.asarray(weights[k]) for k in self.model.likelihood.latents if k in weights}
        for name, (site, prior) in self.model.sites.items():
            w, whole = weights[name], self.model.priors[name]
            if prior is not whole:
                w = whole.subspace.encode(w)
            if self.parametrisation == "whitened":
                values[f"{site}_base"] = prior.whiten(w)
            elif self._is_split(prior):
                values[f"{site}_beta"], values[f"{site}_residual"] = prior.split(w)
            else:
                values[site] = w
        return values

    def weights(self, values: Mapping[str, NDArray]) -> Values:
        """Weights W by parameter name, and the likelihood's numbers, from the sites' values."""
        found: Values = {}
        for name, whole in self.model.priors.items():
            if name not in self.model.sites:
                found[name] = np.zeros(self._lead(values) + whole.shape, dtype=np.float32)
                continue
            site, prior = self.model.sites[name]
            if self.parametrisation == "whitened":
                w = prior.color(values[f"{site}_base"])
            elif self._is_split(prior):
                w = prior.subspace.decode(values[f"{site}_beta"]) + values[f"{site}_residual"]
            else:
                w = values[site]
            found[name] = np.asarray(w if prior is whole else whole.subspace.decode(w))
        return found | {k: np.asarray(values[k]) for k in self.model.likelihood.latents}

    def _lead(self, values: Mapping[str, NDArray]) -> tuple[int, ...]:
        for _name, (site, prior) in self.model.sites.items():
            for suffix in ("_base", "_residual", ""):
                if site + suffix in values:
                    a = values[site + suffix]
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
