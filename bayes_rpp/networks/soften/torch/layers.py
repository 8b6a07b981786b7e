"""torch layers whose weight may be any linear map that the residual of a softened layer may be.

Each takes the place of a layer of the module: the same shapes in and out, and escnn's types where it had them.
"""

from __future__ import annotations

from abc import abstractmethod
from copy import copy
from typing import Any, Self

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from bayes_rpp.networks.soften.torch.local import (
    ChannelsLast,
    Contiguous,
    Grid,
    LocallyConnected,
    known_to_torch,
    locally,
)
from bayes_rpp.networks.soften.torch.rows import applies, by_rows
from bayes_rpp.priors.subspaces.convolution import ConvolutionSubspace
from bayes_rpp.priors.subspaces.torch import speaks_types

WITHIN = 1e-6  # relative distance from convolutions at which a weight counts as one
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)

KEPT = ("in_type", "out_type", "irreps_in", "irreps_out", "in_features", "out_features")  # modules ask their layers


class Layer(nn.Module):
    """A softened layer.

    Args:
        original: the layer that it stands for.
        weight, bias: numpy arrays, of which only the shapes count.
    """

    is_apart = False  # whether it is no part of a network, which torch.func may transform

    def __init__(self, original: nn.Module, weight: NDArray, bias: NDArray | None) -> None:
        super().__init__()
        # Values come with each call; these hold the names, and no memory.
        self.weight: Any = nn.Parameter(torch.zeros(()).expand(weight.shape), requires_grad=False)
        self.bias: Any = None if bias is None else nn.Parameter(torch.zeros(()).expand(bias.shape), requires_grad=False)
        self.before: nn.Module | None = None  # pads the input, where that is not with zeros or circular
        self.typed = speaks_types(original)
        for name in KEPT:
            if hasattr(original, name):
                setattr(self, name, getattr(original, name))

    def forward(self, x: Any) -> Any:
        return self.at(self.weight, self.bias, x)

    def at(self, weight: torch.Tensor, bias: torch.Tensor | None, x: Any) -> Any:
        """The layer's output for these weights."""
        if not self.typed:
            return self.act(weight, bias, self.padded(x))
        from escnn.nn import GeometricTensor

        return GeometricTensor(self.act(weight, bias, x.tensor), self.out_type)

    def padded(self, x: torch.Tensor) -> torch.Tensor:
        return x if self.before is None else self.before(x)

    def beside(self, weight: torch.Tensor, bias: torch.Tensor | None, x: Any) -> Any:
        """What the layer's output has beyond that of the layer that it stands for, if these weights are a residual."""
        return self.at(weight, bias, x)

    def without_weights(self) -> Self:
        """The same layer for `at` alone."""
        new = copy(self)
        new._parameters, new.is_apart = {"weight": None, "bias": None}, True
        return new

    def with_weights(self, weight: torch.Tensor, bias: torch.Tensor | None) -> Self:
        """The same layer with weights of its own."""
        new = self.without_weights()
        new.weight, new.bias = nn.Parameter(weight), None if bias is None else nn.Parameter(bias)
        return new

    @abstractmethod
    def act(self, weight: torch.Tensor, bias: torch.Tensor | None, x: torch.Tensor) -> torch.Tensor:
        """Tensor to tensor."""

    def plain(self) -> nn.Module:
        """The same map in torch's own layers, as far as there is one."""
        module = self.plain_map() if self.before is None else nn.Sequential(self.before, self.plain_map())
        return Typed(module, self.in_type, self.out_type) if self.typed else module

    @abstractmethod
    def plain_map(self) -> nn.Module:
        """Of tensors."""


class Tokens(Layer):
    """A matrix along the last axis, as nn.Linear."""

    def act(self, weight: torch.Tensor, bias: torch.Tensor | None, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, weight, bias)

    def plain_map(self) -> nn.Module:
        return linear(self.weight, self.bias)


class Matrix(Layer):
    """A matrix from the whole of an example to the whole of its output, (n, *) to (n, *output_shape)."""

    def __init__(
        self, original: nn.Module, weight: NDArray, bias: NDArray | None, output_shape: tuple[int, ...]
    ) -> None:
        super().__init__(original, weight, bias)
        self.output_shape = output_shape

    def act(self, weight: torch.Tensor, bias: torch.Tensor | None, x: torch.Tensor) -> torch.Tensor:
        y = F.linear(x.reshape(len(x), -1), weight, bias)
        return y.reshape(len(x), *self.output_shape)

    def plain_map(self) -> nn.Module:
        back = nn.Unflatten(1, self.output_shape) if self.output_shape else nn.Flatten(0)
        return nn.Sequential(nn.Flatten(), linear(self.weight, self.bias), back)


