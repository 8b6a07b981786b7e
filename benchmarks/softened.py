"""A step of a softened ResNet in a torch loop against the plain one's, and what both keep for the gradient."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

import bayes_rpp as rpp
from benchmarks.rows import Row

STEPS = 12


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
    steps = {name: Step(module, x, y) for name, module in ({"plain": net} | made).items()}
    for _ in range(2 if quick else STEPS):  # in turns, so that what else the machine does is the same for all
        for step in steps.values():
            step()
    plain, rows = steps["plain"], []
    for name, target in (("strict", 1.5), ("separable", None), ("low-rank", 1.5), ("local", 3.0)):
        step = steps[name]
        figures = {"plain, ms": min(plain.seconds) * 1000, f"{name}, ms": min(step.seconds) * 1000}
        ratio = median(s / p for s, p in zip(step.seconds, plain.seconds, strict=True))
        what = f"softened ResNet / plain, {size} x {size}, {'sigma_b = 0' if name == 'strict' else f'{name} residuals'}"
        rows.append(Row(f"step of a {what}", ratio, target, figures=figures))
        figures = {"plain, MB": plain.kept / 2**20, f"{name}, MB": step.kept / 2**20}
        rows.append(Row(f"kept for the gradient of a {what}", step.kept / plain.kept, target, figures=figures))
    return rows


class Step:
    """A step of training, with the CPU seconds of each and the bytes that it kept for the gradient."""

    def __init__(self, module: nn.Module, x: torch.Tensor, y: torch.Tensor) -> None:
        self.module, self.x, self.y = module, x, y
        self.penalty: Callable[[], Any] = getattr(module, "penalty", lambda: 0.0)
        self.optimizer = torch.optim.Adam(module.parameters())
        self.seconds: list[float] = []
        self.kept = 0

    def __call__(self) -> None:
        start = time.process_time()
        self.optimizer.zero_grad()
        with Saved() as saved:
            loss = F.cross_entropy(self.module(self.x), self.y)
        (loss + self.penalty() / len(self.x)).backward()
        self.optimizer.step()
        self.seconds.append(time.process_time() - start)
        self.kept = saved.size


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
