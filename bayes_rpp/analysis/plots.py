"""Pictures, on axes of the user's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_rpp._types import ArrayLike
from bayes_rpp.analysis.equivariance import FLOOR, count_different, equal_tailed, log_error_density
from bayes_rpp.inference.posterior.posterior import Posterior
from bayes_rpp.symmetry.groups import Group

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PEAK = 0.9  # height of a curve, in rows


def plot_equivariance_kde(
    posteriors: Mapping[str, Posterior],
    *,
    epochs: Sequence[int] | None = None,
    ax: Axes | None = None,
    record: str = "equivariance_error",
) -> Axes:
    """Density of log10 equivariance error over the members, a row for each epoch of training (paper, Figure 3).

    Each curve is a kernel density estimate, drawn to its own peak height, as members that agree have tall narrow ones.

    Args:
        posteriors: label -> posterior of a DeepEnsemble fitted with an EquivarianceTracker; one hue for each.
        epochs: which epochs; they must have been recorded. None: up to five recorded ones.
        ax: where to draw; None makes a figure.
        record: name of the tracker.

    Returns:
        The axes, with the error on a logarithmic axis.

    Raises:
        TypeError, ValueError: if a posterior has no such record, fewer than two members, or not those epochs.
    """
    _check_posteriors(posteriors)
    chosen = {label: _recorded(label, post, record, epochs) for label, post in posteriors.items()}
    ax = ax if ax is not None else new_axes()
    rows = sorted({epoch for columns in chosen.values() for epoch in columns})
    for k, (label, columns) in enumerate(chosen.items()):
        for epoch, errors in columns.items():
            shown = label if epoch == next(iter(columns)) else f"_{label}, epoch {epoch}"
            _draw(ax, errors, base=-rows.index(epoch), color=f"C{k}", label=shown)
    log_axis(ax)
    ax.set_yticks([-i for i in range(len(rows))], [str(epoch) for epoch in rows])
    ax.set_ylim(-len(rows) + 0.85, 1.05)
    ax.set_xlabel("equivariance error  |a − b| / (|a| + |b|)")
    ax.set_ylabel("epoch")
    ax.legend(title="density over members", loc="best", frameon=False)
    return ax


def plot_equivariance_posterior(
    posteriors: Mapping[str, Posterior],
    x: ArrayLike | Mapping[str, ArrayLike],
    *,
    group: Group | None = None,
    prob: float = 0.9,
    seed: int = 0,
    ax: Axes | None = None,
) -> Axes:
    """The posterior of the equivariance error (Eq. 2, mean over points): its density over draws, median and interval.

    Args:
        posteriors: label -> posterior; a row for each.
        x: (n, d_in) points to measure at, the same for all; or a dict label -> points.
        group, seed: as in `Posterior.equivariance_error`.
        prob: of the credible interval, drawn as a bar under the density.
        ax: where to draw; None makes a figure.

    Returns:
        The axes, with the error on a logarithmic axis.

    Raises:
        TypeError, ValueError: if there are no posteriors, or x does not fit them.
    """
    _check_posteriors(posteriors)
    ax = ax if ax is not None else new_axes()
    for row, (label, post) in enumerate(posteriors.items()):
        points = x[label] if isinstance(x, Mapping) else x
        errors = post.equivariance_error(points, group=group, seed=seed)
        _density_row(ax, errors.mean(axis=-1).ravel(), -row, f"C{row}", prob)
    return _finish_rows(ax, list(posteriors), "equivariance error  |a − b| / (|a| + |b|)", prob)


def plot_asymmetry(posteriors: Mapping[str, Posterior], *, prob: float = 0.9, ax: Axes | None = None) -> Axes:
    """How symmetric the data are: the posterior of sigma_b / sigma_a, a row for each posterior and layer.

    Layers that share their sigmas are drawn as one row.

    Args:
        posteriors: label -> posterior of a model with inferred sigmas.
        prob: of the credible interval, drawn as a bar under the density.
        ax: where to draw; None makes a figure.

    Raises:
        TypeError, ValueError: if there are no posteriors, or one whose ratio does not vary.
    """
    _check_posteriors(posteriors)
    rows = []
    for k, (label, post) in enumerate(posteriors.items()):
        ratios = post.asymmetry()
        if not ratios or any(np.ptp(r) == 0 for r in ratios.values()):
            raise ValueError(
                f"posteriors[{label!r}] must have inferred sigmas and at least 2 draws, got fixed ones; Model(..., "
                "sigma_b=HalfNormal(0.1)) infers them"
            )
        first = next(iter(ratios.values()))
        shared = all(np.array_equal(first, r) for r in ratios.values())
        named = {label: first} if shared else {f"{label}, {layer}": r for layer, r in ratios.items()}
        rows += [(name, r, f"C{k}") for name, r in named.items()]
    nested = any(len(post.model.sigmas_a) > 1 for post in posteriors.values())
    ax = ax if ax is not None else new_axes()
    for row, (_, ratio, color) in enumerate(rows):
        _density_row(ax, ratio.ravel(), -row, color, prob)
    label = "asymmetry  beyond / within the first pathway" if nested else "asymmetry  sigma_b / sigma_a"
    return _finish_rows(ax, [name for name, *_ in rows], label, prob)


def _density_row(ax: Axes, values: NDArray, base: int, color: str, prob: float) -> None:
    """A density with its median and credible interval under it."""
    _draw(ax, values, base, color, "_density")
    low, median, high = np.maximum(equal_tailed(values, prob), FLOOR)
    ax.plot([low, high], [base, base], color=color, lw=4, solid_capstyle="butt")
    ax.plot([median], [base], "o", color="white", mec=color, ms=6)


def _finish_rows(ax: Axes, names: Sequence[str], label: str, prob: float) -> Axes:
    log_axis(ax)
    ax.set_yticks([-i for i in range(len(names))], names)
    ax.set_ylim(-len(names) + 0.7, 1.05)
    ax.set_xlabel(f"{label}\nbars: {prob:.0%} intervals, circles: medians")
    return ax


def log_axis(ax: Axes) -> None:
    """Make x logarithmic, with plain numbers where it spans less than a decade: the default's labels overlap there."""
    from matplotlib.ticker import MaxNLocator, NullLocator

    ax.set_xscale("log")
    low, high = ax.get_xlim()
    if high < 10 * low:
        ax.xaxis.set_major_locator(MaxNLocator(nbins=5))
        ax.xaxis.set_major_formatter("{x:.3g}")
        ax.xaxis.set_minor_locator(NullLocator())


