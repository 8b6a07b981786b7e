"""What `soften` sees of a torch module: how its layers are called in one example, and what is to become of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn

from bayes_rpp.networks.soften import options as limits
from bayes_rpp.networks.soften.module import Softened
from bayes_rpp.networks.soften.options import FROZEN, GIVEN, KERNELS, NOTES, OF_TOKENS, TOKENS, Options, joined
from bayes_rpp.networks.soften.torch.choices import Choice, LeftAlone, TooLarge, acts_on_tokens, choose, reason_alone
from bayes_rpp.networks.soften.torch.opened import opened
from bayes_rpp.networks.soften.torch.supported import check_supported, uncompiled
from bayes_rpp.priors.subspaces.base import Subspace
from bayes_rpp.priors.subspaces.torch import copied, left_as_it_was, speaks_types


@dataclass
class Calls:
    """How a layer was called: shapes of an example, one for each call, and what speaks against softening it."""

    shapes: list[tuple[int, ...]]
    trouble: str | None = None


@dataclass
class Look:
    """What was seen and decided.

    Attributes:
        module: a copy in evaluation mode, whose layers are those that they were.
        layers: the listing.
        choices: path -> what becomes of a layer that is softened.
        weights: softened parameters with subspace and value.
        shapes: path -> the shape of an example of a softened layer's input.
        order: all parameters to infer, in torch's order.
        frozen: parameters that are not to be inferred.
    """

    module: nn.Module
    layers: list[Softened]
    choices: dict[str, Choice]
    weights: dict[str, tuple[Subspace, NDArray]]
    shapes: dict[str, tuple[int, ...]]
    order: list[str]
    frozen: list[str]

    @property
    def rest(self) -> dict[str, NDArray]:
        """Values of the parameters that are inferred as they are."""
        values = dict(self.module.named_parameters())
        return {n: values[n].cpu().double().numpy() for n in self.order if n not in self.weights}


def look(module: nn.Module, options: Options, call: Callable[[nn.Module], Any]) -> tuple[Look, Any]:
    """Run a copy of a module, and decide layer by layer.

    Args:
        module: it is not changed.
        options: of `soften`.
        call: runs a module on an example.

    Returns:
        What was seen, and what the call returned.

    Raises:
        TypeError, ValueError: as `soften`.
    """
    check_supported(module)
    module = opened(uncompiled(own_copy(module)), options)
    frozen = [n for n, p in module.named_parameters() if not p.requires_grad or options.freezes(n.rpartition(".")[0])]
    for p in module.parameters():
        p.requires_grad_(False)
        if not p.is_floating_point():
            raise TypeError(f"module must have floating-point parameters, got some of {p.dtype}")
    calls, y = _watch(module, call)
    found = Look(module, [], {}, {}, {}, [], frozen)
    tied, values = _tied(module), dict(module.named_parameters())  # of tied ones only the first name
    for path, layer in module.named_modules():
        own = [n for n, p in layer.named_parameters(recurse=False) if p.numel()]
        if own:
            _add(found, path, layer, own, calls.get(path), tied, values, options)
    options.check_used([s.name for s in found.layers], found.weights)
    found.order = [n for n in found.order if n not in frozen]
    if not found.order:
        some = " that are not frozen" if frozen else ""
        raise ValueError(f"module must have parameters to infer, got a {type(module).__name__} without{some}")
    return found, y


def _add(
    found: Look,
    path: str,
    layer: nn.Module,
    own: list[str],
    calls: Calls | None,
    tied: Mapping[str, str],
    values: Mapping[str, Any],
    options: Options,
) -> None:
    """A layer with these parameters of its own."""
    names = [joined(path, n) for n in own]
    skipped, residual = options.skips(path), options.residual(path)  # patterns are of use for frozen layers, too
    try:
        if any(n in found.frozen for n in names):
            raise LeftAlone(FROZEN)
        choice = _decide(found.module, path, layer, calls, tied, residual, skipped)
    except LeftAlone as reason:
        found.layers.append(Softened(path, type(layer).__name__, None, str(reason)))
        found.order += [name for name in names if name in values]
        return
    assert calls is not None
    found.choices[path] = choice
    found.shapes[path] = calls.shapes[0]
    for name, (subspace, value) in choice.weights.items():
        found.weights[joined(path, name)] = (options.subspace(joined(path, name), subspace), value)
        found.order.append(joined(path, name))
    weight = found.weights[joined(path, "weight")][0]
    note = choice.note if weight is choice.weights["weight"][0] else GIVEN
    found.layers.append(Softened(path, type(layer).__name__, weight, note, _reason(layer, note, calls)))


def own_copy(module: nn.Module) -> nn.Module:
    """A copy in evaluation mode; raises ValueError if there can be none."""
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
    module: nn.Module,
    path: str,
    layer: nn.Module,
    calls: Calls | None,
    tied: Mapping[str, str],
    residual: str | None,
    skipped: bool,
) -> Choice:
    """Raises LeftAlone with the reason, or ValueError for a weight that is too large."""
    if skipped:
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
    # A plain linear layer acts on the last axis alone, as does e3nn's, unless its residual sees where a token is.
    last = acts_on_tokens(layer) and not (isinstance(layer, nn.Linear) and residual in OF_TOKENS)
    shapes = {s[-1:] if last else s for s in calls.shapes}
    if len(shapes) > 1:
        raise LeftAlone(f"called with inputs of different shapes: {', '.join(map(str, sorted(shapes)))}")
    try:
        return choose(layer, shapes.pop(), residual, limits.LARGEST)
    except TooLarge as size:
        would = "'separable'" if residual == "local" else "'local' or 'separable'"
        would = f"residual={{{path!r}: {would}}}, or skip=[{path!r}]," if path else f"residual={would}"
        raise ValueError(
            f"layer {path!r} would have a weight of {size}, more than {limits.LARGEST} entries; {would} would do"
        ) from size


def _watch(module: nn.Module, call: Callable[[nn.Module], Any]) -> tuple[dict[str, Calls], Any]:
    """Calls by path, and what the call returned."""
    calls: dict[str, Calls] = {}
    hooks = []
    for path, layer in module.named_modules():
        if dict(layer.named_parameters(recurse=False)) and not isinstance(layer, torch.jit.ScriptModule):
            hook = partial(_record, calls.setdefault, path)
            hooks.append(layer.register_forward_hook(hook, with_kwargs=True))
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]), left_as_it_was(module):
            y = call(module)
    finally:
        for handle in hooks:
            handle.remove()
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
