"""Networks as text and numbers: what it takes to build the same network again in another process, without pickle."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_rpp._arrays import whole_number
from bayes_rpp._files import reading, replacing, understanding
from bayes_rpp.networks.conv import ConvNet
from bayes_rpp.networks.emlp import EMLP, quiet
from bayes_rpp.networks.extent import check_extent
from bayes_rpp.networks.hamiltonian import HamiltonianNetwork
from bayes_rpp.networks.mlp import MLP
from bayes_rpp.networks.network import Network, Parameter
from bayes_rpp.networks.particles.network import ParticleNetwork
from bayes_rpp.networks.probe import check_probe, probe_spec
from bayes_rpp.networks.restricted import LinearPath
from bayes_rpp.symmetry import groups
from bayes_rpp.symmetry.groups import Group
from bayes_rpp.symmetry.representations import Factor, Rep

Custom = Mapping[str, Callable[[NDArray], Any]]
NETWORKS: dict[str, Callable[..., Network]] = {
    k.__name__: k for k in (EMLP, MLP, ConvNet, LinearPath, HamiltonianNetwork, ParticleNetwork)
}
CLASSICAL: dict[str, Callable[..., Group]] = {
    f.__name__: f for f in (groups.O, groups.SO, groups.SL, groups.Sp, groups.S, groups.Lorentz)
}
KINDS = ("vector", "det", "regular", "custom", "sum")
ENDS = ("rep_in", "rep_out")
INNER = {"LinearPath": "net", "HamiltonianNetwork": "energy"}  # what those that are made around a network call it


def network_spec(net: Network) -> dict[str, Any]:
    """JSON-able description of a network: kind, representations, group and settings; of one made of code, such as a
    softened module or your own Network, its parameters' names and shapes.

    Raises:
        ValueError: if two custom representations share a name, by which alone they are stored.
    """
    kind = type(net).__name__
    code = net.capabilities.is_code or NETWORKS.get(kind) is not type(net)
    if not code and kind in INNER:
        settings = net.config()
        inner = network_spec(settings.pop(INNER[kind]))
        if "parameters" not in inner:
            return {"network": kind, INNER[kind]: inner, "settings": settings}
        code = True
    if code:  # the file says only what the network must look like
        return {"network": kind, "parameters": {k: _parameter_spec(p) for k, p in net.parameters.items()}}
    settings = {k: _SETTINGS[k][0](v) if k in _SETTINGS else v for k, v in net.config().items()}
    several = settings.pop("group", None)  # which are not nested
    hidden = [r for v in net.config().values() if isinstance(v, list) for r in v if isinstance(r, Rep)]
    functions: dict[str, Any] = {}
    for f in {f for r in (net.rep_in.rep, net.rep_out.rep, *hidden) for f in _custom_factors(r)}:
        if functions.setdefault(f.name, f.rho) is not f.rho:
            raise ValueError(
                f"two custom representations have the name {f.name!r}, by which alone functions are stored; "
                "Rep.custom(rho, name=...) tells them apart"
            )
    ends = {} if isinstance(net, ParticleNetwork) else {k: rep_spec(getattr(net, k).rep) for k in ENDS}
    return {
        "network": kind,
        **ends,
        "group": several or group_spec(net.group),
        "settings": settings,
    }


def holds_code(net: Network) -> bool:
    """Whether it takes more than its description to build the network again."""
    return "parameters" in network_spec(net)


def network_from_spec(
    spec: Mapping[str, Any],
    custom: Custom | None = None,
    net: Network | None = None,
    weights: Mapping[str, NDArray] | None = None,
) -> Network:
    """Inverse of `network_spec`.

    Args:
        custom: the functions rho of custom representations, by the names they were given: functions are not stored.
        net: the network itself, where it is made of code.
        weights: what the file holds beside the description, which may not ask for a network that is larger.

    Raises:
        ValueError: if the kind is unknown, a custom representation is missing, or net is needed or does not fit.
    """
    if weights is not None:
        check_extent(spec, weights)
    kind = spec["network"]
    if "parameters" in spec:
        if net is None:
            raise ValueError(
                f"the file does not hold its network, a {kind} that is code or was restricted; net=, made again, would "
                "do"
            )
        wanted, found = spec["parameters"], {k: _parameter_spec(p) for k, p in net.parameters.items()}
        wrong = next((k for k in [*wanted, *found] if wanted.get(k) != found.get(k)), None)
        if wrong is not None:
            raise ValueError(
                f"net must fit the file, got shape and ranks {found.get(wrong)} of parameter {wrong!r} where it has "
                f"{wanted.get(wrong)}"
            )
        return net
    if kind not in NETWORKS:
        raise ValueError(f"the file holds a network {kind!r}, which this version does not know")
    if kind in INNER:
        return NETWORKS[kind](network_from_spec(spec[INNER[kind]], custom), **spec.get("settings", {}))
    settings = {k: _SETTINGS[k][1](v, custom) if k in _SETTINGS else v for k, v in spec["settings"].items()}
    if kind == "EMLP":  # those that have none, and those from before there were any
        settings.setdefault("products", False)
        if settings.get("bilinear") is True:  # from before there was another
            settings["bilinear"] = "full"
    ends = {name: rep_from_spec(spec[name], custom) for name in ENDS if name in spec}
    group = spec["group"]
    groups = [group_from_spec(g) for g in group] if isinstance(group, list) else group_from_spec(group)
    with quiet():
        return NETWORKS[kind](**ends, group=groups, **settings)


def save_network(path: str | Path, net: Network, params: Mapping[str, NDArray]) -> Path:
    """Write a network and its weights to one .npz file."""
    missing = [name for name in net.parameters if name not in params]
    if missing:
        raise ValueError(f"params must have all weights of the network, got no {', '.join(map(repr, missing))}")
    path = Path(path)
    if path.suffix != ".npz":
        path = path.with_name(path.name + ".npz")
    arrays: dict[str, Any] = {name: np.asarray(params[name]) for name in net.parameters}
    spec = network_spec(net)
    if "parameters" in spec:
        spec |= probe_spec(net, arrays)
    with replacing(path) as part, part.open("wb") as file:
        np.savez(file, spec=np.array(json.dumps(spec)), **arrays)
    return path


def load_network(
    path: str | Path, *, custom: Custom | None = None, net: Network | None = None
) -> tuple[Network, dict[str, NDArray]]:
    """Read what `save_network` wrote: the network and its weights. A network that is made of code, such as a softened
    module, is to be given as `net`."""
    path = existing(path, ".npz")
    with reading(path, "a file that save_network wrote, whole, would do"):
        if not zipfile.is_zipfile(path):  # numpy would say how to unpickle it
            raise ValueError("it is no npz file")
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        spec = json.loads(str(arrays.pop("spec")))
    with understanding(path):
        net = network_from_spec(spec, custom, net, arrays)
        params = {name: arrays[name] for name in net.parameters}
        for name, parameter in net.parameters.items():
            check_weight(name, params[name], parameter.shape)
        check_probe(net, params, spec)
    return net, params


def check_weight(name: str, value: Any, shape: tuple[int, ...]) -> None:
    """Raise ValueError unless a value is an array of floats of a shape."""
    if not isinstance(value, np.ndarray) or not np.issubdtype(value.dtype, np.floating) or value.shape != shape:
        found = f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
        raise ValueError(f"{name} must be floats of the shape {shape}, got {found}")


def existing(path: str | Path, suffix: str) -> Path:
    """The file, with its suffix left out or not; raises FileNotFoundError."""
    for candidate in (Path(path), Path(f"{path}{suffix}")):
        if candidate.is_file():
            return candidate
    raise FileNotFoundError(f"there is no file {path}")


def _parameter_spec(parameter: Parameter) -> list[list[int]]:
    return [list(parameter.shape), [s.rank for s in parameter.subspace.levels]]


def _channels_spec(channels: Any) -> Any:
    return [rep_spec(r) if isinstance(r, Rep) else r for r in channels] if isinstance(channels, list) else channels


def _channels(spec: Any, custom: Custom | None) -> Any:
    return [rep_from_spec(r, custom) if isinstance(r, list) else r for r in spec] if isinstance(spec, list) else spec


# Settings that are no plain numbers or strings: how to write them, and how to read them.
_REP = lambda rep: rep and rep_spec(rep), lambda spec, custom: spec and rep_from_spec(spec, custom)
_SETTINGS: dict[str, tuple[Callable[[Any], Any], Callable[[Any, Custom | None], Any]]] = {
    "features": _REP,
    "out": _REP,
    "channels": (_channels_spec, _channels),
    "group": (lambda groups: [group_spec(g) for g in groups], lambda spec, _: [group_from_spec(g) for g in spec]),
    "subgroups": (lambda groups: [group_spec(g) for g in groups], lambda spec, _: [group_from_spec(g) for g in spec]),
}


def group_spec(group: Group) -> dict[str, Any]:
    if group.factors:
        return {"factors": [group_spec(f) for f in group.factors]}
    if group.classical:
        return {"classical": list(group.classical)}
    return {
        "dim": group.dim,
        "lie_algebra": group.lie_algebra.tolist(),
        "discrete_generators": group.discrete_generators.tolist(),
        "name": group.name,
        "is_orthogonal": group.is_orthogonal,
        "is_unimodular": group.is_unimodular,
    }


def group_from_spec(spec: Mapping[str, Any]) -> Group:
    if "factors" in spec:
        return groups.product_group(*[group_from_spec(f) for f in spec["factors"]])
    if "classical" in spec:
        family, n = spec["classical"]
        if family not in CLASSICAL:
            raise ValueError(f"the file names a group {family!r}, which this version does not know")
        return groups.Lorentz() if family == "Lorentz" else CLASSICAL[family](n)
    matrices = {k: v for k, v in spec.items() if k not in ("is_orthogonal", "is_unimodular")}
    group = Group(**matrices, exact=True)  # as it was when it was saved
    orthogonal, unimodular = _as_first_judged(group)
    stated = bool(spec.get("is_orthogonal", orthogonal)), bool(spec.get("is_unimodular", unimodular))
    if stated != (group.is_orthogonal, group.is_unimodular):  # the shapes of the weights depend on both
        group.stated = stated
    return group


def _as_first_judged(group: Group) -> tuple[bool, bool]:
    """Whether orthogonal and unimodular, in files from before these were stored: with numpy's relative tolerance."""
    a, h = group.lie_algebra, group.discrete_generators
    skew = np.allclose(a, -a.transpose(0, 2, 1), atol=1e-12)
    orthogonal = skew and np.allclose(h @ h.transpose(0, 2, 1), np.eye(group.dim), atol=1e-12)
    traceless = np.allclose(np.trace(a, axis1=1, axis2=2), 0)
    return bool(orthogonal), bool(traceless and np.allclose(np.abs(np.linalg.det(h)), 1))


