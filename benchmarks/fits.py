"""What fits say of six data sets from physics, beside the truth: verdicts, errors, ensembles, Laplace, estimators.

    python -m benchmarks.fits                       goes on where it was stopped; writes docs/results/fits.md
    python -m benchmarks.fits --report              the page of what there is so far
    python -m benchmarks.fits --part verdict --counts 100 --seeds 3

Parts, dearest last: verdict, estimator, product, ensemble, laplace. Figures are kept in fits.jsonl. All targets are
standardised as the estimators do; RMSE is in standard deviations of the test targets.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import bayes_rpp as rpp
from bayes_rpp._files import write_page
from bayes_rpp.analysis.broken import percent
from benchmarks.fits_data import PROBLEMS, Problem, hydrogens

OUT = Path("docs/results/fits.md")
TUNED = rpp.Prior("HalfNormal", {"scale": 1.0})
MEMBERS, LONG, STARTS = 5, 3000, 10


def verdict(problem: Problem, seed: int) -> dict[str, Any]:
    """What is said to hold, and of what the data are said not to decide; which of that contradicts a containment or the
    truth; whether the interval of the softest model's error, of each candidate that is broken, holds the true error."""
    start = time.process_time()
    names = {"rep_in": problem.rep_in, "rep_out": problem.rep_out, "seed": seed, "progress": False}
    found = rpp.compare_symmetries(problem.x, problem.y, problem.groups, **names)
    judgment = found.judgment
    holds = [name for name in judgment.holds if name != "none"]
    undecided = {name: judgment.unseen[name] for name in judgment.undecided}
    kept = {*holds, *undecided}
    wrong = [f"{a} denied, {b} is not" for a, b in problem.contained if b in kept and a not in kept]
    wrong += [f"{a} undecided, {b} holds" for a, b in problem.contained if b in holds and a not in holds]
    wrong += [f"{name} denied" for name in problem.holds if name not in kept]
    broken = set(problem.groups) - set(problem.holds) - {"none"}
    wrong += [f"{name} is said to hold" for name in broken if name in holds]
    # An undecided one is said to be broken by no more than what stays unseen.
    wrong += [f"{name} is broken by more" for name, size in undecided.items() if problem.truth.get(name, 0.0) > size]
    truth = problem.truth
    errors = {name: [truth[name], e.low, e.high] for name, e in judgment.errors.items() if name in truth}
    best = found.posteriors[found.recommended]
    mean = found.standardize_y.undo(best.predict(found.standardize_x(problem.test_x), samples=False).mean)
    said = {
        "holds": holds,
        "true": problem.holds,
        "undecided": undecided,
        "wrong": wrong,
        "errors": errors,
        "recommended": " ".join(found.recommended),
    }
    models = "functions" if isinstance(best.model, rpp.GaussianProcess) else "networks"
    return said | {"models": models, "rmse": rmse(mean, problem.test_y), "seconds": time.process_time() - start}


def estimator(problem: Problem, seed: int) -> dict[str, Any]:
    """RMSE of the default and of other settings, with the symmetry that nearly holds, or holds."""
    found = {}
    laplace = rpp.Laplace(evidence="maximize", batch_size=None, every=100, steps=5, polish=15)
    for name, settings in {
        "default": {},
        "networks": {"method": None},
        "Laplace": {"method": laplace, "sigma_a": TUNED, "channels": 32, "layers": 1},
    }.items():
        start = time.process_time()
        model = _regressor(problem, seed, **settings).fit(problem.x, problem.y)
        mean, std = model.predict(problem.test_x, return_std=True)
        inside = float((np.abs(mean - problem.test_y) < 1.645 * std).mean())
        found[name] = [rmse(mean, problem.test_y), inside, time.process_time() - start]
    return {"rmse": found}


def product(problem: Problem, seed: int) -> dict[str, Any]:
    """RMSE of strict networks under O(3) and under S(3) x O(3), whose features have both indices, for the dipole."""
    x, test = hydrogens(problem.x), hydrogens(problem.test_x)
    found = {}
    for group, rep_in, rep_out in (
        (rpp.O(3), 3 * rpp.Vector, rpp.Vector),
        (rpp.S(3) * rpp.O(3), rpp.Vector.on(0) * rpp.Vector.on(1), rpp.Vector.on(1)),
    ):
        net = rpp.EMLP(rep_in, rep_out, group, channels=64, layers=2)
        model = rpp.Model(net, sigma_b=0.0, likelihood=rpp.Gaussian(0.02))
        method = rpp.DeepEnsemble(members=2, restarts=3, epochs=500, batch_size=50)
        post = rpp.fit(model, x, problem.y, method, seed=seed, progress=False)
        found[str(group)] = rmse(post.predict(test, samples=False).mean, problem.test_y)
    return {"rmse": found}


