"""The latent sites of a model as numpy arrays: where they start, how large they are, and the weights they stand for.

All arrays may have leading dimensions (members, draws). Both engines start from these values.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_rpp.models.model import Model
from bayes_rpp.priors.parametrization import Parametrization, get_parametrization, scales
from bayes_rpp.priors.pathway import ResidualPathway

Values = dict[str, NDArray]


class Sites:
    """The sites of a model in one parametrization.

    Attributes:
        steps: site -> its scale, the unit of learning rates: the prior's standard deviation, at most the fan-in scale;
            0 of those in `held`, which stay where they are. (members,) where it depends on what is given.
        given: numbers of the model to infer that are known here, and no sites: a number each, or (members,).
    """

    def __init__(
        self,
        model: Model,
        parametrization: str | Parametrization,
        held: Iterable[str] = (),
        given: Mapping[str, Any] | None = None,
    ) -> None:
        self.model, self.parametrization = model, get_parametrization(parametrization)
        self.given = dict(given or {})
        self._free = {k: p for k, p in model.latents.items() if k not in self.given}
        self.steps: dict[str, Any] = dict.fromkeys(self._free, 1.0)
        for name, (site, prior) in self._priors(self._typical):
            self.steps |= self.parametrization.steps(site, prior, model.priors[name].subspace.rows)
        self.steps |= dict.fromkeys(held, 0.0)

    def member(self, number: int) -> Sites:
        """The sites of one member."""
        if not self.given:
            return self
        return Sites(self.model, self.parametrization, (), {k: float(v[number]) for k, v in self.given.items()})

    @property
    def _typical(self) -> dict[str, Any]:
        """All numbers to infer: those given, and typical values of the others."""
        return {k: p.start for k, p in self._free.items()} | self.given

    def initial(self, rng: np.random.Generator, spread: float = 0.0) -> Values:
        """A draw from the prior, no wider than the fan-in scale, so that signals neither vanish nor explode. The same
        weights in all parametrizations.

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
            values |= self.parametrization.split(site, prior, whole.support.encode(w) if whole.is_strict else w)
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
            w = self.parametrization.join(site, prior, values)
            w = whole.support.decode(w) if whole.is_strict else w
            found[name] = np.asarray(w, dtype=values[self._one(site, prior)].dtype)
        return found | {k: np.asarray(values[k]) for k in self._free}

    def with_weights(self, values: Mapping[str, NDArray]) -> Values:
        """These values and the weights that they stand for, by the names of theirs: Pyro asks for either."""
        weights, known = self.weights(values), self.model.priors
        strict = {
            site: known[name].support.encode(weights[name])
            for name, (site, _) in self.model.sites.items()
            if known[name].is_strict
        }
        return {**weights, **strict, **values}

    def _priors(self, values: Mapping[str, NDArray]) -> Iterator[tuple[str, tuple[str, ResidualPathway]]]:
        """Parameter name -> (its site, the prior there at these values of the numbers to infer)."""
        known = {**values, **self.given}
        latents = {k: np.asarray(known[k], dtype=np.float64) for k in self.model.latents}
        for name in self.model.sites:
            yield name, self.model.site(name, latents)

    def _one(self, site: str, prior: ResidualPathway) -> str:
        """One of the latent sites of a weight."""
        return next(reversed(self.parametrization.parts(site, prior)))

    def _lead_of(self, weights: Mapping[str, NDArray]) -> tuple[int, ...]:
        if not self.model.priors:
            return ()
        name, prior = next(iter(self.model.priors.items()))
        a = np.asarray(weights[name])
        return a.shape[: a.ndim - len(prior.shape)]

    def _lead(self, values: Mapping[str, NDArray]) -> tuple[int, ...]:
        for site, prior in self.model.sites.values():
            name, part = next(reversed(self.parametrization.parts(site, prior).items()))
            return values[name].shape[: values[name].ndim - len(part.shape)]
        return ()
