"""A step of a softened ResNet in a torch loop against the plain one's, and what both keep for the gradient."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

import bayes_rpp as rpp
from benchmarks.rows import Row

STEPS = 7


class Block(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        self.conv2, self.norm2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
        self.shortcut = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.shortcut(x) + self.norm2(self.conv2(h)))


def softened(quick: bool = False) -> list[Row]:
    n, size = (4, 8) if quick else (100, 32)
    torch.manual_seed(0)
    body = [nn.Conv2d(3, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU()]
    blocks = [Block(8, 8, 1), Block(8, 16, 2), Block(16, 32, 2)]
    net = nn.Sequential(*body, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))
    x, y = torch.rand(n, 3, size, size), torch.randint(10, (n,))
    made = {"strict": rpp.SoftModule(net, (3, size, size), residual="local", sigma_b=0.0)}
    for kind in ("separable", "low-rank", "local"):
        made[kind] = rpp.SoftModule(net, (3, size, size), residual=kind)
    times, kept = {}, {}
    for name, module in ({"plain": net} | made).items():
        penalty: Callable[[], Any] = getattr(module, "penalty", lambda: 0.0)
        optimizer = torch.optim.Adam(module.parameters())
        found = []
        for _ in range(2 if quick else STEPS):
            start = time.process_time()
            optimizer.zero_grad()
            with Saved() as saved:
                loss = F.cross_entropy(module(x), y)
            (loss + penalty() / n).backward()
            optimizer.step()
            found.append(time.process_time() - start)
        times[name], kept[name] = min(found), saved.size / 2**20
    rows = []
    for name, target in (("strict", 1.5), ("separable", None), ("low-rank", 1.5), ("local", 3.0)):
        figures = {"plain, ms": times["plain"] * 1000, f"{name}, ms": times[name] * 1000}
        what = f"softened ResNet / plain, {size} x {size}, {'sigma_b = 0' if name == 'strict' else f'{name} residuals'}"
        rows.append(Row(f"step of a {what}", times[name] / times["plain"], target, figures=figures))
        figures = {"plain, MB": kept["plain"], f"{name}, MB": kept[name]}
        rows.append(Row(f"kept for the gradient of a {what}", kept[name] / kept["plain"], target, figures=figures))
    return rows


class Saved:
    """Bytes that autograd keeps within, each tensor's storage once."""

    def __enter__(self) -> Saved:
        self._seen: dict[int, int] = {}
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._keep, lambda t: t)
        self._hooks.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._hooks.__exit__(*error)
        self.size = sum(self._seen.values())

    def _keep(self, tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        self._seen[storage.data_ptr()] = storage.nbytes()
        return tensor
