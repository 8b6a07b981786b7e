"""Whether a module with new layers is the module that it was, has gradients, and runs for many members at once."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch

from bayes_rpp.networks.soften.torch.network import TorchNetwork

WOULD = "a forward in torch's own operations, without detach, .data, numpy or torch.no_grad"
TOLERANCE = 1e-2  # relative, in the module's own precision, which may be half; a mistake is of order 1


def check_same(net: TorchNetwork, x: torch.Tensor, y: torch.Tensor) -> None:
    """The network at its initial weights must be the module; else a layer does more than it was seen to do."""
    start = {k: torch.as_tensor(v, dtype=x.dtype, device=x.device) for k, v in net.initial.items()}
    try:
        with torch.no_grad():
            found = net(start, x.reshape(2, -1))
    except Exception as error:  # modules that ask their layers for what new ones lack
        raise ValueError(
            f"module must run with new layers in place of its own, got an error: {error}; skip=[...] leaves a layer "
            "alone"
        ) from error
    if not torch.isfinite(y).all():
        raise ValueError("module must give finite outputs at inputs between 0 and 1, got others")
    change = float((found - y.reshape(2, -1)).abs().max() / y.abs().max().clamp_min(1e-30))
    if not change <= TOLERANCE:
        raise ValueError(
            f"module must depend on the parameters of its layers alone, got outputs that change by {change:.2g} when "
            "layers of the same weights stand in place of its own; skip=[...] leaves a layer alone"
        )


def without_gradient(net: TorchNetwork, x: torch.Tensor) -> list[str]:
    """Weights that no derivative reaches, if the output depends on any of them; raises ValueError if there is no
    derivative at all."""
    weights = {k: torch.as_tensor(v, dtype=x.dtype, device=x.device).requires_grad_() for k, v in net.initial.items()}
    try:
        y = net(weights, x.reshape(2, -1))
        rows = list(weights.values())
        found = torch.autograd.grad(y.sum(), rows, allow_unused=True) if y.requires_grad else [None] * len(rows)
    except Exception as error:  # whatever the module raises
        raise ValueError(
            f"module must give gradients of its output by its weights, got an error: {error}; {WOULD}, would do"
        ) from error
    without = [k for k, g in zip(weights, found, strict=True) if g is None]
    if not without:
        return []
    with torch.no_grad():
        random = torch.Generator().manual_seed(0)
        moved = {
            k: w + torch.rand(w.shape, generator=random, device="cpu").to(w) if k in without else w
            for k, w in weights.items()
        }
        change = float((net(moved, x.reshape(2, -1)) - y).abs().max() / y.abs().max().clamp_min(1e-30))
    return without if not change <= TOLERANCE else []


def check_gradients(without: Sequence[str], layers: Sequence[str]) -> None:
    """Raise ValueError if derivatives do not reach all weights that the output depends on.

    Args:
        without: what `without_gradient` found.
        layers: to skip, where that would do.
    """
    if without:
        skip = f", or skip={list(layers)!r}, which keeps them as they are," if layers else ""
        raise ValueError(
            f"module must give gradients of its output by its weights, got none for {', '.join(map(repr, without))}; "
            f"{WOULD}{skip or ','} would do"
        )


def runs_as_one(net: TorchNetwork, x: torch.Tensor) -> bool:
    """Whether vmap works on it: over weights, as in an ensemble; over x too, as where each member has examples of its
    own; and over x alone, as in the Jacobian. A branch on values of x is found by the last two, whichever side the
    example takes."""
    one = {k: torch.as_tensor(v, dtype=x.dtype, device=x.device) for k, v in net.initial.items()}
    two = {k: v.expand(2, *v.shape) for k, v in one.items()}
    rows = x.reshape(2, -1)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.filterwarnings("error", message="There is a performance drop")
            torch.func.vmap(net, (0, None))(two, rows)
            torch.func.vmap(net, (0, 0))(two, rows[:, None])
            torch.func.vmap(net, (None, 0))(one, rows[:, None])
    except Exception:  # tensors written in place, branches on values, operations without a rule
        return False
    return True
