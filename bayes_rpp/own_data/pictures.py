"""Pictures of a fit: whether its uncertainty is right on data that it has not seen, and how symmetric it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_rpp.analysis.equivariance import FLOOR
from bayes_rpp.analysis.plots import log_axis, plot_equivariance_posterior
from bayes_rpp.inference.posterior.metrics import coverage
from bayes_rpp.own_data.fitting import MOST, Fitted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEVELS = np.arange(0.05, 1.0, 0.05)
BINS = 10
GRAY = "0.55"


def draw_calibration(fitted: Fitted) -> Figure:
    """Of numbers, what was predicted against what was observed, and how many fall inside of central intervals; of
    classes, how often the most probable one is right, by its probability. On rows held out."""
    figure = _figure()
    panels = figure.subplots(1, 2)
    if fitted.classes is None:
        _predicted(fitted, panels[0])
        _coverage(fitted, panels[1])
    else:
        confidence = fitted.probabilities[fitted.test].max(axis=1)
        _reliability(fitted.right[fitted.test], confidence, panels[0])
        panels[1].hist(100 * confidence, bins=np.linspace(0, 100, BINS + 1).tolist(), color="C0", alpha=0.75)
        panels[1].set_xlim(0, 100)
        panels[1].yaxis.get_major_locator().set_params(integer=True)
        panels[1].set(xlabel="probability of the predicted class (%)", ylabel="held-out rows", title="how sure it is")
    return figure


def draw_equivariance(fitted: Fitted) -> Figure:
    """The posterior's equivariance error on rows held out, and how it varies over them."""
    post: Any = fitted.model.posterior_
    x = fitted.test_x
    figure = _figure()
    left, right = figure.subplots(1, 2)
    plot_equivariance_posterior({_label(str(fitted.model.group)): post}, x, ax=left)
    left.set_title("mean over rows" + (", density over draws" if post.chains * post.draws > 1 else ""))
    errors = np.maximum(np.median(post.equivariance_error(x), axis=(0, 1)), FLOOR)
    low, high = np.log10(errors.min()), np.log10(errors.max())
    right.hist(errors, bins=(10 ** np.linspace(low - 0.1, high + 0.1, 25)).tolist(), color="C0", alpha=0.75)
    log_axis(right)
    right.yaxis.get_major_locator().set_params(integer=True)
    right.set(xlabel="equivariance error", ylabel="held-out rows", title="by row, a random transformation each")
    return figure


def _predicted(fitted: Fitted, ax: Axes) -> None:
    rows = fitted.test[:MOST]
    y, (mean, std) = fitted.y[rows], (v[rows] for v in fitted.moments)
    size, several = y.std(axis=0), y.shape[1] > 1
    unit = np.where(size > 0, size, 1.0) if several else 1.0  # targets may have different units
    x, f, bar = ((v / unit).ravel() for v in (y, mean, std))
    ax.errorbar(x, f, bar, fmt="o", ms=3, lw=0.6, color="C0", alpha=0.45)
    ends = [min(x.min(), f.min()), max(x.max(), f.max())]
    ax.plot(ends, ends, color=GRAY, lw=1, zorder=0)
    unit_name = " (in its standard deviations)" if several else ""
    ax.set(xlabel=f"observed{unit_name}", ylabel="predicted, ± standard deviation", title="rows held out")


def _coverage(fitted: Fitted, ax: Axes) -> None:
    y, samples = fitted.samples()
    ax.plot([0, 100], [0, 100], color=GRAY, lw=1)
    ax.plot(100 * LEVELS, [100 * coverage(samples, y, level) for level in LEVELS], "o-", ms=4, color="C0")
    ax.set(xlabel="predicted interval (%)", ylabel="observations inside of it (%)", title="calibration")
    ax.set(xlim=(0, 100), ylim=(0, 100))


def _reliability(right: NDArray, confidence: NDArray, ax: Axes) -> None:
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    filled = [place == k for k in range(BINS) if (place == k).any()]
    accuracy, mean = (np.array([values[inside].mean() for inside in filled]) for values in (right, confidence))
    counts = np.array([inside.sum() for inside in filled])
    error = np.sqrt(np.maximum(accuracy * (1 - accuracy), 1 / (4 * counts)) / counts)
    ax.plot([0, 100], [0, 100], color=GRAY, lw=1)
    ax.errorbar(100 * mean, 100 * accuracy, 100 * error, fmt="o-", ms=4, lw=1.2, capsize=2, color="C0")
    ax.set(xlabel="predicted probability (%)", ylabel="right (%), ± standard error", title="calibration")
    ax.set(xlim=(0, 102), ylim=(0, 105))


def _label(group: str) -> str:
    return group if len(group) <= 16 else group[:14] + " …"


def _figure() -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(9.6, 3.9), layout="constrained")
