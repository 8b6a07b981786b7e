"""`soften` for torch: watch one example run through a copy of the module, then put new layers in place of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from bayes_rpp.networks.network import altered
from bayes_rpp.networks.soften.module import Softened
from bayes_rpp.networks.soften.options import Options, is_centered
from bayes_rpp.networks.soften.torch.checks import check_gradients, check_same, runs_as_one, without_gradient
from bayes_rpp.networks.soften.torch.look import Look, look
from bayes_rpp.networks.soften.torch.network import TorchNetwork
from bayes_rpp.networks.soften.torch.replace import hold, replace_layers
from bayes_rpp.networks.soften.torch.supported import is_trained, untrained
from bayes_rpp.priors.subspaces.torch import run


def soften(module: nn.Module, input_shape: tuple[int, ...], options: Options, **reps: Any) -> TorchNetwork:
    """See `bayes_rpp.soften`."""
    with next(module.parameters(), torch.zeros(())).device:  # what is made while it is looked at is where it is
        return _soften(module, input_shape, options, **reps)


def _soften(
    module: nn.Module, input_shape: tuple[int, ...], options: Options, *, centre: str | None, **reps: Any
) -> TorchNetwork:
    x = example(module, input_shape)

    def call(m: nn.Module) -> torch.Tensor:
        try:
            y = run(m, {}, x)
        except Exception as error:  # whatever the module raises
            raise ValueError(f"module must run on an input of shape {tuple(x.shape)}, got an error: {error}") from error
        if y.ndim < 1 or len(y) != len(x):
            raise ValueError(f"module must make an output ({len(x)}, ...) of {len(x)} examples, got {tuple(y.shape)}")
        return y

    seen, y = look(module, options, call)
    outputs, reps["centered"] = y.reshape(2, -1).shape[1], is_centered(centre, is_trained(module))
    net = network(seen, input_shape, outputs, **reps)
    check_same(net, x, y)
    without = without_gradient(net, x)
    held = [n for n in without if options.skips(n.rpartition(".")[0])]
    if held and len(held) < len(seen.order):
        seen.order = [n for n in seen.order if n not in held]
        seen.layers = [_held(s) if any(n.rpartition(".")[0] == s.name for n in held) else s for s in seen.layers]
        seen.frozen += held
        net = network(seen, input_shape, outputs, **reps)
        without = without_gradient(net, x)
    check_gradients(without, _alone(without, seen.order))
    able = replace(net.capabilities, vectorized=runs_as_one(net, x))
    return altered(net, capabilities=able, untrained=untrained(net.module), dtype=x.dtype)


def network(seen: Look, input_shape: tuple[int, ...], outputs: int, **options: Any) -> TorchNetwork:
    """The module that was looked at, with new layers in place of those that are softened."""
    rest = seen.rest
    new = {path: c.layer for path, c in seen.choices.items() if c.layer is not None}
    hold(seen.module, seen.frozen)
    seen.module = replace_layers(seen.module, {p: layer for p, layer in new.items() if layer is not None})
    return TorchNetwork(seen.module, input_shape, outputs, seen.weights, rest, seen.layers, whole=seen.order, **options)


def example(module: nn.Module, input_shape: tuple[int, ...]) -> torch.Tensor:
    """Two examples of positive numbers below 1, which are zero where a module rounds them to indices."""
    like = next(module.parameters(), torch.zeros(()))
    random = torch.Generator().manual_seed(0)
    return torch.rand(2, *input_shape, generator=random, dtype=torch.float64, device="cpu").to(like)


def _held(layer: Softened) -> Softened:
    return replace(layer, note=f"{layer.note}; constant, as no gradient reaches it")


def _alone(without: Sequence[str], order: Sequence[str]) -> list[str]:
    """Layers of these weights, if others are left to infer."""
    found = list(dict.fromkeys(n.rpartition(".")[0] for n in without))
    return found if "" not in found and any(n.rpartition(".")[0] not in found for n in order) else []
