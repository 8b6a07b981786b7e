"""A training step in Pyro against a hand-written torch loop of the same network and prior."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import bayes_rpp as rpp
from benchmarks.rows import Row, Training, inertia, medians

SIGMA_A, SIGMA_B, NOISE = 1.0, 0.05, 0.1


def pyro_step(quick: bool = False) -> list[Row]:
    rows = []
    size = {"channels": 32, "layers": 1} if quick else {}
    for name, options in (("", {}), (" without bilinear layers", {"bilinear": False})):
        net = inertia(**size, **options)
        ours, by_hand = medians([Training(net, "pyro"), hand_written(net)], 2 if quick else 7)
        figures = {"ours, ms": ours * 200, "by hand, ms": by_hand * 200}
        title = f"step in Pyro / a torch loop, width {size.get('channels', 384)}{name}"
        rows.append(Row(title, ours / by_hand, 2, figures=figures))
    return rows


def hand_written(net: rpp.networks.Network, batch: int = 500, steps: int = 5) -> Callable[[], Any]:
    """Adam on squared error and squared weights, as one writes it without a library of inference: W = Q beta + B."""
    data = rpp.datasets.inertia(1000)
    x, y = (torch.as_tensor(a, dtype=torch.float32) for a in (data.x, data.y))
    model = rpp.Model(net, sigma_a=SIGMA_A, sigma_b=SIGMA_B)
    rng, leaves, weights = np.random.default_rng(0), [], {}
    for name, prior in model.priors.items():
        residual = torch.tensor(rng.normal(size=prior.shape) * float(prior.sigma_b), dtype=torch.float32)
        leaves.append((residual.requires_grad_(), float(prior.deviations[-1])))
        weights[name] = lambda b=residual: b
        if prior.isotropic_sigma is None:
            (subspace, sigma), *_ = prior.pathways
            beta = torch.tensor(rng.normal(size=subspace.rank) * float(sigma), dtype=torch.float32).requires_grad_()
            leaves.append((beta, float(sigma)))
            weights[name] = lambda b=residual, beta=beta, s=subspace: s.decode(beta) + b
    adam = torch.optim.Adam([leaf for leaf, _ in leaves], lr=3e-3)
    orders = [torch.as_tensor(rng.permutation(len(x))[:batch]) for _ in range(steps)]

    def run() -> None:
        for rows in orders:
            adam.zero_grad()
            error = net({k: w() for k, w in weights.items()}, x[rows]) - y[rows]
            prior = sum((leaf**2).sum() / sigma**2 for leaf, sigma in leaves)
            (0.5 * len(x) / batch * (error**2).sum() / NOISE**2 + 0.5 * prior).backward()
            adam.step()

    return run
