"""bayes-rpp beside its peers: tables without a symmetry, and data with an exact, approximate, mixed or wrong one.

    python -m benchmarks.peers                  5 splits; goes on where it was stopped; writes docs/results/peers.md
    python -m benchmarks.peers --report         the page of what there is so far
    python -m benchmarks.peers --splits 1 --data wine --model NGBoost
    python -m benchmarks.peers --bde PYTHON     an interpreter with sklearn-contrib-bde, which wants another blackjax

Peers that are not installed (`pip install 'bayes-rpp[peers]'`) are left out, with a word. Each fit is a process of its
own.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterable, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_rpp._files import write_page
from benchmarks import peers_symmetric, peers_tables
from benchmarks.peers_data import TABLES, TOLD, parts

OUT = Path("docs/results/peers.md")
OURS = "**bayes-rpp, default**"
CLOSE = 0.05  # nats
SECONDS = 600  # of a fit
EXTRA = "pip install 'bayes-rpp[peers]'"


def models_of(data: str) -> dict[str, Any]:
    return (peers_tables if data in TABLES else peers_symmetric).MODELS


def scores(y: NDArray, said: Any) -> dict[str, float]:
    """NLL, RMSE or accuracy, and the share inside of 90 % intervals or the calibration error of ten bins."""
    from scipy.stats import norm

    if y.dtype.kind != "f":
        p = np.maximum(said, 1e-12) / np.maximum(said, 1e-12).sum(axis=1, keepdims=True)
        sure, right = p.max(axis=1), p.argmax(axis=1) == y
        bins = np.minimum((10 * sure).astype(int), 9)
        gaps = [abs((right[bins == b] - sure[bins == b]).sum()) for b in range(10)]
        nll = -np.log(p[np.arange(len(y)), y]).mean()
        return {"nll": float(nll), "score": float(right.mean()), "calibration": float(sum(gaps) / len(y))}
    mean, std = (np.asarray(a).reshape(y.shape) for a in said)
    inside = np.abs(y - mean) < norm.ppf(0.95) * std
    nll, rmse = -norm.logpdf(y, mean, std).mean(), np.sqrt(((y - mean) ** 2).mean())
    return {"nll": float(nll), "score": float(rmse), "calibration": float(inside.mean())}


def child(data: str, model: str, file: str, seed: int) -> None:
    """One fit; prints scores, CPU seconds without imports, and the most memory of the process in MB."""
    with np.load(file) as kept:
        x, y, new, known = (kept[k] for k in ("x", "y", "new", "known"))
    one, needed = models_of(data)[model]
    import_module(needed)
    told = () if data in TABLES else (TOLD[data],)
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        said = one(x, y, new, seed, *told)
    seconds = time.process_time() - start
    cost = {"seconds": seconds, "memory": peak_memory()}
    print(json.dumps({} if said is None else scores(known, said) | cost))


def peak_memory() -> float:
    """MB that this process has taken at most; what `resource` says begins with what its parent had (Linux)."""
    file = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", file.read_text()) if file.exists() else None
    return int(found[1]) / 1024 if found else float("nan")


def measured(data: str, model: str, seed: int, bde: str | None) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "data.npz")
        np.savez(file, **dict(zip(("x", "y", "new", "known"), parts(data, seed), strict=True)))
        program = bde if bde and models_of(data)[model][1] == "bde" else sys.executable
        command = [program, "-m", "benchmarks.peers", "--child", data, model, str(file), str(seed)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        except subprocess.TimeoutExpired:
            return {"failed": f"took more than {SECONDS} s"}
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"ended with {done.returncode}"]  # killed, say, for its memory
        return {"failed": said[-1][:200]}
    return json.loads(done.stdout.splitlines()[-1])


def table(data: str, found: Sequence[dict[str, Any]]) -> tuple[list[str], dict[str, Any]]:
    """Rows of a data set, lowest NLL first, and its line of the summary."""
    by_model: dict[str, list[dict[str, Any]]] = {}
    for line in found:
        if line["key"][0] == data and "nll" in line:
            by_model.setdefault(line["key"][1], []).append(line)
    means = {m: {k: np.mean([v[k] for v in vs]) for k in vs[0] if k != "key"} for m, vs in by_model.items()}
    order = sorted(means, key=lambda m: means[m]["nll"])
    rows = [
        f"| {data} | {m} | {means[m]['nll']:.3f} | {means[m]['score']:.3f} | {means[m]['calibration']:.3f} | "
        f"{means[m]['seconds']:.1f} | {means[m]['memory']:.0f} | {len(by_model[m])} |"
        for m in order
    ]
    peers = [m for m in order if not m.startswith(("**bayes-rpp", "bayes-rpp", "strict functions"))]
    return rows, {"data": data, "means": means, "order": order, "peers": peers}


def summary(line: dict[str, Any]) -> str:
    """Rank of our default by NLL among itself and the peers, and both beside the best peer."""
    means, peers = line["means"], line["peers"]
    if OURS not in means or not peers:
        return f"| {line['data']} | not measured | | | | |"
    own, best = means[OURS], means[peers[0]]
    rank = 1 + sum(means[m]["nll"] < own["nll"] for m in peers)
    accuracy = is_accuracy(line["data"])
    scored = sorted(peers, key=lambda m: (-1 if accuracy else 1) * means[m]["score"])[0]
    beside = f"{own['score']:.3f}, {means[scored]['score']:.3f} ({scored})"
    word = "lowest" if rank == 1 else "within 0.05" if own["nll"] <= best["nll"] + CLOSE else "**behind**"
    cells = [line["data"], f"{rank} of {len(peers) + 1}", f"{own['nll']:.3f}", f"{best['nll']:.3f} ({peers[0]})"]
    return "| " + " | ".join([*cells, word, beside]) + " |"


def losses(lines: Iterable[dict[str, Any]]) -> list[str]:
    """Each peer that is ahead of our default, by NLL or by the score, and by how much."""
    found = []
    for line in lines:
        means = line["means"]
        if OURS not in means:
            continue
        own, sign = means[OURS], -1 if is_accuracy(line["data"]) else 1
        for m in line["peers"]:
            by = [("NLL", own["nll"] - means[m]["nll"]), ("score", sign * (own["score"] - means[m]["score"]))]
            ahead = [f"{what} by {gap:.3f}" for what, gap in by if gap >= 0.0005]
            if ahead:
                found.append(f"- {line['data']}: {m} is ahead in {' and '.join(ahead)}.")
    return found or ["In no row."]


def is_accuracy(data: str) -> bool:
    return data in ("breast cancer", "wine", "digits") or "classes" in data


def report(found: Sequence[dict[str, Any]], command: str, skipped: Sequence[str]) -> str:
    import datetime

    import bayes_rpp as rpp

    tables = [table(name, found) for name in (*TABLES, *TOLD)]
    tables = [t for t in tables if t[0]]
    failed = [
        f"- {line['key'][1]} on {line['key'][0]}, split {line['key'][2]}: {line['failed']}"
        for line in found
        if "failed" in line
    ]
    lines = [
        "# Beside the peers",
        f"\nMade by `{command}` with bayes-rpp {rpp.__version__} on {datetime.date.today()}, while the machine was "
        "busy. All models have the same splits; figures are means over the splits that the last column counts. Numbers "
        "to predict are in standard deviations of the training data, NLL too. The score is the RMSE of numbers, the "
        "accuracy of classes; calibration is the share of numbers inside of 90 % intervals (0.9 is right), of classes "
        "the expected calibration error of ten bins (0 is right). Seconds are those of a CPU, with compilation and "
        "without imports; memory is the most that the process took, with imports. Models are at their defaults but for "
        "what `benchmarks/peers_tables.py` and `benchmarks/peers_symmetric.py` say.\n",
        "## Where we stand\n",
        "Our default (`RPPRegressor()`, `RPPClassifier()`, `GaussianProcess` of several groups) beside the best peer "
        "by NLL. A strict EMLP and the projection penalty, which the library fits too, count as peers here. The e3nn "
        "network is a small one that was made for this table and hardly tuned.\n",
        "| data | our rank by NLL | our NLL | best peer's NLL | in words | score, ours and best peer's |",
        "| --- | --- | --- | --- | --- | --- |",
        *(summary(line) for _, line in tables),
        "\n## Where we lose\n",
        *losses(line for _, line in tables),
        "\n## All figures\n",
        "| data | model | NLL | score | calibration | CPU s | MB | splits |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        *(row for rows, _ in tables for row in rows),
    ]
    if skipped:
        lines += ["\nNot installed, and left out: " + ", ".join(skipped) + "."]
    if failed:
        lines += ["\nFits that failed:\n", *failed]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--data", action="append", choices=(*TABLES, *TOLD))
    parser.add_argument("--model", action="append", help="whose name holds this; of several each")
    parser.add_argument("--bde", metavar="PYTHON", help="an interpreter that has sklearn-contrib-bde")
    parser.add_argument("--kept", type=Path, default=Path("peers.jsonl"), metavar="FILE")
    parser.add_argument("--report", action="store_true", help="of what is kept alone: nothing is measured")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--child", nargs=4, metavar=("DATA", "MODEL", "FILE", "SEED"), help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.child:
        data, model, file, seed = given.child
        child(data, model, file, int(seed))
        return 0
    from benchmarks.rows import kept

    keys, skipped = [], {}
    for seed in range(given.splits):
        for data in given.data or (*TABLES, *TOLD):
            for model, (_, needed) in models_of(data).items():
                if given.model and not any(part in model for part in given.model):
                    continue
                if find_spec(needed.partition(".")[0]) is None and not (needed == "bde" and given.bde):
                    skipped[model] = f"{model}: {needed.partition('.')[0]} is not installed, left out; {EXTRA} would do"
                    continue
                keys.append((data, model, seed))
    if given.report:
        there = {tuple(json.loads(line)["key"]) for line in given.kept.read_text().splitlines()}
        keys = [key for key in keys if key in there]
    print(*skipped.values(), sep="\n", file=sys.stderr)
    found = kept(given.kept, keys, lambda *key: measured(*key, given.bde))
    command = " ".join(
        ["python -m benchmarks.peers", f"--splits {given.splits}", *(["--bde PYTHON"] if given.bde else [])]
    )
    write_page(given.out, report(found, command, list(skipped)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
