"""Pictures, on axes of the user's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_rpp.analysis.equivariance import FLOOR, log_error_density
from bayes_rpp.inference.posterior import Posterior

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
    if not isinstance(posteriors, Mapping) or not posteriors:
        raise TypeError("posteriors must be a dict of label -> Posterior with at least one entry")
    chosen = {label: _recorded(label, post, record, epochs) for label, post in posteriors.items()}
    if ax is None:
        import matplotlib.pyplot as plt

        _, ax = plt.subplots(figsize=(7.2, 4.2), layout="constrained")
    rows = sorted({epoch for columns in chosen.values() for epoch in columns})
    for k, (label, columns) in enumerate(chosen.items()):
        for epoch, errors in columns.items():
            shown = label if epoch == next(iter(columns)) else f"_{label}, epoch {epoch}"
            _draw(ax, errors, base=-rows.index(epoch), color=f"C{k}", label=shown)
    ax.set_xscale("log")
    ax.set_yticks([-i for i in range(len(rows))], [str(epoch) for epoch in rows])
    ax.set_ylim(-len(rows) + 0.85, 1.05)
    ax.set_xlabel("equivariance error  |a − b| / (|a| + |b|)")
    ax.set_ylabel("epoch")
    ax.legend(title="density over members", loc="best", frameon=False)
    return ax


def _draw(ax: Axes, errors: NDArray, base: int, color: str, label: str) -> None:
    """One density, from its row's base line up."""
    if len(np.unique(np.maximum(errors, FLOOR))) < 2:
        ax.plot([max(float(errors[0]), FLOOR)] * 2, [base, base + PEAK], color=color, lw=1.5, label=label)
        return
    grid, density = log_error_density(errors)
    height = base + PEAK * density / density.max()
    ax.plot(10**grid, height, color=color, lw=1.5, label=label)
    ax.fill_between(10**grid, base, height, color=color, alpha=0.3, lw=0)


def _recorded(label: str, post: Any, record: str, epochs: Sequence[int] | None) -> dict[int, NDArray]:
    """Epoch -> errors of all members."""
    if not isinstance(post, Posterior):
        raise TypeError(f"posteriors[{label!r}] is a {type(post).__name__}; a Posterior would do")
    if record not in post.training:
        kept = ", ".join(map(repr, post.training)) or "nothing"
        raise ValueError(
            f"posteriors[{label!r}] has no record {record!r} (it has {kept}); fit with "
            f"callbacks=[EquivarianceTracker(group, name={record!r})]"
        )
    values = post.training[record]
    if len(values) < 2:
        raise ValueError(
            f"posteriors[{label!r}] has {len(values)} member; a density over members needs at least 2: "
            "DeepEnsemble(members=10)"
        )
    if not np.isfinite(values).all(axis=0).any():
        raise ValueError(f"posteriors[{label!r}] has an empty record {record!r}")
    known = [int(e) + 1 for e in np.flatnonzero(np.isfinite(values).all(axis=0))]
    if epochs is None:
        epochs = [known[i] for i in np.unique(np.linspace(0, len(known) - 1, 5).round().astype(int))]
    if not len(epochs):
        raise ValueError(f"epochs is empty; recorded are {known}")
    unknown = [e for e in epochs if e not in known]
    if unknown:
        raise ValueError(f"epochs {unknown} of posteriors[{label!r}] were not recorded; recorded are {known}")
    return {int(e): values[:, int(e) - 1] for e in epochs}
