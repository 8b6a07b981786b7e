"""A trained network, softened and fitted at the defaults: does it keep what it had? And one that was not trained.

Usage: python -m benchmarks.trained FILE [--networks resnet cnn untrained] [--examples 100 300] [--seeds 0 1 2 3 4]
                                         [--centre zero module]

Each line of FILE is one fit, in JSON; what is there is not done again. `--table` prints the table of the results page.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import bayes_rpp as rpp
from benchmarks.softened import Block

TEST = 1000
STEPS = 480  # of 50 images, to train the plain network
NETWORKS = ("resnet", "cnn", "untrained")  # the last is a cnn with its first weights, fitted from the prior


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trained", description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=["resnet"])
    parser.add_argument("--examples", type=int, nargs="+", default=[100, 300])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--centre", nargs="+", choices=("zero", "module"), default=["zero", "module"])
    parser.add_argument("--table", action="store_true", help="print the table of what FILE has, and do nothing else")
    given = parser.parse_args(arguments)
    done = [json.loads(line) for line in given.file.read_text().splitlines()] if given.file.exists() else []
    if given.table:
        print("\n".join(table(done)))
        return 0
    torch.set_num_threads(1)
    for kind, n, seed in itertools.product(given.networks, given.examples, given.seeds):
        here = {r["centre"] for r in done if (r["network"], r["examples"], r["seed"]) == (kind, n, seed)}
        for row in fits(kind, n, seed, [c for c in given.centre if c not in here]):
            with given.file.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(row, flush=True)
    return 0


def fits(kind: str, n: int, seed: int, centres: Sequence[str]) -> Any:
    """One row for each centre of the prior."""
    if not centres:
        return
    digits = rpp.datasets.digits()
    x = torch.as_tensor(np.asarray(digits.x, np.float32)).reshape(-1, 1, 8, 8)
    y = torch.as_tensor(np.asarray(digits.y)).long().flatten()
    order = np.random.default_rng(seed).permutation(len(x))
    train, test = order[:n], order[-TEST:]
    torch.manual_seed(seed)
    net = resnet() if kind == "resnet" else cnn()
    if kind != "untrained":
        trained(net, x[train], y[train])
    with torch.no_grad():
        f = net(x[test])
    before = {"accuracy": float((f.argmax(1) == y[test]).float().mean()), "nll": float(F.cross_entropy(f, y[test]))}
    for centre in centres:
        soft = rpp.soften(net, (1, 8, 8), residual="local", centre=centre)  # type: ignore[arg-type]
        start = time.process_time()
        data = x[train].numpy(), y[train].numpy()
        model = rpp.Model(soft, likelihood=rpp.Categorical())
        init = None if kind == "untrained" else soft.initial
        post = rpp.fit(model, *data, rpp.MAP(), init=init, seed=seed, progress=False)
        after = post.metrics(x[test].numpy(), y[test].numpy())
        row = {"network": kind, "examples": n, "seed": seed, "centre": centre, "seconds": time.process_time() - start}
        yield row | {f"{k} {when}": v[k] for when, v in (("before", before), ("after", after)) for k in before}


def resnet() -> nn.Sequential:
    body = [nn.Conv2d(1, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), Block(8, 8, 1), Block(8, 16, 2)]
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))


def cnn() -> nn.Sequential:
    """Without normalisation."""
    body = [nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 12, 3, stride=2, padding=1), nn.ReLU()]
    return nn.Sequential(*body, nn.Flatten(), nn.Linear(192, 10))


def trained(net: nn.Module, x: torch.Tensor, y: torch.Tensor) -> None:
    """By Adam on the cross entropy; in evaluation mode then."""
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(STEPS * 50 // len(x)):
        for rows in torch.randperm(len(x)).split(50):
            optimizer.zero_grad()
            F.cross_entropy(net(x[rows]), y[rows]).backward()
            optimizer.step()
    net.eval()


def table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """In Markdown: the change of accuracy and NLL on each seed, and the means."""
    found = [
        "| network | examples | centre | accuracy before | change on each seed | NLL before "
        "| change on each seed | mean |"
    ]
    found.append("| --- " * 8 + "|")
    cases = sorted({(r["network"], r["examples"], r["centre"]) for r in rows})
    for case in cases:
        some = [r for r in rows if (r["network"], r["examples"], r["centre"]) == case]
        some.sort(key=lambda r: r["seed"])
        cells = [*map(str, case)]
        for k in ("accuracy", "nll"):
            changes = [r[f"{k} after"] - r[f"{k} before"] for r in some]
            cells += [f"{np.mean([r[f'{k} before'] for r in some]):.3f}", ", ".join(f"{c:+.3f}" for c in changes)]
        found.append(f"| {' | '.join(cells)} | {np.mean(changes):+.3f} |")
    return found


if __name__ == "__main__":
    sys.exit(main())
