"""Putting layers of a torch module in place of others, and constants in place of parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn


def replace_layers(module: nn.Module, new: Mapping[str, nn.Module]) -> nn.Module:
    """Put layers in place of those at these paths, and wherever else the module holds them; "" is the module itself."""
    by_id = {id(module.get_submodule(path)): layer for path, layer in new.items()}
    if id(module) in by_id:
        return by_id[id(module)]
    for parent in list(module.modules()):
        for name, child in parent._modules.items():
            if id(child) in by_id:
                parent._modules[name] = by_id[id(child)]
        if by_id and isinstance(parent, nn.TransformerEncoder):
            parent.use_nested_tensor = False
        if by_id and isinstance(parent, nn.TransformerEncoderLayer):
            parent.activation_relu_or_gelu = 0  # no fast path, which reads weights and calls no layer
    return module


def hold(module: nn.Module, names: Sequence[str]) -> None:
    """Make buffers of parameters, wherever the module holds them."""
    ids = {id(module.get_parameter(name)) for name in names}
    for layer in list(module.modules()):
        for name, p in list(layer._parameters.items()):
            if p is not None and id(p) in ids:
                del layer._parameters[name]
                layer.register_buffer(name, p.detach())
