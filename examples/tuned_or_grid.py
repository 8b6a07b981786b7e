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
from bayes_rpp._files import write_page

OUT = Path("docs/results/tuned_or_grid.md")
SEEDS, GRID, FIRST = [*map(int, sys.argv[1:]), *(3, 6, 0)[len(sys.argv) - 1 :]]
EXAMPLES, OBSERVED = 80, 0.1  # noise added to y, in units of its size
CHANNELS = 2 * rpp.Scalar + 3 * rpp.T(2)
METHOD = rpp.Laplace(
    evidence="maximize", epochs=300, batch_size=None, learning_rate=0.1, every=100, steps=5, polish=15, draws=100
)
NOISE = rpp.Prior("HalfNormal", {"scale": 0.3})
# Of sigma_a and sigma_b by layer: from small ones, with which weights grow as the data ask, it ends at better modes.
START = (0.1, 0.02)
STARTS = 8  # initial values of the weights
AGAIN = 5  # starts of the grid's best cell, for comparison
Numbers = dict[str, float]


def by_layer(start: float) -> rpp.PerLayer:
    return rpp.PerLayer(rpp.Prior("HalfNormal", {"scale": start}))


def products(x: np.ndarray) -> np.ndarray:
    """The five tensors m r r^T, (n, 45): of masses and positions themselves a narrow network fits little."""
    m, r = x[:, :5].astype(np.float64), x[:, 5:].reshape(-1, 5, 3).astype(np.float64)
    return np.einsum("nk,nki,nkj->nkij", m, r, r).reshape(len(x), 45)


