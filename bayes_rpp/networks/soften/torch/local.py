"""A kernel of its own at each position, in torch's operations alone, so that torch traces, exports and stores it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.fx
import torch.nn.functional as F
from torch import nn

from bayes_rpp.priors.subspaces.convolution import ConvolutionSubspace


class Grid:
    """The numbers of a ConvolutionSubspace(weights="local") that `locally` needs."""

    def __init__(self, s: ConvolutionSubspace) -> None:
        self.pads, self.is_circular = s.padding, s.padding_mode == "circular"
        self.input, self.output, self.groups = s.input_size, (s.out_channels, *s.output_size), s.groups
        self.windows = list(zip(s.kernel_size, s.stride, s.dilation, strict=True))
        taps = math.prod(s.kernel_size)
        self.weight = (s.groups, s.out_channels // s.groups, s.shape[0] // s.out_channels, s.shape[1] // taps, taps)


class Contiguous(torch.autograd.Function):
    """The identity, whose gradient is contiguous: torch multiplies many small matrices one by one on a CPU if their
    entries do not stand together. Not for torch.func."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return gradient.contiguous()


def padded(grid: Grid, x: torch.Tensor) -> torch.Tensor:
    """(n, channels, *input_size) with what stands around it."""
    if not grid.is_circular:
        return F.pad(x, [p for pair in reversed(grid.pads) for p in pair])
    for axis, (n, (before, behind)) in enumerate(zip(grid.input, grid.pads, strict=True), 2):
        if before or behind:
            x = x.index_select(axis, torch.arange(-before, n + behind, device=x.device) % n)
    return x


def locally(
    grid: Grid,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    x: torch.Tensor,
    after: Callable[[torch.Tensor], torch.Tensor] = lambda y: y,
) -> torch.Tensor:
    """(n, channels, *input_size) to (n, out_channels, *output_size): one product of matrices for each position. The
    number of examples stands nowhere, so that what is exported takes any.

    Args:
        after: of the product; `Contiguous.apply`, or the identity.
    """
    dims, x = len(grid.input), padded(grid, x)
    x = x.permute(*range(2, 2 + dims), 0, 1).contiguous()  # channels last: they are copied together
    for axis, (taps, stride, dilation) in enumerate(grid.windows):
        x = x.unfold(axis, dilation * (taps - 1) + 1, stride)[..., ::dilation]
    x = x.permute(*range(dims), dims, *range(dims + 2, 2 * dims + 2), dims + 1).flatten(0, dims - 1).flatten(2, -2)
    windows = x.unflatten(-1, (grid.groups, -1)).permute(3, 0, 1, 2, 4).flatten(-2)  # groups, positions, n, window
    w = weight.reshape(grid.weight).permute(0, 2, 4, 3, 1).flatten(2, 3)  # groups, positions, window, outputs
    y = after(windows @ w).permute(2, 0, 3, 1).flatten(1)
    y = y if bias is None else y + bias
    return y.unflatten(1, grid.output)


class LocallyConnected(nn.Module):
    """A convolution with a kernel of its own at each position: weight as in ConvolutionSubspace(weights="local")."""

    def __init__(self, grid: Grid, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        super().__init__()
        self.grid = grid
        self.weight = nn.Parameter(weight.detach().clone())
        self.bias = None if bias is None else nn.Parameter(bias.detach().clone())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return locally(self.grid, self.weight, self.bias, x)


class ChannelsLast(nn.Module):
    """A map of (n, channels, positions) as one of (n, *tokens, features)."""

    def __init__(self, module: nn.Module, tokens: tuple[int, ...]) -> None:
        super().__init__()
        self.module, self.tokens = module, tokens

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.module(x.flatten(1, -2).mT).mT.unflatten(1, self.tokens)


def known_to_torch(module: nn.Module) -> nn.Module:
    """The same with its operations in place of its class, so that a file of it needs no other package than torch."""
    found = torch.fx.symbolic_trace(module)
    for node in found.graph.nodes:
        node.type = None  # annotations, which are text here, are no names that a file could import
    found.recompile()
    return found
