"""Sigmas tuned by the evidence, or the best of a 6 x 6 grid of fixed ones? Test NLL and time on modified inertia.

python examples/tuned_or_grid.py [seeds [grid [first]]]     3 seeds from 0 and 6 by default; writes
docs/results/tuned_or_grid.md, and goes on where it stopped
"""

# %% Libraries and settings
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import bayes_rpp as rpp

OUT = Path("docs/results/tuned_or_grid.md")
SEEDS, GRID, FIRST = [*map(int, sys.argv[1:]), *(3, 6, 0)[len(sys.argv) - 1 :]]
# The bilinear layer multiplies two vectors through a T(3): without some, no equivariant network of this kind fits.
EXAMPLES, EACH = 200, 5
CHANNELS = EACH * (rpp.Scalar + rpp.Vector + rpp.T(2) + rpp.T(3))
TRAINING: dict[str, Any] = {"epochs": 100, "batch_size": 100}
LAPLACE: dict[str, Any] = {"evidence": "maximise", "draws": 40, "steps": 6}
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
def tuned(seed: int) -> dict[str, Any]:
    """The start of the highest evidence, its test scores, and the seconds of all."""
    net, train, test = data(seed)
    start = time.perf_counter()
    fits = []
    for a, b in STARTS:
        model = rpp.Model(net, sigma_a=by_layer(a), sigma_b=by_layer(b), likelihood=rpp.Gaussian(NOISE))
        method = rpp.Laplace(**TRAINING, **LAPLACE, every=50, polish=8)
        fits.append(rpp.fit(model, *train, method, seed=seed, progress=False))
    best = max(fits, key=lambda post: post.log_evidence)
    seconds = time.perf_counter() - start
    return scores(best, test) | {"seconds": seconds, "starts": [scores(post, test) for post in fits]}


def grid(seed: int) -> dict[str, Any]:
    """All cells, trained as one program; each gets the same Gaussian and a tuned noise. Seconds without the scores."""
    net, train, test = data(seed)
    spent = 0.0

    def score(cell: rpp.Posterior) -> Numbers:
        nonlocal spent
        post = rpp.fit(cell.model, *train, rpp.Laplace(epochs=0, **LAPLACE, polish=2), init=cell, progress=False)
        begin = time.perf_counter()
        found = scores(post, test)
        spent += time.perf_counter() - begin
        return found

    sigmas = {"sigma_a": np.geomspace(0.1, 3.0, GRID).tolist(), "sigma_b": np.geomspace(0.01, 1.0, GRID).tolist()}
    start = time.perf_counter()
    model = rpp.Model(net, likelihood=rpp.Gaussian(NOISE))
    found = rpp.sweep(model, train, rpp.MAP(**TRAINING), **sigmas, seeds=[seed], scores=score, progress=False)
    seconds = time.perf_counter() - start - spent
    cells = found.squeeze("seed", drop=True).to_dataframe().reset_index()
    return {"cells": cells.to_dict("records"), "seconds": seconds}


def main() -> None:
    kept = OUT.with_suffix(".json")
    OUT.parent.mkdir(parents=True, exist_ok=True)
    rows = json.loads(kept.read_text()) if kept.exists() else {}
    for seed in range(FIRST, FIRST + SEEDS):
        for name, run in (("tuned", tuned), ("grid", grid)):
            if f"{seed} {name}" not in rows:
                rows[f"{seed} {name}"] = run(seed)
                kept.write_text(json.dumps(rows, indent=1))
                print(seed, name, rows[f"{seed} {name}"], flush=True)
    OUT.write_text(report(rows))
    print(OUT.read_text())


def report(rows: dict[str, dict[str, Any]]) -> str:
    header = ["seed", "NLL, tuned", "RMSE", "its sigma_a; sigma_b by layer", "NLL, best of the grid", "RMSE"]
    header += ["its sigma_a, sigma_b", "NLL, grid's highest evidence", "log evidence, tuned", "of the grid's cells"]
    header += ["s, tuned", "s, grid"]
    lines = [header, ["---"] * len(header)]
    for seed in range(FIRST, FIRST + SEEDS):
        mine, theirs = rows[f"{seed} tuned"], rows[f"{seed} grid"]
        cells = [c for c in theirs["cells"] if np.isfinite(c["nll"])]
        best = min(cells, key=lambda c: c["nll"])
        likely = max(cells, key=lambda c: c["evidence"])
        sigmas = [", ".join(f"{v:.3g}" for k, v in mine.items() if k.startswith(s)) for s in ("sigma_a", "sigma_b")]
        cell = [str(seed), f"{mine['nll']:.3f}", f"{mine['rmse']:.3f}", "; ".join(sigmas)]
        cell += [f"{best['nll']:.3f}", f"{best['rmse']:.3f}", f"{best['sigma_a']:.3g}, {best['sigma_b']:.3g}"]
        cell += [f"{likely['nll']:.3f}", f"{mine['evidence']:.0f}"]
        cell += [f"{min(c['evidence'] for c in cells):.0f} to {likely['evidence']:.0f}"]
        lines.append([*cell, f"{mine['seconds']:.0f}", f"{theirs['seconds']:.0f}"])
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return (
        f"# Tuned by the evidence, or a grid\n\nMade by `python examples/tuned_or_grid.py {SEEDS} {GRID} {FIRST}`: "
        f"modified inertia, {EXAMPLES} examples, an EMLP with one hidden layer ({EACH} scalars, vectors, T(2) and T(3) "
        "each), test sets of 1000. NLL of Laplace posteriors (full covariance) in units of y's size; all have the same "
        "epochs and the noise tuned. Tuned are sigma_a and sigma_b, by layer, from "
        f"{len(STARTS)} starts ({'; '.join(f'{a:g}, {b:g}' for a, b in STARTS)}), of which the highest evidence "
        f"counts; the grid has {GRID} x {GRID} fixed pairs, sigma_a from 0.1 to 3 and sigma_b from 0.01 to 1, trained "
        f"as one program by `sweep`, and its best cell is chosen by the test NLL itself.\n\n{table}\n"
    )


# %% Run it
if __name__ == "__main__":
    main()
