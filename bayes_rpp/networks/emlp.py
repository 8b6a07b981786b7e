"""The equivariant multilayer perceptron with residual pathways (Finzi et al. 2021; EMLP: Finzi, Welling, Wilson 2021).

Block: lin = W x + b;  h = lin + c bilinear(lin);  y = sigmoid(gate(h)) h + w swish(h). W, b and w carry the residual
pathway; with sigma_b = 0 it vanishes and the network is exactly equivariant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bayes_rpp._arrays import Array, fixed, sigmoid, swish
from bayes_rpp.networks.allocation import is_permutation, uniform_rep
from bayes_rpp.networks.bilinear import Bilinear
from bayes_rpp.networks.mlp import check_layers
from bayes_rpp.networks.network import Network, Parameter, bind, linear
from bayes_rpp.priors.nested import NestedSubspace
from bayes_rpp.priors.subspaces import EquivariantSubspace, FullSubspace, Subspace, ZeroSubspace
from bayes_rpp.symmetry.groups import Group
from bayes_rpp.symmetry.representations import Rep, Representation, Scalar, Vector

BILINEAR_SCALE = 0.1


class EMLP(Network):
    """Equivariant MLP whose prior decides between strict, soft and no symmetry.

    Args:
        rep_in, rep_out: representations of input and output, as in `5 * Scalar + 5 * Vector`.
        group: the group that acts.
        channels: width of each hidden layer, shared out evenly over tensor ranks; or one representation for all hidden
            layers, or a list of one for each layer.
        layers: number of hidden layers; 0 is one linear layer. A list of representations sets it.
        bilinear: whether the blocks contain the bilinear layer.
        subgroups: smaller and smaller groups on the same R^dim, such as the rotations about one axis within SO(3): each
            linear layer then has nested pathways, maps equivariant under the group, those under the first subgroup, and
            so on, and the model a sigma_a for each. The bilinear layers and gates keep the whole group's symmetry.

    Raises:
        TypeError, ValueError: if a representation does not fit the group, or a number is out of range.
    """

    def __init__(
        self,
        rep_in: Rep,
        rep_out: Rep,
        group: Group,
        channels: int | Rep | Sequence[Rep] = 384,
        layers: int | None = None,
        *,
        bilinear: bool = True,
        subgroups: Sequence[Group] = (),
    ) -> None:
        for name, rep in (("rep_in", rep_in), ("rep_out", rep_out)):
            if isinstance(rep, int):
                raise TypeError(
                    f"{name} is {rep}; how the group acts on these columns would do: {rep} * Scalar leaves "
                    "them as they are, Vector moves them"
                )
        super().__init__(rep_in, rep_out, group)
        self.bilinear, self.subgroups = bool(bilinear), _check_subgroups(subgroups, group)
        self.hidden = _hidden(channels, layers, self.group)
        self.blocks: list[Block] = []
        current = self.rep_in
        for k, rep in enumerate(self.hidden):
            block = Block(f"layers.{k}", current, rep, self.group, self.bilinear, self.subgroups)
            self.blocks.append(block)
            self.parameters.update(block.parameters)
            current = block.rep_out
        self.parameters.update(equivariant_parameters("output", current, self.rep_out, self.subgroups))

    def __call__(self, params: Mapping[str, Array], x: Array) -> Array:
        for block in self.blocks:
            x = block(params, x)
        return linear(params, "output", x)

    def config(self) -> dict[str, Any]:
        subgroups = {"subgroups": list(self.subgroups)} if self.subgroups else {}
        return {"channels": list(self.hidden), "bilinear": self.bilinear} | subgroups

    def __repr__(self) -> str:
        widths = ", ".join(str(b.rep_out.size) for b in self.blocks)
        ends = f"{self.rep_in.rep} -> {self.rep_out.rep}"
        groups = " > ".join(map(str, (self.group, *self.subgroups)))
        return f"EMLP({ends}, {groups}, hidden widths [{widths}], {self.size} weights)"


class Block:
    """One hidden layer: linear, bilinear, gate."""

    def __init__(
        self,
        name: str,
        rep_in: Representation,
        rep: Rep,
        group: Group,
        with_bilinear: bool,
        subgroups: Sequence[Group],
    ) -> None:
        self.name = name
        self.rep_out = rep(group)
        # One gate scalar for each copy that is neither a scalar nor permuted; those gate themselves.
        copies = [(b, c) for b in self.rep_out.blocks if not is_permutation(group, b.term) for c in range(b.count)]
        self.gates = len(copies)
        self._spread = np.zeros((self.gates, self.rep_out.size))  # from gates to the entries of their copies
        for k, (b, c) in enumerate(copies):
            self._spread[k, b.offset + c * b.size : b.offset + (c + 1) * b.size] = 1.0
        self._own = 1.0 - self._spread.sum(axis=0)  # the entries that gate themselves
        inner = self.gates * Scalar + rep if self.gates else rep
        self.parameters = equivariant_parameters(name, rep_in, inner(group), subgroups)
        self.bilinear = Bilinear(inner(group)) if with_bilinear else None
        for theta, shape in zip(self.bilinear_names, self.bilinear.shapes if self.bilinear else [], strict=True):
            self.parameters[theta] = Parameter(FullSubspace(shape))
        self.mixes = self.gates > 0
        if self.mixes:
            self.parameters[f"{name}.swish"] = Parameter(ZeroSubspace(()))

    def __call__(self, params: Mapping[str, Array], x: Array) -> Array:
        thetas = [params[name] for name in self.bilinear_names]
        mix = params[f"{self.name}.swish"] if self.mixes else None
        return self.activate(linear(params, self.name, x), thetas, mix)

    @property
    def bilinear_names(self) -> list[str]:
        return [f"{self.name}.bilinear.{k}" for k in range(len(self.bilinear.shapes))] if self.bilinear else []

    def activate(self, h: Array, thetas: list[Array], mix: Array | None) -> Array:
        """What follows the linear layer: bilinear layer with these thetas, gates, and mix * swish (None: without)."""
        if self.bilinear:
            h = h + BILINEAR_SCALE * self.bilinear(thetas, h)
        gate, h = h[..., : self.gates], h[..., self.gates :]
        if not self.gates:
            return swish(h)
        # One product for the gates of all copies: slices of each would be many small operations.
        own = fixed(self._own, h) if mix is None else fixed(self._own, h) + mix
        return h * (own * sigmoid(h) + sigmoid(gate) @ fixed(self._spread, h))


def equivariant_parameters(
    name: str, rep_in: Representation, rep_out: Representation, subgroups: Sequence[Group]
) -> dict[str, Parameter]:
    """Weight and bias of an equivariant linear layer, chains of subspaces where there are subgroups."""
    weight: list[Subspace] = [EquivariantSubspace(rep_in, rep_out)]
    bias: list[Subspace] = [EquivariantSubspace(None, rep_out)]
    for k, h in enumerate(subgroups):
        into, out = (bind(r.rep, h, f"subgroups[{k}]") for r in (rep_in, rep_out))
        weight.append(EquivariantSubspace(into, out))
        bias.append(EquivariantSubspace(None, out))
    return {f"{name}.weight": Parameter(_chain(weight)), f"{name}.bias": Parameter(_chain(bias))}


def _chain(levels: list[Subspace]) -> Subspace:
    return levels[0] if len(levels) == 1 else NestedSubspace(levels)


def _check_subgroups(subgroups: Sequence[Group], group: Group) -> tuple[Group, ...]:
    given = (subgroups,) if isinstance(subgroups, Group) else tuple(subgroups)
    for k, h in enumerate(given):
        if not isinstance(h, Group):
            raise TypeError(f"subgroups[{k}] is {h!r}; a Group would do")
        if h.dim != group.dim:
            raise ValueError(f"subgroups[{k}] acts on R^{h.dim} but group on R^{group.dim}")
        larger = group if k == 0 else given[k - 1]
        # Looked at on the algebra and on maps of tensors, whatever the network's representations are.
        large, small = (g.lie_algebra.reshape(-1, h.dim**2) for g in (larger, h))
        ranks = [np.linalg.matrix_rank(a, tol=1e-8) for a in (large, small, np.concatenate([large, small]))]
        rep = Scalar + Vector + Vector**2
        maps = [EquivariantSubspace(rep(g), rep(g)) for g in (larger, h)]
        if ranks[2] > ranks[0] or maps[0].rank > maps[1].rank or not _lies_in(maps[0], maps[1]):
            raise ValueError(f"subgroups[{k}], {h}, does not lie in {larger}; each must lie in the one before it")
        if ranks[0] == ranks[1] and maps[0].rank == maps[1].rank:
            raise ValueError(f"subgroups[{k}], {h}, leaves the same maps as {larger}; leave it out")
    return given


def _lies_in(inner: Subspace, outer: Subspace) -> bool:
    try:
        NestedSubspace([inner, outer])
    except ValueError:
        return False
    return True


def _hidden(channels: int | Rep | Sequence[Rep], layers: int | None, group: Group) -> list[Rep]:
    count = check_layers(3 if layers is None else layers)
    if isinstance(channels, Rep):
        hidden = [channels] * count
    elif isinstance(channels, Sequence) and not isinstance(channels, str):
        hidden = list(channels)
        if layers is not None and layers != len(hidden):
            raise ValueError(f"layers is {layers} but channels lists {len(hidden)} representations; leave layers out")
        if not all(isinstance(r, Rep) for r in hidden):
            raise TypeError(
                f"channels is {channels!r}; a width, a representation or a list of representations would do"
            )
    else:
        hidden = [uniform_rep(channels, group)] * count
    for k, rep in enumerate(hidden):
        bind(rep, group, f"channels[{k}]")
    return hidden
