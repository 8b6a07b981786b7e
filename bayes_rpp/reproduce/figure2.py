"""Figure 2: test errors of RPP, EMLP and MLP where the symmetry is exact, approximate and wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayes_rpp.reproduce.published import PAPER, REFERENCE
from bayes_rpp.reproduce.settings import METHODS

FLOOR = 0.66  # no O(3)-equivariant predictor has a smaller error on modified inertia
COLUMNS = ("setting", "method", "trials", "test MSE, median", "range", "equivariance error", "paper", "authors' code")


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Medians and ranges over trials, beside the paper's figures and those of its authors' code."""
    rows = []
    for setting in frame["setting"].unique():
        for method in METHODS:
            these = frame[(frame["setting"] == setting) & (frame["method"] == method)]
            if len(these):
                rows.append(_line(str(setting), method, these))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _line(setting: str, method: str, these: pd.DataFrame) -> tuple[Any, ...]:
    # A trial that diverged counts as infinitely bad.
    mse = these["mse"].fillna(np.inf)
    known = [_number(found[(setting, method)]) if (setting, method) in found else "" for found in (PAPER, REFERENCE)]
    spread = f"{_number(mse.min())} to {_number(mse.max())}"
    error = _number(these["equivariance_error"].median())
    return (setting, method, len(these), _number(mse.median()), spread, error, *known)


def _number(value: float) -> str:
    return f"{value:.3g}"


def markdown(table: pd.DataFrame) -> str:
    lines = [list(table.columns), ["---"] * len(table.columns), *table.map(str).to_numpy().tolist()]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def dataset(frame: pd.DataFrame) -> Any:
    """The trials as an xarray.Dataset, (setting, model, trial); `method` is a word of xarray's own."""
    numbers = frame.rename(columns={"method": "model"}).drop(columns="sigma_b")
    return numbers.set_index(["setting", "model", "trial"]).to_xarray()


def plot(frame: pd.DataFrame, path: Path) -> Path:
    """Boxes over trials, a panel for each setting, in the form of the paper's figure."""
    from matplotlib.figure import Figure

    settings = list(frame["setting"].unique())
    columns = min(3, len(settings))
    rows = -(-len(settings) // columns)
    figure = Figure(figsize=(1.2 + 3.2 * columns, 0.4 + 3.2 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for ax in axes.flat[len(settings) :]:
        ax.set_axis_off()
    for ax, setting in zip(axes.flat, settings, strict=False):
        here = frame[frame["setting"] == setting]
        methods = [m for m in METHODS if (here["method"] == m).any()]
        values = [here.loc[here["method"] == m, "mse"].dropna().to_numpy() for m in methods]
        boxes = ax.boxplot(values, patch_artist=True, widths=0.6, showfliers=False, medianprops={"color": "black"})
        for k, (box, points) in enumerate(zip(boxes["boxes"], values, strict=True)):
            box.set(facecolor=f"C{METHODS.index(methods[k])}", alpha=0.6)
            ax.plot(np.full(len(points), k + 1.0), points, ".", color="0.25", markersize=4)
        ax.set_xticks(range(1, len(methods) + 1), [m.replace(", ", ",\n") for m in methods])
        ax.set_yscale("log")
        ax.set_title(str(setting), fontsize=11)
        if setting == "modified inertia":
            ax.axhline(FLOOR, color="0.4", ls="--", lw=1)
            ax.text(0.98, FLOOR, "least of any equivariant function ", transform=ax.get_yaxis_transform(), ha="right",
                    va="bottom", fontsize=7, color="0.3")  # fmt: skip
    for row in axes:
        row[0].set_ylabel("test MSE")
    figure.savefig(path, dpi=160)
    return path
