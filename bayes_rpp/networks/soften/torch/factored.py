"""Residuals of few weights: position by a few smooth functions that are fixed, channels and kernels by weights.

With phi_k the slowest cosines of the output's grid, of mean square 1 (phi_0 = 1), and psi_l those of the input's:

    separable: B x (p) = sum_k>0 phi_k(p) (kernel_k * x)(p)                  a kernel that varies smoothly with position
    low-rank:  B x (p) = sum_kl phi_k(p) M_kl mean_q(psi_l(q) x(q))          any map between slow waves, however far

Van der Ouderaa, Immer and van der Wilk (NeurIPS 2023) factor layers, too (F-FC), with both factors learned; with one of
them fixed a weight is linear in its coordinates, and a Gaussian prior of them is one of maps, as sigma_b means it.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from bayes_rpp.networks.soften.torch.layers import Layer, as_convolution, convolved, known_to_torch, linear
from bayes_rpp.priors.subspaces.convolution import ConvolutionSubspace
from bayes_rpp.priors.subspaces.leading import LeadingSubspace

WAVES = 2  # at least; one for each axis of a grid of more


def waves(size: tuple[int, ...]) -> NDArray:
    """(k, positions): the slowest products of cosines on a grid that are not constant, of mean square 1."""
    count = max(WAVES, len(size))
    every = [f for f in itertools.product(*(range(min(n, count + 1)) for n in size)) if any(f)]
    every.sort(key=lambda f: (sum(k * k for k in f), f))
    found = np.zeros((min(count, len(every)), math.prod(size)))
    for row, f in zip(found, every, strict=False):
        axes = [np.cos(np.pi * k * (np.arange(n) + 0.5) / n) for k, n in zip(f, size, strict=True)]
        wave = axes[0]
        for axis in axes[1:]:
            wave = np.multiply.outer(wave, axis)
        row[:] = wave.reshape(-1) / np.sqrt(np.mean(wave**2))
    return found


def coordinates(
    conv: ConvolutionSubspace, kind: str, kernel: NDArray, bias: NDArray | None
) -> dict[str, tuple[LeadingSubspace, NDArray]]:
    """Weight and bias of a `Factored` layer without a residual, each with its subspace."""
    out, into = len(waves(conv.output_size)), len(waves(conv.input_size))
    size = out * kernel.size if kind == "separable" else (1 + out) * (1 + into) * math.prod(kernel.shape[:2])
    made = {"weight": (conv.encode_kernel(kernel).reshape(-1), size)}
    if bias is not None:
        made["bias"] = (bias * math.sqrt(math.prod(conv.output_size)), out * len(bias))
    return {
        name: (LeadingSubspace(len(v) + n, len(v), conv.shape[0]), np.concatenate([v, np.zeros(n)]))
        for name, (v, n) in made.items()
    }


class Factored(Layer):
    """A convolution and a factored residual: weight (coordinates,), those of the convolution first; bias likewise.

    Args:
        original: the layer.
        conv: its subspace within local maps.
        kind: "separable" or "low-rank".
        weight, bias: as `coordinates` makes them.
    """

    out: torch.Tensor
    into: torch.Tensor
    expand: torch.Tensor

    def __init__(
        self, original: nn.Module, conv: ConvolutionSubspace, kind: str, weight: NDArray, bias: NDArray | None
    ) -> None:
        super().__init__(original, weight, bias)
        out, into = waves(conv.output_size), waves(conv.input_size)
        channels = (conv.out_channels // conv.groups, conv.in_channels // conv.groups)
        self.positions, self.kind = out.shape[1], kind
        self.conv, self.rank = conv, conv.rank
        self.kernels = (conv.groups, len(out), *channels, *conv.kernel_size)
        self.matrix = (conv.groups, channels[0], 1 + len(out), channels[1], 1 + len(into))
        # What a slow input gives then has the variance that it has in other residuals, with scale="fan_in".
        self.scale = math.sqrt(len(weight) / (conv.shape[0] * channels[1] * (1 + len(out))))
        like = next(original.parameters())
        for name, value in (("out", out), ("into", np.concatenate([np.ones((1, into.shape[1])), into]) / into.shape[1]),
                            ("expand", conv.tap_coordinates.T / conv.counts[:, None])):  # fmt: skip
            self.register_buffer(name, torch.as_tensor(np.array(value)).to(like), persistent=False)

    def act(self, weight: torch.Tensor, bias: torch.Tensor | None, x: torch.Tensor) -> torch.Tensor:
        return self.own(*self.values(weight, bias), x) + self.rest(weight, bias, x)

    def values(self, weight: torch.Tensor, bias: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Kernel and bias of the convolution."""
        c = self.conv
        kernel = weight[: self.rank].reshape(c.out_channels, -1, len(c.counts)) @ self.expand
        kernel = kernel.reshape(c.out_channels, -1, *c.kernel_size)
        return kernel, None if bias is None else bias[: c.out_channels] / math.sqrt(self.positions)

    def own(self, kernel: torch.Tensor, bias: torch.Tensor | None, x: torch.Tensor) -> torch.Tensor:
        """The layer without its residual."""
        return convolved(self.conv, kernel, bias, x)

    def beside(self, weight: torch.Tensor, bias: torch.Tensor | None, x: torch.Tensor) -> torch.Tensor:
        return self.rest(weight, bias, self.padded(x))

    def rest(self, weight: torch.Tensor, bias: torch.Tensor | None, x: torch.Tensor) -> torch.Tensor:
        """The residual's output."""
        c, rest = self.conv, weight[self.rank :]
        if self.kind == "separable":
            each = convolved(c, rest.reshape(self.kernels).flatten(0, 2) / math.sqrt(self.positions), None, x)
            each = each.flatten(2).unflatten(1, self.kernels[:3])
            y = (Waves.apply(each, self.out) if self.is_apart else summed(each, self.out)).flatten(1, 2)
        else:
            means = (x.flatten(2) @ self.into.mT).unflatten(1, (c.groups, -1))
            y = self.mapped(rest, means).flatten(1, 2)
            y = y[..., :1] + y[..., 1:] @ self.out
        if bias is not None:
            y = y + self.offsets(bias).mT @ self.out
        return y.unflatten(2, c.output_size)

    def mapped(self, rest: torch.Tensor, means: torch.Tensor) -> torch.Tensor:
        """(n, groups, channels in, waves in) -> (n, groups, channels out, waves out)."""
        return torch.einsum("ngil,gokil->ngok", means, rest.reshape(self.matrix) * self.scale)

    def offsets(self, bias: torch.Tensor) -> torch.Tensor:
        """(waves, channels out)."""
        rest = bias[self.conv.out_channels :] / math.sqrt(self.positions)
        return rest.reshape(len(self.out), self.conv.out_channels)

    def plain_map(self) -> nn.Module:
        with torch.no_grad():
            kernel, bias = self.values(self.weight, self.bias)
            rest = [self.weight[self.rank :], *([] if self.bias is None else [self.bias[self.conv.out_channels :]])]
            own = self.plain_own(kernel, bias)
        return own if all(bool((r == 0).all()) for r in rest) else known_to_torch(Both(own, self))

    def plain_own(self, kernel: torch.Tensor, bias: torch.Tensor | None) -> nn.Module:
        return as_convolution(self.conv, kernel, bias)


