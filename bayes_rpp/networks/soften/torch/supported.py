"""Which torch modules `soften` takes: those that hold their weights as numbers, and run with others in their place."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from bayes_rpp.networks.soften.torch.replace import replace_layers

# They run a module within on several devices.
WRAPPERS = {"DataParallel", "DistributedDataParallel", "FullyShardedDataParallel"}


def check_supported(module: nn.Module) -> None:
    """Raise TypeError or ValueError, with what would do, for a module whose weights cannot be taken by others."""
    for path, m in module.named_modules():
        kind, where = type(m).__name__, f"layer {path!r}" if path else "all of it"
        ours = [b.__name__ for b in type(m).__mro__ if b.__module__.startswith("torch.")]
        if WRAPPERS & set(ours):
            inside = f"module.{path}.module in its place" if path else "module.module, the one within,"
            raise TypeError(f"module must run on one device, got a {kind} ({where}); {inside} would do")
        if isinstance(m, torch.jit.ScriptModule) and (not path or any(True for _ in m.parameters())):
            raise TypeError(
                f"module must be a torch.nn.Module that runs in Python, got one that torch.jit compiled ({where}); the "
                "module that it was made from would do"
            )
        if ".quantized." in type(m).__module__ and not any(True for _ in m.parameters()):
            raise TypeError(
                f"module must have weights of floating-point numbers, got quantized ones ({where}, a {kind}); the "
                "module before it was quantized would do"
            )
    for name, tensor in _tensors(module):
        if is_lazy(tensor):
            raise ValueError(
                f"module must have weights, got {name!r} that is made at the first call; module(x), on some data, "
                "before soften would do"
            )
        if tensor.is_meta:
            raise ValueError(
                f"module must have weights, got {name!r} on the meta device, which holds no numbers; "
                "module.to_empty(device='cpu'), and then load_state_dict, would do"
            )


def uncompiled(module: nn.Module) -> nn.Module:
    """Without torch.compile, which gives the same numbers but compiles anew for each kind of weights. It changes the
    module, unless there is nothing to be done."""
    for m in module.modules():
        m._compiled_call_impl = None  # of module.compile()
    compiled = {path: m._orig_mod for path, m in module.named_modules() if _is_compiled(m)}
    return uncompiled(replace_layers(module, compiled)) if compiled else module


def untrained(module: nn.Module) -> tuple[str, ...]:
    """Paths of normalisations whose running statistics are those that they were made with."""
    return tuple(path for path, is_fresh in _statistics(module) if is_fresh)


def is_trained(module: nn.Module) -> bool:
    """Whether there are normalisations whose running statistics have seen data."""
    return any(not is_fresh for _, is_fresh in _statistics(module))


def _statistics(module: nn.Module) -> Iterator[tuple[str, bool]]:
    """Paths of normalisations with running statistics, and whether these are as they were made."""
    for path, m in module.named_modules():
        mean, variance, count = (getattr(m, k, None) for k in ("running_mean", "running_var", "num_batches_tracked"))
        if mean is not None and variance is not None:  # others were put there by hand
            seen = (count is not None and count > 0) or mean.any() or (variance != 1).any()
            yield path or type(m).__name__, not seen


def _is_compiled(module: nn.Module) -> bool:
    return type(module).__name__ == "OptimizedModule"  # its home takes seconds to import


def _tensors(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    yield from module.named_parameters()
    yield from module.named_buffers()