def data(seed: int) -> tuple[Any, Any, Any]:
    """Network, training and test data, in units of their size, centred by a multiple of the identity, which all groups
    keep."""
    sets = [rpp.datasets.modified_inertia(n, seed=s) for n, s in ((EXAMPLES, seed), (1000, 10**6 + seed))]
    noise = np.random.default_rng(seed)
    found, pairs = {}, []
    for one in sets:
        pair = []
        for what, values in (("x", products(one.x)), ("y", one.y)):
            if what not in found:
                middle = values.reshape(-1, 3, 3).trace(axis1=1, axis2=2).mean() / 3
                center = np.tile(middle * np.eye(3).ravel(), values.shape[1] // 9)
                found[what] = center, np.sqrt(((values - center) ** 2).mean())
            center, scale = found[what]
            pair.append((values - center) / scale)
        pairs.append((pair[0], pair[1] + OBSERVED * noise.normal(size=pair[1].shape)))
    # The page was made before bilinear layers made products of tensors directly.
    net = rpp.EMLP(5 * rpp.T(2), rpp.T(2), sets[0].group, CHANNELS, layers=1, products=False)
    return net, *pairs


def scores(post: rpp.Posterior, test: Any) -> Numbers:
    found = post.metrics(*test)
    numbers = {k: float(post.samples[k].flat[0]) for k in post.model.latents}  # of the best mode
    return {"nll": found["nll"], "rmse": found["rmse"], "evidence": post.log_evidence, "modes": post.chains} | numbers


# %% What it does
def fit(seed: int, sigma_a: Any, sigma_b: Any, start: int = 0) -> rpp.Posterior:
    """The same training for all, with the noise tuned (MAP alone would take much of y for noise); polishing has a
    second stage where there are sigmas to tune."""
    net, train, _ = data(seed)
    model = rpp.Model(net, sigma_a=sigma_a, sigma_b=sigma_b, likelihood=rpp.Gaussian(NOISE))
    return rpp.fit(model, *train, METHOD, seed=seed + 1000 * start, progress=False)


def together(seed: int, fits: list[rpp.Posterior], start: float) -> dict[str, Any]:
    seconds, test = time.perf_counter() - start, data(seed)[2]
    found = scores(rpp.mixture(fits), test) | {"seconds": seconds}
    return found | {"starts": [scores(post, test) for post in fits]}


def tuned(seed: int) -> dict[str, Any]:
    """From all starts: the modes of about the highest evidence together, and each alone."""
    start = time.perf_counter()
    fits = [fit(seed, *map(by_layer, START), k) for k in range(STARTS)]
    return together(seed, fits, start)


def cell(seed: int, sigma_a: float, sigma_b: float, starts: int = 1) -> dict[str, Any]:
    start = time.perf_counter()
    fits = [fit(seed, sigma_a, sigma_b, k) for k in range(starts)]
    return together(seed, fits, start) | {"sigma_a": sigma_a, "sigma_b": sigma_b}


def main() -> None:
    kept = OUT.with_suffix(".json")
    OUT.parent.mkdir(parents=True, exist_ok=True)
    rows = json.loads(kept.read_text()) if kept.exists() else {}
    grid = list(itertools.product(np.geomspace(0.1, 3.0, GRID).tolist(), np.geomspace(0.01, 1.0, GRID).tolist()))

    def do(name: str, run: Any) -> None:
        if name not in rows:
            rows[name] = run()
            kept.write_text(json.dumps(rows, indent=1))
            print(name, {k: v for k, v in rows[name].items() if k != "starts"}, flush=True)

    for seed in range(FIRST, FIRST + SEEDS):
        do(f"{seed} tuned", partial(tuned, seed))
        for a, b in grid:
            do(f"{seed} cell {a:.3g} {b:.3g}", partial(cell, seed, a, b))
        best = min(cells(rows, seed), key=lambda c: c["nll"])
        do(f"{seed} best", partial(cell, seed, best["sigma_a"], best["sigma_b"], AGAIN))
    write_page(OUT, report(rows))
    print(OUT.read_text())


def cells(rows: dict[str, dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    return [row for name, row in rows.items() if name.startswith(f"{seed} cell ")]


def report(rows: dict[str, dict[str, Any]]) -> str:
    header = ["seed", "tuned: NLL (modes)", "its best mode alone", "grid: lowest NLL", "at sigma_a, sigma_b"]
    header += [f"that cell from {AGAIN} starts (modes)", "NLL of the cell of the highest evidence"]
    header += ["log evidence: tuned", "highest of the grid", "RMSE: tuned", "best cell", "s, tuned", "s, grid"]
    lines = [header, ["---"] * len(header)]
    for seed in range(FIRST, FIRST + SEEDS):
        mine, again, grid = rows[f"{seed} tuned"], rows[f"{seed} best"], cells(rows, seed)
        alone = max(mine["starts"], key=lambda s: s["evidence"])
        best, likely = min(grid, key=lambda c: c["nll"]), max(grid, key=lambda c: c["evidence"])
        line = [str(seed), f"{mine['nll']:.3f} ({mine['modes']})", f"{alone['nll']:.3f}", f"{best['nll']:.3f}"]
        line += [f"{best['sigma_a']:.3g}, {best['sigma_b']:.3g}", f"{again['nll']:.3f} ({again['modes']})"]
        line += [f"{likely['nll']:.3f}", f"{mine['evidence']:.0f}", f"{likely['evidence']:.0f}", f"{mine['rmse']:.3f}"]
        line += [f"{best['rmse']:.3f}", f"{mine['seconds']:.0f}", f"{sum(c['seconds'] for c in grid):.0f}"]
        lines.append(line)
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return (
        f"# Tuned by the evidence, or a grid\n\nMade by `python examples/tuned_or_grid.py {SEEDS} {GRID} {FIRST}`: "
        f"modified inertia from the five tensors m r rᵀ, {EXAMPLES} examples, noise of {OBSERVED} of y's size added; "
        f"an EMLP with one hidden layer ({CHANNELS}), test sets of 1000. NLL of Laplace posteriors (full covariance) "
        "in units of y's size; the lower, the better. All fits have the same epochs, the noise tuned, and are polished "
        f"by up to {METHOD.polish} steps, those with sigmas to tune by as many again. "
        f"**Tuned** are sigma_a and sigma_b, by layer, from {START[0]:g} and {START[1]:g}, with {STARTS} initial "
        "values of the weights; modes within 30 nats of the best predict together (`rpp.mixture`). The **grid** has "
        f"{GRID} x {GRID} fixed pairs, sigma_a from 0.1 to 3 and sigma_b from 0.01 to 1, one start each, and its best "
        "cell is chosen by the test NLL itself.\n\n"
        f"{table}\n"
    )


# %% Run it
if __name__ == "__main__":
    rpp.inference.cache_compilations()  # one program for all initial values of a model
    main()
