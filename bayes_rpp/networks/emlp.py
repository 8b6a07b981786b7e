"""The equivariant multilayer perceptron with residual pathways (Finzi et al. 2021; EMLP: Finzi, Welling, Wilson 2021).

Block: lin = W x + b;  h = lin + c bilinear(lin);  y = sigmoid(gate(h)) h + w swish(h). W, b and w carry the residual
pathway; with sigma_b = 0 it vanishes and the network is exactly equivariant.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal, Self

import numpy as np

from bayes_rpp._arrays import Array, sigmoid, swish
from bayes_rpp._types import Shaped
from bayes_rpp._warnings import warn_user
from bayes_rpp.engines.libraries import fixed
from bayes_rpp.networks.allocation import hidden_rep
from bayes_rpp.networks.bilinear import Bilinear
from bayes_rpp.networks.channelwise import Channelwise
from bayes_rpp.networks.groups import check_groups, equivariant_parameters, generated, is_chain
from bayes_rpp.networks.mlp import check_layers
from bayes_rpp.networks.network import Network, Parameter, bind, linear
from bayes_rpp.networks.polynomials import Capacity, capacity
from bayes_rpp.networks.products import needed_products
from bayes_rpp.networks.terms import alike, is_moved, is_permutation
from bayes_rpp.priors.subspaces.base import FullSubspace, ZeroSubspace
from bayes_rpp.symmetry.groups import Group
from bayes_rpp.symmetry.representations import Rep, Representation, Scalar, Term, term_name

BILINEAR: dict[str, type[Channelwise] | type[Bilinear]] = {"channelwise": Channelwise, "full": Bilinear}
AnyBilinear = Literal["channelwise", "full"] | bool
_quiet: ContextVar[bool] = ContextVar("quiet", default=False)


class EMLP(Network, is_code=False):
    """Equivariant MLP whose prior decides between strict, soft and no symmetry.

    Args:
        rep_in, rep_out: representations of input and output, as in `5 * Scalar + 5 * Vector`.
        group: the group that acts; or a list of groups on the same R^dim, nested or not, each with a pathway of its own
            in each linear layer: W = W_1 + W_2 + ... + B, W_k equivariant under the k-th, and the model has a sigma_a
            for each. Bilinear layers and gates keep the symmetry of the group that all of them generate.
        channels: about the width of each hidden layer, shared out over the types of input and output and tensors
            between them (`net.hidden` says which); or one representation for all hidden layers, or a list of one for
            each layer.
        layers: number of hidden layers; 0 is one linear layer. A list of representations sets it.
        bilinear: the layer of the blocks that multiplies features: "channelwise", copies one with one; "full", all with
            all, which takes twice the time of a step and did no better on inertia; False, none. True is "channelwise".
        products: whether the bilinear layers make products of two features directly where the hidden layers do not hold
            the type that they otherwise need.
        subgroups: smaller and smaller groups, such as the rotations about one axis within SO(3), the same as
            [group, *subgroups] for `group`: the pathways are nested.

    Attributes:
        group: the one that all generate: of nested groups the largest.
        groups: one for each pathway.

    Warns:
        UserWarning: if with sigma_b = 0 the hidden layers cannot carry all equivariant functions of degree two in the
            inputs (`capacity`), or hold less than half as many copies of a type as the input.

    Raises:
        TypeError, ValueError: if a representation does not fit the group, or a number is out of range.
    """

    def __init__(
        self,
        rep_in: Rep,
        rep_out: Rep,
        group: Group | Sequence[Group],
        channels: int | Rep | Sequence[Rep] = 384,
        layers: int | None = None,
        *,
        bilinear: AnyBilinear = True,
        products: bool = True,
        subgroups: Sequence[Group] = (),
    ) -> None:
        for name, rep in (("rep_in", rep_in), ("rep_out", rep_out)):
            if isinstance(rep, int):
                raise TypeError(
                    f"{name} must say how the group acts on these columns, got {rep}; {rep} * Scalar, which leaves "
                    "them as they are, or Vector, which moves them, would do"
                )
        self.groups = check_groups(group, subgroups)
        super().__init__(rep_in, rep_out, generated(self.groups))
        self.bilinear = check_bilinear(bilinear)
        self.hidden = hidden_reps(channels, layers, self.rep_in, self.rep_out)
        self.blocks: list[Block] = []
        current, ends = self.rep_in, (self.rep_in, self.rep_out) if products else None
        for k, rep in enumerate(self.hidden):
            block = Block(f"layers.{k}", current, rep, self.group, self.bilinear, self.groups, ends)
            self.blocks.append(block)
            self.parameters.update(block.parameters)
            current = block.rep_out
        self.parameters.update(equivariant_parameters("output", current, self.rep_out, self.groups))
        if self.blocks and products and not _quiet.get():
            remedy = "wider channels, or channels= with the types that are missing,"
            remedy = remedy if self.bilinear else "bilinear=True"
            for reason in (lacks(self), few_copies(self) if isinstance(channels, int) else ""):
                if reason:
                    warn_user(f"{reason}; {remedy} would do")

    def __call__(
        self, params: Mapping[str, Array], x: Shaped[Array, "*batch d_in"]
    ) -> Shaped[Array, "*batch {self.rep_out.size}"]:
        for block in self.blocks:
            x = block(params, x)
        return linear(params, "output", x)

    def config(self) -> dict[str, Any]:
        groups: dict[str, Any] = {"subgroups": list(self.subgroups)} if self.subgroups else {}
        groups |= {"group": list(self.groups)} if not is_chain(self.groups) else {}
        # Files of networks without products, and those from before there were any, do not say so.
        products = {"products": True} if any(b.bilinear and b.bilinear.products.shapes for b in self.blocks) else {}
        return {"channels": list(self.hidden), "bilinear": self.bilinear} | products | groups

    @property
    def subgroups(self) -> tuple[Group, ...]:
        """Of nested groups, those within the first."""
        return self.groups[1:] if is_chain(self.groups) else ()

    @property
    def pathways(self) -> int:
        """One for each group, also where no weight tells two of them apart."""
        return max(len(self.groups), super().pathways)

    def replace(self, **changes: Any) -> Self:
        """Another network with the arguments of this one, with changes; `layers` alone where all hidden layers are
        alike."""
        if isinstance(changes.get("channels"), (int, Rep)):
            changes = {"layers": len(self.hidden)} | changes
        elif "layers" in changes and "channels" not in changes and len(set(self.hidden)) == 1:
            changes["channels"] = self.hidden[0]
        # Networks without products do not say so in their config.
        return super().replace(**{"products": "products" in self.config()} | changes)

    def taken_from(self, other: EMLP, params: Mapping[str, Any]) -> dict[str, Any]:
        """Weights of a network with the same layers under another group, as this network's: products have other bases
        there, of which the part that lies in its own is kept."""
        found = dict(params)
        for ours, theirs in zip(self.blocks, other.blocks, strict=True):
            if ours.bilinear and theirs.bilinear:
                first = len(ours.bilinear.shapes) - len(ours.bilinear.products.shapes)
                thetas = [np.asarray(params[k]) for k in theirs.bilinear_names[first:]]
                made = ours.bilinear.products.taken_from(theirs.bilinear.products, thetas)
                found |= dict(zip(ours.bilinear_names[first:], made, strict=True))
        return found

    def __repr__(self) -> str:
        widths = ", ".join(str(b.rep_out.size) for b in self.blocks)
        ends = f"{self.rep_in.rep} -> {self.rep_out.rep}"
        groups = (" > " if is_chain(self.groups) else " + ").join(map(str, self.groups))
        return f"EMLP({ends}, {groups}, hidden widths [{widths}], {self.size} weights)"


class Block:
    """One hidden layer: linear, bilinear, gate; with the products that functions between `ends`, if given, need."""

    def __init__(
        self,
        name: str,
        rep_in: Representation,
        rep: Rep,
        group: Group,
        bilinear: Literal["channelwise", "full", False],
        groups: Sequence[Group],
        ends: tuple[Representation, Representation] | None = None,
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
        features = inner(group)
        self.parameters = equivariant_parameters(name, rep_in, features, groups)
        kind = BILINEAR[bilinear] if bilinear else None
        products, self.left_out = needed_products(*ends, features, kind.makes) if kind and ends else ([], [])
        self.bilinear = kind(features, products) if kind else None
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
            h = h + self.bilinear.scale * self.bilinear(thetas, h)
        gate, h = h[..., : self.gates], h[..., self.gates :]
        if not self.gates:
            return swish(h)
        # One product for the gates of all copies: slices of each would be many small operations.
        own = fixed(self._own, h) if mix is None else fixed(self._own, h) + mix
        return h * (own * sigmoid(h) + sigmoid(gate) @ fixed(self._spread, h))


def check_bilinear(value: Any) -> Literal["channelwise", "full", False]:
    """By its name; raises ValueError for any other value."""
    if value is False or (isinstance(value, str) and value in BILINEAR):
        return value  # type: ignore[return-value]
    if value is True:
        return "channelwise"
    raise ValueError(f"bilinear must be 'channelwise', 'full', True or False, got {value!r}")


@contextmanager
def quiet() -> Iterator[None]:
    """Where networks are made again, or what they lack is said elsewhere: without their warnings."""
    token = _quiet.set(True)
    try:
        yield
    finally:
        _quiet.reset(token)


def lacks(net: EMLP) -> str:
    """What the hidden layers of a network cannot carry, in words; probed only where their types give reason to it."""
    group, doubtful = net.group, not net.bilinear or any(b.left_out for b in net.blocks)
    if group.is_trivial:
        return ""
    for block in net.blocks:
        for ends in (net.rep_in, net.rep_out):
            doubtful |= any(not held and is_moved(group, term) for term, held, _ in _held(ends, block))
    found = capacity(net) if doubtful else Capacity()
    # Without bilinear layers gates alone multiply, which is what was asked for.
    if found.dead_inputs or found.zero_outputs or (found.missing and net.bilinear):
        return str(found)
    left_out = [name for b in net.blocks for name in b.left_out if name in found.unchecked]
    if left_out:
        some = ", ".join(dict.fromkeys(left_out))
        return (
            f"the strict network may not carry all equivariant functions: too large to be made or looked at are {some}"
        )
    return ""


def few_copies(net: EMLP) -> str:
    """Which types of the input a hidden layer holds less than half as often as the input does, in words."""
    for block in net.blocks:
        for term, held, count in _held(net.rep_in, block):
            if 0 < 2 * held < count and is_moved(net.group, term):
                return (
                    f"{block.name} holds {held} combinations of the {count} inputs of the type {term_name(term)}: with "
                    "sigma_b = 0 all else that they say is lost"
                )
    return ""


def _held(ends: Representation, block: Block) -> list[tuple[Term, int, int]]:
    """(type, copies in a hidden layer, copies in ends)."""
    hidden, group = block.rep_out.types, block.rep_out.group
    return [
        (term, sum(len(w) for t, w in hidden.items() if alike(t, term, group)), len(where))
        for term, where in ends.types.items()
    ]


def hidden_reps(
    channels: int | Rep | Sequence[Rep], layers: int | None, rep_in: Representation, rep_out: Representation
) -> list[Rep]:
    """Of each layer; arguments as of `EMLP`."""
    count = check_layers(3 if layers is None else layers)
    if isinstance(channels, Rep):
        hidden = [channels] * count
    elif isinstance(channels, Sequence) and not isinstance(channels, str):
        hidden = list(channels)
        if layers is not None and layers != len(hidden):
            raise ValueError(f"layers must be None where channels lists {len(hidden)} representations, got {layers}")
        if not all(isinstance(r, Rep) for r in hidden):
            raise TypeError(f"channels must be a width, a representation or a list of these, got {channels!r}")
    else:
        hidden = [hidden_rep(channels, rep_in, rep_out)] * count
    for k, rep in enumerate(hidden):
        bind(rep, rep_in.group, f"channels[{k}]")
    return hidden
