"""What a step of a network of particles takes, by the size of its systems, with forces, and beside the strict network;
and the memory of a large system."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch

import bayes_rpp as rpp
from benchmarks.rows import Row, Training, medians, peak_memory

PAIRS = 20_000  # in a batch


def particles(quick: bool = False) -> list[Row]:
    sizes, threads = (3, 5) if quick else (5, 29, 100, 300), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        plain, forces = ([_step(n, conservative) for n in sizes] for conservative in (False, True))
    finally:
        torch.set_num_threads(threads)
    figures = {f"{n} particles, ms CPU": 1e3 * s for n, s in zip(sizes, plain, strict=True)}
    before = peak_memory()
    large = 20 if quick else 1000
    _step(large, False, cutoff=1.0)
    exponent = float(np.polyfit(np.log(sizes), np.log(plain), 1)[0])
    ratio = float(np.median(np.array(forces) / plain))
    return [
        Row("exponent of time of a system in its particles", exponent, 2.1, figures=figures),
        Row("an energy with its forces, against vectors", ratio, 6),
        Row(f"peak of {large} particles with a cutoff", peak_memory(), 4, unit="GB", figures={"GB before": before}),
        _beside_strict(quick),
    ]


def _beside_strict(quick: bool) -> Row:
    """A step of training with residual pathways, against one of the strict network."""
    data = rpp.datasets.charged_particles(50, steps=1)
    net = rpp.ParticleNetwork(
        data.x, features=rpp.Scalar + rpp.Vector, out=rpp.Vector, channels=4 if quick else 24, layers=2, radial=8
    )
    given = net.encode(data.x), data.y.reshape(50, -1)
    runs = [Training(net, batch=50, data=given, sigma_b=sigma_b) for sigma_b in (0.05, 0.0)]
    soft, strict = medians(runs, 1 if quick else 9)
    figures = {"soft, ms CPU": 200 * soft, "strict, ms CPU": 200 * strict}  # of a step, of which a run has five
    return Row("a step with residual pathways, against the strict network", soft / strict, 3, figures=figures)


def _step(count: int, conservative: bool, **options: Any) -> float:
    """Seconds of CPU for value and gradient of one system, in torch, the second time."""
    out = rpp.Scalar if conservative else rpp.Vector
    net = rpp.ParticleNetwork(
        count, features=1, out=out, channels=32, layers=2, radial=8, conservative=conservative, **options
    )
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
