"""The channelwise bilinear layer of the EMLP: copies are multiplied one with one, not all with all.

Of features x_A,a, copy a of type A with d_A entries of variance 1, and scalars s, with a number theta for each product:

    scalars         s_j    += theta <x_A*,a , x_A,a> / sqrt(d_A)
    every other     x_A,a  += theta s_j x_A,a
    contractions    x_B,a  += theta R_a x_A,a / sqrt(d_A), R = B (x) A^* a type of square matrices
    outer products  x_J,a  += theta x_A,a (x) x_B,b, J = A (x) B

The linear layers before and after mix the copies, so that few pairs do (as "uuu" instructions of e3nn, Geiger and Smidt
2022), and all of it is elementwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product as cartesian

import numpy as np
from numpy.typing import NDArray

from bayes_rpp._arrays import Array, array_namespace, zeros
from bayes_rpp.engines.libraries import fixed_indices
from bayes_rpp.networks.bilinear import Path, find_paths
from bayes_rpp.networks.products import Product, Products, makes_by_maps
from bayes_rpp.networks.terms import signature
from bayes_rpp.priors.subspaces.base import Layout
from bayes_rpp.symmetry.representations import Representation, Term

Features = dict[Term, Array]  # (n, size, copies) of each type


class Channelwise:
    """Bilinear map of features to features of the same representation, with fewer products than `Bilinear`.

    Args:
        products: those to be made directly, beside the layer's own.

    Attributes:
        shapes: of the free numbers: (inner products,) and (copies that are no scalars,), if any, (copies,) for each
            contraction and outer product, then one for each product.
        scale: of what it makes, beside its input.
    """

    scale = 0.3

    def __init__(self, rep: Representation, products: Sequence[Product] = ()) -> None:
        self.rep, self.layout, group = rep, Layout(rep), rep.group
        copies, sizes = self.layout.copies, self.layout.sizes
        self._scalars = [t for t in copies if not signature(t, group)]
        self._others = [t for t in copies if t not in self._scalars]
        paths = find_paths(self.layout, group)
        # <x, y> and <y, x> are the same.
        self._inner = list({frozenset((p.into, p.kind)): p for p in paths if p.out in self._scalars}.values())
        between = [p for p in paths if not {p.out, p.into} & {*self._scalars}]
        self._contractions = [p for p in between if sizes[p.out] == sizes[p.into]]
        triples = [(a, b, out) for a, b, out in cartesian(self._others, repeat=3) if is_outer(a, b, out, rep)]
        self._outer = [
            (a, b, out, *_pairs(copies[a], copies[b], copies[out], a == b))
            # x (x) y and y (x) x differ, but one of them does.
            for a, b, out in {(frozenset(t[:2]), t[2]): t for t in reversed(triples)}.values()
        ]
        self.products = Products(self.layout, products)
        self._count_scalars, gated = (sum(copies[t] for t in terms) for terms in (self._scalars, self._others))
        # The last scalars, as the first are the block's gates.
        last = self._count_scalars - gated + np.arange(gated)
        self._gates = last % self._count_scalars if self._scalars else last[:0]
        counts = [sum(map(self._count, self._inner)), len(self._gates), *map(self._count, self._contractions)]
        counts += [copies[out] for _, _, out, _, _ in self._outer]
        own: list[tuple[int, ...]] = [(n,) for n in counts if n]
        self.shapes = [*own, *self.products.shapes]

    @staticmethod
    def makes(a: Term, b: Term, out: Term, features: Representation) -> bool:
        """Whether the layer makes products of two types, without a product."""
        outer = is_outer(a, b, out, features) or is_outer(b, a, out, features)
        # Outer products are as many as the type has copies: too few in layers too narrow for the type of maps.
        return makes_by_maps(a, b, out, features, square=not outer)

    def __call__(self, thetas: list[Array], x: Array) -> Array:
        """Features (..., rep.size) -> (..., rep.size)."""
        xp, lead = array_namespace(x), tuple(x.shape[:-1])
        x = x.reshape((-1, x.shape[-1]))
        n, copies, sizes = x.shape[0], self.layout.copies, self.layout.sizes
        rows = {t: v.reshape((n, copies[t], sizes[t])) for t, v in self.layout.split(x, -1).items()}
        # Copies last: loops then run along them, not along the three entries of a vector.
        features = {t: xp.permute_dims(v, (0, 2, 1)) for t, v in rows.items()}
        numbers = iter(thetas)
        found: Features = {}
        if self._inner:
            made = [self._contracted(p, features)[:, 0, :] for p in self._inner]
            scalars = self._as_scalars(made, next(numbers))
            found |= _shared(scalars[:, None, :], self._scalars, copies)
        if len(self._gates):
            scalars = _joined([features[t][:, 0, :] for t in self._scalars])
            each = _shared((_taken(scalars, self._gates) * next(numbers))[:, None, :], self._others, copies)
            found |= {t: features[t] * gate for t, gate in each.items()}
        for p in self._contractions:
            _add(found, p.out, self._contracted(p, features) * next(numbers), copies)
        for a, b, out, first, second in self._outer:
            right = _taken(features[b], second) * next(numbers)
            outer = _taken(features[a], first)[:, :, None, :] * right[:, None, :, :]
            _add(found, out, outer.reshape((n, sizes[out], copies[out])), copies)
        for out, y in self.products(list(numbers), rows):
            _add(found, out, xp.permute_dims(y, (0, 2, 1)), copies)
        parts = {
            t: xp.permute_dims(found[t], (0, 2, 1)).reshape((n, copies[t] * sizes[t]))
            if t in found
            else zeros((n, copies[t] * sizes[t]), x)
            for t in copies
        }
        return self.layout.merge(parts, -1).reshape((*lead, self.rep.size))

    def _count(self, p: Path) -> int:
        """Of the pairs of a contraction, or of inner products."""
        copies = self.layout.copies
        most = self._count_scalars if p.out in self._scalars else copies[p.out]
        return min(copies[p.kind], copies[p.into], most)

    def _as_scalars(self, inner: list[Array], numbers: Array) -> Array:
        """(n, scalars): side by side as the last of them; where there are too few, one type over the other."""
        count = self._count_scalars
        if len(numbers) <= count:
            return _padded(_joined(inner) * numbers, (count - len(numbers), 0))
        found, start = [], 0
        for y in inner:
            found.append(_padded(y * numbers[start : start + y.shape[1]], (0, count - y.shape[1])))
            start += y.shape[1]
        return sum(found[1:], found[0])

    def _contracted(self, p: Path, features: Features) -> Array:
        """(n, d_out, count): the first copies of the path's maps, each of the feature with its number."""
        xp, count = array_namespace(features[p.into]), self._count(p)
        maps, x = (features[t][..., :count] for t in (p.kind, p.into))
        n, d, _ = x.shape
        if p.axes != tuple(range(len(p.axes))):
            maps = maps.reshape((n, *p.shape, count))
            maps = xp.permute_dims(maps, (0, *[axis + 1 for axis in p.axes], len(p.axes) + 1))
        maps = maps.reshape((n, self.layout.sizes[p.out], d, count))
        return xp.sum(maps * x[:, None, :, :], axis=2) * d**-0.5


