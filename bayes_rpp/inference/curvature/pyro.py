"""The Jacobian of a network's outputs in float64, by torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch.func import jacrev, vmap

from bayes_rpp.inference.curvature.linearisation import Jacobian
from bayes_rpp.networks.network import Network


def jacobian(net: Network, names: Sequence[str]) -> Jacobian:
    """A function of weights and inputs (n, d_in): df/dW by the name of W, (n, d_out, *shape)."""

    def of(params: Mapping[str, NDArray], x: NDArray) -> dict[str, NDArray]:
        every = {k: torch.tensor(params[k], dtype=torch.float64) for k in net.parameters}
        some = {k: every.pop(k) for k in names}

        def outputs(some: Any, row: torch.Tensor) -> Any:
            return net({**every, **some}, row[None])[0]

        rows = torch.tensor(x, dtype=torch.float64)
        if net.capabilities.vectorized:
            found = vmap(jacrev(outputs), (None, 0))(some, rows)
            return {k: j.detach().cpu().numpy() for k, j in found.items()}
        for w in some.values():
            w.requires_grad_()
        gradients = [_gradients(outputs(some, row), list(some.values())) for row in rows]
        return {k: torch.stack([g[i] for g in gradients]).cpu().numpy() for i, k in enumerate(some)}

    return of


def _gradients(f: torch.Tensor, weights: list[torch.Tensor]) -> list[torch.Tensor]:
    """Of each output, (d_out, *shape) for each weight."""
    each = [torch.autograd.grad(v, weights, retain_graph=True, materialize_grads=True) for v in f]
    return [torch.stack(rows) for rows in zip(*each, strict=True)]
