"""Sigmas tuned by the evidence, or the best of a 6 x 6 grid of fixed ones? Test NLL and time on modified inertia.

python examples/tuned_or_grid.py [seeds [grid [first]]]     3 seeds from 0 and 6 by default; writes
docs/results/tuned_or_grid.md, and goes on where it stopped
"""

# %% Libraries and settings
import itertools
import json
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import bayes_rpp as rpp

OUT = Path("docs/results/tuned_or_grid.md")
SEEDS, GRID, FIRST = [*map(int, sys.argv[1:]), *(3, 6, 0)[len(sys.argv) - 1 :]]
# The bilinear layer multiplies two vectors through a T(3): without some, no equivariant network of this kind fits.
EXAMPLES, EACH = 200, 5
CHANNELS = EACH * (rpp.Scalar + rpp.Vector + rpp.T(2) + rpp.T(3))
METHOD = rpp.Laplace(evidence="maximise", epochs=100, batch_size=100, every=50, steps=6, polish=8, draws=40)
NOISE = rpp.Prior("HalfNormal", {"scale": 0.3})
STARTS = ((1.0, 0.1), (2.0, 0.05))  # of sigma_a and sigma_b by layer; the highest evidence counts
Numbers = dict[str, float]


def by_layer(start: float) -> rpp.PerLayer:
    return rpp.PerLayer(rpp.Prior("HalfNormal", {"scale": start}))


def data(seed: int) -> tuple[Any, Any, Any]:
    """Training and test data, y in units of its size, centred by a multiple of the identity, which all groups keep."""
    train, test = (
        rpp.datasets.modified_inertia(EXAMPLES, seed=seed),
        rpp.datasets.modified_inertia(1000, seed=10**6 + seed),
    )
    centre = train.y[:, [0, 4, 8]].mean() * np.eye(3, dtype=np.float32).ravel()
    scale = np.sqrt(((train.y - centre) ** 2).mean())
    net = rpp.EMLP(train.rep_in, train.rep_out, train.group, channels=CHANNELS, layers=1)
    return net, (train.x, (train.y - centre) / scale), (test.x, (test.y - centre) / scale)


def scores(post: rpp.Posterior, test: Any) -> Numbers:
    found = post.metrics(*test)
    tuned = {k: float(post.samples[k].flat[0]) for k in post.model.latents}
    assert post.log_evidence is not None
    return {"nll": found["nll"], "rmse": found["rmse"], "evidence": post.log_evidence} | tuned


# %% What it does
def fit(seed: int, sigma_a: Any, sigma_b: Any) -> rpp.Posterior:
    """The same training, tuning and polishing for all. (MAP alone would take all of y for noise in most cells.)"""
    net, train, _ = data(seed)
    model = rpp.Model(net, sigma_a=sigma_a, sigma_b=sigma_b, likelihood=rpp.Gaussian(NOISE))
    return rpp.fit(model, *train, METHOD, seed=seed, progress=False)


def tuned(seed: int) -> dict[str, Any]:
    """The start of the highest evidence, its test scores, and the seconds of all."""
    start = time.perf_counter()
    fits = [fit(seed, by_layer(a), by_layer(b)) for a, b in STARTS]
    seconds = time.perf_counter() - start
    best = max(fits, key=lambda post: post.log_evidence)
    test = data(seed)[2]
    return scores(best, test) | {"seconds": seconds, "starts": [scores(post, test) for post in fits]}


def cell(seed: int, sigma_a: float, sigma_b: float) -> dict[str, Any]:
    start = time.perf_counter()
    post = fit(seed, sigma_a, sigma_b)
    seconds = time.perf_counter() - start
    return scores(post, data(seed)[2]) | {"sigma_a": sigma_a, "sigma_b": sigma_b, "seconds": seconds}


def main() -> None:
    kept = OUT.with_suffix(".json")
    OUT.parent.mkdir(parents=True, exist_ok=True)
    rows = json.loads(kept.read_text()) if kept.exists() else {}
    grid = list(itertools.product(np.geomspace(0.1, 3.0, GRID).tolist(), np.geomspace(0.01, 1.0, GRID).tolist()))
    for seed in range(FIRST, FIRST + SEEDS):
        todo = {f"{seed} tuned": partial(tuned, seed)}
        todo |= {f"{seed} {a:.3g} {b:.3g}": partial(cell, seed, a, b) for a, b in grid}
        for name, run in todo.items():
            if name not in rows:
                rows[name] = run()
                kept.write_text(json.dumps(rows, indent=1))
                print(name, rows[name], flush=True)
    OUT.write_text(report(rows))
    print(OUT.read_text())


def report(rows: dict[str, dict[str, Any]]) -> str:
    header = ["seed", "NLL, tuned", "RMSE", "its sigma_a; sigma_b by layer", "NLL, best of the grid", "RMSE"]
    header += ["its sigma_a, sigma_b", "NLL, grid's highest evidence", "log evidence, tuned", "of the grid's cells"]
    header += ["s, tuned", "s, grid"]
    lines = [header, ["---"] * len(header)]
    for seed in range(FIRST, FIRST + SEEDS):
        mine = rows[f"{seed} tuned"]
        cells = [row for name, row in rows.items() if name.startswith(f"{seed} ") and row is not mine]
        best = min(cells, key=lambda c: c["nll"])
        likely = max(cells, key=lambda c: c["evidence"])
        sigmas = [", ".join(f"{v:.3g}" for k, v in mine.items() if k.startswith(s)) for s in ("sigma_a", "sigma_b")]
        line = [str(seed), f"{mine['nll']:.3f}", f"{mine['rmse']:.3f}", "; ".join(sigmas)]
        line += [f"{best['nll']:.3f}", f"{best['rmse']:.3f}", f"{best['sigma_a']:.3g}, {best['sigma_b']:.3g}"]
        line += [f"{likely['nll']:.3f}", f"{mine['evidence']:.0f}"]
        line += [f"{min(c['evidence'] for c in cells):.0f} to {likely['evidence']:.0f}"]
        lines.append([*line, f"{mine['seconds']:.0f}", f"{sum(c['seconds'] for c in cells):.0f}"])
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return (
        f"# Tuned by the evidence, or a grid\n\nMade by `python examples/tuned_or_grid.py {SEEDS} {GRID} {FIRST}`: "
        f"modified inertia, {EXAMPLES} examples, an EMLP with one hidden layer ({EACH} scalars, vectors, T(2) and T(3) "
        "each), test sets of 1000. NLL of Laplace posteriors (full covariance) in units of y's size; all have the same "
        "epochs and the noise tuned. Tuned are sigma_a and sigma_b, by layer, from "
        f"{len(STARTS)} starts ({'; '.join(f'{a:g}, {b:g}' for a, b in STARTS)}), of which the highest evidence "
        f"counts; the grid has {GRID} x {GRID} fixed pairs, sigma_a from 0.1 to 3 and sigma_b from 0.01 to 1, and its "
        f"best cell is chosen by the test NLL itself.\n\n{table}\n"
    )


# %% Run it
if __name__ == "__main__":
    main()
