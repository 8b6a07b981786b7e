"""The contract of networks: named parameters with their subspaces, and a function of (parameters, inputs)."""

from __future__ import annotations

import dataclasses
from abc import ABCMeta, abstractmethod
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, fields
from inspect import Signature, signature
from types import MappingProxyType
from typing import Any, Self, TypeVar

from bayes_rpp._arrays import Array, array_namespace
from bayes_rpp._html import paragraph, table
from bayes_rpp._types import EngineName, Shaped
from bayes_rpp.engines.base import ENGINES
from bayes_rpp.priors.hyper import layer_of
from bayes_rpp.priors.subspaces.base import Subspace
from bayes_rpp.symmetry.groups import Group, Trivial
from bayes_rpp.symmetry.representations import Rep, Representation, Scalar, bind_rep

LARGEST = 50_000_000  # entries of one weight: 200 MB in float32, for each member


@dataclass(frozen=True)
class Parameter:
    """A weight of a network: its shape and the subspace that its prior prefers."""

    subspace: Subspace

    def __post_init__(self) -> None:
        if not isinstance(self.subspace, Subspace):
            raise TypeError(f"subspace must be a Subspace, got {self.subspace!r}; FullSubspace((2, 3)) would do")

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the weight, (outputs, inputs) in linear layers."""
        return self.subspace.shape


@dataclass(frozen=True)
class Capabilities:
    """What a network can do, and what it takes to run and to keep it.

    A network that is made around another passes the other's on whole, or by `dataclasses.replace` where it differs.

    Attributes:
        engines: that can run it; torch modules run in Pyro alone, Flax modules in NumPyro.
        input_shape: of one example where that is more than a row, such as (channels, height, width) of an image; x may
            then be (n, *input_shape) as well as (n, rep_in.size).
        traceable: whether torch can compile it by tracing.
        vectorized: whether torch.func.vmap works on it, over its parameters and over x: then members of an ensemble run
            as one, else one by one. Not on one that looks at values, as in `if x.max() > 1`.
        is_code: whether it takes more than `config()` to build it again: files do not hold it, and loading asks for it.
            A class of your own is code, and so is what is made around it.
        evaluations: how often one call runs its layers, where it integrates.
        partial: whether some outputs mean nothing, which `counted` says, as those of particles that are not there.
    """

    engines: tuple[EngineName, ...] = ("numpyro", "pyro")
    input_shape: tuple[int, ...] | None = None
    traceable: bool = True
    vectorized: bool = True
    is_code: bool = False
    evaluations: int = 1
    partial: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.engines, tuple) or not self.engines or not set(self.engines) <= ENGINES.keys():
            raise ValueError(f"engines must be a tuple of {' or '.join(map(repr, ENGINES))}, got {self.engines!r}")


AnyNetwork = TypeVar("AnyNetwork", bound="Network")
RECORD = frozenset(f.name for f in fields(Capabilities))


class _FreezingMeta(ABCMeta):
    """Freezes a network when all of its constructor is done, of which `Network.__init__` is only the first part."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        net = super().__call__(*args, **kwargs)
        if "parameters" not in vars(net):
            raise TypeError(f"{cls.__name__}.__init__ must call super().__init__(rep_in, rep_out, group), got no call")
        net._freeze()
        return net

    @property
    def __signature__(cls) -> Signature:
        """That of the constructor, in place of the one above."""
        own = signature(cls.__init__)  # type: ignore[misc]
        return own.replace(parameters=list(own.parameters.values())[1:])


