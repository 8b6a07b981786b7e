"""Models as text and numbers: what it takes to build the same model again in another process, and to tell two apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayes_rpp.models.likelihood import Likelihood
from bayes_rpp.models.likelihoods import likelihood_from_config
from bayes_rpp.models.model import Model
from bayes_rpp.networks.network import Network
from bayes_rpp.networks.storage import Custom, network_from_spec, network_spec
from bayes_rpp.priors.hyper import Sigmas


def model_spec(model: Model) -> dict[str, Any]:
    """JSON-able description of a model."""
    return {"net": network_spec(model.net)} | settings_spec(model)


def settings_spec(model: Model) -> dict[str, Any]:
    """That of all but its network."""
    return {
        "sigma_a": [s.config() for s in model.sigmas_a],
        "sigma_b": model.sigma_b.config(),
        "scale": model.scale,
        "parametrisation": model.parametrization,
        "likelihood": type(model.likelihood).__name__,
        "likelihood_config": model.likelihood.config(),
    }


def model_from_spec(
    spec: Mapping[str, Any],
    custom: Custom | None = None,
    net: Network | None = None,
    weights: Mapping[str, Any] | None = None,
    likelihood: Likelihood | None = None,
) -> Model:
    """Inverse of `model_spec`; arguments as in `network_from_spec`, and the likelihood, where that is not ours."""
    sigmas = spec["sigma_a"] if isinstance(spec["sigma_a"], list) else [spec["sigma_a"]]  # one only, before pathways
    a = [Sigmas.from_config(s) for s in sigmas]
    return Model(
        network_from_spec(spec["net"], custom, net, weights),
        sigma_a=a if len(a) > 1 else a[0],
        sigma_b=Sigmas.from_config(spec["sigma_b"]),
        likelihood=likelihood_from_config(spec["likelihood"], spec["likelihood_config"], likelihood),
        scale=spec["scale"],
        parametrization=spec["parametrisation"],
    )