def ensemble(problem: Problem, seed: int) -> dict[str, Any]:
    """RMSE of the estimator's ensemble beside that of the best two of its members by themselves."""
    model = _regressor(problem, seed, method=None).fit(problem.x, problem.y)
    post = model.posterior_
    outputs = post.outputs(model.standardize_x_(problem.test_x))[0]
    each, counts = np.unique(outputs, axis=0, return_counts=True)
    members = [model.standardize_y_.undo(f) for f in each]
    best = sorted(members, key=lambda mean: rmse(mean, problem.test_y))[:2]
    whole = rmse(model.predict(problem.test_x), problem.test_y)
    return {"rmse": whole, "best two": rmse(np.mean(best, axis=0), problem.test_y), "counts": counts.tolist()}


def laplace(problem: Problem, seed: int) -> dict[str, Any]:
    """RMSE of Laplace at the mode of the highest evidence of several members, beside the best of ten long MAP starts at
    a noise of 0.05, by the test data itself, and their mean."""
    rep_in, rep_out, group = problem.rep_in, problem.rep_out, _symmetry(problem)
    net = rpp.EMLP(rep_in, rep_out, group, channels=32, layers=1)
    scale = float(np.sqrt((problem.y**2).mean()))
    residual = rpp.PerLayer(rpp.Prior("HalfNormal", {"scale": 0.05}))
    found: dict[str, Any] = {}
    start = time.process_time()
    for members in (1, MEMBERS):
        model = rpp.Model(net, sigma_b=residual, likelihood=rpp.Gaussian(rpp.Prior("HalfNormal", {"scale": 0.3})))
        method = rpp.Laplace(evidence="maximize", members=members, epochs=500, batch_size=None, every=100, draws=2)
        post = rpp.fit(model, problem.x, problem.y / scale, method, seed=seed, progress=False)
        mean = scale * post.predict(problem.test_x, samples=False).mean
        found[f"members {members}"] = rmse(mean, problem.test_y)
        found[f"seconds {members}"] = time.process_time() - start
        start = time.process_time()
    fixed = rpp.Model(net, sigma_b=0.05, likelihood=rpp.Gaussian(0.05))
    method = rpp.DeepEnsemble(members=STARTS, epochs=LONG, batch_size=None)
    post = rpp.fit(fixed, problem.x, problem.y / scale, method, seed=seed, progress=False)
    outputs = scale * post.outputs(problem.test_x)[0]
    each = [rmse(mean, problem.test_y) for mean in outputs]
    found |= {"best of ten": min(each), "mean of ten": float(np.mean(each))}
    return found | {"seconds of ten": time.process_time() - start}


PARTS: dict[str, Callable[[Problem, int], dict[str, Any]]] = {
    "verdict": verdict,
    "estimator": estimator,
    "product": product,
    "ensemble": ensemble,
    "laplace": laplace,
}


def rmse(mean: NDArray, y: NDArray) -> float:
    """In standard deviations of y."""
    return float(np.sqrt(((mean - y) ** 2).mean()) / np.sqrt(((y - y.mean(axis=0)) ** 2).mean()))


def _symmetry(problem: Problem) -> Any:
    """The largest that holds, or the one that is broken least."""
    name = next((name for name in ("O(3)", "about z") if name in problem.holds), "dipole axis")
    return problem.groups[name]


def _regressor(problem: Problem, seed: int, **settings: Any) -> rpp.RPPRegressor:
    return rpp.RPPRegressor(_symmetry(problem), problem.rep_in, problem.rep_out, random_state=seed, **settings)


def measured(data: str, count: int, seed: int, part: str) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return PARTS[part](PROBLEMS[data](count, seed), seed)


