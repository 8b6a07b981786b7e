"""Modules with parametrizations in a form that can be pickled: torch makes their classes anew, and pickles none."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from bayes_rpp.priors.subspaces.torch import copied


def packed(module: nn.Module) -> tuple[nn.Module, dict[str, Any]]:
    """The module without its parametrizations, and these by path; the module itself if it has none."""
    if not any(parametrize.is_parametrized(m) for m in module.modules()):
        return module, {}
    module, taken = copied(module), {}
    for path, m in list(module.named_modules()):
        if parametrize.is_parametrized(m):
            taken[path] = m._modules.pop("parametrizations")
            m.__class__ = type(m).__bases__[0]
            m._load_state_dict_pre_hooks.clear()  # weight_norm's reads files of torch before 2.0, and is no global name
    return module, taken


def unpacked(module: nn.Module, taken: dict[str, Any]) -> nn.Module:
    """Inverse of `packed`."""
    for path, chains in taken.items():
        layer: Any = module.get_submodule(path)
        for name, chain in chains.items():
            layer.register_parameter(name, nn.Parameter(torch.zeros(())))
            parametrize.register_parametrization(layer, name, nn.Identity())
            layer.parametrizations[name] = chain
    return module
