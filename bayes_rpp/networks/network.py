"""The contract of networks: named parameters with their subspaces, and a function of (parameters, inputs)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bayes_rpp._arrays import Array, array_namespace
from bayes_rpp.priors.subspaces.base import Subspace
from bayes_rpp.symmetry.groups import Group, Trivial
from bayes_rpp.symmetry.representations import Rep, Representation, Scalar, bind_rep

LARGEST = 50_000_000  # entries of one weight: 200 MB in float32, for each member


@dataclass(frozen=True)
class Parameter:
    """A weight of a network: its shape and the subspace that its prior prefers."""

    subspace: Subspace

    @property
    def shape(self) -> tuple[int, ...]:
        return self.subspace.shape


class Network(ABC):
    """A function of (parameters, inputs), the same for numpy, torch and JAX arrays.

    Attributes:
        parameters: name -> Parameter, in the order of the layers.
        rep_in, rep_out: bound representations of input and output.
        group: the group they are bound to.
        engines: that can run it; torch modules run in Pyro alone, Flax modules in NumPyro.
        input_shape: of one example where that is more than a row, such as (channels, height, width) of an image; x may
            then be (n, *input_shape) as well as (n, rep_in.size).
        traceable: whether torch can compile it by tracing.
        vectorised: whether torch.func.vmap works on it, over its parameters and over x: then members of an ensemble run
            as one, else one by one. Not on one that looks at values, as in `if x.max() > 1`.
        evaluations: how often one call runs its layers, where it integrates.
        is_code: whether it takes more than `config()` to build it again: files do not hold it, and loading asks for it.
    """

    engines: tuple[str, ...] = ("numpyro", "pyro")
    input_shape: tuple[int, ...] | None = None
    traceable: bool = True
    vectorised: bool = True
    is_code: bool = False
    evaluations: int = 1

    def __init__(self, rep_in: Rep | int, rep_out: Rep | int, group: Group | None) -> None:
        if group is None:
            group = Trivial(1)
        if not isinstance(group, Group):
            raise TypeError(f"group is {group!r}; a Group such as O(3) would do")
        self.group = group
        self.rep_in = bind(rep_in, group, "rep_in")
        self.rep_out = bind(rep_out, group, "rep_out")
        self.parameters: dict[str, Parameter] = {}

    @abstractmethod
    def __call__(self, params: Mapping[str, Array], x: Array) -> Array:
        """Outputs (..., rep_out.size) for inputs (..., rep_in.size)."""

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """Keyword arguments, beside rep_in, rep_out and group, that build this network again."""

    @property
    def pathways(self) -> int:
        """How many nested subspaces the weights have: 1, or more with subgroups."""
        return max((len(p.subspace.levels) for p in self.parameters.values()), default=1)

    @property
    def size(self) -> int:
        """Number of weights."""
        return sum(p.subspace.size for p in self.parameters.values())

    def __repr__(self) -> str:
        settings = ", ".join(f"{k}={v}" for k, v in self.config().items())
        return f"{type(self).__name__}({self.rep_in.rep}, {self.rep_out.rep}, {self.group}, {settings})"


def bind(rep: Rep | int, group: Group, name: str) -> Representation:
    """Bind a representation, or a number of scalars; raises TypeError naming the argument."""
    if isinstance(rep, Representation):
        raise TypeError(f"{name} is already bound to a group; pass the representation itself, as in 5 * Vector")
    if isinstance(rep, int) and not isinstance(rep, bool) and rep >= 1:
        rep = rep * Scalar
    return bind_rep(rep, group, name)


def linear(params: Mapping[str, Array], name: str, x: Array) -> Array:
    """x W^T + b with W, b = params[name.weight], params[name.bias]."""
    w = params[f"{name}.weight"]
    return x @ array_namespace(w).matrix_transpose(w) + params[f"{name}.bias"]
