"""A picture of a sweep: one number over the two priors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DIMS = ("sigma_b", "sigma_a")
LABELS = {
    "sigma_a": "sigma_a, inside the symmetry's subspace",
    "sigma_b": "sigma_b, of the residual",
    "loss": "training loss",
    "nll": "test NLL of an example",
    "mse": "test MSE",
    "error": "test error",
    "equivariance_error": "equivariance error",
}

LOG = 3.0  # a factor between values from which colours are logarithmic
RANGE = 1e4  # a factor that colours tell apart: errors of strictly equivariant networks are rounding alone


def plot_sweep(found: xr.Dataset, value: str = "mse", ax: Axes | None = None, *, best: str = "lowest") -> Axes:
    """Heat map of a sweep over the two priors, sigma_a along x and sigma_b along y, in steps of the grid (paper,
    Figure 3 right). Each cell shows the median over the seeds that have a result, the best one framed; cells without
    any are grey.

    Args:
        found: from `sweep`, of both sigmas.
        value: which of its variables.
        ax: where to draw; None makes a figure.
        best: which cell is framed, "lowest" or "highest".

    Returns:
        The axes. Colours are logarithmic where the values span more than a factor of three, and at most four decades.

    Raises:
        TypeError, ValueError: if found is no sweep, has no such variable, or nothing but NaN in it.
    """
    table = _table(found, value)
    if best not in ("lowest", "highest"):
        raise ValueError(f"best must be 'lowest' or 'highest', got {best!r}")
    ax = ax if ax is not None else _axes(table.shape)
    norm = _norm(table)
    shown = np.maximum(table, norm.vmin)  # zeros have no logarithm
    image = ax.imshow(shown, origin="lower", aspect="auto", cmap="viridis", norm=norm)
    for i, j in np.ndindex(table.shape):
        if np.isfinite(table[i, j]):
            dark = float(norm(shown[i, j])) < 0.6
            ax.text(j, i, f"{table[i, j]:.3g}", ha="center", va="center", color="white" if dark else "black")
    i, j = np.unravel_index((np.nanargmin if best == "lowest" else np.nanargmax)(table), table.shape)
    _frame(
        ax, int(i), int(j), f"{best}: sigma_a={found['sigma_a'].values[j]:g}, sigma_b={found['sigma_b'].values[i]:g}"
    )
    ax.set_facecolor("0.8")
    for axis, name in ((ax.yaxis, "sigma_b"), (ax.xaxis, "sigma_a")):
        axis.set_ticks(range(found.sizes[name]), [f"{v:g}" for v in found[name].values])
        axis.set_label_text(LABELS[name])
        axis.labelpad = 8
    ax.figure.colorbar(image, ax=ax, label=_label(found, value))
    return ax


def _table(found: Any, value: str) -> NDArray:
    """(sigma_b, sigma_a)."""
    if not isinstance(found, xr.Dataset):
        raise TypeError(f"found must be what sweep gives, got a {type(found).__name__}")
    missing = [d for d in DIMS if d not in found.dims]
    if missing:
        raise ValueError(f"found must have {', '.join(missing)}, got none; a sweep of numbers for both would do")
    if value not in found:
        raise ValueError(f"value must be one of {', '.join(map(repr, found.data_vars))}, got {value!r}")
    grid = found[value]
    others = [d for d in grid.dims if d not in DIMS]
    table = grid.median(others).transpose(*DIMS).values
    if not np.isfinite(table).any():
        raise ValueError(f"found must have a result for {value!r} in some cell, got none")
    return table


def _norm(table: NDArray) -> Any:
    from matplotlib.colors import LogNorm, Normalize

    shown = table[np.isfinite(table)]
    low, high = shown.min(), shown.max()
    if low >= 0 and high > LOG * low:
        return LogNorm(max(low, high / RANGE), high)
    return Normalize(low, high if high > low else low + 1)


def _frame(ax: Axes, row: int, column: int, label: str) -> None:
    from matplotlib.patches import Rectangle

    ax.add_patch(Rectangle((column - 0.47, row - 0.47), 0.94, 0.94, fill=False, ec="red", lw=2.5, label=label))
    ax.set_title(label, fontsize=10, color="red")


def _label(found: xr.Dataset, value: str) -> str:
    seeds = found[value].sizes.get("seed", 1)
    return LABELS.get(value, value) + (f"\nmedian of {seeds} seeds" if seeds > 1 else "")


def _axes(shape: tuple[int, ...]) -> Axes:
    import matplotlib.pyplot as plt

    size = (2.6 + 0.9 * shape[1], 1.6 + 0.6 * shape[0])
    return plt.subplots(figsize=(max(5.0, size[0]), max(3.4, size[1])), layout="constrained")[1]
