"""Figure 5: learning curves of SAC with and without a symmetry, and the controls that make the comparison fair.

"SAC" is SBX's; "two pathways" the RPP policy without a group, which has the same number of pathways and
more parameters than either; "RPP" learns sigma_b by evidence while it trains; "strict" has sigma_b = 0.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd
from scipy import stats

from bayes_rpp.reproduce.figure2 import markdown
from bayes_rpp.reproduce.locomotion import TASKS, Task

ARMS = ("SAC", "two pathways", "RPP", "strict")
PRIORS = {  # of SbxRPPPolicy; "RPP" has the largest sigma_b that evidence can find
    "two pathways": {"sigma_b": 0.03}, "RPP": {"sigma_b": 1.0}, "strict": {"sigma_b": 0.0},
}  # fmt: skip
KEY = ["environment", "arm", "seed"]
POINTS = 24  # of a curve
EVERY = 8  # steps, after which all their gradient steps are made; a multiple of the environments
EARLY = 500  # steps after which errors are summed up


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
    """Train; a row of the table, the curves as lists."""
    from bayes_rpp import rl
    from bayes_rpp.rl.curves import learning_curve

    task, arm = trial.task, trial.arm
    symmetry = rl.symmetry(task.env_id)
    tracker, evidence = (
        rl.SymmetryTracker(symmetry, every=max(1, task.steps // POINTS // task.envs)),
        rl.ResidualEvidence(every=max(500, task.steps // 100) // task.envs),
    )
    prior = {"symmetry": None if arm == "two pathways" else symmetry, "sigma_a": 1.0, **PRIORS.get(arm, {})}
    rate = trial.rate or task.rate
    curve = learning_curve(
        task.make,
        task.steps,
        envs=task.envs,
        policy_options=None if arm == "SAC" else prior,
        width=task.width,
        seed=trial.seed,
        callbacks=[tracker, evidence] if arm == "RPP" else [tracker],
        learning_rate=rate,
        batch_size=128,
        gamma=task.gamma,
        learning_starts=min(task.learning_starts, task.steps // 2),
        train_freq=EVERY // task.envs,
        gradient_steps=EVERY * task.gradient_steps,
    )
    values = curve.at(grid(task), task.window)
    late = np.array(tracker.records["step"]) > min(EARLY, task.steps // 2)
    row: dict[str, Any] = dict(zip(KEY, trial.key, strict=True))
    return row | {
        "steps": task.steps,
        "gradient_steps": task.gradient_steps,
        "learning_rate": rate,
        "area": float(values.mean()),
        "final": float(values[-1]),
        "policy_error": float(np.array(tracker.records["policy"])[late].mean()),
        "largest_policy_error": float(np.array(tracker.records["policy"])[late].max()),
        "sigma_b": evidence.records["sigma_b"][-1] if evidence.records["sigma_b"] else prior.get("sigma_b", ""),
        "episodes": len(curve.ends),
        "seconds": curve.seconds,
        "curve": json.dumps(np.round(values, 3).tolist()),
        "errors": json.dumps({name: np.round(one, 5).tolist() for name, one in tracker.records.items()}),
        "evidence": json.dumps(evidence.records),
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


def errors(frame: pd.DataFrame) -> pd.DataFrame:
    """The errors of Eq. 2 in long form: environment, arm, seed, step, policy, critic."""
    return pd.concat(
        [pd.DataFrame({k: getattr(row, k) for k in KEY} | json.loads(str(row.errors))) for row in frame.itertuples()],
        ignore_index=True,
    )


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
                 _spread(these["area"]), _spread(these["final"]), less, _spread(these["policy_error"]),
                 round(float(these["largest_policy_error"].max()), 3), _cost(here, arm))
            )  # fmt: skip
    columns = ["environment", "arm", "seeds", "steps", "learning rate", "area", "final return", "RPP's area less it",
               "policy's error", "at most", "time of a step"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def difference(areas: pd.DataFrame, arm: str, other: str) -> str:
    """Mean of the paired differences, with the interval of 95 % of Student's t."""
    d = (areas[arm] - areas[other]).dropna().to_numpy()
    if len(d) < 2:
        return f"{d.mean():+.3g}" if len(d) else ""
    half = stats.t.ppf(0.975, len(d) - 1) * d.std(ddof=1) / math.sqrt(len(d))
    return f"{d.mean():+.3g} [{d.mean() - half:+.3g}, {d.mean() + half:+.3g}]"


