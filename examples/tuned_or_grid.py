"""Sigmas tuned by the evidence, or the best of a 6 x 6 grid of fixed ones? Test NLL and time on modified inertia.

python examples/tuned_or_grid.py [seeds [grid]]     3 seeds and 6 by default; writes docs/results/tuned_or_grid.md
"""

import itertools
import sys
import time
from pathlib import Path

import numpy as np

import bayes_rpp as rpp

OUT = Path("docs/results/tuned_or_grid.md")
SEEDS = int(sys.argv[1]) if len(sys.argv) > 1 else 3
GRID = int(sys.argv[2]) if len(sys.argv) > 2 else 6
EXAMPLES, CHANNELS = 60, 24
OPTIONS = {"epochs": 120, "batch_size": None, "draws": 100, "polish": 6}
TUNED = rpp.Laplace(evidence="maximise", every=60, steps=6, **OPTIONS)
NOISE = rpp.Prior("HalfNormal", {"scale": 0.3})


def main() -> None:
    rows = ["| seed | NLL, tuned | NLL, best of the grid (sigma_a, sigma_b) | seconds, tuned | seconds, grid |"]
    rows.append("| --- |" + " --- |" * 4)
    for seed in range(SEEDS):
        data = rpp.datasets.modified_inertia(EXAMPLES, seed=seed)
        test = rpp.datasets.modified_inertia(500, seed=1_000_000 + seed)
        centre, scale = data.y.mean(), data.y.std()
        y, test_y = (data.y - centre) / scale, (test.y - centre) / scale
        net = rpp.EMLP(data.rep_in, data.rep_out, data.group, channels=CHANNELS, layers=1)

        def nll(sigma_a, sigma_b, method, net=net, data=data, y=y, test=test, test_y=test_y, seed=seed):
            model = rpp.Model(net, sigma_a=sigma_a, sigma_b=sigma_b, likelihood=rpp.Gaussian(NOISE))
            post = rpp.fit(model, data.x, y, method, seed=seed, progress=False)
            return post.metrics(test.x, test_y)["nll"]

        start = time.perf_counter()
        tuned = nll(*(rpp.Prior("HalfNormal", {"scale": s}) for s in (1.0, 0.3)), TUNED)
        middle = time.perf_counter()
        numbers = np.geomspace(0.1, 3.0, GRID), np.geomspace(0.01, 1.0, GRID)
        grid = {(a, b): nll(float(a), float(b), TUNED) for a, b in itertools.product(*numbers)}
        best = min(grid, key=lambda k: grid[k])
        cells = [seed, f"{tuned:.3f}", f"{grid[best]:.3f} ({best[0]:.2g}, {best[1]:.2g})"]
        cells += [f"{middle - start:.0f}", f"{time.perf_counter() - middle:.0f}"]
        rows.append("| " + " | ".join(map(str, cells)) + " |")
        print(rows[-1], flush=True)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(
        f"# Tuned by the evidence, or a grid\n\nMade by `python examples/tuned_or_grid.py {SEEDS} {GRID}`: modified "
        f"inertia, {EXAMPLES} examples, EMLP of {CHANNELS} channels and one layer, test sets of 500, NLL of Laplace's "
        f"posterior in standardised units; the noise is tuned everywhere, the grid has {GRID} x {GRID} pairs of "
        "sigma_a from 0.1 to 3 and sigma_b from 0.01 to 1.\n\n" + "\n".join(rows) + "\n"
    )


if __name__ == "__main__":
    main()
