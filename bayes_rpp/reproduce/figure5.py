"""Figure 5: learning curves of SAC with and without a symmetry, and the controls that make the comparison fair.

"SAC" is Stable-Baselines3's; "two pathways" the RPP policy without a group, which has the same number of pathways and
more parameters than either; "strict" the RPP policy with sigma_b = 0. All train with the settings below.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from bayes_rpp.reproduce.figure2 import markdown

ARMS = ("SAC", "two pathways", "RPP", "strict")
KEY = ["environment", "arm", "seed"]
POINTS = 24  # of a curve


@dataclass(frozen=True)
class Task:
    """An environment, and how it is learned.

    Attributes:
        tilt: angle of gravity from the vertical towards x, degrees; it breaks the mirror symmetry.
        window: steps over which returns are averaged.
        episode: its longest length; the environment's own if None.
        rates: learning rate of each arm, the one of the highest mean area: of the double pendulum from 1e-3 and 2e-3
            on seeds 1000 to 1002; of Swimmer from 3e-4, 1e-3 and 3e-3, of Walker2d from 1e-4, 3e-4 and 1e-3, on seeds
            1000 and 1001.
        sigma_b: of the two pathways, with a group and without; chosen from 0.01, 0.03 and 0.1 on the same seeds.
    """

    name: str
    env_id: str
    steps: int
    seeds: int
    rates: dict[str, float]
    width: int = 64
    window: int = 500
    gamma: float = 0.99
    learning_starts: int = 100
    tilt: float = 0.0
    sigma_b: float = 0.03
    episode: int | None = None

    def make(self) -> Any:
        from bayes_rpp import rl

        env = rl.symmetry(self.env_id).make(max_episode_steps=self.episode)
        if self.tilt:
            angle = math.radians(self.tilt)
            env.unwrapped.model.opt.gravity[:] = 9.81 * np.array([math.sin(angle), 0.0, -math.cos(angle)])
        return env


def _rates(*rates: float) -> dict[str, float]:
    return dict(zip(ARMS, rates, strict=True))


_PENDULUM, _SWIMMER, _WALKER = (
    _rates(2e-3, 2e-3, 2e-3, 2e-3),
    _rates(1e-3, 3e-4, 3e-3, 1e-3),
    _rates(3e-4, 1e-3, 3e-4, 1e-3),
)
TASKS = {
    task.name: task
    for task in (
        Task("double-pendulum", "InvertedDoublePendulum-v5", 5000, 10, _PENDULUM),
        Task("tilted-double-pendulum", "InvertedDoublePendulum-v5", 3000, 10, _PENDULUM, tilt=10.0),
        Task("swimmer", "Swimmer-v5", 20_000, 3, _SWIMMER, window=2000, gamma=0.999, learning_starts=1000),
        Task("walker2d", "Walker2d-v5", 20_000, 3, _WALKER, width=128, window=2000, learning_starts=1000),
    )
}


@dataclass(frozen=True)
class Trial:
    """One training."""

    task: Task
    arm: str
    seed: int
    rate: float | None = None

    @property
    def key(self) -> tuple[str, str, int]:
        return self.task.name, self.arm, self.seed


def run_trial(trial: Trial) -> dict[str, Any]:
    """Train; a row of the table, the curve as a list."""
    from bayes_rpp import rl
    from bayes_rpp.rl.torch.curves import learning_curve

    task, arm = trial.task, trial.arm
    symmetry = None if arm == "two pathways" else rl.symmetry(task.env_id)
    rate = trial.rate or task.rates[arm]
    prior = {"symmetry": symmetry, "sigma_a": 1.0, "sigma_b": 0.0 if arm == "strict" else task.sigma_b}
    curve = learning_curve(
        task.make,
        task.steps,
        policy_options=None if arm == "SAC" else prior,
        width=task.width,
        seed=trial.seed,
        learning_rate=rate,
        batch_size=128,
        gamma=task.gamma,
        learning_starts=min(task.learning_starts, task.steps // 2),
    )
    values = curve.at(grid(task), task.window)
    row: dict[str, Any] = dict(zip(KEY, trial.key, strict=True))
    return row | {
        "steps": task.steps,
        "learning_rate": rate,
        "area": float(values.mean()),
        "final": float(values[-1]),
        "episodes": len(curve.ends),
        "seconds": curve.seconds,
        "curve": json.dumps([round(float(v), 3) for v in values]),
    }


def grid(task: Task) -> np.ndarray:
    """The steps at which a curve is read."""
    return task.steps * np.arange(1, POINTS + 1) / POINTS


def curves(frame: pd.DataFrame) -> pd.DataFrame:
    """The curves in long form: environment, arm, seed, step, return."""
    parts = []
    for row in frame.itertuples():
        values = json.loads(str(row.curve))
        steps = int(row.steps) * np.arange(1, len(values) + 1) / len(values)
        keys = {k: getattr(row, k) for k in KEY}
        parts.append(pd.DataFrame(keys | {"step": steps, "return": values}))
    return pd.concat(parts, ignore_index=True)


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Areas under the curves (mean return over the training), and RPP's paired differences from the other arms."""
    rows = []
    for name in frame["environment"].unique():
        here = frame[frame["environment"] == name]
        areas = here.pivot(index="seed", columns="arm", values="area")
        for arm in (a for a in ARMS if a in areas):
            these = here[here["arm"] == arm]
            less = difference(areas, "RPP", arm) if arm != "RPP" and "RPP" in areas else ""
            rows.append(
                (name, arm, len(these), int(these["steps"].iloc[0]), float(these["learning_rate"].iloc[0]),
                 _spread(these["area"]), _spread(these["final"]), less)
            )  # fmt: skip
    columns = ["environment", "arm", "seeds", "steps", "learning rate", "area", "final return", "RPP's area less it"]
    return pd.DataFrame(rows, columns=columns)


