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

MAPS = ("Blues", "Oranges", "Greens", "Purples", "Reds", "Greys")


def plot_equivariance_kde(
    posteriors: Mapping[str, Posterior],
    *,
    epochs: Sequence[int] | None = None,
    ax: Axes | None = None,
    record: str = "equivariance_error",
) -> Axes:
    """Density of log10 equivariance error over the members, at several epochs of training (paper, Figure 3).

    Args:
        posteriors: label -> posterior of a DeepEnsemble fitted with an EquivarianceTracker; one hue for each.
        epochs: which epochs, light to dark; they must have been recorded. None: up to five recorded ones.
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
    from matplotlib import colormaps

    for k, (label, columns) in enumerate(chosen.items()):
        hue = colormaps[MAPS[k % len(MAPS)]]
        for i, (epoch, errors) in enumerate(columns.items()):
            color = hue(0.35 + 0.6 * (i + 1) / len(columns))
            last = i == len(columns) - 1
            name = f"{label}, epoch {epoch}"
            if len(np.unique(np.maximum(errors, FLOOR))) < 2:
                ax.axvline(max(float(errors[0]), FLOOR), color=color, lw=1.5, label=name)
                continue
            grid, density = log_error_density(errors)
            ax.plot(10**grid, density, color=color, lw=2.4 if last else 1.4, label=name)
            if last:
                ax.fill_between(10**grid, density, color=color, alpha=0.25, lw=0)
    ax.set_xscale("log")
    ax.set_ylim(bottom=0)
    ax.set_xlabel("equivariance error  |a − b| / (|a| + |b|)")
    ax.set_ylabel("density of log10 error over members")
    ax.legend(fontsize="small", ncols=max(1, min(2, len(chosen))), frameon=False)
    return ax


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
    known = [int(e) + 1 for e in np.flatnonzero(np.isfinite(values).all(axis=0))]
    if epochs is None:
        epochs = [known[i] for i in np.unique(np.linspace(0, len(known) - 1, 5).round().astype(int))]
    unknown = [e for e in epochs if e not in known]
    if unknown:
        raise ValueError(f"epochs {unknown} of posteriors[{label!r}] were not recorded; recorded are {known}")
    return {int(e): values[:, int(e) - 1] for e in epochs}
