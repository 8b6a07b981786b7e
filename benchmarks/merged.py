"""What a merged model costs: predictions of a softened network exported to torch, against the plain network itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import bayes_rpp as rpp

Case = tuple[str, str, Callable[[], Any], Callable[[], Any]]


def merged() -> list[Case]:
    """One thread, batch 500; values of the weights do not matter."""
    torch.set_num_threads(1)
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
    return [
        ("merged, strict convolutions", "the plain CNN", _run(_module(soft, soft.initial), x), _run(cnn, x)),
        ("merged, any linear maps", "a perceptron of these sizes", _run(_module(soft, any_map), x), _run(dense, x)),
    ]


def _module(net: rpp.Network, params: dict[str, np.ndarray]) -> torch.nn.Module:
    return rpp.to_torch(net, {k: w.astype(np.float32) for k, w in params.items()})


def _run(module: torch.nn.Module, x: torch.Tensor) -> Callable[[], Any]:
    @torch.no_grad()
    def run() -> Any:
        return module(x)

    return run
