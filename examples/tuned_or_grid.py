"""Sigmas tuned by the evidence, or the best of a 6 x 6 grid of fixed ones? Test NLL and time on modified inertia.

python examples/tuned_or_grid.py [seeds [grid]]     3 seeds and 6 by default; writes docs/results/tuned_or_grid.md, and
goes on where it stopped
"""

# %% Libraries and settings
import itertools
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import bayes_rpp as rpp

OUT = Path("docs/results/tuned_or_grid.md")
SEEDS = int(sys.argv[1]) if len(sys.argv) > 1 else 3
GRID = int(sys.argv[2]) if len(sys.argv) > 2 else 6
EXAMPLES, CHANNELS = 400, 5 * (rpp.Scalar + rpp.Vector + rpp.T(2))
METHOD = rpp.Laplace(
    evidence="maximise", curvature="kronecker", epochs=200, batch_size=200, every=25, steps=8, polish=2, draws=60
)
NOISE = rpp.Prior("HalfNormal", {"scale": 0.3})
TUNED = 1.0, rpp.PerLayer(rpp.Prior("HalfNormal", {"scale": 0.1}))  # as compare_symmetries does


def fit(seed: int, sigma_a: Any, sigma_b: Any) -> dict[str, float]:
    """Test scores in standardised units, log evidence, sigmas and seconds; the noise is tuned in all."""
    data = rpp.datasets.modified_inertia(EXAMPLES, seed=seed)
    test = rpp.datasets.modified_inertia(1000, seed=1_000_000 + seed)
    centre, scale = data.y.mean(), data.y.std()
    net = rpp.EMLP(data.rep_in, data.rep_out, data.group, channels=CHANNELS, layers=1)
    model = rpp.Model(net, sigma_a=sigma_a, sigma_b=sigma_b, likelihood=rpp.Gaussian(NOISE))
    start = time.perf_counter()
    post = rpp.fit(model, data.x, (data.y - centre) / scale, METHOD, seed=seed, progress=False)
    seconds = time.perf_counter() - start
    found = post.metrics(test.x, (test.y - centre) / scale)
    tuned = {k: float(post.samples[k].flat[0]) for k in model.latents}
    return {"nll": found["nll"], "rmse": found["rmse"], "evidence": post.log_evidence, "seconds": seconds} | tuned


# %% What it does
def main() -> None:
    kept = OUT.with_suffix(".json")
    OUT.parent.mkdir(parents=True, exist_ok=True)
    rows = json.loads(kept.read_text()) if kept.exists() else {}
    numbers = np.geomspace(0.1, 3.0, GRID), np.geomspace(0.01, 1.0, GRID)
    for seed in range(SEEDS):
        for sigmas in [TUNED, *itertools.product(*(map(float, n) for n in numbers))]:
            names = "tuned" if sigmas is TUNED else f"{sigmas[0]:.3g} {sigmas[1]:.3g}"
            key = f"{seed} {names}"
            if key not in rows:
                rows[key] = fit(seed, *sigmas)
                kept.write_text(json.dumps(rows, indent=1))
                print(key, {k: round(v, 3) for k, v in rows[key].items()}, flush=True)
    OUT.write_text(report(rows))
    print(OUT.read_text())


def report(rows: dict[str, dict[str, float]]) -> str:
    header = ["seed", "NLL, tuned", "its sigma_b by layer", "NLL, best of the grid", "its sigma_a, sigma_b"]
    header += ["NLL, grid's highest evidence", "grid cells with a lower NLL than tuned", "s, tuned", "s, grid"]
    lines = [header, ["---"] * len(header)]
    for seed in range(SEEDS):
        mine = rows[f"{seed} tuned"]
        cells = {k.split(" ", 1)[1]: v for k, v in rows.items() if k.startswith(f"{seed} ") and "tuned" not in k}
        best = min(cells, key=lambda k: cells[k]["nll"])
        likely = max(cells, key=lambda k: cells[k]["evidence"])
        lines.append(
            [
                str(seed),
                f"{mine['nll']:.3f}",
                ", ".join(f"{v:.3f}" for k, v in mine.items() if k.startswith("sigma_b")),
                f"{cells[best]['nll']:.3f}",
                best.replace(" ", ", "),
                f"{cells[likely]['nll']:.3f}",
                f"{sum(c['nll'] < mine['nll'] for c in cells.values())} of {len(cells)}",
                f"{mine['seconds']:.0f}",
                f"{sum(c['seconds'] for c in cells.values()):.0f}",
            ]
        )
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return (
        f"# Tuned by the evidence, or a grid\n\nMade by `python examples/tuned_or_grid.py {SEEDS} {GRID}`: modified "
        f"inertia, {EXAMPLES} examples, an EMLP with one hidden layer (5 scalars, 5 vectors, 5 T(2)), test sets of "
        "1000. NLL of Kronecker-factored Laplace posteriors in standardised units; all have the same epochs and the "
        "noise tuned. "
        f"Tuned is sigma_b, by layer, from 0.1, with sigma_a = 1; the grid has {GRID} x {GRID} fixed pairs, sigma_a "
        "from 0.1 to 3 and sigma_b from 0.01 to 1, and its best cell is chosen by the test "
        f"NLL itself.\n\n{table}\n"
    )


# %% Run it
if __name__ == "__main__":
    main()
