"""Other restrictions than symmetry (Finzi et al. 2021, Section 4: locality, linearity, Markov structure, ...)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from bayes_rpp._arrays import Array
from bayes_rpp._given import described
from bayes_rpp._types import Shaped
from bayes_rpp.networks.emlp import equivariant_parameters
from bayes_rpp.networks.network import Network, Parameter, altered, linear
from bayes_rpp.networks.soften.doubts import warn_of_broken_symmetry
from bayes_rpp.networks.soften.options import Options
from bayes_rpp.priors.subspaces.base import FullSubspace, Subspace


def restrict(net: Network, subspaces: Mapping[str, Subspace]) -> Network:
    """The same network with other subspaces for some of its weights.

    Example: a linear model in which each output sees its neighbours, softly:
    `restrict(MLP(20, 20, layers=0), {"output.weight": SpanSubspace.masked(band(20, 20, 2))})`.

    Args:
        net: any network; it is not changed.
        subspaces: by parameter, of the parameter's shape; a key may be a pattern ("*.weight"; the first that fits
            counts).

    Warns:
        UserWarning: if the network was equivariant where its residuals are zero, and is so no longer.

    Raises:
        TypeError, ValueError: if one is no subspace, fits no parameter, or has another shape.
    """
    if not isinstance(net, Network):
        raise TypeError(f"net must be a Network, got {described(net)}; MLP(20, 20, layers=0) would do")
    options = Options(None, subspaces, ())
    parameters = {k: Parameter(options.subspace(k, p.subspace)) for k, p in net.parameters.items()}
    options.check_used((), parameters)
    if not subspaces:
        return net
    code = replace(net.capabilities, is_code=True)
    new = altered(net, parameters=MappingProxyType(parameters), capabilities=code, _is_restricted=True)
    warn_of_broken_symmetry(new, net)
    return new


class LinearPath(Network, is_code=False):
    """f(x) = W x + b + net(x): a linear model whose residual pathway is a network.

    With a wide prior on "linear.*" and a narrow one on "net.output.*" it stays linear unless the data say otherwise:
    `Model(LinearPath(MLP(5, 1)), sigma_a={"net.output.*": 0.1, "*": 1.0}, sigma_b=0.0)`. If the network is restricted,
    so is the linear path: to equivariant maps.

    Args:
        net: any network; its parameters are called "net.<name>" here.
    """

    def __init__(self, net: Network) -> None:
        if not isinstance(net, Network):
            raise TypeError(f"net must be a Network, got {described(net)}; MLP(5, 1) would do")
        super().__init__(net.rep_in.rep, net.rep_out.rep, net.group, capabilities=net.capabilities)
        self.net = net
        shape = (self.rep_out.size, self.rep_in.size)
        if all(p.subspace.rank == p.subspace.size for p in net.parameters.values()):
            path = {f"linear.{k}": Parameter(FullSubspace(s)) for k, s in (("weight", shape), ("bias", shape[:1]))}
        else:
            path = equivariant_parameters("linear", self.rep_in, self.rep_out, getattr(net, "groups", (net.group,)))
        self.parameters = path | {f"net.{name}": p for name, p in net.parameters.items()}

    def __call__(
        self, params: Mapping[str, Array], x: Shaped[Array, "*x"]
    ) -> Shaped[Array, "*batch {self.rep_out.size}"]:
        inner, x = {name: params[f"net.{name}"] for name in self.net.parameters}, self.rows(x)
        return linear(params, "linear", x) + self.net(inner, x)

    def encode(self, x: Any, name: str = "x") -> Any:
        return self.net.encode(x, name)

    def encode_outputs(self, y: Any, x: Any, name: str = "y") -> Any:
        return self.net.encode_outputs(y, x, name)

    def counted(self, x: Array) -> Array | None:
        return self.net.counted(x)

    def config(self) -> dict[str, Any]:
        return {"net": self.net}

    def __repr__(self) -> str:
        return f"LinearPath({self.net!r})"
