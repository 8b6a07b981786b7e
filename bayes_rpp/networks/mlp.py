"""Multilayer perceptron with swish units: the unrestricted baseline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayes_rpp._arrays import Array, swish, whole_number
from bayes_rpp._types import Shaped
from bayes_rpp.networks.network import Network, Parameter, linear
from bayes_rpp.priors.subspaces.base import FullSubspace
from bayes_rpp.symmetry.groups import Group
from bayes_rpp.symmetry.representations import Rep


class MLP(Network, is_code=False):
    """Fully connected network, swish between the layers.

    Args:
        rep_in, rep_out: representations, of which only the sizes are used here (the equivariance error of the fit is
            measured with them), or numbers of columns.
        group: the group of the representations; None for plain numbers.
        channels: width of the hidden layers.
        layers: number of hidden layers; 0 is one linear layer.
    """

    def __init__(
        self,
        rep_in: Rep | int,
        rep_out: Rep | int,
        group: Group | None = None,
        channels: int = 384,
        layers: int = 3,
    ) -> None:
        super().__init__(rep_in, rep_out, group)
        self.channels, self.layers = check_width(channels), check_layers(layers)
        sizes = [self.rep_in.size] + [self.channels] * self.layers + [self.rep_out.size]
        self._names = [f"layers.{k}" for k in range(self.layers)] + ["output"]
        for name, n_in, n_out in zip(self._names, sizes[:-1], sizes[1:], strict=True):
            self.parameters[f"{name}.weight"] = Parameter(FullSubspace((n_out, n_in)))
            self.parameters[f"{name}.bias"] = Parameter(FullSubspace((n_out,)))

    def __call__(
        self, params: Mapping[str, Array], x: Shaped[Array, "*batch d_in"]
    ) -> Shaped[Array, "*batch {self.rep_out.size}"]:
        for name in self._names[:-1]:
            x = swish(linear(params, name, x))
        return linear(params, self._names[-1], x)

    def config(self) -> dict[str, Any]:
        return {"channels": self.channels, "layers": self.layers}


def check_width(value: Any, name: str = "channels") -> int:
    return whole_number(value, name)


def check_layers(layers: Any) -> int:
    return whole_number(layers, "layers", 0)  # 0: one linear layer
