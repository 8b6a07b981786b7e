"""Does `compare_symmetries` name the right symmetry? Three kinds of data, three seeds each, and the answers.

    python examples/which_symmetry.py [SEEDS] [FIRST]   writes docs/results/which_symmetry.md; goes on where it stopped

Inputs are a scalar s and two vectors v, w; the output is the vector v / (1 + exp(-2 s)) + v x w / 2, which rotations
keep (SO(3), not O(3): the cross product), plus nothing, a stretch of v along z (which SO(2) about z keeps), or a fixed
matrix times v that nothing keeps.
"""

# %% Libraries and settings
import json
import sys
import time
from pathlib import Path

import numpy as np

import bayes_rpp as rpp
from bayes_rpp._files import write_page

OUT = Path("docs/results/which_symmetry.md")
EXAMPLES, NOISE, BREAKING, SEEDS = 60, 0.1, 0.5, 3
GENERIC = np.array([[0.3, 0.5, -0.2], [0.1, -0.6, 0.4], [0.6, 0.2, 0.4]])
BROKEN = {"SO(3)": np.zeros((3, 3)), "SO(2)": np.diag([0.0, 0.0, 1.0]), "none": GENERIC}
GROUPS = {"none": rpp.Trivial(3), "SO(2)": rpp.SO(2) * rpp.Trivial(1), "SO(3)": rpp.SO(3)}
REP_IN, REP_OUT = rpp.Scalar + 2 * rpp.Vector, rpp.Vector
CHANNELS = 3 * rpp.Scalar + 2 * rpp.Vector + rpp.T(2)


# %% What it does
def data(truth: str, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 7))
    s, v, w = x[:, :1], x[:, 1:4], x[:, 4:]
    y = v / (1 + np.exp(-2 * s)) + 0.5 * np.cross(v, w) + BREAKING * v @ BROKEN[truth].T
    return x, y + NOISE * rng.normal(size=(n, 3))


def run(truth: str, seed: int) -> dict:
    start = time.perf_counter()
    x, y = data(truth, EXAMPLES, seed)
    found = rpp.compare_symmetries(x, y, GROUPS, rep_in=REP_IN, rep_out=REP_OUT, channels=CHANNELS, seed=seed)
    print(f"{truth}, seed {seed}\n{found}\n", flush=True)
    nll = found.metrics(*data(truth, 1000, 1_000_000 + seed))["nll"]
    soft = {", ".join(key): float(nll[key]) for key in nll.index if key[1] in ("soft", "nested")}
    return {
        "truth": truth,
        "seed": seed,
        "best": found.best,
        "recommended": list(found.recommended),
        "nll_recommended": float(nll[found.recommended]),
        "nll_answer": float(nll[found.best, found.candidates[found.best].softest]),
        "nll_soft": soft,
        "strict": {name: found.scores[name, "strict"].log_evidence for name in GROUPS},
        "doubts": len(found.doubts),
        "seconds": time.perf_counter() - start,
    }


def report(rows: list[dict]) -> str:
    header = [
        "data have",
        "seed",
        "answer",
        "log evidence, strict: " + ", ".join(GROUPS),
        "lowest test NLL of a soft or nested model",
    ]
    header += ["the answer's", "highest evidence", "its NLL", "doubts", "seconds"]
    lines = [header, ["---"] * len(header)]
    right = near = best_near = 0
    for r in rows:
        lowest = min(r["nll_soft"], key=r["nll_soft"].get)
        mine, least = r["nll_answer"], r["nll_soft"][lowest]
        right += r["best"] == r["truth"]
        near += mine <= least + 0.02 * abs(least)
        best_near += r["nll_recommended"] <= least + 0.02 * abs(least)
        cells = [r["truth"], r["seed"], r["best"], ", ".join(f"{v:.0f}" for v in r["strict"].values())]
        cells += [f"{least:.3f} ({lowest})", f"{mine:.3f}", ", ".join(r["recommended"])]
        cells += [f"{r['nll_recommended']:.3f}", r["doubts"], f"{r['seconds']:.0f}"]
        lines.append([str(c) for c in cells])
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return (
        "# Which symmetry do the data have?\n\nMade by `python examples/which_symmetry.py`: "
        f"{EXAMPLES} examples, noise {NOISE}, what breaks the symmetry {BREAKING} times v; EMLPs with one hidden layer "
        f"({CHANNELS}), test sets of 1000. NLL per example in standardised units.\n\n"
        f"The right symmetry is named in {right} of {len(rows)} runs. The answer's softest model (nested "
        "where larger candidates contain it, or else soft) is within 2 % of the lowest test NLL of all soft and nested "
        f"ones in {near} of {len(rows)}, the model of the highest evidence in {best_near} of {len(rows)}. The rule of "
        "the verdict and the settings of a fit were chosen while looking at this task and seeds 0 to 2; three starts "
        "and the mixture of modes on seeds 6 to 8.\n\n"
        f"{table}\n"
    )


def main() -> None:
    kept = OUT.with_suffix(".json")
    OUT.parent.mkdir(parents=True, exist_ok=True)
    rows = json.loads(kept.read_text()) if kept.exists() else []
    done = {(r["truth"], r["seed"]) for r in rows}
    seeds, first = [*map(int, sys.argv[1:]), *(SEEDS, 0)[len(sys.argv) - 1 :]]
    rpp.inference.cache_compilations()  # the same models in each run: half of the time
    for seed in range(first, first + seeds):
        for truth in BROKEN:
            if (truth, seed) not in done:
                rows.append(run(truth, seed))
                kept.write_text(json.dumps(rows, indent=1))
                write_page(OUT, report(rows))
    print(OUT.read_text())


# %% Run it
if __name__ == "__main__":
    main()
