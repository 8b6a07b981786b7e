"""Models as text and numbers: what it takes to build the same model again in another process, and to tell two apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayes_rpp.models.likelihood import Likelihood
from bayes_rpp.models.likelihoods import likelihood_from_config
from bayes_rpp.models.model import Model
from bayes_rpp.models.process.gaussian_process import GaussianProcess
from bayes_rpp.networks.network import Network
from bayes_rpp.networks.storage import (
    Custom,
    group_from_spec,
    group_spec,
    network_from_spec,
    network_spec,
    rep_from_spec,
    rep_spec,
)
from bayes_rpp.priors.hyper import Prior, Sigmas
from bayes_rpp.priors.kernels.scalar import kernel_from_config


def model_spec(model: Model) -> dict[str, Any]:
    """JSON-able description of a model."""
    return {"net": network_spec(model.net)} | settings_spec(model)


def process_spec(gp: GaussianProcess) -> dict[str, Any]:
    """That of a GaussianProcess."""
    found = gp.config()
    likelihood = found.pop("likelihood")
    spec: dict[str, Any] = {name: rep_spec(found.pop(name)) for name in ("rep_in", "rep_out")}
    spec["group"] = [group_spec(g) for g in found.pop("group")]
    kernel = found.pop("kernel")
    spec["kernel"] = None if kernel is None else kernel.config()
    if likelihood is not None:
        spec |= {"likelihood": type(likelihood).__name__, "likelihood_config": likelihood.config()}
    return spec | {"settings": {k: _written(v) for k, v in found.items()}}


def process_from_spec(
    spec: Mapping[str, Any], custom: Custom | None = None, likelihood: Likelihood | None = None
) -> GaussianProcess:
    """Inverse of `process_spec`."""
    if "likelihood" in spec:
        likelihood = likelihood_from_config(spec["likelihood"], spec["likelihood_config"], likelihood)
    groups = [group_from_spec(g) for g in spec["group"]]
    settings = {k: _read(v) for k, v in spec["settings"].items()}
    return GaussianProcess(
        rep_from_spec(spec["rep_in"], custom),
        rep_from_spec(spec["rep_out"], custom),
        groups if len(groups) > 1 else groups[0],
        kernel=None if spec["kernel"] is None else kernel_from_config(spec["kernel"]),
        likelihood=likelihood,
        **settings,
    )


def _written(value: Any) -> Any:
    """JSON-able: numbers, distributions, and lists and dicts of these."""
    if isinstance(value, Mapping):
        return {"by_kind": {k: _written(v) for k, v in value.items()}}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_written(v) for v in value]
    if isinstance(value, Prior) or hasattr(value, "log_prob"):
        return {"prior": Prior.of(value, "prior").config()}
    return value.item() if isinstance(value, np.generic) else value


def _read(value: Any) -> Any:
    if isinstance(value, list):
        return [_read(v) for v in value]
    if not isinstance(value, Mapping):
        return value
    if "by_kind" in value:
        return {k: _read(v) for k, v in value["by_kind"].items()}
    ((family, arguments),) = value["prior"].items()
    return Prior(family, arguments)


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