def difference(areas: pd.DataFrame, arm: str, other: str) -> str:
    """Mean of the paired differences, with the interval of 95 % of Student's t."""
    d = (areas[arm] - areas[other]).dropna().to_numpy()
    if len(d) < 2:
        return f"{d.mean():+.3g}" if len(d) else ""
    half = stats.t.ppf(0.975, len(d) - 1) * d.std(ddof=1) / math.sqrt(len(d))
    return f"{d.mean():+.3g} [{d.mean() - half:+.3g}, {d.mean() + half:+.3g}]"


def _spread(values: pd.Series) -> str:
    return f"{values.mean():.4g} ± {values.std():.2g}" if len(values) > 1 else f"{values.iloc[0]:.4g}"


def plot(long: pd.DataFrame, path: Path) -> Path:
    """Mean curves with a standard deviation over seeds, a panel for each environment."""
    from matplotlib.figure import Figure

    names = list(long["environment"].unique())
    columns = min(2, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(5.0 * columns, 3.6 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for ax in axes.flat[len(names) :]:
        ax.set_axis_off()
    for ax, name in zip(axes.flat, names, strict=False):
        for k, arm in enumerate(ARMS):
            here = long[(long["environment"] == name) & (long["arm"] == arm)]
            if here.empty:
                continue
            found = here.groupby("step")["return"].agg(["mean", "std"])
            spread = found["std"].fillna(0.0)
            ax.plot(found.index, found["mean"], color=f"C{k}", label=arm, zorder=3 if arm == "RPP" else 2)
            ax.fill_between(
                found.index, found["mean"] - spread, found["mean"] + spread, color=f"C{k}", alpha=0.13, lw=0
            )
        ax.set(title=str(name), xlabel="environment steps", ylabel="return of an episode")
    axes.flat[0].legend(frameon=False)
    figure.savefig(path, dpi=160)
    return path


@dataclass(frozen=True)
class Figure:
    """What is to be run: each seed of everything in turn, and what a folder of it is known by."""

    trials: list[Trial]
    described: dict[str, Any]
    key: tuple[str, ...] = tuple(KEY)

    def work(self, trial: Trial) -> dict[str, Any]:
        return run_trial(trial)

    def write(self, frame: pd.DataFrame, out: Path) -> tuple[str, float]:
        """Tables and the picture of these trials; the table as markdown, and the minutes that they took."""
        frame = frame.set_index(KEY).loc[[t.key for t in self.trials]].reset_index()
        found, long = summary(frame), curves(frame)
        found.to_csv(out / "fig5.csv", index=False)
        long.to_csv(out / "fig5-curves.csv", index=False)
        text = markdown(found)
        (out / "fig5.md").write_text(text + "\n")
        plot(long, out / "fig5.png")
        return text, float(frame["seconds"].sum()) / 60


def chosen_figure(
    names: Sequence[str] | None,
    arms: Sequence[str] | None,
    count: int | None,
    first: int,
    steps: int | None,
    rate: float | None,
    quick: bool,
) -> Figure:
    """From the options of the command; what is None is the task's own.

    Raises:
        ImportError: without the extra `rl`.
        ValueError: naming an option that is out of range.
    """
    if find_spec("stable_baselines3") is None:
        raise ImportError("fig5 needs Stable-Baselines3: pip install 'bayes-rpp[rl]'")
    for what, given, known in (("environment", names, TASKS), ("arm", arms, ARMS)):
        for name in given or ():
            if name not in known:
                raise ValueError(f"{what} must be one of {', '.join(known)}, got {name!r}")
    if first < 0:
        raise ValueError(f"first-seed must be a whole number >= 0, got {first}")
    if rate is not None and not 0 < rate < 1:
        raise ValueError(f"learning-rate must be a number between 0 and 1, got {rate}")
    found = []
    for name in dict.fromkeys(names or TASKS):
        task = TASKS[name]
        if quick:
            task = replace(task, width=8, steps=300, window=100, seeds=2, episode=50)
        task = task if steps is None else replace(task, steps=steps)
        seeds = range(first, first + (count or task.seeds))
        found += [Trial(task, arm, seed, rate) for seed in seeds for arm in dict.fromkeys(arms or ARMS)]
    # Every arm at the first seed before any at the second: what is there of a run that was stopped is a comparison.
    found.sort(key=lambda trial: trial.seed)
    return Figure(found, {"figure": "fig5", "quick": quick, "steps": steps, "learning_rate": rate})
