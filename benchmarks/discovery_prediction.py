"""Whether the group that was found predicts as well as the best that one names by hand.

python -m benchmarks.discovery_prediction --seeds 2     writes docs/results/discovery_prediction.md
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import bayes_rpp as rpp
from bayes_rpp._files import write_page
from benchmarks.discovery import CASES, NOISE, Case
from benchmarks.rows import Row

OUT = Path("docs/results/discovery_prediction.md")
EXAMPLES, TESTS, FIRST = 100, 500, 400
Array = NDArray[np.float64]


def candidates(case: Case, axis: Array) -> dict[str, rpp.Group]:
    """What one could name for matrices of this size, compact ones, and the true axis where there is one."""
    d = case.d
    found = {"none": rpp.Trivial(d), f"SO({d})": rpp.SO(d)}
    if d == 3:
        x, y, z = axis
        about = rpp.Group(3, [[[0, -z, y], [z, 0, -x], [-y, x, 0]]], name="the true axis")
        found |= {"about z": rpp.Group(3, [[[0, -1, 0], [1, 0, 0], [0, 0, 0]]], name="about z")}
        if case.word == "rotation about":
            found["the true axis"] = about
    if d == 4:
        pairs = np.zeros((2, 4, 4))
        pairs[0, 0, 1], pairs[0, 1, 0], pairs[1, 2, 3], pairs[1, 3, 2] = -1, 1, -1, 1
        found["two planes"] = rpp.Group(4, pairs, name="two planes")
    return found


def loss(mean: Array, std: Array, y: Array) -> float:
    """Negative log density of a number."""
    return float(np.mean(0.5 * ((y - mean) / std) ** 2 + np.log(std) + 0.5 * np.log(2 * np.pi)))


def one(case: Case, n: int, seed: int) -> dict[str, float]:
    """Test loss of each soft candidate, and of what was found: "found" as a soft GaussianProcess, where there is an
    average, and "by discovery" as the functions that the discovery ends with."""
    assert case.rep_in is not None
    assert case.rep_out is not None
    rng = np.random.default_rng(seed)
    axis = rng.normal(size=3)
    axis /= np.linalg.norm(axis)
    x = rng.normal(size=(n + TESTS, case.d))
    y = case.f(x, axis)
    y = y / y.std() + NOISE * rng.normal(size=y.shape)
    found = rpp.discover_symmetry(x[:n], y[:n], rep_in=case.rep_in, rep_out=case.rep_out, seed=seed)
    losses = {"by discovery": loss(*found.predict(x[n:]), y[n:])}
    groups = candidates(case, axis)
    if found.group.is_orthogonal:
        groups["found"] = found.group
    for name, group in groups.items():
        gp = rpp.GaussianProcess(case.rep_in, case.rep_out, group, tolerance=0.05)
        p = rpp.fit(gp, x[:n], y[:n], rpp.MAP(), progress=False).predict(x[n:])
        losses[name] = loss(p.mean, p.std, y[n:])
    return losses


def discovery_prediction(quick: bool = False) -> list[Row]:
    """One case, or two, as a benchmark of `python -m benchmarks`: nats by which what was found is worse."""
    rows = []
    for name in ("SO(1,1), scalar", "SO(2) about a random axis, scalar")[: 1 if quick else 2]:
        found = one(CASES[name], 30 if quick else EXAMPLES, FIRST)
        best = min(v for k, v in found.items() if k not in ("found", "by discovery"))
        rows.append(Row(f"prediction by what was found, {name}", found["by discovery"] - best, 0.1, unit="nats"))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.discovery_prediction")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--only", nargs="+", default=list(CASES), help="names of cases")
    given = parser.parse_args()
    rows = []
    for name, case in CASES.items():
        if case.rep_in is None or name not in given.only:
            continue
        losses = [one(case, EXAMPLES, FIRST + s) for s in range(given.seeds)]
        mean = {k: float(np.mean([found.get(k, np.nan) for found in losses])) for k in losses[0]}
        named = {k: v for k, v in mean.items() if k not in ("found", "by discovery")}
        best = min(named, key=lambda k: named[k])
        rows.append(
            f"| {name} | {best} | {named[best]:.2f} | {named['none']:.2f} | {mean.get('found', np.nan):.2f} | "
            f"{mean['by discovery']:.2f} |"
        )
        print(rows[-1], flush=True)
    only = "" if given.only == list(CASES) else " --only " + " ".join(f'"{name}"' for name in given.only)
    page = PAGE.format(seeds=given.seeds, only=only, last=FIRST + given.seeds - 1, rows="\n".join(rows))
    write_page(OUT, page)


PAGE = f"""# Whether the group that was found predicts as well as the best that one names

Made by `python -m benchmarks.discovery_prediction --seeds {{seeds}}{{only}}`: {EXAMPLES} examples, noise 2 %, seeds
{FIRST} to {{last}}. Negative log density of a number of {TESTS} new examples, the mean of the seeds; lower is better.
Candidates named by hand are fitted as soft `GaussianProcess`, among them the true axis, and none. What was found is so
fitted, where its group has an average (nan: in some seed it has none), and by `found.predict`, the functions with
which the discovery ends, which may be boosted.

| data | best by hand | its loss | none | found, soft | found.predict |
| --- | --- | --- | --- | --- | --- |
{{rows}}
"""


if __name__ == "__main__":
    main()
