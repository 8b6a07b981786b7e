"""How symmetric, and which symmetry: `rpp.analysis`; `compare_symmetries` is a name of bayes_rpp itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayes_rpp._lazy import lazy

if TYPE_CHECKING:
    from bayes_rpp.analysis.comparison import Comparison
    from bayes_rpp.analysis.degree import degree_of_symmetry
    from bayes_rpp.analysis.discovery.discover import Discovery
    from bayes_rpp.analysis.discovery.discrete import DiscreteSymmetries, discrete_symmetries
    from bayes_rpp.analysis.discovery.discrete_extensions import DiscreteExtensions, discrete_extensions
    from bayes_rpp.analysis.equivariance import (
        Energy,
        energy_by_layer,
        energy_by_pathway,
        equivariance_interval,
        log_error_density,
    )
    from bayes_rpp.analysis.group_map import GroupErrorMap, group_error_map
    from bayes_rpp.symmetry.discovery.sampled import FunctionSymmetries, symmetries_of
    from bayes_rpp.symmetry.discovery.spectrum import Spectrum
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "analysis.comparison": "Comparison",
            "analysis.degree": "degree_of_symmetry",
            "analysis.discovery.discover": "Discovery",
            "analysis.discovery.discrete": "DiscreteSymmetries discrete_symmetries",
            "analysis.discovery.discrete_extensions": "DiscreteExtensions discrete_extensions",
            "analysis.equivariance": "Energy energy_by_layer energy_by_pathway equivariance_interval log_error_density",
            "analysis.group_map": "GroupErrorMap group_error_map",
            "symmetry.discovery.sampled": "FunctionSymmetries symmetries_of",
            "symmetry.discovery.spectrum": "Spectrum",
        },
    )

__all__ = [
    "Comparison", "DiscreteExtensions", "DiscreteSymmetries", "Discovery", "Energy", "FunctionSymmetries",
    "GroupErrorMap", "Spectrum", "degree_of_symmetry", "discrete_extensions", "discrete_symmetries", "energy_by_layer",
    "energy_by_pathway", "equivariance_interval", "group_error_map", "log_error_density", "symmetries_of",
]  # fmt: skip