def rep_spec(rep: Rep) -> list[Any]:
    return [[[_factor_spec(f) for f in term], count] for term, count in rep.terms]


def _custom_factors(rep: Rep) -> list[Factor]:
    factors = [f for term, _ in rep.terms for f in term]
    inner = [g for f in factors if f.rep is not None for g in _custom_factors(f.rep)]
    return [f for f in factors if f.rho is not None] + inner


def _factor_spec(f: Factor) -> dict[str, Any]:
    spec: dict[str, Any] = {"kind": f.kind}
    if f.dual:
        spec["dual"] = True
    if f.on is not None:
        spec["on"] = f.on
    if f.rho is not None:
        spec["name"] = f.name
    if f.rep is not None:
        spec["rep"] = rep_spec(f.rep)
    return spec


def rep_from_spec(spec: list[Any], custom: Custom | None) -> Rep:
    return Rep(tuple((tuple(_factor(f, custom) for f in term), whole_number(count, "count")) for term, count in spec))


def _factor(spec: Mapping[str, Any], custom: Custom | None) -> Factor:
    rho, name = None, spec.get("name", "")
    if spec["kind"] not in KINDS:
        raise ValueError(f"the file names a representation {spec['kind']!r}, which this version does not know")
    if spec["kind"] == "custom":
        if name not in (custom or {}):
            raise ValueError(
                f"the network has a custom representation {name!r}, and functions are not stored; "
                f"custom={{{name!r}: rho}} would do"
            )
        rho = (custom or {})[name]
    rep = rep_from_spec(spec["rep"], custom) if "rep" in spec else None
    return Factor(spec["kind"], spec.get("dual", False), spec.get("on"), rho, name, rep)
