"""The algebra of standard form that noise hides: in whole columns, of standard metrics.

Algebras that hold a given span up to a tolerance are tried from the smallest: those that move few columns before those
that mix all, those that keep the standard metric before those that keep one that is found. The nearest algebra
within the first that fits is the answer, exact in all that fits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

import numpy as np
from numpy.typing import NDArray

from bayes_rpp.symmetry.discovery.algebra import antisymmetric, nearest_algebra, orthonormal, span_distance
from bayes_rpp.symmetry.discovery.ideals import null_space

Array = NDArray[np.float64]
Columns = NDArray[np.int_]
WORST = 400.0  # condition of a metric: units that differ by 20
THRESHOLDS = (6.0, 4.0, 3.0, 2.0, 1.5, 1.0, 0.5, 0.25)  # in tolerances: entries that count as zero


@dataclass(frozen=True)
class Snapped:
    """An algebra in standard form.

    Attributes:
        generators: (k, n, n) orthonormal.
        distance: from the span that was given, as `span_distance`.
    """

    generators: Array
    distance: float


def snap_algebra(generators: Array, tolerance: float) -> Snapped | None:
    """The algebra of standard form within a tolerance of a span; without one, the nearest algebra; None without any."""
    given = orthonormal(generators)
    for ambient in _ambients(given, tolerance):
        if (found := _within(given, ambient, tolerance)) is not None:
            return found
    return _nearest(given)


def invariant_forms(generators: Array, sign: int, tolerance: float = 1e-6) -> Array:
    """Orthonormal basis (r, n, n) of the forms S, S^T = sign S, with A^T S + S A = 0 for all generators.

    Args:
        tolerance: root mean square, over orthonormal generators, of what is left of a form of norm 1.
    """
    k, n, _ = generators.shape
    i, j = np.triu_indices(n, 0 if sign > 0 else 1)
    forms = np.zeros((len(i), n, n))
    rows = np.arange(len(i))
    forms[rows, i, j] = 1.0
    forms[rows, j, i] = sign
    forms = forms / np.linalg.norm(forms, axis=(1, 2), keepdims=True)
    turned = np.einsum("kab,sac->ksbc", generators, forms) + np.einsum("sab,kbc->ksac", forms, generators)
    moved = turned.transpose(0, 2, 3, 1).reshape(-1, len(i)) / np.sqrt(k)
    return np.asarray(np.tensordot(null_space(moved, tolerance), forms, 1))


def preserving(metric: Array) -> Array:
    """Orthonormal basis of the Lie algebra that preserves a metric (n, n)."""
    n = len(metric)
    skew = antisymmetric(n)
    if np.array_equal(metric, np.eye(n)):
        return skew
    return orthonormal(np.linalg.solve(metric, skew)) if len(skew) else skew


def near_fraction(value: float, tolerance: float) -> float:
    """p / q, q up to 4, within tolerance / q of a number, or the number itself."""
    for q in range(1, 5):
        p = round(value * q)
        if abs(value - p / q) <= tolerance / q:
            return float(Fraction(p, q))
    return value


def _within(given: Array, ambient: Array, tolerance: float) -> Snapped | None:
    if len(ambient) < len(given):
        return None
    flat = ambient.reshape(len(ambient), -1)
    own = given.reshape(len(given), -1)
    if np.linalg.norm(own - own @ flat.T @ flat) > tolerance * np.sqrt(len(own)):
        return None
    if len(ambient) == len(given):
        return Snapped(ambient, span_distance(given, ambient))
    found = nearest_algebra(given, within=ambient)
    if found is None:
        return None
    off = span_distance(given, found)
    return Snapped(found, off) if off <= tolerance else None


def _nearest(given: Array) -> Snapped | None:
    found = nearest_algebra(given)
    return None if found is None else Snapped(found, span_distance(given, found))


def _ambients(given: Array, tolerance: float) -> Iterator[Array]:
    """Orthonormal bases of algebras, from the most special."""
    n = given.shape[-1]
    sizes = np.sqrt((given**2).sum(axis=0))
    masks: dict[bytes, NDArray[np.bool_]] = {}
    for threshold in (*THRESHOLDS, 0.0):
        mask = _closure(sizes > threshold * tolerance) if threshold else np.ones((n, n), dtype=bool)
        masks.setdefault(mask.tobytes(), mask)
    several = [m for m in masks.values() if m.any()]
    diagonal = [(m, blocks) for m in several if _is_direct_sum(m, blocks := blocks_of(m))]
    yield from (_units(m) for m in several if not blocks_of(m))  # shears of whole columns
    yield from _nilpotent(given)  # before metrics, as a boost of a steep light cone is as near
    for _, blocks in diagonal:
        families = [_family(given, np.flatnonzero(b), tolerance) for b in blocks]
        if all(f is not None for f in families):
            yield _direct_sum([f for f in families if f is not None], blocks)
    for mask in several:
        for _, blocks in [d for d in diagonal if d[0] is mask]:
            mixed = [(_family(given, np.flatnonzero(b), tolerance), b.sum()) for b in blocks]
            yield _direct_sum([_units(np.ones((d, d), dtype=bool)) if f is None else f for f, d in mixed], blocks)
        yield _units(mask)


def _is_direct_sum(mask: NDArray[np.bool_], blocks: list[NDArray[np.bool_]]) -> bool:
    return bool(blocks) and np.array_equal(mask, np.any([np.outer(b, b) for b in blocks], axis=0))


def _closure(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Entries that products of matrices with these entries have."""
    while not np.array_equal(wider := mask | (mask.astype(int) @ mask.astype(int) > 0), mask):
        mask = wider
    return mask


