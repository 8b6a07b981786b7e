"""By what a network is known again that its description cannot tell from others: outputs, and what its priors prefer.

A module has a state of its own, such as the running statistics of a normalisation; a Network of one's own may hold any
numbers; a representation may be any function; and subspaces of the same rank are many.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_rpp.networks.network import Network

POINTS = 3
TOLERANCE = 1e-4  # other machines round otherwise
STATE = (
    "its module has another state, such as the running statistics of a normalisation; load its state_dict before soften"
)


def probe_spec(net: Network, params: Mapping[str, NDArray]) -> dict[str, Any]:
    """JSON-able: what a file keeps of a network that it does not hold, at these weights."""
    return {"probe": network_probe(net, params), "norms": _norms(net)}


def check_probe(net: Network, params: Mapping[str, NDArray], spec: Mapping[str, Any]) -> None:
    """Raise ValueError if a network is not the one of `probe_spec`. Files of older versions have less of it."""
    error = probe_error(net, params, spec["probe"]) if "probe" in spec else None
    if error is not None:
        raise ValueError(f"net must give the outputs of the file's network, got others (off by {error:.2g}): {STATE}")
    if "norms" in spec and not _alike(_norms(net), spec["norms"]):
        raise ValueError("net must have the subspaces of the file's network, got others of these ranks")


def network_probe(net: Network, params: Mapping[str, NDArray]) -> list[list[float]]:
    """Outputs at a few points between 0 and 1, of which the first is 0.5 in all columns."""
    k, j = np.arange(POINTS)[:, None], np.arange(net.rep_in.size)[None]
    x = 0.5 + 0.45 * np.sin(k * (1.0 + 0.7 * j))
    return np.asarray(net({k: np.asarray(params[k], dtype=np.float64) for k in net.parameters}, x)).tolist()


def probe_error(net: Network, params: Mapping[str, NDArray], wanted: Any) -> float | None:
    """How far the outputs are from those of `network_probe`; None if they are the same up to rounding."""
    return _apart(np.asarray(network_probe(net, params))[: len(wanted)], np.asarray(wanted))


def fingerprint(net: Network) -> dict[str, Any]:
    """JSON-able: `probe_spec` at weights that depend on nothing but their shapes."""
    return probe_spec(net, {name: _weight(p.shape, p.subspace.rows) for name, p in net.parameters.items()})


def differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """What differs between two fingerprints, in words."""
    apart = _apart(np.asarray(found["probe"]), np.asarray(wanted["probe"])) is not None
    return ["network's outputs"] * apart + ["network's subspaces"] * (not _alike(found["norms"], wanted["norms"]))


def _norms(net: Network) -> dict[str, list[float]]:
    """Of such weights within each subspace that the prior prefers, by parameter."""
    found = {}
    for name, p in net.parameters.items():
        w = _weight(p.shape, p.subspace.rows)
        found[name] = [float(np.linalg.norm(level.project(w))) for level in p.subspace.levels]
    return found


def _alike(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    return a.keys() == b.keys() and all(_apart(np.asarray(a[k]), np.asarray(b[k])) is None for k in a)


def _weight(shape: tuple[int, ...], rows: int) -> NDArray:
    size = math.prod(shape)
    scale = math.sqrt(2 * rows / size) if size else 1.0
    return (scale * np.sin(1.0 + 1.3 * np.arange(size))).reshape(shape)


def _apart(a: NDArray, b: NDArray) -> float | None:
    if a.shape != b.shape:
        return math.inf
    error = float(np.abs(a - b).max(initial=0.0))
    alike = error <= TOLERANCE * max(1.0, np.abs(b).max(initial=0.0)) or np.array_equal(a, b, equal_nan=True)
    return None if alike else error
