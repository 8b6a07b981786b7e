"""What priors are made of: `rpp.priors`; `ResidualPathway`, `Prior` and `PerLayer` are in bayes_rpp itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayes_rpp._lazy import lazy

if TYPE_CHECKING:
    from bayes_rpp.priors.hyper import Sigmas
    from bayes_rpp.priors.mixed import MixedPathway
    from bayes_rpp.priors.parametrization import Parametrization, Pathways, Weights, Whitened
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "priors.hyper": "Sigmas",
            "priors.mixed": "MixedPathway",
            "priors.parametrization": "Parametrization Pathways Weights Whitened",
        },
    )

__all__ = ["MixedPathway", "Parametrization", "Pathways", "Sigmas", "Weights", "Whitened"]