# %% The page
def report(found: Sequence[dict[str, Any]], command: str) -> str:
    of: dict[str, list[dict[str, Any]]] = {part: [r for r in found if r["key"][3] == part] for part in PARTS}
    lines = [
        "# Fits beside the truth",
        f"\nMade by `{command}` with bayes-rpp {rpp.__version__} on {datetime.date.today()}, while the machine was "
        "busy; `benchmarks/fits_data.py` says what the data are. They have no noise. RMSE is in standard deviations of "
        "the test targets; a seed stands for data, split and start. Rows that are not there were not measured.\n",
        "## Verdicts\n",
        "The rule: a symmetry that nothing speaks against is said to hold where a breaking of 1 % (Eq. 2) would be "
        "seen, as the strict model's leave-one-out error, in the same units, is smaller. Else the verdict says that "
        "the data do not decide, and the error below which breakings stay unseen. A verdict is wrong that says that a "
        "symmetry holds which the simulator breaks, by however little; that the data do not decide, where the true "
        "breaking is larger than what is said to stay unseen; that denies one that holds; or that contradicts a "
        "containment.\n",
        "| data | examples | seed | models | said to hold | undecided (unseen below) | wrong | true errors in the "
        "interval | RMSE | CPU s |",
        "| --- " * 10 + "|",
    ]
    inside = total = 0
    for r in of["verdict"]:
        cells = []
        for name, (truth, low, high) in r["errors"].items():
            total, inside = total + 1, inside + (low <= truth <= high)
            cells.append(f"{name} {truth:.3f} in {low:.3f} to {high:.3f}")
        undecided = ", ".join(f"{name} ({percent(size)})" for name, size in r["undecided"].items())
        row = [r["models"], ", ".join(r["holds"]), undecided, "; ".join(r["wrong"]), "; ".join(cells)]
        lines.append(_row(r, *row, f"{r['rmse']:.3f}", f"{r['seconds']:.0f}"))
    wrong = sum(bool(r["wrong"]) for r in of["verdict"])
    asked = sum(len(r["undecided"]) for r in of["verdict"])
    lines += [f"\n{wrong} of {len(of['verdict'])} verdicts are wrong; {asked} symmetries are undecided, of which "
              f"{sum(len(set(r['undecided']) & set(r['true'])) for r in of['verdict'])} hold in truth. {inside} of "
              f"{total} intervals of 90 % hold the true error."]  # fmt: skip
    names = ("default", "networks", "Laplace")
    lines += [
        "\n## Estimators\n",
        "RMSE, and the share of the test data inside of 90 % intervals, with the largest symmetry that holds: "
        "by default (functions), networks=`method=None`, and Laplace with settings like a comparison's.\n",
    ]
    lines += ["| data | examples | seed | " + " | ".join(names) + " |", "| --- " * 6 + "|"]
    best = 0
    for r in of["estimator"]:
        lines.append(_row(r, *(f"{r['rmse'][n][0]:.3f}, {100 * r['rmse'][n][1]:.0f} %" for n in names)))
        best += r["rmse"]["default"][0] <= 1.1 * min(v[0] for v in r["rmse"].values())
    lines += [f"\nThe default is within 10 % of the best of the three in {best} of {len(of['estimator'])}."]
    lines += ["\n## Indices of atoms and of space\n", "| data | examples | seed | O(3) | S(3) * O(3) |"]
    lines += ["| --- " * 5 + "|", *(_row(r, *(f"{v:.4f}" for v in r["rmse"].values())) for r in of["product"])]
    lines += ["\n## Ensembles\n", "| data | examples | seed | RMSE | best two members | ratio | counted as |"]
    lines += ["| --- " * 7 + "|"]
    for r in of["ensemble"]:
        ratio = r["rmse"] / r["best two"]
        lines.append(_row(r, f"{r['rmse']:.3f}", f"{r['best two']:.3f}", f"{ratio:.2f}", str(r["counts"])))
    lines += ["\n## Laplace\n", "Tuned by the evidence, from one start and from five, beside the best, by the test "
              "data, of ten long MAP starts at a noise of 0.05, and their mean.\n"]  # fmt: skip
    lines += ["| data | examples | seed | one | five | best of ten | mean of ten | CPU s |", "| --- " * 8 + "|"]
    close = usual = 0
    for r in of["laplace"]:
        five, ten = r[f"members {MEMBERS}"], r["best of ten"]
        close += five <= 1.05 * ten
        usual += five <= 1.05 * r["mean of ten"]
        seconds = "/".join(f"{r[k]:.0f}" for k in ("seconds 1", f"seconds {MEMBERS}", "seconds of ten"))
        lines.append(_row(r, f"{r['members 1']:.3f}", f"{five:.3f}", f"{ten:.3f}", f"{r['mean of ten']:.3f}", seconds))
    lines += [f"\nFive members are within 5 % of the best of ten in {close} of {len(of['laplace'])}, of their "
              f"mean in {usual}."]  # fmt: skip
    return "\n".join(lines) + "\n"


def _row(r: dict[str, Any], *cells: str) -> str:
    return "| " + " | ".join([*map(str, r["key"][:3]), *cells]) + " |"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[100, 300])
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--first", type=int, default=0, help="of the seeds")
    parser.add_argument("--part", choices=PARTS, action="append")
    parser.add_argument("--data", choices=PROBLEMS, action="append")
    parser.add_argument("--kept", type=Path, default=Path("fits.jsonl"), metavar="FILE")
    parser.add_argument("--report", action="store_true", help="of what is kept alone: nothing is measured")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args(arguments)
    from benchmarks.rows import kept

    there = {tuple(json.loads(line)["key"]) for line in given.kept.read_text().splitlines()} if given.report else set()
    seeds = sorted({key[2] for key in there}) if given.report else range(given.first, given.first + given.seeds)
    keys = [
        (data, count, seed, part)
        for part in given.part or PARTS
        for count in given.counts
        for seed in seeds
        for data in given.data or PROBLEMS
        if part != "product" or data == "dipole of ammonia"
    ]
    if given.report:
        keys = [key for key in keys if key in there]
    found = kept(given.kept, keys, measured)
    write_page(given.out, report(found, "python -m benchmarks.fits"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