class Convolution(Layer):
    """Any linear map, or any local one, between two grids; a convolution if the weight is in the subspace."""

    def __init__(
        self, original: nn.Module, weight: NDArray, bias: NDArray | None, subspace: ConvolutionSubspace
    ) -> None:
        super().__init__(original, weight, bias)
        self.subspace, self.grid = subspace, Grid(subspace)

    def act(self, weight: torch.Tensor, bias: torch.Tensor | None, x: torch.Tensor) -> torch.Tensor:
        s = self.subspace
        if s.weights == "dense":
            y = F.linear(x.flatten(1), weight, bias)
            return y.unflatten(1, (s.out_channels, *s.output_size))
        if self.is_apart and applies(self.grid, x):
            return by_rows(self.grid, weight, bias, x)
        return locally(self.grid, weight, bias, x, Contiguous.apply if self.is_apart else lambda y: y)

    def plain_map(self) -> nn.Module:
        return merged(self.subspace, self.weight, self.bias)


class TokenConvolution(Convolution):
    """Any linear map, or any local one, between tokens, of which the layer gives each the same: (n, *tokens, features),
    a convolution of kernel size 1 with its channels last."""

    def act(self, weight: torch.Tensor, bias: torch.Tensor | None, x: torch.Tensor) -> torch.Tensor:
        y = super().act(weight, bias, x.flatten(1, -2).mT)
        return y.mT.unflatten(1, tuple(x.shape[1:-1]))

    def plain_map(self) -> nn.Module:
        made = super().plain_map()
        if isinstance(made, nn.Conv1d):
            return linear(made.weight[..., 0], made.bias)
        return known_to_torch(ChannelsLast(made, self.tokens))

    tokens: tuple[int, ...] = ()


class Kernel(Layer):
    """A convolution of escnn with any kernel: weight (out_channels, in_channels / groups, *kernel_size)."""

    def __init__(self, original: nn.Module, weight: NDArray, bias: NDArray | None) -> None:
        super().__init__(original, weight, bias)
        names = ("stride", "padding", "dilation", "padding_mode", "groups")
        self.options = {name: getattr(original, name) for name in names}
        padding = self.options["padding"]
        each = padding if isinstance(padding, (tuple, list)) else [padding] * (weight.ndim - 2)
        self.pads = [p for n in reversed(each) for p in (n, n)]  # as F.pad wants them, the last axis first

    def act(self, weight: torch.Tensor, bias: torch.Tensor | None, x: torch.Tensor) -> torch.Tensor:
        options = {k: v for k, v in self.options.items() if k != "padding_mode"}
        if self.options["padding_mode"] != "zeros":
            x, options["padding"] = F.pad(x, self.pads, mode=self.options["padding_mode"]), 0
        function: Any = (F.conv1d, F.conv2d, F.conv3d)[weight.ndim - 3]
        return function(x, weight, bias, **options)

    def plain_map(self) -> nn.Module:
        options = {k: v for k, v in self.options.items() if k != "groups"}
        return convolution(self.weight, self.bias, self.options["groups"], options)


class Typed(nn.Module):
    """A map of tensors as one of escnn's GeometricTensors."""

    typed = True

    def __init__(self, module: nn.Module, in_type: Any, out_type: Any) -> None:
        super().__init__()
        self.module, self.in_type, self.out_type = module, in_type, out_type

    def forward(self, x: Any) -> Any:
        from escnn.nn import GeometricTensor

        return GeometricTensor(self.module(x.tensor), self.out_type)


@torch.no_grad()
def merged(s: ConvolutionSubspace, weight: torch.Tensor, bias: torch.Tensor | None) -> nn.Module:
    """A map between grids as nn.Conv, where the weight is a convolution and the bias the same everywhere; else as
    nn.Linear on all of them, or LocallyConnected."""
    each = None if bias is None else bias.reshape(s.out_channels, -1)
    differences = [(weight - s.project(weight), weight)]
    differences += [] if each is None else [(each - each.mean(1, keepdim=True), each)]
    if all(float(d.norm()) <= WITHIN * float(whole.norm()) for d, whole in differences):
        return as_convolution(s, s.kernel(weight), None if each is None else each.mean(1))
    if s.weights == "local":
        return known_to_torch(LocallyConnected(Grid(s), weight, bias))
    return nn.Sequential(nn.Flatten(), linear(weight, bias), nn.Unflatten(1, (s.out_channels, *s.output_size)))


