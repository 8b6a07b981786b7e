"""Table 3: rollout errors of transition models with and without a symmetry, by environment and number of transitions.

"MLP" has no symmetry; "wide MLP" neither, but RPP's width; "two pathways" has each weight as a sum of two with RPP's
priors but nothing that tells them apart (the trivial group); "strict" is sigma_b = 0. Noise and sigma_b are learned,
with one setting for all.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from bayes_rpp._types import EngineName
from bayes_rpp.inference.optimise.training import TrainingError

ARMS = ("MLP", "wide MLP", "two pathways", "RPP", "strict")
KEY = ["environment", "transitions", "arm", "seed"]
SYMMETRIES = {"Swimmer-v5": "left-right", "Hopper-v5": "front-back", "Walker2d-v5": "left-right"}
HORIZONS = (10, 30, 100)
TIMES = (1, 2, 5, 10, 20, 30, 50, 70, 100)  # at which coverage is noted
LEVEL = 0.9
COLLECTED, SHARE = 60_000, 0.075  # transitions of an agent, and their shares for validation and for testing
EVERY, WINDOWS = 25, 300  # rows between the starts of two rollouts, and how many of them at most
PROBES = 500  # test points at which the equivariance error is measured
# The strictly equivariant network of width 180 has as many free weights as the MLP of width 128.
WIDTHS = {"MLP": 128, "wide MLP": 180, "two pathways": 128, "RPP": 180, "strict": 180}
PAPER = {  # relative error over 100 steps, %
    ("Swimmer-v5", "MLP"): 3.9,
    ("Swimmer-v5", "RPP"): 2.75,
    ("Hopper-v5", "MLP"): 9.8,
    ("Hopper-v5", "RPP"): 7.0,
}


@dataclass(frozen=True)
class Trial:
    """One fit: the seed is that of the division into episodes for training and testing, of the transitions drawn, and
    of initial values and order."""

    environment: str
    transitions: int
    arm: str
    seed: int
    members: int
    epochs: int | None
    engine: EngineName
    folder: Path
    quick: bool = False

    @property
    def key(self) -> tuple[str, int, str, int]:
        return self.environment, self.transitions, self.arm, self.seed

    @property
    def horizons(self) -> tuple[int, ...]:
        return (5, 10, 20) if self.quick else HORIZONS


def trials(
    environments: Iterable[str], transitions: Sequence[int], seeds: int, quick: bool, **settings: Any
) -> list[Trial]:
    """All fits: the smaller numbers of transitions first, and the first seed of everything before the second."""
    names = list(environments)
    return [
        Trial(name, n, arm, seed, quick=quick, **settings)
        for n in sorted(dict.fromkeys(transitions))
        for seed in range(seeds)
        for name in names
        for arm in ARMS
    ]


def collected(trial: Trial) -> Any:
    """The environment's transitions, of one agent for all trials, collected when first asked for."""
    from bayes_rpp import rl

    symmetry = rl.symmetry(trial.environment, SYMMETRIES[trial.environment])
    if not trial.quick:
        return rl.collect_transitions(symmetry, COLLECTED, seed=0, cache=trial.folder)
    short = SimpleNamespace(make=lambda: symmetry.make(max_episode_steps=40))
    return rl.collect_transitions(short, 1200, seed=0, cache=trial.folder)


def run_trial(trial: Trial) -> dict[str, Any]:
    """Train and roll out; a row of the table. A fit that diverges has errors NaN."""
    from bayes_rpp import rl

    start = time.perf_counter()
    symmetry = rl.symmetry(trial.environment, SYMMETRIES[trial.environment])
    data, validation, test = collected(trial).split(SHARE, SHARE, seed=trial.seed)
    train = data.sample(min(trial.transitions, len(data)), seed=trial.seed)
    row: dict[str, Any] = dict(zip(KEY, trial.key, strict=True)) | {"examples": len(train)}
    try:
        model = _fit(trial, train, symmetry)
    except TrainingError:
        return row | {"seconds": time.perf_counter() - start}
    longest = max(trial.horizons)
    found, states = _rollouts(model, test, longest)
    held, held_states = _rollouts(model, validation, longest)
    recalibrated = rl.Recalibration.fit(held, held_states, LEVEL)(found)
    for steps in trial.horizons:
        for metric in ("all", "reference"):
            row[f"{metric}_{steps}"] = rl.relative_error(found.mean, states, steps, metric=metric)
    if symmetry.verdict == "exact":  # then these are trajectories of the environment, too
        mirrored, mirrored_states = _rollouts(model, test, longest, symmetry)
        for steps in trial.horizons:
            row[f"mirrored_{steps}"] = rl.relative_error(mirrored.mean, mirrored_states, steps)
    change = model.changes(test.states, test.actions).mean(axis=0)
    row["one_step"] = float(np.sqrt((((change - test.changes) / test.changes.std(axis=0)) ** 2).mean()))
    row["equivariance_error"] = float(
        model.equivariance_error(test.states[:PROBES], test.actions[:PROBES], symmetry).mean()
    )
    for name, which in (("coverage", found), ("recalibrated", recalibrated)):
        shares = rl.interval_coverage(which, states, LEVEL)
        row[name] = json.dumps({t: round(float(shares[t - 1]), 4) for t in TIMES if t <= longest})
    samples = model.posterior.samples
    row["sigmas"] = json.dumps({k: round(float(np.median(samples[k])), 5) for k in model.posterior.model.latents})
    return row | {"rollouts": len(states), "seconds": time.perf_counter() - start}


