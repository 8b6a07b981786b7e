"""Perceptrons with a residual pathway, W = A + B with A equivariant, made for the many small steps of SAC.

The prior of the paper (Section 4), A ~ N(0, sigma_a^2) in the subspace of equivariant maps and B ~ N(0, sigma_b^2) in
all directions, comes in through the parameters beta and V of the pathways:

    W = s Q beta + (sigma_b / sigma_a) V,   s = sqrt(n / r).

Under the prior both have the same variance, so that one weight decay of both is its logarithm. And as steps of Adam
have the size of the learning rate in these parameters, whatever the gradient's, the residual pathway learns more slowly
by the factor sigma_b / sigma_a. All weights of a network are one vector, gathered from the two by one operation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components
from torch import nn

from bayes_rpp.priors.subspaces.base import EquivariantSubspace
from bayes_rpp.symmetry.representations import Rep, Representation, Scalar, Term


class SoftMLP(nn.Module):
    """Perceptrons of two pathways: (n, d_in) to a tuple of `members` times (n, d_out).

    Args:
        reps: of the input, of each hidden layer and of the output.
        sigma_a, sigma_b: standard deviations of the pathways; 0 leaves one out.
        activation: class of the activation, which must commute with the hidden representations (any that acts on each
            number alone does with `Regular`).
        members: networks of their own, as SAC has two critics.

    Attributes:
        ratio: sigma_b / sigma_a, kept with the weights, as it may change while training.

    The equivariant pathway starts at the projection of torch's initial values, scaled to their size, and the residual
    at zero; without an equivariant pathway the residual is torch's layers.
    """

    def __init__(
        self,
        reps: Sequence[Representation],
        sigma_a: float,
        sigma_b: float,
        *,
        activation: type[nn.Module] = nn.ReLU,
        members: int = 1,
    ) -> None:
        super().__init__()
        self.members, self.activation = members, activation()
        self.ratio: torch.Tensor
        self.register_buffer("ratio", torch.tensor(sigma_b / sigma_a if sigma_a > 0 else 1.0))
        self.shapes: list[tuple[int, ...]] = []
        tables = []
        for rep_in, rep_out in pairwise(reps):
            self.shapes += [(rep_out.size, rep_in.size), (rep_out.size,)]
            tables += [orbits(rep_in, rep_out), orbits(None, rep_out)]
        self.sizes = [math.prod(shape) for shape in self.shapes]
        start = torch.stack([_initial(self.shapes) for _ in range(members)])
        self.beta: nn.Parameter | None = None
        self.residual: nn.Parameter | None = None
        if sigma_a > 0:
            index, values, rank = _joined(tables)
            offsets = rank * np.arange(members)[:, None]
            for k in range(index.shape[1]):  # one in most groups: each weight is one number with a sign
                self.register_buffer(f"index_{k}", torch.as_tensor((index[:, k] + offsets).ravel()), persistent=False)
                self.register_buffer(f"values_{k}", _float(np.tile(values[:, k], members)), persistent=False)
            self.terms = index.shape[1]
            self.beta = nn.Parameter(self._encoded(start, members * rank))
        if sigma_b > 0:
            self.residual = nn.Parameter(torch.zeros_like(start) if sigma_a > 0 else start)

    def _encoded(self, start: torch.Tensor, count: int) -> torch.Tensor:
        # The rows of s Q have the sum of squares n / r over the orbit: (s Q)^T w / s is the projection's coordinates,
        # shorter than w by sqrt(r / n), so that dividing by another s gives weights of w's size.
        beta, weights = torch.zeros(count), torch.zeros(count)
        for k in range(self.terms):
            index, values = self.get_buffer(f"index_{k}"), self.get_buffer(f"values_{k}")
            beta.index_add_(0, index, values * start.ravel())
            weights.index_add_(0, index, values**2)
        return beta / weights.clamp(min=1e-12).sqrt()

    def weights(self) -> torch.Tensor:
        """The merged weights and biases, (members, number of weights)."""
        if self.beta is None:
            assert self.residual is not None
            return self.residual
        w = self.beta.index_select(0, self.get_buffer("index_0")) * self.get_buffer("values_0")
        for k in range(1, self.terms):
            w = w + self.beta.index_select(0, self.get_buffer(f"index_{k}")) * self.get_buffer(f"values_{k}")
        w = w.view(self.members, -1)
        if self.residual is None or not self.ratio:
            return w
        return torch.addcmul(w, self.ratio, self.residual)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        state_dict.setdefault(prefix + "ratio", self.ratio)  # files of before have none: it was that of the sigmas
        super()._load_from_state_dict(state_dict, prefix, *args)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(self._member(x, w, len(self.shapes)) for w in self.weights().unbind(0))

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """What the last layer of the first member is given, (n, width)."""
        return self.activation(self._member(x, self.weights()[0], len(self.shapes) - 2))

    def _member(self, x: torch.Tensor, w: torch.Tensor, stop: int) -> torch.Tensor:
        parts = [part.view(shape) for part, shape in zip(w.split(self.sizes), self.shapes, strict=True)]
        for k in range(0, stop, 2):
            if k:
                x = self.activation(x)
            x = F.linear(x, parts[k], parts[k + 1])
        return x


def _initial(shapes: Sequence[tuple[int, ...]]) -> torch.Tensor:
    layers = [nn.Linear(shape[1], shape[0]) for shape in shapes if len(shape) == 2]
    return torch.cat([p.detach().ravel() for layer in layers for p in (layer.weight, layer.bias)])


def _float(a: NDArray) -> torch.Tensor:
    return torch.as_tensor(a, dtype=torch.float32)


def _joined(tables: Sequence[tuple[NDArray, NDArray, int]]) -> tuple[NDArray, NDArray, int]:
    width = max(index.shape[1] for index, _, _ in tables)
    indices, values, start = [], [], 0
    for index, value, rank in tables:
        gap = ((0, 0), (0, width - index.shape[1]))
        # What a weight has no part in points anywhere, with the value 0.
        indices.append(np.pad(np.where(value == 0, 0, index + start), gap))
        values.append(np.pad(value, gap))
        start += rank
    return np.concatenate(indices), np.concatenate(values), start


def orbits(rep_in: Representation | None, rep_out: Representation) -> tuple[NDArray, NDArray, int]:
    """The equivariant maps in a basis that shares weights: row w of s Q has values[w] at index[w], and zeros elsewhere.

    Args:
        rep_in: None for biases.

    Returns:
        index and values of shape (n, k), and the rank. Of signed permutations k is 1: each weight is plus or minus one
        number that it shares with its orbit.
    """
    group, columns = rep_out.group, rep_in or Scalar(rep_out.group)
    found: dict[tuple[Term, Term], tuple[NDArray, NDArray, int]] = {}
    shape, rank, width = (rep_out.size, columns.size), 0, 1
    pieces = []
    for o in rep_out.blocks:
        for i in columns.blocks:
            key = (o.term, i.term)
            if key not in found:
                one = EquivariantSubspace(Rep(((i.term, 1),))(group), Rep(((o.term, 1),))(group))
                found[key] = _sparse(one.basis())
            index, values, r = found[key]
            copies = rank + r * np.arange(o.count * i.count).reshape(o.count, 1, i.count, 1, 1)
            local = index.reshape(1, o.size, 1, i.size, -1) + copies
            pieces.append((o, i, local, values.reshape(1, o.size, 1, i.size, -1)))
            rank, width = rank + r * o.count * i.count, max(width, index.shape[1])
    all_index, all_values = np.zeros((*shape, width), dtype=np.int64), np.zeros((*shape, width))
    for o, i, local, values in pieces:
        where = (slice(o.offset, o.stop), slice(i.offset, i.stop), slice(0, local.shape[-1]))
        size = (o.count * o.size, i.count * i.size, local.shape[-1])
        all_index[where] = local.reshape(size)
        all_values[where] = np.broadcast_to(values, local.shape).reshape(size)
    scale = math.sqrt(shape[0] * shape[1] / rank) if rank else 0.0
    return all_index.reshape(-1, width), scale * all_values.reshape(-1, width), rank


def _sparse(q: NDArray) -> tuple[NDArray, NDArray, int]:
    """An orthonormal basis (n, r) of the same span with few entries in each row, as indices and values (n, k)."""
    n, rank = q.shape
    projector = np.where(np.abs(q @ q.T) > 1e-9, q @ q.T, 0.0)
    count, labels = connected_components(projector != 0, directed=False)
    entries: list[list[tuple[int, float]]] = [[] for _ in range(n)]
    start = 0
    for label in range(count):
        rows = np.flatnonzero(labels == label)
        eigenvalues, vectors = np.linalg.eigh(projector[np.ix_(rows, rows)])
        for vector in vectors[:, eigenvalues > 0.5].T:
            for row, value in zip(rows, vector, strict=True):
                entries[row].append((start, float(value)))
            start += 1
    assert start == rank
    width = max(1, max(len(e) for e in entries))
    padded = [e + [(0, 0.0)] * (width - len(e)) for e in entries]
    return np.array([[i for i, _ in e] for e in padded]), np.array([[v for _, v in e] for e in padded]), rank


def decayed(module: nn.Module, weight_decay: float, sigma_a: float, sigma_b: float) -> list[dict[str, Any]]:
    """Parameter groups for an optimiser of torch with an L2 `weight_decay`: the loss less the prior's logarithm.

    The loss gains weight_decay / 2 (|beta|^2 / sigma_a^2 + |B|^2 / sigma_b^2), where |B| / sigma_b = |V| / sigma_a.
    """
    own = [p for part in module.modules() if isinstance(part, SoftMLP) for p in part.parameters()]
    others = [p for p in module.parameters() if all(p is not q for q in own)]
    groups: list[dict[str, Any]] = [
        {"params": own, "weight_decay": weight_decay / (sigma_a or sigma_b) ** 2},
        {"params": others},
    ]
    return [group for group in groups if group["params"]]
