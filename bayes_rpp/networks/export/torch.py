"""Networks as plain torch modules; `plain.register` adds a kind of network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import singledispatch
from typing import Any

import numpy as np
import torch
from torch import nn

from bayes_rpp._arrays import Array
from bayes_rpp.networks.conv import ConvNet
from bayes_rpp.networks.emlp import EMLP, Block
from bayes_rpp.networks.mlp import MLP
from bayes_rpp.networks.soften.torch.layers import Layer, linear, merged
from bayes_rpp.networks.soften.torch.network import TorchNetwork
from bayes_rpp.networks.soften.torch.opened import closed
from bayes_rpp.networks.soften.torch.replace import replace_layers
from bayes_rpp.priors.subspaces.torch import copied


@singledispatch
def plain(net: Any, params: Mapping[str, Array]) -> nn.Module:
    """See `bayes_rpp.networks.to_torch`."""
    kinds = ", ".join(sorted(kind.__name__ for kind in plain.registry if kind is not object))
    raise TypeError(f"net must be one that has a torch module, {kinds}, got a {type(net).__name__}")


@plain.register
def _(net: MLP, params: Mapping[str, Array]) -> nn.Module:
    layers: list[nn.Module] = []
    for k in range(net.layers):
        layers += [_linear(params, f"layers.{k}"), nn.SiLU()]
    return nn.Sequential(*layers, _linear(params, "output")).eval()


@plain.register
def _(net: ConvNet, params: Mapping[str, Array]) -> nn.Module:
    first = net.convolutions[0]
    shape = (first.in_channels, *first.input_size)
    layers: list[nn.Module] = [nn.ConstantPad1d((0, net.missing), 0.0)] if net.missing else []
    layers += [nn.Flatten(), nn.Unflatten(1, shape)]  # images, or rows
    for k, s in enumerate(net.convolutions):
        weight, bias = (_tensor(params[f"layers.{k}.{part}"]) for part in ("weight", "bias"))
        layers += [merged(s, weight, bias), *_activation(net, (s.out_channels, *s.output_size))]
    layers.append(nn.Flatten())
    for name in net.dense:
        layers += [_linear(params, name), *_activation(net, params[f"{name}.bias"].shape)]
    return nn.Sequential(*layers, _linear(params, "output")).eval()


def _activation(net: ConvNet, shape: Sequence[int]) -> list[nn.Module]:
    norm = [nn.LayerNorm(list(shape), elementwise_affine=False)] if net.norm else []
    return [*norm, nn.SiLU()]


@plain.register
def _(net: EMLP, params: Mapping[str, Array]) -> nn.Module:
    blocks = []
    for block in net.blocks:
        mix = _tensor(params[f"{block.name}.swish"]) if block.mixes else None
        thetas = [_tensor(params[name]) for name in block.bilinear_names]
        blocks.append(EquivariantBlock(block, _linear(params, block.name), thetas, mix))
    return nn.Sequential(*blocks, _linear(params, "output")).eval()


@plain.register
def _(net: TorchNetwork, params: Mapping[str, Array]) -> nn.Module:
    module = copied(net.module)
    values = net.actual({name: _tensor(params[name]) for name in net.parameters})
    new = {id(module.get_parameter(name)): nn.Parameter(value) for name, value in values.items()}
    for m in module.modules():  # parameters that layers share stay shared
        for name, p in m._parameters.items():
            if id(p) in new:
                m._parameters[name] = new[id(p)]
    module.to(torch.promote_types(next(iter(values.values())).dtype, net.dtype))
    merged = {path: m.plain() for path, m in module.named_modules() if isinstance(m, Layer)}
    with torch.no_grad():  # escnn's layers expand their weights here
        return closed(replace_layers(module, merged)).eval()


class EquivariantBlock(nn.Module):
    """A hidden layer of an EMLP: linear layer, bilinear layer, gates."""

    def __init__(
        self, block: Block, layer: nn.Linear, thetas: Sequence[torch.Tensor], mix: torch.Tensor | None
    ) -> None:
        super().__init__()
        self.linear = layer
        self.bilinear = nn.ParameterList(nn.Parameter(t) for t in thetas)
        self.mix = None if mix is None else nn.Parameter(mix)
        self._block = block

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._block.activate(self.linear(x), list(self.bilinear), self.mix)


def _linear(params: Mapping[str, Array], name: str) -> nn.Linear:
    return linear(_tensor(params[f"{name}.weight"]), _tensor(params[f"{name}.bias"]))


def _tensor(value: Array) -> torch.Tensor:
    """A copy, of floating-point numbers."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    array = np.array(value)
    return torch.from_numpy(array if np.issubdtype(array.dtype, np.floating) else array.astype(np.float32))
