"""Pictures of posteriors, sweeps, comparisons and symmetries: `rpp.plots`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayes_rpp._lazy import lazy

if TYPE_CHECKING:
    from bayes_rpp.analysis.compare_plots import plot_comparison
    from bayes_rpp.analysis.discovery.plots import plot_symmetries
    from bayes_rpp.analysis.group_plots import plot_group_map
    from bayes_rpp.analysis.plots import plot_asymmetry, plot_equivariance_kde, plot_equivariance_posterior
    from bayes_rpp.analysis.sweep_plots import plot_sweep
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "analysis.compare_plots": "plot_comparison",
            "analysis.discovery.plots": "plot_symmetries",
            "analysis.group_plots": "plot_group_map",
            "analysis.plots": "plot_asymmetry plot_equivariance_kde plot_equivariance_posterior",
            "analysis.sweep_plots": "plot_sweep",
        },
    )

__all__ = [
    "plot_asymmetry", "plot_comparison", "plot_equivariance_kde", "plot_equivariance_posterior", "plot_group_map",
    "plot_sweep", "plot_symmetries",
]  # fmt: skip
