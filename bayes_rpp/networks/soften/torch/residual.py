"""A softened layer that trains as any other: it stays as it is, and its residual is added to what it gives.

With W = A(theta) + sum_k sigma_k Q_k a_k + sigma_b b, theta are the layer's own parameters, and the coordinates a_k and
b have standard normal priors: a step of Adam is the same share of the prior in all, and sigmas can be learned.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import nn

from bayes_rpp.networks.soften.torch.layers import Layer
from bayes_rpp.priors.subspaces.base import Subspace
from bayes_rpp.priors.subspaces.leading import LeadingSubspace

Sigmas = Iterable[tuple[Subspace, float | str, float]]  # of the prior's covariance, as `Model.covariance_terms`


class Deviation(nn.Module):
    """A standard deviation: the root of a sum of squares of sigmas, numbers or learned.

    Args:
        terms: (sigma, or its logarithm if it is learned; scale).
    """

    def __init__(self, terms: Iterable[tuple[float | nn.Parameter, float]]) -> None:
        super().__init__()
        self.known, self.scales = 0.0, list[float]()
        for sigma, scale in terms:
            if isinstance(sigma, nn.Parameter):
                self.register_parameter(f"log_{len(self.scales)}", sigma)
                self.scales.append(scale)
            else:
                self.known += (sigma * scale) ** 2

    @property
    def is_zero(self) -> bool:
        return self.known == 0 and not self.scales

    def forward(self) -> Any:
        total: Any = self.known
        for k, scale in enumerate(self.scales):
            total = total + (scale * getattr(self, f"log_{k}").exp()) ** 2
        return total**0.5


Pathway = tuple[str, Subspace | None, Deviation]  # name, where (None: all weights), standard deviation


class Coordinates(nn.Module):
    """A weight as the sum of its pathways.

    Args:
        pathways: (name, subspace or None for all weights, standard deviation) of each.
        like: a parameter of the layer, for device and dtype.
        shape: of the weight.
    """

    def __init__(self, pathways: Sequence[Pathway], like: torch.Tensor, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.subspaces = [s for _, s, _ in pathways]
        self.names = [name for name, _, _ in pathways]
        for name, subspace, deviation in pathways:
            size = shape if subspace is None else (subspace.rank,)
            self.register_parameter(name, nn.Parameter(torch.zeros(size, dtype=like.dtype, device=like.device)))
            self.add_module(f"sigma_{name}", deviation)

    def forward(self) -> torch.Tensor:
        parts = []
        for name, subspace in zip(self.names, self.subspaces, strict=True):
            a = getattr(self, name)
            parts.append(getattr(self, f"sigma_{name}")() * (a if subspace is None else subspace.decode(a)))
        return sum(parts[1:], parts[0])

    def penalty(self) -> torch.Tensor:
        """-log density, up to a constant."""
        return 0.5 * sum(getattr(self, name).square().sum() for name in self.names)

    @torch.no_grad()
    def start(self, value: NDArray) -> None:
        """Take a weight: what of it is in each subspace, the smallest first, and the rest."""
        left = torch.as_tensor(value, dtype=torch.float64, device="cpu")
        for name, subspace in zip(self.names, self.subspaces, strict=True):
            beta = left if subspace is None else subspace.encode(left)
            left = left - (beta if subspace is None else subspace.decode(beta))
            getattr(self, name).copy_(beta / float(getattr(self, f"sigma_{name}")()))


class Residual(nn.Module):
    """A layer by the coordinates of its weights: beside another layer, or in place of it.

    Args:
        layer: how weights act.
        weight, bias: None: zero, and none.
    """

    def __init__(self, layer: Layer, weight: Coordinates | None, bias: Coordinates | None) -> None:
        super().__init__()
        self.shape = tuple(layer.weight.shape)
        self.layer, self.weight, self.bias = layer.without_weights(), weight, bias

    def forward(self, x: Any) -> Any:
        return self.layer.at(*self._values(), x)

    def beside(self, x: Any) -> Any:
        """What is added to the layer's own output."""
        return self.layer.beside(*self._values(), x)

    def _values(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        bias = None if self.bias is None else self.bias()
        if self.weight is not None:
            return self.weight(), bias
        assert bias is not None
        return bias.new_zeros(()).expand(self.shape), bias

    def added(self, values: Mapping[str, NDArray]) -> dict[str, NDArray]:
        """These weights with the residual's added."""
        with torch.no_grad():
            own = {k: getattr(self, k) for k in values}
            return {k: w if own[k] is None else w + own[k]().cpu().double().numpy() for k, w in values.items()}


def add_residual(layer: Any, args: Any, output: Any) -> Any:
    """The forward hook."""
    return output + layer.residual.beside(args[0])


def attach(layer: nn.Module, residual: Residual) -> None:
    """Have a layer give what it gives and its residual's output."""
    layer.add_module("residual", residual)
    layer.register_forward_hook(add_residual, prepend=True)


def detach(layer: nn.Module) -> Residual | None:
    """Undo `attach`; returns the residual."""
    for key in [k for k, hook in layer._forward_hooks.items() if hook is add_residual]:
        del layer._forward_hooks[key]
        found = layer._modules.pop("residual")
        assert isinstance(found, Residual)
        return found
    return None


class OwnTerm(nn.Module):
    """-log density of the weight that a layer's own parameters are, up to a constant: |C (theta - center)|^2 / 2 s^2.

    Args:
        names: of the parameters.
        deviation: s.
        center: (k,) flat, or None for 0.
        matrix: C, (n, k); None: the identity.
    """

    def __init__(
        self,
        names: Sequence[str],
        deviation: Deviation,
        center: torch.Tensor | None,
        matrix: sparse.csc_array | None,
        like: torch.Tensor,
    ) -> None:
        super().__init__()
        self.names, self.deviation = list(names), deviation
        self.center: torch.Tensor | None
        self.entries: torch.Tensor | None
        self.rows: torch.Tensor
        self.columns: torch.Tensor
        self.register_buffer("center", center)
        self.diagonal = True
        if matrix is None:
            self.register_buffer("entries", None)
            return
        gram = sparse.coo_array(matrix.T @ matrix)
        self.diagonal = bool((gram.row == gram.col).all())
        entries = gram.diagonal() if self.diagonal else gram.data
        self.register_buffer("entries", torch.as_tensor(entries).to(like), persistent=False)
        for name, at in (("rows", gram.row), ("columns", gram.col)) if not self.diagonal else ():
            index = torch.as_tensor(at.astype(np.int64), device=like.device)
            self.register_buffer(name, index, persistent=False)

    def forward(self, parameters: Sequence[torch.Tensor]) -> torch.Tensor:
        flat = [p.reshape(-1) for p in parameters]
        theta = flat[0] if len(flat) == 1 else torch.cat(flat)
        theta = theta if self.center is None else theta - self.center
        if self.diagonal:
            square = theta * theta if self.entries is None else theta * theta * self.entries
        else:
            assert self.entries is not None
            square = theta[self.rows] * theta[self.columns] * self.entries
        return 0.5 * square.sum() / self.deviation() ** 2


def pathways_of(
    subspace: Subspace, terms: Sigmas, learned: Mapping[str, nn.Parameter]
) -> tuple[Deviation, list[Pathway]]:
    """The standard deviation of what lies in the smallest subspace, and the pathways beyond, largest last.

    Args:
        subspace: of the weight.
        terms: of the prior's covariance, the residual last.
        learned: site -> logarithm of its sigma.
    """
    levels = subspace.levels
    by_level: list[list[tuple[float | nn.Parameter, float]]] = [[] for _ in (*levels, None)]
    for level, sigma, scale in terms:
        at = next((k for k, s in enumerate(levels) if s is level or s.rank == subspace.size), len(levels))
        by_level[at].append((learned[sigma] if isinstance(sigma, str) else sigma, scale))
    if isinstance(subspace, LeadingSubspace):  # a layer's own weights have all of the variance that there is of them
        inside, outside = Deviation([*by_level[0], *by_level[1]]), Deviation(by_level[1])
        return inside, [] if outside.is_zero or subspace.rank == subspace.size else [("b", subspace.others, outside)]
    names = [*(f"a_{k}" if k else "a" for k in range(len(levels))), "b"]
    found = [(n, s, Deviation(t)) for n, s, t in zip(names, (*levels, None), by_level, strict=True)]
    rest = [(n, s, d) for n, s, d in found[1:] if not d.is_zero and (s is None or s.rank)]
    return found[0][2], rest
