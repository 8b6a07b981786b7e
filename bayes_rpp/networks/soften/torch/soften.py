"""`soften` for torch: watch one example run through a copy of the module, then decide layer by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn

from bayes_rpp.networks.network import altered
from bayes_rpp.networks.soften import options as limits
from bayes_rpp.networks.soften.module import Softened
from bayes_rpp.networks.soften.options import GIVEN, KERNELS, NOTES, TOKENS, Options, joined
from bayes_rpp.networks.soften.torch.checks import check_gradients, check_same, runs_as_one, without_gradient
from bayes_rpp.networks.soften.torch.choices import Choice, LeftAlone, TooLarge, acts_on_tokens, choose, reason_alone
from bayes_rpp.networks.soften.torch.network import TorchNetwork
from bayes_rpp.networks.soften.torch.replace import hold, replace_layers
from bayes_rpp.networks.soften.torch.supported import check_supported, uncompiled, untrained
from bayes_rpp.priors.subspaces.base import Subspace
from bayes_rpp.priors.subspaces.torch import copied, run, speaks_types


@dataclass
class Calls:
    """How a layer was called: shapes of an example, one for each call, and what speaks against softening it."""

    shapes: list[tuple[int, ...]]
    trouble: str | None = None


def soften(module: nn.Module, input_shape: tuple[int, ...], options: Options, **reps: Any) -> TorchNetwork:
    """See `bayes_rpp.soften`."""
    with next(module.parameters(), torch.zeros(())).device:  # what is made while it is looked at is where it is
        return _soften(module, input_shape, options, **reps)


def _soften(module: nn.Module, input_shape: tuple[int, ...], options: Options, **reps: Any) -> TorchNetwork:
    check_supported(module)
    module = uncompiled(_copied(module))
    for p in module.parameters():
        p.requires_grad_(False)
        if not p.is_floating_point():
            raise TypeError(f"module must have floating-point parameters, got some of {p.dtype}")
    x = _example(module, input_shape)
    calls, y = _watch(module, x)
    outputs = y.reshape(2, -1).shape[1]
    weights: dict[str, tuple[Subspace, NDArray]] = {}
    layers, replaced, order = [], {}, []
    tied, values = _tied(module), dict(module.named_parameters())  # of tied ones only the first name
    for path, layer in module.named_modules():
        own = [n for n, p in layer.named_parameters(recurse=False) if p.numel()]
        if not own:
            continue
        try:
            choice = _decide(module, path, layer, calls.get(path), tied, options)
        except LeftAlone as reason:
            layers.append(Softened(path, type(layer).__name__, None, str(reason)))
            order += [name for name in (joined(path, n) for n in own) if name in values]
            continue
        if choice.layer is not None:
            replaced[path] = choice.layer
        for name, (subspace, value) in choice.weights.items():
            weights[joined(path, name)] = (options.subspace(joined(path, name), subspace), value)
            order.append(joined(path, name))
        weight = weights[joined(path, "weight")][0]
        note = choice.note if weight is choice.weights["weight"][0] else GIVEN
        layers.append(Softened(path, type(layer).__name__, weight, note, _reason(layer, note, calls[path])))
    options.check_used([s.name for s in layers], weights)
    if not order:
        raise ValueError(f"module must have parameters to infer, got a {type(module).__name__} without")
    rest = {n: values[n].cpu().double().numpy() for n in order if n not in weights}
    softened = replace_layers(module, replaced)
    net = TorchNetwork(softened, input_shape, outputs, weights, rest, layers, whole=order, **reps)
    check_same(net, x, y)
    without = without_gradient(net, x)
    held = [n for n in without if options.skips(n.rpartition(".")[0])]
    order = [n for n in order if n not in held]
    if held and order:
        hold(softened, held)
        rest = {n: v for n, v in rest.items() if n not in held}
        layers = [_held(s) if any(n.rpartition(".")[0] == s.name for n in held) else s for s in layers]
        net = TorchNetwork(softened, input_shape, outputs, weights, rest, layers, whole=order, **reps)
        without = without_gradient(net, x)
    check_gradients(without, _alone(without, order))
    seen = replace(net.capabilities, vectorized=runs_as_one(net, x))
    return altered(net, capabilities=seen, untrained=untrained(module))


def _held(layer: Softened) -> Softened:
    return replace(layer, note=f"{layer.note}; constant, as no gradient reaches it")


def _alone(without: Sequence[str], order: Sequence[str]) -> list[str]:
    """Layers of these weights, if others are left to infer."""
    found = list(dict.fromkeys(n.rpartition(".")[0] for n in without))
    return found if "" not in found and any(n.rpartition(".")[0] not in found for n in order) else []


def _copied(module: nn.Module) -> nn.Module:
    try:
        return copied(module)
    except Exception as error:  # locks, open files, generators
        raise ValueError(
            f"module must be one that copy.deepcopy can copy, got a {type(module).__name__} that it cannot: {error}; "
            "the same without the attribute that it fails at would do"
        ) from error


def _reason(layer: nn.Module, note: str, calls: Calls) -> str:
    if note != NOTES["none"]:
        return ""
    if acts_on_tokens(layer):
        return TOKENS if any(len(s) > 1 for s in calls.shapes) else ""
    return KERNELS


def _decide(
    module: nn.Module, path: str, layer: nn.Module, calls: Calls | None, tied: Mapping[str, str], options: Options
) -> Choice:
    """Raises LeftAlone with the reason, or ValueError for a weight that is too large."""
    residual = options.residual(path)
    if options.skips(path):
        raise LeftAlone("skipped, as asked")
    if any(isinstance(m, nn.MultiheadAttention) for m in _above(module, path)):
        raise LeftAlone("part of attention")
    reason = reason_alone(layer)
    if reason:
        raise LeftAlone(reason)
    for name, _ in layer.named_parameters(recurse=False):
        if joined(path, name) in tied:
            raise LeftAlone(f"its {name} is {tied[joined(path, name)]} as well")
    if any(p.numel() for child in layer.children() for p in child.parameters()):
        raise LeftAlone("holds other layers")
    if calls is None:
        raise LeftAlone("never called, or not as a layer")
    if calls.trouble:
        raise LeftAlone(calls.trouble)
    # A plain linear layer acts on the last axis alone, as does e3nn's.
    shapes = {s[-1:] if acts_on_tokens(layer) else s for s in calls.shapes}
    if len(shapes) > 1:
        raise LeftAlone(f"called with inputs of different shapes: {', '.join(map(str, sorted(shapes)))}")
    try:
        return choose(layer, shapes.pop(), residual, limits.LARGEST)
    except TooLarge as size:
        would = (
            "'kernel'" if residual == "local" else "'local' or 'kernel'"
        )  # the kernel of a plain one has no residual
        would = f"residual={{{path!r}: {would}}}, or skip=[{path!r}]," if path else f"residual={would}"
        raise ValueError(
            f"layer {path!r} would have a weight of {size}, more than {limits.LARGEST} entries; {would} would do"
        ) from size


def _example(module: nn.Module, input_shape: tuple[int, ...]) -> torch.Tensor:
    """Two examples of positive numbers below 1, which are zero where a module rounds them to indices."""
    like = next(module.parameters(), torch.zeros(()))
    random = torch.Generator().manual_seed(0)
    return torch.rand(2, *input_shape, generator=random, dtype=torch.float64, device="cpu").to(like)


def _watch(module: nn.Module, x: torch.Tensor) -> tuple[dict[str, Calls], torch.Tensor]:
    """Calls by path, and the module's output (2, ...)."""
    calls: dict[str, Calls] = {}
    hooks = []
    for path, layer in module.named_modules():
        if dict(layer.named_parameters(recurse=False)) and not isinstance(layer, torch.jit.ScriptModule):
            hook = partial(_record, calls.setdefault, path)
            hooks.append(layer.register_forward_hook(hook, with_kwargs=True))
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            y = run(module, {}, x)
    except Exception as error:  # whatever the module raises
        raise ValueError(f"module must run on an input of shape {tuple(x.shape)}, got an error: {error}") from error
    finally:
        for handle in hooks:
            handle.remove()
    if y.ndim < 1 or len(y) != len(x):
        raise ValueError(f"module must make an output ({len(x)}, ...) of {len(x)} examples, got {tuple(y.shape)}")
    return calls, y


def _record(note: Any, path: str, layer: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
    call = note(path, Calls([]))
    typed = speaks_types(layer)
    x = args[0] if len(args) == 1 and not kwargs else None
    x, y = (getattr(a, "tensor", a) if typed else a for a in (x, output))
    if not isinstance(x, torch.Tensor) or not isinstance(y, torch.Tensor) or typed != hasattr(output, "tensor"):
        call.trouble = "called with, or giving, other than one tensor"
    elif x.ndim < 2:
        call.trouble = "called without a batch"
    else:
        call.shapes.append(tuple(x.shape[1:]))


def _tied(module: nn.Module) -> dict[str, str]:
    """Names of parameters that are also another layer's -> the other name."""
    owners: dict[int, list[str]] = {}
    for path, layer in module.named_modules():
        for name, p in layer._parameters.items():
            if p is not None:
                owners.setdefault(id(p), []).append(joined(path, name))
    return {name: next(n for n in names if n != name) for names in owners.values() if len(names) > 1 for name in names}


def _above(module: nn.Module, path: str) -> list[nn.Module]:
    parts = path.split(".") if path else []
    return [module.get_submodule(".".join(parts[:k])) for k in range(len(parts))]
