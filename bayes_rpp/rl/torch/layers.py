"""Perceptrons with a residual pathway, W = A + B with A equivariant, made for the many small steps of SAC.

The prior of the paper (Section 4), A ~ N(0, sigma_a^2) in the subspace of equivariant maps and B ~ N(0, sigma_b^2) in
all directions, comes in through the parameters beta and V of the pathways:

    W = s Q beta + (sigma_b / sigma_a) V,   s = sqrt(n / r).

Under the prior both have the same variance, so that one weight decay of both is its logarithm. And as steps of Adam
have the size of the learning rate in these parameters, whatever the gradient's, the residual pathway learns more slowly
by the factor sigma_b / sigma_a. All weights of a network are one vector, gathered from the two by one operation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from bayes_rpp.rl.layout import Layout
from bayes_rpp.symmetry.representations import Representation


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
        layout = Layout(reps)
        self.shapes, self.sizes = layout.shapes, layout.sizes
        start = torch.stack([_initial(self.shapes) for _ in range(members)])
        self.beta: nn.Parameter | None = None
        self.residual: nn.Parameter | None = None
        if sigma_a > 0:
            offsets = layout.rank * np.arange(members)[:, None]
            self.terms = layout.index.shape[1]
            for k, (index, values) in enumerate(zip(layout.index.T, layout.values.T, strict=True)):
                self.register_buffer(f"index_{k}", torch.as_tensor((index + offsets).ravel()), persistent=False)
                self.register_buffer(f"values_{k}", _float(np.tile(values, members)), persistent=False)
            self.beta = nn.Parameter(_float(np.concatenate([layout.encoded(w.numpy()) for w in start])))
        if sigma_b > 0:
            self.residual = nn.Parameter(torch.zeros_like(start) if sigma_a > 0 else start)

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
