"""A kernel of its own at each position, in torch's operations alone, so that torch traces, exports and stores it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from bayes_rpp.engines.libraries import fixed_indices
from bayes_rpp.priors.subspaces.convolution import ConvolutionSubspace


class Grid:
    """The numbers of a ConvolutionSubspace(weights="local") that `locally` needs.

    Attributes:
        index: (outputs * taps,) the input that each output sees through each tap, one behind the last for none; None
            where torch's own unfold knows it.
    """

    def __init__(self, s: ConvolutionSubspace) -> None:
        self.subspace = s
        dims = len(s.input_size)
        flat = (1,) * (2 - dims)  # torch unfolds images alone
        self.kernel, self.stride, self.dilation = (flat + t for t in (s.kernel_size, s.stride, s.dilation))
        self.pads = [p for pair in reversed(s.padding) for p in pair]
        self.is_row, self.groups = dims == 1, s.groups
        self.output = (s.out_channels, *s.output_size)
        outputs = s.shape[0] // s.out_channels
        self.windows = (s.groups, s.shape[1], outputs)  # groups, entries of a window, positions
        self.weight = (s.groups, s.out_channels // s.groups, outputs, s.shape[1])
        self.taps = (outputs, s.shape[1] // (s.in_channels // s.groups))
        self.unfolds = dims <= 2 and s.padding_mode == "zeros"

    def index(self, like: torch.Tensor) -> torch.Tensor | None:
        return None if self.unfolds else fixed_indices(self.subspace.sources, like)


def locally(
    grid: Grid, weight: torch.Tensor, bias: torch.Tensor | None, x: torch.Tensor, index: torch.Tensor | None = None
) -> torch.Tensor:
    """(n, channels, *input_size) to (n, out_channels, *output_size). The number of examples stands nowhere, so that
    what is exported takes any."""
    if grid.unfolds:
        x = F.pad(x.unsqueeze(-2) if grid.is_row else x, grid.pads)
        windows = F.unfold(x, grid.kernel, grid.dilation, 0, grid.stride).unflatten(1, grid.windows[:2])
    else:
        found = grid.index(x) if index is None else index
        assert found is not None
        x = F.pad(x.flatten(2), (0, 1)).index_select(-1, found)
        windows = x.unflatten(2, grid.taps).mT.flatten(1, 2).unflatten(1, grid.windows[:2])
    y = torch.einsum("ngkp,gopk->ngop", windows, weight.reshape(grid.weight)).flatten(1)
    y = y if bias is None else y + bias
    return y.unflatten(1, grid.output)


class LocallyConnected(nn.Module):
    """A convolution with a kernel of its own at each position: weight as in ConvolutionSubspace(weights="local")."""

    def __init__(self, grid: Grid, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        super().__init__()
        self.grid = grid
        self.index: torch.Tensor | None
        self.weight = nn.Parameter(weight.detach().clone())
        self.bias = None if bias is None else nn.Parameter(bias.detach().clone())
        self.register_buffer("index", grid.index(weight), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return locally(self.grid, self.weight, self.bias, x, self.index)


class ChannelsLast(nn.Module):
    """A map of (n, channels, positions) as one of (n, *tokens, features)."""

    def __init__(self, module: nn.Module, tokens: tuple[int, ...]) -> None:
        super().__init__()
        self.module, self.tokens = module, tokens

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.module(x.flatten(1, -2).mT).mT.unflatten(1, self.tokens)
