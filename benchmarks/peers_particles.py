"""Strict, soft and free networks of particles beside EGNN and e3nn's: where five charges are 1,000 steps later.

    python -m benchmarks.peers_particles            goes on where it was stopped; docs/results/peers_particles.md
    python -m benchmarks.peers_particles --report   the page of what there is so far
    python -m benchmarks.peers_particles --seeds 1 --train 300 --data gravity --model soft

In free space, under gravity, and in a magnetic field; all models see the same systems, take about 20 CPU seconds, and
are ensembles of three with a noise that is fitted. The soft prior is the same everywhere.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import bayes_rpp as rpp
from bayes_rpp._files import write_page
from benchmarks.rows import kept

OUT = Path("docs/results/peers_particles.md")
SETTINGS = {"free space": {}, "gravity": {"gravity": 1.0}, "magnetic field": {"field": 2.0}}
SIZE, SOFT = 2.0, 0.01  # sigma_a and sigma_b, of three each the best in free space on seed 10 or nearly so
PRIORS = {
    "strict": {"sigma_a": SIZE, "sigma_b": 0.0},
    "**soft**": {"sigma_a": SIZE, "sigma_b": SOFT},
    "free": {"sigma_a": 0.0, "sigma_b": 1.0},
}
PEERS = ("EGNN", "e3nn")
MODELS = (*PRIORS, *PEERS)
TRAIN, TEST, MEMBERS, BATCH = (300, 3000), 500, 3, 50
STEPS = dict.fromkeys(PRIORS, 1500) | {"EGNN": 500, "e3nn": 250}  # in about 20 CPU seconds each
CHANNELS, LAYERS, RATE = 24, 3, 0.02  # of ours


def measured(setting: str, count: int, model: str, seed: int, steps: int = 0) -> dict[str, Any]:
    """Test MSE, NLL of a system and share inside of 90 % intervals, and the CPU seconds of fit and prediction."""
    options: dict[str, Any] = SETTINGS[setting]
    steps = steps or STEPS[model]
    train, test = (
        rpp.datasets.charged_particles(n, seed=s, **options) for n, s in ((count, 2 * seed), (TEST, 2 * seed + 1))
    )
    start = time.process_time()
    if model in PRIORS:
        mean, std = ours(train, test, PRIORS[model], seed, steps)
    else:
        from benchmarks import peers_bodies

        parts = []
        for data in (train, test):
            q_v, x = np.stack(data.x.features), np.stack(data.x.positions)
            parts.append((q_v[..., :1], x, q_v[..., 1:]))
        mean, std = peers_bodies.ensemble(
            model, parts[0], train.y, parts[1], members=MEMBERS, steps=steps, batch=min(BATCH, count), seed=seed
        )
    gaps = (test.y - mean) / std
    nll = (0.5 * gaps**2 + np.log(std) + 0.5 * np.log(2 * np.pi)).sum(axis=(1, 2)).mean()
    scores = {"mse": float(((test.y - mean) ** 2).mean()), "nll": float(nll)}
    return scores | {"covered": float((np.abs(gaps) < 1.645).mean()), "seconds": time.process_time() - start}


def ours(train: Any, test: Any, prior: dict[str, float], seed: int, steps: int) -> tuple[Any, Any]:
    net = rpp.ParticleNetwork(
        train.x,
        features=rpp.Scalar + rpp.Vector,
        out=rpp.Vector,
        channels=CHANNELS,
        layers=LAYERS,
        radial=8,
        moving=True,
    )
    noise = rpp.Gaussian(rpp.Prior("HalfNormal", {"scale": 0.1}))
    batch = min(BATCH, len(train.x))
    epochs = max(1, steps * batch // len(train.x))
    method = rpp.DeepEnsemble(members=MEMBERS, epochs=epochs, batch_size=batch, learning_rate=RATE)
    model = rpp.Model(net, likelihood=noise, **prior)
    p = rpp.fit(model, train.x, train.y, method, seed=seed, progress=False).predict(test.x, samples=False)
    return p.mean.reshape(test.y.shape), p.std.reshape(test.y.shape)


def report(found: Sequence[dict[str, Any]], command: str) -> str:
    by: dict[tuple[str, int], dict[str, list[dict[str, Any]]]] = {}
    for line in found:
        setting, count, model, _ = line["key"]
        by.setdefault((setting, count), {}).setdefault(model, []).append(line)
    rows, verdicts = [], []
    for (setting, count), models in by.items():
        mse = {m: float(np.mean([v["mse"] for v in lines])) for m, lines in models.items()}
        for m, lines in models.items():
            spread = f" ± {np.std([v['mse'] for v in lines]):.1g}" if len(lines) > 1 else ""
            means = [float(np.mean([v[k] for v in lines])) for k in ("nll", "covered", "seconds")]
            nll, covered, seconds = f"{means[0]:.1f}", f"{100 * means[1]:.0f} %", f"{means[2]:.0f}"
            cells = [setting, str(count), m, f"{mse[m]:.2g}{spread}", nll, covered, seconds, str(len(lines))]
            rows.append("| " + " | ".join(cells) + " |")
        rest = {m: v for m, v in mse.items() if m != "**soft**"}
        if "**soft**" in mse and rest:
            best = min(rest, key=lambda m: rest[m])
            verdicts.append(
                f"- {setting}, {count}: the soft network's MSE is {mse['**soft**'] / rest[best]:.2f} times that of the "
                f"best of the others, {best}."
            )
    steps = f"{STEPS['free']:,} steps of ours, " + " and ".join(f"{STEPS[m]} of {m}" for m in PEERS)
    return "\n".join(
        [
            "# Particles beside the peers",
            f"\nWhere five charges are 1,000 steps later, by `{command}` with bayes-rpp {rpp.__version__} on "
            f"{datetime.date.today()}, while the machine was busy. Ensembles of {MEMBERS}, on batches of {BATCH} "
            f"systems; {steps}, which is some 20 CPU seconds each, so that none is trained to its end; {TEST} systems "
            "held out. Ours are `ParticleNetwork(moving=True)`. The "
            f"soft prior is sigma_a = {SIZE:g}, sigma_b = {SOFT:g} in all settings, the strict one has the "
            "same sigma_a, the free one sigma_b = 1. EGNN and the e3nn network are written in "
            "`benchmarks/peers_bodies.py`; learning rates of EGNN and of ours are the best of three on one seed, ours "
            "without `moving`. MSE: mean and standard deviation over as many seeds as the last column says; NLL is in "
            "nats for a system, 90 % intervals; CPU seconds with compilation. Missing rows were not measured.\n",
            *verdicts,
            "\n| data | systems | model | test MSE | NLL | 90 % cover | CPU s | seeds |",
            "| --- " * 8 + "|",
            *rows,
            "",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--train", type=int, action="append")
    parser.add_argument("--data", action="append", choices=tuple(SETTINGS))
    parser.add_argument("--model", action="append", help="whose name holds this; of several each")
    parser.add_argument("--kept", type=Path, default=Path("peers_particles.jsonl"), metavar="FILE")
    parser.add_argument("--report", action="store_true", help="of what is kept alone: nothing is measured")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args(arguments)
    chosen = [m for m in MODELS if not given.model or any(part in m for part in given.model)]
    if "e3nn" in chosen and find_spec("e3nn") is None:
        print("e3nn: not installed, left out; pip install 'bayes-rpp[peers]' would do", file=sys.stderr)
        chosen.remove("e3nn")
    keys = [
        (setting, count, model, seed)
        for seed in range(given.seeds)
        for count in given.train or TRAIN
        for setting in given.data or SETTINGS
        for model in chosen
    ]
    if given.report:
        there = {tuple(json.loads(line)["key"]) for line in given.kept.read_text().splitlines()}
        keys = [key for key in keys if key in there]
    found = sorted(kept(given.kept, keys, measured), key=lambda line: _place(*line["key"]))
    write_page(given.out, report(found, f"python -m benchmarks.peers_particles --seeds {given.seeds}"))
    return 0


def _place(setting: str, count: int, model: str, seed: int) -> tuple[int, int, int, int]:
    return (list(SETTINGS).index(setting), count, MODELS.index(model), seed)


if __name__ == "__main__":
    sys.exit(main())
