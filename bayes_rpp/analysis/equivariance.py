"""Equivariance errors of functions, and their densities over the members of a posterior."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_rpp.symmetry.equivariance import equivariance_error

__all__ = ["equivariance_error", "log_error_density"]

FLOOR = 1e-16  # errors of exactly zero have no logarithm


def log_error_density(errors: Any) -> tuple[NDArray, NDArray]:
    """Kernel density estimate of log10 of equivariance errors, by ArviZ's estimator with Scott's bandwidth.

    Args:
        errors: any number >= 2 of errors, of any shape, that are not all equal.

    Returns:
        grid: log10 of the error, and the density there.

    Raises:
        ValueError: if there are fewer than two different finite errors, or a negative one.
    """
    from arviz_stats.base import array_stats

    values = np.asarray(errors, dtype=np.float64).ravel()
    if not np.isfinite(values).all() or (values < 0).any():
        raise ValueError("errors holds values that are negative or not finite")
    logs = np.log10(np.maximum(values, FLOOR))
    if len(np.unique(logs)) < 2:
        raise ValueError(
            f"errors holds {len(np.unique(logs))} different value(s); a density needs at least 2 "
            "(members, draws or points)"
        )
    # Three bandwidths of room; the estimator's own correction at the ends draws humps there for few samples.
    room = 3 * 1.06 * logs.std() * len(logs) ** -0.2
    limits = (logs.min() - room, logs.max() + room)
    grid, density, _ = array_stats.kde(logs, bw="scott", bound_correction=False, custom_lims=limits)
    return grid, density
