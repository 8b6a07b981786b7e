"""Which of the training inputs are inducing points, and how many: by the greedy conditional variance.

Burt, Rasmussen and van der Wilk 2020 (JMLR 21): a pivoted Cholesky factorisation of the prior
covariance. Of points that the group moves onto each other the first leaves the others without a variance, up to that of
the residual.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bayes_rpp.models.process.covariance import Array, Covariance, Latents
from bayes_rpp.models.process.memory import most_exact
from bayes_rpp.models.process.prior import FunctionPrior
from bayes_rpp.symmetry.averages import haar_average

WORK, PAIRS = 1e11, 2.5e8  # multiplications, and elements of groups times pairs of points, for one value of the bound
LEAST, MOST, LARGEST = 100, 1000, 5000  # points; and numbers of f at these, whose covariances take memory
CANDIDATES = 8  # training inputs for each inducing point, among which these are
ENOUGH = 1e-10  # of the variance, below which nothing is left to explain


def inducing_count(gp: FunctionPrior, n: int) -> int | None:
    """Up to how many inducing points for n examples, or None where the evidence is exact.

    Raises:
        ValueError: if there are fewer examples than inducing points are asked for.
    """
    size = gp.rep_out.size
    if gp.inducing is None:
        if n <= most_exact(gp):
            return None
        elements = sum(len(haar_average(g)) for g in gp.groups)
        quick = min(np.sqrt(WORK / (4 * n * size)) / size, PAIRS / (n * elements))
        return max(1, min(n, LARGEST // size, max(LEAST, min(MOST, int(quick)))))
    if gp.inducing > n:
        raise ValueError(
            f"inducing must be at most the number of examples, {n:,}, of which inducing points are chosen, got "
            f"{gp.inducing:,}; None would do"
        )
    return gp.inducing


def inducing_points(covariance: Covariance, latents: Latents, count: int, seed: int = 0) -> NDArray[np.int_]:
    """Rows of training inputs, that say most about f at the others, sorted: up to `count`, fewer where these say all.

    They are chosen among 8 count training inputs, drawn at random.
    """
    n = len(covariance.x)
    if count >= n:
        return np.arange(n)
    drawn = np.random.default_rng(seed).permutation(n)[: CANDIDATES * count]
    some, values = covariance.at(drawn), covariance.values(latents)
    sizes = some.sizes(some.mean_variances(values), values)
    left = some.total(some.each("diagonal", values, some.x), latents, sizes)
    copies = {t: len(p) for t, p in covariance.places.items()}
    everything = _remaining(left, copies).sum()
    least = {t: max(ENOUGH * float(np.einsum("naa->", v)) / v[..., 0].size, 1e-300) for t, v in left.items()}
    factor = {t: np.zeros((*v.shape[:2], count * v.shape[1])) for t, v in left.items()}
    chosen: list[int] = []
    while len(chosen) < count:
        remaining = _remaining(left, copies)
        remaining[chosen] = 0.0
        i = int(np.argmax(remaining))
        if remaining.sum() <= ENOUGH * everything:
            break
        column = some.each("cross", values, some.x, some.x[i : i + 1])
        for t, k in some.total(column, latents, sizes).items():
            d = k.shape[1]
            size = d * len(chosen)
            before = factor[t][:, :, :size]
            own, vectors = np.linalg.eigh(left[t][i])
            new = (k[:, :, 0] - before @ before[i].T) @ (vectors / np.sqrt(np.maximum(own, least[t])))
            factor[t][:, :, size : size + d] = new
            left[t] -= new @ new.swapaxes(1, 2)
        chosen.append(i)
    return np.sort(drawn[chosen])


def _remaining(left: dict[int, Array], copies: dict[int, int]) -> Array:
    return np.asarray(sum(copies[t] * np.maximum(np.einsum("naa->n", v), 0.0) for t, v in left.items()))
