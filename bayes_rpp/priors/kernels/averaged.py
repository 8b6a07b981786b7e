"""Covariances of equivariant functions: a scalar kernel averaged over a group.

K_G(x, x') = int k(x, g x') rho_out(g) dg (Reisert and Burkhardt 2007, JMLR 8). Between outputs of different irreducible
parts of rho_out it is zero, so that it is kept for each part by itself: (n, d, n', d) for a part of size d.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_rpp.priors.kernels.scalar import Kernel, Leaf
from bayes_rpp.symmetry.averages import Average
from bayes_rpp.symmetry.representations import Representation

Array = NDArray[np.float64]
Blocks = dict[int, Array]
NUMBERS = 2**23  # at once, 64 MB
CACHED = 2**17  # likewise, 1 MB


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
        self._sizes = {part: block.shape[1] for part, block in acting(average.whole[0][:1]).items()}

    def own(self, x: Array, values: Values) -> Blocks:
        """Between all of x (n, d_in): part -> (n, d, n, d)."""
        found = self._sum(self._own, x, x, values)
        return {part: 0.5 * (k + k.transpose(2, 3, 0, 1)) for part, k in found.items()}

    def cross(self, x: Array, z: Array, values: Values) -> Blocks:
        """Between x (n, d_in) and z (m, d_in): part -> (n, d, m, d)."""
        return self._sum(self._cross, x, z, values)

    def diagonal(self, x: Array, values: Values) -> Blocks:
        """Of each point with itself: part -> (n, d, d)."""
        whole = {part: np.zeros((len(x), d, d)) for part, d in self._sizes.items()}
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
            for part, found in self._split(self._own.products.T @ k):
                block = found.reshape(*[self._sizes[part]] * 2, -1).transpose(2, 0, 1)
                whole[part][start : start + rows] = 0.5 * (block + block.swapaxes(1, 2))
        return whole

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
            np.trace(p.reshape(*[self._sizes[t]] * 2, -1)) * weights[t] for t, p in self._split(elements.products.T)
        ]
        total, s = Slopes([np.zeros(x.shape[1]) for _ in leaves], [0.0] * len(leaves)), np.sum(traces, axis=0)[:, None]
        rows = max(1, NUMBERS // (len(elements.weights) * x.shape[1]))
        for start in range(0, len(x), rows):
            some = x[start : start + rows]
            moved = some @ elements.moving.swapaxes(1, 2)
            by_column = [(some - moved) ** 2 if leaf.stationary else some * moved for leaf, _ in leaves]
            us = [(c / scale**2).sum(-1) for c, (_, scale) in zip(by_column, leaves, strict=True)]
            vs = list(self._valued(us, values))
            _, partial = self.kernel.combine(iter(vs))
            for i, (leaf, scale) in enumerate(leaves):
                t = s if partial[i] is None else s * partial[i]
                total.variances[i] += float((t * vs[i]).sum())
                t = t * (values.variances[i] * leaf.slope(us[i], vs[i] / values.variances[i]))
                total.lengthscales[i] += -2 * np.einsum("kn,knc->c", t, by_column[i]) / scale**2
        return total

    def _slopes(self, elements: _Elements, x: Array, z: Array, values: Values, weights: Mapping[int, Array]) -> Slopes:
        d_in, leaves = x.shape[1], self._leaves(values)
        blocks = [weights[t].transpose(0, 1, 3, 2).reshape(len(x), -1, len(z)) for t in self._sizes]
        flat = np.concatenate(blocks, axis=1)
        moved = z @ elements.moving.swapaxes(1, 2)  # (k, m, d_in)
        # Of each leaf, sums over the first point of the derivatives by u: alone, with its columns, with their squares.
        alone = [np.zeros(moved.shape[:2]) for _ in leaves]
        along = [np.zeros((d_in, alone[0].size)) for _ in leaves]
        square = [np.zeros(d_in) for _ in leaves]
        by_variance = [0.0] * len(leaves)
        for some, us in self._pieces(elements, x, moved, values):
            s: Any = elements.products @ flat[some]  # (rows, k, n)
            vs = list(self._valued(us, values))
            _, partial = self.kernel.combine(iter(vs))
            for i, (leaf, _) in enumerate(leaves):
                t = s if partial[i] is None else s * partial[i]
                by_variance[i] += float(np.vdot(t, vs[i]))
                t = t * (values.variances[i] * leaf.slope(us[i], vs[i] / values.variances[i]))
                along[i] += x[some].T @ t.reshape(len(t), -1)
                if leaf.stationary:
                    alone[i] += t.sum(axis=0)
                    square[i] += t.sum(axis=(1, 2)) @ x[some] ** 2
        by_scale = []
        for i, (leaf, scale) in enumerate(leaves):
            by_column = np.einsum("cm,mc->c", along[i], moved.reshape(-1, d_in))
            if leaf.stationary:
                by_column = square[i] + alone[i].ravel() @ moved.reshape(-1, d_in) ** 2 - 2 * by_column
            by_scale.append(-2 * by_column / scale**2)
        return Slopes(by_scale, by_variance)

    def _leaves(self, values: Values) -> list[tuple[Leaf, Array]]:
        return list(zip(self.kernel.leaves, values.lengthscales, strict=True))

    def _valued(self, us: Sequence[Array], values: Values) -> Iterator[Array]:
        return (v * leaf.value(u) for leaf, u, v in zip(self.kernel.leaves, us, values.variances, strict=True))

    def _sum(self, elements: _Elements, x: Array, z: Array, values: Values) -> Blocks:
        moved = z @ elements.moving.swapaxes(1, 2)
        total = np.empty((len(x), elements.products.shape[1], len(z)))
        for some, us in self._pieces(elements, x, moved, values):
            k, _ = self.kernel.combine(self._valued(us, values))
            np.matmul(elements.products.T, k, out=total[some])
        blocks = {}
        for part, found in self._split(total.swapaxes(0, 1)):
            d = self._sizes[part]
            blocks[part] = np.ascontiguousarray(found.reshape(d, d, len(x), len(z)).transpose(2, 0, 3, 1))
        return blocks

    def _pieces(
        self, elements: _Elements, x: Array, moved: Array, values: Values
    ) -> Iterator[tuple[slice, list[Array]]]:
        """Some of x at a time, as many as stay in the processor's cache: which, and u of each leaf (rows, k, m) with
        points moved (k, m, d_in) by each element."""
        rows = max(1, CACHED // (moved.shape[0] * moved.shape[1]))
        factors = []
        for leaf, scale in self._leaves(values):
            a, b = x / scale, (moved / scale).reshape(-1, x.shape[1])
            if leaf.stationary:  # |a - b|^2 as one product
                a = np.concatenate([a, (a**2).sum(1, keepdims=True), np.ones((len(a), 1))], axis=1)
                b = np.concatenate([-2 * b, np.ones((len(b), 1)), (b**2).sum(1, keepdims=True)], axis=1)
            factors.append((leaf, a, b.T.copy()))
        for start in range(0, len(x), rows):
            us = []
            for leaf, a, b in factors:
                u = a[start : start + rows] @ b
                if leaf.stationary:
                    np.maximum(u, 0, out=u)
                us.append(u.reshape(len(u), *moved.shape[:2]))
            yield slice(start, start + rows), us

    def _split(self, flat: Array) -> Iterator[tuple[int, Array]]:
        start = 0
        for part, d in self._sizes.items():
            yield part, flat[start : start + d * d]
            start += d * d


@dataclass(frozen=True)
class _Elements:
    """Elements as they act: rho_in (k, d_in, d_in), and their weight times rho_out of each part, (k, sum of d^2)."""

    moving: Array
    products: Array
    weights: Array

    @staticmethod
    def of(g: Array, weights: Array, rep_in: Representation, acting: Callable[[Array], Blocks]) -> _Elements:
        blocks = [block.reshape(len(g), -1) for block in acting(g).values()]
        return _Elements(rep_in.rho(g), weights[:, None] * np.concatenate(blocks, axis=1), weights)
