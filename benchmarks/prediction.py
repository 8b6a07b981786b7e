"""What a merged model costs: predictions of a softened network exported to torch, against the plain network itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import bayes_rpp as rpp
from benchmarks.rows import Row, medians


def prediction(quick: bool = False) -> list[Row]:
    """Batch 500; values of the weights do not matter."""
    torch.manual_seed(0)
    cnn = torch.nn.Sequential(
        torch.nn.Conv2d(1, 16, 3, padding=1), torch.nn.SiLU(), torch.nn.Conv2d(16, 16, 3, padding=1), torch.nn.SiLU(),
        torch.nn.Flatten(), torch.nn.Linear(16 * 64, 10),
    ).eval()  # fmt: skip
    dense = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(64, 1024), torch.nn.SiLU(), torch.nn.Linear(1024, 1024), torch.nn.SiLU(),
        torch.nn.Linear(1024, 10),
    ).eval()  # fmt: skip
    soft = rpp.soften(cnn, (1, 8, 8))
    rng = np.random.default_rng(0)
    any_map = {k: w + 0.01 * rng.normal(size=w.shape) for k, w in soft.initial.items()}
    x = torch.randn(500, 1, 8, 8)
    cases = [
        ("strict convolutions / the plain CNN", _run(_module(soft, soft.initial), x), _run(cnn, x)),
        ("any linear maps / a perceptron of these sizes", _run(_module(soft, any_map), x), _run(dense, x)),
    ]
    rows = []
    for name, ours, plain in cases:
        a, b = medians([ours, plain], 2 if quick else 25)
        rows.append(Row(f"prediction, merged: {name}", a / b, 1.1, figures={"ours, ms": a * 1e3, "plain, ms": b * 1e3}))
    return rows


def _module(net: rpp.networks.Network, params: dict[str, np.ndarray]) -> torch.nn.Module:
    return rpp.networks.to_torch(net, {k: w.astype(np.float32) for k, w in params.items()})


def _run(module: torch.nn.Module, x: torch.Tensor) -> Callable[[], Any]:
    @torch.no_grad()
    def run() -> Any:
        return module(x)

    return run
