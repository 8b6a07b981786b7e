"""What a step of a network of particles takes, by the size of its systems, and that of an energy with its forces."""

from __future__ import annotations

import time

import numpy as np
import torch

import bayes_rpp as rpp
from benchmarks.rows import Row

PAIRS = 20_000  # in a batch


def particles(quick: bool = False) -> list[Row]:
    sizes, threads = (3, 5) if quick else (5, 29, 100, 300), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        plain, forces = ([_step(n, conservative) for n in sizes] for conservative in (False, True))
    finally:
        torch.set_num_threads(threads)
    figures = {f"{n} particles, ms CPU": 1e3 * s for n, s in zip(sizes, plain, strict=True)}
    exponent = float(np.polyfit(np.log(sizes), np.log(plain), 1)[0])
    ratio = float(np.median(np.array(forces) / plain))
    return [
        Row("exponent of time of a system in its particles", exponent, 2.1, figures=figures),
        Row("an energy with its forces, against vectors", ratio, 6),
    ]


def _step(count: int, conservative: bool) -> float:
    """Seconds of CPU for value and gradient of one system, in torch, the second time."""
    out = rpp.Scalar if conservative else rpp.Vector
    net = rpp.ParticleNetwork(count, features=1, out=out, channels=32, layers=2, conservative=conservative)
    rng, n = np.random.default_rng(0), max(1, PAIRS // count**2)
    weights = {k: torch.tensor(0.1 * rng.normal(size=p.shape), dtype=torch.float32) for k, p in net.parameters.items()}
    for w in weights.values():
        w.requires_grad_()
    systems = rpp.Particles(rng.normal(size=(n, count, 3)), rng.normal(size=(n, count, 1)))
    x = torch.tensor(net.encode(systems), dtype=torch.float32)
    for _ in range(2):
        start = time.process_time()
        net(weights, x).square().sum().backward()
        taken = time.process_time() - start
    return taken / n
