"""A model whose plain numbers are sites, so that what is compiled for it serves all values of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bayes_rpp.models.likelihoods import Gaussian, StudentT
from bayes_rpp.models.model import Model
from bayes_rpp.priors.hyper import Prior, Sigmas

ANY = Prior("HalfNormal", {"scale": 1.0})  # its density is never asked for, as the numbers are given


def opened(model: Model) -> tuple[Model, dict[str, float]]:
    """The same with a site for each positive number of its sigmas and of Gaussian or StudentT, and these numbers, to be
    `given`.

    Zeros stay, as they decide which sites there are; so do dicts, and likelihoods of the user's own, which may ask for
    the plain number.
    """
    numbers: dict[str, float] = {}

    def free(value: Any, site: str) -> Any:
        if not isinstance(value, float) or value == 0:
            return value
        numbers[site] = value
        return ANY

    many = len(model.sigmas_a) > 1
    sigmas = [_free(s, f"sigma_a_{k}" if many else "sigma_a", free) for k, s in enumerate(model.sigmas_a)]
    changes: dict[str, Any] = {"sigma_a": sigmas if many else sigmas[0]}
    changes["sigma_b"] = _free(model.sigma_b, "sigma_b", free)
    likelihood = model.likelihood
    if type(likelihood) in (Gaussian, StudentT):
        own = {k: v for k, v in likelihood.config().items() if isinstance(v, float)}
        numbers |= {likelihood.prefix + k: v for k, v in own.items()}
        changes["likelihood"] = replace(likelihood, **dict.fromkeys(own, ANY))  # type: ignore[type-var]
    return model.replace(**changes), numbers


def _free(sigmas: Sigmas, site: str, free: Any) -> Any:
    given: Any = sigmas.given
    return free(float(given), site) if isinstance(given, (int, float)) else given
