"""The contract of networks, and what is made of them: `rpp.networks`; EMLP and others are in bayes_rpp itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayes_rpp._lazy import lazy

if TYPE_CHECKING:
    from bayes_rpp.networks.allocation import uniform_rep
    from bayes_rpp.networks.export.export import to_flax, to_torch
    from bayes_rpp.networks.network import Capabilities, Network, Parameter
    from bayes_rpp.networks.polynomials import Capacity, capacity
    from bayes_rpp.networks.restricted import LinearPath, restrict
    from bayes_rpp.networks.soften.module import ModuleNetwork
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "networks.allocation": "uniform_rep",
            "networks.export.export": "to_flax to_torch",
            "networks.network": "Capabilities Network Parameter",
            "networks.polynomials": "Capacity capacity",
            "networks.restricted": "LinearPath restrict",
            "networks.soften.module": "ModuleNetwork",
        },
    )

__all__ = [
    "Capabilities", "Capacity", "LinearPath", "ModuleNetwork", "Network", "Parameter", "capacity", "restrict",
    "to_flax", "to_torch", "uniform_rep",
]  # fmt: skip