class Network(metaclass=_FreezingMeta):
    """A function of (parameters, inputs), the same for numpy, torch and JAX arrays.

    A network is frozen when its constructor is done: programs that are compiled for it stay right. `replace` makes
    another one; what is computed later is kept by `functools.cached_property`.

    Args:
        rep_in, rep_out: representations of input and output, or numbers of columns.
        group: the group that acts; None for none.
        capabilities: what the network can do, if not all.

    Attributes:
        parameters: name -> Parameter, in the order of the layers; a constructor fills it.
        rep_in, rep_out: bound representations of input and output.
        group: the group they are bound to.
    """

    _is_code = True  # unless a class says that `config()` says it all; its subclasses may hold more again
    _is_restricted = False
    capabilities: Capabilities

    def __init_subclass__(cls, *, is_code: bool = True, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._is_code = is_code
        for name in RECORD & vars(cls).keys():
            raise TypeError(f"{cls.__name__}.{name} must be given to the constructor: {_argument(name)} would do")

    def __init__(
        self,
        rep_in: Rep | int,
        rep_out: Rep | int,
        group: Group | None,
        *,
        capabilities: Capabilities = Capabilities(),
    ) -> None:
        if group is None:
            group = Trivial(1)
        if not isinstance(group, Group):
            raise TypeError(f"group must be a Group, got {group!r}; O(3) would do")
        self.group = group
        self.rep_in = bind(rep_in, group, "rep_in")
        self.rep_out = bind(rep_out, group, "rep_out")
        self.capabilities = capabilities
        self.parameters: dict[str, Parameter] = {}

    @abstractmethod
    def __call__(
        self, params: Mapping[str, Array], x: Shaped[Array, "*x"]
    ) -> Shaped[Array, "*batch {self.rep_out.size}"]:
        """Outputs (..., rep_out.size) for inputs (..., rep_in.size)."""

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """Keyword arguments, beside rep_in, rep_out and group, that build this network again."""

    def replace(self, **changes: Any) -> Self:
        """Another network of this kind: the arguments of this one, with changes.

        Raises:
            TypeError: if this network is restricted, or an argument is unknown.
        """
        if self._is_restricted:
            raise TypeError(
                f"a {type(self).__name__} that is restricted cannot be built again from its config(); restrict(...) of "
                "another, made from the network before it was restricted, would do"
            )
        ends: dict[str, Any] = {"rep_in": self.rep_in.rep, "rep_out": self.rep_out.rep, "group": self.group}
        taken = signature(type(self)).parameters
        return type(self)(**{k: v for k, v in ends.items() if k in taken} | self.config() | changes)

    @property
    def engines(self) -> tuple[EngineName, ...]:
        """Those that can run it: "numpyro", "pyro" or both."""
        return self.capabilities.engines

    @property
    def input_shape(self) -> tuple[int, ...] | None:
        """Shape of one example, where that is more than a row."""
        return self.capabilities.input_shape

    @property
    def key(self) -> Hashable:
        """What was compiled for this network is found again by it, within a process: networks of the same key are the
        same function. A network that is code is its own key."""
        if self.capabilities.is_code:
            return self
        return type(self), self.rep_in.rep, self.rep_out.rep, self.group, _hashable(self.config())

    def layer_of(self, name: str) -> str:
        """The layer of a parameter, as PerLayer and `energy_by_layer` have it."""
        return layer_of(name)

    def rows(self, x: Array) -> Array:
        """Images and the like (n, *input_shape) as (n, rep_in.size); anything else as it is."""
        return x.reshape((x.shape[0], self.rep_in.size)) if tuple(x.shape[1:]) == self.input_shape else x

    def encode(self, x: Any, name: str = "x") -> Any:
        """What users may give as x, such as `Particles`, as rows (n, rep_in.size); anything else as it is.

        Raises:
            ValueError: naming the argument.
        """
        return x

    def encode_outputs(self, y: Any, x: Any, name: str = "y") -> Any:
        """The same of y, for rows x; where an output is not `counted`, any value or NaN."""
        return y

    def counted(self, x: Array) -> Array | None:
        """Which outputs mean something for rows x, (..., rep_out.size) of True and False; None: all of them."""
        return None

    def __setattr__(self, name: str, value: Any) -> None:
        if "_frozen" in vars(self):
            raise AttributeError(f"{name} cannot be set, as networks are frozen; {self._instead(name)} would do")
        if name in RECORD:
            raise AttributeError(f"{name} cannot be set, as it is part of net.capabilities; {_argument(name)} would do")
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{name} cannot be deleted, as networks are frozen")

    def _instead(self, name: str) -> str:
        """What to do where an attribute cannot be set."""
        return f"net.replace({name}=...)" if name in signature(type(self)).parameters else "another network"

    def _freeze(self) -> None:
        if type(self)._is_code:
            self.capabilities = dataclasses.replace(self.capabilities, is_code=True)
        vars(self).update(parameters=MappingProxyType(dict(self.parameters)), _frozen=True)

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"parameters": dict(self.parameters)}  # a view of a dict cannot be pickled

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, parameters=MappingProxyType(state["parameters"]))

    @property
    def pathways(self) -> int:
        """How many subspaces the weights prefer, each with a sigma_a: 1, or one for each of several groups."""
        return max((len(p.subspace.levels) for p in self.parameters.values()), default=1)

    @property
    def size(self) -> int:
        """Number of weights."""
        return sum(p.subspace.size for p in self.parameters.values())

    def __repr__(self) -> str:
        settings = ", ".join(f"{k}={v}" for k, v in self.config().items())
        return f"{type(self).__name__}({self.rep_in.rep}, {self.rep_out.rep}, {self.group}, {settings})"

    def _repr_html_(self) -> str:
        rows = [(name, p.shape, _ranks(p.subspace), p.subspace.size) for name, p in self.parameters.items()]
        header = ("parameter", "shape", "rank of the subspace", "size")
        return paragraph(repr(self), "font-weight: bold") + table([*rows, ("all", "", "", self.size)], header)


def _ranks(subspace: Subspace) -> str:
    """Of each level, the most symmetric first."""
    return ", ".join(str(level.rank) for level in subspace.levels)


def altered(net: AnyNetwork, **attributes: Any) -> AnyNetwork:
    """The same network with other attributes; for makers of networks, who know what goes together."""
    new = object.__new__(type(net))
    vars(new).update(vars(net), **attributes)
    return new


def bind(rep: Rep | int, group: Group, name: str) -> Representation:
    """Bind a representation, or a number of scalars; raises TypeError naming the argument."""
    if isinstance(rep, Representation):
        raise TypeError(
            f"{name} must be a representation that is not bound to a group, got {rep}; the one that was bound, as in 5 "
            "* Vector, would do"
        )
    if isinstance(rep, int) and not isinstance(rep, bool) and rep >= 1:
        rep = rep * Scalar
    return bind_rep(rep, group, name)


def linear(params: Mapping[str, Array], name: str, x: Array) -> Array:
    """x W^T + b with W, b = params[name.weight], params[name.bias]."""
    w = params[f"{name}.weight"]
    return x @ array_namespace(w).matrix_transpose(w) + params[f"{name}.bias"]


def _argument(name: str) -> str:
    return f"super().__init__(..., capabilities=Capabilities({name}=...))"


def _hashable(value: Any) -> Hashable:
    if isinstance(value, Network):
        return value.key
    if isinstance(value, Mapping):
        return tuple((k, _hashable(v)) for k, v in value.items())
    return tuple(map(_hashable, value)) if isinstance(value, (list, tuple)) else value
