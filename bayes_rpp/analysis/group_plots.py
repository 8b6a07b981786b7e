"""Pictures of the error over a group: rotation axes on a disk, angles along a line, swaps of columns as a matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_rpp.analysis.group_map import GroupErrorMap
from bayes_rpp.analysis.plots import new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LABEL = "equivariance error  |a − b| / (|a| + |b|)"
BARS = 25  # permutations shown, if they are not all swaps
GAP = 2.5  # between the disks of rotations and of reflections


def plot_group_map(
    errors: GroupErrorMap, *, names: Sequence[str] | None = None, prob: float = 0.9, ax: Axes | None = None
) -> Axes:
    """Which transformations are broken, as one picture.

    Rotations in space: a disk for the axes (z in the middle, the x-y plane at the rim, equal areas), coloured by the
    error, mean over the angles; a second disk for rotations with a reflection. One axis alone, and the plane: error
    against the angle with its interval. Permutations: a matrix of all swaps of two columns, or bars by element. Other
    groups: error against the distance of the element from the identity.

    Args:
        errors: from `group_error_map`.
        names: of the axes that a permutation group permutes, for its labels.
        prob: of the intervals over draws, where the picture has room for them.
        ax: where to draw; None makes a figure.

    Raises:
        TypeError, ValueError: if errors is no map, or names do not fit it.
    """
    if not isinstance(errors, GroupErrorMap):
        raise TypeError(f"errors must be what group_error_map gives, got a {type(errors).__name__}")
    dim = errors.group.dim
    if names is not None and (errors.elements.permutation is None or len(names) != dim):
        raise ValueError(f"names must have {dim} entries, one for each axis of a permutation group, got {len(names)}")
    ax = ax if ax is not None else new_axes()
    elements = errors.elements
    if elements.permutation is not None:
        _permutations(ax, errors, [*names] if names is not None else [str(i + 1) for i in range(dim)], prob)
    elif elements.kind == "rotation" and elements.axis is not None and len(_distinct(elements.axis)) > 1:
        _disks(ax, errors)
    else:
        _against_angle(ax, errors, prob)
    return ax


def _disks(ax: Axes, errors: GroupErrorMap) -> None:
    elements, error = errors.elements, np.median(errors.errors, axis=0)
    assert elements.axis is not None
    sides = [s for s in (False, True) if (elements.reflects == s).any()]
    rows = []
    for k, side in enumerate(sides):
        use = (elements.reflects == side) & ~np.isnan(elements.axis).any(axis=1)
        axes = _distinct(elements.axis[use])
        of = np.linalg.norm(elements.axis[use][:, None] - axes, axis=2).argmin(axis=1)
        means = np.bincount(of, weights=error[use], minlength=len(axes)) / np.bincount(of, minlength=len(axes))
        rows.append((k * GAP + flatten(axes)[:, 0], flatten(axes)[:, 1], means))
        disk(ax, k * GAP, "rotations, then −1" if side else "rotations")
    x, y, values = (np.concatenate(parts) for parts in zip(*rows, strict=True))
    size = 1200 / max(6.0, len(x) / len(sides)) ** 0.5
    points = ax.scatter(x, y, c=values, s=size, cmap="viridis", vmin=0, edgecolors="white", linewidths=0.5, zorder=3)
    ax.set_aspect("equal")
    ax.set_axis_off()
    ax.set_title(f"error by rotation axis, mean over angles: {errors.title}", fontsize=10, pad=14)
    _colorbar(ax, points)


def disk(ax: Axes, offset: float, title: str) -> None:
    turn = np.linspace(0, 2 * np.pi, 200)
    ax.plot(offset + np.cos(turn), np.sin(turn), color="0.7", lw=1)
    for degrees in (30, 60):
        r = np.sqrt(1 - np.cos(np.radians(degrees)))
        ax.plot(offset + r * np.cos(turn), r * np.sin(turn), color="0.88", lw=0.8, zorder=0)
    for text, where in (("x", (1.12, 0.0)), ("y", (0.0, 1.12)), ("z", (0.1, 0.1))):
        ax.text(offset + where[0], where[1], text, ha="center", va="center", color="0.3")
    ax.text(offset, -1.2, title, ha="center", va="center")


def flatten(axes: NDArray) -> NDArray:
    """Lambert's equal-area picture of the half sphere z >= 0, as the unit disk."""
    z = np.clip(axes[:, 2], 0.0, 1.0)
    return axes[:, :2] / np.sqrt(1 + z)[:, None]