def _cost(frame: pd.DataFrame, arm: str) -> float:
    """CPU time of a step over that of SAC, a median over seeds; NaN without SAC."""
    seconds = frame.pivot(index="seed", columns="arm", values="seconds")
    return round(float((seconds[arm] / seconds["SAC"]).median()), 2) if "SAC" in seconds else math.nan


def _spread(values: pd.Series) -> str:
    return f"{values.mean():.4g} ± {values.std():.2g}" if len(values) > 1 else f"{values.iloc[0]:.4g}"


def plot(long: pd.DataFrame, found: pd.DataFrame, path: Path) -> Path:
    """A column for each environment: mean returns with a standard deviation over seeds, and below them the errors."""
    from matplotlib.figure import Figure

    names = list(long["environment"].unique())
    figure = Figure(figsize=(4.6 * len(names), 6.4), layout="constrained")
    axes = figure.subplots(2, len(names), squeeze=False, sharex="col")
    for name, (top, bottom) in zip(names, axes.T, strict=True):
        for k, arm in enumerate(ARMS):
            returns, error = (t[(t["environment"] == name) & (t["arm"] == arm)].groupby("step") for t in (long, found))
            if not len(returns):
                continue
            style = {"color": f"C{k}", "zorder": 2 + k}
            mean, spread = returns["return"].mean(), returns["return"].std().fillna(0.0)
            # RPP and strict are the same where the residual stays closed.
            top.plot(mean.index, mean, label=arm, **style, ls="--" if arm == "strict" else "-")
            top.fill_between(mean.index, mean - spread, mean + spread, color=f"C{k}", alpha=0.13, lw=0)
            for what, line in (("policy", "-"), ("critic", ":")):
                bottom.plot(error[what].mean(), ls="--" if arm == "strict" else line, **style)
        top.set(title=str(name), ylabel="return of an episode")
        bottom.set(xlabel="environment steps", ylabel="equivariance error", ylim=(-0.02, None))
    axes[0, 0].legend(frameon=False)
    for what, line in (("policy", "-"), ("critic", ":")):
        axes[1, 0].plot([], [], color="0.3", ls=line, label=what)
    axes[1, 0].legend(frameon=False)
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
        found, long, error = summary(frame), curves(frame), errors(frame)
        found.to_csv(out / "fig5.csv", index=False)
        long.to_csv(out / "fig5-curves.csv", index=False)
        error.to_csv(out / "fig5-errors.csv", index=False)
        text = markdown(found)
        (out / "fig5.md").write_text(text + "\n")
        plot(long, error, out / "fig5.png")
        return text, float(frame["seconds"].sum()) / 60


def chosen_figure(
    names: Sequence[str] | None,
    arms: Sequence[str] | None,
    count: int | None,
    first: int,
    steps: int | None,
    rate: float | None,
    gradient_steps: int | None,
    quick: bool,
) -> Figure:
    """From the options of the command; what is None is the task's own.

    Raises:
        ImportError: without the extra `sbx`.
        ValueError: naming an option that is out of range.
    """
    if find_spec("sbx") is None:
        raise ImportError("fig5 needs SBX: pip install 'bayes-rpp[sbx]'")
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
            task = replace(task, width=8, steps=300, window=100, seeds=2, episode=50, envs=min(2, task.envs))
        task = replace(task, steps=steps or task.steps, gradient_steps=gradient_steps or task.gradient_steps)
        seeds = range(first, first + (count or task.seeds))
        found += [Trial(task, arm, seed, rate) for seed in seeds for arm in dict.fromkeys(arms or ARMS)]
    # Every arm at the first seed before any at the second: what is there of a run that was stopped is a comparison.
    found.sort(key=lambda trial: trial.seed)
    described = {"figure": "fig5", "quick": quick, "steps": steps, "learning_rate": rate}
    settings = f"{crc32(repr(TASKS).encode()):08x}"  # rows of a version with others would not be alike
    return Figure(found, described | {"gradient_steps": gradient_steps, "settings": settings})
