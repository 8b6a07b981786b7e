"""Table 3's pictures: errors by horizon, and coverage by step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayes_rpp.reproduce.table3 import ARMS, LEVEL, by_step, horizons

MARKS = (0.5, 1, 2, 3, 4, 6, 8, 10, 15, 20, 30, 40, 60, 80)  # of an axis of errors, %


def plot(frame: pd.DataFrame, folder: Path) -> list[Path]:
    """Errors against the horizon, and coverage against the step, a panel for each environment and number."""
    from matplotlib.figure import Figure

    names, numbers = list(frame["environment"].unique()), sorted(frame["transitions"].unique())
    paths = []
    for kind in ("errors", "coverage"):
        figure = Figure(figsize=(1.0 + 3.3 * len(names), 0.5 + 2.9 * len(numbers)), layout="constrained")
        axes = figure.subplots(len(numbers), len(names), squeeze=False)
        for i, n in enumerate(numbers):
            for j, name in enumerate(names):
                here = frame[(frame["environment"] == name) & (frame["transitions"] == n)]
                axes[i, j].set_xscale("log")
                (_draw_errors if kind == "errors" else _draw_coverage)(axes[i, j], here)
                axes[i, j].set_title(f"{name}, {n:,} transitions", fontsize=10)
        for ax in axes[-1]:
            ax.set_xlabel("steps")
        for ax in axes[:, 0]:
            ax.set_ylabel("relative error, %" if kind == "errors" else f"share inside of {LEVEL:.0%} intervals")
        axes[0, 0].legend(frameon=False, fontsize=8)
        paths.append(folder / ("table3.png" if kind == "errors" else "table3-coverage.png"))
        figure.savefig(paths[-1], dpi=150)
    return paths


def _draw_errors(ax: Any, here: pd.DataFrame) -> None:
    steps = horizons(here)
    for k, arm in enumerate(ARMS):
        values = 100 * here.loc[here["arm"] == arm, [f"all_{h}" for h in steps]].dropna().to_numpy()
        if not len(values):
            continue
        middle = np.median(values, axis=0)
        x = np.array(steps) * 1.04 ** (k - 1.5)  # beside one another
        bars = [middle - values.min(axis=0), values.max(axis=0) - middle]
        ax.errorbar(x, middle, bars, color=f"C{k}", marker="o", ms=4, lw=1.2, capsize=2, label=arm)
    ax.set_yscale("log")
    low, high = ax.get_ylim()
    marks = [m for m in MARKS if low <= m <= high]
    ax.set_yticks(marks, [f"{m:g}" for m in marks])
    ax.set_xticks(steps, [str(s) for s in steps])
    ax.minorticks_off()


def _draw_coverage(ax: Any, here: pd.DataFrame) -> None:
    for k, arm in enumerate(ARMS):
        these = here[here["arm"] == arm].dropna(subset=["coverage"])
        if these.empty:
            continue
        for column, style in (("coverage", ":"), ("recalibrated", "-")):
            shares = by_step(these[column])
            label = arm if style == "-" else None
            ax.plot(list(shares), list(shares.values()), color=f"C{k}", ls=style, marker=".", label=label)
    steps = [1, *horizons(here)]
    ax.set_xticks(steps, [str(s) for s in steps])
    ax.minorticks_off()
    ax.axhline(LEVEL, color="0.5", lw=0.8)
    ax.set_ylim(0, 1.02)