class FactoredTokens(Factored):
    """The same of a linear layer along the last axis, (n, *tokens, features): the tokens are the grid."""

    tokens: tuple[int, ...]

    def own(self, kernel: torch.Tensor, bias: torch.Tensor | None, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, kernel.flatten(1), bias)

    def rest(self, weight: torch.Tensor, bias: torch.Tensor | None, x: torch.Tensor) -> torch.Tensor:
        rest, flat = weight[self.rank :], x.flatten(1, -2)
        if self.kind == "separable":
            kernels = rest.reshape(len(self.out), self.conv.out_channels, -1) / math.sqrt(self.positions)
            y: Any = sum(F.linear(flat, kernels[k]) * self.out[k][:, None] for k in range(len(self.out)))
        else:
            y = self.mapped(rest, (self.into @ flat).mT.unsqueeze(1))[:, 0].mT
            y = y[:, :1] + self.out.mT @ y[:, 1:]
        if bias is not None:
            y = y + self.out.mT @ self.offsets(bias)
        return y.unflatten(1, self.tokens)

    def plain_own(self, kernel: torch.Tensor, bias: torch.Tensor | None) -> nn.Module:
        return linear(kernel.flatten(1), bias)


def summed(each: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """sum_k each_k out_k: (n, groups, waves, channels, positions) to (n, groups, channels, positions)."""
    return sum(each[:, :, k] * out[k] for k in range(len(out)))  # type: ignore[return-value]


class Waves(torch.autograd.Function):
    """`summed`, whose gradient is written once and not for each wave. Not for torch.func."""

    @staticmethod
    def forward(ctx: Any, each: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(out)
        y = each[:, :, 0] * out[0]
        for k in range(1, len(out)):
            y.addcmul_(each[:, :, k], out[k])
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        (out,) = ctx.saved_tensors
        return gradients[0].unsqueeze(2) * out[:, None], None


class Both(nn.Module):
    """A plain layer and a residual beside it."""

    def __init__(self, layer: nn.Module, residual: Factored) -> None:
        super().__init__()
        self.layer, self.residual = layer, residual

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x) + self.residual.rest(self.residual.weight, self.residual.bias, x)
