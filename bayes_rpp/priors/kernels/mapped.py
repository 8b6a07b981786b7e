"""Covariances of an energy E(x) = e(phi(x)) and of its forces, from those of e and of its derivatives by the features.

With F_phi = -de/dphi and J = dphi/dx, forces are F = J^T F_phi: all that `DerivativeKernel` says of (e, F_phi) goes
through A(x) = [1 0; 0 J(x)^T] on either side (as sGDML: Chmiela et al. 2018, Nature Communications 9).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from bayes_rpp.priors.kernels.averaged import Array, Blocks, Slopes, Values
from bayes_rpp.priors.kernels.derivatives import DerivativeKernel
from bayes_rpp.priors.kernels.scalar import Kernel
from bayes_rpp.symmetry.averages import Average

Features = Callable[[Array], tuple[Array, Array]]


class MappedKernel:
    """As `DerivativeKernel`, of features.

    Args:
        kernel: the scalar one, of the first features.
        features: x (n, d_in) -> phi (n, m) and its derivatives (n, m, d_in).
        first: so many features are the first.
        others: a kernel of the other features, which multiplies it, of variances 1; its lengthscales are those that
            the first leaf of `kernel` has there. None: there are no others.
        energy: whether E is among the outputs.
        average: over matrices (m, m) that act on features.
    """

    def __init__(
        self, kernel: Kernel, features: Features, first: int, others: Kernel | None, energy: bool, average: Average
    ) -> None:
        self.kernel, self.average = kernel, average
        self._features, self._seen, self._others, self._first = features, first, others, int(energy)
        whole, columns = kernel if others is None else kernel * others, np.arange(average.closed.shape[1])
        self._inner = DerivativeKernel(whole, lambda g: g, columns, energy, average)

    def own(self, x: Array, values: Values) -> Blocks:
        """Between all of x (n, d_in): (n, d, n, d)."""
        phi, a = self._mapped(x)
        k = _through(a, self._inner.own(phi, self._values(values))[0], a)
        return {0: 0.5 * (k + k.transpose(2, 3, 0, 1))}

    def cross(self, x: Array, z: Array, values: Values) -> Blocks:
        """Between x (n, d_in) and z (m, d_in): (n, d, m, d)."""
        (phi, a), (psi, b) = self._mapped(x), self._mapped(z)
        return {0: _through(a, self._inner.cross(phi, psi, self._values(values))[0], b)}

    def diagonal(self, x: Array, values: Values) -> Blocks:
        """Of each point with itself: (n, d, d)."""
        phi, a = self._mapped(x)
        return {0: a @ self._inner.diagonal(phi, self._values(values))[0] @ a.swapaxes(1, 2)}

    def magnitude(self, x: Array, values: Values) -> float:
        """None is known."""
        return 0.0

    def slopes(self, x: Array, values: Values, weights: Mapping[int, Array]) -> Slopes:
        """Derivatives of sum(weights * own(x)) by the logarithms of the numbers; weights (n, d, n, d) are symmetric."""
        phi, a = self._mapped(x)
        back = a.swapaxes(1, 2)
        found = self._inner.slopes(phi, self._values(values), {0: _through(back, weights[0], back)})
        by_scale, count = [np.zeros(len(scale)) for scale in values.lengthscales], len(values.variances)
        for k, some in enumerate(found.lengthscales):
            if k < count:
                by_scale[k][: self._seen] = some[: self._seen]
            else:
                by_scale[0][self._seen :] += some[self._seen :]
        return Slopes(by_scale, found.variances[:count])

    def _mapped(self, x: Array) -> tuple[Array, Array]:
        """Features, and A, (n, d, m) or each with one more for the energy."""
        phi, slopes = self._features(x)
        (n, m, d), first = slopes.shape, self._first
        a = np.zeros((n, first + d, first + m))
        a[:, :first, :first] = 1.0
        a[:, first:, first:] = slopes.swapaxes(1, 2)
        return phi, a

    def _values(self, values: Values) -> Values:
        """A column that a leaf does not see has an infinite lengthscale."""
        if self._others is None:
            return Values([scale[: self._seen] for scale in values.lengthscales], values.variances)
        of_first, of_others = ([s.copy() for s in values.lengthscales] for _ in range(2))
        for scale in of_first:
            scale[self._seen :] = np.inf
        of_others[0][: self._seen] = np.inf
        count = len(self._others.leaves)
        return Values([*of_first, *of_others[:1] * count], [*values.variances, *[1.0] * count])


def _through(a: Array, k: Array, b: Array) -> Array:
    """(n, p, m, q): a_i k_ij b_j^T for a (n, p, r), k (n, r, m, s) and b (m, q, s)."""
    (n, p, r), (m, q, s) = a.shape, b.shape
    half = (a @ k.reshape(n, r, m * s)).reshape(n * p, m, s).swapaxes(0, 1)
    return np.ascontiguousarray((half @ b.swapaxes(1, 2)).reshape(m, n, p, q).transpose(1, 2, 0, 3))