def as_convolution(s: ConvolutionSubspace, kernel: torch.Tensor, bias: torch.Tensor | None) -> nn.Module:
    """nn.Conv, behind a layer that pads where one side has more."""
    options: dict[str, Any] = {"stride": s.stride, "dilation": s.dilation, "padding_mode": s.padding_mode}
    if all(a == b for a, b in s.padding):
        return convolution(kernel, bias, s.groups, options | {"padding": tuple(a for a, _ in s.padding)})
    kinds: dict[str, Any] = {"zeros": (nn.ZeroPad1d, nn.ZeroPad2d, nn.ZeroPad3d)}
    kinds["circular"] = (nn.CircularPad1d, nn.CircularPad2d, nn.CircularPad3d)
    pad = kinds[s.padding_mode][len(s.padding) - 1](tuple(p for pair in reversed(s.padding) for p in pair))
    return nn.Sequential(pad, convolution(kernel, bias, s.groups, options | {"padding_mode": "zeros"}))


def convolved(s: ConvolutionSubspace, kernel: torch.Tensor, bias: torch.Tensor | None, x: torch.Tensor) -> torch.Tensor:
    """The convolution with a kernel of any number of output channels."""
    function: Any = (F.conv1d, F.conv2d, F.conv3d)[len(s.padding) - 1]
    if s.padding_mode == "zeros" and all(a == b for a, b in s.padding):
        return function(x, kernel, bias, s.stride, tuple(a for a, _ in s.padding), s.dilation, s.groups)
    mode = "constant" if s.padding_mode == "zeros" else s.padding_mode
    x = F.pad(x, [p for pair in reversed(s.padding) for p in pair], mode=mode)
    return function(x, kernel, bias, s.stride, 0, s.dilation, s.groups)


def linear(weight: torch.Tensor, bias: torch.Tensor | None) -> nn.Linear:
    """nn.Linear with copies of these values."""
    made = nn.utils.skip_init(nn.Linear, weight.shape[1], weight.shape[0], bias=bias is not None, dtype=weight.dtype)
    return _filled(made, weight, bias)


def convolution(
    kernel: torch.Tensor, bias: torch.Tensor | None, groups: int, options: dict[str, Any]
) -> nn.Conv1d | nn.Conv2d | nn.Conv3d:
    """nn.Conv with copies of these values; options are stride, padding, dilation and padding_mode."""
    channels_out, channels_in, *size = kernel.shape
    kind = CONVOLUTIONS[len(size) - 1]
    made = nn.utils.skip_init(
        kind,
        channels_in * groups,
        channels_out,
        tuple(size),
        groups=groups,
        bias=bias is not None,
        dtype=kernel.dtype,
        **options,
    )
    return _filled(made, kernel, bias)


@torch.no_grad()
def _filled(module: Any, weight: torch.Tensor, bias: torch.Tensor | None) -> Any:
    module.weight.copy_(weight)
    if bias is not None:
        module.bias.copy_(bias)
    return module


def padding_of(layer: Any) -> nn.Module | None:
    """What pads the input of a convolution that reflects or repeats it; None for other convolutions."""
    kinds: dict[str, Any] = {"reflect": (nn.ReflectionPad1d, nn.ReflectionPad2d, nn.ReflectionPad3d)}
    kinds["replicate"] = (nn.ReplicationPad1d, nn.ReplicationPad2d, nn.ReplicationPad3d)
    if layer.padding_mode not in kinds:
        return None
    return kinds[layer.padding_mode][len(layer.kernel_size) - 1](tuple(layer._reversed_padding_repeated_twice))


def convolution_subspace(layer: Any, size: tuple[int, ...], weights: Any) -> ConvolutionSubspace:
    """Of a layer with torch's names of attributes, one of escnn's included; size is the input's grid, padded already
    where that is not with zeros or circular."""
    dims = len(size)
    is_padded = layer.padding_mode not in ("zeros", "circular")
    pads = 0 if is_padded else layer.padding
    if isinstance(pads, str):
        flat = layer._reversed_padding_repeated_twice
        pads = [(flat[2 * d], flat[2 * d + 1]) for d in reversed(range(dims))]
    return ConvolutionSubspace(
        layer.in_channels if hasattr(layer, "in_channels") else layer.in_type.size,
        layer.out_channels if hasattr(layer, "out_channels") else layer.out_type.size,
        layer.kernel_size,
        size,
        stride=layer.stride,
        padding=pads,
        dilation=layer.dilation,
        groups=layer.groups,
        padding_mode="zeros" if is_padded else layer.padding_mode,
        weights=weights,
    )
