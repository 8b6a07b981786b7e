"""A picture of a comparison: each model's log evidence and LOO, and how far the soft models break each symmetry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_rpp.analysis.candidates import KINDS
from bayes_rpp.analysis.comparison import Comparison

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORS = dict(zip(KINDS, ("C0", "C2", "C1", "C3"), strict=True))
FLOOR = 0.3  # nats and below look alike


def plot_comparison(found: Comparison, *, axes: Any = None) -> list[Axes]:
    """Three panels: how much log evidence each model has less than the best, its LOO with two standard errors of the
    difference, and the equivariance error of each soft model with its 90 % interval, not of mixed ones. The
    answer's row is bold.

    Args:
        found: from `compare_symmetries`.
        axes: three of matplotlib's, to draw on; None makes a figure.

    Raises:
        TypeError, ValueError: if found is no comparison, or axes are not three.
    """
    if not isinstance(found, Comparison):
        raise TypeError(f"found must be what compare_symmetries gives, got a {type(found).__name__}")
    if axes is None:
        import matplotlib.pyplot as plt

        height = 1.6 + 0.45 * len(found.candidates)
        axes = plt.subplots(1, 3, figsize=(12, height), sharey=True, layout="constrained")[1]
    axes = list(np.ravel(axes))
    if len(axes) != 3:
        raise ValueError(f"axes must be three, got {len(axes)}")
    names = list(found.candidates)
    for (name, kind), row in found.table.iterrows():
        y = names.index(name) + 0.18 * (KINDS.index(kind) - 1.5)
        style = {"color": COLORS[kind], "ms": 6}
        if np.isfinite(row["d_evidence"]):
            axes[0].plot(max(-row["d_evidence"], FLOOR), y, "o", **style)
        axes[1].errorbar(row["d_elpd"], y, xerr=2 * row["d_se"], fmt="o", **style)
        if kind == "soft" and not found.candidates[name].is_mixed:
            table = found.degree(name).loc[("function", "equivariance error")]
            axes[2].plot([table["low"], table["high"]], [y, y], color=COLORS[kind], lw=2)
            axes[2].plot(table["median"], y, "o", **style)
    for kind in [k for k in KINDS if k in found.table.index.get_level_values("model")]:
        axes[0].plot([], [], "o", color=COLORS[kind], label=kind)
    axes[0].set_xscale("log")
    axes[0].invert_xaxis()
    axes[0].set_xlabel("log evidence below the best (nats)")
    axes[0].legend(frameon=False, loc="best")
    axes[1].set_xlabel("LOO below the best, ± 2 SE")
    if found.table["d_elpd"].min() < -50:
        axes[1].set_xscale("symlog", linthresh=10)
    axes[2].set_xlabel("equivariance error of the soft model, 90 %")
    axes[2].set_xlim(left=0)
    for ax in axes:
        ax.set_yticks(range(len(names)), names)
        ax.set_ylim(len(names) - 0.5, -0.5)
        ax.grid(axis="x", color="0.9")
    for label, name in zip(axes[0].get_yticklabels(), names, strict=True):
        label.set_fontweight("bold" if name == found.best else "normal")
    return axes