def _distinct(axes: NDArray) -> NDArray:
    """Axes that differ, (k, 3); the identity has none."""
    return np.unique(np.round(axes[~np.isnan(axes).any(axis=1)], 4) + 0.0, axis=0)


def _against_angle(ax: Axes, errors: GroupErrorMap, prob: float) -> None:
    elements = errors.elements
    rotations = elements.kind == "rotation"
    position = np.degrees(elements.angle) if rotations else elements.angle
    if rotations and elements.axis is not None:
        position = np.where(position < 0, position + 360, position)
    low, median, high = errors.interval(prob)
    for k, side in enumerate(s for s in (False, True) if (elements.reflects == s).any()):
        order = np.flatnonzero(elements.reflects == side)
        order = order[np.argsort(position[order], kind="stable")]
        label = "with a reflection" if side else "without a reflection"
        ax.fill_between(position[order], low[order], high[order], color=f"C{k}", alpha=0.2, lw=0)
        ax.plot(position[order], median[order], "o-" if rotations else "o", color=f"C{k}", ms=3, lw=1, label=label)
    ax.set_xlabel("angle, degrees" if rotations else "distance from the identity, |g − I| / (2 √d)")
    ax.set_ylabel(LABEL)
    ax.set_ylim(bottom=0)
    ax.set_title(f"error by element: {errors.title}; band: {prob:.0%}", fontsize=10)
    if elements.reflects.any():
        ax.legend(frameon=False)


def _permutations(ax: Axes, errors: GroupErrorMap, names: list[str], prob: float) -> None:
    permutation = errors.elements.permutation
    assert permutation is not None
    d, error = permutation.shape[1], np.median(errors.errors, axis=0)
    moved = permutation != np.arange(d)
    swaps = np.flatnonzero(moved.sum(axis=1) == 2)
    pairs = {tuple(np.flatnonzero(moved[k])): error[k] for k in swaps}
    touched = sorted({int(i) for pair in pairs for i in pair})
    if len(touched) > 2 and len(pairs) == len(touched) * (len(touched) - 1) // 2:
        _swaps(ax, pairs, touched, names)
        ax.set_title(f"error of swapping two columns: {errors.title}", fontsize=10)
        return
    low, _, high = errors.interval(prob)
    order = np.argsort(error)[::-1][:BARS]
    rows = np.arange(len(order))
    ax.barh(rows, error[order], color="C0", alpha=0.6)
    ax.hlines(rows, low[order], high[order], color="0.2", lw=1.5)
    labels = errors.elements.labels
    ax.set_yticks(rows, [labels[k] for k in order])
    ax.invert_yaxis()
    ax.set_xlabel(LABEL)
    ax.set_title(f"error by permutation: {errors.title}; lines: {prob:.0%}", fontsize=10)


def _swaps(ax: Axes, pairs: dict[Any, float], touched: list[int], names: list[str]) -> None:
    matrix = np.full((len(touched), len(touched)), np.nan)
    where = {axis: k for k, axis in enumerate(touched)}
    for (i, j), value in pairs.items():
        matrix[where[int(i)], where[int(j)]] = matrix[where[int(j)], where[int(i)]] = value
    image = ax.imshow(matrix, cmap="viridis", vmin=0)
    middle = np.nanmax(matrix) / 2
    for (i, j), value in np.ndenumerate(matrix):
        if i != j:
            ax.text(
                j,
                i,
                f"{value:.2f}" if middle > 0.05 else f"{value:.1e}",
                ha="center",
                va="center",
                fontsize=8,
                color="k" if value > middle else "w",
            )
    labels = [names[i] for i in touched]
    ax.set_xticks(range(len(touched)), labels)
    ax.set_yticks(range(len(touched)), labels)
    _colorbar(ax, image)


def _colorbar(ax: Axes, mappable: Any) -> None:
    figure: Any = ax.figure
    figure.colorbar(mappable, ax=ax, shrink=0.8, label=LABEL)
