"""What SoftModules of both libraries have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_rpp.models.likelihood import Likelihood
from bayes_rpp.models.model import Model
from bayes_rpp.networks.soften.module import Softened

TOLERANCE = 1e-3  # relative


class Listed:
    """The layers of `net`, which says what became of each."""

    if TYPE_CHECKING:

        @property
        def net(self) -> Any: ...

    @property
    def layers(self) -> tuple[Softened, ...]:
        found: tuple[Softened, ...] = self.net.layers
        return found

    @property
    def table(self) -> str:
        """The listing of all layers, as text."""
        found: str = self.net.table
        return found


def learned_names(model: Model) -> dict[str, str]:
    """Site of each sigma that is learned -> name of the parameter that is its logarithm."""
    sites = (site for s in (*model.sigmas_a, model.sigma_b) for site in s.latents)
    return {site: f"log_{site.replace('.', '_')}" for site in sites}


def known_model(model: Model, likelihood: Likelihood | None) -> Model:
    """The model with a likelihood that has nothing to infer; raises ValueError."""
    model = model if likelihood is None else model.replace(likelihood=likelihood)
    if model.likelihood.latents:
        given = ", ".join(model.likelihood.latents)
        raise ValueError(f"likelihood must have known numbers, got {given} to infer; Gaussian(0.1) would do")
    return model


def as_first(w: NDArray, b: NDArray, means: list[NDArray], roots: list[NDArray]) -> tuple[NDArray, NDArray]:
    """Scale and shift with which the first of two states' running statistics do what the second's do:
    (x - m) / s * w + b is (x - m_1) / s_1 * w' + b' with w' = w s_1 / s and b' = b + (m_1 - m) w / s."""
    return w * roots[0] / roots[1], b + (means[0] - means[1]) * w / roots[1]


def check_same(wanted: NDArray, found: NDArray, name: str) -> None:
    """Raise ValueError unless a network has the outputs (n, d) that the module has in a state."""
    change = float(np.abs(found - wanted).max() / max(np.abs(wanted).max(), 1e-30))
    if not change <= TOLERANCE:
        raise ValueError(
            f"{name} must be a state whose outputs the network has, got outputs that differ by {change:.2g}; a module "
            "that depends on its parameters and running statistics alone would do"
        )
