"""Covariances of an invariant function E and of its forces F = -dE/dx: a scalar kernel averaged over a group.

With M(x, z) the covariance of (E, F)(x) and (E, F)(z) for a scalar kernel k(x, z) (Rasmussen and Williams 2006,
Equation 9.1), that for invariant E is the sum over elements g of their weight times M(x, g z) [1 0; 0 rho_in(g)].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bayes_rpp.priors.kernels.averaged import Array, Blocks, Slopes, Values
from bayes_rpp.priors.kernels.scalar import Kernel, Leaf, Sum
from bayes_rpp.symmetry.averages import Average

AT_ONCE = 2**15  # numbers, 256 KB, which stay in the processor's cache
Derivatives = dict[tuple[int, ...], Array]


class DerivativeKernel:
    """As `AveragedKernel`, with one part of outputs: E and F, or F alone.

    Args:
        kernel: the scalar one.
        rho: what elements of the group do to points, (k, d_in, d_in), orthogonal.
        columns: of x, by which derivatives are taken; the group does not mix them with others.
        energy: whether E is among the outputs.
        average: over the group.
    """

    def __init__(
        self,
        kernel: Kernel,
        rho: Callable[[Array], Array],
        columns: NDArray[np.int_],
        energy: bool,
        average: Average,
    ) -> None:
        self.kernel, self.average = kernel, average
        self._columns, self._first = columns, 0 if energy else 1
        (half, self._half), (whole, self._whole) = average.half, average.whole
        self._own, self._cross = rho(half), rho(whole)

    def own(self, x: Array, values: Values) -> Blocks:
        """Between all of x (n, d_in): (n, d, n, d)."""
        k = self._sum(self._own, self._half, x, x, values)
        return {0: 0.5 * (k + k.transpose(2, 3, 0, 1))}

    def cross(self, x: Array, z: Array, values: Values) -> Blocks:
        """Between x (n, d_in) and z (m, d_in): (n, d, m, d)."""
        return {0: self._sum(self._cross, self._whole, x, z, values)}

    def diagonal(self, x: Array, values: Values) -> Blocks:
        """Of each point with itself: (n, d, d)."""
        found = []
        rows = max(1, AT_ONCE // (len(self._half) * x.shape[1]))
        for start in range(0, len(x), rows):
            some = x[start : start + rows]
            moved, back = _moved(some, self._own), _moved(some, self._own.swapaxes(1, 2))
            pairs = _Pairs(some[..., None], some[..., None], moved, back)
            found.append(self._blocks(pairs, self._own, self._half, values))
        k = np.concatenate(found)[:, self._first :, self._first :]
        return {0: 0.5 * (k + k.swapaxes(1, 2))}

    def magnitude(self, x: Array, values: Values) -> float:
        """None is known."""
        return 0.0

    def slopes(self, x: Array, values: Values, weights: Mapping[int, Array]) -> Slopes:
        """Derivatives of sum(weights * own(x)) by the logarithms of the numbers; weights (n, d, n, d) are symmetric."""
        first, w = self._first, self._half
        padded = np.pad(weights[0], [(0, 0), (first, 0), (0, 0), (first, 0)]).transpose(0, 2, 1, 3)
        turning = self._turning(self._own).reshape(len(w), -1)
        count = len(self.kernel.leaves)
        by_scale, by_variance = [np.zeros(x.shape[1]) for _ in range(count)], [0.0] * count
        for some, pairs in _pieces(self._own, x, x):
            v = padded[some]
            alone, to, of, both = v[..., :1, 0], v[..., 0, 1:], v[..., 1:, 0], v[..., 1:, 1:]
            terms = [_Term(leaf, scale, pairs, self._columns) for leaf, scale in self._leaves(values)]
            k = self._derivatives(terms, values, third=True)
            forward = [both @ t.back for t in terms]
            onward = [both.swapaxes(-1, -2) @ t.ahead for t in terms]
            # sum(weights * M) is the sum over these of the derivatives k of the covariance, each times its factor.
            factors: Derivatives = {(): alone}
            for i, a in enumerate(terms):
                trace = (both * a.bend[:, None]).reshape(*both.shape[:-2], -1) @ turning.T
                factors[(i,)] = trace - _rows(to, a.back) - _rows(of, a.ahead)
                for j in range(count):
                    if (key := tuple(sorted((i, j)))) in k:
                        product = a.ahead * forward[j]
                        factors[key] = factors.get(key, 0.0) + product.sum(-2)
                        # Each of the two vectors has the square of its lengthscale below.
                        by_scale[i][self._columns] -= 2 * _total(w * k[key], product)
                        by_scale[j][self._columns] -= 2 * _total(w * k[key], terms[j].back * onward[i])
                along = w * k[(i,)]
                trace = (along @ turning).reshape(both.shape) * both * a.bend[:, None]
                found = _sums(a.back, along) * to + _sums(a.ahead, along) * of - trace.sum(-1)
                by_scale[i][self._columns] += 2 * found.reshape(-1, found.shape[-1]).sum(0)
            for i, a in enumerate(terms):
                by_u, by_v = (
                    sum(f * k[key] for at, f in factors.items() if (key := tuple(sorted((*at, tag)))) in k)
                    for tag in (i, ~i)
                )
                by_scale[i] -= 2 * _total(w * by_u, a.columns) / a.scale**2
                by_variance[i] += float((w * by_v).sum())
        return Slopes(by_scale, by_variance)

    def _sum(self, moving: Array, w: Array, x: Array, z: Array, values: Values) -> Array:
        d = 1 + len(self._columns) - self._first
        found = np.empty((len(x), d, len(z), d))
        for (some, others), pairs in _pieces(moving, x, z):
            k = self._blocks(pairs, moving, w, values)[..., self._first :, self._first :]
            found[some, :, others] = k.transpose(0, 2, 1, 3)
        return found

    def _blocks(self, pairs: _Pairs, moving: Array, w: Array, values: Values) -> Array:
        """Sums over the elements, (..., 1 + d, 1 + d)."""
        terms = [_Term(leaf, scale, pairs, self._columns) for leaf, scale in self._leaves(values)]
        k = self._derivatives(terms, values)
        d, turning = len(self._columns), self._turning(moving).reshape(len(w), -1)
        found = np.zeros((*k[()].shape[:-1], 1 + d, 1 + d))
        found[..., 0, 0] = k[()] @ w
        for i, a in enumerate(terms):
            along = k[(i,)] * w
            found[..., 0, 1:] -= _sums(a.back, along)
            found[..., 1:, 0] -= _sums(a.ahead, along)
            found[..., 1:, 1:] += (along @ turning).reshape(*found.shape[:-2], d, d) * a.bend[:, None]
            for j, other in enumerate(terms):
                if (key := tuple(sorted((i, j)))) in k:
                    found[..., 1:, 1:] += ((k[key] * w)[..., None, :] * other.ahead) @ a.back.swapaxes(-1, -2)
        return found

    def _leaves(self, values: Values) -> list[tuple[Leaf, Array]]:
        return list(zip(self.kernel.leaves, values.lengthscales, strict=True))

    def _turning(self, moving: Array) -> Array:
        """(k, d, d) what the elements do to forces."""
        return moving[:, self._columns[:, None], self._columns]

    def _derivatives(self, terms: list[_Term], values: Values, third: bool = False) -> Derivatives:
        leaves = iter(
            [a.derivatives(i, v, third) for i, (a, v) in enumerate(zip(terms, values.variances, strict=True))]
        )
        return _combined(self.kernel, leaves, 3 if third else 2)


@dataclass(frozen=True)
class _Pairs:
    """Points x and z (..., d_in, 1), z moved by each element and x moved back by it (..., d_in, k)."""

    x: Array
    z: Array
    moved: Array
    back: Array

    @cached_property
    def ahead(self) -> Array:
        return self.x - self.moved

    @cached_property
    def behind(self) -> Array:
        return self.z - self.back

    @cached_property
    def squares(self) -> Array:
        return self.ahead**2

    @cached_property
    def products(self) -> Array:
        return self.x * self.moved


@dataclass(frozen=True)
class _Term:
    """A leaf at pairs of points, u a sum over columns; -dE/dx has its derivatives by the columns that forces are of.

    Attributes:
        columns: what each column adds to u, times its lengthscale's square, (..., d_in, k).
        ahead, back: du/dx, and du/d(gz) moved back by g, (..., d, k).
        bend: (d,) the second derivative of u by both.
    """

    leaf: Leaf
    scale: Array
    pairs: _Pairs
    chosen: NDArray[np.int_]

    @property
    def columns(self) -> Array:
        return self.pairs.squares if self.leaf.stationary else self.pairs.products

    @cached_property
    def ahead(self) -> Array:
        return self._scaled(self.pairs.ahead if self.leaf.stationary else self.pairs.moved)

    @cached_property
    def back(self) -> Array:
        return self._scaled(self.pairs.behind if self.leaf.stationary else self.pairs.back)

    def _scaled(self, found: Array) -> Array:
        return found[..., self.chosen, :] * np.abs(self.bend)[:, None]

    @property
    def bend(self) -> Array:
        return (-2.0 if self.leaf.stationary else 1.0) / self.scale[self.chosen] ** 2

    def derivatives(self, i: int, variance: float, third: bool) -> Derivatives:
        """Of the leaf, the i-th one: by u as many times as i is in the key, and by the logarithm of its variance where
        ~i is."""
        u = _rows(1 / self.scale**2, self.columns)
        value = self.leaf.value(u)
        bends = self.leaf.bends(u, value)
        found = {(i,) * k: variance * f for k, f in enumerate((value, self.leaf.slope(u, value), *bends))}
        if not third:
            del found[(i, i, i)]
            return found
        return found | {(~i, *key): f for key, f in found.items() if len(key) < 3}


def _combined(kernel: Kernel, leaves: Iterator[Derivatives], most: int) -> Derivatives:
    """Those of a sum or product, up to an order; its two kernels have no leaf in common."""
    if isinstance(kernel, Leaf):
        return next(leaves)
    a, b = _combined(kernel.first, leaves, most), _combined(kernel.second, leaves, most)  # type: ignore[attr-defined]
    if isinstance(kernel, Sum):
        return a | b | {(): a[()] + b[()]}
    return {tuple(sorted(i + j)): a[i] * b[j] for i in a for j in b if len(i + j) <= most}


def _pieces(moving: Array, x: Array, z: Array) -> Iterator[tuple[tuple[slice, slice], _Pairs]]:
    """Some of x with some of z at a time."""
    moved, back = _moved(z, moving), _moved(x, moving.swapaxes(1, 2))
    most = max(1, AT_ONCE // moved[:1].size)  # pairs
    columns = min(len(z), most)
    rows = max(1, most // columns)
    for start in range(0, len(x), rows):
        for first in range(0, len(z), columns):
            i, j = slice(start, start + rows), slice(first, first + columns)
            yield (i, j), _Pairs(x[i, None, :, None], z[None, j, :, None], moved[None, j], back[i, None])


def _moved(x: Array, matrices: Array) -> Array:
    """(n, d, k): each of x by each matrix, elements last, as sums over many are fast there."""
    return np.ascontiguousarray((matrices @ x.T).transpose(2, 1, 0))


def _rows(weights: Array, terms: Array) -> Array:
    """(..., k): the sum over rows of terms (..., d, k), with weights (..., d)."""
    return np.asarray((weights[..., None, :] @ terms)[..., 0, :])


def _sums(terms: Array, weights: Array) -> Array:
    """(..., d): the sum over elements of terms (..., d, k), with weights (..., k)."""
    return np.asarray((terms @ weights[..., None])[..., 0])


def _total(weights: Array, terms: Array) -> Array:
    """(d,): the sum of terms (..., d, k), each times its weight (..., k)."""
    found = _sums(terms, weights)
    return np.asarray(found.reshape(-1, found.shape[-1]).sum(axis=0))
