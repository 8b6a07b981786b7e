"""Effective draws of predictions per CPU second of samplers of networks' weights (NumPyro), chains from one ensemble;
warm-up and compilation count.

    python -m benchmarks.samplers FILE [--problems MLP EMLP wide] [--seeds 0 1 2] [--methods NUTS MCLMC reference ...]

Each line of FILE is one fit, in JSON; what is there is not done again. `--table` prints the tables of the results page,
`--quick` is a trial in tiny sizes. The reference is a long run of NUTS, to whose chains those of the other methods that
start at the same member are compared.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from arviz_stats.base import array_stats

import bayes_rpp as rpp
from benchmarks.rows import kept, one_core

POINTS = 20  # at which predictions are looked at
MEMBERS = 4
# Each is (parametrization, the method at `short` draws).
METHODS: dict[str, tuple[str, Callable[[int], rpp.inference.Method]]] = {
    "NUTS": ("whitened", lambda short: rpp.NUTS(MEMBERS, short, 3 * short, max_tree_depth=10 if short > 20 else 4)),
    "MCLMC": ("pathways", lambda short: rpp.MCLMC(MEMBERS, 2 * short, 8 * short)),
    "MCLMC, 16 chains": ("pathways", lambda short: rpp.MCLMC(16, 2 * short, 8 * short)),
    "ChEES, 16 chains": ("pathways", lambda short: rpp.ChEES(16, 2 * short, 3 * short)),
    "MCLMC, adjusted": ("pathways", lambda short: rpp.MCLMC(MEMBERS, short, short, adjusted=True)),
    "reference": ("whitened", lambda short: rpp.NUTS(MEMBERS, 3 * short, 10 * short)),
}
SHORT = {"MLP": 100, "EMLP": 100, "wide": 50}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.samplers", description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--problems", nargs="+", choices=SHORT, default=list(SHORT))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=[m for m in METHODS if m != "reference"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of the data, members and chains")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: shows that it runs, measures nothing")
    parser.add_argument("--table", action="store_true", help="print the tables of what FILE has, and do nothing else")
    given = parser.parse_args(arguments)
    if given.table:
        print("\n".join(table([json.loads(line) for line in given.file.read_text().splitlines()])))
        return 0
    one_core()
    keys = [(problem, seed, method) for seed in given.seeds for problem in given.problems for method in given.methods]
    kept(given.file, keys, lambda *key: measured(*key, quick=given.quick))
    return 0


@functools.cache
def started(name: str, seed: int, quick: bool) -> tuple[rpp.Model, Any, Any, Any]:
    """The model of a problem, its data, and the ensemble that chains start from."""
    rng = np.random.default_rng(seed)
    noisy, n = rpp.Gaussian(0.1), 40 if quick else 500 if name == "MLP" else 200
    if name == "MLP":
        x = rng.uniform(-1, 1, size=(n, 4))
        y = np.sin(3 * x[:, :1]) + x[:, 1:2] * x[:, 2:3] + 0.1 * rng.normal(size=(n, 1))
        net: Any = rpp.MLP(4, 1, None, channels=4 if quick else 18, layers=2)
        model = rpp.Model(net, sigma_a=0.0, sigma_b=1.0, likelihood=noisy)
    else:
        x = rng.normal(size=(n, 5))
        y = x[:, :1] * x[:, 2:] + 0.2 * x[:, 1:2] + 0.1 * rng.normal(size=(n, 3))
        size = {"channels": 4, "layers": 1} if quick else {"EMLP": {"channels": 9, "layers": 1}}.get(name, WIDE)
        net = rpp.EMLP(2 * rpp.Scalar + rpp.Vector, rpp.Vector, rpp.SO(3), **size)
        model = rpp.Model(net, sigma_b=0.1, likelihood=noisy)
    method = rpp.DeepEnsemble(members=MEMBERS, epochs=20 if quick else 100)
    return model, x, y, rpp.fit(model, x, y, method, engine="numpyro", seed=seed, progress=False)


WIDE = {"channels": 62, "layers": 2}


def measured(name: str, seed: int, label: str, quick: bool = False) -> dict[str, Any]:
    """Effective draws within chains (their sum, median over outputs), CPU seconds, R-hat across chains, chains that
    `summary` names as shortened, and mean and standard deviation of each output by the member where chains began."""
    model, x, y, ensemble = started(name, seed, quick)
    form, method = METHODS[label]
    method = method(20 if quick else SHORT[name])
    start = {k: np.resize(v[0], (method.count, *v.shape[2:])) for k, v in ensemble.samples.items()}
    began, free = time.process_time(), model.replace(parametrization=form)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rpp.inference.ConvergenceWarning)  # what is measured here
        post = rpp.fit(free, x, y, method, engine="numpyro", init=start, seed=seed, progress=False)
    seconds = time.process_time() - began
    f = post.outputs(x[:POINTS]).astype(np.float64).reshape(*next(iter(post.samples.values())).shape[:2], -1)
    outputs = range(f.shape[-1])
    own = [f[k::MEMBERS].reshape(-1, f.shape[-1]) for k in range(MEMBERS)]
    return {
        "weights": model.net.size,
        "examples": len(x),
        "draws": float(np.median([sum(array_stats.ess(c[None, :, i], method="bulk") for c in f) for i in outputs])),
        "seconds": seconds,
        "rhat": float(np.median([array_stats.rhat(f[..., i]) for i in outputs])),
        "shortened": sum("froze" in w for w in post.summary().warnings),
        "mean": [[round(float(v), 5) for v in c.mean(axis=0)] for c in own],
        "std": [[round(float(v), 5) for v in c.std(axis=0)] for c in own],
    }


def table(lines: Sequence[dict[str, Any]]) -> list[str]:
    """In Markdown: draws per second beside those of NUTS on the same seed, then the bias beside the reference."""
    by_key = {tuple(line["key"]): line for line in lines}
    rows = [_head("problem", "method", "draws within chains / s", "/ NUTS", "CPU s", "R-hat across", "seeds")]
    biased = [_head("problem", "method", "mean, off by", "standard deviation, ratio", "seeds")]
    for problem, label in dict.fromkeys((key[0], key[2]) for key in by_key):
        seeds = [seed for name, seed, method in by_key if (name, method) == (problem, label)]
        some = [by_key[problem, seed, label] for seed in seeds]
        rates = {seed: line["draws"] / line["seconds"] for seed, line in zip(seeds, some, strict=True)}
        plain = {seed: by_key.get((problem, seed, "NUTS")) for seed in seeds}
        ratios = [f"{rates[seed] * line['seconds'] / line['draws']:.1f}" for seed, line in plain.items() if line]
        what = f"{problem}, {some[0]['weights']} weights, {some[0]['examples']} examples"
        cells = [", ".join(f"{r:.1f}" for r in rates.values()), ", ".join(ratios)]
        cells += [", ".join(f"{line['seconds']:.0f}" for line in some), ", ".join(f"{x['rhat']:.2f}" for x in some)]
        rows.append(f"| {what} | {label} | {' | '.join(cells)} | {len(some)} |")
        pairs = [(by_key[problem, s, label], by_key.get((problem, s, "reference"))) for s in seeds]
        beside = [_bias(line, long) for line, long in pairs if long and label != "reference"]
        if beside:
            off, ratio = np.median(beside, axis=0)
            biased.append(f"| {problem} | {label} | {off:.2f} | {ratio:.2f} | {len(beside)} |")
    return [*rows, "", *biased]


def _head(*names: str) -> str:
    return f"| {' | '.join(names)} |\n{'| --- ' * len(names)}|"


def _bias(line: dict[str, Any], long: dict[str, Any]) -> tuple[float, float]:
    """Medians over members and outputs: distance of means in the reference's standard deviations, and these' ratio."""
    mean, std, true, wide = (np.array(a) for a in (line["mean"], line["std"], long["mean"], long["std"]))
    return float(np.median(np.abs(mean - true) / wide)), float(np.median(std / wide))


if __name__ == "__main__":
    sys.exit(main())
