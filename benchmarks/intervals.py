"""Shares of new data inside of 90 % intervals of functions by MAP, without and with inflation by leave-one-out.

    python -m benchmarks.intervals            goes on where it was stopped; writes docs/results/intervals.md
    python -m benchmarks.intervals --report   the page of what there is so far

Data without noise and with it, symmetric, nearly so, and tables. Figures are kept in intervals.jsonl.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_diabetes, make_friedman1

import bayes_rpp as rpp
from bayes_rpp._files import write_page
from benchmarks.fits_data import EXAMPLES, PROBLEMS
from benchmarks.rows import kept

OUT = Path("docs/results/intervals.md")
FIRST, TESTED = 10, 300  # the way of inflating was chosen on seeds 0 to 3
CASES = [
    ("energies and forces of ammonia", 25),
    ("energies and forces of ammonia in a field", 25),
    ("energies and forces of ammonia in a field", 100),
    ("dipole of ammonia", 100),
    ("dipole of ammonia in a field", 100),
    ("Earth's field", 100),
    ("planets, oblate center", 100),
    ("inertia, noise 0.02", 100),
    ("modified inertia, noise 0", 100),
    ("modified inertia, noise 0.02", 100),
    ("diabetes", 200),
    ("friedman1, noise 0", 100),
    ("friedman1, noise 1", 200),
]
GROUPS = {"Earth's field": "dipole axis", "dipole of ammonia": "O(3)", "dipole of ammonia in a field": "O(3)"}

Given = tuple[rpp.GaussianProcess, Any, Any, Any, NDArray]


def given(data: str, count: int, seed: int) -> Given:
    """The soft model; x and y to be trained on, and those of the test."""
    name, _, noise = data.partition(", noise ")
    if name.startswith("energies"):
        return _molecule("field" if name.endswith("field") else "free", count, seed)
    if name in PROBLEMS:
        p = PROBLEMS[name](count, seed)
        gp = rpp.GaussianProcess(p.rep_in, p.rep_out, p.groups[GROUPS.get(name, "SO(3)")])
        return gp, p.x, p.y, p.test_x, p.test_y
    rng = np.random.default_rng(seed)
    if name.endswith("inertia"):
        make = rpp.datasets.inertia if name == "inertia" else rpp.datasets.modified_inertia
        train, test = make(n=count, seed=seed), make(n=TESTED, seed=1000 + seed)
        y, test_y = ((d.y / train.y.std() + float(noise) * rng.normal(size=d.y.shape)) for d in (train, test))
        return rpp.GaussianProcess(train.rep_in, train.rep_out, train.group), train.x, y, test.x, test_y
    if name == "diabetes":
        x, y = load_diabetes(return_X_y=True)
    else:
        x, y = make_friedman1(count + TESTED, noise=float(noise), random_state=seed)
    rows = rng.permutation(len(x))[: count + TESTED]
    both = np.column_stack([x, y])[rows]
    both = (both - both[:count].mean(axis=0)) / both[:count].std(axis=0)
    (x, y), (test_x, test_y) = ((b[:, :-1], b[:, -1:]) for b in (both[:count], both[count:]))
    gp = rpp.GaussianProcess(x.shape[1] * rpp.Scalar, rpp.Scalar, rpp.Trivial(1), ard=True)
    return gp, x, y, test_x, test_y


def _molecule(where: str, count: int, seed: int) -> Given:
    """Rows of examples/molecule.py; each seed has its own configurations to be trained on."""
    with np.load(EXAMPLES / "data" / "ammonia.npz") as data:
        positions, energies, forces = (data[f"{where}_{what}"] for what in ("positions", "energy", "forces"))
    train, test = slice(count * (seed % 10), count * (seed % 10 + 1)), slice(1000, 1000 + TESTED)
    x, test_x = (
        rpp.Particles(positions[rows], types=[["N", "H", "H", "H"]] * len(positions[rows])) for rows in (train, test)
    )
    y = np.concatenate([energies[:, None], forces.reshape(len(forces), -1)], axis=1) / 3.0
    reps = 4 * rpp.Vector, rpp.Scalar + 4 * rpp.Vector, rpp.O(3)
    return rpp.GaussianProcess(*reps, conservative=True, particles=x), x, y[train], test_x, y[test]


def measured(data: str, count: int, seed: int) -> dict[str, Any]:
    gp, x, y, test_x, test_y = given(data, count, seed)
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        post: Any = rpp.fit(gp, x, y, rpp.MAP(), seed=seed, progress=False)
    seconds, inside = time.process_time() - start, []
    for one in (replace(post, inflation=1.0), post):
        p = one.predict(test_x, samples=False)
        inside.append(float((np.abs(test_y - p.mean) < 1.645 * p.std).mean()))
    return {"inflation": post.inflation, "inside": inside, "seconds": seconds}


def report(found: Sequence[dict[str, Any]], command: str) -> str:
    lines = [
        "# Intervals of functions",
        f"\nMade by `{command}` with bayes-rpp {rpp.__version__} on {datetime.date.today()}, while the machine was "
        "busy. Shares of new numbers inside of 90 % intervals of soft functions by MAP, without and with the inflation "
        f"by leave-one-out that is the default; means over as many seeds as the last column says, from {FIRST} on, the "
        "least and the most in brackets. How intervals are inflated was chosen on seeds 0 to 3.\n",
        "| data | examples | without | with | inflation | CPU s | seeds |",
        "| --- " * 7 + "|",
    ]
    for case in CASES:
        some = [line for line in found if tuple(line["key"][:2]) == case]
        if some:
            shares = 100 * np.array([line["inside"] for line in some])
            cells = [f"{s.mean():.0f} % ({s.min():.0f} to {s.max():.0f})" for s in shares.T]
            cells += [
                f"{np.mean([line[k] for line in some]):{f}}" for k, f in (("inflation", ".2f"), ("seconds", ".0f"))
            ]
            lines.append("| " + " | ".join([case[0], str(case[1]), *cells, str(len(some))]) + " |")
    return "\n".join([*lines, ""])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--data", action="append", help="whose name holds this; of several each")
    parser.add_argument("--kept", type=Path, default=Path("intervals.jsonl"), metavar="FILE")
    parser.add_argument("--report", action="store_true", help="of what is kept alone: nothing is measured")
    parser.add_argument("--out", type=Path, default=OUT)
    said = parser.parse_args(arguments)
    keys: list[Any] = [
        (data, count, FIRST + seed)
        for seed in range(said.seeds)
        for data, count in CASES
        if not said.data or any(part in data for part in said.data)
    ]
    if said.report:
        there = {tuple(json.loads(line)["key"]) for line in said.kept.read_text().splitlines()}
        keys = [key for key in keys if key in there]
    write_page(
        said.out, report(kept(said.kept, keys, measured), f"python -m benchmarks.intervals --seeds {said.seeds}")
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
