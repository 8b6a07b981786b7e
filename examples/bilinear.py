"""What the bilinear layers of an EMLP do for the test error on inertia and modified inertia: channelwise, full, none.

Run: python examples/bilinear.py [members]   (about two minutes of one core)
It writes docs/results/bilinear.md.
"""

# %% Libraries and settings
from __future__ import annotations

import sys
import warnings
from pathlib import Path
from time import process_time

import numpy as np

import bayes_rpp as rpp
from bayes_rpp._files import write_page

WIDTHS, METHOD = (384, 64), {"epochs": 40, "batch_size": 125}
OUT = Path(__file__).parent.parent / "docs" / "results" / "bilinear.md"


# %% What it does
def main(members: int = 3) -> None:
    rows = []
    for width in WIDTHS:
        for bilinear in ("channelwise", "full", False):
            for make in (rpp.datasets.inertia, rpp.datasets.modified_inertia):
                data, test = make(1000, seed=0), make(1000, seed=1_000_000)
                with warnings.catch_warnings():  # without bilinear layers the strict network lacks products
                    warnings.filterwarnings("ignore", message="the strict network cannot carry all")
                    net = rpp.EMLP(data.rep_in, data.rep_out, data.group, width, layers=3, bilinear=bilinear)
                model = rpp.Model(net, sigma_a=1.0, sigma_b=0.05, likelihood=rpp.Gaussian(0.1))
                start = process_time()
                post = rpp.fit(model, data.x, data.y, rpp.DeepEnsemble(members=members, **METHOD), seed=0)
                rows.append((str(width), str(bilinear), data.name, *figures(post, test, process_time() - start)))
                print(*rows[-1], sep=" | ", flush=True)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    write_page(OUT, report(rows, members))
    print(f"written: {OUT}")


def figures(post: rpp.Posterior, test: rpp.datasets.Dataset, seconds: float) -> tuple[str, str, str, str]:
    prediction = post.predict(test.x)
    each = ((prediction.samples[0] - test.y) ** 2).mean(axis=(1, 2))
    ensemble = ((prediction.mean - test.y) ** 2).mean()
    loss = np.median(post.training["loss"][:, -1])
    return (
        f"{np.median(each):.2f} ({each.min():.2f} to {each.max():.2f})",
        f"{ensemble:.2f}",
        f"{loss:.0f}",
        f"{seconds:.0f}",
    )


def report(rows: list[tuple[str, ...]], members: int) -> str:
    header = ("width", "bilinear", "data", f"test MSE, median (range) of {members}", "ensemble", "loss", "CPU s")
    lines = ["| " + " | ".join(row) + " |" for row in (header, ("---",) * len(header), *rows)]
    intro = (
        "# Bilinear layers\n\n"
        f"Made by `python examples/bilinear.py {members}`: RPP-EMLP (sigma_a = 1, sigma_b = 0.05) of 3 layers, 1000 "
        "training and 1000 test examples (seeds 0 and 1000000), noise 0.1, MAP by Adam for "
        f"{METHOD['epochs']} epochs in batches of {METHOD['batch_size']}, learning rate 0.03 (cosine), {members} "
        "members (seed 0), NumPyro. This is a short training, a quarter of that of [inertia](inertia.md): it says how "
        "fast a layer learns from 1000 examples, not where a long training ends. The loss is that of training, "
        "-log p(y, W | x) / n; CPU seconds include compilation where it is the first of its kind.\n\n"
    )
    return intro + "\n".join(lines) + "\n"


# %% Run it
if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