def is_outer(a: Term, b: Term, out: Term, features: Representation) -> bool:
    """Whether a type is the product of two that are no scalars, its indices in their order."""
    group = features.group
    return all(signature(t, group) for t in (a, b)) and signature((*a, *b), group) == signature(out, group)


def _pairs(m_a: int, m_b: int, count: int, alike: bool) -> tuple[NDArray, NDArray]:
    """Which copies are multiplied: one by one; of one type the second is half of all away, as x (x) x is symmetric."""
    k = np.arange(count)
    second = k + max(1, m_b // 2) + k // m_a if alike else k
    return k % m_a, second % m_b


def _taken(x: Array, copies: NDArray) -> Array:
    first, count = int(copies[0]), len(copies)
    if (copies == first + np.arange(count)).all():  # the derivative of a slice is no scatter
        return x[..., first : first + count]
    return array_namespace(x).take(x, fixed_indices(copies, x), axis=-1)


def _joined(parts: list[Array]) -> Array:
    return parts[0] if len(parts) == 1 else array_namespace(parts[0]).concat(parts, axis=-1)


def _shared(x: Array, terms: list[Term], copies: dict[Term, int]) -> Features:
    """The copies of several types, one after the other on the last axis."""
    found, start = {}, 0
    for t in terms:
        found[t], start = x[..., start : start + copies[t]], start + copies[t]
    return found


def _add(found: Features, out: Term, y: Array, copies: dict[Term, int]) -> None:
    """To the first copies of a type."""
    y = _padded(y, (0, copies[out] - y.shape[-1]))
    found[out] = found[out] + y if out in found else y


def _padded(x: Array, width: tuple[int, int]) -> Array:
    """With so many zeros before and after it on the last axis."""
    ends = [zeros((*x.shape[:-1], n), x) if n else None for n in width]
    return _joined([part for part in (ends[0], x, ends[1]) if part is not None])