def _fit(trial: Trial, train: Any, symmetry: Any) -> Any:
    from bayes_rpp import rl
    from bayes_rpp.inference.methods import DeepEnsemble
    from bayes_rpp.priors.hyper import PerLayer
    from bayes_rpp.rl.transition_model import HYPERPRIOR, DoubledMLP, default_method

    width, d = 16 if trial.quick else WIDTHS[trial.arm], train.states.shape[1]
    method = default_method(len(train), trial.members)
    if trial.epochs is not None:
        method = DeepEnsemble(trial.epochs, method.batch_size, method.learning_rate, members=trial.members)
    settings: dict[str, Any] = {"width": width}
    if trial.arm == "two pathways":
        net = DoubledMLP(d + train.actions.shape[1], d, channels=width, layers=2)
        settings = {"net": net, "sigma_a": net.sigmas(PerLayer(HYPERPRIOR)), "sigma_b": 0.0}
    if trial.arm == "strict":
        settings["sigma_b"] = 0.0
    acts = symmetry if trial.arm in ("RPP", "strict") else None
    return rl.fit_transitions(
        train, acts, method=method, engine=trial.engine, seed=trial.seed, progress=False, **settings
    )


def _rollouts(model: Any, transitions: Any, steps: int, symmetry: Any = None) -> Any:
    """The model's rollouts and the states that came, of windows of the transitions; with a symmetry, of what random
    elements of its group other than the identity make of them."""
    from bayes_rpp import rl

    states, actions = transitions.windows(steps, EVERY)
    if len(states) > WINDOWS:
        rows = np.sort(np.random.default_rng(0).choice(len(states), WINDOWS, replace=False))
        states, actions = states[rows], actions[rows]
    if symmetry is not None:
        of_states, of_actions = (m[1:] for m in symmetry.matrices())
        which = np.random.default_rng(0).integers(len(of_states), size=len(states))
        states, actions = (
            np.einsum("nij,ntj->nti", m[which], a) for m, a in ((of_states, states), (of_actions, actions))
        )
    return rl.rollout(model, states[:, 0], actions), states


def horizons(frame: pd.DataFrame) -> list[int]:
    return [int(c.removeprefix("all_")) for c in frame.columns if c.startswith("all_")]


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Medians and ranges over seeds of errors in percent; RPP, and each arm, against the MLP of the same seed."""
    rows = []
    steps = horizons(frame)
    for (name, n, arm), these in _groups(frame):
        base = frame[(frame["environment"] == name) & (frame["transitions"] == n) & (frame["arm"] == "MLP")]
        line: dict[str, Any] = {"environment": name, "transitions": n, "arm": arm, "seeds": len(these)}
        line["one step, % of spread"] = spread(100 * these["one_step"])
        for h in steps:
            line[f"{h} steps, %"] = spread(100 * these[f"all_{h}"])
        last = f"all_{steps[-1]}"
        pairs = these.set_index("seed")[last] / base.set_index("seed")[last]
        line[f"over MLP's, {steps[-1]} steps"] = spread(pairs.dropna())
        if f"mirrored_{steps[1]}" in frame:
            line[f"mirrored, {steps[1]} steps, %"] = spread(100 * these[f"mirrored_{steps[1]}"])
        for h in steps:
            line[f"reference's metric, {h} steps, %"] = spread(100 * these[f"reference_{h}"])
        line["paper"] = f"{PAPER[name, arm]:.3g}" if (name, arm) in PAPER else ""
        line["equivariance error"] = f"{these['equivariance_error'].median():.2g}"
        rows.append(line)
    return pd.DataFrame(rows)


def parts(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A summary as two tables that fit a page: errors over all of the state, and those of the reference's metric."""
    theirs = [c for c in table if c.startswith("reference") or c == "paper"]
    keys = ["environment", "transitions", "arm"]
    return table[[c for c in table if c not in theirs]], table[[*keys, *theirs]]


def coverages(frame: pd.DataFrame) -> pd.DataFrame:
    """Shares of numbers inside of 90 % intervals by step, means over seeds, as the ensemble says and recalibrated."""
    rows = []
    for (name, n, arm), these in _groups(frame.dropna(subset=["coverage"])):
        before, after = (by_step(these[c]) for c in ("coverage", "recalibrated"))
        for k, step in enumerate(before):
            rows.append((name, n, arm, step, before[step], list(after.values())[k]))
    return pd.DataFrame(rows, columns=["environment", "transitions", "arm", "step", "ensemble", "recalibrated"])


def coverage_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Its numbers at the horizons, before -> after."""
    long = coverages(frame)
    steps = [1, *horizons(frame)]
    lines = []
    for keys, these in long.groupby(["environment", "transitions", "arm"], sort=False):
        at = these.set_index("step")
        shares = {f"step {s}": f"{at['ensemble'][s]:.2f} -> {at['recalibrated'][s]:.2f}" for s in steps}
        lines.append(dict(zip(("environment", "transitions", "arm"), keys, strict=True)) | shares)
    return pd.DataFrame(lines)


def by_step(texts: Iterable[Any]) -> dict[int, float]:
    """Means over rows of numbers kept as JSON by step."""
    read = [json.loads(t) for t in texts]
    return {int(k): float(np.mean([r[k] for r in read])) for k in read[0]}


def spread(values: pd.Series) -> str:
    """Median and range."""
    if not len(values) or values.isna().all():
        return ""
    values = values.fillna(np.inf)
    text = f"{values.median():.3g}"
    return text if len(values) < 2 else f"{text} ({values.min():.3g} to {values.max():.3g})"


def _groups(frame: pd.DataFrame) -> list[Any]:
    found = []
    for n in sorted(frame["transitions"].unique()):
        for name in frame["environment"].unique():
            for arm in ARMS:
                these = frame[(frame["environment"] == name) & (frame["transitions"] == n) & (frame["arm"] == arm)]
                if len(these):
                    found.append(((name, int(n), arm), these))
    return found
