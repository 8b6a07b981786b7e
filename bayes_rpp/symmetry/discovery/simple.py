"""Names of simple Lie algebras, by their dimension and the forms that they preserve."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from bayes_rpp.symmetry.discovery.ideals import commutant, invariant_parts, row_space
from bayes_rpp.symmetry.discovery.parts import Part, Reading, listed, number
from bayes_rpp.symmetry.discovery.snapping import invariant_forms

Array = NDArray[np.float64]


def name_semisimple(ideals: tuple[Array, ...], reading: Reading) -> list[Part]:
    """A part for each ideal (k, n, n); those that act on the same space are one, where together they have a name."""
    left, found = list(ideals), []
    while left:
        together = [left.pop(0)]
        for other in [o for o in left if np.abs(np.einsum("iab,jbc->ijac", together[0], o)).max() > 1e-6]:
            together.append(other)
            left = [o for o in left if o is not other]
        whole = _named(np.concatenate(together), reading) if len(together) > 1 else None
        found += [whole] if whole else [_named(one, reading) or _unknown(one, reading) for one in together]
    return found


def _unknown(a: Array, reading: Reading) -> Part:
    kind = "compact" if np.abs(a + a.swapaxes(1, 2)).max() < 1e-7 else "simple"
    words = f"a {kind} algebra of dimension {len(a)} on {_where(_space(a), reading)}"
    return Part(f"simple algebra of dimension {len(a)}", words, a)


def _named(a: Array, reading: Reading) -> Part | None:
    space = _space(a)
    inner = space @ a @ space.T
    if name := _classical(inner):
        return Part(name, f"{name} on {_where(space, reading)}{_units(inner, space, reading)}", a)
    commuting = commutant(inner)
    flat = commuting.reshape(len(commuting), -1)
    order = ((flat @ np.diag(np.arange(1.0, len(inner[0]) + 1)).ravel()) @ flat).reshape(inner.shape[1:])
    copies = [b @ space for b in invariant_parts(order, order)]
    names = {_classical(c @ a @ c.T) for c in copies}
    if len(copies) > 1 and len(names) == 1 and (name := names.pop()):
        return Part(name, f"{name} on {listed([_where(c, reading) for c in copies])}, together", a)
    return None


def _space(a: Array) -> Array:
    """Orthonormal rows of the space that generators reach; whole columns where it is one of columns."""
    n = a.shape[-1]
    rows = row_space(a.swapaxes(1, 2).reshape(-1, n), 1e-6)
    shares = np.diag(rows.T @ rows)
    return np.eye(n)[shares > 0.5] if np.abs(shares - np.round(shares)).max() < 1e-6 else rows


def _where(space: Array, reading: Reading) -> str:
    columns = np.flatnonzero(np.abs(space).max(axis=0) > 1e-6)
    if len(columns) == len(space):
        return reading.columns(columns)
    return f"a tilted subspace of dimension {len(space)} of {reading.columns(columns)}"


def _classical(a: Array) -> str | None:
    """The name of generators (k, w, w) of the smallest representation of a classical group."""
    k, w = len(a), a.shape[-1]
    metrics = invariant_forms(a, 1)
    if k == w * (w - 1) // 2 and len(metrics) == 1:
        plus = int((np.linalg.eigvalsh(metrics[0]) > 0).sum())
        p, q = sorted((plus, w - plus))
        return f"SO({w})" if p == 0 else f"SO({p},{q})"
    if k == w * w - 1:
        return f"SL({w})"
    if w % 2 == 0 and k == w * (w + 1) // 2 and len(invariant_forms(a, -1)) == 1:
        return f"Sp({w // 2})"
    return None


def _units(inner: Array, space: Array, reading: Reading) -> str:
    """In which units a metric is the standard one."""
    metrics = invariant_forms(inner, 1)
    if len(metrics) != 1:
        return ""
    values = np.diag(metrics[0])
    if np.abs(metrics[0] - np.diag(values)).max() > 1e-7 or len(np.flatnonzero(space.any(axis=0))) > len(space):
        return ", in a metric that is tilted" if np.linalg.cond(metrics[0]) > 1 + 1e-6 else ""
    size = np.abs(values)
    if np.ptp(size) < 1e-6 * size.max():
        return ""
    columns = np.flatnonzero(space.any(axis=0))
    rarer = values > 0 if (values > 0).sum() == 1 else values < 0
    if rarer.sum() == 1 and np.ptp(size[~rarer]) < 1e-6 * size.max():
        speed = math.sqrt(size[rarer][0] / size[~rarer][0])
        return f", with speed {speed:.2f} along {reading.columns(columns[rarer])}"
    units = [number(math.sqrt(v / size[0])) for v in size]
    return f", columns times {listed(units)}"
