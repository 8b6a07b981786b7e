"""Scalar covariance functions, of which `GaussianProcess` makes those of functions with a symmetry: `rpp.kernels`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayes_rpp._lazy import lazy

if TYPE_CHECKING:
    from bayes_rpp.models.process.export import to_gpytorch
    from bayes_rpp.priors.kernels.scalar import RBF, Kernel, Matern52, Polynomial
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {"models.process.export": "to_gpytorch", "priors.kernels.scalar": "RBF Kernel Matern52 Polynomial"},
    )

__all__ = ["RBF", "Kernel", "Matern52", "Polynomial", "to_gpytorch"]
