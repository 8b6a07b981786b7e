"""Covariances of equivariant functions: a scalar kernel averaged over a group.

K_G(x, x') = int k(x, g x') rho_out(g) dg (Reisert and Burkhardt 2007, JMLR 8). Between outputs of different irreducible
parts of rho_out it is zero, so that it is kept for each part by itself: (n, d, n', d) for a part of size d.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayes_rpp.priors.kernels.scalar import Kernel, Leaf
from bayes_rpp.symmetry.averages import Average
from bayes_rpp.symmetry.representations import Representation

Array = NDArray[np.float64]
Blocks = dict[int, Array]
NUMBERS = 2**23  # at once, 64 MB
CACHED, ROWS = 2**14, 32  # likewise, 128 KB, with so many rows if they do


@dataclass(frozen=True)
class Values:
    """Numbers of a kernel.

    Attributes:
        lengthscales: for each leaf (d_in,), the same for all columns that a group mixes.
        variances: of each leaf.
    """

    lengthscales: Sequence[Array]
    variances: Sequence[float]


@dataclass(frozen=True)
class Slopes:
    """Derivatives by the logarithms of `Values`: for each leaf (d_in,) and a number."""

    lengthscales: list[Array]
    variances: list[float]

    def __add__(self, other: Slopes) -> Slopes:
        return Slopes(
            [a + b for a, b in zip(self.lengthscales, other.lengthscales, strict=True)],
            [a + b for a, b in zip(self.variances, other.variances, strict=True)],
        )


class AveragedKernel:
    """A scalar kernel averaged over a group.

    Args:
        kernel: the scalar one.
        rep_in: bound to the group, orthogonal.
        acting: elements (k, d, d) -> what they do to each part of the outputs, (k, d, d).
        average: over the group.
    """

    def __init__(
        self, kernel: Kernel, rep_in: Representation, acting: Callable[[Array], Blocks], average: Average
    ) -> None:
        self.kernel, self.average = kernel, average
        self._own = _Elements.of(*average.half, rep_in, acting)
        self._cross = _Elements.of(*average.whole, rep_in, acting)
        self.sizes = {part: block.shape[1] for part, block in acting(average.whole[0][:1]).items()}

    def own(self, x: Array, values: Values) -> Blocks:
        """Between all of x (n, d_in): part -> (n, d, n, d)."""
        found = self._sum(self._own, x, x, values)
        return {part: 0.5 * (k + k.transpose(2, 3, 0, 1)) for part, k in found.items()}

    def cross(self, x: Array, z: Array, values: Values) -> Blocks:
        """Between x (n, d_in) and z (m, d_in): part -> (n, d, m, d)."""
        return self._sum(self._cross, x, z, values)

    def diagonal(self, x: Array, values: Values) -> Blocks:
        """Of each point with itself: part -> (n, d, d)."""
        whole = {part: np.zeros((len(x), d, d)) for part, d in self.sizes.items()}
        rows = max(1, NUMBERS // (len(self._own.weights) * x.shape[1]))
        for start in range(0, len(x), rows):
            some = x[start : start + rows]
            moved = some @ self._own.moving.swapaxes(1, 2)  # (k, rows, d_in)
            us = []
            for leaf, scale in self._leaves(values):
                if leaf.stationary:
                    us.append((((some - moved) / scale) ** 2).sum(-1))
                else:
                    us.append((some * moved / scale**2).sum(-1))
            k, _ = self.kernel.combine(self._valued(us, values))
            for part, found in self._split(k.T @ self._own.products):
                block = found.reshape(-1, *[self.sizes[part]] * 2)
                whole[part][start : start + rows] = 0.5 * (block + block.swapaxes(1, 2))
        return whole

    def magnitude(self, x: Array, values: Values) -> float:
        """The mean over x (n, d_in) of the scalar kernel, of each point with itself: what no average exceeds."""
        leaves = self._leaves(values)
        us = [np.zeros(len(x)) if leaf.stationary else ((x / scale) ** 2).sum(axis=1) for leaf, scale in leaves]
        return float(self.kernel.combine(self._valued(us, values))[0].mean())

    def slopes(self, x: Array, values: Values, weights: Mapping[int, Array]) -> Slopes:
        """Derivatives of sum(weights * own(x)) by the logarithms of the numbers; weights (n, d, n, d) are symmetric."""
        return self._slopes(self._own, x, x, values, weights)

    def cross_slopes(self, x: Array, z: Array, values: Values, weights: Mapping[int, Array]) -> Slopes:
        """Those of sum(weights * cross(x, z)), weights (n, d, m, d)."""
        return self._slopes(self._cross, x, z, values, weights)

    def diagonal_slopes(self, x: Array, values: Values, weights: Mapping[int, float]) -> Slopes:
        """Those of the sum of weights * trace of diagonal(x), a weight for each part."""
        elements, leaves = self._own, self._leaves(values)
        traces = [
            np.trace(p.reshape(-1, *[self.sizes[t]] * 2), axis1=1, axis2=2) * weights[t]
            for t, p in self._split(elements.products)
        ]
        total, s = Slopes([np.zeros(x.shape[1]) for _ in leaves], [0.0] * len(leaves)), np.sum(traces, axis=0)[:, None]
        rows = max(1, NUMBERS // (len(elements.weights) * x.shape[1]))
        for start in range(0, len(x), rows):
            some = x[start : start + rows]
            moved = some @ elements.moving.swapaxes(1, 2)
            by_column = [(some - moved) ** 2 if leaf.stationary else some * moved for leaf, _ in leaves]
            us = [(c / scale**2).sum(-1) for c, (_, scale) in zip(by_column, leaves, strict=True)]
            vs = [leaf.value(u) for (leaf, _), u in zip(leaves, us, strict=True)]
            slopes = [leaf.slope(u, v) for (leaf, _), u, v in zip(leaves, us, vs, strict=True)]
            _, partial = self.kernel.combine(self._scaled(vs, values))
            for i, (_, scale) in enumerate(leaves):
                t = s if (factor := partial[i]) is None else s * factor
                total.variances[i] += float((t * vs[i]).sum())
                t = t * (-2 * values.variances[i] * slopes[i])
                total.lengthscales[i] += np.einsum("kn,knc->c", t, by_column[i]) / scale**2
        return total

    def _slopes(self, elements: _Elements, x: Array, z: Array, values: Values, weights: Mapping[int, Array]) -> Slopes:
        d_in, leaves = x.shape[1], self._leaves(values)
        blocks = [weights[t].transpose(0, 2, 1, 3).reshape(len(x), len(z), -1) for t in self.sizes]
        flat = np.concatenate(blocks, axis=2)
        moved = elements.moved(z)
        extended = np.concatenate([x, np.ones((len(x), 1))], axis=1)
        # Of each leaf, sums over points of the derivatives by u: over the first, with its columns and alone, and over
        # the second, with the first's squares.
        along = [np.zeros((d_in + 1, moved[0].size)) for _ in leaves]
        square = [np.zeros(d_in) for _ in leaves]
        by_variance = [0.0] * len(leaves)
        for rows, columns, us in self._pieces(x, moved, values):
            s = (flat[rows, columns].reshape(-1, flat.shape[2]) @ elements.products.T).reshape(us[0].shape)
            vs = [leaf.value(u) for (leaf, _), u in zip(leaves, us, strict=True)]
            slopes = [leaf.slope(u, v) for (leaf, _), u, v in zip(leaves, us, vs, strict=True)]
            _, partial = self.kernel.combine(self._scaled(vs, values))
            place = slice(columns.start * len(elements.weights), columns.stop * len(elements.weights))
            for i, (leaf, _) in enumerate(leaves):
                t = s if (factor := partial[i]) is None else s * factor
                by_variance[i] += float(np.vdot(t, vs[i]))
                t = np.multiply(t, slopes[i], out=slopes[i])
                along[i][:, place] += extended[rows].T @ t
                if leaf.stationary:
                    square[i] += t.sum(axis=1) @ x[rows] ** 2
        by_scale = []
        for i, (leaf, scale) in enumerate(leaves):
            by_column = np.einsum("cm,cm->c", along[i][:-1], moved.reshape(d_in, -1))
            if leaf.stationary:
                by_column = square[i] + moved.reshape(d_in, -1) ** 2 @ along[i][-1] - 2 * by_column
            by_scale.append(-2 * values.variances[i] * by_column / scale**2)
        return Slopes(by_scale, by_variance)

    def _leaves(self, values: Values) -> list[tuple[Leaf, Array]]:
        return list(zip(self.kernel.leaves, values.lengthscales, strict=True))

    def _valued(self, us: Sequence[Array], values: Values) -> Iterator[Array]:
        return self._scaled([leaf.value(u) for leaf, u in zip(self.kernel.leaves, us, strict=True)], values)

    def _scaled(self, found: Sequence[Array], values: Values) -> Iterator[Array]:
        """In place."""
        for k, variance in zip(found, values.variances, strict=True):
            if variance != 1.0:
                k *= variance
            yield k

    def _sum(self, elements: _Elements, x: Array, z: Array, values: Values) -> Blocks:
        total = np.empty((len(x), len(z), elements.products.shape[1]))
        for rows, columns, us in self._pieces(x, elements.moved(z), values):
            k, _ = self.kernel.combine(self._valued(us, values))
            # One product is faster than one for each row.
            found = k.reshape(-1, len(elements.weights)) @ elements.products
            total[rows, columns] = found.reshape(len(k), -1, total.shape[2])
        blocks = {}
        for part, found in self._split(total):
            d = self.sizes[part]
            blocks[part] = np.ascontiguousarray(found.reshape(len(x), len(z), d, d).transpose(0, 2, 1, 3))
        return blocks

    def _pieces(self, x: Array, moved: Array, values: Values) -> Iterator[tuple[slice, slice, list[Array]]]:
        """Pairs of some of x and some of the points moved (d_in, m, k), as many as stay in the processor's cache:
        which, and u of each leaf, (rows, columns times k)."""
        d_in, m, k = moved.shape
        step = max(1, min(m, CACHED // (ROWS * k)))
        rows = max(1, CACHED // (step * k))
        factors = []
        for leaf, scale in self._leaves(values):
            a, b = x / scale, moved.reshape(d_in, -1) / scale[:, None]
            if leaf.stationary:  # |a - b|^2 as one product
                a = np.concatenate([-2 * a, (a**2).sum(1, keepdims=True), np.ones((len(a), 1))], axis=1)
                b = np.concatenate([b, np.ones((1, m * k)), (b**2).sum(0, keepdims=True)])
            factors.append((a, b))
        for start in range(0, len(x), rows):
            some = slice(start, min(start + rows, len(x)))
            for first in range(0, m, step):
                last = min(first + step, m)
                yield some, slice(first, last), [a[some] @ b[:, first * k : last * k] for a, b in factors]

    def _split(self, flat: Array) -> Iterator[tuple[int, Array]]:
        """Of each part, of what is along the last axis."""
        start = 0
        for part, d in self.sizes.items():
            yield part, flat[..., start : start + d * d]
            start += d * d


@dataclass(frozen=True)
class _Elements:
    """Elements as they act: rho_in (k, d_in, d_in), and their weight times rho_out of each part, (k, sum of d^2)."""

    moving: Array
    products: Array
    weights: Array

    def moved(self, x: Array) -> Array:
        """Points (n, d_in) as each element moves them, (d_in, n, k)."""
        return np.ascontiguousarray((self.moving @ x.T).transpose(1, 2, 0))

    @staticmethod
    def of(g: Array, weights: Array, rep_in: Representation, acting: Callable[[Array], Blocks]) -> _Elements:
        blocks = [block.reshape(len(g), -1) for block in acting(g).values()]
        return _Elements(rep_in.rho(g), weights[:, None] * np.concatenate(blocks, axis=1), weights)
