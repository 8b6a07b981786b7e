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

from bayes_rpp.priors.kernels.scalar import Kernel
from bayes_rpp.symmetry.averages import Average
from bayes_rpp.symmetry.representations import Representation

Array = NDArray[np.float64]
Blocks = dict[int, Array]
NUMBERS = 2**23  # of the kernel at once, 64 MB


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
            some = slice(start, start + rows)
            moved = np.matmul(self._own.moving[:, None], x[some][None, :, :, None])[..., 0]  # (k, rows, d_in)
            us = [self._u(leaf, x[some][None], moved, s) for leaf, s in self._leaves(values)]
            k, _ = self.kernel.combine(self._valued(us, values))
            for part, found in self._split(np.einsum("kn,kp->pn", k, self._own.products)):
                d = self._sizes[part]
                block = found.reshape(d, d, -1).transpose(2, 0, 1)
                whole[part][some] = 0.5 * (block + block.swapaxes(1, 2))
        return whole

    def slopes(self, x: Array, values: Values, weights: Mapping[int, Array]) -> Slopes:
        """Derivatives of sum(weights * own(x)) by the logarithms of the numbers; weights (n, d, n, d) are symmetric."""
        n, d_in = x.shape
        flat = np.concatenate([weights[t].transpose(1, 3, 0, 2).reshape(-1, n * n) for t in self._sizes])
        total = Slopes([np.zeros(d_in) for _ in values.variances], [0.0] * len(values.variances))
        for some, moved, us in self._pieces(self._own, x, x, values):
            s = (self._own.products[some] @ flat).reshape(-1, n, n)
            vs = list(self._valued(us, values))
            _, partial = self.kernel.combine(iter(vs))
            for i, (leaf, scale) in enumerate(self._leaves(values)):
                by_value = s if partial[i] is None else s * partial[i]
                total.variances[i] += float(np.vdot(by_value, vs[i]))
                t = by_value * leaf.slope(us[i], vs[i] / values.variances[i])
                t *= values.variances[i]
                by_column = np.einsum("nc,knc->c", x, t @ moved)
                if leaf.stationary:
                    squares = np.einsum("kn,nc->c", t.sum(2), x**2) + np.einsum("km,kmc->c", t.sum(1), moved**2)
                    by_column = squares - 2 * by_column
                total.lengthscales[i][:] += -2 * by_column / scale**2
        return total

    def _leaves(self, values: Values) -> list[tuple]:
        return list(zip(self.kernel.leaves, values.lengthscales, strict=True))

    def _valued(self, us: Sequence[Array], values: Values) -> Iterator[Array]:
        return (v * leaf.value(u) for leaf, u, v in zip(self.kernel.leaves, us, values.variances, strict=True))

    @staticmethod
    def _u(leaf: Any, x: Array, moved: Array, scale: Array) -> Array:
        """Of points side by side (..., d_in): (...)."""
        return (((x - moved) / scale) ** 2).sum(-1) if leaf.stationary else (x * moved / scale**2).sum(-1)

    def _sum(self, elements: _Elements, x: Array, z: Array, values: Values) -> Blocks:
        total = np.zeros((elements.products.shape[1], len(x) * len(z)))
        for some, _, us in self._pieces(elements, x, z, values):
            k, _ = self.kernel.combine(self._valued(us, values))
            total += elements.products[some].T @ k.reshape(len(k), -1)
        blocks = {}
        for part, found in self._split(total):
            d = self._sizes[part]
            blocks[part] = np.ascontiguousarray(found.reshape(d, d, len(x), len(z)).transpose(2, 0, 3, 1))
        return blocks

    def _pieces(
        self, elements: _Elements, x: Array, z: Array, values: Values
    ) -> Iterator[tuple[slice, Array, list[Array]]]:
        """Some elements at a time: which, z moved by them (k, m, d_in), and u of each leaf (k, n, m)."""
        size = max(1, NUMBERS // max(1, len(x) * len(z)))
        for start in range(0, len(elements.weights), size):
            some = slice(start, start + size)
            moved = z @ elements.moving[some].swapaxes(1, 2)
            us = []
            for leaf, scale in self._leaves(values):
                a, b = x / scale, moved / scale
                u = a @ b.swapaxes(1, 2)
                if leaf.stationary:
                    u *= -2
                    u += (a**2).sum(1)[:, None]
                    u += (b**2).sum(2)[:, None, :]
                    np.maximum(u, 0, out=u)
                us.append(u)
            yield some, moved, us

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
