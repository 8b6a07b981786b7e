"""A picture of symmetries that were found: how strongly each direction is violated, and the axis of a rotation."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayes_rpp._arrays import whole_number
from bayes_rpp.analysis.discovery.discover import Discovery
from bayes_rpp.analysis.group_plots import disk, flatten
from bayes_rpp.analysis.plots import new_axes
from bayes_rpp.symmetry.discovery.parts import cone as cone_words
from bayes_rpp.symmetry.discovery.sampled import FunctionSymmetries

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KEPT, VIOLATED = "C0", "C1"
FLOOR = 1e-3  # strengths below look alike
WIDTH = 70  # letters in a line of the title
INSET = (0.68, 0.05, 0.3, 0.5)  # below what is violated, whose strength is near 1


def plot_symmetries(
    found: Discovery | FunctionSymmetries, *, directions: int | None = 30, ax: Axes | None = None
) -> Axes:
    """The spectrum: the strength of violation of each direction with its 90 % interval, from 0.001 up.

    Kept directions, violated ones, and hollow those of which the data say nothing; a line at 1, no symmetry at all. The
    title names what was kept. If that is one rotation of space, a disk has its axis (z in the middle, the x-y plane at
    the rim, equal areas) and the cone that holds 90 % of its posterior, where that is known.

    Args:
        found: from `discover_symmetry`, `analysis.symmetries_of` or `Posterior.symmetries`.
        directions: how many are shown, the kept ones and then the least violated. None: all.
        ax: where to draw; None makes a figure.

    Raises:
        TypeError, ValueError: if found is neither, or directions is no whole number >= 1.
    """
    if not isinstance(found, Discovery | FunctionSymmetries):
        raise TypeError(f"found must be what discover_symmetry or symmetries_of gives, got a {type(found).__name__}")
    shown = len(found.spectrum) if directions is None else whole_number(directions, "directions", 1)
    ax = ax if ax is not None else new_axes()
    _spectrum(ax, found, min(shown, len(found.spectrum)))
    names = "; ".join(found.names) or "no continuous symmetry"
    ax.set_title("\n".join(textwrap.wrap(names, WIDTH)), fontsize=10, loc="left")
    if (axis := _axis(found)) is not None:
        _draw_axis(ax.inset_axes(INSET), axis, found.parts[0].degrees)
    return ax


def _spectrum(ax: Axes, found: Discovery | FunctionSymmetries, shown: int) -> None:
    from matplotlib.ticker import MaxNLocator

    s = found.spectrum
    low, middle, high = (np.maximum(v[:shown], FLOOR) for v in (s.lower, s.strength, s.upper))
    number = np.arange(1, shown + 1)
    kept = number <= found.dimension
    for use, color, label in (
        (kept, KEPT, "kept"),
        (~kept & s.is_known[:shown], VIOLATED, "violated"),
        (~kept & ~s.is_known[:shown], "0.6", "unknown"),
    ):
        if use.any():
            ax.vlines(number[use], low[use], high[use], color=color, lw=2)
            face = "white" if label == "unknown" else color
            ax.plot(number[use], middle[use], "o", color=color, markerfacecolor=face, label=label, zorder=3)
    ax.axhline(1, color="0.3", lw=1, zorder=0)
    ax.text(0.01, 1.04, "no symmetry at all", color="0.3", fontsize=8, transform=ax.get_yaxis_transform(), va="bottom")
    if isinstance(found, FunctionSymmetries):
        ax.axhline(found.tolerance, color="0.6", lw=1, ls=":", zorder=0)
    ax.set_yscale("log")
    ax.set_ylim(min(0.02, float(low.min(initial=1.0)) / 2), max(3.0, float(high.max(initial=1.0)) * 1.5))
    ax.set_xlim(0.4, shown + 0.6)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    more = f" (first {shown} of {len(s)})" if shown < len(s) else ""
    ax.set_xlabel(f"direction{more}")
    ax.set_ylabel("strength of violation, 90 %")
    ax.grid(axis="y", color="0.92", zorder=-1)
    ax.legend(frameon=False, fontsize=8, loc="lower left", ncols=3, bbox_to_anchor=(0.0, 0.0))


def _axis(found: Discovery | FunctionSymmetries) -> NDArray | None:
    """The (3,) unit axis of the one generator that was found, if it is a rotation of R^3, z >= 0."""
    if found.dimension != 1 or found.group.dim != 3:
        return None
    if sum(rep(found.group).size for rep in (found.rep_in, found.rep_out)) == 3:
        return None  # columns as they are: the matrices act on those of x and of y together
    a = found.generators[0]
    if np.abs(a + a.T).max() > 1e-6 * np.abs(a).max():
        return None
    axis = np.array([a[2, 1], a[0, 2], a[1, 0]]) / np.linalg.norm([a[2, 1], a[0, 2], a[1, 0]])
    return axis if axis[2] >= 0 else -axis


def _draw_axis(ax: Axes, axis: NDArray, cone: float | None) -> None:
    disk(ax, 0.0, "axis" + cone_words(cone).replace(" degrees", "°"))
    if cone:
        across = np.linalg.svd(axis[None])[2][1:]
        turn = np.linspace(0, 2 * np.pi, 200)[:, None]
        around = np.cos(turn) * across[0] + np.sin(turn) * across[1]
        rim = np.cos(np.radians(cone)) * axis + np.sin(np.radians(cone)) * around
        for side in (1.0, -1.0):  # what lies below comes out at the other side, as an axis has no sign
            above = np.where(side * rim[:, 2:] >= 0, side * rim, np.nan)
            ax.plot(*flatten(above).T, color=KEPT, lw=1.2)
    ax.plot(*flatten(axis[None]).T, "o", color=KEPT, ms=3)
    ax.set_aspect("equal")
    ax.set_axis_off()
