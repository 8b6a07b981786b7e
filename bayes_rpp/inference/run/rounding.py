"""What float32, in which engines compute, does to columns that vary little beside their size."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bayes_rpp._numerics import rms, varies
from bayes_rpp._warnings import warn_user
from bayes_rpp.engines.base import get_engine

LOST = 0.01  # rounding, in standard deviations of the column: where it starts to be seen in a fit


def warn_of_rounding(engine: str, **arrays: NDArray) -> None:
    """Warn, by the name of the array (n, columns), of columns whose differences the engine would round away."""
    for name, a in arrays.items():
        columns = rounded_away(a)
        if len(columns) and _computes_in_float32(engine):
            some = ", ".join(map(str, columns[:5])) + (", ..." if len(columns) > 5 else "")
            warn_user(
                f"{name} varies so little beside its size, in column {some}, that float32, in which the engine "
                f"computes, rounds its differences; {name} - {name}.mean(axis=0) would do"
            )


def rounded_away(a: NDArray) -> NDArray[np.intp]:
    """Columns of a (n, columns) that float32 rounds by a hundredth of their standard deviation, or more."""
    if a.dtype != np.float64 or not len(a):
        return np.empty(0, dtype=np.intp)
    with np.errstate(over="ignore"):
        gap = np.abs(a - a.astype(np.float32)).max(axis=0)
    spread = rms(a - a.mean(axis=0), axis=0)
    # Columns with entries beyond float32 are too large, not too even: the start of the fit says so.
    return np.flatnonzero((gap > LOST * spread) & np.isfinite(gap) & varies(a))


def _computes_in_float32(engine: str) -> bool:
    """Where the user has not set torch's default, or JAX, to float64."""
    return "float32" in str(get_engine(engine).array(0.0).dtype)
