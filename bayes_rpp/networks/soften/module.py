"""What a torch and a Flax module have in common once `soften` has made a network of them."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from bayes_rpp._arrays import Array
from bayes_rpp.networks.network import Capabilities, Network, Parameter
from bayes_rpp.priors.subspaces.base import FullSubspace, Subspace
from bayes_rpp.symmetry.groups import Group
from bayes_rpp.symmetry.representations import Rep


@dataclass(frozen=True)
class Softened:
    """What became of one layer of a module.

    Attributes:
        name: path within the module; "" for the module itself.
        kind: its class.
        subspace: that of its weight; None if the layer was left alone.
        note: why it was left alone, or what its residual may be.
        reason: why it has no residual of its own, if there is more to say.
    """

    name: str
    kind: str
    subspace: Subspace | None
    note: str
    reason: str = ""

    @property
    def text(self) -> str:
        return f"{self.note}, as {self.reason}" if self.reason else self.note


class ModuleNetwork(Network):
    """A module of torch or Flax as a network: its linear, convolutional and equivariant layers have residual pathways.

    A weight of a softened layer is a matrix (or what its subspace says); any other parameter is a difference from the
    module's own value, so that its prior is centred there: 1 for the scale of a normalisation, for example.

    Attributes:
        layers: what became of each layer that has parameters, in the module's order.
        center: what parameters are differences from, by name.
        initial: the weights that the module had, by parameter name: `fit(..., init=net.initial)` starts there.
        untrained: normalisations whose running statistics have seen no data, so that they do nothing.
        centered: whether softened parameters, too, are differences from the module's.
    """

    def __init__(
        self,
        capabilities: Capabilities,
        outputs: int,
        weights: Mapping[str, tuple[Subspace, NDArray]],
        rest: Mapping[str, NDArray],
        layers: Sequence[Softened],
        *,
        untrained: tuple[str, ...] = (),
        centered: bool = False,
        rep_in: Rep | None = None,
        rep_out: Rep | None = None,
        group: Group | None = None,
    ) -> None:
        """Args: the record, with the shape of an example; columns of the output; softened parameters with subspace and
        value; the values of the other parameters; the listing; normalisations that have seen no data; whether softened
        parameters, too, are differences from the module's; and how a group acts on the flattened input and output, if
        one does."""
        if group is None and (rep_in is not None or rep_out is not None):
            raise ValueError("group must be given with rep_in or rep_out, got None; O(3), or whichever acts, would do")
        inputs = math.prod(capabilities.input_shape or ())
        super().__init__(rep_in or inputs, rep_out or outputs, group, capabilities=capabilities)
        for name, rep, size in (("rep_in", self.rep_in, inputs), ("rep_out", self.rep_out, outputs)):
            if rep.size != size:
                raise ValueError(f"{name} must have size {size}, the {name[4:]}puts of the module, got {rep.size}")
        self.layers, self.untrained, self.centered = tuple(layers), untrained, centered
        self.initial: dict[str, NDArray] = {}
        self.center: dict[str, NDArray] = {k: np.asarray(v) for k, v in rest.items()}
        for name, (subspace, value) in weights.items():
            self.parameters[name] = Parameter(subspace)
            self.initial[name] = np.asarray(value, dtype=np.float64).reshape(subspace.shape)
        if centered:
            self.center |= self.initial
            self.initial = {name: np.zeros_like(w) for name, w in self.initial.items()}
        for name, value in rest.items():
            self.parameters[name] = Parameter(FullSubspace(np.shape(value)))
            self.initial[name] = np.zeros(np.shape(value))

    @abstractmethod
    def __call__(self, params: Mapping[str, Array], x: Array) -> Array: ...

    def config(self) -> dict[str, Any]:
        return {}

    def layer_of(self, name: str) -> str:
        """The layer that has the parameter: "blocks.0.conv" of "blocks.0.conv.weight"."""
        return name.rpartition(".")[0] or name

    def replace(self, **changes: Any) -> NoReturn:
        """Raises TypeError: weights, subspaces and what the module does are its own."""
        raise TypeError(
            f"{', '.join(changes) or 'nothing'} of a {type(self).__name__} cannot change, as it is what soften made of "
            "its module; soften(module, ...) again would do"
        )

    def _instead(self, name: str) -> str:
        return "soften(module, ...) again"

    def state(self) -> dict[str, NDArray]:
        """What the module holds beside the weights, by name: what others are differences from, and such as running
        statistics."""
        return dict(self.center)

    @property
    def table(self) -> str:
        """The listing of all layers, as text."""
        rows = [("layer", "kind", "weight", "rank", "")]
        for layer in self.layers:
            s = layer.subspace
            size = ("left alone", "") if s is None else (" x ".join(map(str, s.shape)), f"{s.rank} of {s.size}")
            rows.append((layer.name or "(module)", layer.kind, *size, layer.text))
        widths = [max(len(r[i]) for r in rows) for i in range(4)]
        return "\n".join(
            "  ".join([*(c.ljust(w) for c, w in zip(r, widths, strict=False)), r[4]]).rstrip() for r in rows
        )

    def __repr__(self) -> str:
        restricted = [s.levels[0] for s in (layer.subspace for layer in self.layers) if s is not None]
        softened = sum(s.rank < s.size for s in restricted)
        about = " about the module's" if self.centered else ""
        ends = f"{self.input_shape} -> {self.rep_out.size}"
        layers = f"{softened} of {len(self.layers)} layers softened"
        return f"{type(self).__name__}({ends}, {layers}, {self.size} weights{about})"