def new_axes() -> Axes:
    """Those of a figure of their own, of the size of all plots over errors."""
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(7.2, 4.2), layout="constrained")[1]


def _check_posteriors(posteriors: Any) -> None:
    if not isinstance(posteriors, Mapping) or not posteriors:
        raise TypeError(f"posteriors must be a dict of label -> Posterior with at least one entry, got {posteriors!r}")
    for label, post in posteriors.items():
        if not isinstance(post, Posterior):
            raise TypeError(f"posteriors[{label!r}] must be a Posterior, got a {type(post).__name__}")


def _draw(ax: Axes, errors: NDArray, base: int, color: str, label: str) -> None:
    """One density, from its row's base line up."""
    if count_different(errors) < 2:
        ax.plot([max(float(errors[0]), FLOOR)] * 2, [base, base + PEAK], color=color, lw=1.5, label=label)
        return
    grid, density = log_error_density(errors)
    height = base + PEAK * density / density.max()
    ax.plot(10**grid, height, color=color, lw=1.5, label=label)
    ax.fill_between(10**grid, base, height, color=color, alpha=0.3, lw=0)


def _recorded(label: str, post: Any, record: str, epochs: Sequence[int] | None) -> dict[int, NDArray]:
    """Epoch -> errors of all members."""
    if record not in post.training:
        kept = ", ".join(map(repr, post.training)) or "nothing"
        raise ValueError(
            f"posteriors[{label!r}] must have the record {record!r}, got {kept}; fit with "
            f"callbacks=[EquivarianceTracker(group, name={record!r})] would do"
        )
    values = post.training[record]
    if len(values) < 2:
        raise ValueError(
            f"posteriors[{label!r}] must have at least 2 members for a density over them, got {len(values)}; "
            "DeepEnsemble(members=10) would do"
        )
    if not np.isfinite(values).all(axis=0).any():
        raise ValueError(f"posteriors[{label!r}] must have epochs in its record {record!r}, got none")
    known = [int(e) + 1 for e in np.flatnonzero(np.isfinite(values).all(axis=0))]
    if epochs is None:
        epochs = [known[i] for i in np.unique(np.linspace(0, len(known) - 1, 5).round().astype(int))]
    if not len(epochs):
        raise ValueError(f"epochs must have one at least, got none; {known} would do")
    unknown = [e for e in epochs if e not in known]
    if unknown:
        raise ValueError(f"epochs must be recorded in posteriors[{label!r}], got {unknown}; {known} would do")
    return {int(e): values[:, int(e) - 1] for e in epochs}