def blocks_of(mask: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """Sets of columns, as masks (n,), that matrices with entries at `mask` (n, n) mix with one another."""
    linked = (closed := _closure(mask)) & closed.T
    found = [linked[i] for i in range(len(mask)) if linked[i, i]]
    return [b for k, b in enumerate(found) if not any(np.array_equal(b, other) for other in found[:k])]


def _units(mask: NDArray[np.bool_]) -> Array:
    places = np.argwhere(mask)
    units = np.zeros((len(places), *mask.shape))
    units[np.arange(len(places)), places[:, 0], places[:, 1]] = 1.0
    return units


def _direct_sum(families: list[Array], blocks: list[NDArray[np.bool_]]) -> Array:
    n = len(blocks[0])
    whole = []
    for family, block in zip(families, blocks, strict=True):
        big = np.zeros((len(family), n, n))
        where = np.flatnonzero(block)
        big[:, where[:, None], where] = family
        whole.append(big)
    return np.concatenate(whole)


def _family(given: Array, columns: Columns, tolerance: float) -> Array | None:
    """The most special algebra on some columns that holds what the generators are there; None if it is gl."""
    part = given[:, columns[:, None], columns]
    for family in _families(part, tolerance):
        flat = family.reshape(len(family), -1)
        own = part.reshape(len(part), -1)
        if np.linalg.norm(own - own @ flat.T @ flat) <= tolerance * np.sqrt(len(own)):
            return family
    return None


def _families(part: Array, tolerance: float) -> Iterator[Array]:
    d = part.shape[-1]
    scaling = np.eye(d)[None] / np.sqrt(d)
    yield scaling
    yield np.stack([np.diag(e) for e in np.eye(d)])
    for metric in _metrics(part, tolerance):
        yield preserving(metric)
        yield np.concatenate([preserving(metric), scaling])


def _metrics(part: Array, tolerance: float) -> list[Array]:
    """Metrics that generators preserve, but for a scaling: the standard one, +1 and -1, with units, tilted."""
    d = part.shape[-1]
    traceless = part - np.trace(part, axis1=1, axis2=2)[:, None, None] * np.eye(d) / d
    found = [np.eye(d)]
    if not np.abs(traceless).max() > 0:
        return found
    forms = invariant_forms(traceless, 1, tolerance)
    if not len(forms):
        return found
    patterns = [np.array([1.0, *signs]) for signs in product((1.0, -1.0), repeat=d - 1)] if d <= 7 else [np.ones(d)]
    flat = forms.reshape(len(forms), -1)
    projected = [((flat @ np.diag(p).ravel()) @ flat).reshape(d, d) for p in patterns]
    fits = [float(np.linalg.norm(s)) for s in projected]
    order = np.argsort(-np.array(fits), kind="stable")
    diagonal, full = [], []
    for k in order[:6]:
        if fits[k] < 1e-3 * np.sqrt(d):
            continue
        s = projected[k] / np.abs(np.linalg.eigvalsh(projected[k])).max()
        signs = np.sign(np.diag(s))
        if (signs == patterns[k]).all():
            found.append(np.diag(patterns[k]))
            values = np.diag(s)
            diagonal.append(np.diag(np.where(signs > 0, _mean(values[signs > 0]), _mean(values[signs < 0]))))
            diagonal.append(np.diag(values))
        full.append(s)
    if len(forms) == 1:
        full.append(forms[0])
    usable = [s for s in (*diagonal, *full) if np.linalg.cond(s) < WORST]
    return found + usable


def _mean(values: Array) -> float:
    return float(values.mean()) if len(values) else 0.0


def _nilpotent(given: Array) -> Iterator[Array]:
    """The shear x -> x + t u (v x), v u = 0, nearest to a single generator."""
    if len(given) != 1 or given.shape[-1] < 2:
        return
    u, s, vt = np.linalg.svd(given[0])
    for rank in range(1, len(s) // 2 + 1):
        left, right = u[:, :rank], vt[:rank].T
        right = right - left @ (left.T @ right)
        shear = left * s[:rank] @ right.T
        if np.linalg.norm(shear) > 0.5:
            yield shear[None] / np.linalg.norm(shear)
